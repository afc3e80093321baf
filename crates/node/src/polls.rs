//! Polled channels of the node: who subscribes to them, and the task that asks the application.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tourbillon_broker::Publish;
use tourbillon_fanout::deltas::in_text;
use tourbillon_hub::Fanout;
use tourbillon_session::{Granted, Refusal, TrackCall, Tracked};
use tourbillon_shared_poll::{
    Ask, BackendError, Detached, DynBackend, PollMode, Polls, Refresh, Refreshed, Track, TrackItem, Update,
    Wants,
};
use tourbillon_types::{Channel, Instant, Publication, PushKinds, ReplyError, SubscriptionKind};

use crate::Node;
use crate::attachment::Attachment;
use crate::conn::Conn;
use crate::hooks::{Client, SignedKeys, TrackDecision, TrackRequest};
use crate::shared::Shared;

/// The polled channels of a node.
#[derive(Debug)]
pub(crate) struct Poller {
    polls: Polls<Arc<Conn>>,
    due: Arc<Notify>,
    /// `None`: nobody answers, and there are no polled channels.
    backend: Option<Arc<dyn DynBackend>>,
}

impl Poller {
    pub(crate) fn new(backend: Option<Arc<dyn DynBackend>>) -> Self {
        let due = Arc::new(Notify::new());
        let wake = due.clone();
        Self { polls: Polls::new(move || wake.notify_one()), due, backend }
    }

    /// Whether somebody has this channel.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.polls.has(channel)
    }

    /// Polled channels, and the keys that are tracked in them.
    pub(crate) fn count(&self) -> (usize, usize) {
        self.polls.count()
    }

    /// The reply to a track is queued.
    pub(crate) fn tracked(&self, shared: &Shared, conn: &Conn, channel: &Channel, call: u32) {
        self.polls.open(shared.clock.now(), channel, (conn.key, call), &mut Fanout(&shared.hub));
    }

    pub(crate) fn untrack(&self, conn: &Conn, channel: &Channel, keys: &[String]) {
        self.polls.untrack(channel, conn.key, keys);
    }

    /// A connection has this channel no more, whether it had it as a polled one or not.
    pub(crate) fn detach(&self, shared: &Shared, channel: &Channel, conn: &Conn) -> Detached {
        if self.polls.is_empty() {
            return Detached::default();
        }
        self.polls.detach(shared.clock.now(), channel, conn.key)
    }

    /// A publication came. `true`: it was for a polled channel, and is a value of a key there.
    pub(crate) fn published(&self, shared: &Shared, channel: &Channel, publication: &Publication) -> bool {
        if !self.polls.takes_updates_of(channel) {
            return false;
        }
        match Update::from_payload(&publication.data) {
            Ok(update) => {
                let published =
                    self.polls.publish(shared.clock.now(), channel, update, &mut Fanout(&shared.hub));
                shared.metrics.poll_published(published);
            }
            Err(error) => tracing::warn!(%channel, %error, "a publication is ignored"),
        }
        true
    }

    /// Asks the application for ever.
    pub(crate) async fn run(&self, shared: &Shared) {
        let Some(backend) = &self.backend else { return };
        let limit = shared.config.shared_poll_concurrency.max(1);
        let mut calls = FuturesUnordered::new();
        loop {
            while calls.len() < limit
                && let Some((channel, ask)) = self.polls.next(shared.clock.now())
            {
                calls.push(call(shared, backend.as_ref(), channel, ask));
            }
            let full = calls.len() >= limit;
            tokio::select! {
                Some(answered) = calls.next(), if !calls.is_empty() => {
                    self.answered(shared, answered);
                }
                () = self.due.notified(), if !full => {}
                () = wait_until(shared, self.polls.due()), if !full => {}
            }
        }
    }

    fn answered(&self, shared: &Shared, (channel, ask, answer, took): Answered) {
        if let Err(error) = &answer {
            tracing::warn!(%channel, %error, "a polled channel is not refreshed");
        }
        let failed = answer.is_err();
        let applied = self.polls.answer(shared.clock.now(), &channel, &ask, answer, &mut Fanout(&shared.hub));
        shared.metrics.polled(&ask, took, &applied, failed);
    }
}

async fn wait_until(shared: &Shared, due: Instant) {
    match due {
        Instant::MAX => std::future::pending().await,
        due => tokio::time::sleep(due - shared.clock.now().instant).await,
    }
}

/// What was asked of which channel, the answer, and how long it took.
type Answered = (Channel, Ask, Result<Refreshed, BackendError>, Duration);

/// Asks one question, within a deadline. Whoever answers may fail in any way.
async fn call(shared: &Shared, backend: &dyn DynBackend, channel: Channel, ask: Ask) -> Answered {
    let begun = shared.clock.now().instant;
    let refresh = Refresh { channel: channel.clone(), items: ask.items() };
    let answer = AssertUnwindSafe(async { backend.refresh(refresh).await }).catch_unwind();
    let answer = match tokio::time::timeout(shared.shared_poll_call_timeout(), answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(BackendError("the backend panicked".to_owned())),
        Err(_) => Err(BackendError("no answer in time".to_owned())),
    };
    (channel, ask, answer, shared.clock.now().instant - begun)
}

/// Attaches a connection to a polled channel that it was granted (SP-02).
pub(crate) async fn attach(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    client: &Client,
    channel: &Channel,
    granted: &mut Granted,
    delta: bool,
) -> Result<Attachment, Refusal> {
    let rules = shared.hooks.channel_options(channel)?.poll.filter(|_| shared.poller.backend.is_some());
    let rules = rules.ok_or(ReplyError::NOT_AVAILABLE)?;
    granted.delta &= delta;
    (granted.positioned, granted.recoverable) = (false, false);
    // Whoever subscribes to such a channel refreshes it.
    granted.client_side_refresh = true;
    let wants = Wants { delta: granted.delta, mute: client.suppressed.has(PushKinds::PUBLICATION) };
    // Made first, so that giving up half way leaves nothing behind.
    let mut attachment = Attachment::of(shared, conn, channel);
    let polls = &shared.poller.polls;
    let epoch = polls.attach(shared.clock.now(), channel, &rules, conn.key, (conn.clone(), wants));
    granted.polled = Some(Box::new(epoch));
    if let (true, Some(interest)) = (rules.publish_enabled, &shared.interest) {
        let delivered = interest.ensure(channel.clone());
        let delivered = tokio::time::timeout(shared.call_timeout(), delivered).await;
        if !matches!(delivered, Ok(Ok(()))) {
            tracing::warn!(%channel, "the broker does not deliver a polled channel");
            return Err(ReplyError::INTERNAL.into());
        }
    }
    attachment.enter(client, granted).await?;
    Ok(attachment)
}

/// Has a connection track keys, if the application lets it (SP-03). `gate` names the reply.
pub(crate) async fn track(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    client: Arc<Client>,
    call: TrackCall,
    gate: u32,
) -> Result<Tracked, Refusal> {
    let TrackCall { channel, batches, untrack } = call;
    let polls = &shared.poller.polls;
    // Before anything is waited for: of a subscription that follows this one, nothing is tracked.
    let ticket = polls.ticket(&channel, conn.key).ok_or(ReplyError::PERMISSION_DENIED)?;
    let signed = batches.iter().map(|batch| SignedKeys {
        signature: batch.signature.clone(),
        keys: batch.items.iter().map(|item| item.key.clone()).collect(),
    });
    let seconds = shared.clock.now().unix_seconds();
    let request = TrackRequest::new(client, channel.clone(), signed.collect(), seconds);
    let TrackDecision { expire_at } = shared.deadline(shared.hooks.clone().track(request)).await?;
    let ends = expire_at.into_iter().chain(std::iter::repeat(None));
    let items = batches.into_iter().zip(ends).flat_map(|(batch, expire_at)| {
        let item = move |item: tourbillon_protocol::command::KeyedItem| TrackItem {
            key: item.key,
            version: item.version,
            expire_at,
        };
        batch.items.into_iter().map(item)
    });
    let track = Track { items: items.collect(), untrack, ..Track::new(ticket, gate) };
    let tracked = polls.track(shared.clock.now(), &channel, conn.key, &track);
    let mut tracked = tracked.map_err(|error| match error {
        tourbillon_shared_poll::TrackError::NotSubscribed => ReplyError::PERMISSION_DENIED,
        tourbillon_shared_poll::TrackError::Limit => ReplyError::LIMIT_EXCEEDED,
    })?;
    if tracked.delta {
        tracked.items = in_text(conn.variant.encoding, &tracked.items)?;
    }
    Ok(Tracked { expire_at: tracked.expire_at, items: tracked.items })
}

impl Node {
    /// Publishes a value of a key of a polled channel (API-40): every node that has the channel sends it to whoever tracks
    /// the key and has an older version. Returns when delivery has begun.
    ///
    /// # Errors
    ///
    /// 102 for a channel of an unknown namespace; 107 for an empty key, or without a version; 108 for a channel that is
    /// not polled, or into which nothing may be published; 100 when the broker fails.
    ///
    /// # Cancel safety
    ///
    /// Whether the value was published is unknown after a drop.
    pub async fn shared_poll_publish(&self, channel: Channel, update: &Update) -> Result<(), ReplyError> {
        if channel.is_empty() || update.key.is_empty() || update.version == 0 {
            return Err(ReplyError::BAD_REQUEST);
        }
        let rules = self.channel_options(&channel)?;
        let polled = rules.poll.filter(|_| rules.kind == SubscriptionKind::SharedPoll);
        if !polled.is_some_and(|rules| rules.publish_enabled && rules.mode == PollMode::Versioned) {
            return Err(ReplyError::NOT_AVAILABLE);
        }
        let published = self.shared.publish(Publish::new(channel, update.to_payload())).await;
        published.map(drop).map_err(|error| {
            tracing::warn!(%error, "publishing a value of a polled channel failed");
            ReplyError::INTERNAL
        })
    }
}
