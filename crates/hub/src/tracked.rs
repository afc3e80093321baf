//! Subscribers that are looked at one by one: those with a position, a filter or deltas, those that listen to joins and
//! leaves, and those of keyed channels.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tourbillon_fanout::{Dense, FilterId, Filters, Keyed, Latest, TagFilters};
use tourbillon_recovery::{Gate, Offer, Opened, Plan, ResumeError, Resumed};
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Disconnect, Page, Publication, PushKinds, StreamPosition, TagMatcher};

use crate::bodies::{Encoder, whole};
use crate::channel::Place;
use crate::encodings::{Body, Encodings, Form};
use crate::flow::Sender;
use crate::hub::{Base, Source};
use crate::subscriber::Subscriber;

/// Such subscribers of one channel, of all variants.
#[derive(Debug)]
pub(crate) struct Tracked<C> {
    slots: Dense<Slot<C>>,
    /// What few channels have: empty, or of each slot at the same place.
    extras: Vec<Extra>,
    filters: Filters,
    latest: Latest,
    /// How many take deltas.
    deltas: usize,
    /// How many are sent nothing.
    mutes: usize,
    /// Whether it is known that there are positions to be checked.
    checked: bool,
}

impl<C> Default for Tracked<C> {
    fn default() -> Self {
        Self {
            slots: Dense::default(),
            extras: Vec::new(),
            filters: Filters::default(),
            latest: Latest::default(),
            deltas: 0,
            mutes: 0,
            checked: false,
        }
    }
}

#[derive(Debug)]
struct Slot<C> {
    conn: Arc<C>,
    /// `None` once the position is lost: it gets nothing more, and waits for its end.
    gate: Option<Gate>,
    /// Which of joins and leaves are told to it.
    listens: PushKinds,
    /// Whether it takes the channel's number for its name.
    compact: bool,
    /// Whether it has the channel's state, which changes by keys.
    keyed: bool,
}

/// What filters, deltas and those that are sent nothing need.
#[derive(Debug, Default)]
struct Extra {
    /// Which publication it has, as [`Latest`] counts them; 0 when that is not known.
    has: u64,
    filter: FilterId,
    delta: bool,
    keeps_latest: bool,
    /// Whether publications are not sent to it, whatever the filters say.
    mute: bool,
}

impl<C: Subscriber> Keyed for Slot<C> {
    fn key(&self) -> u64 {
        self.conn.key()
    }
}

impl<C: Subscriber> Slot<C> {
    /// Tells the connection that its subscription cannot go on.
    fn lose(&mut self, channel: &Channel) {
        self.gate = None;
        self.conn.lose(channel);
    }
}

impl Extra {
    const fn is_none(&self) -> bool {
        !self.delta && !self.mute && self.filter.is_none()
    }

    /// How a publication looks that the subscriber gets now. It has that one from here on.
    fn body(
        &mut self,
        conn: &Arc<impl Subscriber>,
        latest: &Latest,
        encoder: &Encoder<'_>,
        base: Base<'_>,
    ) -> Body {
        if !self.delta {
            return Body::Plain;
        }
        let before = if let Base::Key(before) = base {
            // Who does not get everything may have another value, or none.
            before.filter(|_| self.filter.is_none())
        } else {
            let has = std::mem::replace(&mut self.has, latest.coming());
            let latest = latest.data(has).filter(|_| matches!(base, Base::Latest));
            latest.filter(|_| encoder.is_in_stream() || self.keeps_latest)
        };
        match before {
            Some(before) if encoder.is_smaller_than_whole(before) => Body::Delta,
            _ => whole(conn.variant().encoding),
        }
    }
}

impl<C: Subscriber> Tracked<C> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn position(&self, conn: &C) -> Option<usize> {
        self.slots.position(conn.key())
    }

    pub(crate) fn has(&self, conn: &C) -> bool {
        self.position(conn).is_some()
    }

    /// Adds a connection with its gate closed. It is not there yet.
    pub(crate) fn add(&mut self, conn: &Arc<C>, place: &Place, limit: usize) {
        let gate = Some(Gate::buffering(limit));
        let Place { listens, compact, keyed, .. } = *place;
        self.slots.push(Slot { conn: conn.clone(), gate, listens, compact, keyed });
        let filter = self.filters.add(&place.filter);
        // Without publications there is none that a delta could be against.
        let delta = place.delta && !place.mute;
        let extra = Extra { has: 0, filter, delta, keeps_latest: place.keeps_latest, mute: place.mute };
        if !extra.is_none() || !self.extras.is_empty() {
            self.deltas += usize::from(extra.delta);
            self.mutes += usize::from(extra.mute);
            self.extras.resize_with(self.slots.len() - 1, Extra::default);
            self.extras.push(extra);
        }
    }

    pub(crate) fn remove(&mut self, conn: &C) -> bool {
        let Some(at) = self.position(conn) else { return false };
        self.slots.swap_remove(at);
        if at < self.extras.len() {
            let extra = self.extras.swap_remove(at);
            self.filters.remove(extra.filter);
            self.deltas -= usize::from(extra.delta);
            self.mutes -= usize::from(extra.mute);
            if self.deltas == 0 {
                self.latest.forget();
                if self.mutes == 0 && self.filters.is_empty() {
                    self.extras = Vec::new();
                }
            }
            if self.extras.capacity() > 64 && self.extras.len() < self.extras.capacity() / 4 {
                self.extras.shrink_to(self.extras.len() * 2);
            }
        }
        true
    }

    /// Changes which publications the server lets a connection have.
    pub(crate) fn filter(&mut self, conn: &C, filter: Arc<TagMatcher>) {
        let Some(at) = self.position(conn) else { return };
        self.extras.resize_with(self.slots.len(), Extra::default);
        let Some(extra) = self.extras.get_mut(at) else { return };
        let filters = TagFilters { server: Some(filter), ..self.filters.of(extra.filter) };
        let before = std::mem::replace(&mut extra.filter, self.filters.add(&filters));
        self.filters.remove(before);
    }

    /// Makes a beginning of what the broker answered, and of what collected at a connection's gate meanwhile. `None`:
    /// the connection is not here, or has lost its position.
    pub(crate) fn resume(
        &mut self,
        conn: &C,
        plan: Plan,
        page: Page,
    ) -> Option<Result<Resumed, ResumeError>> {
        let at = self.position(conn)?;
        let slot = self.slots.get_mut(at)?;
        let (gate, keyed) = (slot.gate.as_mut()?, slot.keyed);
        let mut extra = self.extras.get_mut(at);
        let filters = extra.as_ref().map(|extra| self.filters.of(extra.filter)).unwrap_or_default();
        let hidden = |publication: &Publication| !filters.show(publication);
        let resumed = plan.finish(page, gate, hidden);
        if let Some(extra) = extra.as_mut().filter(|extra| extra.delta && !keyed)
            && let Ok(resumed) = &resumed
        {
            // The next publication may be a delta against the last one of the reply.
            extra.has = resumed.publications.last().map_or(0, |last| self.latest.number_of_stored(last));
        }
        Some(resumed)
    }

    /// Opens a connection's gate and queues what collected behind it. `true`: there are positions now, which nobody
    /// checks yet.
    pub(crate) fn open(
        &mut self,
        channel: &Channel,
        conn: &C,
        live: Option<StreamPosition>,
        encode: impl Fn(&Publication, Form) -> Result<Message, Disconnect>,
    ) -> bool {
        let Some(at) = self.position(conn) else { return false };
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let Some(gate) = &mut slot.gate else {
            // It was told while there was no subscription yet that could have ended.
            slot.lose(channel);
            return false;
        };
        let mute = self.extras.get(at).is_some_and(|extra| extra.mute);
        let extra = self.extras.get_mut(at).filter(|extra| extra.delta);
        let body = if extra.is_some() { whole(conn.variant().encoding) } else { Body::Plain };
        let positioned = live.is_some();
        let Opened { publications, lost } = gate.open(live);
        let form = Form { variant: conn.variant(), compact: slot.compact, body };
        for publication in publications.iter().filter(|_| !mute) {
            match encode(publication, form) {
                Ok(message) => slot.conn.send(message),
                Err(why) => slot.conn.fail(why),
            }
        }
        if let (Some(extra), Some(last)) = (extra, publications.last()) {
            extra.has = self.latest.number_of_held(last);
        }
        if lost.is_some() {
            slot.lose(channel);
        }
        if !positioned {
            return false;
        }
        !std::mem::replace(&mut self.checked, true)
    }

    /// Offers a publication to every subscriber.
    pub(crate) fn publish(
        &mut self,
        channel: &Channel,
        publication: &Arc<Publication>,
        base: Base<'_>,
        encoder: &Encoder<'_>,
        encodings: &mut Encodings<impl FnMut(Form) -> Result<Message, Disconnect>>,
    ) {
        if self.extras.is_empty() {
            for slot in self.slots.iter_mut() {
                let Some(gate) = &mut slot.gate else { continue };
                match gate.offer(publication, false) {
                    Offer::Deliver => encodings.send(&slot.conn, slot.compact, Body::Plain),
                    Offer::Skip | Offer::Held => {}
                    Offer::Full => slot.conn.fail(Disconnect::SLOW),
                    Offer::Lost(_) => slot.lose(channel),
                }
            }
            return;
        }
        self.filters.next();
        let mut filtered = 0;
        for (slot, extra) in self.slots.iter_mut().zip(&mut self.extras) {
            let Some(gate) = &mut slot.gate else { continue };
            let hidden = self.filters.hides(extra.filter, publication);
            filtered += u64::from(hidden);
            match gate.offer(publication, hidden) {
                Offer::Deliver if extra.mute => {}
                Offer::Deliver => {
                    let body = extra.body(&slot.conn, &self.latest, encoder, base);
                    encodings.send(&slot.conn, slot.compact, body);
                }
                Offer::Skip | Offer::Held => {}
                Offer::Full => slot.conn.fail(Disconnect::SLOW),
                Offer::Lost(_) => slot.lose(channel),
            }
        }
        if let (1.., Some(slot)) = (filtered, self.slots.first()) {
            slot.conn.filtered(filtered);
        }
        if self.deltas > 0 && !matches!(base, Base::Key(_)) {
            let keeps = publication.offset > 0 || self.extras.iter().any(|extra| extra.keeps_latest);
            self.latest.advance(publication, keeps);
        }
    }

    /// Offers a publication to every subscriber whose gate is closed.
    pub(crate) fn collect(&mut self, publication: &Arc<Publication>) {
        // What is collected and may be missed is not followed: there are no deltas against it.
        self.latest.forget();
        self.filters.next();
        let mut extras = self.extras.iter();
        for slot in self.slots.iter_mut() {
            let filter = extras.next().map_or_else(FilterId::default, |extra| extra.filter);
            let Some(gate) = slot.gate.as_mut().filter(|gate| gate.is_buffering()) else { continue };
            let hidden = self.filters.hides(filter, publication);
            if gate.offer(publication, hidden) == Offer::Full {
                slot.conn.fail(Disconnect::SLOW);
            }
        }
    }

    /// Offers a publication that stands for these offsets to every subscriber whose gate is open. Filters see this one
    /// only: where the newest counts, it counts for them, too.
    pub(crate) fn deliver(
        &mut self,
        channel: &Channel,
        (publication, offsets): (&Arc<Publication>, RangeInclusive<u64>),
        encodings: &mut Encodings<impl FnMut(Form) -> Result<Message, Disconnect>>,
        sender: Sender,
    ) {
        self.filters.next();
        let mut extras = self.extras.iter_mut();
        for slot in self.slots.iter_mut() {
            let extra = extras.next();
            let Some(gate) = slot.gate.as_mut().filter(|gate| !gate.is_buffering()) else { continue };
            match gate.offer_newest(offsets.clone(), publication) {
                Offer::Deliver => {}
                Offer::Skip | Offer::Held | Offer::Full => continue,
                Offer::Lost(_) => {
                    slot.lose(channel);
                    continue;
                }
            }
            let mut body = Body::Plain;
            if let Some(extra) = extra {
                if extra.mute || self.filters.hides(extra.filter, publication) {
                    continue;
                }
                if extra.delta {
                    extra.has = 0;
                    body = whole(slot.conn.variant().encoding);
                }
            }
            let has_position = gate.position().is_some();
            match encodings.of(Form { variant: slot.conn.variant(), compact: slot.compact, body }) {
                Ok(message) if has_position => {
                    if !sender.send_next(&slot.conn, message) {
                        slot.lose(channel);
                    }
                }
                Ok(message) => sender.send(&slot.conn, message),
                Err(why) => slot.conn.fail(why),
            }
        }
    }

    /// Ends the subscriptions whose positions are `gone`.
    pub(crate) fn lose(&mut self, channel: &Channel, gone: impl Fn(&StreamPosition) -> bool) {
        for slot in self.slots.iter_mut() {
            if slot.gate.as_ref().and_then(Gate::position).is_some_and(&gone) {
                slot.lose(channel);
            }
        }
    }

    /// Ends the subscriptions whose place a source lost.
    pub(crate) fn lose_of(&mut self, channel: &Channel, source: Source) {
        for slot in self.slots.iter_mut() {
            let Some(gate) = &slot.gate else { continue };
            let lost = match source {
                Source::Broker => !slot.keyed && gate.position().is_some(),
                Source::Maps => slot.keyed,
            };
            if lost {
                slot.lose(channel);
            }
        }
    }

    /// Queues a message of a kind for everybody who listens to that and has got its reply.
    pub(crate) fn notify(&self, kind: PushKinds, encode: impl FnMut(Form) -> Result<Message, Disconnect>) {
        let mut encodings = Encodings::new(encode);
        for slot in self.slots.iter() {
            if slot.listens.has(kind) && slot.gate.as_ref().is_some_and(|gate| !gate.is_buffering()) {
                encodings.send(&slot.conn, slot.compact, Body::Plain);
            }
        }
    }

    /// The lowest of the positions. Without one, there is nothing to be checked any more.
    pub(crate) fn lowest(&mut self) -> Option<StreamPosition> {
        let positions = self.slots.iter().filter_map(|slot| slot.gate.as_ref()?.position());
        let lowest = positions.min_by_key(|position| position.offset).cloned();
        self.checked = lowest.is_some();
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_slot_is_small() {
        assert!(size_of::<Slot<u8>>() <= 48, "a slot takes {} bytes", size_of::<Slot<u8>>());
        assert!(size_of::<Extra>() <= 16, "what deltas and filters need takes {} bytes", size_of::<Extra>());
    }
}
