//! What came with a connection besides its frames.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use tourbillon_types::{Channel, StreamPosition};

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
    /// Where the client stood in its channels when it was here before, if the transport has a way of its own by which
    /// clients say so, made of the [marks](tourbillon_types::Mark) of messages. Its subscriptions recover from there, as
    /// if it had asked for that as it connects; of channels that it does not get then it is ignored.
    pub resume: Vec<(Channel, StreamPosition)>,
    /// What is to last as long as the connection does.
    pub held: Option<Held>,
}

/// A value that ends with a connection, such as its place among a limited number. Whoever lets a connection in puts it
/// into the extensions of its HTTP request; services hand it on, and what serves the connection drops it.
#[derive(Clone)]
pub struct Held {
    // Boxed so that a connection has one word for it.
    _value: Arc<Box<dyn Any + Send + Sync>>,
}

impl Held {
    /// Holds a value.
    #[must_use]
    pub fn new(value: impl Any + Send + Sync) -> Self {
        Self { _value: Arc::new(Box::new(value)) }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl ConnContext {
    /// The context of a connection that came with these headers.
    #[must_use]
    pub const fn new(headers: HeaderMap) -> Self {
        Self { headers, connect: None, resume: Vec::new(), held: None }
    }
}

impl fmt::Debug for ConnContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnContext").field("headers", &self.headers.keys()).finish_non_exhaustive()
    }
}

/// Headers that are kept for as long as a connection lasts. Where there are none, as in most programs, they take one
/// word; an empty [`HeaderMap`] takes twelve. Read like the map itself.
#[derive(Clone, Default)]
pub struct KeptHeaders(Option<Box<HeaderMap>>);

impl From<HeaderMap> for KeptHeaders {
    fn from(headers: HeaderMap) -> Self {
        Self((!headers.is_empty()).then(|| Box::new(headers)))
    }
}

impl Deref for KeptHeaders {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        self.0.as_deref().unwrap_or_else(|| &NONE)
    }
}

impl fmt::Debug for KeptHeaders {
    /// The names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}
