//! Options of polled channels.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tourbillon::auth::TrackKeysConfig;
use tourbillon::node::NodeConfig;
use tourbillon_access::PollConfig;

use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::Options;
use crate::model::options;
use crate::secret::SecretText;

options! {
    /// `shared_poll`.
    SharedPoll {
        /// The secret by which the application signs keys. Needed where there are polled channels.
        hmac_secret_key: SecretText = SecretText::default(),
        /// The secret before this one.
        hmac_previous_secret_key: SecretText = SecretText::default(),
        /// What the previous secret signed until then is good: seconds since 1970 UTC, zero for whatever it signed.
        hmac_previous_secret_key_valid_until: i64 = 0,
        /// How many questions are asked at once; zero for 64.
        concurrency_limit: usize = 0,
    }
}

options! {
    /// `shared_poll` of channels.
    SharedPollRules {
        /// Who knows what keys hold: empty or `default` for `channel.proxy.shared_poll_refresh`, or one of `proxies`.
        proxy_name: String = String::new(),
        /// How often each channel's keys are asked about; zero for 10s.
        refresh_interval: GoDuration = GoDuration::ZERO,
        /// The most keys in one question; zero for 1000.
        refresh_batch_size: usize = 0,
        /// The most keys that a connection tracks in one channel; zero for 5000.
        max_keys_per_connection: usize = 0,
        /// Where versions come from: empty or `versionless` for the data, `versioned` for the application.
        mode: String = String::new(),
        /// How long a channel is kept once nobody has it; zero for 1s, below zero for no time.
        channel_shutdown_delay: GoDuration = GoDuration::ZERO,
        /// How long a key is tracked after its signature expired; zero for 25s.
        track_expired_extra_delay: GoDuration = GoDuration::ZERO,
        /// Values may be published by the server API; needs `mode` versioned.
        publish_enabled: bool = false,
        /// Values are kept, for those who come later and for deltas; needs `mode` versioned. An option of Centrifugo PRO.
        keep_latest_data: bool = false,
        /// Up to where `refresh_interval` grows while the application is slower than that; zero for not at all. An option
        /// of Centrifugo PRO.
        backpressure_max_interval: GoDuration = GoDuration::ZERO,
    }
}

/// Where polling any faster does no good.
const SHORTEST: Duration = Duration::from_millis(10);

/// The rules of polled channels.
pub(crate) fn rules(check: &mut Checker, path: &str, rules: &SharedPollRules) -> PollConfig {
    let mut duration =
        |option: &str, duration| check.duration(&format!("{path}.shared_poll.{option}"), duration);
    let delay = rules.channel_shutdown_delay;
    let mut config = PollConfig::default();
    config.mode.clone_from(&rules.mode);
    config.refresh_interval = duration("refresh_interval", rules.refresh_interval);
    config.refresh_batch_size = rules.refresh_batch_size;
    config.max_keys_per_connection = rules.max_keys_per_connection;
    config.shutdown_at_once = delay.is_negative();
    config.channel_shutdown_delay = delay.to_std().unwrap_or_default();
    config.track_expired_extra_delay = duration("track_expired_extra_delay", rules.track_expired_extra_delay);
    config.publish_enabled = rules.publish_enabled;
    config.keep_latest_data = rules.keep_latest_data;
    config.backpressure_max_interval = duration("backpressure_max_interval", rules.backpressure_max_interval);
    if !config.refresh_interval.is_zero() && config.refresh_interval < SHORTEST {
        check.error(&format!("{path}.shared_poll.refresh_interval"), "must be at least 10ms");
    }
    config
}

/// The secrets by which keys are signed.
pub(crate) fn secrets(options: &Options) -> TrackKeysConfig {
    let shared_poll = &options.shared_poll;
    TrackKeysConfig {
        hmac_secret_key: shared_poll.hmac_secret_key.expose().into(),
        hmac_previous_secret_key: shared_poll.hmac_previous_secret_key.expose().into(),
        hmac_previous_secret_key_valid_until: shared_poll.hmac_previous_secret_key_valid_until,
    }
}

/// How a node polls.
pub(crate) fn node(node: &mut NodeConfig, options: &Options) {
    if options.shared_poll.concurrency_limit > 0 {
        node.shared_poll_concurrency = options.shared_poll.concurrency_limit;
    }
}
