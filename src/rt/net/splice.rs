//! Sending without a copy: pages of the arena are put into a pipe by reference, and from there into the socket
//! (`vmsplice(2)`, `splice(2)`). What the kernel then refers to must never change; the arena sees to that
//! (`memory::renewal`).
//!
//! `MSG_ZEROCOPY` and its kin in io_uring tell when the kernel is done with a page, but copy all the same where the
//! receiver is on the same machine, and cost a notice for each call elsewhere.
#![expect(unsafe_code, reason = "system calls on descriptors and memory that stay alive while they run")]

use super::sys;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// A pipe that is empty between two calls, and where what the socket didn't take goes.
pub(super) struct Pipe {
    exit: OwnedFd,
    entry: OwnedFd,
    void: OwnedFd,
}

impl Pipe {
    /// A new one. A kernel that refuses it, or what it is for, is told by an error here.
    #[expect(clippy::disallowed_methods, reason = "opens a device that never waits")]
    pub(super) fn open() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: the call writes two descriptors into the array.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both are new, and nobody else closes them.
        let [exit, entry] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let void = OpenOptions::new().write(true).open("/dev/null")?.into();
        let pipe = Pipe { exit, entry, void };
        let entered = pipe.enter(b"try")?;
        pipe.empty(entered)?;
        Ok(pipe)
    }

    /// Sends without waiting as much as the socket takes; with `more`, something follows at once. `None` if it takes
    /// nothing. The socket must not be a waiting one: `splice` heeds that, not its own flag.
    pub(super) fn send(&self, socket: RawFd, bytes: &[u8], more: bool) -> Option<io::Result<usize>> {
        let mut sent = 0;
        while sent < bytes.len() {
            let moved = self.enter(&bytes[sent..]).and_then(|entered| {
                let more = more || sent + entered < bytes.len();
                let left = self.leave(socket, entered, more);
                let taken = *left.as_ref().unwrap_or(&0);
                self.empty(entered - taken)?;
                left.map(|taken| (taken, taken == entered))
            });
            match moved {
                Ok((taken, all)) => {
                    sent += taken;
                    if !all {
                        break;
                    }
                }
                Err(error) => match sys::again(error) {
                    None => break,
                    failed => return failed,
                },
            }
        }
        (sent > 0).then_some(Ok(sent))
    }

    /// Puts the pages of as many bytes as there is room for into the pipe.
    fn enter(&self, bytes: &[u8]) -> io::Result<usize> {
        let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: the vector describes the slice; the kernel refers to its pages and only reads them.
        counted(unsafe {
            libc::vmsplice(self.entry.as_raw_fd(), ptr::from_ref(&part), 1, libc::SPLICE_F_NONBLOCK)
        })
    }

    fn leave(&self, to: RawFd, bytes: usize, more: bool) -> io::Result<usize> {
        let flags = libc::SPLICE_F_NONBLOCK | if more { libc::SPLICE_F_MORE } else { 0 };
        let (from, none) = (self.exit.as_raw_fd(), ptr::null_mut());
        // SAFETY: both descriptors are open, neither has a position. A socket that is closed raises SIGPIPE, which the
        // process ignores from its start on.
        counted(unsafe { libc::splice(from, none, to, none, bytes, flags) })
    }

    /// Forgets what is left in the pipe.
    fn empty(&self, mut bytes: usize) -> io::Result<()> {
        while bytes > 0 {
            bytes -= self.leave(self.void.as_raw_fd(), bytes, false)?;
        }
        Ok(())
    }
}

fn counted(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_the_peer_doesnt_take_is_sent_later_and_nothing_twice() {
        let pipe = Pipe::open().expect("a pipe");
        let (near, mut far) = UnixStream::pair().expect("a pair");
        near.set_nonblocking(true).expect("not waiting");
        let bytes: Vec<u8> = (0..3_000_001u32).map(|at| (at % 251) as u8).collect();
        let (mut sent, mut got) = (7, vec![0; 7]);
        while got.len() < bytes.len() {
            match pipe.send(near.as_raw_fd(), &bytes[sent..], false) {
                Some(taken) => sent += taken.expect("the peer is there"),
                None => {
                    let mut part = vec![0; 100_001];
                    let read = far.read(&mut part).expect("there is something");
                    got.extend_from_slice(&part[..read]);
                }
            }
            if sent == bytes.len() {
                let mut rest = vec![0; bytes.len() - got.len()];
                far.read_exact(&mut rest).expect("the rest was sent");
                got.append(&mut rest);
            }
        }
        assert_eq!((&got[7..], &got[..7]), (&bytes[7..], &[0; 7][..]));
        drop(far);
        assert!(pipe.send(near.as_raw_fd(), &bytes, false).is_some_and(|sent| sent.is_err()));
    }
}
