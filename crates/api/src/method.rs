//! The names of methods.

use crate::command::ApiCommand;

/// A method of the server API that this server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Publish,
    Broadcast,
    Subscribe,
    Unsubscribe,
    Disconnect,
    History,
    HistoryRemove,
    Presence,
    PresenceStats,
    Info,
    Rpc,
    Refresh,
    Channels,
    BlockUser,
    UnblockUser,
    RevokeToken,
    InvalidateUserTokens,
    MapPublish,
    MapRemove,
    MapReadState,
    MapReadStream,
    MapStats,
    MapClear,
    SharedPollPublish,
    Batch,
    /// Ours: no batch has it.
    Explain,
}

impl Method {
    /// Those that a batch may hold. A command with several counts as the first of them.
    pub(crate) const IN_BATCH: [Self; 24] = [
        Self::Publish,
        Self::Broadcast,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Disconnect,
        Self::History,
        Self::HistoryRemove,
        Self::Presence,
        Self::PresenceStats,
        Self::Info,
        Self::Rpc,
        Self::Refresh,
        Self::Channels,
        Self::BlockUser,
        Self::UnblockUser,
        Self::RevokeToken,
        Self::InvalidateUserTokens,
        Self::MapPublish,
        Self::MapRemove,
        Self::MapReadState,
        Self::MapReadStream,
        Self::MapStats,
        Self::MapClear,
        Self::SharedPollPublish,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Broadcast => "broadcast",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Disconnect => "disconnect",
            Self::History => "history",
            Self::HistoryRemove => "history_remove",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::Info => "info",
            Self::Rpc => "rpc",
            Self::Refresh => "refresh",
            Self::Channels => "channels",
            Self::BlockUser => "block_user",
            Self::UnblockUser => "unblock_user",
            Self::RevokeToken => "revoke_token",
            Self::InvalidateUserTokens => "invalidate_user_tokens",
            Self::MapPublish => "map_publish",
            Self::MapRemove => "map_remove",
            Self::MapReadState => "map_read_state",
            Self::MapReadStream => "map_read_stream",
            Self::MapStats => "map_stats",
            Self::MapClear => "map_clear",
            Self::SharedPollPublish => "shared_poll_publish",
            Self::Batch => "batch",
            Self::Explain => "explain",
        }
    }

    /// Of a command; `None` for one that is refused.
    pub(crate) const fn of(command: &ApiCommand) -> Option<Self> {
        Some(match command {
            ApiCommand::Publish(_) => Self::Publish,
            ApiCommand::Broadcast(_) => Self::Broadcast,
            ApiCommand::Subscribe(_) => Self::Subscribe,
            ApiCommand::Unsubscribe(_) => Self::Unsubscribe,
            ApiCommand::Disconnect(_) => Self::Disconnect,
            ApiCommand::Refresh(_) => Self::Refresh,
            ApiCommand::Info => Self::Info,
            ApiCommand::Channels(_) => Self::Channels,
            ApiCommand::Batch(_) => Self::Batch,
            ApiCommand::Rpc(_) => Self::Rpc,
            ApiCommand::History(_) => Self::History,
            ApiCommand::HistoryRemove(_) => Self::HistoryRemove,
            ApiCommand::Presence(_) => Self::Presence,
            ApiCommand::PresenceStats(_) => Self::PresenceStats,
            ApiCommand::Explain(_) => Self::Explain,
            ApiCommand::BlockUser(_) => Self::BlockUser,
            ApiCommand::UnblockUser(_) => Self::UnblockUser,
            ApiCommand::RevokeToken(_) => Self::RevokeToken,
            ApiCommand::InvalidateUserTokens(_) => Self::InvalidateUserTokens,
            ApiCommand::MapPublish(_) => Self::MapPublish,
            ApiCommand::MapRemove(_) => Self::MapRemove,
            ApiCommand::MapReadState(_) => Self::MapReadState,
            ApiCommand::MapReadStream(_) => Self::MapReadStream,
            ApiCommand::MapStats(_) => Self::MapStats,
            ApiCommand::MapClear(_) => Self::MapClear,
            ApiCommand::SharedPollPublish(_) => Self::SharedPollPublish,
            ApiCommand::Refused(_) => return None,
        })
    }

    /// All of them: what is not here cannot be called.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::IN_BATCH.into_iter().chain([Self::Batch, Self::Explain])
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().find(|method| method.name() == name)
    }
}
