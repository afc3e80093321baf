//! Who is in which channel.

use std::fmt::Debug;
use std::sync::Arc;

use tourbillon_types::{Channel, ClientId, ClientInfo, UserId};

use crate::{BoxFuture, BrokerError};

/// How many are in a channel (CMD-09).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// The number of connections.
    pub clients: usize,
    /// The number of distinct users; those without a name count as one.
    pub users: usize,
}

/// Somebody in a channel: the connection, and what is told of it to others.
pub type Member = (ClientId, Arc<ClientInfo>);

/// Keeps who is in which channel.
///
/// Several nodes may share it. A node adds its connections when they subscribe and again at every
/// `client.presence_update_interval`, and removes them when they leave; an implementation for several nodes lets
/// entries expire that are not renewed, so that those of a node that died go away.
///
/// All methods may be dropped half way, and all may be repeated.
pub trait Presence: Debug + Send + Sync + 'static {
    /// Notes that a connection is in a channel, or still is. A later `info` replaces an earlier one.
    ///
    /// # Errors
    ///
    /// The connection may be noted or not.
    fn add_presence(
        &self,
        channel: &Channel,
        client: ClientId,
        info: Arc<ClientInfo>,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Notes that a connection of this user is not in a channel any more. Removing who is not there is harmless.
    ///
    /// # Errors
    ///
    /// The connection may still be noted.
    fn remove_presence(
        &self,
        channel: &Channel,
        client: ClientId,
        user: &UserId,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Who is in a channel, in no particular order.
    ///
    /// # Errors
    ///
    /// The broker's.
    fn presence(&self, channel: &Channel) -> impl Future<Output = Result<Vec<Member>, BrokerError>> + Send;

    /// How many are in a channel.
    ///
    /// # Errors
    ///
    /// The broker's.
    fn presence_stats(
        &self,
        channel: &Channel,
    ) -> impl Future<Output = Result<PresenceStats, BrokerError>> + Send;

    /// As [`Broker::ready`](crate::Broker::ready), for what is not the broker's own.
    ///
    /// # Errors
    ///
    /// Why not, in words that may be shown to anybody.
    fn ready(&self) -> impl Future<Output = Result<(), BrokerError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// The object-safe mirror of [`Presence`].
pub trait DynPresence: Debug + Send + Sync + 'static {
    /// See [`Presence::add_presence`].
    fn add_presence<'a>(
        &'a self,
        channel: &'a Channel,
        client: ClientId,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Presence::remove_presence`].
    fn remove_presence<'a>(
        &'a self,
        channel: &'a Channel,
        client: ClientId,
        user: &'a UserId,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Presence::presence`].
    fn presence<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<Vec<Member>, BrokerError>>;
    /// See [`Presence::presence_stats`].
    fn presence_stats<'a>(
        &'a self,
        channel: &'a Channel,
    ) -> BoxFuture<'a, Result<PresenceStats, BrokerError>>;
    /// See [`Presence::ready`].
    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>>;
}

impl<P: Presence> DynPresence for P {
    fn add_presence<'a>(
        &'a self,
        channel: &'a Channel,
        client: ClientId,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(Presence::add_presence(self, channel, client, info))
    }

    fn remove_presence<'a>(
        &'a self,
        channel: &'a Channel,
        client: ClientId,
        user: &'a UserId,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(Presence::remove_presence(self, channel, client, user))
    }

    fn presence<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<Vec<Member>, BrokerError>> {
        Box::pin(Presence::presence(self, channel))
    }

    fn presence_stats<'a>(
        &'a self,
        channel: &'a Channel,
    ) -> BoxFuture<'a, Result<PresenceStats, BrokerError>> {
        Box::pin(Presence::presence_stats(self, channel))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Presence::ready(self))
    }
}

/// Presence behind a shared pointer.
pub type SharedPresence = Arc<dyn DynPresence>;
