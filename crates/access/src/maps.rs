//! Keyed channels: their options, who may change them, and by which key.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_node::{Client, DataFormat, MapRules, Refusal, SubscriptionKind};
use tourbillon_types::{MapPolicy, MapStream, PageSizes, Payload, Permissions, ReplyError};

use crate::config::{ChannelProxies, ConfigError, ConfigProblem};
use crate::decision::{Decision, Rule, Trail};
use crate::ladder::{Asking, Attributes, by_option, while_subscribed};
use crate::namespaces::{Namespaces, Resolved};

/// The options of keyed channels, `map` of a namespace, under their names. They have an effect where
/// `subscription_type` is that of a keyed channel.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options, independent of each other")]
pub struct MapConfig {
    /// `ephemeral`, `recoverable` or `persistent` (MAP-01).
    pub mode: String,
    /// How long a key is kept after it was last set (MAP-02). Needed but for `persistent`, which has none.
    pub key_ttl: Duration,
    /// How many changes are kept; 0 for 100 (MAP-03). None for `ephemeral`, as the two below.
    pub stream_size: usize,
    /// How long changes are kept; 0 for a minute (MAP-03).
    pub stream_ttl: Duration,
    /// How long positions are kept (MAP-04); 0 for ten times `stream_ttl` and no less than `key_ttl`, or for ever if the
    /// mode is `persistent`, which allows nothing else.
    pub meta_ttl: Duration,
    /// The key of a client's id goes with the client's subscription (MAP-06).
    pub remove_client_on_unsubscribe: bool,
    /// Which keys clients change (MAP-07): `""` any, `client_id` that of their connection, `user_id` that of their user.
    pub client_key: String,
    /// Users may set keys (MAP-08).
    pub allow_publish_for_client: bool,
    /// Users may set keys while subscribed (MAP-08).
    pub allow_publish_for_subscriber: bool,
    /// Where users may set keys, so may clients without a name (MAP-08).
    pub allow_publish_for_anonymous: bool,
    /// Users may remove keys (MAP-08).
    pub allow_remove_for_client: bool,
    /// Users may remove keys while subscribed (MAP-08).
    pub allow_remove_for_subscriber: bool,
    /// Where users may remove keys, so may clients without a name (MAP-08).
    pub allow_remove_for_anonymous: bool,
    /// How many entries a page has where the client does not say; 0 for 100 (MAP-10).
    pub default_page_size: usize,
    /// How many entries a page has at least; 0 for 100 (MAP-10).
    pub min_page_size: usize,
    /// How many entries a page has at most; 0 for 1000 (MAP-10).
    pub max_page_size: usize,
    /// The most changes that a subscriber is told of at once as it goes live; 0 for as many as a page may have (MAP-11).
    pub live_transition_max_publication_limit: usize,
    /// How long a subscriber may take to go live; 0 for five seconds, `MAX` for any time (MAP-12).
    pub subscribe_catch_up_timeout: Duration,
}

/// Which keys of a channel its clients change (MAP-07).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientKey {
    /// Those that they name.
    #[default]
    Named,
    /// That of their connection.
    Client,
    /// That of their user.
    User,
}

/// Who may change the keys of a channel. See [`MapConfig`] for what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options, independent of each other")]
pub struct MapAccess {
    /// `client_key`
    pub client_key: ClientKey,
    /// `allow_publish_for_client`
    pub allow_publish_for_client: bool,
    /// `allow_publish_for_subscriber`
    pub allow_publish_for_subscriber: bool,
    /// `allow_publish_for_anonymous`
    pub allow_publish_for_anonymous: bool,
    /// `allow_remove_for_client`
    pub allow_remove_for_client: bool,
    /// `allow_remove_for_subscriber`
    pub allow_remove_for_subscriber: bool,
    /// `allow_remove_for_anonymous`
    pub allow_remove_for_anonymous: bool,
}

/// What a client wants to do with a key.
#[derive(Clone, Copy, Debug)]
pub enum MapChange<'a> {
    /// To set it to this.
    Publish(&'a Payload),
    /// To remove it.
    Remove,
}

/// A client wants to change a key.
#[derive(Clone, Copy, Debug)]
pub struct MapChangeQuery<'a> {
    /// Of which channel.
    pub channel: &'a str,
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// What else is known of it.
    pub attributes: Attributes<'a>,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// How.
    pub change: MapChange<'a>,
}

impl Namespaces {
    /// Decides whether a client may set or remove a key (PERM-06).
    ///
    /// Stricter than the original (HID-44): the channel must be a keyed one, and a value must have the channel's
    /// `publication_data_format` where that is `json` or `json_object`. `pub` among capabilities lets clients set keys; what
    /// lets them remove some is `map.allow_remove_for_*` alone.
    #[must_use]
    pub fn check_map_change(&self, query: &MapChangeQuery<'_>) -> Decision {
        Decision::make(|trail| self.map_change(query, trail))
    }

    fn map_change(&self, query: &MapChangeQuery<'_>, trail: &mut Trail) -> Result<Rule, Refusal> {
        let Resolved { rules, .. } = self.enter(query.channel, trail)?;
        if !rules.kind.is_map() {
            let why = "the channel has no keys";
            return Err(trail.refuses(Rule::SubscriptionType, why, ReplyError::BAD_REQUEST));
        }
        trail.satisfied(Rule::SubscriptionType, "the channel has keys");
        let access = &rules.map_access;
        let (by_proxy, proxy, by_client, client, by_subscriber, subscriber, anonymous) = match query.change {
            MapChange::Publish(data) => {
                // Without a format any value will do: an empty one says that the key is there.
                let has_format = matches!(rules.data_format, DataFormat::Json | DataFormat::JsonObject);
                if has_format && !rules.data_format.accepts(data) {
                    let why = "the data does not have the channel's format";
                    return Err(trail.refuses(Rule::DataFormat, why, ReplyError::BAD_REQUEST));
                }
                trail.satisfied(Rule::DataFormat, "the data has the channel's format");
                (
                    Rule::MapPublishProxy,
                    &rules.proxies.map_publish,
                    Rule::MapAllowPublishForClient,
                    access.allow_publish_for_client,
                    Rule::MapAllowPublishForSubscriber,
                    access.allow_publish_for_subscriber,
                    access.allow_publish_for_anonymous,
                )
            }
            MapChange::Remove => (
                Rule::MapRemoveProxy,
                &rules.proxies.map_remove,
                Rule::MapAllowRemoveForClient,
                access.allow_remove_for_client,
                Rule::MapAllowRemoveForSubscriber,
                access.allow_remove_for_subscriber,
                access.allow_remove_for_anonymous,
            ),
        };
        if proxy.is_some() {
            return Ok(trail.asks(by_proxy));
        }
        if access.client_key == ClientKey::User && query.user.is_empty() {
            let why = "keys are names of users, and this one has none";
            return Err(trail.refuses(Rule::MapClientKey, why, ReplyError::PERMISSION_DENIED));
        }
        if by_option(by_client, client, anonymous, query.user, trail) {
            return Ok(by_client);
        }
        if while_subscribed(by_subscriber, subscriber, anonymous, query.user, query.subscribed, trail) {
            return Ok(by_subscriber);
        }
        if matches!(query.change, MapChange::Publish(_)) {
            let who = Asking::new(query.channel, query.user, query.attributes, query.subscribed);
            let no_expression = (Rule::PublishCel, None);
            if let Some(rule) = self.by_attributes(who, Permissions::PUBLISH, no_expression, trail) {
                return Ok(rule);
            }
        }
        self.otherwise(trail)
    }

    /// The key that a client changes in a channel, where it is not the one that it names (MAP-07).
    #[must_use]
    pub fn client_key(&self, channel: &str, client: &Client) -> Option<Arc<str>> {
        match self.find(channel).ok()?.rules.map_access.client_key {
            ClientKey::Named => None,
            ClientKey::Client => Some(Arc::from(client.id.text().as_str())),
            ClientKey::User => Some(Arc::from(&*client.user)),
        }
    }
}

/// What kind of subscription a namespace has (OPT-22).
pub(crate) fn kind(path: &str, name: &str) -> Result<SubscriptionKind, ConfigError> {
    if name.is_empty() {
        return Ok(SubscriptionKind::Stream);
    }
    let kind = SubscriptionKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    kind.ok_or_else(|| ConfigError {
        path: format!("{path}.subscription_type"),
        problem: ConfigProblem::SubscriptionType(name.to_owned()),
    })
}

/// What a keyed channel keeps and how it is read, if it is one. The options are checked whether it is one or not.
pub(crate) fn rules(
    path: &str,
    kind: SubscriptionKind,
    config: &MapConfig,
) -> Result<Option<MapRules>, ConfigError> {
    let wrong = |option: &str, problem| ConfigError { path: format!("{path}.map.{option}"), problem };
    if kind.is_map() && config.mode.is_empty() {
        return Err(wrong("mode", ConfigProblem::MapModeMissing));
    }
    let pages = page_sizes(config).map_err(|(option, problem)| wrong(option, problem))?;
    let policy = policy(kind, config).map_err(|(option, problem)| wrong(option, problem))?;
    if config.remove_client_on_unsubscribe && !kind.is_map() {
        return Err(wrong("remove_client_on_unsubscribe", ConfigProblem::NeedsMapType));
    }
    let Some(policy) = policy.filter(|_| kind.is_map()) else { return Ok(None) };
    let mut rules = MapRules::new(policy);
    rules.pages = pages;
    rules.live_transition_limit = or(config.live_transition_max_publication_limit, pages.max);
    let timeout = config.subscribe_catch_up_timeout;
    rules.catch_up_timeout = if timeout.is_zero() { MapRules::CATCH_UP_TIMEOUT } else { timeout };
    rules.remove_client_on_unsubscribe = config.remove_client_on_unsubscribe;
    Ok(Some(rules))
}

type Wrong = (&'static str, ConfigProblem);

/// What the channel keeps (MAP-01 to MAP-05); `None` where no mode is given.
fn policy(kind: SubscriptionKind, config: &MapConfig) -> Result<Option<MapPolicy>, Wrong> {
    let MapConfig { mode, key_ttl, stream_size, stream_ttl, meta_ttl, .. } = config;
    let usual = MapStream::default();
    let stream = MapStream {
        size: or(*stream_size, usual.size),
        ttl: if stream_ttl.is_zero() { usual.ttl } else { *stream_ttl },
    };
    let mode = match mode.as_str() {
        "" => return Ok(None),
        mode @ ("ephemeral" | "recoverable") if key_ttl.is_zero() => {
            return Err(("key_ttl", ConfigProblem::MapNeedsKeyTtl(mode.to_owned())));
        }
        "persistent" if !key_ttl.is_zero() => return Err(("key_ttl", ConfigProblem::MapKeepsKeys)),
        "persistent" if matches!(kind, SubscriptionKind::MapClients | SubscriptionKind::MapUsers) => {
            return Err(("mode", ConfigProblem::MapPresenceEnds));
        }
        mode => mode,
    };
    if mode == "ephemeral" {
        let set = [
            ("stream_size", *stream_size > 0),
            ("stream_ttl", !stream_ttl.is_zero()),
            ("meta_ttl", !meta_ttl.is_zero()),
        ];
        if let Some((option, _)) = set.into_iter().find(|(_, is_set)| *is_set) {
            return Err((option, ConfigProblem::MapHasNoStream));
        }
        return Ok(Some(MapPolicy::ephemeral(*key_ttl)));
    }
    if !meta_ttl.is_zero() && *meta_ttl < stream.ttl {
        return Err(("meta_ttl", ConfigProblem::ShorterThan("stream_ttl", stream.ttl)));
    }
    match mode {
        // What the original finds out by its first change only.
        "recoverable" if !meta_ttl.is_zero() && meta_ttl < key_ttl => {
            Err(("meta_ttl", ConfigProblem::ShorterThan("key_ttl", *key_ttl)))
        }
        "recoverable" if !meta_ttl.is_zero() => {
            Ok(Some(MapPolicy { meta_ttl: Some(*meta_ttl), ..MapPolicy::recoverable(*key_ttl, stream) }))
        }
        "recoverable" => Ok(Some(MapPolicy::recoverable(*key_ttl, stream))),
        "persistent" if !meta_ttl.is_zero() => Err(("meta_ttl", ConfigProblem::MapKeepsKeys)),
        "persistent" => Ok(Some(MapPolicy::persistent(stream))),
        other => Err(("mode", ConfigProblem::MapMode(other.to_owned()))),
    }
}

/// How large pages are (MAP-10). Only what is set is compared; the largest size counts most.
fn page_sizes(config: &MapConfig) -> Result<PageSizes, Wrong> {
    let [default, min, max] = [config.default_page_size, config.min_page_size, config.max_page_size];
    let both_set = |less: usize, more: usize| less > 0 && more > 0;
    if both_set(min, max) && min > max {
        return Err(("min_page_size", ConfigProblem::LargerThan("max_page_size", max)));
    }
    if both_set(default, max) && default > max {
        return Err(("default_page_size", ConfigProblem::LargerThan("max_page_size", max)));
    }
    if both_set(default, min) && default < min {
        return Err(("min_page_size", ConfigProblem::LargerThan("default_page_size", default)));
    }
    let usual = PageSizes::default();
    Ok(PageSizes { default: or(default, usual.default), min: or(min, usual.min), max: or(max, usual.max) })
}

const fn or(size: usize, otherwise: usize) -> usize {
    if size == 0 { otherwise } else { size }
}

/// Who may change keys (MAP-07, MAP-08).
pub(crate) fn access(
    path: &str,
    config: &MapConfig,
    proxies: &ChannelProxies,
) -> Result<MapAccess, ConfigError> {
    let wrong = |problem| Err(ConfigError { path: format!("{path}.map.client_key"), problem });
    let client_key = match config.client_key.as_str() {
        "" => ClientKey::Named,
        "client_id" => ClientKey::Client,
        "user_id" => ClientKey::User,
        other => return wrong(ConfigProblem::MapClientKey(other.to_owned())),
    };
    if client_key != ClientKey::Named {
        if proxies.map_publish.is_some() {
            return wrong(ConfigProblem::Excludes("map.publish_proxy_enabled"));
        }
        if proxies.map_remove.is_some() {
            return wrong(ConfigProblem::Excludes("map.remove_proxy_enabled"));
        }
    }
    Ok(MapAccess {
        client_key,
        allow_publish_for_client: config.allow_publish_for_client,
        allow_publish_for_subscriber: config.allow_publish_for_subscriber,
        allow_publish_for_anonymous: config.allow_publish_for_anonymous,
        allow_remove_for_client: config.allow_remove_for_client,
        allow_remove_for_subscriber: config.allow_remove_for_subscriber,
        allow_remove_for_anonymous: config.allow_remove_for_anonymous,
    })
}
