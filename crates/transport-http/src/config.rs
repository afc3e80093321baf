//! How the services behave.

use std::time::Duration;

use http::StatusCode;
use tourbillon_transport::OriginPolicy;

/// How a service behaves. Defaults are Centrifugo's (`http_stream.*`, `sse.*`, `emulation.*`, `uni_*`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Which pages may read the answers (HTTP-04, ORI-01..03). Default: none.
    pub origins: OriginPolicy,
    /// The largest body of a request, in bytes. Default 65,536.
    pub max_request_body_size: usize,
    /// Time within which the body of a request must be there. Default 30 s (HTTP-01).
    pub body_timeout: Duration,
    /// How refused connects are answered on the unidirectional endpoints: by the first entry for the error's or the
    /// disconnect's code, else by 500 (UNI-09). `None`: by a disconnect push within a stream (UNI-08). The default.
    pub connect_errors: Option<Vec<ErrorResponse>>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            origins: OriginPolicy::default(),
            max_request_body_size: 65_536,
            body_timeout: Duration::from_secs(30),
            connect_errors: None,
        }
    }
}

/// How a connect that was refused with a certain code is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The code of the error or of the disconnect.
    pub code: u32,
    /// The HTTP status.
    pub status: StatusCode,
    /// The body; empty for the error's message or the disconnect's reason.
    pub body: String,
}
