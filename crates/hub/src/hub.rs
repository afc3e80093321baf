//! The hub: which connections have which channels, and the fan-out to them.
//!
//! Channels live in shards by hash. A shard's lock is held to find a channel only; each channel has a lock of its
//! own, under which its subscribers change and its publications are queued. Holding it over a fan-out is what keeps
//! every subscriber's order the same as every other's.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use tourbillon_protocol::{Push, PushEvent};
use tourbillon_recovery::{Plan, ResumeError, Resumed};
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Clock, Disconnect, Page, Payload, Publication, StreamPosition, TagMatcher};

use crate::batches::Batches;
use crate::bodies::Encoder;
use crate::channel::{Entry, Place, Subscribers};
use crate::encodings::{Encodings, Form};
use crate::flow::FlowRules;
use crate::subscriber::Subscriber;

const SHARDS: usize = 64;

/// Which connections have which channels.
pub struct Hub<C> {
    shards: Box<[RwLock<Shard<C>>]>,
    hasher: RandomState,
    /// The address of the channel entry that had the last publication: it only has to differ from others'.
    pub(crate) last: AtomicUsize,
    pub(crate) batches: Batches<C>,
    /// The number of the last channel whose publications may be missed.
    pub(crate) last_lane: AtomicU32,
    pub(crate) clock: Arc<dyn Clock>,
    /// The last number that was given to a channel. 0 means none on the wire (HID-35).
    last_number: AtomicI64,
}

type Shard<C> = HashMap<Channel, Arc<Entry<C>>, RandomState>;

/// How a publication is passed on.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The flush workers' present pass.
    pub pass: u64,
    /// Whether it comes so late that positions are lost.
    pub late: bool,
    /// From what its difference may be sent in its place.
    pub base: Base<'a>,
}

/// From what a publication's difference may be sent in its place.
#[derive(Clone, Copy, Debug)]
pub enum Base<'a> {
    /// From nothing.
    None,
    /// From the channel's publication before, by those who have it.
    Latest,
    /// Of a keyed channel: from the key's value before, which whoever has a position has (MAP-29); `None` from nothing.
    Key(Option<&'a Payload>),
}

/// Where what a channel's subscribers get comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The broker.
    Broker,
    /// The store of keyed channels.
    Maps,
}

/// Sources that a channel has asked for. It is one, unless its kind changed meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    broker: bool,
    maps: bool,
}

impl Sources {
    /// Whether this is one of them.
    #[must_use]
    pub const fn has(self, source: Source) -> bool {
        match source {
            Source::Broker => self.broker,
            Source::Maps => self.maps,
        }
    }

    const fn add(&mut self, source: Source) {
        match source {
            Source::Broker => self.broker = true,
            Source::Maps => self.maps = true,
        }
    }
}

/// What became of an [`attach`](Hub::attach).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// The source is known to deliver this channel already.
    Delivered,
    /// The source has to be asked for this channel.
    Undelivered,
}

impl<C: Subscriber> Hub<C> {
    /// Without connections. Times are those of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let hasher = RandomState::default();
        let shards = (0..SHARDS).map(|_| RwLock::new(Shard::with_hasher(hasher.clone()))).collect();
        Self {
            shards,
            hasher,
            last: AtomicUsize::new(0),
            batches: Batches::default(),
            last_lane: AtomicU32::new(0),
            clock,
            last_number: AtomicI64::new(0),
        }
    }

    fn shard(&self, channel: &str) -> &RwLock<Shard<C>> {
        let hash = self.hasher.hash_one(channel);
        let at = usize::try_from(hash >> 58).unwrap_or_default();
        &self.shards[at]
    }

    fn find(&self, channel: &str) -> Option<Arc<Entry<C>>> {
        self.shard(channel).read().get(channel).cloned()
    }

    /// The channel's name as the hub holds it, for others to share.
    pub fn name(&self, channel: &str) -> Option<Channel> {
        self.shard(channel).read().get_key_value(channel).map(|(name, _)| name.clone())
    }

    /// Adds a connection to a channel with its gate closed: publications collect until [`open`](Self::open). A
    /// connection that is there already stays as it is. The channel has these rules from now on.
    pub fn attach(
        &self,
        channel: &Channel,
        conn: &Arc<C>,
        place: &Place,
        (rules, source): (FlowRules, Source),
    ) -> Attached {
        loop {
            let found = self.find(channel);
            let entry = found
                .unwrap_or_else(|| self.shard(channel).write().entry(channel.clone()).or_default().clone());
            let mut subscribers = entry.subscribers.lock();
            // The last subscriber has just left: the entry is no longer in the map.
            if subscribers.dissolved {
                continue;
            }
            subscribers.wanted.add(source);
            self.set_rules(channel, &entry, &mut subscribers, rules);
            if place.compact && subscribers.number == 0 {
                // Never one that a channel had before: a client may still take it for that channel's.
                subscribers.number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
            }
            if subscribers.add(conn, place) {
                conn.attached();
            }
            let delivered = subscribers.delivered.has(source);
            return if delivered { Attached::Delivered } else { Attached::Undelivered };
        }
    }

    /// What stands for the channel's name with those who take that.
    pub fn number(&self, channel: &str) -> i64 {
        self.find(channel).map_or(0, |entry| entry.subscribers.lock().number)
    }

    /// Notes that a source delivers this channel.
    pub fn delivered(&self, channel: &str, source: Source) {
        if let Some(entry) = self.find(channel) {
            entry.subscribers.lock().delivered.add(source);
        }
    }

    /// Whether anybody has the channel from this source.
    pub fn wants(&self, channel: &str, source: Source) -> bool {
        self.find(channel).is_some_and(|entry| entry.subscribers.lock().wanted.has(source))
    }

    /// Makes a beginning of what the broker answered, and of what collected at the connection's gate meanwhile.
    /// `None`: the connection does not have the channel, or not with a position.
    pub fn resume(
        &self,
        channel: &str,
        conn: &C,
        plan: Plan,
        page: Page,
    ) -> Option<Result<Resumed, ResumeError>> {
        let entry = self.find(channel)?;
        let mut subscribers = entry.subscribers.lock();
        subscribers.tracked.as_deref_mut()?.resume(conn, plan, page)
    }

    /// Opens a connection's gate: what collected is queued, and from now on publications go straight to it. `live` is
    /// where the connection stands, if it has a position. `true`: the channel's positions are to be checked from now on.
    pub fn open(&self, channel: &Channel, conn: &Arc<C>, live: Option<StreamPosition>) -> bool {
        let Some(entry) = self.find(channel) else { return false };
        let mut subscribers = entry.subscribers.lock();
        // What is held was published before this one's turn, or collected at its gate.
        self.deliver_held(channel, &entry, &mut subscribers);
        let collected = subscribers.open(conn);
        match &subscribers.flow {
            None => collected.into_iter().for_each(|message| conn.send(message)),
            Some(flow) => collected.into_iter().for_each(|message| flow.sender().send(conn, message)),
        }
        let number = subscribers.number;
        let Some(tracked) = &mut subscribers.tracked else { return false };
        tracked.open(channel, conn, live, |publication, form| {
            Encoder::new(channel, number, publication).encode(form)
        })
    }

    /// Changes which publications of a channel the server lets a connection have.
    pub fn filter(&self, channel: &Channel, conn: &Arc<C>, filter: Arc<TagMatcher>) {
        let Some(entry) = self.find(channel) else { return };
        let mut subscribers = entry.subscribers.lock();
        // What is held was published while the other filter held.
        self.deliver_held(channel, &entry, &mut subscribers);
        subscribers.filter(channel, conn, filter);
    }

    /// Tells subscribers of a channel with such a position that it is lost.
    pub fn lose(&self, channel: &Channel, lost: impl Fn(&StreamPosition) -> bool) {
        let Some(entry) = self.find(channel) else { return };
        if let Some(tracked) = &mut entry.subscribers.lock().tracked {
            tracked.lose(channel, lost);
        }
    }

    /// Tells subscribers that a source lost their place: those with a position, and of a keyed channel all. `None`: of all
    /// channels.
    pub fn lose_of(&self, source: Source, channel: Option<&Channel>) {
        let lose = |channel: &Channel| {
            let Some(entry) = self.find(channel) else { return };
            if let Some(tracked) = &mut entry.subscribers.lock().tracked {
                tracked.lose_of(channel, source);
            }
        };
        if let Some(channel) = channel {
            return lose(channel);
        }
        for shard in &self.shards {
            let channels: Vec<Channel> = shard.read().keys().cloned().collect();
            channels.iter().for_each(lose);
        }
    }

    /// The lowest position in a channel. When there is none, the channel counts as [unchecked](Self::open) again.
    pub fn lowest(&self, channel: &Channel) -> Option<StreamPosition> {
        let entry = self.find(channel)?;
        let mut subscribers = entry.subscribers.lock();
        // Who waits for what is held is not behind.
        self.deliver_held(channel, &entry, &mut subscribers);
        subscribers.tracked.as_mut()?.lowest()
    }

    /// Queues something that is no publication for those who listen to joins and leaves.
    pub fn notify(&self, channel: &Channel, event: &PushEvent) {
        let Some(entry) = self.find(channel) else { return };
        let mut subscribers = entry.subscribers.lock();
        if subscribers.tracked.is_some() {
            self.deliver_held(channel, &entry, &mut subscribers);
        }
        let number = subscribers.number;
        let Some(tracked) = &mut subscribers.tracked else { return };
        // What is published next is not joined with what was before this.
        self.last.store(0, Ordering::Relaxed);
        let mut push = Push { channel: Some(channel.clone()), id: 0, event: event.clone() };
        tracked.notify(event.kind(), |form| {
            push.id = if form.compact { number } else { 0 };
            crate::encode::push(form.variant, &push).map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)
        });
    }

    /// Removes a connection from a channel. If nobody has the channel any more, gives where it came from.
    pub fn detach(&self, channel: &Channel, conn: &C) -> Option<Sources> {
        let entry = self.find(channel)?;
        let mut subscribers = entry.subscribers.lock();
        // What was published while it was subscribed comes before the end.
        self.deliver_held(channel, &entry, &mut subscribers);
        if subscribers.dissolved || !subscribers.remove(conn) {
            return None;
        }
        conn.detached();
        if subscribers.len() > 0 {
            return None;
        }
        subscribers.dissolved = true;
        let wanted = subscribers.wanted;
        drop(subscribers);
        let mut shard = self.shard(channel).write();
        if shard.get(channel).is_some_and(|current| Arc::ptr_eq(current, &entry)) {
            shard.remove(channel);
            // What a storm of channels left is given back.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
        Some(wanted)
    }

    /// Queues a publication for everybody who has the channel. Encodes once for each form present; nothing is allocated
    /// for a delivery.
    pub fn broadcast(&self, channel: &Channel, publication: &Arc<Publication>, manner: Manner<'_>) {
        let Some(entry) = self.find(channel) else { return };
        let mut subscribers = entry.subscribers.lock();
        // Publications that follow each other in one channel may be joined; one of another channel between them ends
        // that, so that a connection gets the publications of all its channels in the order in which they were made.
        let key = Arc::as_ptr(&entry).addr();
        let again = self.last.load(Ordering::Relaxed) == key;
        if !again {
            self.last.store(key, Ordering::Relaxed);
        }
        if subscribers.flow.is_some() {
            return self.flow(channel, &entry, &mut subscribers, publication, manner.late);
        }
        let encoder = Encoder::new(channel, subscribers.number, publication);
        let mut encodings = Encodings::new(|form| encoder.encode(form));
        subscribers.broadcast(again.then_some(manner.pass), &mut encodings);
        if let Some(tracked) = &mut subscribers.tracked {
            if manner.late {
                tracked.lose(channel, |_| true);
            }
            tracked.publish(channel, publication, manner.base, &encoder, &mut encodings);
        }
    }

    /// Something else was queued for a subscriber: what is published next follows that.
    pub fn interrupt(&self) {
        self.last.store(0, Ordering::Relaxed);
    }

    /// The channels with their numbers of subscribers, as far as `matches` takes their names.
    pub fn channels(&self, matches: &dyn Fn(&str) -> bool) -> Vec<(Channel, usize)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let named = shard.iter().filter(|(channel, _)| matches(channel));
            found.extend(named.map(|(channel, entry)| (channel.clone(), entry.subscribers.lock().len())));
        }
        found
    }

    /// The numbers of channels and of subscriptions.
    pub fn count(&self) -> (usize, usize) {
        let mut count = (0, 0);
        for shard in &self.shards {
            let shard = shard.read();
            count.0 += shard.len();
            count.1 += shard.values().map(|entry| entry.subscribers.lock().len()).sum::<usize>();
        }
        count
    }
}

impl<C: Subscriber> Subscribers<C> {
    fn broadcast(
        &mut self,
        pass: Option<u64>,
        encodings: &mut Encodings<impl FnMut(Form) -> Result<Message, Disconnect>>,
    ) {
        for group in self.groups_mut() {
            match encodings.of(group.form) {
                Ok(message) => group.publish(message, pass),
                Err(why) => group.fail(&why),
            }
        }
    }
}

impl<C> fmt::Debug for Hub<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
