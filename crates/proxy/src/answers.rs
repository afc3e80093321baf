//! What a backend's answers mean, as functions without effect.

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use tourbillon_broker::PublishOptions;
use tourbillon_hooks::{
    ChannelOptions, ConnectDecision, PublishDecision, RefreshDecision, Refusal, RpcDecision,
    SubscribeDecision, SubscriptionOptions,
};
use tourbillon_types::{
    Channel, Disconnect, FilterLimits, Payload, Permissions, ReplyError, TagFilter, TagMatcher, UserId,
};

use crate::event::Envelope;
use crate::hooks::{Capability, Rules};
use crate::proto;

/// An answer that has the right form and makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Nonsense {
    #[error("{0} is not base64")]
    Base64(&'static str),
    #[error("server_tags_filter is not a filter")]
    Filter,
    #[error("key_mode is none of replace, if_new and if_exists")]
    KeyMode,
    #[error("allow has a permission that there is not")]
    Permission,
}

/// Why an answer is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The backend or the rules refuse.
    Refused(Refusal),
    Nonsense(Nonsense),
}

impl<R: Into<Refusal>> From<R> for Unfit {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl Unfit {
    fn nonsense<T>(nonsense: Nonsense) -> Result<T, Self> {
        Err(Self::Nonsense(nonsense))
    }
}

impl<R> Envelope<R> {
    /// The result, unless the backend refuses: it ends the connection, or else answers by an error (PRX-14).
    pub(crate) fn open(self) -> Result<Option<R>, Refusal> {
        if let Some(proto::Disconnect { code, reason }) = self.disconnect {
            return Err(disconnect(code, reason).into());
        }
        match self.error {
            // 0 would tell the client that there is no error.
            Some(proto::Error { code: 0, .. }) => Err(ReplyError::INTERNAL.into()),
            Some(proto::Error { code, message, temporary }) => {
                Err(ReplyError::custom(code, message, temporary).into())
            }
            None => Ok(self.result),
        }
    }
}

/// An end that fits into a close frame. One whose code does not is 3503.
fn disconnect(code: u32, mut reason: String) -> Disconnect {
    let end = (0..=Disconnect::MAX_REASON).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or_default());
    if (3000..=4999).contains(&code) {
        Disconnect::custom(code, reason)
    } else {
        Disconnect::FORCE_DISCONNECT
    }
}

/// What is given twice, once in base64, which wins (HID-12).
pub(crate) fn either(name: &'static str, raw: Bytes, base64: &str) -> Result<Payload, Unfit> {
    if base64.is_empty() {
        return Ok(Payload::new(raw));
    }
    match base64::engine::general_purpose::STANDARD.decode(base64) {
        Ok(bytes) => Ok(Payload::from(bytes)),
        Err(_) => Unfit::nonsense(Nonsense::Base64(name)),
    }
}

/// Zero is never.
const fn time(seconds: i64) -> Option<i64> {
    if seconds == 0 { None } else { Some(seconds) }
}

fn filter(node: Option<proto::FilterNode>) -> Result<Option<Arc<TagMatcher>>, Unfit> {
    fn convert(node: proto::FilterNode) -> TagFilter {
        let proto::FilterNode { op, key, cmp, val, vals, nodes } = node;
        TagFilter { op, key, cmp, val, vals, nodes: nodes.into_iter().map(convert).collect() }
    }
    let Some(node) = node else { return Ok(None) };
    match TagMatcher::new(&convert(node), FilterLimits::default()) {
        Ok(matcher) => Ok(Some(Arc::new(matcher))),
        Err(_) => Unfit::nonsense(Nonsense::Filter),
    }
}

/// Changes what a channel has for all (PRX-30).
fn override_options(options: &mut SubscriptionOptions, given: Option<proto::SubscribeOptionOverride>) {
    let Some(given) = given else { return };
    for (option, value) in [
        (&mut options.presence, given.presence),
        (&mut options.join_leave, given.join_leave),
        (&mut options.push_join_leave, given.force_push_join_leave),
        (&mut options.recoverable, given.force_recovery),
        (&mut options.positioned, given.force_positioning),
    ] {
        *option = value.map_or(*option, |value| value.value);
    }
}

/// A connection, where the backend says who it is. Who refreshes it the caller knows.
pub(crate) fn connect(
    result: Option<proto::ConnectResult>,
    rules: &impl Rules,
) -> Result<ConnectDecision, Unfit> {
    let Some(result) = result else {
        let mut undecided = ConnectDecision::new(UserId::anonymous());
        undecided.undecided = true;
        return Ok(undecided);
    };
    let mut decision = ConnectDecision::new(UserId::from(result.user));
    decision.expire_at = time(result.expire_at);
    decision.info = either("b64info", result.info, &result.b64info)?;
    decision.data = either("b64data", result.data, &result.b64data)?;
    decision.meta = Payload::new(result.meta);
    decision.labels = (!result.labels.is_empty()).then(|| Arc::new(result.labels));
    decision.rights = rights(result.caps, rules)?;
    for channel in result.channels {
        if !result.subs.contains_key(&channel) {
            let options = rules.channel_options(&channel)?.subscription();
            add(&mut decision, channel, options);
        }
    }
    for (channel, given) in result.subs {
        let base = rules.channel_options(&channel)?;
        add(&mut decision, channel, server_side(&base, given)?);
    }
    Ok(decision)
}

/// A channel that is named twice counts once.
fn add(decision: &mut ConnectDecision, channel: String, options: SubscriptionOptions) {
    let channel = Channel::from(channel);
    if !decision.subscriptions.iter().any(|(other, _)| *other == channel) {
        decision.subscriptions.push((channel, options));
    }
}

fn server_side(base: &ChannelOptions, given: proto::SubscribeOptions) -> Result<SubscriptionOptions, Unfit> {
    let mut options = base.subscription();
    override_options(&mut options, given.r#override);
    options.auto_cache_recover = (options.auto_cache_recover && options.recoverable) || given.cache_recover;
    options.expire_at = time(given.expire_at);
    options.info = either("b64info", given.info, &given.b64info)?;
    options.data = either("b64data", given.data, &given.b64data)?;
    options.server_tags_filter = filter(given.server_tags_filter)?;
    Ok(options)
}

fn rights(
    caps: Vec<proto::ChannelsCapability>,
    rules: &impl Rules,
) -> Result<Option<tourbillon_hooks::ClientRights>, Unfit> {
    if caps.is_empty() {
        return Ok(None);
    }
    let capability = |proto::ChannelsCapability { channels, allow, r#match: matching }| {
        Ok(Capability { channels, matching, allow: permissions(&allow)? })
    };
    let caps: Vec<Capability> = caps.into_iter().map(capability).collect::<Result<_, Unfit>>()?;
    Ok(rules.rights(caps)?)
}

fn permissions(names: &[String]) -> Result<Permissions, Unfit> {
    names.iter().try_fold(Permissions::NONE, |all, name| match Permissions::named(name) {
        Some(one) => Ok(all | one),
        None => Unfit::nonsense(Nonsense::Permission),
    })
}

/// A subscription (PRX-30). Without a result it is what the channel has for all.
pub(crate) fn subscribe(
    result: Option<proto::SubscribeResult>,
    base: &ChannelOptions,
) -> Result<SubscribeDecision, Unfit> {
    let mut decision = SubscribeDecision::default();
    decision.options = base.subscription();
    if let Some(result) = result {
        let options = &mut decision.options;
        override_options(options, result.r#override);
        options.auto_cache_recover &= options.recoverable;
        options.expire_at = time(result.expire_at);
        options.info = either("b64info", result.info, &result.b64info)?;
        options.data = either("b64data", result.data, &result.b64data)?;
        options.allow = permissions(&result.allow)?;
        options.server_tags_filter = filter(result.server_tags_filter)?;
    }
    Ok(decision)
}

/// A subscription whose publications are streamed (PRX-54): there is nothing that it could recover, nor deltas or filters
/// of the client's.
pub(crate) fn stream(
    result: Option<proto::SubscribeResult>,
    base: &ChannelOptions,
) -> Result<SubscribeDecision, Unfit> {
    let mut decision = subscribe(result, base)?;
    let options = &mut decision.options;
    options.positioned = false;
    options.recoverable = false;
    options.auto_cache_recover = false;
    options.allow_delta = false;
    options.keep_latest_publication = false;
    options.allow_tags_filter = false;
    Ok(decision)
}

/// A publication, as the backend wants it (PRX-31). What the namespace says of deltas does not count (HID-83).
pub(crate) fn publish(
    result: Option<proto::PublishResult>,
    base: &ChannelOptions,
) -> Result<PublishDecision, Unfit> {
    let mut options = PublishOptions::default();
    options.history = base.history;
    let mut data = None;
    if let Some(result) = result {
        let replaced = either("b64data", result.data, &result.b64data)?;
        data = (!replaced.is_empty()).then_some(replaced);
        if result.skip_history {
            options.history = None;
        }
        options.tags = (!result.tags.is_empty()).then(|| Arc::new(result.tags));
        options.idempotency_key = result.idempotency_key;
        options.delta = result.delta;
        options.version = result.version;
        options.version_epoch = result.version_epoch;
    }
    Ok(PublishDecision::Publish { data, options: Box::new(options), as_is: true })
}

/// The answer of a call (PRX-40).
pub(crate) fn rpc(result: Option<proto::RpcResult>) -> Result<RpcDecision, Unfit> {
    let result = result.unwrap_or_default();
    Ok(RpcDecision { data: either("b64data", result.data, &result.b64data)? })
}

/// How long a connection goes on (PRX-21). What the envelope has besides does not count (HID-54).
pub(crate) fn refresh(
    result: Option<proto::RefreshResult>,
    rules: &impl Rules,
) -> Result<RefreshDecision, Unfit> {
    let Some(result) = result.filter(|result| !result.expired) else { return Ok(expired()) };
    let mut decision = RefreshDecision::until(time(result.expire_at));
    let info = either("b64info", result.info, &result.b64info)?;
    decision.info = (!info.is_empty()).then_some(info);
    decision.meta = (!result.meta.is_empty()).then(|| Payload::new(result.meta));
    decision.rights = rights(result.caps, rules)?;
    Ok(decision)
}

/// How long a subscription goes on (PRX-32).
pub(crate) fn sub_refresh(result: Option<proto::SubRefreshResult>) -> Result<RefreshDecision, Unfit> {
    let Some(result) = result.filter(|result| !result.expired) else { return Ok(expired()) };
    let mut decision = RefreshDecision::until(time(result.expire_at));
    let info = either("b64info", result.info, &result.b64info)?;
    decision.info = (!info.is_empty()).then_some(info);
    Ok(decision)
}

fn expired() -> RefreshDecision {
    let mut decision = RefreshDecision::default();
    decision.expired = true;
    decision
}

#[cfg(test)]
mod tests;
