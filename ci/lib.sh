# Sourced by the scripts of this folder: a broker of one's own on the loopback, in a folder of its own.
# BROKER names the program that is judged: called as `BROKER DATA_DIR PORT`, it serves in the foreground.
# ci/broker (the default) is Ringlog's release build, ci/kafka serves Apache Kafka, to judge the script itself.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BROKER=${BROKER:-$ROOT/ci/broker}
BROKER_PID=
# Further processes that a script has started; they end with it.
HELPERS=()
WORK=$(mktemp -d "${TMPDIR:-/tmp}/ringlog-ci.XXXXXX")

fail() {
    echo "FAILED: $*" >&2
    if [ -s "$WORK/broker.log" ]; then
        echo "-- the broker's last lines:" >&2
        tail -n 20 "$WORK/broker.log" >&2
    fi
    exit 1
}

clean_up() {
    local status=$? pid
    for pid in $BROKER_PID "${HELPERS[@]}"; do
        kill -9 "$pid" 2> /dev/null && wait "$pid" 2> /dev/null || true
    done
    if [ "$status" = 0 ] || [ -z "${KEEP:-}" ]; then rm -rf "$WORK"; else echo "kept: $WORK" >&2; fi
}
trap clean_up EXIT

listens() {
    (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

# A port that nobody listens on now, below the range that the kernel hands out itself.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 10000))
        listens "$port" || { echo "$port"; return; }
    done
    fail "no free port"
}

# broker_start PORT: starts the broker on the data of this run and waits until it accepts connections.
broker_start() {
    "$BROKER" "$WORK/data" "$1" >> "$WORK/broker.log" 2>&1 &
    BROKER_PID=$!
    for _ in $(seq 300); do
        listens "$1" && return
        kill -0 "$BROKER_PID" 2> /dev/null || fail "the broker ended while starting"
        sleep 0.1
    done
    fail "the broker doesn't listen after 30 s"
}

broker_kill() {
    kill -9 "$BROKER_PID"
    wait "$BROKER_PID" 2> /dev/null || true
    BROKER_PID=
}

# broker_stop SECONDS: SIGTERM, and exit status 0 (or BROKER_STOP_STATUS) in time.
broker_stop() {
    local status=0 pid=$BROKER_PID
    kill -TERM "$pid"
    (sleep "$1" && kill -9 "$pid") 2> /dev/null &
    local watchdog=$!
    wait "$pid" || status=$?
    BROKER_PID=
    kill "$watchdog" 2> /dev/null || true
    [ "$status" != 137 ] || fail "the broker still runs $1 s after SIGTERM"
    [ "$status" = "${BROKER_STOP_STATUS:-0}" ] || fail "the broker ended with status $status after SIGTERM"
}
