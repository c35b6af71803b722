//! Pages for operators: HTTP/1.1 GET on a thread of its own, one request at a time, so that no shard is held up.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the thread and its socket belong to rt"
)]

use super::net::ListenError;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of a request's head. What scrapers and browsers send is far below.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long a client may take to ask, and to take the answer: others wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an asker waits for a piece of an answer: a broker may be stopped.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Pause after a failed accept (no descriptors left): trying again at once would only burn the core.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer: its media type and its body.
pub struct Page {
    /// As in the header `Content-Type`.
    pub media_type: &'static str,
    /// The body.
    pub body: String,
}

/// A connection, of either kind.
trait Client: Read + Write {
    fn read_within(&self, time: Duration) -> io::Result<()>;
    fn write_within(&self, time: Duration) -> io::Result<()>;
}

macro_rules! client {
    ($stream:ty) => {
        impl Client for $stream {
            fn read_within(&self, time: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(time))
            }

            fn write_within(&self, time: Duration) -> io::Result<()> {
                self.set_write_timeout(Some(time))
            }
        }
    };
}

client!(TcpStream);
client!(UnixStream);

/// Serves pages over TCP until the process ends. `page` gets the path of each GET and answers `None` for "not found".
///
/// # Errors
/// The address isn't ours, is in use, or needs rights.
pub fn serve_pages(
    address: SocketAddr,
    page: impl FnMut(&str) -> Option<Page> + Send + 'static,
) -> Result<SocketAddr, ListenError> {
    let failed = |error| ListenError { address, error };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    serve(move || listener.accept().map(|(client, _)| client), page).map_err(failed)?;
    Ok(bound)
}

/// The same on a socket in the file system, for whoever may open it. One that a former process left is replaced.
///
/// # Errors
/// The path is longer than a socket's may be (107 bytes), or can't be made.
pub fn serve_pages_at(
    path: &Path,
    page: impl FnMut(&str) -> Option<Page> + Send + 'static,
) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    serve(move || listener.accept().map(|(client, _)| client), page)
}

/// Asks for a page on such a socket: its body.
///
/// # Errors
/// Nobody serves there, or there is no such page.
pub fn ask_page(path: &Path, page: &str) -> io::Result<String> {
    get(UnixStream::connect(path)?, page)
}

/// The same over TCP. One address is tried after the other, and none is waited for longer than `ANSWER_MAX`.
///
/// # Errors
/// Nobody serves there, it takes too long, or there is no such page.
pub fn ask_page_at(address: &str, page: &str) -> io::Result<String> {
    let mut failed = io::ErrorKind::NotFound.into();
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_MAX) {
            Ok(socket) => return get(socket, page),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn get(mut socket: impl Client, page: &str) -> io::Result<String> {
    socket.read_within(ANSWER_MAX)?;
    socket.write_all(format!("GET {page} HTTP/1.1\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer.lines().next().unwrap_or("no answer").to_owned())),
    }
}

fn serve<C: Client>(
    mut accept: impl FnMut() -> io::Result<C> + Send + 'static,
    mut page: impl FnMut(&str) -> Option<Page> + Send + 'static,
) -> io::Result<()> {
    let run = move || loop {
        match accept() {
            // A client that breaks off, or takes too long, has nobody to blame but itself.
            Ok(client) => drop(answer(client, &mut page)),
            Err(_) => std::thread::sleep(PAUSE),
        }
    };
    // The thread must not be the one that a signal ends: it inherits the mask that holds here.
    let _signals = super::stop::Signals::block();
    std::thread::Builder::new().name("pages".to_owned()).spawn(run)?;
    Ok(())
}

fn answer(mut client: impl Client, page: &mut impl FnMut(&str) -> Option<Page>) -> io::Result<()> {
    client.write_within(PATIENCE)?;
    let head = read_head(&mut client)?;
    let mut words = head.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, page) = if method == b"GET" {
        match std::str::from_utf8(path).ok().and_then(page) {
            Some(page) => ("200 OK", page),
            None => ("404 Not Found", told("There is no such page.\n")),
        }
    } else {
        ("405 Method Not Allowed\r\nAllow: GET", told("Only GET is answered.\n"))
    };
    let (kind, length) = (page.media_type, page.body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(page.body.as_bytes())
}

fn told(text: &str) -> Page {
    Page { media_type: "text/plain; charset=utf-8", body: text.to_owned() }
}

/// Reads to the empty line. Requests with a body are refused by their method, so nothing behind it matters.
fn read_head(client: &mut impl Client) -> io::Result<Vec<u8>> {
    let (mut head, until) = (Vec::new(), Instant::now() + PATIENCE);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if head.len() >= HEAD_BYTES_MAX || left.is_zero() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        client.read_within(left)?;
        let mut piece = [0; 1024];
        let bytes = client.read(&mut piece)?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&piece[..bytes]);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::testing::Scratch;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn pages_are_found_by_path_and_others_told_so() {
        let page = |path: &str| (path == "/numbers").then(|| told("42\n"));
        let address = serve_pages("127.0.0.1:0".parse().unwrap(), page).unwrap();
        let answer = ask(address, "GET /numbers?all HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n")
                && answer.ends_with("Length: 3\r\nConnection: close\r\n\r\n42\n")
        );
        assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /numbers HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert_eq!(ask(address, &"x".repeat(2 * HEAD_BYTES_MAX)), "", "no end of it");
        assert!(ask(address, "GET /numbers HTTP/1.0\r\n\r\n").ends_with("42\n"), "it still serves");
        assert_eq!(ask_page_at(&address.to_string(), "/numbers").unwrap(), "42\n");
        assert!(ask_page_at(&address.to_string(), "/letters").unwrap_err().to_string().contains("404"));
        assert!(serve_pages(address, page).is_err(), "the address is taken");
    }

    #[test]
    fn a_socket_in_the_file_system_serves_too() {
        let scratch = Scratch::new("pages");
        let path = scratch.0.join("pages.sock");
        for number in ["1\n", "2\n"] {
            serve_pages_at(&path, move |path| (path == "/numbers").then(|| told(number))).unwrap();
            assert_eq!(ask_page(&path, "/numbers").unwrap(), number, "the newer one replaces the older");
        }
        assert!(ask_page(&path, "/letters").unwrap_err().to_string().contains("404"));
        let long = scratch.0.join("x".repeat(120));
        assert!(serve_pages_at(&long, |_| None).is_err());
    }
}
