//! One channel's subscribers.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tourbillon_fanout::{Dense, Keyed, TagFilters};
use tourbillon_transport::{Message, Run};
use tourbillon_types::{Channel, Disconnect, PushKinds, TagMatcher};

use crate::encodings::{Body, Form};
use crate::flow::{Flow, Sender};
use crate::hub::Sources;
use crate::subscriber::Subscriber;
use crate::tracked::Tracked;

/// One channel.
#[derive(Debug)]
pub(crate) struct Entry<C> {
    pub(crate) subscribers: Mutex<Subscribers<C>>,
}

impl<C> Default for Entry<C> {
    fn default() -> Self {
        Self { subscribers: Mutex::default() }
    }
}

/// The subscribers of one channel, grouped by variant.
#[derive(Debug)]
pub(crate) struct Subscribers<C> {
    groups: SmallVec<[Group<C>; 1]>,
    /// Those that are looked at one by one. Most channels have none.
    pub(crate) tracked: Option<Box<Tracked<C>>>,
    /// Of a channel whose publications are not all delivered at once.
    pub(crate) flow: Option<Box<Flow>>,
    /// What stands for the channel's name with those who take that; 0 until somebody does.
    pub(crate) number: i64,
    /// Where the channel comes from.
    pub(crate) wanted: Sources,
    /// What of that is known to deliver it.
    pub(crate) delivered: Sources,
    /// Nobody is left, and the entry is taken off the map: whoever still finds it looks again.
    pub(crate) dissolved: bool,
}

impl<C> Default for Subscribers<C> {
    fn default() -> Self {
        Self {
            groups: SmallVec::new(),
            tracked: None,
            flow: None,
            number: 0,
            wanted: Sources::default(),
            delivered: Sources::default(),
            dissolved: false,
        }
    }
}

/// How a connection has a channel. By default it gets every publication as it is, and no more.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Place {
    /// Whether it takes the channel's number for its name.
    pub compact: bool,
    /// Whether it has a position.
    pub positioned: bool,
    /// Whether it has the channel's state, which changes by keys.
    pub keyed: bool,
    /// Which of joins and leaves are told to it.
    pub listens: PushKinds,
    /// Whether it is sent no publications. It has a place in the channel like others, and moves over them.
    pub mute: bool,
    /// Whether it takes deltas.
    pub delta: bool,
    /// Whether it takes deltas of publications outside a stream, too.
    pub keeps_latest: bool,
    /// Which publications it gets.
    pub filter: TagFilters,
}

impl Place {
    /// Whether nothing has to be looked at for a publication.
    const fn is_plain(&self) -> bool {
        !self.positioned
            && !self.keyed
            && self.listens.is_empty()
            && !self.mute
            && !self.delta
            && self.filter.is_none()
    }
}

/// Subscribers that get the same bytes, densely.
#[derive(Debug)]
pub(crate) struct Group<C> {
    pub(crate) form: Form,
    slots: Dense<Slot<C>>,
    /// How many gates are closed.
    gated: usize,
    burst: Burst,
}

/// Publications that come faster than they are written.
#[derive(Debug, Default)]
struct Burst {
    /// The pass of the flush workers in which the last publication was queued.
    pass: Option<u64>,
    /// What every connection of the group has at the end of its queue, as far as publications go.
    run: Option<Arc<Run>>,
}

#[derive(Debug)]
struct Slot<C> {
    conn: Arc<C>,
    /// What collects while the gate is closed; `None` when it is open.
    gate: Option<Box<Gate>>,
}

/// Publications that arrived between attaching and the subscribe reply.
#[derive(Debug, Default)]
struct Gate(Vec<Message>);

/// The most publications that a gate holds. It is closed for one call to the application at most, and a
/// connection that collects more than this meanwhile is slow.
const GATE_LIMIT: usize = 4096;

/// With fewer subscribers than this a run saves nothing.
const FEW: usize = 4;

impl<C: Subscriber> Keyed for Slot<C> {
    fn key(&self) -> u64 {
        self.conn.key()
    }
}

impl<C: Subscriber> Subscribers<C> {
    pub(crate) fn len(&self) -> usize {
        let plain: usize = self.groups.iter().map(|group| group.slots.len()).sum();
        plain + self.tracked.as_ref().map_or(0, |tracked| tracked.len())
    }

    pub(crate) fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group<C>> {
        self.groups.iter_mut()
    }

    /// The group that a connection is in.
    fn group_of(&mut self, conn: &C) -> Option<&mut Group<C>> {
        self.groups.iter_mut().find(|group| group.has(conn))
    }

    /// Adds a connection with its gate closed. `false`: it is there already, and stays as it is.
    pub(crate) fn add(&mut self, conn: &Arc<C>, place: &Place) -> bool {
        if self.has(conn) {
            return false;
        }
        if !place.is_plain() {
            self.tracked.get_or_insert_default().add(conn, place, GATE_LIMIT);
            return true;
        }
        let form = Form { variant: conn.variant(), compact: place.compact, body: Body::Plain };
        let at = self.groups.iter().position(|group| group.form == form).unwrap_or_else(|| {
            self.groups.push(Group::new(form));
            self.groups.len() - 1
        });
        if let Some(group) = self.groups.get_mut(at) {
            group.add(conn);
        }
        true
    }

    /// Opens a connection's gate and gives what collected behind it.
    pub(crate) fn open(&mut self, conn: &C) -> Vec<Message> {
        let Some(group) = self.group_of(conn) else { return Vec::new() };
        let Some(gate) = group.slot_mut(conn).and_then(|slot| slot.gate.take()) else { return Vec::new() };
        group.gated -= 1;
        group.burst = Burst::default();
        gate.0
    }

    /// Changes which publications the server lets a connection have that has got its reply.
    pub(crate) fn filter(&mut self, channel: &Channel, conn: &Arc<C>, filter: Arc<TagMatcher>) {
        let tracked = self.tracked.as_mut();
        if let Some(tracked) = tracked.filter(|tracked| tracked.has(conn)) {
            return tracked.filter(conn, filter);
        }
        // It got every publication so far, like many others. From now on it is looked at by itself.
        let Some(compact) = self.group_of(conn).map(|group| group.form.compact) else { return };
        self.remove(conn);
        let filter = TagFilters { server: Some(filter), client: None };
        let place = Place { compact, filter, ..Place::default() };
        let tracked = self.tracked.get_or_insert_default();
        tracked.add(conn, &place, GATE_LIMIT);
        tracked.open(channel, conn, None, |_, _| Err(Disconnect::INTERNAL_SERVER_ERROR));
    }

    fn has(&self, conn: &C) -> bool {
        self.groups.iter().any(|group| group.has(conn))
            || self.tracked.as_ref().is_some_and(|tracked| tracked.has(conn))
    }

    /// Removes a connection. `false`: it was not there.
    pub(crate) fn remove(&mut self, conn: &C) -> bool {
        if let Some(tracked) = &mut self.tracked
            && tracked.remove(conn)
        {
            if tracked.len() == 0 {
                self.tracked = None;
            }
            return true;
        }
        let Some(group) = self.group_of(conn) else { return false };
        let removed = group.remove(conn);
        self.groups.retain(|group| !group.slots.is_empty());
        removed
    }
}

impl<C: Subscriber> Group<C> {
    fn new(form: Form) -> Self {
        Self { form, slots: Dense::default(), gated: 0, burst: Burst::default() }
    }

    fn add(&mut self, conn: &Arc<C>) {
        self.slots.push(Slot { conn: conn.clone(), gate: Some(Box::default()) });
        self.gated += 1;
        self.burst = Burst::default();
    }

    fn has(&self, conn: &C) -> bool {
        self.form.variant == conn.variant() && self.slots.position(conn.key()).is_some()
    }

    fn slot_mut(&mut self, conn: &C) -> Option<&mut Slot<C>> {
        let at = self.slots.position(conn.key())?;
        self.slots.get_mut(at)
    }

    fn remove(&mut self, conn: &C) -> bool {
        let at = self.slots.position(conn.key());
        let Some(gone) = at.and_then(|at| self.slots.swap_remove(at)) else { return false };
        self.gated -= usize::from(gone.gate.is_some());
        self.burst = Burst::default();
        true
    }

    /// Queues a publication for every subscriber of the group. `pass` is that of the flush workers, if the
    /// publication before this one, of all channels, was this channel's.
    ///
    /// As long as the last publication is still queued everywhere, the next ones are collected in a run that is
    /// queued once: a burst of publications costs each subscriber two entries, not one for each.
    pub(crate) fn publish(&mut self, message: Message, pass: Option<u64>) {
        let mut message = message;
        let burst = std::mem::take(&mut self.burst);
        if self.gated == 0 && self.slots.len() >= FEW && pass.is_some() {
            if let Some(run) = burst.run {
                match run.append(message) {
                    Ok(()) => {
                        self.burst = Burst { pass, run: Some(run) };
                        return;
                    }
                    Err(back) => message = back,
                }
            }
            if burst.pass == pass {
                let run = Run::new(message);
                for slot in self.slots.iter() {
                    slot.conn.send_run(run.clone());
                }
                self.burst = Burst { pass, run: Some(run) };
                return;
            }
        }
        self.send(&message);
        self.burst.pass = pass;
    }

    /// Forgets what could still grow: something else is queued behind it.
    pub(crate) fn end_burst(&mut self) {
        self.burst = Burst::default();
    }

    /// Queues a message behind the gates that are closed.
    pub(crate) fn collect(&mut self, message: &Message) {
        if self.gated == 0 {
            return;
        }
        for slot in self.slots.iter_mut() {
            match &mut slot.gate {
                None => {}
                Some(gate) if gate.0.len() < GATE_LIMIT => gate.0.push(message.clone()),
                Some(_) => slot.conn.fail(Disconnect::SLOW),
            }
        }
    }

    /// Whether somebody's gate is closed.
    pub(crate) fn is_collecting(&self) -> bool {
        self.gated > 0
    }

    /// Queues messages for every subscriber of the group whose gate is open.
    pub(crate) fn deliver(&self, messages: &[Message], sender: Sender) {
        let open = || self.slots.iter().filter(|slot| slot.gate.is_none());
        if sender.is_strict() && messages.len() > 1 && self.slots.len() >= FEW {
            for run in runs(messages) {
                open().for_each(|slot| slot.conn.send_run(run.clone()));
            }
            return;
        }
        for slot in open() {
            for message in messages {
                sender.send(&slot.conn, message.clone());
            }
        }
    }

    /// Queues a message for every subscriber of the group.
    fn send(&mut self, message: &Message) {
        for slot in self.slots.iter_mut() {
            match &mut slot.gate {
                None => slot.conn.send(message.clone()),
                Some(gate) if gate.0.len() < GATE_LIMIT => gate.0.push(message.clone()),
                Some(_) => slot.conn.fail(Disconnect::SLOW),
            }
        }
    }

    /// Ends every connection of the group.
    pub(crate) fn fail(&self, why: &Disconnect) {
        for slot in self.slots.iter() {
            slot.conn.fail(why.clone());
        }
    }
}

/// As few runs as hold all messages.
fn runs(messages: &[Message]) -> Vec<Arc<Run>> {
    let mut runs: Vec<Arc<Run>> = Vec::new();
    for message in messages {
        let mut left = Some(message.clone());
        if let Some(run) = runs.last() {
            left = run.append(message.clone()).err();
        }
        runs.extend(left.map(Run::new));
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_two_words() {
        assert_eq!(size_of::<Slot<u8>>(), 16);
    }
}
