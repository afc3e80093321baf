//! One key: what is known of it, and who tracks it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_types::{Channel, Instant, Payload, Publication};

use crate::Key;

/// Whoever sends what is to be told. Called while the channel is held: it must not block.
pub trait Sink<S> {
    /// A value, for these subscribers. They are given once each; those that are not taken are not sent it, and are never
    /// told of it again.
    fn deliver(&mut self, delivery: &Delivery<'_>, to: Recipients<'_, '_, S>);

    /// What a subscriber has of the channel belongs to an epoch that is over. It is not in the channel any more (SP-10).
    fn lost(&mut self, channel: &Channel, who: &S);
}

/// Who is to be sent a value, and how.
pub struct Recipients<'b, 's, S>(&'b mut dyn Iterator<Item = (&'s S, Receives)>);

impl<'s, S> Iterator for Recipients<'_, 's, S> {
    type Item = (&'s S, Receives);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl<S> fmt::Debug for Recipients<'_, '_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipients")
    }
}

/// A value that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// The value, whole.
    pub publication: &'a Publication,
    /// What those have that may be sent a delta.
    pub base: Option<&'a Payload>,
}

/// How a value may be sent to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receives {
    /// As it is: it did not ask for deltas.
    Plain,
    /// Whole, in the form to which deltas can be applied later.
    Whole,
    /// As its difference from the base, which it has.
    Delta,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) struct Entry<S> {
    /// Names it among all entries that the channel ever had.
    pub(crate) serial: u64,
    /// 0 until there is a value.
    pub(crate) version: u64,
    /// What stands for the value where it is not kept and has no version of the application's own.
    pub(crate) print: (usize, u64),
    /// The value, where it is kept.
    pub(crate) data: Option<Payload>,
    /// It was published since the last cycle, which leaves it out then.
    pub(crate) fresh: bool,
    /// Somebody waits for the value, changed or not.
    pub(crate) wanted: bool,
    /// Somebody who came with nothing had it asked for at once.
    pub(crate) warmed: bool,
    /// Whether it waits to be asked for at once.
    pub(crate) hot: bool,
    /// Whether it is being asked about.
    pub(crate) asked: bool,
    pub(crate) holders: HashMap<u64, Holder<S>, RandomState>,
}

/// A subscriber that tracks a key.
#[derive(Debug)]
pub(crate) struct Holder<S> {
    pub(crate) to: S,
    /// The version that it has.
    pub(crate) version: u64,
    /// The reply that has to be queued before it is sent anything; 0 for none.
    pub(crate) gate: u32,
    /// Whether it takes deltas.
    pub(crate) delta: bool,
    /// Whether it was sent the value of its version in whole, so that a delta can follow.
    pub(crate) based: bool,
    /// Whether it is sent nothing.
    pub(crate) mute: bool,
    /// When it ceases to track the key.
    pub(crate) due: Instant,
}

/// What a value was before, for deltas.
pub(crate) struct Base {
    pub(crate) version: u64,
    pub(crate) data: Payload,
}

impl<S> Entry<S> {
    pub(crate) fn new(serial: u64) -> Self {
        Self {
            serial,
            version: 0,
            print: (0, 0),
            data: None,
            fresh: false,
            wanted: false,
            warmed: false,
            hot: false,
            asked: false,
            holders: HashMap::default(),
        }
    }

    /// Sends a value to whoever has an older one and has got its reply.
    pub(crate) fn deliver(
        &mut self,
        channel: &Channel,
        publication: &Publication,
        base: Option<&Base>,
        sink: &mut dyn Sink<S>,
    ) {
        let mut to = self.holders.values_mut().filter_map(|holder| holder.take(publication.version, base));
        let delivery = Delivery { channel, publication, base: base.map(|base| &base.data) };
        sink.deliver(&delivery, Recipients(&mut to));
        to.for_each(drop);
    }

    /// Tells everybody that the key is no more.
    pub(crate) fn remove(&self, channel: &Channel, key: &Key, sink: &mut dyn Sink<S>) {
        let publication = Publication { key: Some(key.clone()), removed: true, ..Publication::default() };
        let receives = |delta| if delta { Receives::Whole } else { Receives::Plain };
        let sent = self.holders.values().filter(|holder| !holder.mute);
        let mut to = sent.map(|holder| (&holder.to, receives(holder.delta)));
        sink.deliver(&Delivery { channel, publication: &publication, base: None }, Recipients(&mut to));
    }

    /// Sends one subscriber what is kept, if it has something older.
    pub(crate) fn deliver_kept(&mut self, channel: &Channel, key: &Key, who: u64, sink: &mut dyn Sink<S>) {
        let Some(data) = self.data.clone() else { return };
        let publication = value(key, data, self.version);
        let mut to = self.holders.get_mut(&who).and_then(|holder| holder.take(publication.version, None));
        let mut to = std::iter::from_fn(|| to.take());
        sink.deliver(&Delivery { channel, publication: &publication, base: None }, Recipients(&mut to));
    }

    /// What is kept of the value, as what a delta can be against.
    pub(crate) fn base(&self) -> Option<Base> {
        Some(Base { version: self.version, data: self.data.clone()? })
    }
}

impl<S> Holder<S> {
    /// How it gets a value of this version, if it gets it. It has that version from here on.
    fn take(&mut self, version: u64, base: Option<&Base>) -> Option<(&S, Receives)> {
        if self.gate != 0 || self.version >= version {
            return None;
        }
        let has_base = self.based && base.is_some_and(|base| base.version == self.version);
        self.version = version;
        self.based = self.delta;
        let receives = match (self.delta, has_base) {
            (false, _) => Receives::Plain,
            (true, false) => Receives::Whole,
            (true, true) => Receives::Delta,
        };
        (!self.mute).then_some((&self.to, receives))
    }
}

/// A value as a publication.
pub(crate) fn value(key: &Key, data: Payload, version: u64) -> Publication {
    Publication { key: Some(Arc::clone(key)), data, version, ..Publication::default() }
}
