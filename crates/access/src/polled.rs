//! Polled channels: their rules, and who may track which keys (OPT-24, PERM-07).

use std::time::Duration;

use tourbillon_auth::{TrackSignatureError, TrackedKeys};
use tourbillon_node::hooks::{PollMode, PollRules, SignedKeys};
use tourbillon_node::{Refusal, SubscriptionKind};
use tourbillon_types::ReplyError;

use crate::Namespaces;
use crate::config::{ConfigError, ConfigProblem};
use crate::decision::{Decision, Rule, Trail};

/// `shared_poll` of a namespace. Zero stands for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollConfig {
    /// `""` and `versionless`, or `versioned` (SP-09, SP-10).
    pub mode: String,
    /// Time between two cycles (SP-07). Default 10 s.
    pub refresh_interval: Duration,
    /// The most keys in one question (SP-07). Default 1000.
    pub refresh_batch_size: usize,
    /// The most keys that a connection tracks in one channel (SP-06). Default 5000.
    pub max_keys_per_connection: usize,
    /// How long a channel is kept once nobody has it (SP-15). Default 1 s.
    pub channel_shutdown_delay: Duration,
    /// It is not kept at all (`channel_shutdown_delay` below zero).
    pub shutdown_at_once: bool,
    /// How long a key is tracked after its signature expired (SP-14). Default 25 s.
    pub track_expired_extra_delay: Duration,
    /// Values may be published by the server API (SP-16). Needs `mode: versioned`.
    pub publish_enabled: bool,
    /// Values are kept, for those who come later and for deltas (PRO-84). Needs `mode: versioned`.
    pub keep_latest_data: bool,
    /// Up to where the interval grows under pressure (PRO-86); 0 for not at all.
    pub backpressure_max_interval: Duration,
}

/// A client wants to track keys.
#[derive(Clone, Copy, Debug)]
pub struct TrackQuery<'a> {
    /// In which channel.
    pub channel: &'a str,
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// The keys, in signed batches.
    pub batches: &'a [SignedKeys],
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl Namespaces {
    /// Decides whether a client may track keys (PERM-07), and when its right to each batch of them ends, seconds since
    /// 1970 UTC. One batch that is refused refuses all.
    #[must_use]
    pub fn check_track(&self, query: &TrackQuery<'_>) -> (Decision, Vec<Option<i64>>) {
        let mut ends = Vec::with_capacity(query.batches.len());
        let decision = Decision::make(|trail| self.track(query, trail, &mut ends));
        (decision, ends)
    }

    fn track(
        &self,
        query: &TrackQuery<'_>,
        trail: &mut Trail,
        ends: &mut Vec<Option<i64>>,
    ) -> Result<Rule, Refusal> {
        let channel = self.enter(query.channel, trail)?;
        if channel.rules.kind != SubscriptionKind::SharedPoll {
            let why = "the channel is not polled";
            return Err(trail.refuses(Rule::SubscriptionType, why, ReplyError::PERMISSION_DENIED));
        }
        trail.satisfied(Rule::SubscriptionType, "the channel is polled");
        let Some(verifier) = self.tracks() else {
            let why = "there is no key to verify signatures with";
            return Err(trail.refuses(Rule::TrackSignature, why, ReplyError::INTERNAL));
        };
        for batch in query.batches {
            let keys = TrackedKeys { user: query.user, channel: query.channel, keys: &batch.keys };
            match verifier.verify(&keys, &batch.signature, query.unix_seconds) {
                Ok(end) => ends.push(end),
                Err(error) => {
                    let (why, reply) = refused(error);
                    return Err(trail.refuses(Rule::TrackSignature, why, reply));
                }
            }
        }
        Ok(trail.allows(Rule::TrackSignature, "every batch of keys is signed"))
    }
}

const fn refused(error: TrackSignatureError) -> (&'static str, ReplyError) {
    match error {
        TrackSignatureError::Malformed => ("a signature is malformed", ReplyError::PERMISSION_DENIED),
        TrackSignatureError::Mismatch => ("a signature does not match", ReplyError::PERMISSION_DENIED),
        TrackSignatureError::PreviousKeyOver => {
            ("a signature is younger than the previous key", ReplyError::PERMISSION_DENIED)
        }
        TrackSignatureError::Expired => ("a signature expired", ReplyError::TOKEN_EXPIRED),
    }
}

/// The rules of polled channels.
pub(crate) fn poll_rules(path: &str, config: &PollConfig) -> Result<PollRules, ConfigError> {
    let wrong =
        |option: &str, problem| Err(ConfigError { path: format!("{path}.shared_poll.{option}"), problem });
    let mode = match config.mode.as_str() {
        "" | "versionless" => PollMode::Versionless,
        "versioned" => PollMode::Versioned,
        other => return wrong("mode", ConfigProblem::PollMode(other.to_owned())),
    };
    if mode == PollMode::Versionless {
        let needs = |option| wrong(option, ConfigProblem::Needs("shared_poll.mode: versioned"));
        if config.publish_enabled {
            return needs("publish_enabled");
        }
        if config.keep_latest_data {
            return needs("keep_latest_data");
        }
    }
    let default = PollRules::default();
    let or = |time: Duration, default| if time.is_zero() { default } else { time };
    let or_many = |number: usize, default| if number == 0 { default } else { number };
    let refresh_interval = or(config.refresh_interval, default.refresh_interval);
    let pressure = Some(config.backpressure_max_interval).filter(|interval| !interval.is_zero());
    if pressure.is_some_and(|longest| longest < refresh_interval) {
        return wrong("backpressure_max_interval", ConfigProblem::NotBelow("shared_poll.refresh_interval"));
    }
    let shutdown_delay = or(config.channel_shutdown_delay, default.shutdown_delay);
    let shutdown_delay = if config.shutdown_at_once { Duration::ZERO } else { shutdown_delay };
    Ok(PollRules {
        mode,
        refresh_interval,
        refresh_batch_size: or_many(config.refresh_batch_size, default.refresh_batch_size),
        max_keys_per_connection: or_many(config.max_keys_per_connection, default.max_keys_per_connection),
        shutdown_delay,
        track_expired_extra_delay: or(config.track_expired_extra_delay, default.track_expired_extra_delay),
        publish_enabled: config.publish_enabled,
        keep_latest_data: config.keep_latest_data,
        backpressure_max_interval: pressure,
    })
}
