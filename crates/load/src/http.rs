//! As much of HTTP/1.1 as answers of an API need: bodies with a Content-Length, or in chunks.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use crate::fleet::Ended;
use crate::target::Endpoint;

/// A request to a server API. `base` is the address in front of the methods' names.
#[must_use]
pub fn request(base: &Endpoint, key: &str, method: &str, body: &str) -> String {
    let path = base.path.trim_end_matches('/');
    format!(
        "POST {path}/{method} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        base.host,
        body.len()
    )
}

/// Makes one request on a connection of its own and waits for the answer's body. For what has to be there before a load.
///
/// # Errors
///
/// The operating system's, or what the server said if it is not status 200 without an error.
pub fn post(base: &Endpoint, key: &str, method: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(base.address)?;
    stream.write_all(request(base, key, method, body).as_bytes())?;
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let length = stream.read(&mut part)?;
        bytes.extend_from_slice(part.get(..length).unwrap_or_default());
        let mut answer = None;
        bodies(&bytes, |body| answer = Some(String::from_utf8_lossy(body).into_owned()))
            .map_err(io::Error::other)?;
        match answer {
            Some(text) if text.contains("\"error\":") => {
                return Err(io::Error::other(format!("{method}: {text}")));
            }
            Some(text) => return Ok(text),
            None if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code; 0 if the first line is not one of HTTP/1.1.
    pub status: u16,
    /// Bytes of the head with its empty line.
    pub length: usize,
    /// Bytes of the body; 0 if it comes in chunks.
    pub body: usize,
    /// Whether the body comes in chunks, as a server sends one whose length it does not know yet.
    pub chunked: bool,
}

/// The head at the start of `bytes`, or `None` when it is not complete yet.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<Head> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(bytes.get(..end)?).unwrap_or_default();
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()).unwrap_or(0);
    let (mut body, mut chunked) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = value.trim().parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    Some(Head { status, length: end, body, chunked })
}

/// Hands every whole body with status 200 to `take`, and returns how many bytes the answers took.
///
/// # Errors
///
/// [`Ended::Status`] for another status.
pub fn bodies(bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, Ended> {
    let mut used = 0;
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some(head) = head(rest) else { return Ok(used) };
        let Some((body, length)) = body(&head, rest.get(head.length..).unwrap_or_default())? else {
            return Ok(used);
        };
        if head.status != 200 {
            return Err(Ended::Status(format!("status {}: {}", head.status, String::from_utf8_lossy(&body))));
        }
        take(&body);
        used += head.length + length;
    }
}

/// A body, and how many bytes it took.
type Measured<'a> = (Cow<'a, [u8]>, usize);

/// The body at the start of `bytes` and how many of them it took, or `None` when it is not complete yet.
fn body<'a>(head: &Head, bytes: &'a [u8]) -> Result<Option<Measured<'a>>, Ended> {
    if !head.chunked {
        return Ok(bytes.get(..head.body).map(|body| (Cow::Borrowed(body), head.body)));
    }
    let mut body = Vec::new();
    let (used, over) = chunks(bytes, |chunk| body.extend_from_slice(chunk));
    let Some(rest) = bytes.get(used..).filter(|_| over) else { return Ok(None) };
    // Trailers are never sent where nobody asked for them.
    match LAST_CHUNK {
        last if rest.starts_with(last) => Ok(Some((Cow::Owned(body), used + last.len()))),
        last if last.starts_with(rest) => Ok(None),
        _ => Err(Ended::Status("a body whose chunks are damaged".to_owned())),
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Hands every whole chunk of a body to `take`, and returns how many bytes they took and whether there are no more:
/// the last came, or what is no chunk.
pub fn chunks(bytes: &[u8], mut take: impl FnMut(&[u8])) -> (usize, bool) {
    let mut used = 0;
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some(line) = rest.iter().position(|byte| *byte == b'\n') else { return (used, rest.len() > 18) };
        let size = rest.get(..line).and_then(|line| std::str::from_utf8(line).ok());
        let size = size.and_then(|line| usize::from_str_radix(line.trim_end(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { return (used, true) };
        let begin = line + 1;
        // With the end of its line.
        let Some(chunk) = rest.get(begin..begin.saturating_add(size).saturating_add(2)) else {
            return (used, false);
        };
        take(chunk.get(..size).unwrap_or_default());
        used += begin + size + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_out_one_by_one() {
        let mut seen = Vec::new();
        let bytes = b"2\r\n{}\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n3\r\nab";
        let (used, over) = chunks(bytes, |chunk| seen.push(chunk.to_vec()));
        assert_eq!(seen, [b"{}".to_vec(), b"abcdefghijklmnopqrstuvwxyz".to_vec()]);
        assert_eq!((&bytes[used..], over), (&b"3\r\nab"[..], false));
        assert_eq!(chunks(b"0\r\n\r\n", |_| ()), (0, true));
        assert_eq!(chunks(b"x\r\n", |_| ()), (0, true));
        assert_eq!(chunks(b"1", |_| ()), (0, false));
    }

    #[test]
    fn answers_come_out_one_by_one() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\nabcHTTP";
        let mut seen = Vec::new();
        let used = bodies(bytes, |body| seen.push(body.to_vec())).expect("good");
        assert_eq!(seen, [b"{}".to_vec(), b"abc".to_vec()]);
        assert_eq!(&bytes[used..], b"HTTP");
    }

    #[test]
    fn answers_in_chunks_are_whole_bodies_and_wait_for_their_end() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = format!("{head}3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n{head}0\r\n\r\nHTTP");
        let seen = |bytes: &[u8]| {
            let mut seen = Vec::new();
            bodies(bytes, |body| seen.push(String::from_utf8_lossy(body).into_owned()))
                .map(|used| (used, seen))
        };
        let first = bytes.find("\r\n0\r\n\r\n").expect("an end") + 7;
        for cut in 0..first {
            assert_eq!(seen(&bytes.as_bytes()[..cut]).expect("good"), (0, Vec::new()), "{cut}");
        }
        let both = vec!["abc0123456789".to_owned(), String::new()];
        assert_eq!(seen(bytes.as_bytes()).expect("good"), (bytes.len() - 4, both));
        assert!(seen(format!("{head}0\r\nnope").as_bytes()).is_err());
        assert!(seen(format!("{head}nope\r\n").as_bytes()).is_err());
    }

    #[test]
    fn another_status_ends_it() {
        let error =
            bodies(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope", |_| ()).expect_err("401");
        assert_eq!(error.to_string(), "the server answered with status 401: nope");
    }
}
