//! Processes that this one starts and that end with it: a cluster on one machine, for people who try it.
#![expect(unsafe_code, reason = "kill and prctl have no safe wrapper in std")]
#![expect(clippy::disallowed_types, reason = "their output goes to files")]

use super::stop::Signals;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Time between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(50);

/// The processes.
pub struct Children {
    signals: Signals,
    running: Vec<(String, Child)>,
}

impl Default for Children {
    fn default() -> Self {
        Children { signals: Signals::block(), running: Vec::new() }
    }
}

impl Children {
    /// Starts a process whose output goes to a file. It doesn't get the terminal's Ctrl-C, and is asked to stop when
    /// this process dies.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(&mut self, name: &str, program: &Path, args: &[String], output: File) -> io::Result<()> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        // SAFETY: between fork and exec only system calls are made, which allocate nothing; a set of signals is plain
        // memory.
        unsafe {
            command.pre_exec(|| {
                // Signals that this process holds back for `Signals` would be held back there as well, for good.
                let mut none: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut none);
                let unblocked = libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
                match (unblocked, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM)) {
                    (0, 0) => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            })
        };
        self.running.push((name.to_owned(), command.spawn()?));
        Ok(())
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits a moment; true if this process was asked to stop meanwhile.
    #[must_use]
    pub fn pause(&self) -> bool {
        self.signals.take(PAUSE)
    }

    /// Those that have ended since the last call, and how.
    pub fn ended(&mut self) -> Vec<(String, ExitStatus)> {
        let mut ended = Vec::new();
        self.running.retain_mut(|(name, child)| match child.try_wait() {
            Ok(Some(status)) => {
                ended.push((name.clone(), status));
                false
            }
            _ => true,
        });
        ended
    }

    /// Asks all that are left to stop (SIGTERM).
    pub fn ask_to_stop(&self) {
        for (_, child) in &self.running {
            if let Ok(pid) = libc::pid_t::try_from(child.id()) {
                // SAFETY: a plain call. The process is a child that nobody has waited for, so its id is still its own.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
        }
    }

    /// Ends all that are left at once (SIGKILL).
    pub fn kill(&mut self) {
        for (_, child) in &mut self.running {
            // One that has ended by itself needs no more.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.running.clear();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test looks at files")]
mod tests {
    use super::*;
    use crate::rt::testing::Scratch;

    fn output(scratch: &Scratch, name: &str) -> File {
        File::create(scratch.0.join(name)).unwrap()
    }

    #[test]
    fn children_are_heard_asked_to_stop_and_killed() {
        let scratch = Scratch::new("children");
        let shell = Path::new("/bin/sh");
        let run = |script: &str| vec!["-c".to_owned(), script.to_owned()];
        let mut children = Children::default();
        children.start("short", shell, &run("echo said; exit 3"), output(&scratch, "short")).unwrap();
        children.start("long", shell, &run("exec sleep 1000"), output(&scratch, "long")).unwrap();
        children
            .start("deaf", shell, &run("trap '' TERM; while :; do sleep 0.1; done"), output(&scratch, "deaf"))
            .unwrap();
        let mut ended = Vec::new();
        while ended.is_empty() {
            assert!(!children.pause());
            ended = children.ended();
        }
        assert_eq!((ended[0].0.as_str(), ended[0].1.code()), ("short", Some(3)));
        assert_eq!(std::fs::read_to_string(scratch.0.join("short")).unwrap(), "said\n");
        children.ask_to_stop();
        ended.clear();
        while ended.is_empty() {
            let _ = children.pause();
            ended = children.ended();
        }
        assert_eq!((ended.len(), ended[0].0.as_str()), (1, "long"));
        children.kill();
        assert!(children.is_empty());
    }
}
