//! What namespaces are made of. Only options that have an effect are here: whoever reads a configuration must
//! refuse the others, since nothing here would obey them.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_auth::{PatternError, TrackKeysConfig};

use crate::expression::ExpressionError;
use crate::maps::MapConfig;
use crate::polled::PollConfig;

/// The options of `channel` that decide about access, under their names, and `client.insecure`.
#[derive(Clone, Debug)]
pub struct NamespacesConfig {
    /// `channel.without_namespace`: the rules of channels without a namespace.
    pub without_namespace: ChannelConfig,
    /// `channel.patterns`: channels that begin with a slash belong to the namespace whose pattern they match, and to no
    /// other (PRO-43).
    pub patterns: bool,
    /// `channel.namespaces`.
    pub namespaces: Vec<NamespaceConfig>,
    /// `channel.publication_data_format`: for namespaces that leave theirs empty (OPT-26).
    pub publication_data_format: String,
    /// `channel.history_meta_ttl`: for namespaces that leave theirs at zero (OPT-26). Default 720 h.
    pub history_meta_ttl: Duration,
    /// `channel.private_prefix`: with it, only a token lets a client subscribe (CH-04). Default `$`; empty for none.
    pub private_prefix: String,
    /// `channel.namespace_boundary`: ends a namespace's name (CH-03). Default `:`; empty for no namespaces.
    pub namespace_boundary: String,
    /// `channel.user_boundary`: starts the list of allowed users (CH-05). Default `#`; empty for none.
    pub user_boundary: String,
    /// `channel.user_separator`: stands between allowed users (CH-05). Default `,`; empty for one user only.
    pub user_separator: String,
    /// `client.insecure`: everybody may connect, subscribe and publish (MODE-03, HID-61). For development only.
    pub insecure: bool,
    /// `shared_poll`: the secrets by which keys of polled channels are signed (SP-04).
    pub shared_poll: TrackKeysConfig,
}

impl Default for NamespacesConfig {
    fn default() -> Self {
        Self {
            without_namespace: ChannelConfig::default(),
            patterns: false,
            namespaces: Vec::new(),
            publication_data_format: String::new(),
            history_meta_ttl: Duration::from_secs(720 * 3_600),
            private_prefix: "$".to_owned(),
            namespace_boundary: ":".to_owned(),
            user_boundary: "#".to_owned(),
            user_separator: ",".to_owned(),
            insecure: false,
            shared_poll: TrackKeysConfig::default(),
        }
    }
}

/// One element of `channel.namespaces`.
#[derive(Clone, Debug, Default)]
pub struct NamespaceConfig {
    /// Its name: at least two of letters, digits, `-`, `_` and `.`; unique.
    pub name: String,
    /// What its channels look like, such as `/users/:name`, instead of beginning with its name (PRO-43). Needs
    /// `patterns`.
    pub pattern: String,
    /// The rules of its channels.
    pub channel: ChannelConfig,
}

/// The options of the channels of one namespace. All permissions are off by default.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options, independent of each other")]
pub struct ChannelConfig {
    /// Who is in the channel is known (OPT-01).
    pub presence: bool,
    /// Who comes and goes is told to those who ask for it (OPT-02).
    pub join_leave: bool,
    /// Who comes and goes is told to every subscriber (OPT-03).
    pub force_push_join_leave: bool,
    /// How many publications are kept; 0 for none. Needs `history_ttl` (OPT-04).
    pub history_size: usize,
    /// How long publications are kept; 0 for not at all. Needs `history_size` (OPT-04).
    pub history_ttl: Duration,
    /// How long the channel's position is kept; 0 for what holds for all namespaces (OPT-05).
    pub history_meta_ttl: Duration,
    /// Every subscription knows its position in the stream (OPT-06).
    pub force_positioning: bool,
    /// Subscriptions may ask to know their position (OPT-06).
    pub allow_positioning: bool,
    /// Every subscription catches up on what it missed (OPT-07). Needs a history.
    pub force_recovery: bool,
    /// Subscriptions may ask to catch up on what they missed (OPT-07).
    pub allow_recovery: bool,
    /// What is caught up on: `""` and `stream` everything, `cache` the latest publication (OPT-08).
    pub force_recovery_mode: String,
    /// The latest publication comes without being asked for (OPT-09). Needs `force_recovery` in mode `cache`.
    pub auto_cache_recover: bool,
    /// The kinds of deltas that subscribers may negotiate; there is only `fossil` (OPT-10).
    pub allowed_delta_types: Vec<String>,
    /// Every publication may be sent as a delta, not only those that ask for it (OPT-11).
    pub delta_publish: bool,
    /// The node keeps the latest publication of a channel with subscribers, so that there are deltas without a history
    /// (DELTA-07).
    pub keep_latest_publication: bool,
    /// Subscribers may have filters on tags (OPT-12).
    pub allow_tags_filter: bool,
    /// Subscribers may ask for a number in place of the channel's name (COMP-01).
    pub allow_channel_compaction: bool,
    /// By how much clients are asked to debounce their publishing, in whole milliseconds; 0 for not at all (DEB-01).
    pub client_publish_debounce_interval: Duration,
    /// Users may subscribe (OPT-13).
    pub allow_subscribe_for_client: bool,
    /// Where users may subscribe, so may clients without a name (OPT-13).
    pub allow_subscribe_for_anonymous: bool,
    /// Users may publish (OPT-14).
    pub allow_publish_for_client: bool,
    /// Users may publish while subscribed (OPT-14).
    pub allow_publish_for_subscriber: bool,
    /// Where users may publish, so may clients without a name (OPT-14).
    pub allow_publish_for_anonymous: bool,
    /// Users may ask who is in the channel (OPT-15).
    pub allow_presence_for_client: bool,
    /// Users may ask who is in the channel while subscribed (OPT-15).
    pub allow_presence_for_subscriber: bool,
    /// Where users may ask who is there, so may clients without a name (OPT-15).
    pub allow_presence_for_anonymous: bool,
    /// Users may ask for past publications (OPT-16).
    pub allow_history_for_client: bool,
    /// Users may ask for past publications while subscribed (OPT-16).
    pub allow_history_for_subscriber: bool,
    /// Where users may ask for past publications, so may clients without a name (OPT-16).
    pub allow_history_for_anonymous: bool,
    /// Channels may list the users who may subscribe (OPT-17, CH-05). Such channels then are for those only.
    pub allow_user_limited_channels: bool,
    /// An expression that lets users subscribe where it is true (PRO-42). Like other rules of a namespace, it says nothing
    /// about user-limited channels.
    pub subscribe_cel: String,
    /// An expression that lets users publish where it is true (PRO-42).
    pub publish_cel: String,
    /// An expression that lets users ask for past publications where it is true (PRO-42).
    pub history_cel: String,
    /// An expression that lets users ask who is in the channel where it is true (PRO-42).
    pub presence_cel: String,
    /// What channel names must match, after the namespace, unanchored (OPT-18, CH-06). Empty: any ASCII name.
    pub channel_regex: String,
    /// `""`, `json`, `json_object` or `binary` (OPT-19).
    pub publication_data_format: String,
    /// How many publications are collected before they are delivered; 0 for any number (PRO-64).
    pub batch_max_size: usize,
    /// How long publications are collected before they are delivered; 0 for any time (PRO-64).
    pub batch_max_delay: Duration,
    /// Only the newest of the publications that were collected is delivered (PRO-64). Needs one of the two above.
    pub batch_flush_latest: bool,
    /// What becomes of publications for which a connection has no room: `""` and `disconnect`, `drop_oldest` or
    /// `keep_latest`. Not an option of Centrifugo, which knows the first only.
    pub overflow_policy: String,
    /// `""` or `stream`, `map`, `map_clients`, `map_users` or `shared_poll` (OPT-22).
    pub subscription_type: String,
    /// What there is to say about keyed channels (OPT-23).
    pub map: MapConfig,
    /// Who subscribes shows itself under its client's id in the keyed channel whose name begins with this and goes on with
    /// that of the channel; empty for none (OPT-25, MAP-13).
    pub map_clients_presence_channel_prefix: String,
    /// The same under its user's id (OPT-25, MAP-13).
    pub map_users_presence_channel_prefix: String,
    /// Which of the channel's questions the hooks behind [`Namespaced`](crate::Namespaced) decide.
    pub proxies: ChannelProxies,
    /// How they are polled, if they are (OPT-24).
    pub shared_poll: PollConfig,
}

/// Which of a channel's questions are left to the hooks behind [`Namespaced`](crate::Namespaced), as those that ask a
/// backend (OPT-20, OPT-21). What is named is asked; what the names mean is theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelProxies {
    /// `subscribe_proxy_name`, where `subscribe_proxy_enabled`: who decides about subscriptions.
    pub subscribe: Option<Arc<str>>,
    /// `publish_proxy_name`, where `publish_proxy_enabled`: who decides about publications.
    pub publish: Option<Arc<str>>,
    /// `sub_refresh_proxy_name`, where `sub_refresh_proxy_enabled`: who decides how long subscriptions go on. Clients do
    /// not refresh them then.
    pub sub_refresh: Option<Arc<str>>,
    /// `subscribe_stream_proxy_name`, where `subscribe_stream_proxy_enabled`: who decides about subscriptions and has
    /// their publications. Not together with the three above.
    pub subscribe_stream: Option<Arc<str>>,
    /// `subscribe_stream_proxy_bidirectional`: who has the publications gets those of clients, too. Otherwise clients
    /// cannot publish there.
    pub bidirectional: bool,
    /// `map.publish_proxy_name`, where `map.publish_proxy_enabled`: who decides about keys that are set (MAP-09).
    pub map_publish: Option<Arc<str>>,
    /// `map.remove_proxy_name`, where `map.remove_proxy_enabled`: who decides about keys that are removed (MAP-09).
    pub map_remove: Option<Arc<str>>,
    /// `shared_poll.proxy_name`, where channels are polled: who knows what their keys hold.
    pub shared_poll: Option<Arc<str>>,
    /// `cache_empty_proxy_name`, where `cache_empty_proxy_enabled`: who is told that there is no latest publication
    /// (PRO-55).
    pub cache_empty: Option<Arc<str>>,
}

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// The full path of the option.
    pub path: String,
    /// What is wrong with it.
    pub problem: ConfigProblem,
}

/// What is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// The name of a namespace has other characters than allowed, or too few.
    #[error("invalid namespace name {0:?}: it must match ^[-a-zA-Z0-9_.]{{2,}}$")]
    NamespaceName(String),
    /// Two namespaces have the same name.
    #[error("there is another namespace {0:?}")]
    NamespaceTwice(String),
    /// An unknown data format.
    #[error("unknown format {0:?}: it must be \"\", \"json\", \"json_object\" or \"binary\"")]
    DataFormat(String),
    /// An option without the other that it needs.
    #[error("needs `{0}`")]
    Needs(&'static str),
    /// An option without any of two others, one of which it needs.
    #[error("needs `{0}` or `{1}`")]
    NeedsEither(&'static str, &'static str),
    /// An unknown policy.
    #[error("unknown policy {0:?}: it must be \"\", \"disconnect\", \"drop_oldest\" or \"keep_latest\"")]
    OverflowPolicy(String),
    /// The publications would be kept longer than what they are found by.
    #[error("must not be longer than `history_meta_ttl`, {0:?}")]
    LongerThanMeta(Duration),
    /// An unknown type of subscriptions.
    #[error(
        "unknown type {0:?}: it must be \"\", \"stream\", \"map\", \"map_clients\", \"map_users\" or \"shared_poll\""
    )]
    SubscriptionType(String),
    /// An unknown mode of keyed channels.
    #[error("unknown mode {0:?}: it must be \"ephemeral\", \"recoverable\" or \"persistent\"")]
    MapMode(String),
    /// A keyed channel without a mode.
    #[error("is needed where `subscription_type` is map, map_clients or map_users")]
    MapModeMissing,
    /// Keys end in this mode, but not when.
    #[error("is needed for mode {0:?}")]
    MapNeedsKeyTtl(String),
    /// Keys do not end, nor does anything that holds them.
    #[error("must not be set for mode \"persistent\", which keeps keys until they are removed")]
    MapKeepsKeys,
    /// Who is there has to end by itself.
    #[error("must not be \"persistent\" for map_clients and map_users, whose keys have to end by themselves")]
    MapPresenceEnds,
    /// There is no stream in this mode.
    #[error("must not be set for mode \"ephemeral\", which has no stream")]
    MapHasNoStream,
    /// An option of keyed channels without them.
    #[error("needs `subscription_type` map, map_clients or map_users")]
    NeedsMapType,
    /// An option of channels of publications for channels with keys.
    #[error(
        "needs `subscription_type` stream: what channels with keys send is neither collected nor dropped"
    )]
    NeedsStreamType,
    /// An unknown way to choose keys.
    #[error("unknown key {0:?}: it must be \"\", \"client_id\" or \"user_id\"")]
    MapClientKey(String),
    /// What goes with something is kept for a shorter time.
    #[error("must not be shorter than `{0}`, {1:?}")]
    ShorterThan(&'static str, Duration),
    /// A size above another one.
    #[error("must not be larger than `{0}`, {1}")]
    LargerThan(&'static str, usize),
    /// A prefix leads to channels of another type.
    #[error("leads to namespace {0:?}, which must be there and have `subscription_type` {1}")]
    PresencePrefix(String, &'static str),
    /// An unknown mode of polling.
    #[error("unknown mode {0:?}: it must be \"\", \"versionless\" or \"versioned\"")]
    PollMode(String),
    /// A time that has to be as long as another.
    #[error("must not be shorter than `{0}`")]
    NotBelow(&'static str),
    /// An unknown recovery mode.
    #[error("unknown recovery mode {0:?}: it must be \"\", \"stream\" or \"cache\"")]
    RecoveryMode(String),
    /// An unknown kind of deltas.
    #[error("unknown delta type {0:?}: it must be \"fossil\"")]
    DeltaType(String),
    /// A time that the protocol cannot tell.
    #[error("must be whole milliseconds, and at most 2^32 - 1 of them")]
    Milliseconds,
    /// A regular expression does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// An expression does not compile.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// A pattern of channels has another form.
    #[error("must begin with a slash and have at most 255 bytes of ASCII")]
    NotAPattern,
    /// A variable in a pattern of channels has another form.
    #[error("invalid variable {0:?}: it must match ^[A-Za-z_][A-Za-z0-9_]*$ and end its segment")]
    PatternVariable(String),
    /// A variable is in a pattern twice.
    #[error("the variable {0:?} is there twice")]
    PatternVariableTwice(String),
    /// A channel's publications would come from two places.
    #[error("excludes `{0}`")]
    Excludes(&'static str),
    /// A channel could match two patterns.
    #[error("a channel could match {0:?} too")]
    PatternConflict(String),
}
