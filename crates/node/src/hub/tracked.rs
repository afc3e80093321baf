//! Subscribers that are looked at one by one: those with a position, and those that listen to joins and leaves.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tourbillon_recovery::{Gate, Offer, Opened};
use tourbillon_session::ServerOp;
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Disconnect, Publication, StreamPosition};

use super::encodings::Encodings;
use super::flow::Sender;
use super::index::Index;
use crate::conn::{Conn, Variant};

/// Such subscribers of one channel, of all variants.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    slots: Vec<Slot>,
    index: Index,
    /// Whether it is known that there are positions to be checked.
    checked: bool,
}

#[derive(Debug)]
struct Slot {
    conn: Arc<Conn>,
    /// `None` once the position is lost: it gets nothing more, and waits for its end.
    gate: Option<Gate>,
    /// Whether joins and leaves are told to it.
    listens: bool,
}

impl Slot {
    /// Tells the connection that its subscription cannot go on.
    fn lose(&mut self, channel: &Channel) {
        self.gate = None;
        self.conn.tell(ServerOp::Insufficient { channel: channel.clone() }, None);
    }
}

impl Tracked {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn position(&self, conn: &Conn) -> Option<usize> {
        self.index.find(conn.key, || self.slots.iter().position(|slot| slot.conn.key == conn.key))
    }

    pub(super) fn has(&self, conn: &Conn) -> bool {
        self.position(conn).is_some()
    }

    /// Adds a connection with its gate closed. It is not there yet.
    pub(super) fn add(&mut self, conn: &Arc<Conn>, listens: bool, limit: usize) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len().clamp(1, 4096));
        }
        self.slots.push(Slot { conn: conn.clone(), gate: Some(Gate::buffering(limit)), listens });
        let slots = &self.slots;
        self.index.added(conn.key, slots.len(), || slots.iter().map(|slot| slot.conn.key));
    }

    pub(super) fn remove(&mut self, conn: &Conn) -> bool {
        let Some(at) = self.position(conn) else { return false };
        self.slots.swap_remove(at);
        self.index.removed(conn.key, self.slots.get(at).map(|moved| (moved.conn.key, at)), self.slots.len());
        if self.slots.capacity() > 64 && self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        true
    }

    fn slot_mut(&mut self, conn: &Conn) -> Option<&mut Slot> {
        let at = self.position(conn)?;
        self.slots.get_mut(at)
    }

    /// A connection's gate.
    pub(super) fn gate(&mut self, conn: &Conn) -> Option<&mut Gate> {
        self.slot_mut(conn)?.gate.as_mut()
    }

    /// Opens a connection's gate and queues what collected behind it. `true`: there are positions now, which nobody
    /// checks yet.
    pub(super) fn open(
        &mut self,
        channel: &Channel,
        conn: &Conn,
        live: Option<StreamPosition>,
        encode: impl Fn(&Publication) -> Result<Message, Disconnect>,
    ) -> bool {
        let Some(slot) = self.slot_mut(conn) else { return false };
        let Some(gate) = &mut slot.gate else { return false };
        let positioned = live.is_some();
        let Opened { publications, lost } = gate.open(live);
        for publication in publications {
            match encode(&publication) {
                Ok(message) => slot.conn.send(message),
                Err(why) => slot.conn.fail(why),
            }
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
    pub(super) fn publish(
        &mut self,
        channel: &Channel,
        publication: &Arc<Publication>,
        encodings: &mut Encodings<impl FnMut(Variant) -> Result<Message, Disconnect>>,
    ) {
        for slot in &mut self.slots {
            let Some(gate) = &mut slot.gate else { continue };
            match gate.offer(publication, false) {
                Offer::Deliver => encodings.send(&slot.conn),
                Offer::Skip | Offer::Held => {}
                Offer::Full => slot.conn.fail(Disconnect::SLOW),
                Offer::Lost(_) => slot.lose(channel),
            }
        }
    }

    /// Offers a publication to every subscriber whose gate is closed.
    pub(super) fn collect(&mut self, publication: &Arc<Publication>) {
        for slot in &mut self.slots {
            let Some(gate) = slot.gate.as_mut().filter(|gate| gate.is_buffering()) else { continue };
            if gate.offer(publication, false) == Offer::Full {
                slot.conn.fail(Disconnect::SLOW);
            }
        }
    }

    /// Offers a publication that stands for these offsets to every subscriber whose gate is open.
    pub(super) fn deliver(
        &mut self,
        channel: &Channel,
        (publication, offsets): (&Arc<Publication>, RangeInclusive<u64>),
        encodings: &mut Encodings<impl FnMut(Variant) -> Result<Message, Disconnect>>,
        sender: Sender,
    ) {
        for slot in &mut self.slots {
            let Some(gate) = slot.gate.as_mut().filter(|gate| !gate.is_buffering()) else { continue };
            match gate.offer_newest(offsets.clone(), publication) {
                Offer::Deliver => {}
                Offer::Skip | Offer::Held | Offer::Full => continue,
                Offer::Lost(_) => {
                    slot.lose(channel);
                    continue;
                }
            }
            let has_position = gate.position().is_some();
            match encodings.of(slot.conn.variant) {
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
    pub(super) fn lose(&mut self, channel: &Channel, gone: impl Fn(&StreamPosition) -> bool) {
        for slot in &mut self.slots {
            if slot.gate.as_ref().and_then(Gate::position).is_some_and(&gone) {
                slot.lose(channel);
            }
        }
    }

    /// Queues a message for everybody who listens and has got its reply.
    pub(super) fn notify(&self, encode: impl FnMut(Variant) -> Result<Message, Disconnect>) {
        let mut encodings = Encodings::new(encode);
        for slot in &self.slots {
            if slot.listens && slot.gate.as_ref().is_some_and(|gate| !gate.is_buffering()) {
                encodings.send(&slot.conn);
            }
        }
    }

    /// The lowest of the positions. Without one, there is nothing to be checked any more.
    pub(super) fn lowest(&mut self) -> Option<StreamPosition> {
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
        assert!(size_of::<Slot>() <= 48, "a slot takes {} bytes", size_of::<Slot>());
    }
}
