//! What calls bring along.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::form::PREFIX;
use crate::status::{Code, Status};

/// What the body of a request may fail with.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Reads the one message of a call. What comes after it is not waited for.
///
/// # Errors
///
/// How the call ends. A message that is too large is refused by its length, before it is read.
pub(crate) async fn message<B>(body: B, limit: usize, patience: Duration) -> Result<Bytes, Status>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let read = timeout(patience, read(body, limit)).await;
    read.unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, "the message did not arrive in time")))
}

async fn read<B>(body: B, limit: usize) -> Result<Bytes, Status>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut buffer = BytesMut::new();
    loop {
        if let Some((prefix, rest)) = buffer.split_first_chunk::<PREFIX>() {
            let [compressed, length @ ..] = *prefix;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if compressed != 0 {
                let text = "the message is compressed, and no compression was agreed upon";
                return Err(Status::new(Code::Unimplemented, text));
            }
            if length > limit {
                let text = format!("the message has {length} bytes, {limit} are allowed");
                return Err(Status::new(Code::ResourceExhausted, text));
            }
            if rest.len() >= length {
                buffer.advance(PREFIX);
                return Ok(buffer.split_to(length).freeze());
            }
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    append(&mut buffer, data);
                }
            }
            Some(Err(error)) => {
                let error: BoxError = error.into();
                tracing::debug!(error = &*error as &dyn Error, "a call's message broke off");
                return Err(Status::new(Code::InvalidArgument, "the message is not whole"));
            }
            None => return Err(Status::new(Code::InvalidArgument, "the call has no whole message")),
        }
    }
}

fn append(buffer: &mut BytesMut, mut data: impl Buf) {
    while data.has_remaining() {
        let chunk = data.chunk();
        let length = chunk.len();
        buffer.extend_from_slice(chunk);
        data.advance(length);
    }
}

/// The time that the client gives the call: a number of at most eight digits and a unit. `None`: any time.
pub(crate) fn time_limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let unit = text.get(text.len().checked_sub(1)?..)?;
    let digits = text.strip_suffix(unit)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn limit_of(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_str(text).ok()?);
        time_limit(&headers)
    }

    #[test]
    fn time_limits() {
        for (text, limit) in [
            ("1H", Some(3_600_000)),
            ("99999999M", Some(5_999_999_940_000)),
            ("2S", Some(2_000)),
            ("250m", Some(250)),
            ("1000u", Some(1)),
            ("1000000n", Some(1)),
            ("0m", Some(0)),
            ("", None),
            ("S", None),
            ("+1S", None),
            ("1", None),
            ("1s", None),
            ("100000000S", None),
            ("1 S", None),
        ] {
            assert_eq!(limit_of(text), limit.map(Duration::from_millis), "{text}");
        }
        assert_eq!(time_limit(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_limit_or_none(text in "\\PC{0,12}") {
            limit_of(&text);
        }
    }
}
