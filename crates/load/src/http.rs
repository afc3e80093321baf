//! As much of HTTP/1.1 as answers of an API need: heads with a Content-Length.

use crate::fleet::Ended;

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

#[cfg(test)]
mod tests {
    use super::*;

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
