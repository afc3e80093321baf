//! The kinds of messages on connections, by Centrifugo's names.

use tourbillon_protocol::{PushEvent, ReplyResult, Request};

/// The kind of a message: a command, its reply, a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Frame {
    #[default]
    /// Something else.
    Unknown,
    /// The server asks whether the client is there.
    ServerPing,
    /// The client is.
    ClientPong,
    /// A push: the connection is accepted.
    PushConnect,
    /// A push: the server subscribed the client.
    PushSubscribe,
    /// A push: a publication.
    PushPublication,
    /// A push: somebody came.
    PushJoin,
    /// A push: somebody left.
    PushLeave,
    /// A push: the server ended a subscription.
    PushUnsubscribe,
    /// A push: a message outside any channel.
    PushMessage,
    /// A push: when the connection expires.
    PushRefresh,
    /// A push: the connection ends.
    PushDisconnect,
    /// `connect` and its reply; and so on.
    Connect,
    /// `subscribe`
    Subscribe,
    /// `publish`
    Publish,
    /// `unsubscribe`
    Unsubscribe,
    /// `rpc`
    Rpc,
    /// `presence`
    Presence,
    /// `presence_stats`
    PresenceStats,
    /// `history`
    History,
    /// `sub_refresh`
    SubRefresh,
    /// `refresh`
    Refresh,
    /// `send`
    Send,
}

impl Frame {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Unknown,
        Self::ServerPing,
        Self::ClientPong,
        Self::PushConnect,
        Self::PushSubscribe,
        Self::PushPublication,
        Self::PushJoin,
        Self::PushLeave,
        Self::PushUnsubscribe,
        Self::PushMessage,
        Self::PushRefresh,
        Self::PushDisconnect,
        Self::Connect,
        Self::Subscribe,
        Self::Publish,
        Self::Unsubscribe,
        Self::Rpc,
        Self::Presence,
        Self::PresenceStats,
        Self::History,
        Self::SubRefresh,
        Self::Refresh,
        Self::Send,
    ];

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What a message with this frame is labelled with.
    #[must_use]
    pub const fn label(self) -> u8 {
        self as u8
    }

    /// From such a label; `Unknown` for one that none has.
    #[must_use]
    pub fn of_label(label: u8) -> Self {
        Self::ALL.get(usize::from(label)).copied().unwrap_or_default()
    }

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::ServerPing => "server_ping",
            Self::ClientPong => "client_pong",
            Self::PushConnect => "push_connect",
            Self::PushSubscribe => "push_subscribe",
            Self::PushPublication => "push_publication",
            Self::PushJoin => "push_join",
            Self::PushLeave => "push_leave",
            Self::PushUnsubscribe => "push_unsubscribe",
            Self::PushMessage => "push_message",
            Self::PushRefresh => "push_refresh",
            Self::PushDisconnect => "push_disconnect",
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Unsubscribe => "unsubscribe",
            Self::Rpc => "rpc",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::History => "history",
            Self::SubRefresh => "sub_refresh",
            Self::Refresh => "refresh",
            Self::Send => "send",
        }
    }

    /// Of a command.
    #[must_use]
    pub const fn of_request(request: &Request) -> Self {
        match request {
            Request::Pong => Self::ClientPong,
            Request::Empty | Request::Ping => Self::Unknown,
            Request::Connect(_) => Self::Connect,
            Request::Subscribe(_) => Self::Subscribe,
            Request::Unsubscribe(_) => Self::Unsubscribe,
            Request::Publish(_) => Self::Publish,
            Request::Presence(_) => Self::Presence,
            Request::PresenceStats(_) => Self::PresenceStats,
            Request::History(_) => Self::History,
            Request::Send(_) => Self::Send,
            Request::Rpc(_) => Self::Rpc,
            Request::Refresh(_) => Self::Refresh,
            Request::SubRefresh(_) => Self::SubRefresh,
        }
    }

    /// Of a reply.
    #[must_use]
    pub const fn of_reply(result: &ReplyResult) -> Self {
        match result {
            ReplyResult::Connect(_) => Self::Connect,
            ReplyResult::Subscribe(_) => Self::Subscribe,
            ReplyResult::Unsubscribe => Self::Unsubscribe,
            ReplyResult::Publish => Self::Publish,
            ReplyResult::Presence(_) => Self::Presence,
            ReplyResult::PresenceStats(_) => Self::PresenceStats,
            ReplyResult::History(_) => Self::History,
            ReplyResult::Ping => Self::Unknown,
            ReplyResult::Rpc(_) => Self::Rpc,
            ReplyResult::Refresh(_) => Self::Refresh,
            ReplyResult::SubRefresh(_) => Self::SubRefresh,
        }
    }

    /// Of a push.
    #[must_use]
    pub const fn of_push(event: &PushEvent) -> Self {
        match event {
            PushEvent::Publication(_) => Self::PushPublication,
            PushEvent::Join(_) => Self::PushJoin,
            PushEvent::Leave(_) => Self::PushLeave,
            PushEvent::Unsubscribe(_) => Self::PushUnsubscribe,
            PushEvent::Message(_) => Self::PushMessage,
            PushEvent::Subscribe(_) => Self::PushSubscribe,
            PushEvent::Connect(_) => Self::PushConnect,
            PushEvent::Disconnect(_) => Self::PushDisconnect,
            PushEvent::Refresh(_) => Self::PushRefresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_frame_has_its_place_and_a_name_of_its_own() {
        for (at, frame) in Frame::ALL.into_iter().enumerate() {
            assert_eq!(frame.index(), at);
            assert_eq!(Frame::of_label(frame.label()), frame);
        }
        let names: HashSet<_> = Frame::ALL.iter().map(|frame| frame.name()).collect();
        assert_eq!(names.len(), Frame::ALL.len());
        assert_eq!(Frame::of_label(200), Frame::Unknown);
    }
}
