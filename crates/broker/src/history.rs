//! The streams of channels: what was published, and where it stands.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{Channel, HistoryQuery, Page, StreamPosition};

use crate::{BoxFuture, BrokerError};

/// Reads what [`Broker::publish`](crate::Broker::publish) kept.
///
/// What a channel keeps is said with each publication ([`HistoryPolicy`](tourbillon_types::HistoryPolicy)); here only
/// `meta_ttl` is, because in most implementations being read prolongs the life of a position (HID-92).
///
/// All methods may be dropped half way. Reading again is always safe, and so is removing again.
pub trait History: Debug + Send + Sync + 'static {
    /// Answers a query, which the caller has [checked](HistoryQuery::check). A channel in which nothing was ever
    /// published has an empty page at offset 0; whether it has an epoch by then differs between brokers.
    ///
    /// A publication that was answered for before is in the page if it is still kept, and so are its predecessors. A
    /// place of another epoch gets no publications and the stream's position, never an error: whoever recovers needs
    /// to know where the stream stands.
    ///
    /// # Errors
    ///
    /// [Unsupported](BrokerError::is_unsupported) where the broker cannot read in reverse.
    fn history(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> impl Future<Output = Result<Page, BrokerError>> + Send;

    /// Where the stream stands.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    fn position(
        &self,
        channel: &Channel,
        meta_ttl: Duration,
    ) -> impl Future<Output = Result<StreamPosition, BrokerError>> + Send {
        async move { Ok(self.history(channel, &HistoryQuery::position(), meta_ttl).await?.position) }
    }

    /// Forgets the channel's publications and keeps its position, so that its subscribers stay where they are
    /// (HID-74).
    ///
    /// # Errors
    ///
    /// The publications may be gone or not.
    fn remove_history(&self, channel: &Channel) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// The object-safe mirror of [`History`].
pub trait DynHistory: Debug + Send + Sync + 'static {
    /// See [`History::history`].
    fn history<'a>(
        &'a self,
        channel: &'a Channel,
        query: &'a HistoryQuery,
        meta_ttl: Duration,
    ) -> BoxFuture<'a, Result<Page, BrokerError>>;
    /// See [`History::position`].
    fn position<'a>(
        &'a self,
        channel: &'a Channel,
        meta_ttl: Duration,
    ) -> BoxFuture<'a, Result<StreamPosition, BrokerError>>;
    /// See [`History::remove_history`].
    fn remove_history<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<(), BrokerError>>;
}

impl<H: History> DynHistory for H {
    fn history<'a>(
        &'a self,
        channel: &'a Channel,
        query: &'a HistoryQuery,
        meta_ttl: Duration,
    ) -> BoxFuture<'a, Result<Page, BrokerError>> {
        Box::pin(History::history(self, channel, query, meta_ttl))
    }

    fn position<'a>(
        &'a self,
        channel: &'a Channel,
        meta_ttl: Duration,
    ) -> BoxFuture<'a, Result<StreamPosition, BrokerError>> {
        Box::pin(History::position(self, channel, meta_ttl))
    }

    fn remove_history<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(History::remove_history(self, channel))
    }
}

/// Streams behind a shared pointer.
pub type SharedHistory = Arc<dyn DynHistory>;
