//! What limits are made of: the options of `client.rate_limit`, under their names.

use std::time::Duration;

/// How much may be done in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The time in which an empty bucket gets full: a second to an hour.
    pub interval: Duration,
    /// How much it holds; at least 1.
    pub rate: u32,
}

impl Bucket {
    /// The shortest interval.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// The longest interval.
    pub const LONGEST: Duration = Duration::from_secs(3_600);
}

/// What is wrong with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BucketProblem {
    /// The interval is too short or too long.
    #[error("the interval {0:?} must be 1 s to 1 h")]
    Interval(Duration),
    /// It holds nothing.
    #[error("the rate must not be zero")]
    NoRate,
    /// There are more buckets than can be told apart: 65,535.
    #[error("there are too many buckets")]
    TooMany,
}

/// What somebody does with a channel or a connection, as far as it is limited. Names are those of the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// `connect`, for users only.
    Connect,
    /// `subscribe`
    Subscribe,
    /// `unsubscribe`: is counted and never refused.
    Unsubscribe,
    /// `publish`
    Publish,
    /// `map_publish`
    MapPublish,
    /// `map_remove`
    MapRemove,
    /// `track`
    Track,
    /// `untrack`
    Untrack,
    /// `history`
    History,
    /// `presence`
    Presence,
    /// `presence_stats`
    PresenceStats,
    /// `refresh`
    Refresh,
    /// `sub_refresh`
    SubRefresh,
    /// `rpc`
    Rpc,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Connect,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::MapPublish,
        Self::MapRemove,
        Self::Track,
        Self::Untrack,
        Self::History,
        Self::Presence,
        Self::PresenceStats,
        Self::Refresh,
        Self::SubRefresh,
        Self::Rpc,
    ];

    /// The name of the option.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::MapPublish => "map_publish",
            Self::MapRemove => "map_remove",
            Self::Track => "track",
            Self::Untrack => "untrack",
            Self::History => "history",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::Refresh => "refresh",
            Self::SubRefresh => "sub_refresh",
            Self::Rpc => "rpc",
        }
    }
}

/// All limits. By default there are none.
#[derive(Clone, Debug, Default)]
pub struct LimitsConfig {
    /// `client_command`: of each connection (PRO-30).
    pub client_command: CommandLimits,
    /// `user_command`: of each user with a name, on this node (PRO-31).
    pub user_command: CommandLimits,
    /// `client_error`: how many errors a connection may cause (PRO-33).
    pub client_error: ErrorLimits,
}

/// Limits of commands, one layer of them.
#[derive(Clone, Debug, Default)]
pub struct CommandLimits {
    /// `enabled`
    pub enabled: bool,
    /// `dry_run`: everything is counted and told, and nothing is refused.
    pub dry_run: bool,
    /// `disconnect_on_accounted_limit`: who exceeds what is counted only, is disconnected. For connections only.
    pub disconnect_on_accounted_limit: bool,
    /// `total`: for all commands together.
    pub total: Buckets,
    /// `default`: for each command that has no buckets of its own.
    pub default: Buckets,
    /// The commands that have.
    pub commands: Vec<(Operation, CommandBuckets)>,
}

/// Buckets that are in force or not.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    /// `enabled`
    pub enabled: bool,
    /// `buckets`: all must have room.
    pub buckets: Vec<Bucket>,
}

/// The buckets of a command.
#[derive(Clone, Debug, Default)]
pub struct CommandBuckets {
    /// `enabled` and `buckets`. Without a bucket those of `default` count.
    pub base: Buckets,
    /// `namespace_overrides`: what counts instead for channels of a namespace, by its name (PRO-32).
    pub namespaces: Vec<(String, Buckets)>,
    /// `method_overrides`: what counts instead for a method, by its name. For `rpc` only.
    pub methods: Vec<(String, Buckets)>,
}

/// How many errors a connection may cause.
#[derive(Clone, Debug, Default)]
pub struct ErrorLimits {
    /// `enabled`
    pub enabled: bool,
    /// `dry_run`: everything is counted and told, and nobody is disconnected.
    pub dry_run: bool,
    /// `total`
    pub total: Buckets,
}

/// A limit that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct LimitsError {
    /// The path below `client.rate_limit`.
    pub path: String,
    /// What is wrong.
    pub problem: BucketProblem,
}
