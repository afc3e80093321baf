//! Reading what channels keep: history and presence, for clients and for the server side.

use std::sync::Arc;

use tourbillon_broker::{
    BrokerError, HistoryQuery, Member, Page, PresenceStats, SharedHistory, SharedPresence,
};
use tourbillon_protocol::command;
use tourbillon_protocol::reply::{HistoryResult, PresenceResult, PresenceStatsResult};
use tourbillon_session::Refusal;
use tourbillon_types::{Channel, Permissions, ReplyError};

use crate::Node;
use crate::calls::refusal;
use crate::hooks::{ChannelOptions, Client, HistoryRequest, PresenceRequest};
use crate::shared::Shared;
use tourbillon_metrics::Action;

/// Who asks about a channel.
pub(crate) struct Standing {
    pub(crate) client: Arc<Client>,
    /// Whether it is subscribed to the channel.
    pub(crate) subscribed: bool,
    /// What its subscription lets it do.
    pub(crate) allow: Permissions,
}

/// Answers a client's `history` (CMD-10).
pub(crate) async fn history(
    shared: &Arc<Shared>,
    standing: Standing,
    command: command::History,
) -> Result<HistoryResult, Refusal> {
    let command::History { channel, limit, since, reverse } = command;
    let channel = Channel::from(channel);
    let most = shared.config.history_max_publication_limit;
    let query = HistoryQuery::of_client(since, limit, reverse, most);
    let rules = shared.hooks.channel_options(&channel)?;
    let streams = shared.streams_of(&rules)?;
    let Standing { client, subscribed, allow } = standing;
    let mut request = HistoryRequest::new(client, channel.clone(), query.clone(), subscribed);
    request.allow = allow;
    shared.deadline(shared.hooks.clone().history(request)).await?;
    let Page { publications, position } = read(shared, streams, &channel, &query, &rules).await?;
    Ok(HistoryResult { publications, position })
}

/// Answers a client's `presence` (CMD-08).
pub(crate) async fn presence(
    shared: &Arc<Shared>,
    standing: Standing,
    channel: Channel,
) -> Result<PresenceResult, Refusal> {
    let members = permitted(shared, standing, &channel).await?;
    shared.metrics.act(Action::Presence);
    let mut members = call(shared, "presence", members.presence(&channel)).await.map_err(|e| refusal(&e))?;
    // By name, so that the answer does not depend on where it is kept.
    members.sort_unstable_by_key(|(client, _)| *client);
    let presence = members.into_iter().map(|(client, info)| (client.to_string(), info)).collect();
    Ok(PresenceResult { presence })
}

/// Answers a client's `presence_stats` (CMD-09).
pub(crate) async fn presence_stats(
    shared: &Arc<Shared>,
    standing: Standing,
    channel: Channel,
) -> Result<PresenceStatsResult, Refusal> {
    let members = permitted(shared, standing, &channel).await?;
    shared.metrics.act(Action::PresenceStats);
    let stats = call(shared, "presence", members.presence_stats(&channel)).await.map_err(|e| refusal(&e))?;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(PresenceStatsResult { num_clients: number(stats.clients), num_users: number(stats.users) })
}

async fn permitted<'a>(
    shared: &'a Arc<Shared>,
    standing: Standing,
    channel: &Channel,
) -> Result<&'a SharedPresence, Refusal> {
    let rules = shared.hooks.channel_options(channel)?;
    let members = shared.members_of(&rules)?;
    let Standing { client, subscribed, allow } = standing;
    let mut request = PresenceRequest::new(client, channel.clone(), subscribed);
    request.allow = allow;
    shared.deadline(shared.hooks.clone().presence(request)).await?;
    Ok(members)
}

/// Reads a page, and tells the reader of another epoch that its place is gone (CMD-10).
async fn read(
    shared: &Shared,
    streams: &SharedHistory,
    channel: &Channel,
    query: &HistoryQuery,
    rules: &ChannelOptions,
) -> Result<Page, Refusal> {
    query.check()?;
    shared.metrics.act(Action::History);
    let page = streams.history(channel, query, rules.history_meta_ttl);
    let page = call(shared, "history", page).await.map_err(|error| refusal(&error))?;
    query.check_epoch(&page.position)?;
    Ok(page)
}

/// Waits for the engine, but not for ever.
pub(crate) async fn call<T>(
    shared: &Shared,
    what: &'static str,
    call: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    let answer = tokio::time::timeout(shared.call_timeout(), call).await;
    let answer = answer.unwrap_or_else(|_| Err(BrokerError::unavailable("no answer in time")));
    if let Err(error) = &answer {
        tracing::warn!(%error, what, "the engine failed");
    }
    answer
}

impl Shared {
    /// The engine's streams, if the channel keeps one.
    fn streams_of(&self, rules: &ChannelOptions) -> Result<&SharedHistory, ReplyError> {
        let streams = self.engine.history().filter(|_| rules.history.is_some());
        streams.ok_or(ReplyError::NOT_AVAILABLE)
    }

    /// The engine's presence, if the channel keeps it.
    fn members_of(&self, rules: &ChannelOptions) -> Result<&SharedPresence, ReplyError> {
        let members = self.engine.presence().filter(|_| rules.presence);
        members.ok_or(ReplyError::NOT_AVAILABLE)
    }
}

impl Node {
    /// Reads a channel's history (API-28). The limit is the caller's to choose.
    ///
    /// # Errors
    ///
    /// 102 for a channel of an unknown namespace, 108 where the channel keeps no history, 107 for a query that
    /// contradicts itself, 112 for a place of another epoch, 100 when the engine fails or does not answer within
    /// [`NodeConfig::call_timeout`](crate::NodeConfig::call_timeout).
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn history(&self, channel: &Channel, query: &HistoryQuery) -> Result<Page, ReplyError> {
        let rules = self.channel_options(channel)?;
        let streams = self.shared.streams_of(&rules)?;
        read(&self.shared, streams, channel, query, &rules).await.map_err(error_of)
    }

    /// Forgets a channel's publications; its position stays (API-29, HID-74).
    ///
    /// # Errors
    ///
    /// 102, 108 and 100 as [`history`](Self::history).
    ///
    /// # Cancel safety
    ///
    /// The publications may be gone or not.
    pub async fn remove_history(&self, channel: &Channel) -> Result<(), ReplyError> {
        let rules = self.channel_options(channel)?;
        let streams = self.shared.streams_of(&rules)?;
        self.shared.metrics.act(Action::HistoryRemove);
        let removed = call(&self.shared, "history", streams.remove_history(channel)).await;
        removed.map_err(|error| error_of(refusal(&error)))
    }

    /// Who is in a channel (API-26), in no particular order.
    ///
    /// # Errors
    ///
    /// 102 for a channel of an unknown namespace, 108 where it is not kept who is in the channel, 100 when the
    /// engine fails or does not answer within [`NodeConfig::call_timeout`](crate::NodeConfig::call_timeout).
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn presence(&self, channel: &Channel) -> Result<Vec<Member>, ReplyError> {
        let rules = self.channel_options(channel)?;
        let members = self.shared.members_of(&rules)?;
        self.shared.metrics.act(Action::Presence);
        let answer = call(&self.shared, "presence", members.presence(channel)).await;
        answer.map_err(|error| error_of(refusal(&error)))
    }

    /// How many are in a channel (API-27).
    ///
    /// # Errors
    ///
    /// As [`presence`](Self::presence).
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn presence_stats(&self, channel: &Channel) -> Result<PresenceStats, ReplyError> {
        let rules = self.channel_options(channel)?;
        let members = self.shared.members_of(&rules)?;
        self.shared.metrics.act(Action::PresenceStats);
        let answer = call(&self.shared, "presence", members.presence_stats(channel)).await;
        answer.map_err(|error| error_of(refusal(&error)))
    }
}

/// Nothing here ends connections.
pub(crate) fn error_of(refusal: Refusal) -> ReplyError {
    match refusal {
        Refusal::Error(error) => error,
        Refusal::Disconnect(_) => ReplyError::INTERNAL,
    }
}
