//! What came with a connection besides its frames.

use http::HeaderMap;

/// What the transport's handshake told about a connection.
///
/// It is handed to authentication and, as far as the configuration asks for it, kept for later questions about
/// the connection. Header values are secrets as far as logs are concerned: `Debug` shows names only.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ConnContext {
    /// The headers of the HTTP request that opened the connection. Empty for transports without HTTP.
    pub headers: HeaderMap,
    /// A connect command that came with the request itself rather than in a first frame.
    pub connect: Option<bytes::Bytes>,
}

impl ConnContext {
    /// The context of a connection that came with these headers.
    #[must_use]
    pub const fn new(headers: HeaderMap) -> Self {
        Self { headers, connect: None }
    }
}

impl std::fmt::Debug for ConnContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnContext").field("headers", &self.headers.keys()).finish_non_exhaustive()
    }
}
