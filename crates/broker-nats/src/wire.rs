//! The protocol of NATS: lines of text, and payloads with their lengths in front.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The longest line of a server. What it tells of itself grows with the cluster.
const LINE_LIMIT: usize = 256 * 1024;

/// The largest payload of a message, in bytes: no server is configured for more.
const PAYLOAD_LIMIT: usize = 64 * 1024 * 1024;

/// What a server says.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// Of itself.
    Info(Box<Info>),
    Message(Message),
    Ping,
    Pong,
    /// Something went well that nobody asked about.
    Ok,
    /// What went wrong.
    Error(String),
}

/// A message of a subscription.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    /// The number of the subscription.
    pub(crate) subscription: u64,
    pub(crate) subject: Bytes,
    pub(crate) payload: Bytes,
}

/// What a server tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    pub(crate) version: String,
    /// In bytes.
    pub(crate) max_payload: usize,
    pub(crate) tls_required: bool,
    /// Where others of its cluster are.
    pub(crate) connect_urls: Vec<String>,
}

/// What a client tells of itself.
#[derive(Serialize)]
pub(crate) struct Connect<'a> {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) tls_required: bool,
    pub(crate) name: &'a str,
    pub(crate) lang: &'static str,
    pub(crate) version: &'static str,
    /// Whether what is told of clusters is understood.
    pub(crate) protocol: u8,
    /// Whether own messages come back.
    pub(crate) echo: bool,
    pub(crate) headers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_token: Option<&'a str>,
}

/// What is not the protocol of NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotNats {
    #[error("a line of the server is too long")]
    LongLine,
    #[error("the server says what is not known")]
    Unknown,
    #[error("a message of the server is malformed")]
    Malformed,
    #[error("a message of the server is too large")]
    Large,
}

/// Takes the next thing a server says off the buffer, if it is whole.
pub(crate) fn read(buffer: &mut BytesMut) -> Result<Option<Said>, NotNats> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        return if buffer.len() > LINE_LIMIT { Err(NotNats::LongLine) } else { Ok(None) };
    };
    let line = buffer[..end].trim_ascii_end();
    let (word, rest) = match memchr::memchr2(b' ', b'\t', line) {
        Some(at) => (&line[..at], line[at..].trim_ascii_start()),
        None => (line, &[][..]),
    };
    let said = if word.eq_ignore_ascii_case(b"MSG") {
        return message(buffer, end, false);
    } else if word.eq_ignore_ascii_case(b"HMSG") {
        return message(buffer, end, true);
    } else if word.eq_ignore_ascii_case(b"PING") {
        Said::Ping
    } else if word.eq_ignore_ascii_case(b"PONG") {
        Said::Pong
    } else if word.eq_ignore_ascii_case(b"+OK") {
        Said::Ok
    } else if word.eq_ignore_ascii_case(b"-ERR") {
        Said::Error(String::from_utf8_lossy(rest).trim_matches('\'').to_owned())
    } else if word.eq_ignore_ascii_case(b"INFO") {
        Said::Info(Box::new(serde_json::from_slice(rest).map_err(|_| NotNats::Malformed)?))
    } else {
        return Err(NotNats::Unknown);
    };
    buffer.advance(end + 1);
    Ok(Some(said))
}

/// `MSG subject subscription [reply] length`, or `HMSG subject subscription [reply] length-of-headers length`.
fn message(buffer: &mut BytesMut, end: usize, has_headers: bool) -> Result<Option<Said>, NotNats> {
    let line = std::str::from_utf8(buffer[..end].trim_ascii_end()).map_err(|_| NotNats::Malformed)?;
    let words: Vec<&str> = line.split_ascii_whitespace().skip(1).collect();
    let (subject, subscription, headers, length) = match (has_headers, &words[..]) {
        (false, [subject, subscription, length] | [subject, subscription, _, length]) => {
            (*subject, *subscription, "0", *length)
        }
        (true, [subject, subscription, headers, length] | [subject, subscription, _, headers, length]) => {
            (*subject, *subscription, *headers, *length)
        }
        _ => return Err(NotNats::Malformed),
    };
    let number = |text: &str| text.parse::<usize>().map_err(|_| NotNats::Malformed);
    let (headers, length) = (number(headers)?, number(length)?);
    let subscription = subscription.parse().map_err(|_| NotNats::Malformed)?;
    if length > PAYLOAD_LIMIT {
        return Err(NotNats::Large);
    }
    if headers > length {
        return Err(NotNats::Malformed);
    }
    // The line, the payload, and the end of it.
    let whole = end + 1 + length + 2;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let at = subject.as_ptr() as usize - buffer.as_ptr() as usize;
    let subject = at..at + subject.len();
    let mut message = buffer.split_to(whole).freeze();
    if !message.ends_with(b"\r\n") {
        return Err(NotNats::Malformed);
    }
    let subject = message.slice(subject);
    message.truncate(whole - 2);
    let payload = message.slice(end + 1 + headers..);
    Ok(Some(Said::Message(Message { subscription, subject, payload })))
}

/// What a client says.
pub(crate) trait Say {
    fn connect(&mut self, connect: &Connect<'_>);
    fn ping(&mut self);
    fn pong(&mut self);
    /// `subject` has no white space.
    fn subscribe(&mut self, subject: &str, subscription: u64);
    fn unsubscribe(&mut self, subscription: u64);
    /// `subject` has no white space.
    fn publish(&mut self, subject: &str, payload: &[u8]);
}

impl Say for BytesMut {
    fn connect(&mut self, connect: &Connect<'_>) {
        self.put_slice(b"CONNECT ");
        // Into memory, and with text keys only, serialising cannot fail.
        self.put_slice(&serde_json::to_vec(connect).unwrap_or_default());
        self.put_slice(b"\r\n");
    }

    fn ping(&mut self) {
        self.put_slice(b"PING\r\n");
    }

    fn pong(&mut self) {
        self.put_slice(b"PONG\r\n");
    }

    fn subscribe(&mut self, subject: &str, subscription: u64) {
        self.reserve(subject.len() + 32);
        self.put_slice(b"SUB ");
        self.put_slice(subject.as_bytes());
        self.put_slice(b" ");
        self.put_slice(subscription.to_string().as_bytes());
        self.put_slice(b"\r\n");
    }

    fn unsubscribe(&mut self, subscription: u64) {
        self.put_slice(b"UNSUB ");
        self.put_slice(subscription.to_string().as_bytes());
        self.put_slice(b"\r\n");
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.reserve(subject.len() + payload.len() + 32);
        self.put_slice(b"PUB ");
        self.put_slice(subject.as_bytes());
        self.put_slice(b" ");
        self.put_slice(payload.len().to_string().as_bytes());
        self.put_slice(b"\r\n");
        self.put_slice(payload);
        self.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Said>, NotNats> {
        let mut buffer = BytesMut::from(text);
        let mut said = Vec::new();
        while let Some(one) = read(&mut buffer)? {
            said.push(one);
        }
        Ok(said)
    }

    fn message(subscription: u64, subject: &'static str, payload: &'static str) -> Said {
        let (subject, payload) = (Bytes::from(subject), Bytes::from(payload));
        Said::Message(Message { subscription, subject, payload })
    }

    const TALK: &[u8] = b"INFO {\"version\":\"2.9\",\"max_payload\":7,\"connect_urls\":[\"a:1\"],\"more\":{}} \r\n\
        PING\r\npong\r\n+OK\r\n-ERR 'Unknown Protocol Operation'\r\nMSG a.b 9 2\r\nhi\r\nMSG\tc  10  _INBOX.1   0\r\n\r\n\
        HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHMSG a 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n";

    fn expected() -> Vec<Said> {
        let info = Info {
            version: "2.9".to_owned(),
            max_payload: 7,
            connect_urls: vec!["a:1".to_owned()],
            ..Info::default()
        };
        vec![
            Said::Info(Box::new(info)),
            Said::Ping,
            Said::Pong,
            Said::Ok,
            Said::Error("Unknown Protocol Operation".to_owned()),
            message(9, "a.b", "hi"),
            message(10, "c", ""),
            message(1, "a", "hi"),
            message(1, "a", ""),
        ]
    }

    #[test]
    fn what_servers_say_is_understood() {
        assert_eq!(all(TALK), Ok(expected()));
    }

    #[test]
    fn what_is_not_nats_is_refused() {
        for (text, error) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], NotNats::Unknown),
            (b"MSG a 1\r\n", NotNats::Malformed),
            (b"MSG a x 0\r\n\r\n", NotNats::Malformed),
            (b"MSG a 1 x\r\n\r\n", NotNats::Malformed),
            (b"MSG a 1 r r 0\r\n\r\n", NotNats::Malformed),
            (b"MSG a 1 2\r\nhi..", NotNats::Malformed),
            (b"MSG a 1 67108865\r\n", NotNats::Large),
            (b"HMSG a 1 3 2\r\nhi\r\n", NotNats::Malformed),
            (b"MSG \xff 1 0\r\n\r\n", NotNats::Malformed),
            (b"INFO x\r\n", NotNats::Malformed),
        ] {
            assert_eq!(all(text), Err(error), "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(all(&vec![b'a'; LINE_LIMIT + 1]), Err(NotNats::LongLine));
    }

    #[test]
    fn what_is_said_is_what_servers_read() {
        let mut out = BytesMut::new();
        out.subscribe("a.*", 7);
        out.unsubscribe(7);
        out.publish("a.b", b"hi");
        out.publish("a", b"");
        out.ping();
        out.pong();
        assert_eq!(&out[..], b"SUB a.* 7\r\nUNSUB 7\r\nPUB a.b 2\r\nhi\r\nPUB a 0\r\n\r\nPING\r\nPONG\r\n");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_is_cut(cuts in prop::collection::vec(1..20_usize, 1..200)) {
            let (mut buffer, mut said, mut rest) = (BytesMut::new(), Vec::new(), TALK);
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let (next, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                buffer.extend_from_slice(next);
                rest = after;
                while let Some(one) = read(&mut buffer).expect("sound") {
                    said.push(one);
                }
            }
            prop_assert_eq!(said, expected());
        }

        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _ = all(&bytes);
            let _ = all(&[b"MSG ", &bytes[..], b"\r\n"].concat());
        }
    }
}
