//! Replies to JSON (API-10).

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tourbillon_node::{NodeInfo, NodeMetrics, Published};
use tourbillon_types::Channel;

use crate::command::{ApiError, ApiReply};
use crate::encode_channel::{Members, WireHistory, WirePresence, WirePresenceStats};
use crate::encode_map::{WireChanged, WireEntries, WireMapStats};
use crate::explain::{ExplainedRule, ExplainedToken, Explanation};

type Outcome = Result<ApiReply, ApiError>;

/// The body of a response: `{"result": ..}` or `{"error": ..}`; the replies themselves for a batch.
pub(crate) fn response(outcome: &Outcome) -> Vec<u8> {
    // Into memory, and with text keys only, serialising cannot fail.
    serde_json::to_vec(&Response(outcome)).unwrap_or_default()
}

/// The body of a response whose HTTP status tells that it is an error (API-05).
pub(crate) fn bare_error(error: &ApiError) -> Vec<u8> {
    serde_json::to_vec(&WireError::from(error)).unwrap_or_default()
}

struct Response<'a>(&'a Outcome);

impl Serialize for Response<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.0 {
            Ok(ApiReply::Batch(replies)) => map.serialize_entry("replies", &Replies(replies))?,
            Ok(reply) => map.serialize_entry("result", &Body(reply))?,
            Err(error) => map.serialize_entry("error", &WireError::from(error))?,
        }
        map.end()
    }
}

struct Replies<'a>(&'a [Outcome]);

impl Serialize for Replies<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for outcome in self.0 {
            list.serialize_element(&Reply(outcome))?;
        }
        list.end()
    }
}

/// One reply of a batch: the result under the name of its method.
struct Reply<'a>(&'a Outcome);

impl Serialize for Reply<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.0 {
            Ok(reply) => map.serialize_entry(name(reply), &Body(reply))?,
            Err(error) => map.serialize_entry("error", &WireError::from(error))?,
        }
        map.end()
    }
}

const fn name(reply: &ApiReply) -> &'static str {
    match reply {
        ApiReply::Publish(_) => "publish",
        ApiReply::Broadcast(_) => "broadcast",
        ApiReply::Subscribe => "subscribe",
        ApiReply::Unsubscribe => "unsubscribe",
        ApiReply::Disconnect => "disconnect",
        ApiReply::Refresh => "refresh",
        ApiReply::Info(_) => "info",
        ApiReply::Channels(_) => "channels",
        ApiReply::History(_) => "history",
        ApiReply::HistoryRemove => "history_remove",
        ApiReply::Presence(_) => "presence",
        ApiReply::PresenceStats(_) => "presence_stats",
        ApiReply::Explain(_) => "explain",
        ApiReply::BlockUser => "block_user",
        ApiReply::UnblockUser => "unblock_user",
        ApiReply::RevokeToken => "revoke_token",
        ApiReply::InvalidateUserTokens => "invalidate_user_tokens",
        ApiReply::MapPublish(_) => "map_publish",
        ApiReply::MapRemove(_) => "map_remove",
        ApiReply::MapReadState(_) => "map_read_state",
        ApiReply::MapReadStream(_) => "map_read_stream",
        ApiReply::MapStats(_) => "map_stats",
        ApiReply::MapClear => "map_clear",
        ApiReply::SharedPollPublish => "shared_poll_publish",
        ApiReply::Batch(_) => "batch",
    }
}

struct Body<'a>(&'a ApiReply);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ApiReply::Publish(published) => WirePublished::from(published).serialize(serializer),
            ApiReply::Broadcast(outcomes) => {
                let responses = outcomes.iter().map(WirePublishResponse::from).collect();
                WireBroadcast { responses }.serialize(serializer)
            }
            ApiReply::Info(nodes) => {
                WireInfo { nodes: nodes.iter().map(WireNode::from).collect() }.serialize(serializer)
            }
            ApiReply::Channels(channels) => WireChannels { channels: Counts(channels) }.serialize(serializer),
            ApiReply::Batch(replies) => Replies(replies).serialize(serializer),
            ApiReply::Explain(explanation) => WireExplanation::from(&**explanation).serialize(serializer),
            ApiReply::History(page) => WireHistory::from(page).serialize(serializer),
            ApiReply::Presence(members) => WirePresence { presence: Members(members) }.serialize(serializer),
            ApiReply::PresenceStats(stats) => {
                WirePresenceStats { num_clients: stats.clients, num_users: stats.users }.serialize(serializer)
            }
            ApiReply::MapPublish(changed) | ApiReply::MapRemove(changed) => {
                WireChanged::from(changed).serialize(serializer)
            }
            ApiReply::MapReadState(page) => WireEntries::from(page).serialize(serializer),
            ApiReply::MapReadStream(page) => WireEntries::from(page).serialize(serializer),
            ApiReply::MapStats(stats) => WireMapStats { num_keys: stats.keys }.serialize(serializer),
            ApiReply::MapClear
            | ApiReply::SharedPollPublish
            | ApiReply::Subscribe
            | ApiReply::Unsubscribe
            | ApiReply::Disconnect
            | ApiReply::Refresh
            | ApiReply::HistoryRemove
            | ApiReply::BlockUser
            | ApiReply::UnblockUser
            | ApiReply::RevokeToken
            | ApiReply::InvalidateUserTokens => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireError {
    code: u32,
    message: String,
}

impl From<&ApiError> for WireError {
    fn from(error: &ApiError) -> Self {
        Self { code: error.code, message: error.message.to_string() }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct WirePublished<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    epoch: &'a str,
}

impl<'a> From<&'a Published> for WirePublished<'a> {
    fn from(published: &'a Published) -> Self {
        Self { offset: published.position.offset, epoch: published.position.epoch.as_str() }
    }
}

#[derive(Serialize)]
struct WireBroadcast<'a> {
    responses: Vec<WirePublishResponse<'a>>,
}

#[derive(Serialize)]
struct WirePublishResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<WireError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<WirePublished<'a>>,
}

impl<'a> From<&'a Result<Published, ApiError>> for WirePublishResponse<'a> {
    fn from(outcome: &'a Result<Published, ApiError>) -> Self {
        match outcome {
            Ok(published) => Self { error: None, result: Some(published.into()) },
            Err(error) => Self { error: Some(error.into()), result: None },
        }
    }
}

#[derive(Serialize)]
struct WireInfo {
    nodes: Vec<WireNode>,
}

#[derive(Serialize)]
struct WireNode {
    uid: String,
    name: String,
    version: String,
    num_clients: usize,
    num_users: usize,
    num_subs: usize,
    num_channels: usize,
    #[serde(skip_serializing_if = "is_zero")]
    uptime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<WireMetrics>,
}

#[derive(Serialize)]
struct WireMetrics {
    /// In seconds.
    interval: Number,
    items: BTreeMap<String, Number>,
}

/// A number that is written without a fraction where it has none.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Up to here all integers are numbers of this kind.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.0.trunc() == self.0 && self.0.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is an integer in range")]
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}

impl From<&NodeMetrics> for WireMetrics {
    fn from(metrics: &NodeMetrics) -> Self {
        let items = metrics.items.iter().map(|(name, value)| (name.clone(), Number(*value)));
        Self { interval: Number(metrics.interval.as_secs_f64()), items: items.collect() }
    }
}

impl From<&NodeInfo> for WireNode {
    fn from(info: &NodeInfo) -> Self {
        Self {
            uid: info.id.to_string(),
            name: info.name.clone(),
            version: info.version.clone(),
            num_clients: info.stats.clients,
            num_users: info.stats.users,
            num_subs: info.stats.subscriptions,
            num_channels: info.stats.channels,
            uptime: info.uptime.as_secs(),
            metrics: info.metrics.as_deref().map(WireMetrics::from),
        }
    }
}

#[derive(Serialize)]
struct WireChannels<'a> {
    channels: Counts<'a>,
}

struct Counts<'a>(&'a [(Channel, usize)]);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Count {
            num_clients: usize,
        }

        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (channel, num_clients) in self.0 {
            map.serialize_entry(channel.as_str(), &Count { num_clients: *num_clients })?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct WireExplanation<'a> {
    namespace: &'a str,
    allowed: bool,
    verdict: &'a str,
    #[serde(skip_serializing_if = "is_no_code")]
    code: u32,
    rules: Vec<WireRule<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<WireToken<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_token: Option<WireToken<'a>>,
}

#[derive(Serialize)]
struct WireRule<'a> {
    rule: &'a str,
    outcome: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct WireToken<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

impl<'a> From<&'a Explanation> for WireExplanation<'a> {
    fn from(explanation: &'a Explanation) -> Self {
        let rule =
            |step: &'a ExplainedRule| WireRule { rule: step.rule, outcome: step.outcome, why: &step.why };
        Self {
            namespace: &explanation.namespace,
            allowed: explanation.allowed,
            verdict: &explanation.verdict,
            code: explanation.code,
            rules: explanation.rules.iter().map(rule).collect(),
            token: explanation.token.as_ref().map(WireToken::from),
            connection_token: explanation.connection_token.as_ref().map(WireToken::from),
        }
    }
}

impl<'a> From<&'a ExplainedToken> for WireToken<'a> {
    fn from(token: &'a ExplainedToken) -> Self {
        Self { claims: token.claims.as_deref(), problem: token.problem.as_deref() }
    }
}

const fn is_no_code(code: &u32) -> bool {
    *code == 0
}
