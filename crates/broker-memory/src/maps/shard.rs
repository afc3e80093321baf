//! The keyed channels of one shard.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_broker::{MapPublish, MapRemove, MapSuppressed};
use tourbillon_types::{
    Channel, Epoch, HistoryQuery, Instant, MapPolicy, Now, Page, Publication, StreamPosition,
};

use crate::deadlines::Deadlines;
use crate::maps::keyed::{Change, Keyed};

/// Channels by name, and when to look at them.
#[derive(Debug)]
pub(crate) struct Shard {
    channels: HashMap<Channel, Keyed, RandomState>,
    /// Each channel that something ends of is in here, as a rule once.
    due: Deadlines<Channel>,
    /// The epoch of all channels that are to be kept for ever and were never written to. They take no memory: whoever
    /// may read makes up names.
    unwritten: Epoch,
}

/// The channel's time has come while it had keys: they have to be [ended](Shard::end_due) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

/// What is to be told of a channel whose time has come.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Removals.
    pub(crate) ended: Vec<Arc<Publication>>,
    /// Whether there may be more.
    pub(crate) more: bool,
    /// The channel, if it is gone. Takes a while to drop.
    pub(crate) gone: Option<Keyed>,
}

/// What a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) channels: usize,
    pub(crate) keys: usize,
    pub(crate) changes: usize,
    pub(crate) notes: usize,
}

/// A part of the state, and where the channel stood.
pub(crate) struct Part {
    pub(crate) entries: Vec<Arc<Publication>>,
    pub(crate) more: bool,
    pub(crate) position: StreamPosition,
}

impl Shard {
    pub(crate) fn new(unwritten: Epoch) -> Self {
        Self { channels: HashMap::default(), due: Deadlines::default(), unwritten }
    }

    pub(crate) fn set(&mut self, now: Now, publish: &MapPublish) -> Result<Change, Ended> {
        self.with(now, &publish.channel, &publish.policy, |keyed| keyed.set(now, publish))
    }

    pub(crate) fn remove(&mut self, now: Now, remove: &MapRemove) -> Result<Change, Ended> {
        if let Some(position) = self.unwritten(&remove.channel, &remove.policy) {
            let suppressed = Some(MapSuppressed::KeyNotFound);
            return Ok(Change { suppressed, position, ..Change::default() });
        }
        self.with(now, &remove.channel, &remove.policy, |keyed| keyed.remove(now, remove))
    }

    /// The entry of a key.
    pub(crate) fn one(
        &mut self,
        now: Now,
        channel: &Channel,
        key: &str,
        policy: &MapPolicy,
    ) -> Result<Part, Ended> {
        self.part(now, channel, policy, |keyed| (keyed.get(now.instant, key).into_iter().collect(), false))
    }

    /// Up to so many entries after a key.
    pub(crate) fn after(
        &mut self,
        now: Now,
        channel: &Channel,
        (key, limit): (&str, usize),
        policy: &MapPolicy,
    ) -> Result<Part, Ended> {
        self.part(now, channel, policy, |keyed| keyed.after(now.instant, key, limit))
    }

    fn part(
        &mut self,
        now: Now,
        channel: &Channel,
        policy: &MapPolicy,
        read: impl FnOnce(&Keyed) -> (Vec<Arc<Publication>>, bool),
    ) -> Result<Part, Ended> {
        if let Some(position) = self.unwritten(channel, policy) {
            return Ok(Part { entries: Vec::new(), more: false, position });
        }
        self.with(now, channel, policy, |keyed| {
            let position = keyed.touch(now.instant, policy);
            let (entries, more) = read(keyed);
            Part { entries, more, position }
        })
    }

    pub(crate) fn stream(
        &mut self,
        now: Now,
        channel: &Channel,
        query: &HistoryQuery,
        policy: &MapPolicy,
    ) -> Result<Page, Ended> {
        if let Some(position) = self.unwritten(channel, policy) {
            return Ok(Page { publications: Vec::new(), position });
        }
        self.with(now, channel, policy, |keyed| keyed.stream(now.instant, query, policy))
    }

    /// How many keys a channel has.
    pub(crate) fn keys(&self, now: Instant, channel: &Channel) -> usize {
        let keyed = self.channels.get(channel).filter(|keyed| !keyed.is_expired(now));
        keyed.map_or(0, |keyed| keyed.count(now))
    }

    /// The epoch in which a channel is now, if it is in one.
    pub(crate) fn epoch(&self, now: Instant, channel: &Channel) -> Option<Epoch> {
        match self.channels.get(channel) {
            Some(keyed) => (!keyed.is_expired(now)).then(|| keyed.epoch()),
            None => None,
        }
    }

    /// Begins a channel anew; what it held is given back.
    pub(crate) fn clear(&mut self, now: Instant, channel: &Channel) -> Option<Keyed> {
        let gone = self.channels.remove(channel)?;
        // What is not here is as if it had never been written to, which this one was.
        if gone.policy().meta_ttl.is_none() {
            self.channels.insert(channel.clone(), Keyed::new(Epoch::random(), now, *gone.policy()));
        }
        Some(gone)
    }

    /// Where a channel stands that need not be here to be known.
    fn unwritten(&self, channel: &Channel, policy: &MapPolicy) -> Option<StreamPosition> {
        let is_one = policy.meta_ttl.is_none() && !self.channels.contains_key(channel);
        is_one.then(|| StreamPosition { offset: 0, epoch: self.unwritten.clone() })
    }

    /// Uses a channel; a new one if there is none or its time has come.
    fn with<T>(
        &mut self,
        now: Now,
        channel: &Channel,
        policy: &MapPolicy,
        use_it: impl FnOnce(&mut Keyed) -> T,
    ) -> Result<T, Ended> {
        let keyed = self.channels.entry(channel.clone()).or_insert_with(|| {
            let epoch = if policy.meta_ttl.is_none() { self.unwritten.clone() } else { Epoch::random() };
            Keyed::new(epoch, now.instant, *policy)
        });
        if keyed.is_expired(now.instant) {
            if keyed.has_keys() {
                return Err(Ended);
            }
            let noted = keyed.noted;
            *keyed = Keyed::new(Epoch::random(), now.instant, *policy);
            keyed.noted = noted;
        }
        let used = use_it(keyed);
        note(&mut self.due, channel, keyed);
        Ok(used)
    }

    /// A channel at which there is something to do.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Channel> {
        let due = self.due.pop_due(now);
        if due.is_none()
            && self.channels.capacity() > 64
            && self.channels.len() < self.channels.capacity() / 8
        {
            self.channels.shrink_to(self.channels.len() * 2);
        }
        due
    }

    /// Ends what has come to its end of a channel, as far as one batch gets: keys, the stream, and at last the channel.
    pub(crate) fn end_due(&mut self, now: Now, channel: &Channel) -> Due {
        let Some(keyed) = self.channels.get_mut(channel) else { return Due::default() };
        let (ended, more) = keyed.end_due(now);
        if more {
            return Due { ended, more, gone: None };
        }
        // The end of its keys was a use of the channel.
        if keyed.is_expired(now.instant) {
            return Due { ended, more, gone: self.channels.remove(channel) };
        }
        if keyed.noted.is_some_and(|noted| noted <= now.instant) {
            keyed.noted = None;
        }
        note(&mut self.due, channel, keyed);
        Due { ended, more, gone: None }
    }

    pub(crate) fn count(&self) -> Count {
        let mut count = Count { channels: self.channels.len(), notes: self.due.len(), ..Count::default() };
        for keyed in self.channels.values() {
            let (keys, changes) = keyed.sizes();
            count.keys += keys;
            count.changes += changes;
        }
        count
    }
}

/// Notes when to look at a channel. A time that moves on is looked at when the one noted first has come.
fn note(due: &mut Deadlines<Channel>, channel: &Channel, keyed: &mut Keyed) {
    let at = keyed.due();
    if at != Instant::MAX && keyed.noted.is_none_or(|noted| at < noted) {
        due.push(at, channel.clone());
        keyed.noted = Some(at);
    }
}
