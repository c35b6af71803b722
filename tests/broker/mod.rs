//! A broker of a test's own: the real binary, on the loopback, in a data directory of its own.
#![allow(dead_code, reason = "each test takes what it needs")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test starts processes, reads their files and talks to them over sockets"
)]

pub(crate) mod client;
pub(crate) mod healthy;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it: long, since machines that test are busy ones.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The broker's binary: the one under test, or another build of it for measurements.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("RINGLOG_TEST_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ringlog")), PathBuf::from)
}

/// A number from the environment, for the full-size run of a test.
pub(crate) fn size(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a size is a whole number"))
}

/// Polls until `found` says something.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder of one test, on a disk with direct I/O. Removed at the end, but kept where the test fails.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for the test");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// How to start a broker.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// A program that runs the binary, with its arguments: `prlimit`, `setpriv`.
    pub(crate) wrapper: Vec<String>,
    /// What follows `start`.
    pub(crate) args: Vec<String>,
    /// Further environment variables.
    pub(crate) env: Vec<(String, String)>,
    /// Where output goes.
    pub(crate) log: PathBuf,
}

impl Launch {
    /// A broker on a free port with its data in `scratch/data`.
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let data = scratch.0.join("data");
        Launch {
            wrapper: Vec::new(),
            args: vec![
                "--data-dir".into(),
                data.display().to_string(),
                "--listen".into(),
                "127.0.0.1:0".into(),
            ],
            env: Vec::new(),
            log: scratch.0.join("log"),
        }
    }

    pub(crate) fn shards(self, shards: usize) -> Self {
        self.arg("--shards").arg(&shards.to_string())
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub(crate) fn set(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.arg("--set").arg(&format!("{key}={value}"))
    }

    pub(crate) fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts the process; its output is added to the log.
    pub(crate) fn spawn(&self) -> Child {
        let out = File::options().create(true).append(true).open(&self.log).expect("the log can be written");
        let program = binary().into_os_string();
        let mut words = self.wrapper.iter().map(Into::into).chain([program]);
        let mut command = Command::new(words.next().expect("there is a program"));
        command.args(words).arg("start").args(&self.args).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stderr(out.try_clone().expect("a second handle")).stdout(out);
        command.spawn().expect("the broker starts")
    }

    /// Starts a broker and waits until it serves.
    pub(crate) fn start(&self) -> Broker {
        let before = fs::metadata(&self.log).map_or(0, |meta| meta.len());
        let mut child = self.spawn();
        let begun = Instant::now();
        let address = wait_for("the broker's address", || {
            if let Some(status) = child.try_wait().expect("its state can be asked") {
                panic!("the broker ended while starting ({status}):\n{}", self.output());
            }
            announced(&tail_of(&self.log, before))
        });
        Broker { child, address, launch: self.clone(), started_in: begun.elapsed() }
    }

    /// Runs a broker that isn't expected to start: its exit status and what it said.
    pub(crate) fn refused(&self) -> (ExitStatus, String) {
        let before = fs::metadata(&self.log).map_or(0, |meta| meta.len());
        let mut child = self.spawn();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("its state can be asked") {
                return (status, tail_of(&self.log, before));
            }
            if begun.elapsed() > PATIENCE || announced(&tail_of(&self.log, before)).is_some() {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the broker runs although it shouldn't:\n{}", self.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything it has said so far.
    pub(crate) fn output(&self) -> String {
        tail_of(&self.log, 0)
    }
}

fn tail_of(path: &Path, from: u64) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// The address in the lines that a broker prints when it serves.
fn announced(output: &str) -> Option<SocketAddr> {
    let (_, rest) = output.split_once("bootstrap server ")?;
    let (address, _) = rest.split_once(',')?;
    let port = address.rsplit_once(':')?.1.parse().ok()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A broker that serves. Killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// How it was started.
    pub(crate) launch: Launch,
    /// From the start of the process to its announcement.
    pub(crate) started_in: Duration,
}

impl Broker {
    pub(crate) fn client(&self) -> client::Client {
        client::Client::connect(self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: TERM, INT, USR1.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.expect("kill runs").success(), "the broker still runs");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the broker's end", || self.child.try_wait().expect("its state can be asked"))
    }

    /// Asks it to stop and expects a clean end.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "a clean end:\n{}", self.launch.output());
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the broker still runs");
        self.child.wait().expect("its end can be waited for");
    }

    /// That it still runs.
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("its state can be asked") {
            panic!("the broker ended ({status}):\n{}", self.launch.output());
        }
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
        line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
    }

    /// CPU time of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the broker runs");
        let (_, rest) = stat.rsplit_once(')').expect("the name is in parentheses");
        let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // utime and stime, in ticks of 10 ms on every Linux of today.
        Duration::from_millis((fields[11] + fields[12]) * 10)
    }

    /// Bytes that it has read from devices (proc_pid_io(5)).
    pub(crate) fn read_bytes(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid())).expect("the broker runs");
        let read =
            io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).expect("the kernel tells it");
        read.parse().expect("a number")
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the broker runs").count()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.launch.output();
            let lines: Vec<&str> = output.lines().rev().take(30).collect();
            eprintln!("the broker's last lines, newest first:\n{}", lines.join("\n"));
        }
    }
}

/// The largest resident memory of a broker while `run` runs, looked at every few milliseconds, beyond what it was
/// before.
pub(crate) fn growth_while<T>(broker: &Broker, run: impl FnOnce() -> T) -> (usize, T) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let before = settled(broker);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(broker.rss());
                std::thread::sleep(Duration::from_millis(3));
            }
            most
        });
        let guard = SetOnDrop(&done);
        let value = run();
        drop(guard);
        let most = watch.join().expect("the watch doesn't fail");
        (most - before, value)
    })
}

/// Resident memory once it stands still: a thread that runs when nobody else does touches a part of a fresh broker's
/// memory ahead, and what is left of that isn't what an attack costs.
fn settled(broker: &Broker) -> usize {
    let mut before = broker.rss();
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(300));
        let now = broker.rss();
        if now <= before + (256 << 10) {
            return now;
        }
        before = now;
    }
    before
}

/// Sets a flag when it goes, so that a failing test doesn't wait for its own helper for ever.
struct SetOnDrop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
