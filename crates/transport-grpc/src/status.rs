//! How calls end.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::GrpcBody;

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// The codes of GRPC that this service has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
}

/// What stands for itself in a message, by the rules of GRPC over HTTP/2: printable ASCII but the percent sign.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

impl Status {
    pub(crate) const OK: Self = Self { code: Code::Ok, message: String::new() };

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same as trailers.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(self.code as u16));
        if !self.message.is_empty()
            && let Ok(message) =
                HeaderValue::try_from(utf8_percent_encode(&self.message, ESCAPED).to_string())
        {
            trailers.insert(HeaderName::from_static("grpc-message"), message);
        }
        trailers
    }

    /// The answer to a call that comes to nothing else: its trailers are its head.
    pub(crate) fn answer(&self) -> Response<GrpcBody> {
        let mut answer = Response::new(GrpcBody::empty());
        *answer.headers_mut() = self.trailers();
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_escaped() {
        let trailers = Status::new(Code::InvalidArgument, "100 % \u{e9}\n").trailers();
        assert_eq!(trailers["grpc-status"], "3");
        assert_eq!(trailers["grpc-message"], "100 %25 %C3%A9%0A");
        assert!(!Status::OK.trailers().contains_key("grpc-message"));
    }
}
