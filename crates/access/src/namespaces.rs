//! The rules of every channel.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use tourbillon_auth::{Overrides, Pattern, TrackVerifier};
use tourbillon_node::hooks::PollRules;
use tourbillon_node::{
    Batching, ChannelOptions, DataFormat, HistoryPolicy, MapRules, OverflowPolicy, RecoveryMode, Refusal,
    SubscriptionKind, SubscriptionOptions,
};
use tourbillon_types::{Channel, MapPresence, ReplyError};

use crate::config::{ChannelConfig, ChannelProxies, ConfigError, ConfigProblem, NamespacesConfig};
use crate::decision::{Decision, Rule, with_reason};
use crate::expression::{Expression, ExpressionError};
use crate::grammar::{Grammar, Name};
use crate::ladder::{Asked, Asking, Attributes};
use crate::maps::{self, MapAccess};
use crate::polled::poll_rules;
use crate::route::Routes;

/// The rules of all channels. Looking a channel up copies and allocates nothing.
#[derive(Debug)]
pub struct Namespaces {
    grammar: Grammar,
    without_namespace: ChannelRules,
    by_name: HashMap<Box<str>, ChannelRules, foldhash::fast::RandomState>,
    /// Where channels that begin with a slash go, if there are patterns.
    routes: Option<Routes>,
    /// The namespaces that have a pattern, with their names.
    routed: Vec<(Box<str>, ChannelRules)>,
    insecure: bool,
    tell_reasons: bool,
    tracks: Option<TrackVerifier>,
}

/// The rules of the channels of one namespace. See [`ChannelConfig`] for what each means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "they are the options, independent of each other")]
pub struct ChannelRules {
    /// `presence`
    pub presence: bool,
    /// `join_leave`
    pub join_leave: bool,
    /// `force_push_join_leave`
    pub force_push_join_leave: bool,
    /// Whether `history_size` and `history_ttl` are set.
    pub history: bool,
    /// What they say, if so, with the `history_meta_ttl` below.
    pub history_policy: Option<HistoryPolicy>,
    /// `history_meta_ttl`, or else that of all namespaces.
    pub history_meta_ttl: Duration,
    /// `force_positioning`
    pub force_positioning: bool,
    /// `allow_positioning`
    pub allow_positioning: bool,
    /// `force_recovery`
    pub force_recovery: bool,
    /// `allow_recovery`
    pub allow_recovery: bool,
    /// `force_recovery_mode`
    pub recovery_mode: RecoveryMode,
    /// `auto_cache_recover`
    pub auto_cache_recover: bool,
    /// Whether `allowed_delta_types` has `fossil`.
    pub allow_delta: bool,
    /// `delta_publish`
    pub delta_publish: bool,
    /// `keep_latest_publication`
    pub keep_latest_publication: bool,
    /// `allow_tags_filter`
    pub allow_tags_filter: bool,
    /// `allow_channel_compaction`
    pub allow_channel_compaction: bool,
    /// `client_publish_debounce_interval`
    pub publish_debounce: Duration,
    /// `allow_subscribe_for_client`
    pub allow_subscribe_for_client: bool,
    /// `allow_subscribe_for_anonymous`
    pub allow_subscribe_for_anonymous: bool,
    /// `allow_publish_for_client`
    pub allow_publish_for_client: bool,
    /// `allow_publish_for_subscriber`
    pub allow_publish_for_subscriber: bool,
    /// `allow_publish_for_anonymous`
    pub allow_publish_for_anonymous: bool,
    /// `allow_presence_for_client`
    pub allow_presence_for_client: bool,
    /// `allow_presence_for_subscriber`
    pub allow_presence_for_subscriber: bool,
    /// `allow_presence_for_anonymous`
    pub allow_presence_for_anonymous: bool,
    /// `allow_history_for_client`
    pub allow_history_for_client: bool,
    /// `allow_history_for_subscriber`
    pub allow_history_for_subscriber: bool,
    /// `allow_history_for_anonymous`
    pub allow_history_for_anonymous: bool,
    /// `allow_user_limited_channels`
    pub allow_user_limited_channels: bool,
    /// `subscribe_cel`
    pub subscribe_cel: Option<Expression>,
    /// `publish_cel`
    pub publish_cel: Option<Expression>,
    /// `history_cel`
    pub history_cel: Option<Expression>,
    /// `presence_cel`
    pub presence_cel: Option<Expression>,
    /// `channel_regex`
    pub channel_regex: Option<Pattern>,
    /// `publication_data_format`, or else that of all namespaces.
    pub data_format: DataFormat,
    /// What `batch_max_size`, `batch_max_delay` and `batch_flush_latest` say, if anything.
    pub batching: Option<Batching>,
    /// `overflow_policy`
    pub overflow: OverflowPolicy,
    /// `subscription_type`
    pub kind: SubscriptionKind,
    /// What `map` says of what is kept and how it is read, where there are keys.
    pub map: Option<MapRules>,
    /// What `map` says of who may change keys.
    pub map_access: MapAccess,
    /// `map_clients_presence_channel_prefix`
    pub map_clients_prefix: Box<str>,
    /// `map_users_presence_channel_prefix`
    pub map_users_prefix: Box<str>,
    /// Which questions are left to others.
    pub proxies: ChannelProxies,
    /// `shared_poll`, where that is the type.
    pub poll: Option<PollRules>,
}

/// A channel with its rules.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Resolved<'a> {
    /// What its name says.
    pub name: Name<'a>,
    /// The rules of its namespace.
    pub rules: &'a ChannelRules,
}

impl Namespaces {
    /// Checks a configuration and makes rules of it.
    ///
    /// # Errors
    ///
    /// The first option that cannot be used, with its path (options.md section C).
    pub fn new(config: &NamespacesConfig) -> Result<Self, ConfigError> {
        let default_format = data_format("channel", &config.publication_data_format)?.unwrap_or_default();
        let defaults = (default_format, config.history_meta_ttl);
        let tracks = TrackVerifier::new(&config.shared_poll);
        let rules_of = |path: &str, config: &ChannelConfig| {
            let rules = ChannelRules::new(path, config, defaults)?;
            if rules.poll.is_some() && tracks.is_none() {
                let path = format!("{path}.subscription_type");
                return Err(ConfigError {
                    path,
                    problem: ConfigProblem::Needs("shared_poll.hmac_secret_key"),
                });
            }
            Ok(rules)
        };
        let without_namespace = rules_of("channel.without_namespace", &config.without_namespace)?;
        let mut by_name = HashMap::default();
        let mut routes = Routes::default();
        let mut routed: Vec<(Box<str>, ChannelRules)> = Vec::new();
        for (index, namespace) in config.namespaces.iter().enumerate() {
            let path = format!("channel.namespaces[{index}]");
            let problem = |problem| ConfigError { path: format!("{path}.name"), problem };
            let name = &namespace.name;
            if !is_namespace_name(name) {
                return Err(problem(ConfigProblem::NamespaceName(name.clone())));
            }
            let rules = rules_of(&path, &namespace.channel)?;
            if by_name.contains_key(name.as_str()) || routed.iter().any(|(of, _)| **of == **name) {
                return Err(problem(ConfigProblem::NamespaceTwice(name.clone())));
            }
            if namespace.pattern.is_empty() {
                by_name.insert(name.as_str().into(), rules);
                continue;
            }
            if !config.patterns {
                let path = format!("{path}.pattern");
                return Err(ConfigError { path, problem: ConfigProblem::Needs("channel.patterns") });
            }
            routes.add(&path, &namespace.pattern, routed.len())?;
            routed.push((name.as_str().into(), rules));
        }
        let made = Self {
            grammar: Grammar::new(config),
            without_namespace,
            by_name,
            routes: config.patterns.then_some(routes),
            routed,
            insecure: config.insecure,
            tell_reasons: false,
            tracks,
        };
        made.check_prefixes("channel.without_namespace", &config.without_namespace)?;
        for (index, namespace) in config.namespaces.iter().enumerate() {
            made.check_prefixes(&format!("channel.namespaces[{index}]"), &namespace.channel)?;
        }
        Ok(made)
    }

    /// Whether presence in keyed channels leads to channels of the right type (OPT-25).
    fn check_prefixes(&self, path: &str, config: &ChannelConfig) -> Result<(), ConfigError> {
        let ChannelConfig { map_clients_presence_channel_prefix, map_users_presence_channel_prefix, .. } =
            config;
        for (option, prefix, kind) in [
            (
                "map_clients_presence_channel_prefix",
                map_clients_presence_channel_prefix,
                SubscriptionKind::MapClients,
            ),
            (
                "map_users_presence_channel_prefix",
                map_users_presence_channel_prefix,
                SubscriptionKind::MapUsers,
            ),
        ] {
            let (name, rules) = self.resolve(prefix);
            if !prefix.is_empty() && rules.is_none_or(|rules| rules.kind != kind) {
                let problem = ConfigProblem::PresencePrefix(name.namespace.to_owned(), kind.as_str());
                return Err(ConfigError { path: format!("{path}.{option}"), problem });
            }
        }
        Ok(())
    }

    /// What a channel's name says, and the rules of its namespace; `None` for those of an unknown one.
    ///
    /// A channel that starts with the namespace boundary belongs to no namespace.
    #[must_use]
    pub fn resolve<'a>(&'a self, channel: &'a str) -> (Name<'a>, Option<&'a ChannelRules>) {
        let mut name = self.grammar.parse(channel);
        if let Some((routes, path)) = self.route(channel) {
            let found = routes.find(path).and_then(|at| self.routed.get(at));
            name.rest = channel;
            name.namespace = found.map_or("", |(namespace, _)| namespace);
            return (name, found.map(|(_, rules)| rules));
        }
        let rules = match name.namespace {
            "" => Some(&self.without_namespace),
            namespace => self.by_name.get(namespace),
        };
        (name, rules)
    }

    /// Where patterns count for a channel, and the path that they are compared with.
    fn route<'a>(&'a self, channel: &'a str) -> Option<(&'a Routes, &'a str)> {
        let routes = self.routes.as_ref()?;
        let path = self.grammar.without_prefix(channel);
        path.starts_with('/').then_some((routes, path))
    }

    /// What the variables of the channel's pattern stand for.
    pub fn variables<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.route(channel).into_iter().flat_map(|(routes, path)| routes.variables(path))
    }

    /// A channel with its rules.
    ///
    /// # Errors
    ///
    /// 102 where its namespace is unknown (CH-03).
    pub fn find<'a>(&'a self, channel: &'a str) -> Result<Resolved<'a>, ReplyError> {
        let (name, rules) = self.resolve(channel);
        let rules = rules.ok_or(ReplyError::UNKNOWN_CHANNEL)?;
        Ok(Resolved { name, rules })
    }

    /// The rules of a channel that the node itself applies.
    ///
    /// # Errors
    ///
    /// 102 where its namespace is unknown (CH-03).
    pub fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        Ok(self.find(channel)?.rules.channel_options())
    }

    /// How a subscription of this user behaves, by its [features](Self::features). Subscriptions that the server makes
    /// ask for nothing.
    ///
    /// # Errors
    ///
    /// 102 where the channel's namespace is unknown (CH-03).
    pub fn subscription_options(
        &self,
        channel: &str,
        user: &str,
        attributes: Attributes<'_>,
        asked: Asked,
        token: Overrides,
    ) -> Result<SubscriptionOptions, ReplyError> {
        let rules = self.find(channel)?.rules;
        let who = Asking::new(channel, user, attributes, true);
        Ok(self.options_by(rules, who, asked, token))
    }

    /// The same by rules that were found.
    pub(crate) fn options_by(
        &self,
        rules: &ChannelRules,
        who: Asking<'_>,
        asked: Asked,
        token: Overrides,
    ) -> SubscriptionOptions {
        let Asking { channel, user, attributes, .. } = who;
        let features = self.features_by(rules, who, asked, token);
        let mut options = rules.channel_options().subscription();
        options.positioned = features.positioned;
        options.recoverable = features.recoverable;
        options.presence = features.presence;
        options.join_leave = features.join_leave;
        options.push_join_leave = features.push_join_leave;
        options.allow = attributes.allow;
        options.map_presence = rules.map_presence(channel, user);
        options
    }

    /// The channel that is a user's own, in a namespace or, with an empty name, in none (HID-57).
    #[must_use]
    pub fn personal_channel(&self, namespace: &str, user: &str) -> Channel {
        Channel::from(self.grammar.personal_channel(namespace, user))
    }

    /// Whether everybody may do everything (MODE-03).
    #[must_use]
    pub const fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// Tells clients why they are refused, in the texts of errors and disconnects. For development only: it shows
    /// strangers how rules are made.
    #[must_use]
    pub fn telling_reasons(mut self) -> Self {
        self.tell_reasons = true;
        self
    }

    /// What answers a request that was decided.
    pub(crate) fn answer(&self, decision: Decision) -> Result<Rule, Refusal> {
        match decision.deciding().copied() {
            Some(step) if self.tell_reasons => {
                decision.into_result().map_err(|refusal| with_reason(refusal, &step))
            }
            _ => decision.into_result(),
        }
    }

    /// What answers a request that is refused for a reason.
    pub(crate) fn refuse(&self, refusal: impl Into<Refusal>, reason: &dyn fmt::Display) -> Refusal {
        let refusal = refusal.into();
        if self.tell_reasons { with_reason(refusal, reason) } else { refusal }
    }

    /// What verifies signatures of keys; `None` without a secret.
    pub(crate) const fn tracks(&self) -> Option<&TrackVerifier> {
        self.tracks.as_ref()
    }

    /// What marks mean.
    #[must_use]
    pub const fn grammar(&self) -> &Grammar {
        &self.grammar
    }
}

impl Resolved<'_> {
    /// Whether the name is one that this namespace takes: it matches `channel_regex`, or without one is ASCII
    /// (CH-02, CH-06). The expression sees what follows the namespace boundary (HID-59).
    #[must_use]
    pub fn has_valid_name(&self, channel: &str) -> bool {
        match &self.rules.channel_regex {
            Some(pattern) => pattern.is_match(self.name.rest),
            None => channel.is_ascii(),
        }
    }
}

impl ChannelRules {
    /// In which keyed channels somebody is shown who subscribes to this one (OPT-25). Who has no name is not among the
    /// users.
    fn map_presence(&self, channel: &str, user: &str) -> Option<Box<MapPresence>> {
        let of = |prefix: &str| (!prefix.is_empty()).then(|| Channel::from(format!("{prefix}{channel}")));
        let users = of(&self.map_users_prefix).filter(|_| !user.is_empty());
        let presence = MapPresence { clients: of(&self.map_clients_prefix), users };
        (!presence.is_none()).then(|| Box::new(presence))
    }

    /// What of them the node itself applies.
    fn channel_options(&self) -> ChannelOptions {
        let mut options = ChannelOptions::default();
        options.kind = self.kind;
        options.map = self.map;
        options.poll = self.poll;
        options.data_format = self.data_format;
        options.batching = self.batching;
        options.overflow = self.overflow;
        options.history = self.history_policy;
        options.history_meta_ttl = self.history_meta_ttl;
        options.force_positioning = self.force_positioning;
        options.force_recovery = self.force_recovery;
        options.recovery_mode = self.recovery_mode;
        options.auto_cache_recover = self.auto_cache_recover;
        options.presence = self.presence;
        options.join_leave = self.join_leave;
        options.force_push_join_leave = self.force_push_join_leave;
        options.allow_delta = self.allow_delta;
        options.delta_publish = self.delta_publish;
        options.keep_latest_publication = self.keep_latest_publication;
        options.allow_tags_filter = self.allow_tags_filter;
        options.allow_channel_compaction = self.allow_channel_compaction;
        options.publish_debounce = self.publish_debounce;
        options
    }

    fn new(
        path: &str,
        config: &ChannelConfig,
        (default_format, default_meta_ttl): (DataFormat, Duration),
    ) -> Result<Self, ConfigError> {
        let channel_regex = match config.channel_regex.as_str() {
            "" => None,
            source => Some(Pattern::new(source).map_err(|error| ConfigError {
                path: format!("{path}.channel_regex"),
                problem: error.into(),
            })?),
        };
        let expression = |option: &str, source: &str| {
            let wrong = |error: ExpressionError| ConfigError {
                path: format!("{path}.{option}"),
                problem: error.into(),
            };
            (!source.is_empty()).then(|| Expression::new(source).map_err(wrong)).transpose()
        };
        check_history(path, config, default_meta_ttl)?;
        let kind = maps::kind(path, &config.subscription_type)?;
        let polled = kind == SubscriptionKind::SharedPoll;
        let history_meta_ttl =
            if config.history_meta_ttl.is_zero() { default_meta_ttl } else { config.history_meta_ttl };
        let history_policy = (config.history_size > 0).then_some(HistoryPolicy {
            size: config.history_size,
            ttl: config.history_ttl,
            meta_ttl: history_meta_ttl,
        });
        Ok(Self {
            history_policy,
            history_meta_ttl,
            recovery_mode: recovery_mode(path, config)?,
            auto_cache_recover: config.auto_cache_recover,
            allow_delta: allow_delta(path, config)?,
            delta_publish: config.delta_publish,
            keep_latest_publication: config.keep_latest_publication,
            allow_tags_filter: config.allow_tags_filter,
            allow_channel_compaction: config.allow_channel_compaction,
            publish_debounce: debounce(path, config.client_publish_debounce_interval)?,
            presence: config.presence,
            join_leave: config.join_leave,
            force_push_join_leave: config.force_push_join_leave,
            history: config.history_size > 0,
            force_positioning: config.force_positioning,
            allow_positioning: config.allow_positioning,
            force_recovery: config.force_recovery,
            allow_recovery: config.allow_recovery,
            allow_presence_for_client: config.allow_presence_for_client,
            allow_presence_for_subscriber: config.allow_presence_for_subscriber,
            allow_presence_for_anonymous: config.allow_presence_for_anonymous,
            allow_history_for_client: config.allow_history_for_client,
            allow_history_for_subscriber: config.allow_history_for_subscriber,
            allow_history_for_anonymous: config.allow_history_for_anonymous,
            allow_subscribe_for_client: config.allow_subscribe_for_client,
            allow_subscribe_for_anonymous: config.allow_subscribe_for_anonymous,
            allow_publish_for_client: config.allow_publish_for_client,
            allow_publish_for_subscriber: config.allow_publish_for_subscriber,
            allow_publish_for_anonymous: config.allow_publish_for_anonymous,
            allow_user_limited_channels: config.allow_user_limited_channels,
            subscribe_cel: expression("subscribe_cel", &config.subscribe_cel)?,
            publish_cel: expression("publish_cel", &config.publish_cel)?,
            history_cel: expression("history_cel", &config.history_cel)?,
            presence_cel: expression("presence_cel", &config.presence_cel)?,
            channel_regex,
            data_format: data_format(path, &config.publication_data_format)?.unwrap_or(default_format),
            batching: batching(path, kind, config)?,
            overflow: overflow_policy(path, kind, &config.overflow_policy)?,
            kind,
            map: maps::rules(path, kind, &config.map)?,
            map_access: maps::access(path, &config.map, &config.proxies)?,
            map_clients_prefix: config.map_clients_presence_channel_prefix.as_str().into(),
            map_users_prefix: config.map_users_presence_channel_prefix.as_str().into(),
            proxies: proxies(path, &config.proxies)?,
            poll: polled.then(|| poll_rules(path, &config.shared_poll)).transpose()?,
        })
    }
}

/// Checks what is said of history: both or none, and nothing that outlives the position by which it is found.
fn check_history(path: &str, config: &ChannelConfig, default_meta_ttl: Duration) -> Result<(), ConfigError> {
    let wrong = |option: &str, problem| Err(ConfigError { path: format!("{path}.{option}"), problem });
    let meta_ttl = if config.history_meta_ttl.is_zero() { default_meta_ttl } else { config.history_meta_ttl };
    match (config.history_size > 0, !config.history_ttl.is_zero()) {
        (true, false) => wrong("history_size", ConfigProblem::Needs("history_ttl")),
        (false, true) => wrong("history_ttl", ConfigProblem::Needs("history_size")),
        (false, false) if config.force_recovery => {
            wrong("force_recovery", ConfigProblem::Needs("history_size"))
        }
        _ if config.history_ttl > meta_ttl => wrong("history_ttl", ConfigProblem::LongerThanMeta(meta_ttl)),
        _ => Ok(()),
    }
}

/// How publications are collected. Values of keys are not: each is on its way to those who have the one before.
fn batching(
    path: &str,
    kind: SubscriptionKind,
    config: &ChannelConfig,
) -> Result<Option<Batching>, ConfigError> {
    let max_size = NonZeroUsize::new(config.batch_max_size);
    let max_delay = Some(config.batch_max_delay).filter(|delay| !delay.is_zero());
    let flush_latest = config.batch_flush_latest;
    let collects = [("batch_max_size", max_size.is_some()), ("batch_max_delay", max_delay.is_some())];
    if let Some((option, _)) =
        collects.into_iter().find(|(_, is_set)| *is_set && kind != SubscriptionKind::Stream)
    {
        return Err(ConfigError {
            path: format!("{path}.{option}"),
            problem: ConfigProblem::NeedsStreamType,
        });
    }
    if max_size.is_some() || max_delay.is_some() {
        return Ok(Some(Batching { max_size, max_delay, flush_latest }));
    }
    if flush_latest {
        let path = format!("{path}.batch_flush_latest");
        let problem = ConfigProblem::NeedsEither("batch_max_size", "batch_max_delay");
        return Err(ConfigError { path, problem });
    }
    Ok(None)
}

fn overflow_policy(path: &str, kind: SubscriptionKind, name: &str) -> Result<OverflowPolicy, ConfigError> {
    match name {
        "" | "disconnect" => Ok(OverflowPolicy::Disconnect),
        "drop_oldest" | "keep_latest" if kind != SubscriptionKind::Stream => Err(ConfigError {
            path: format!("{path}.overflow_policy"),
            problem: ConfigProblem::NeedsStreamType,
        }),
        "drop_oldest" => Ok(OverflowPolicy::DropOldest),
        "keep_latest" => Ok(OverflowPolicy::KeepLatest),
        other => Err(ConfigError {
            path: format!("{path}.overflow_policy"),
            problem: ConfigProblem::OverflowPolicy(other.to_owned()),
        }),
    }
}

/// A stream decides about everything that the other three do.
fn proxies(path: &str, proxies: &ChannelProxies) -> Result<ChannelProxies, ConfigError> {
    if proxies.subscribe_stream.is_some() {
        let others = [
            (&proxies.subscribe, "subscribe_proxy_enabled"),
            (&proxies.publish, "publish_proxy_enabled"),
            (&proxies.sub_refresh, "sub_refresh_proxy_enabled"),
        ];
        if let Some((_, other)) = others.into_iter().find(|(proxy, _)| proxy.is_some()) {
            let path = format!("{path}.subscribe_stream_proxy_enabled");
            return Err(ConfigError { path, problem: ConfigProblem::Excludes(other) });
        }
    }
    Ok(proxies.clone())
}

fn recovery_mode(path: &str, config: &ChannelConfig) -> Result<RecoveryMode, ConfigError> {
    let wrong = |option: &str, problem| Err(ConfigError { path: format!("{path}.{option}"), problem });
    let mode = match config.force_recovery_mode.as_str() {
        "" | "stream" => RecoveryMode::Stream,
        "cache" => RecoveryMode::Cache,
        other => return wrong("force_recovery_mode", ConfigProblem::RecoveryMode(other.to_owned())),
    };
    if config.auto_cache_recover && !config.force_recovery {
        return wrong("auto_cache_recover", ConfigProblem::Needs("force_recovery"));
    }
    if config.auto_cache_recover && mode != RecoveryMode::Cache {
        return wrong("auto_cache_recover", ConfigProblem::Needs("force_recovery_mode: cache"));
    }
    Ok(mode)
}

fn allow_delta(path: &str, config: &ChannelConfig) -> Result<bool, ConfigError> {
    if let Some(other) = config.allowed_delta_types.iter().find(|kind| *kind != "fossil") {
        return Err(ConfigError {
            path: format!("{path}.allowed_delta_types"),
            problem: ConfigProblem::DeltaType(other.clone()),
        });
    }
    Ok(!config.allowed_delta_types.is_empty())
}

/// What clients are told fits into 32 bits of milliseconds.
fn debounce(path: &str, interval: Duration) -> Result<Duration, ConfigError> {
    let whole = interval.subsec_nanos().is_multiple_of(1_000_000);
    if whole && u32::try_from(interval.as_millis()).is_ok() {
        return Ok(interval);
    }
    let path = format!("{path}.client_publish_debounce_interval");
    Err(ConfigError { path, problem: ConfigProblem::Milliseconds })
}

/// Reads a data format; `None` for the empty one, which leaves the choice to the default.
fn data_format(path: &str, name: &str) -> Result<Option<DataFormat>, ConfigError> {
    Ok(Some(match name {
        "" => return Ok(None),
        "json" => DataFormat::Json,
        "json_object" => DataFormat::JsonObject,
        "binary" => DataFormat::Binary,
        other => {
            return Err(ConfigError {
                path: format!("{path}.publication_data_format"),
                problem: ConfigProblem::DataFormat(other.to_owned()),
            });
        }
    }))
}

fn is_namespace_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() >= 2 && name.bytes().all(is_allowed)
}
