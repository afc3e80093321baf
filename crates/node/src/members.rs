//! Who is in which channel, told to the engine and to others: entries that last as long as a value.
//!
//! An engine may be slow and a guard's end cannot wait, so what is to be told is queued, in lanes by connection: of one
//! connection nothing overtakes anything, so that a client that leaves and comes again is in the channel afterwards.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tourbillon_broker::{BrokerError, MapPublish, MapRemove};
use tourbillon_session::{Granted, Session};
use tourbillon_types::{
    Channel, ClientId, ClientInfo, Instant, KeyMode, MapPresence, Payload, TokenMark, Unsubscribe,
};

use crate::attachment::Attachment;
use crate::calls::within;
use crate::conn::Conn;
use crate::queries;
use crate::shared::Shared;
use crate::sources::{Begun, Sourced, Sources};
use tourbillon_metrics::{self as metrics, Action};

const LANES: u64 = 8;

/// With this much to tell in a lane, entries are not renewed and nobody enters: what is already there will be told first.
const BACKLOG: usize = 16_384;

/// How long what is left is told once the node stops. An engine that answers takes all of it in that time; of one that
/// does not, entries expire or end with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be told, in lanes.
#[derive(Debug)]
pub(crate) struct Lanes(Box<[Lane]>);

#[derive(Debug, Default)]
struct Lane {
    queue: Mutex<VecDeque<Told>>,
    notify: Notify,
}

/// One thing to tell.
#[derive(Debug)]
struct Told {
    channel: Channel,
    client: ClientId,
    info: Arc<ClientInfo>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// It is in the channel, and somebody may wait to hear that this is known.
    Add(Option<Entry>),
    Remove,
    Join,
    Leave,
    /// It has a key in this keyed channel, and somebody may wait until this was tried.
    Show(Key, Option<oneshot::Sender<()>>),
    /// The key of the client in this keyed channel ends.
    Hide,
}

/// What somebody waits for who enters a channel.
#[derive(Debug)]
struct Entry {
    answer: oneshot::Sender<Result<(), BrokerError>>,
    turn: Turn,
}

/// Who has an entry: the lane, which begins to tell it, or whoever waited and gave it up before. It is had by one of them.
#[derive(Clone, Debug, Default)]
struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Whether this was the first to take it.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Under which key a connection shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Client,
    User,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self((0..LANES).map(|_| Lane::default()).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn lane(&self, key: u64) -> Option<&Lane> {
        self.0.get(usize::try_from(key % LANES).unwrap_or_default())
    }

    fn push(&self, key: u64, told: Told) {
        let Some(lane) = self.lane(key) else { return };
        lane.queue.lock().push_back(told);
        lane.notify.notify_one();
    }

    fn is_behind(&self, key: u64) -> bool {
        self.lane(key).is_some_and(|lane| lane.queue.lock().len() >= BACKLOG)
    }

    /// Tells what is queued in a lane, until the node stops and nothing is left, or [`PATIENCE`] is over.
    pub(crate) async fn run(&self, lane: usize, shared: &Shared) {
        let Some(lane) = self.0.get(lane) else { return };
        let late = async {
            shared.stopped.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            () = lane.run(shared) => {}
            () = late => {
                let left = lane.queue.lock().len();
                tracing::warn!(left, "the end of memberships could not be told in time");
            }
        }
    }
}

impl Lane {
    async fn run(&self, shared: &Shared) {
        loop {
            while let Some(told) = self.next() {
                told.tell(shared).await;
            }
            if shared.stopped.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.notify.notified() => {}
                () = shared.stopped.cancelled() => {}
            }
        }
    }

    fn next(&self) -> Option<Told> {
        let mut queue = self.queue.lock();
        let next = queue.pop_front();
        if queue.is_empty() && queue.capacity() > 64 {
            *queue = VecDeque::new();
        }
        next
    }
}

impl Told {
    async fn tell(self, shared: &Shared) {
        let Self { channel, client, info, what } = self;
        match what {
            What::Add(entry) => {
                if entry.as_ref().is_some_and(|entry| !entry.turn.take()) {
                    return;
                }
                let Some(members) = shared.engine.presence() else { return };
                shared.metrics.act(Action::AddPresence);
                let added = members.add_presence(&channel, client, info);
                let added = queries::call(shared, "presence", added).await;
                if let Some(entry) = entry {
                    let _ = entry.answer.send(added);
                }
            }
            What::Remove => {
                let Some(members) = shared.engine.presence() else { return };
                shared.metrics.act(Action::RemovePresence);
                // A failure has been logged; where several nodes share it, the entry expires.
                let removed = members.remove_presence(&channel, client, &info.user);
                let _ = queries::call(shared, "presence", removed).await;
            }
            What::Show(key, answer) => {
                show(shared, channel, (client, info), key).await;
                drop(answer);
            }
            What::Hide => hide(shared, channel, client).await,
            What::Join => {
                shared.metrics.tell(metrics::Told::Join);
                let told = shared.engine.broker().publish_join(&channel, info);
                let _ = queries::call(shared, "join", told).await;
            }
            What::Leave => {
                shared.metrics.tell(metrics::Told::Leave);
                let told = shared.engine.broker().publish_leave(&channel, info);
                let _ = queries::call(shared, "leave", told).await;
            }
        }
    }
}

/// Sets the key of a connection in a keyed channel, or has it live on (MAP-33, MAP-34).
async fn show(shared: &Shared, channel: Channel, (client, info): (ClientId, Arc<ClientInfo>), key: Key) {
    if key == Key::User && info.user.is_anonymous() {
        return;
    }
    let rules = shared.hooks.channel_options(&channel);
    let Ok((maps, rules)) = rules.and_then(|rules| shared.map_of(&rules)) else {
        tracing::warn!(%channel, "who is there cannot be shown in a channel that is not keyed");
        return;
    };
    let name = match key {
        Key::Client => client.to_string(),
        Key::User => info.user.to_string(),
    };
    let mut publish = MapPublish::new(channel, name, Payload::empty(), rules.policy);
    publish.options.info = (key == Key::Client).then_some(info);
    publish.options.mode = KeyMode::IfNew;
    publish.options.refresh_ttl = true;
    // A failure has been logged; the next renewal sets the key.
    let _ = shared.map_publish(maps, publish).await;
}

/// Removes the key of a connection from a keyed channel.
async fn hide(shared: &Shared, channel: Channel, client: ClientId) {
    let rules = shared.hooks.channel_options(&channel);
    let Ok((maps, rules)) = rules.and_then(|rules| shared.map_of(&rules)) else { return };
    // A failure has been logged; the key ends by itself.
    let _ = shared.map_remove(maps, MapRemove::new(channel, client.to_string(), rules.policy)).await;
}

/// A connection in a channel, as others see it. Ends with the value.
#[derive(Debug)]
pub(crate) struct Membership {
    shared: Arc<Shared>,
    /// Names the connection's lane.
    key: u64,
    client: ClientId,
    channel: Channel,
    info: Arc<ClientInfo>,
    /// Whether it is counted among those present, or may be, so that it has to be removed.
    presence: bool,
    /// Whether its beginning and end are told.
    join_leave: bool,
    /// Whether its beginning was told, so that its end has to be.
    joined: bool,
    /// Keyed channels in which it shows itself.
    shown: Option<Box<MapPresence>>,
    /// Whether the channel is a keyed one that may have a key of the client, which ends with this (MAP-06).
    removes: bool,
}

impl Membership {
    /// Enters a channel: when this returns, the connection is counted. `None`: nobody is to know of it. Waits no longer
    /// than a call may take, for being counted and for being shown; and is refused where so much is to be told that it
    /// would wait in vain, and those who try again would be ever more.
    ///
    /// Given up half way, nothing is left behind.
    pub(crate) async fn enter(
        shared: &Arc<Shared>,
        conn: &Conn,
        channel: &Channel,
        info: ClientInfo,
        granted: &Granted,
    ) -> Result<Option<Self>, BrokerError> {
        let presence = granted.presence && shared.engine.presence().is_some();
        let join_leave = granted.join_leave && shared.engine.capabilities().join_leave;
        let further = granted.further.as_deref();
        let shown = further.map(|further| &further.map_presence).filter(|shown| !shown.is_none());
        let shown = shown.map(|shown| Box::new(shown.clone()));
        let removes = further.is_some_and(|further| further.remove_client_on_unsubscribe);
        if !presence && !join_leave && shown.is_none() && !removes {
            return Ok(None);
        }
        if shared.members.is_behind(conn.key) {
            return Err(BrokerError::unavailable("too much is to be told of others"));
        }
        let mut membership = Self {
            shared: shared.clone(),
            key: conn.key,
            client: conn.client,
            channel: channel.clone(),
            info: Arc::new(info),
            presence: false,
            join_leave,
            joined: false,
            shown,
            removes,
        };
        if presence {
            membership.be_counted().await?;
        }
        if membership.shown.is_some() {
            let (answer, answered) = oneshot::channel();
            membership.show(Some(answer));
            // Nothing is sent: it is over when the other side is gone. What takes longer is done later.
            let _ = within(shared.call_timeout(), pin!(answered)).await;
        }
        Ok(Some(membership))
    }

    /// Has the connection counted among those present, and waits for it. Given up before it was begun with, it is not
    /// done at all.
    async fn be_counted(&mut self) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        let turn = Turn::default();
        self.push(What::Add(Some(Entry { answer, turn: turn.clone() })));
        let _waiting = Waiting { presence: &mut self.presence, turn };
        match within(self.shared.call_timeout(), pin!(answered)).await {
            Some(answer) => answer.unwrap_or_else(|_| Err(BrokerError::unavailable("the node stops"))),
            None => Err(BrokerError::unavailable("no answer in time")),
        }
    }

    fn push(&self, what: What) {
        self.push_in(self.channel.clone(), what);
    }

    fn push_in(&self, channel: Channel, what: What) {
        let told = Told { channel, client: self.client, info: self.info.clone(), what };
        self.shared.members.push(self.key, told);
    }

    /// Has the keys of the connection set, or live on. `answer` ends with the last of it.
    fn show(&self, answer: Option<oneshot::Sender<()>>) {
        let Some(shown) = &self.shown else { return };
        let keys = [(&shown.clients, Key::Client), (&shown.users, Key::User)];
        let mut keys: Vec<_> =
            keys.into_iter().filter_map(|(channel, key)| Some((channel.clone()?, key))).collect();
        if let Some((channel, key)) = keys.pop() {
            for (channel, key) in keys {
                self.push_in(channel, What::Show(key, None));
            }
            self.push_in(channel, What::Show(key, answer));
        }
    }

    /// Tells those who listen that the connection is there.
    fn join(&mut self) {
        if self.join_leave && !self.joined {
            self.joined = true;
            self.push(What::Join);
        }
    }

    /// Says once more that the connection is in the channel.
    fn renew(&self) {
        if self.shared.members.is_behind(self.key) {
            return;
        }
        if self.presence {
            self.push(What::Add(None));
        }
        self.show(None);
    }
}

/// While somebody waits to be counted. Once it was begun with, there may be something to remove.
struct Waiting<'a> {
    presence: &'a mut bool,
    turn: Turn,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.presence = !self.turn.take();
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.presence {
            self.push(What::Remove);
        }
        if let Some(channel) = self.shown.as_ref().and_then(|shown| shown.clients.clone()) {
            self.push_in(channel, What::Hide);
        }
        if self.removes {
            self.push(What::Hide);
        }
        if self.joined {
            self.push(What::Leave);
        }
    }
}

/// The memberships of one connection, its channels that are still being loaded, by which tokens it has channels, and what
/// the application has for single subscriptions. Most connections have none of these, and nothing is allocated for them.
#[derive(Default)]
pub(crate) struct Memberships(Option<Box<Kept>>);

#[derive(Default)]
struct Kept {
    all: Vec<Membership>,
    /// When they are renewed.
    due: Instant,
    loading: Vec<Attachment>,
    sources: Sources,
    /// Of subscriptions that came by a token which says something of itself.
    #[expect(clippy::box_collection, reason = "one word for those that have none")]
    tokens: Option<Box<Vec<ByToken>>>,
}

/// A channel, and what the token said of itself by which the connection has it.
type ByToken = (Channel, Box<TokenMark>);

impl Memberships {
    /// Takes a membership over and tells of it, for the first reply is queued.
    pub(crate) fn add(&mut self, mut membership: Membership) {
        membership.join();
        let kept = self.0.get_or_insert_default();
        if kept.all.is_empty() {
            let shared = &membership.shared;
            kept.due = shared.clock.now().instant + shared.config.presence_update_interval;
            kept.all.reserve_exact(1);
        }
        kept.all.push(membership);
    }

    /// Keeps a channel until it is live or given up.
    pub(crate) fn load(&mut self, attachment: Attachment) {
        self.0.get_or_insert_default().loading.push(attachment);
    }

    /// Gives the channels that are live by now, and detaches those that the session holds no more.
    pub(crate) fn loaded(&mut self, session: &Session) -> Vec<Attachment> {
        let Some(kept) = self.0.as_mut().filter(|kept| !kept.loading.is_empty()) else { return Vec::new() };
        kept.loading.retain(|attachment| session.holds(&attachment.channel));
        let live = |attachment: &mut Attachment| session.is_subscribed(&attachment.channel);
        let loaded = kept.loading.extract_if(.., live).collect();
        self.shrink();
        loaded
    }

    /// Has publications for one channel come from a source.
    pub(crate) fn add_source(&mut self, channel: &Channel, begun: Begun) {
        self.0.get_or_insert_default().sources.add(channel, begun);
    }

    /// Notes by which token the connection has a channel from now on.
    pub(crate) fn add_token(&mut self, channel: &Channel, token: Box<TokenMark>) {
        self.remove_token(channel);
        if !token.is_empty() {
            let one = || Box::new(Vec::with_capacity(1));
            let tokens = self.0.get_or_insert_default().tokens.get_or_insert_with(one);
            tokens.push((channel.clone(), token));
        }
        self.shrink();
    }

    fn remove_token(&mut self, channel: &str) {
        let Some(kept) = &mut self.0 else { return };
        let Some(tokens) = &mut kept.tokens else { return };
        tokens.retain(|(other, _)| **other != *channel);
        if tokens.is_empty() {
            kept.tokens = None;
        }
    }

    /// The channels that the connection has by tokens which are `ended`, and why.
    pub(crate) fn ended_by_token(
        &self,
        ended: impl Fn(&Channel, &TokenMark) -> Option<Unsubscribe>,
    ) -> Vec<(Channel, Unsubscribe)> {
        let tokens = self.0.iter().filter_map(|kept| kept.tokens.as_deref()).flatten();
        tokens.filter_map(|(channel, token)| Some((channel.clone(), ended(channel, token)?))).collect()
    }

    /// What one of the sources has, while there is budget.
    pub(crate) fn next_sourced(&mut self, cx: &mut Context<'_>, budget: &mut u32) -> Option<Sourced> {
        self.0.as_mut()?.sources.poll_next(cx, budget)
    }

    fn shrink(&mut self) {
        let is_empty = |kept: &Kept| {
            let beside = kept.loading.is_empty() && kept.sources.is_empty() && kept.tokens.is_none();
            kept.all.is_empty() && beside
        };
        if self.0.as_deref().is_some_and(is_empty) {
            self.0 = None;
        }
    }

    /// Ends the membership in a channel, and what else there is of the subscription.
    pub(crate) fn end(&mut self, channel: &str) {
        self.remove_token(channel);
        let Some(kept) = &mut self.0 else { return };
        kept.sources.remove(channel);
        kept.all.retain(|membership| *membership.channel != *channel);
        self.shrink();
    }

    /// Ends all.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// When [`renew`](Self::renew) is next needed.
    pub(crate) fn due(&self) -> Instant {
        let kept = self.0.as_ref().filter(|kept| !kept.all.is_empty());
        kept.map_or(Instant::MAX, |kept| kept.due)
    }

    /// Renews the entries if it is time.
    pub(crate) fn renew(&mut self, now: Instant) {
        let Some(kept) = &mut self.0 else { return };
        if now < kept.due {
            return;
        }
        kept.all.iter().for_each(Membership::renew);
        if let Some(first) = kept.all.first() {
            kept.due = now + first.shared.config.presence_update_interval;
        }
    }

    /// What is told of the connection in one channel changed; the entry follows as it is renewed.
    pub(crate) fn change_channel_info(&mut self, channel: &str, info: &Payload) {
        for membership in self.0.iter_mut().flat_map(|kept| &mut kept.all) {
            if *membership.channel == *channel {
                // Kept for as long as the subscription lasts.
                Arc::make_mut(&mut membership.info).channel = info.detached();
            }
        }
    }

    /// What is told of the connection to others changed; entries follow as they are renewed.
    pub(crate) fn change_info(&mut self, connection: &Payload) {
        for membership in self.0.iter_mut().flat_map(|kept| &mut kept.all) {
            Arc::make_mut(&mut membership.info).connection = connection.clone();
        }
    }
}
