//! The socket calls: accept, receive (into memory that isn't initialised yet as well), send from many slices, and end a
//! connection in both directions. None of them waits, but for the accepting thread's.
#![expect(unsafe_code, reason = "system calls on descriptors that their callers keep open")]

use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Slices of one `sendmsg`. Linux takes 1024; this many fit the stack and amortise the call.
pub(super) const SLICES_MAX: usize = 128;

/// Receives without waiting. `None` if nothing is there; 0 bytes is the end of the stream.
pub(super) fn receive(fd: RawFd, into: &mut [u8]) -> Option<io::Result<usize>> {
    // SAFETY: the pointer and the length describe the slice; the kernel writes at most so many bytes.
    let got = unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) };
    usize::try_from(got).map_or_else(|_| again(io::Error::last_os_error()), |bytes| Some(Ok(bytes)))
}

/// The same, into the free capacity of `into`, at most `limit` bytes.
pub(super) fn receive_more(fd: RawFd, into: &mut BytesMut, limit: usize) -> Option<io::Result<usize>> {
    let spare = into.chunk_mut();
    let limit = limit.min(spare.len());
    // SAFETY: the pointer and `limit` describe writable memory of the buffer; the kernel writes at most `limit` bytes.
    let got = unsafe { libc::recv(fd, spare.as_mut_ptr().cast(), limit, libc::MSG_DONTWAIT) };
    match usize::try_from(got) {
        Ok(bytes) => {
            // SAFETY: the kernel initialised the first `bytes` of the spare memory, and `bytes <= limit`.
            unsafe { into.advance_mut(bytes) };
            Some(Ok(bytes))
        }
        Err(_) => again(io::Error::last_os_error()),
    }
}

/// Sends without waiting: the first slice from `skip` on, then the others, as far as the socket takes them. With
/// `more`, something follows at once. `None` if it takes nothing.
pub(super) fn send(fd: RawFd, slices: &[Bytes], skip: usize, more: bool) -> Option<io::Result<usize>> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; SLICES_MAX];
    let count = slices.len().min(SLICES_MAX);
    for (index, (vector, slice)) in vectors.iter_mut().zip(&slices[..count]).enumerate() {
        let slice = if index == 0 { &slice[skip..] } else { &slice[..] };
        vector.write(libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() });
    }
    // SAFETY: all zero is a valid message header: no name, no control data, no vectors.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr().cast();
    message.msg_iovlen = count;
    let more = more || count < slices.len();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the first `count` vectors are initialised and describe memory that `slices` keeps alive; the
    // call only reads it.
    let sent = unsafe { libc::sendmsg(fd, ptr::from_ref(&message), flags) };
    match usize::try_from(sent) {
        Ok(bytes) => Some(Ok(bytes)),
        Err(_) => again(io::Error::last_os_error()),
    }
}

/// Ends the connection in both directions; whoever waits on it wakes.
pub(super) fn shutdown(fd: RawFd) {
    // SAFETY: a plain call on a descriptor; a closed connection answers with an error that nobody needs.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// "Nothing now" as `None`. A signal counts as nothing now, too: the caller polls and comes again.
pub(super) fn again<T>(error: io::Error) -> Option<io::Result<T>> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => None,
        _ => Some(Err(error)),
    }
}

/// Accepts without waiting. `None` if nobody connects.
pub(super) fn accept(listener: RawFd) -> Option<io::Result<OwnedFd>> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: a plain call; the peer's address isn't asked for.
    let fd = unsafe { libc::accept4(listener, ptr::null_mut(), ptr::null_mut(), flags) };
    if fd < 0 {
        return again(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and is given away: nobody else closes it.
    Some(Ok(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Waits until either descriptor can be read; true if the second can.
pub(super) fn wait_for_either(first: RawFd, second: RawFd) -> bool {
    let question = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut questions = [question(first), question(second)];
    // SAFETY: the call reads and writes the two entries it is told of. Interrupted, it has answered nothing.
    unsafe { libc::poll(questions.as_mut_ptr(), 2, -1) };
    questions[1].revents != 0
}
