//! What is known of a command before anything is done for it.

use tourbillon_broker::BoxFuture;
use tourbillon_protocol::{Command, Request};
use tourbillon_types::SubscriptionKind;

use crate::Refusal;

/// Says in a while whether a command is worked on. What takes longer than `NodeConfig::call_timeout` is error 100. It may
/// be dropped at any `.await`.
pub type Judgement = BoxFuture<'static, Result<(), Refusal>>;

/// A command of an accepted client, before anything was done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCommand<'a> {
    /// It wants this channel.
    Subscribe(&'a str),
    /// It gives this channel up.
    Unsubscribe(&'a str),
    /// It wants to publish into this channel.
    Publish(&'a str),
    /// It wants to set a key of this channel.
    MapPublish(&'a str),
    /// It wants to remove a key of this channel.
    MapRemove(&'a str),
    /// It wants to track keys of this channel.
    Track(&'a str),
    /// It wants to track keys of this channel no more.
    Untrack(&'a str),
    /// It wants to know what was published in this channel.
    History(&'a str),
    /// It wants to know who is in this channel.
    Presence(&'a str),
    /// It wants to know how many are in this channel.
    PresenceStats(&'a str),
    /// It calls this method.
    Rpc(&'a str),
    /// It has a new connection token.
    Refresh,
    /// It has a new subscription token for this channel.
    SubRefresh(&'a str),
}

impl<'a> ClientCommand<'a> {
    /// What a command asks for; `None` for pongs, messages without an answer, and what is always an error.
    #[must_use]
    #[inline]
    pub fn of(command: &'a Command) -> Option<Self> {
        if command.id == 0 {
            return None;
        }
        Some(match &command.request {
            Request::Subscribe(subscribe) => Self::Subscribe(&subscribe.channel),
            Request::Unsubscribe(unsubscribe) => Self::Unsubscribe(&unsubscribe.channel),
            Request::Publish(publish) if publish.kind == SubscriptionKind::Map.number() => {
                let publish_or_remove = if publish.removed { Self::MapRemove } else { Self::MapPublish };
                publish_or_remove(&publish.channel)
            }
            Request::Publish(publish) => Self::Publish(&publish.channel),
            Request::History(history) => Self::History(&history.channel),
            Request::Presence(presence) => Self::Presence(&presence.channel),
            Request::PresenceStats(stats) => Self::PresenceStats(&stats.channel),
            Request::Rpc(rpc) => Self::Rpc(&rpc.method),
            Request::Refresh(_) => Self::Refresh,
            Request::SubRefresh(refresh) => match refresh.kind {
                1 => Self::Track(&refresh.channel),
                2 => Self::Untrack(&refresh.channel),
                _ => Self::SubRefresh(&refresh.channel),
            },
            Request::Pong | Request::Empty | Request::Connect(_) | Request::Ping | Request::Send(_) => {
                return None;
            }
        })
    }

    /// The channel that it is about.
    #[must_use]
    pub const fn channel(self) -> Option<&'a str> {
        match self {
            Self::Subscribe(channel)
            | Self::Unsubscribe(channel)
            | Self::Publish(channel)
            | Self::MapPublish(channel)
            | Self::MapRemove(channel)
            | Self::Track(channel)
            | Self::Untrack(channel)
            | Self::History(channel)
            | Self::Presence(channel)
            | Self::PresenceStats(channel)
            | Self::SubRefresh(channel) => Some(channel),
            Self::Rpc(_) | Self::Refresh => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_protocol::command;

    use super::*;

    #[test]
    fn cmd_16_tracking_and_untracking_are_told_apart_from_refreshing() {
        for (kind, expected) in [
            (0, ClientCommand::SubRefresh("a")),
            (1, ClientCommand::Track("a")),
            (2, ClientCommand::Untrack("a")),
            (3, ClientCommand::SubRefresh("a")),
        ] {
            let refresh =
                command::SubRefresh { channel: "a".to_owned(), kind, ..command::SubRefresh::default() };
            let command = Command { id: 1, request: Request::SubRefresh(Box::new(refresh)) };
            assert_eq!(ClientCommand::of(&command), Some(expected));
            assert_eq!(expected.channel(), Some("a"));
        }
    }

    #[test]
    fn cmd_07_setting_and_removing_a_key_are_told_apart_from_publishing() {
        for (kind, removed, expected) in [
            (0, false, ClientCommand::Publish("a")),
            (0, true, ClientCommand::Publish("a")),
            (1, false, ClientCommand::MapPublish("a")),
            (1, true, ClientCommand::MapRemove("a")),
        ] {
            let publish =
                command::Publish { channel: "a".to_owned(), kind, removed, ..command::Publish::default() };
            let command = Command { id: 1, request: Request::Publish(publish) };
            assert_eq!(ClientCommand::of(&command), Some(expected));
            assert_eq!(expected.channel(), Some("a"));
        }
    }
}
