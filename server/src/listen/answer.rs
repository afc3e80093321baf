//! Answers of HTTP/1.1 as bytes, for what is answered without the HTTP library.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use tourbillon::types::SystemClock;
use tourbillon::websocket::TcpUpgrade;
use tourbillon_api::Plain;

use crate::router::Answer;

/// What the head of an answer may take, as a rule.
const HEAD: usize = 256;

/// An answer of the API; with word of it if it is the `last` of its connection.
pub(super) fn of_plain(plain: &Plain, last: bool) -> Vec<u8> {
    let mut to = begun(plain.status, plain.body.len());
    field(&mut to, b"content-type", plain.content_type.as_bytes());
    if last {
        field(&mut to, b"connection", b"close");
    }
    length(&mut to, plain.body.len());
    ended(&mut to);
    to.extend_from_slice(&plain.body);
    to
}

/// An answer to a handshake that is agreed upon.
pub(super) fn of_upgrade<A>(upgrade: &TcpUpgrade<A>) -> Vec<u8> {
    let mut to = begun(StatusCode::SWITCHING_PROTOCOLS, 0);
    upgrade.each_header(|name, value| field(&mut to, name.as_str().as_bytes(), value));
    ended(&mut to);
    to
}

/// An answer that refuses a handshake.
pub(super) fn of_response(answer: Answer) -> Vec<u8> {
    let (head, mut body) = answer.into_parts();
    // It is there, so nothing is waited for.
    let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
    let body = match frame {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Poll::Ready(None) | Poll::Pending => Bytes::new(),
    };
    let mut to = begun(head.status, body.len());
    for (name, value) in &head.headers {
        field(&mut to, name.as_str().as_bytes(), value.as_bytes());
    }
    length(&mut to, body.len());
    ended(&mut to);
    to.extend_from_slice(&body);
    to
}

fn begun(status: StatusCode, body: usize) -> Vec<u8> {
    let mut to = Vec::with_capacity(HEAD + body);
    if status == StatusCode::OK {
        to.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return to;
    }
    to.extend_from_slice(b"HTTP/1.1 ");
    to.extend_from_slice(status.as_str().as_bytes());
    to.push(b' ');
    to.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    to.extend_from_slice(b"\r\n");
    to
}

fn field(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

fn length(to: &mut Vec<u8>, mut length: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(length % 10).unwrap_or_default();
        used += 1;
        length /= 10;
        if length == 0 {
            break;
        }
    }
    field(to, b"content-length", digits.get(digits.len() - used..).unwrap_or_default());
}

fn ended(to: &mut Vec<u8>) {
    dated(|date| field(to, b"date", date));
    to.extend_from_slice(b"\r\n");
}

thread_local! {
    /// The second since 1970, and what it is called in HTTP.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

fn dated(work: impl FnOnce(&[u8])) {
    let now = u64::try_from(SystemClock::unix_millis() / 1000).unwrap_or_default();
    DATE.with_borrow_mut(|(second, date)| {
        if *second != now || date.is_empty() {
            *second = now;
            *date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
        }
        work(date.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    /// Without the line of the date.
    fn text(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let dated = text.lines().filter(|line| line.starts_with("date: ") && line.ends_with(" GMT")).count();
        assert_eq!(dated, 1, "{text}");
        text.split_inclusive('\n').filter(|line| !line.starts_with("date: ")).collect()
    }

    #[test]
    fn answers_say_how_long_they_are() {
        for size in [0, 9, 10, 12_345] {
            let answer = Answer::new(Full::new(Bytes::from(vec![b'x'; size])));
            let told = text(&of_response(answer));
            assert_eq!(
                told,
                format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{}", "x".repeat(size))
            );
        }
    }
}
