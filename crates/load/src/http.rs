//! As much of HTTP/1.1 as answers of an API need: heads with a Content-Length.

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
    /// Bytes of the body.
    pub body: usize,
}

/// The head at the start of `bytes`, or `None` when it is not complete yet.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<Head> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(bytes.get(..end)?).unwrap_or_default();
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()).unwrap_or(0);
    let body = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    Some(Head { status, length: end, body })
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
        let Some(body) = rest.get(head.length..head.length + head.body) else { return Ok(used) };
        if head.status != 200 {
            return Err(Ended::Status(format!("status {}: {}", head.status, String::from_utf8_lossy(body))));
        }
        take(body);
        used += head.length + head.body;
    }
}

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
    fn another_status_ends_it() {
        let error =
            bodies(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope", |_| ()).expect_err("401");
        assert_eq!(error.to_string(), "the server answered with status 401: nope");
    }
}
