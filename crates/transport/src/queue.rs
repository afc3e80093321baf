//! The queue of one connection: it holds no storage while it is empty.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Lane, Message, Run};

/// Messages waiting to be written, in order, with their total size.
///
/// An empty queue owns no memory, and one message is held in place: a connection at rest costs nothing, and the
/// usual delivery of one message at a time allocates nothing. Runs of messages that many connections share count as
/// the messages they hold; [`pop`](Self::pop) takes those one by one, [`entries`](Self::entries) shows the run itself
/// to a writer that sends what is joined already.
#[derive(Debug, Default)]
pub struct MessageQueue {
    slots: Slots,
    bytes: usize,
}

#[derive(Debug, Default)]
enum Slots {
    #[default]
    Empty,
    One(Slot),
    Many(VecDeque<Slot>),
}

#[derive(Debug)]
enum Slot {
    Message {
        message: Message,
        lane: Lane,
    },
    Run {
        run: Arc<Run>,
        /// How many bytes of it are counted.
        counted: u32,
        /// How many of its messages are taken off.
        taken: u16,
        #[expect(dead_code, reason = "its place counts, not its value")]
        mark: Mark,
    },
}

/// What tells a run from a message, in a place that messages leave free: it keeps a slot at two words.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Mark {
    Run,
}

/// What waits at one place of a [`MessageQueue`].
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A message.
    Message(&'a Message),
    /// A run none of whose messages is taken off yet.
    Run(&'a Arc<Run>),
    /// What is left of a run.
    Rest(&'a [Message]),
}

impl Slot {
    fn entry(&self) -> Entry<'_> {
        match self {
            Self::Message { message, .. } => Entry::Message(message),
            Self::Run { run, taken: 0, .. } => Entry::Run(run),
            Self::Run { run, taken, .. } => {
                Entry::Rest(run.seal().get(usize::from(*taken)..).unwrap_or_default())
            }
        }
    }

    /// The bytes by which it grew since they were counted.
    fn growth(&mut self) -> usize {
        let Self::Run { run, counted, taken: 0, .. } = self else { return 0 };
        let bytes = run.bytes();
        let grown = bytes.saturating_sub(*counted as usize);
        *counted = u32::try_from(bytes).unwrap_or(u32::MAX);
        grown
    }
}

impl MessageQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: Slots::Empty, bytes: 0 }
    }

    /// Appends a message.
    #[inline]
    pub fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.push_slot(Slot::Message { message, lane: Lane::NONE });
    }

    /// Appends a message of a lane, which may be taken off again by
    /// [`remove_lane`](Self::remove_lane), or by [`drop_oldest`](Self::drop_oldest) if its lane says so.
    pub fn push_in(&mut self, message: Message, lane: Lane) {
        self.bytes += message.len();
        self.push_slot(Slot::Message { message, lane });
    }

    /// Appends a run, which may still grow. What it grows by is counted when something is pushed behind it.
    pub fn push_run(&mut self, run: Arc<Run>) {
        let bytes = run.bytes();
        self.bytes += bytes;
        let counted = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.push_slot(Slot::Run { run, counted, taken: 0, mark: Mark::Run });
    }

    #[inline]
    fn push_slot(&mut self, slot: Slot) {
        match &mut self.slots {
            Slots::Empty => self.slots = Slots::One(slot),
            Slots::Many(many) => {
                self.bytes += many.back_mut().map_or(0, Slot::growth);
                many.push_back(slot);
            }
            Slots::One(_) => {
                let mut many = VecDeque::with_capacity(4);
                if let Slots::One(mut first) = std::mem::take(&mut self.slots) {
                    self.bytes += first.growth();
                    many.push_back(first);
                }
                many.push_back(slot);
                self.slots = Slots::Many(many);
            }
        }
    }

    /// Takes the first message off, out of a run if one is in front, which is then sealed.
    #[inline]
    pub fn pop(&mut self) -> Option<Message> {
        let front = match &mut self.slots {
            Slots::Empty => return None,
            Slots::One(slot) => slot,
            Slots::Many(many) => many.front_mut()?,
        };
        let grown = front.growth();
        let (message, more) = match front {
            Slot::Message { message, .. } => (message.clone(), false),
            Slot::Run { run, taken, counted, .. } => {
                let messages = run.seal();
                let message = messages.get(usize::from(*taken))?.clone();
                // A run holds fewer messages than this can count.
                *taken = taken.saturating_add(1);
                *counted = counted.saturating_sub(u32::try_from(message.len()).unwrap_or(u32::MAX));
                (message, usize::from(*taken) < messages.len())
            }
        };
        self.bytes = (self.bytes + grown).saturating_sub(message.len());
        if !more {
            self.drop_front();
        }
        Some(message)
    }

    /// Takes the first entry off as a whole: a message, a run, or what is left of one.
    pub fn pop_entry(&mut self) {
        let counted = match &mut self.slots {
            Slots::Empty => return,
            Slots::One(slot) => Some(slot),
            Slots::Many(many) => many.front_mut(),
        };
        let counted = match counted {
            Some(Slot::Message { message, .. }) => message.len(),
            Some(Slot::Run { counted, .. }) => *counted as usize,
            None => 0,
        };
        self.bytes = self.bytes.saturating_sub(counted);
        self.drop_front();
    }

    #[inline]
    fn drop_front(&mut self) {
        if let Slots::Many(many) = &mut self.slots {
            many.pop_front();
            if !many.is_empty() {
                return;
            }
        }
        self.slots = Slots::Empty;
        self.bytes = 0;
    }

    /// What waits, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> + '_ {
        let (one, (front, back)) = match &self.slots {
            Slots::Empty => (None, (&[][..], &[][..])),
            Slots::One(slot) => (Some(slot), (&[][..], &[][..])),
            Slots::Many(many) => (None, many.as_slices()),
        };
        one.into_iter().chain(front).chain(back).map(Slot::entry)
    }

    /// What waits behind the first `number` entries, in order. Takes no time for those that it passes over.
    pub fn entries_after(&self, number: usize) -> impl Iterator<Item = Entry<'_>> + '_ {
        let (one, many) = match &self.slots {
            Slots::Empty => (None, None),
            Slots::One(slot) => ((number == 0).then_some(slot), None),
            Slots::Many(many) => (None, Some(many.range(number.min(many.len())..))),
        };
        one.into_iter().chain(many.into_iter().flatten()).map(Slot::entry)
    }

    /// The number of entries: messages, and runs as a whole.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.slots {
            Slots::Empty => 0,
            Slots::One(_) => 1,
            Slots::Many(many) => many.len(),
        }
    }

    /// The only message that waits, if there is just one and it is not of a run.
    #[inline]
    #[must_use]
    pub fn single(&self) -> Option<&Message> {
        match &self.slots {
            Slots::One(Slot::Message { message, .. }) => Some(message),
            _ => None,
        }
    }

    /// The messages in order; runs among them are sealed.
    pub fn iter(&self) -> impl Iterator<Item = &Message> + '_ {
        self.entries().flat_map(|entry| match entry {
            Entry::Message(message) => std::slice::from_ref(message),
            Entry::Run(run) => run.seal(),
            Entry::Rest(messages) => messages,
        })
    }

    /// The number of messages; runs among them are sealed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.slots, Slots::Empty)
    }

    /// The total size of the waiting messages, in bytes, without what a run at the end grew by since it was pushed.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room: drops messages whose lanes [allow it](Lane::is_droppable), the oldest first and no more than it
    /// takes, until `bytes` are gone. `false`: they are not enough, and nothing is dropped.
    ///
    /// Takes time in proportion to the queue's length, at most.
    pub fn drop_oldest(&mut self, bytes: usize) -> bool {
        let droppable = |slot: &Slot| match slot {
            Slot::Message { message, lane } if lane.is_droppable() => Some(message.len()),
            _ => None,
        };
        if bytes == 0 {
            return true;
        }
        match &mut self.slots {
            Slots::Empty => return false,
            Slots::One(slot) => {
                if droppable(slot).is_none_or(|length| length < bytes) {
                    return false;
                }
                self.clear();
            }
            Slots::Many(many) => {
                let mut found = 0;
                let enough = many.iter().position(|slot| {
                    found += droppable(slot).unwrap_or_default();
                    found >= bytes
                });
                let Some(last) = enough else { return false };
                let mut dropped = 0;
                let mut at = 0;
                for _ in 0..=last {
                    match many.get(at).and_then(droppable) {
                        Some(length) => {
                            dropped += length;
                            many.remove(at);
                        }
                        None => at += 1,
                    }
                }
                self.bytes = self.bytes.saturating_sub(dropped);
                if many.is_empty() {
                    self.clear();
                }
            }
        }
        true
    }

    /// Takes off whatever waits of a lane, droppable or not. Takes time in proportion to the queue's length.
    pub fn remove_lane(&mut self, lane: Lane) {
        let of_lane = |slot: &Slot| matches!(slot, Slot::Message { lane: its, .. } if its.is_same(lane));
        match &mut self.slots {
            Slots::Empty => {}
            Slots::One(slot) => {
                if of_lane(slot) {
                    self.clear();
                }
            }
            Slots::Many(many) => {
                let mut removed = 0;
                many.retain(|slot| {
                    let stays = !of_lane(slot);
                    if let (false, Slot::Message { message, .. }) = (stays, slot) {
                        removed += message.len();
                    }
                    stays
                });
                self.bytes = self.bytes.saturating_sub(removed);
                if many.is_empty() {
                    self.clear();
                }
            }
        }
    }

    /// Drops everything that waits and its storage.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes = 0;
        match std::mem::take(&mut self.slots) {
            // Told apart here, the usual one costs little more than its own end.
            Slots::One(Slot::Message { message, .. }) => drop(message),
            rest => drop(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::new(text.as_bytes())
    }

    #[test]
    fn order_and_size_are_kept_through_every_shape() {
        let mut queue = MessageQueue::new();
        assert!(queue.is_empty() && queue.pop().is_none());
        for round in 0..3 {
            for text in ["a", "bc", "def"] {
                queue.push(message(text));
            }
            assert_eq!((queue.len(), queue.bytes()), (3, 6), "round {round}");
            assert_eq!(queue.iter().map(Message::len).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!(queue.pop().map(|m| m.as_bytes().to_vec()), Some(b"a".to_vec()));
            queue.push(message("g"));
            let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|m| m.len()).collect();
            assert_eq!(rest, [2, 3, 1]);
            assert_eq!(queue.bytes(), 0);
            assert!(matches!(queue.slots, Slots::Empty), "no storage at rest");
        }
    }

    #[test]
    fn entries_are_counted_and_passed_over() {
        let mut queue = MessageQueue::new();
        assert_eq!((queue.count(), queue.entries_after(0).count()), (0, 0));
        queue.push(message("a"));
        assert_eq!(
            (queue.count(), queue.entries_after(0).count(), queue.entries_after(1).count()),
            (1, 1, 0)
        );
        queue.push_run(Run::new(message("bc")));
        queue.push(message("def"));
        let after = |number| queue.entries_after(number).map(|entry| matches!(entry, Entry::Run(_)));
        assert_eq!(queue.count(), 3);
        assert_eq!(after(1).collect::<Vec<_>>(), [true, false]);
        assert_eq!((after(2).count(), after(3).count(), after(9).count()), (1, 0, 0));
    }

    #[test]
    fn one_message_needs_no_storage() {
        let mut queue = MessageQueue::new();
        queue.push(message("a"));
        assert!(queue.single().is_some());
        queue.clear();
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_run_is_taken_message_by_message() {
        let run = Run::new(message("ab"));
        let mut queue = MessageQueue::new();
        queue.push(message("x"));
        queue.push_run(run.clone());
        run.append(message("cde")).expect("open");
        assert_eq!(queue.bytes(), 3, "the end is counted later");
        queue.push(message("y"));
        assert_eq!(queue.bytes(), 7);
        let mut texts = Vec::new();
        while let Some(message) = queue.pop() {
            texts.push(String::from_utf8(message.as_bytes().to_vec()).expect("text"));
            assert_eq!(queue.bytes(), queue.iter().map(Message::len).sum::<usize>());
        }
        assert_eq!(texts, ["x", "ab", "cde", "y"]);
        assert!(run.append(message("z")).is_err(), "sealed by the first that was taken");
    }

    #[test]
    fn a_run_is_taken_as_a_whole() {
        let run = Run::new(message("ab"));
        let mut queue = MessageQueue::new();
        queue.push_run(run.clone());
        run.append(message("cde")).expect("open");
        queue.push(message("y"));
        assert!(matches!(queue.entries().next(), Some(Entry::Run(found)) if Arc::ptr_eq(found, &run)));
        queue.pop_entry();
        assert_eq!((queue.len(), queue.bytes()), (1, 1));
        queue.push_run(run);
        queue.pop_entry();
        queue.pop();
        queue.push(message("z"));
        assert!(matches!(queue.entries().next(), Some(Entry::Rest([rest])) if rest.as_bytes() == b"cde"));
    }

    #[test]
    fn the_queue_is_small() {
        assert!(size_of::<MessageQueue>() <= 40);
        assert_eq!(size_of::<Slot>(), 16);
    }
}
