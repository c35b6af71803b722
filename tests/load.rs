//! The load generator against a real broker: every subcommand, small, as its users run it.
#![expect(clippy::disallowed_methods, reason = "the test starts programs and reads what they have written")]
#![expect(clippy::disallowed_types, reason = "the test looks for a free port and waits until it answers")]

use ringlog::load::report::{Exit, Outcome};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A broker on a port of its own with its data in a folder of its own. Ends with its value.
struct Broker {
    process: Child,
    address: String,
    dir: PathBuf,
}

impl Broker {
    fn start(name: &str) -> Broker {
        let dir = std::env::temp_dir().join(format!("ringlog-load-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder for the test");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let address = format!("127.0.0.1:{port}");
        let process = start(&address, &dir);
        let mut broker = Broker { process, address, dir };
        while TcpStream::connect(&broker.address).is_err() {
            assert!(broker.process.try_wait().expect("its state").is_none(), "the broker has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        broker
    }

    /// Runs the load generator against it.
    fn load(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-load"));
        let (first, rest) = arguments.split_first().expect("a subcommand");
        command.arg(first).args(["--bootstrap", &self.address, "--allow-saturated"]).args(rest);
        command.output().expect("the load generator starts")
    }

    /// The same with --out; what it has written.
    fn outcome(&self, name: &str, arguments: &[&str]) -> Outcome {
        let out = self.path(name);
        let mut all = arguments.to_vec();
        all.extend(["--out", &out]);
        let ran = self.load(&all);
        let outcome = Outcome::read(&format!("{out}.json"));
        outcome.unwrap_or_else(|error| panic!("{error}\n{}", told(&ran)))
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    /// Kills it and starts it again on the same data.
    fn kill_and_restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = start(&self.address, &self.dir);
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn start(address: &str, dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["start", "--shards", "1", "--set", "group.initial.rebalance.delay.ms=0"])
        .args(["--listen", address, "--data-dir"])
        .arg(dir.join("data"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the broker starts")
}

/// What a program said, for messages.
fn told(ran: &Output) -> String {
    format!(
        "{}\n{}{}",
        ran.status,
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    )
}

/// The generator without a broker.
fn alone(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringlog-load"))
        .args(arguments)
        .output()
        .expect("the load generator starts")
}

#[test]
fn produce_sends_what_it_was_told_and_writes_its_files() {
    let broker = Broker::start("produce");
    let outcome =
        broker.outcome("a/run", &["produce", "--records", "3000", "--partitions", "3", "--seed", "7"]);
    let phase = outcome.judged().next().expect("one phase");
    assert_eq!((phase.acked.records, phase.acked.bytes, outcome.seed), (3000, 3000 * 1024, 7));
    assert_eq!((outcome.exit, phase.failures), (Exit::Good, 0));
    for name in ["service", "ack"] {
        assert_eq!(phase.latencies[name].count, 3000, "{name}");
    }
    assert!(!outcome.host.kernel.is_empty() && !outcome.cluster.versions.is_empty());
    let read = |ending: &str| std::fs::read_to_string(broker.path(&format!("a/run.{ending}"))).expect(ending);
    assert!(read("html").contains("<svg"));
    assert!(read("hlog").contains("Tag=ack,"));
    assert!(read("ack.hgrm").contains("Total count    =         3000"));
}

#[test]
fn every_way_of_sending_arrives_as_it_was_sent() {
    let broker = Broker::start("ways");
    let ways: [&[&str]; 7] = [
        &["--batch", "0", "--size", "100", "--producers", "5"],
        &["--keys", "zipf 100 0.99", "--size", "50..500", "--partitions", "4"],
        &["--compression", "lz4", "--ratio", "3"],
        &["--compression", "zstd", "--rate", "poisson 2k", "--linger", "2ms"],
        &["--rate", "2k", "--topics", "2", "--partitions", "2", "--threads", "2", "--producers", "4"],
        &["--rate", "burst 500..4k every 200ms for 50ms", "--acks", "1", "--in-flight", "20"],
        &["--rate", "ramp 100..2k", "--duration", "2s", "--consumers", "2", "--partitions", "3"],
    ];
    for (nth, way) in ways.iter().enumerate() {
        let mut arguments = vec!["produce", "--records", "1000", "--verify", "--warmup", "0s"];
        arguments.extend(*way);
        let outcome = broker.outcome(&format!("way{nth}"), &arguments);
        let found = outcome.verification.expect("it was verified");
        assert!(found.good && found.failed.is_none(), "{way:?}: {found:?}");
        assert_eq!((found.acknowledged, found.received), (1000, 1000), "{way:?}");
        assert_eq!(outcome.exit, Exit::Good, "{way:?}");
    }
}

#[test]
fn end_to_end_latency_is_measured_and_gates_have_their_exit_codes() {
    let broker = Broker::start("e2e");
    let junit = broker.path("junit.xml");
    let run = [
        "e2e",
        "--rate",
        "500",
        "--warmup",
        "0s",
        "--duration",
        "2s",
        "--interval",
        "500ms",
        "--junit",
        &junit,
    ];
    let mut good = run.to_vec();
    good.extend(["--gate", "e2e.p99<10m", "--gate", "loss=0"]);
    let outcome = broker.outcome("good", &good);
    let phase = outcome.judged().next().expect("one phase");
    assert_eq!(phase.latencies["e2e"].count, phase.latencies["ack"].count);
    assert!(phase.latencies["e2e"].p50_ns >= phase.latencies["service"].p50_ns);
    assert!(phase.moments.len() >= 4, "an interval each half second");
    assert_eq!((outcome.exit, outcome.gates.len()), (Exit::Good, 2));
    assert!(std::fs::read_to_string(&junit).expect("JUnit").contains("failures=\"0\""));

    let mut bad = run.to_vec();
    bad.extend(["--gate", "p50<1us", "--gate", "errors=0"]);
    let ran = broker.load(&bad);
    assert_eq!(ran.status.code(), Some(Exit::Gate as i32), "{}", told(&ran));
    assert!(std::fs::read_to_string(&junit).expect("JUnit").contains("failures=\"1\""));
}

#[test]
fn a_stopped_broker_shows_in_the_corrected_latency() {
    let broker = Broker::start("stopped");
    let out = broker.path("stopped");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-load"));
    command.args([
        "produce",
        "--bootstrap",
        &broker.address,
        "--allow-saturated",
        "--rate",
        "1k",
        "--batch",
        "0",
    ]);
    command.args(["--warmup", "0s", "--duration", "4s", "--out", &out, "--quiet"]);
    let mut running = command.spawn().expect("the load generator starts");
    std::thread::sleep(Duration::from_millis(1500));
    broker.signal("-STOP");
    std::thread::sleep(Duration::from_secs(1));
    broker.signal("-CONT");
    running.wait().expect("it ends");
    let outcome = Outcome::read(&format!("{out}.json")).expect("its result");
    let phase = outcome.judged().next().expect("one phase");
    // Of 4,000 records about 1,000 were due while it stood still, half of them for longer than half a second.
    let ack = &phase.latencies["ack"];
    assert!(ack.count >= 3900, "every record that was due counts: {}", ack.count);
    assert!(ack.at(0.95) >= 0.4e9 && ack.max_ns >= 900_000_000, "{} {}", ack.at(0.95), ack.max_ns);
}

#[test]
fn a_broker_that_is_killed_meanwhile_has_kept_its_word() {
    let mut broker = Broker::start("killed");
    let out = broker.path("killed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-load"));
    command.args([
        "produce",
        "--bootstrap",
        &broker.address,
        "--allow-saturated",
        "--rate",
        "2k",
        "--size",
        "200",
    ]);
    command.args(["--producers", "3", "--partitions", "3", "--verify", "--warmup", "0s", "--duration", "4s"]);
    let mut running = command.args(["--out", &out, "--quiet"]).spawn().expect("the load generator starts");
    std::thread::sleep(Duration::from_millis(1500));
    broker.kill_and_restart();
    running.wait().expect("it ends");
    let outcome = Outcome::read(&format!("{out}.json")).expect("its result");
    let phase = outcome.judged().next().expect("one phase");
    let found = outcome.verification.as_ref().expect("it was verified");
    assert!(phase.disconnects > 0, "the connections were lost");
    assert!(found.good && found.acknowledged >= 7900, "{found:?}");
}

#[test]
fn topics_are_read_once_or_again_and_again() {
    let broker = Broker::start("consume");
    let sent = broker.load(&["produce", "--topic", "kept", "--partitions", "3", "--records", "5000"]);
    assert!(sent.status.success(), "{}", told(&sent));
    let once = broker.outcome("once", &["consume", "--topic", "kept", "--until", "end", "--check", "crc"]);
    assert_eq!(once.judged().next().expect("one phase").received.records, 5000);
    let again = ["consume", "--topic", "kept", "--duration", "1s", "--warmup", "0s", "--consumers", "2"];
    let again = broker.outcome("again", &again);
    assert!(again.judged().next().expect("one phase").received.records > 5000);
    for (arguments, hint) in
        [(vec!["consume"], "--topic"), (vec!["consume", "--topic", "nope"], "no topic \"nope\"")]
    {
        let ran = broker.load(&arguments);
        assert_eq!(ran.status.code(), Some(Exit::Failed as i32));
        assert!(told(&ran).contains(hint), "{}", told(&ran));
    }
}

#[test]
fn backlogs_are_drained_and_connections_come_and_go() {
    let broker = Broker::start("drain");
    let run = ["drain", "--backlog", "5MB", "--rate", "500", "--duration", "1s", "--partitions", "2"];
    let outcome = broker.outcome("drain", &run);
    let names: Vec<&str> = outcome.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["fill", "alone", "drain"]);
    let drained = &outcome.phases[2];
    assert!(
        drained.received.records > outcome.phases[0].acked.records,
        "the backlog, and what was sent meanwhile"
    );
    for ask in ["versions", "metadata", "produce"] {
        let run = ["churn", "--connections", "50", "--duration", "1s", "--warmup", "0s", "--ask", ask];
        let outcome = broker.outcome(ask, &run);
        let phase = outcome.judged().next().expect("one phase");
        assert!(phase.churned >= 45 && phase.failures == 0, "{ask}: {phase:?}");
    }
}

#[test]
fn transactions_are_committed_and_aborted_as_they_should_be() {
    let broker = Broker::start("transact");
    let run = ["transact", "--producers", "6", "--partitions", "3", "--batches", "2", "--abort-every", "4"];
    let outcome = broker.outcome("transact", &[&run[..], &["--duration", "2s", "--warmup", "0s"]].concat());
    let phase = outcome.judged().next().expect("one phase");
    assert!(phase.failures == 0 && phase.aborted > 0, "{phase:?}");
    // Each producer aborts its fourth, eighth and so on.
    assert!(phase.committed >= 3 * phase.aborted, "{phase:?}");
    let all = phase.committed + phase.aborted;
    // Each commit is timed; so is the one that every producer was about when the time was over.
    assert!((all..=all + 6).contains(&phase.latencies["service"].count), "{phase:?}");
    assert!(phase.acked.records >= 2 * all, "two batches of one record each, and those of open transactions");
}

#[test]
fn jobs_run_from_files_and_results_are_compared() {
    let broker = Broker::start("job");
    let job = broker.path("job.toml");
    let text = "about = \"two phases\"\nsize = 200\nwarmup = \"0s\"\n[[phase]]\nname = \"first\"\nrecords = 500\n\
                [[phase]]\nname = \"second\"\nrate = 1000\nduration = \"1s\"\nconsumers = 1\nverify = true\n";
    std::fs::write(&job, text).expect("the job");
    let a = broker.outcome("a", &["run", &job, "--label", "one"]);
    assert_eq!((a.job.contains("job.toml"), a.about.as_str(), a.phases.len()), (true, "two phases", 2));
    assert!(
        a.verification.as_ref().is_some_and(|found| found.good && found.acknowledged >= 1400),
        "{:?}",
        a.verification
    );
    broker.outcome("b", &["run", &job, "--set", "second.rate=500"]);
    let (a, b) = (broker.path("a.json"), broker.path("b.json"));
    let ran = alone(&["compare", &a, &b, "--out", &broker.path("ab")]);
    assert!(ran.status.success() && told(&ran).contains("ack p99"), "{}", told(&ran));
    assert!(Path::new(&broker.path("ab.html")).exists());
    let both = alone(&[
        "compare",
        &broker.address,
        &broker.address,
        "--rounds",
        "1",
        "--records",
        "200",
        "--quiet",
        "--allow-saturated",
    ]);
    assert!(both.status.success() && told(&both).contains("records/s"), "{}", told(&both));
    let again = alone(&["report", &a]);
    assert!(again.status.success() && told(&again).contains("second"), "{}", told(&again));
}

#[test]
fn the_highest_rate_is_found() {
    let broker = Broker::start("max");
    let out = broker.path("max");
    let goal = ["--goal", "p99<10m", "--upper", "400", "--precision", "50%"];
    let mut run = vec!["find-max", "--duration", "1s", "--warmup", "0s", "--out", &out];
    run.extend(goal);
    let ran = broker.load(&run);
    assert!(told(&ran).contains("400 records/s") && told(&ran).contains("keeps p99<10m"), "{}", told(&ran));
    let impossible =
        ["find-max", "--duration", "300ms", "--warmup", "0s", "--goal", "p50<1us", "--upper", "50"];
    let ran = broker.load(&impossible);
    assert_ne!(ran.status.code(), Some(0), "{}", told(&ran));
    assert!(told(&ran).contains("no rate"), "{}", told(&ran));
}

#[test]
fn help_suffices_and_mistakes_are_explained() {
    let help = alone(&["--help"]);
    for part in ["produce", "find-max", "compare", "Try it:", "Exit codes"] {
        assert!(told(&help).contains(part), "{part}");
    }
    assert!(told(&alone(&["produce", "--help"])).contains("[default: 16KiB]"));
    assert!(told(&alone(&["jobs"])).contains("small-requests"));
    assert!(told(&alone(&["jobs", "durable"])).contains("verify = true"));
    for (arguments, part) in [
        (&["produce", "--rate", "fast"][..], "50k | 100MB/s"),
        (&["produce", "--acks", "2"], "must be one of all, 1, 0"),
        (&["produce", "--gate", "p99"], "write"),
        (&["produce", "--acks", "0", "--verify"], "acks=0"),
        (&["run", "nowhere.toml"], "jobs that are built in"),
        (&["compare", "a.json", "127.0.0.1:9"], "on both sides"),
    ] {
        let ran = alone(arguments);
        assert_eq!(ran.status.code(), Some(Exit::Usage as i32), "{}", told(&ran));
        assert!(told(&ran).contains(part), "{}", told(&ran));
    }
    let nobody = alone(&["produce", "--bootstrap", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(Exit::Failed as i32));
    assert!(told(&nobody).contains("127.0.0.1:1 can't be reached"), "{}", told(&nobody));
}

#[test]
fn members_of_groups_come_and_go() {
    let broker = Broker::start("groups");
    let run = [
        "churn",
        "--connections",
        "5",
        "--groups",
        "2",
        "--members",
        "3",
        "--duration",
        "6s",
        "--warmup",
        "2s",
    ];
    let outcome = broker.outcome("groups", &run);
    let phase = outcome.judged().next().expect("one phase");
    // Each of six members joins once; whoever leaves and comes back makes the two others join again.
    assert!(phase.rejoined > 6, "{phase:?}");
    assert_eq!(phase.latencies["e2e"].count, phase.rejoined, "each join is timed");
    assert_eq!((phase.failures, outcome.exit), (0, Exit::Good), "{:?}", phase.errors);
}

#[test]
fn ringlog_tells_where_its_time_goes() {
    let broker = Broker::start("stages");
    let socket = broker.path("data/admin.sock");
    let run = ["e2e", "--rate", "2k", "--warmup", "0s", "--duration", "3s", "--broker-metrics", &socket];
    let outcome = broker.outcome("stages", &run);
    let phase = outcome.judged().next().expect("one phase");
    let told = |api: &str, stage: &str| {
        phase.stages.iter().find(|told| told.api == api && told.stage == stage).cloned().unwrap_or_default()
    };
    let (flush, whole) = (told("produce", "flush"), told("produce", "total"));
    assert!(flush.count > 0 && flush.sum_ns > 0 && flush.sum_ns < whole.sum_ns, "{:?}", phase.stages);
    assert!(told("fetch", "send").count > 0, "{:?}", phase.stages);
    let html = std::fs::read_to_string(broker.path("stages.html")).expect("the page");
    assert!(html.contains("Where the broker's time goes: produce") && html.contains("class=\"area a0\""));
    let nobody = broker.load(&["produce", "--records", "1", "--broker-metrics", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(Exit::Failed as i32));
    assert!(self::told(&nobody).contains("admin.sock"), "{}", self::told(&nobody));
}
