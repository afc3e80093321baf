//! The seam to the application: whoever knows what the keys of a polled channel hold.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tourbillon_types::{Channel, Epoch, Payload};

/// The application, asked for the values of keys (PRX-35).
///
/// One question is about one channel and has at most [`refresh_batch_size`](crate::PollRules::refresh_batch_size) keys.
/// It is asked for the node, not for a client: there is nobody's token or header to pass on. A node asks several
/// questions at once, never two about the same key.
///
/// Implementers write an `async fn`; a node holds the object-safe mirror, [`DynBackend`], which every implementation has
/// for free.
///
/// ```
/// use tourbillon_shared_poll::{Backend, BackendError, Refresh, Refreshed, Value};
///
/// #[derive(Debug)]
/// struct Prices;
///
/// impl Backend for Prices {
///     async fn refresh(&self, refresh: Refresh) -> Result<Refreshed, BackendError> {
///         let values = refresh.items.iter().map(|item| Value::new(&*item.key, "12.5".into())).collect();
///         Ok(Refreshed { values, ..Refreshed::default() })
///     }
/// }
/// ```
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What the keys hold now. A key that the answer does not name is as it was; a value of a key that was not asked
    /// about is ignored. The node adds a deadline of its own.
    ///
    /// # Errors
    ///
    /// Why there is no answer. Nothing changes then, and the keys are asked about again in the next cycle.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when its deadline passes or the node stops.
    fn refresh(&self, refresh: Refresh) -> impl Future<Output = Result<Refreshed, BackendError>> + Send;
}

/// A question to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The channel.
    pub channel: Channel,
    /// The keys, each once.
    pub items: Vec<Item>,
}

/// A key, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Arc<str>,
    /// The version that the node has; 0 for none, and when the value is wanted whether it changed or not. Always 0 in
    /// channels without versions of the application's own.
    pub version: u64,
}

/// The application's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// What is known of the keys.
    pub values: Vec<Value>,
    /// To what the versions belong: when it becomes another, versions begin anew (SP-10). An unknown one says nothing.
    /// Not looked at in channels without versions of the application's own.
    pub epoch: Epoch,
}

/// What a key holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The key.
    pub key: String,
    /// What it holds.
    pub data: Payload,
    /// The version of that; 0 where the application keeps none.
    pub version: u64,
    /// The key is no more. Nobody tracks it from then on (SP-13).
    pub removed: bool,
    /// What the key held at the version that the question named, for deltas; empty when it is not told.
    pub prev_data: Payload,
}

impl Value {
    /// A value without a version.
    #[must_use]
    pub fn new(key: impl Into<String>, data: Payload) -> Self {
        Self { key: key.into(), data, ..Self::default() }
    }

    /// A value with its version.
    #[must_use]
    pub fn versioned(key: impl Into<String>, data: Payload, version: u64) -> Self {
        Self { version, ..Self::new(key, data) }
    }

    /// A key that is no more.
    #[must_use]
    pub fn removed(key: impl Into<String>) -> Self {
        Self { removed: true, ..Self::new(key, Payload::empty()) }
    }
}

/// Why the application gave no answer. The text is for logs: it must hold neither payloads nor secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(pub String);

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe mirror of [`Backend`].
pub trait DynBackend: fmt::Debug + Send + Sync + 'static {
    /// See [`Backend::refresh`].
    fn refresh(&self, refresh: Refresh) -> BoxFuture<'_, Result<Refreshed, BackendError>>;
}

impl<B: Backend> DynBackend for B {
    fn refresh(&self, refresh: Refresh) -> BoxFuture<'_, Result<Refreshed, BackendError>> {
        Box::pin(Backend::refresh(self, refresh))
    }
}
