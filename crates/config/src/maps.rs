//! Keyed channels: `map` of namespaces, and `map_broker`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tourbillon::redis::MapsConfig;
use tourbillon_access::MapConfig;

use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{ChannelRules, options};
use crate::redis::{self, MapsRedis};

options! {
    /// `map` of a namespace.
    MapOptions {
        /// What is kept: `ephemeral` (keys that end by themselves), `recoverable` (and a stream of changes) or `persistent`
        /// (keys that stay until they are removed, and a stream).
        mode: String = String::new(),
        /// How long a key is kept after it was last set; needed but for `persistent`, which has none.
        key_ttl: GoDuration = GoDuration::default(),
        /// How many changes the stream keeps; zero for 100.
        stream_size: usize = 0,
        /// How long the stream is kept after the last change; zero for a minute.
        stream_ttl: GoDuration = GoDuration::default(),
        /// How long positions are kept after their last use; zero for ten times `stream_ttl` and no less than `key_ttl`,
        /// or for ever where the mode is `persistent`.
        meta_ttl: GoDuration = GoDuration::default(),
        /// The key of a client's id is removed when the client's subscription ends.
        remove_client_on_unsubscribe: bool = false,
        /// Which keys clients change: empty for those that they name, `client_id` or `user_id` for their own.
        client_key: String = String::new(),
        /// Users may set keys.
        allow_publish_for_client: bool = false,
        /// Users may set keys while subscribed.
        allow_publish_for_subscriber: bool = false,
        /// Where users may set keys, so may clients without a name.
        allow_publish_for_anonymous: bool = false,
        /// Users may remove keys.
        allow_remove_for_client: bool = false,
        /// Users may remove keys while subscribed.
        allow_remove_for_subscriber: bool = false,
        /// Where users may remove keys, so may clients without a name.
        allow_remove_for_anonymous: bool = false,
        /// A backend decides about keys that clients set, alone.
        publish_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.map_publish`, or one of `proxies`.
        publish_proxy_name: String = "default".to_owned(),
        /// A backend decides about keys that clients remove, alone.
        remove_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.map_remove`, or one of `proxies`.
        remove_proxy_name: String = "default".to_owned(),
        /// How many entries a page of the state has where the client does not say; zero for 100.
        default_page_size: usize = 0,
        /// How many entries it has at least; zero for 100.
        min_page_size: usize = 0,
        /// How many entries it has at most; zero for 1000.
        max_page_size: usize = 0,
        /// The most changes that a subscriber is told of at once as it goes live; zero for `max_page_size`.
        live_transition_max_publication_limit: usize = 0,
        /// How long a subscriber may take to go live; zero for 5 seconds, negative for any time.
        subscribe_catch_up_timeout: GoDuration = GoDuration::default(),
    }
}

options! {
    /// `map_broker`.
    MapBroker {
        /// Where keyed channels are kept: `memory`, by each node for itself, or `redis`.
        r#type: String = "memory".to_owned(),
        /// Redis, with type `redis`; no cluster.
        redis: MapsRedis = MapsRedis::default(),
    }
}

/// What keeps keyed channels.
#[derive(Debug)]
pub enum MapsSettings {
    /// Each node for itself.
    Memory,
    /// Redis.
    Redis(MapsConfig),
}

impl MapBroker {
    /// Where keyed channels are kept; `None` with an error.
    pub(crate) fn settings(&self, check: &mut Checker) -> Option<MapsSettings> {
        match self.r#type.as_str() {
            "memory" => return Some(MapsSettings::Memory),
            "redis" => return Some(MapsSettings::Redis(redis::maps(check, &self.redis))),
            "postgres" => {
                let message = "\"postgres\" is not implemented yet: \"memory\" and \"redis\" are";
                check.error("map_broker.type", message);
            }
            other => {
                let message = format!("{other:?} must be \"memory\", \"redis\" or \"postgres\"");
                check.error("map_broker.type", message);
            }
        }
        None
    }
}

/// `map` of a namespace; values that go with each other are compared where they are made rules of.
pub(crate) fn map(check: &mut Checker, path: &str, rules: &ChannelRules) -> MapConfig {
    let options = &rules.map;
    let mut duration = |name: &str, value: GoDuration| check.duration(&format!("{path}.map.{name}"), value);
    let timeout = options.subscribe_catch_up_timeout;
    MapConfig {
        mode: options.mode.clone(),
        key_ttl: duration("key_ttl", options.key_ttl),
        stream_size: options.stream_size,
        stream_ttl: duration("stream_ttl", options.stream_ttl),
        meta_ttl: duration("meta_ttl", options.meta_ttl),
        remove_client_on_unsubscribe: options.remove_client_on_unsubscribe,
        client_key: options.client_key.clone(),
        allow_publish_for_client: options.allow_publish_for_client,
        allow_publish_for_subscriber: options.allow_publish_for_subscriber,
        allow_publish_for_anonymous: options.allow_publish_for_anonymous,
        allow_remove_for_client: options.allow_remove_for_client,
        allow_remove_for_subscriber: options.allow_remove_for_subscriber,
        allow_remove_for_anonymous: options.allow_remove_for_anonymous,
        default_page_size: options.default_page_size,
        min_page_size: options.min_page_size,
        max_page_size: options.max_page_size,
        live_transition_max_publication_limit: options.live_transition_max_publication_limit,
        subscribe_catch_up_timeout: timeout.to_std().unwrap_or(Duration::MAX),
    }
}
