//! The hub: which connections have which channels, and the fan-out to them.
//!
//! Channels live in shards by hash. A shard's lock is held to find a channel only; each channel has a lock of its
//! own, under which its subscribers change and its publications are queued. Holding it over a fan-out is what keeps
//! every subscriber's order the same as every other's.

mod channel;
mod encodings;
mod flow;
mod flowing;
mod index;
mod tracked;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use channel::Subscribers;
pub(crate) use channel::{Entry, Place};
use encodings::Encodings;
pub(crate) use flow::FlowRules;
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use tourbillon_broker::Page;
use tourbillon_protocol::{Push, PushEvent};
use tourbillon_recovery::{Plan, ResumeError, Resumed};
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Clock, Disconnect, Publication, StreamPosition};

use crate::batches::Batches;
use crate::conn::{Conn, Variant};

const SHARDS: usize = 64;

/// Which connections have which channels.
pub(crate) struct Hub {
    shards: Box<[RwLock<Shard>]>,
    hasher: RandomState,
    /// The address of the channel entry that had the last publication: it only has to differ from others'.
    last: AtomicUsize,
    batches: Batches,
    /// The number of the last channel whose publications may be missed.
    last_lane: AtomicU32,
    clock: Arc<dyn Clock>,
}

type Shard = HashMap<Channel, Arc<Entry>, RandomState>;

/// What became of an [`attach`](Hub::attach).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// The broker is known to deliver this channel already.
    Delivered,
    /// The broker has to be asked for this channel.
    Undelivered,
}

impl Hub {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let hasher = RandomState::default();
        let shards = (0..SHARDS).map(|_| RwLock::new(Shard::with_hasher(hasher.clone()))).collect();
        Self {
            shards,
            hasher,
            last: AtomicUsize::new(0),
            batches: Batches::default(),
            last_lane: AtomicU32::new(0),
            clock,
        }
    }

    fn shard(&self, channel: &str) -> &RwLock<Shard> {
        let hash = self.hasher.hash_one(channel);
        let at = usize::try_from(hash >> 58).unwrap_or_default();
        &self.shards[at]
    }

    fn find(&self, channel: &str) -> Option<Arc<Entry>> {
        self.shard(channel).read().get(channel).cloned()
    }

    /// The channel's name as the hub holds it, for others to share.
    pub(crate) fn name(&self, channel: &str) -> Option<Channel> {
        self.shard(channel).read().get_key_value(channel).map(|(name, _)| name.clone())
    }

    /// Adds a connection to a channel with its gate closed: publications collect until [`open`](Self::open). A
    /// connection that is there already stays as it is. The channel has these rules from now on.
    pub(crate) fn attach(
        &self,
        channel: &Channel,
        conn: &Arc<Conn>,
        place: Place,
        rules: FlowRules,
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
            self.set_rules(channel, &entry, &mut subscribers, rules);
            subscribers.add(conn, place);
            return if subscribers.delivered { Attached::Delivered } else { Attached::Undelivered };
        }
    }

    /// Notes that the broker delivers this channel.
    pub(crate) fn delivered(&self, channel: &str) {
        if let Some(entry) = self.find(channel) {
            entry.subscribers.lock().delivered = true;
        }
    }

    /// Makes a beginning of what the broker answered, and of what collected at the connection's gate meanwhile.
    /// `None`: the connection does not have the channel, or not with a position.
    pub(crate) fn resume(
        &self,
        channel: &str,
        conn: &Conn,
        plan: Plan,
        page: Page,
    ) -> Option<Result<Resumed, ResumeError>> {
        let entry = self.find(channel)?;
        let mut subscribers = entry.subscribers.lock();
        let gate = subscribers.tracked.as_deref_mut()?.gate(conn)?;
        Some(plan.finish(page, gate, |_| false))
    }

    /// Opens a connection's gate: what collected is queued, and from now on publications go straight to it. `live` is
    /// where the connection stands, if it has a position. `true`: the channel's positions are to be checked from now on.
    pub(crate) fn open(&self, channel: &Channel, conn: &Arc<Conn>, live: Option<StreamPosition>) -> bool {
        let Some(entry) = self.find(channel) else { return false };
        let mut subscribers = entry.subscribers.lock();
        // What is held was published before this one's turn, or collected at its gate.
        self.deliver_held(channel, &entry, &mut subscribers);
        let collected = subscribers.open(conn);
        match &subscribers.flow {
            None => collected.into_iter().for_each(|message| conn.send(message)),
            Some(flow) => collected.into_iter().for_each(|message| flow.sender().send(conn, message)),
        }
        let Some(tracked) = &mut subscribers.tracked else { return false };
        tracked.open(channel, conn, live, |publication| encode(conn.variant, channel, publication))
    }

    /// Tells subscribers of a channel with such a position that it is lost.
    pub(crate) fn lose(&self, channel: &Channel, lost: impl Fn(&StreamPosition) -> bool) {
        let Some(entry) = self.find(channel) else { return };
        if let Some(tracked) = &mut entry.subscribers.lock().tracked {
            tracked.lose(channel, lost);
        }
    }

    /// Tells all subscribers with a position that it is lost.
    pub(crate) fn lose_all(&self) {
        for shard in &self.shards {
            let channels: Vec<Channel> = shard.read().keys().cloned().collect();
            for channel in channels {
                self.lose(&channel, |_| true);
            }
        }
    }

    /// The lowest position in a channel. When there is none, the channel counts as [unchecked](Self::open) again.
    pub(crate) fn lowest(&self, channel: &Channel) -> Option<StreamPosition> {
        let entry = self.find(channel)?;
        let mut subscribers = entry.subscribers.lock();
        // Who waits for what is held is not behind.
        self.deliver_held(channel, &entry, &mut subscribers);
        subscribers.tracked.as_mut()?.lowest()
    }

    /// Queues something that is no publication for those who listen to joins and leaves.
    pub(crate) fn notify(&self, channel: &Channel, event: &PushEvent) {
        let Some(entry) = self.find(channel) else { return };
        let mut subscribers = entry.subscribers.lock();
        if subscribers.tracked.is_some() {
            self.deliver_held(channel, &entry, &mut subscribers);
        }
        let Some(tracked) = &mut subscribers.tracked else { return };
        // What is published next is not joined with what was before this.
        self.last.store(0, Ordering::Relaxed);
        let push = Push { channel: Some(channel.clone()), id: 0, event: event.clone() };
        tracked.notify(|variant| {
            crate::encode::push(variant, &push).map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)
        });
    }

    /// Removes a connection from a channel. `true`: nobody has the channel any more.
    pub(crate) fn detach(&self, channel: &Channel, conn: &Conn) -> bool {
        let Some(entry) = self.find(channel) else { return false };
        let mut subscribers = entry.subscribers.lock();
        // What was published while it was subscribed comes before the end.
        self.deliver_held(channel, &entry, &mut subscribers);
        if subscribers.dissolved || !subscribers.remove(conn) || subscribers.len() > 0 {
            return false;
        }
        subscribers.dissolved = true;
        drop(subscribers);
        let mut shard = self.shard(channel).write();
        if shard.get(channel).is_some_and(|current| Arc::ptr_eq(current, &entry)) {
            shard.remove(channel);
            // What a storm of channels left is given back.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
        true
    }

    /// Queues a publication for everybody who has the channel. Encodes once for each variant present; nothing is
    /// allocated for a delivery. `pass` is the flush workers' present one. What is `late` has lost the positions.
    pub(crate) fn broadcast(&self, channel: &Channel, publication: &Arc<Publication>, pass: u64, late: bool) {
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
            return self.flow(channel, &entry, &mut subscribers, publication, late);
        }
        let mut encodings = Encodings::new(|variant| encode(variant, channel, publication));
        subscribers.broadcast(again.then_some(pass), &mut encodings);
        if let Some(tracked) = &mut subscribers.tracked {
            if late {
                tracked.lose(channel, |_| true);
            }
            tracked.publish(channel, publication, &mut encodings);
        }
    }

    /// Whether anybody has the channel.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.find(channel).is_some()
    }

    /// The channels with their numbers of subscribers, as far as `matches` takes their names.
    pub(crate) fn channels(&self, matches: &dyn Fn(&str) -> bool) -> Vec<(Channel, usize)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let named = shard.iter().filter(|(channel, _)| matches(channel));
            found.extend(named.map(|(channel, entry)| (channel.clone(), entry.subscribers.lock().len())));
        }
        found
    }

    /// The numbers of channels and of subscriptions.
    pub(crate) fn count(&self) -> (usize, usize) {
        let mut count = (0, 0);
        for shard in &self.shards {
            let shard = shard.read();
            count.0 += shard.len();
            count.1 += shard.values().map(|entry| entry.subscribers.lock().len()).sum::<usize>();
        }
        count
    }
}

fn encode(variant: Variant, channel: &str, publication: &Publication) -> Result<Message, Disconnect> {
    crate::encode::publication(variant, channel, publication).map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)
}

impl Subscribers {
    fn broadcast(
        &mut self,
        pass: Option<u64>,
        encodings: &mut Encodings<impl FnMut(Variant) -> Result<Message, Disconnect>>,
    ) {
        for group in self.groups_mut() {
            match encodings.of(group.variant) {
                Ok(message) => group.publish(message, pass),
                Err(why) => group.fail(&why),
            }
        }
    }
}
