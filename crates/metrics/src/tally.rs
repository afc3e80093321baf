//! Adding up what is sent, before it gets to the counts that threads share.

use smallvec::SmallVec;
use tourbillon_transport::{Entry, Message, MessageQueue};

use crate::{Frame, wide};

/// What one thread has sent and not told yet. Most of the time it is of one kind, or of two.
#[derive(Debug)]
pub struct Tally {
    /// What was counted last: what comes next is of the same kind, as a rule.
    last: Sum,
    /// Of other kinds than that.
    others: SmallVec<[Sum; 3]>,
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug)]
struct Sum {
    /// The transport, and behind it the label: one number, since they are compared for every delivery.
    key: u16,
    /// Fewer than a thread sends before it tells.
    messages: u32,
    bytes: u64,
}

impl Sum {
    const NONE: Self = Self { key: u16::MAX, messages: 0, bytes: 0 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) transport: u8,
    pub(crate) frame: Frame,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { last: Sum::NONE, others: SmallVec::new() }
    }
}

impl Tally {
    /// Counts the only message of a queue as it is handed to a transport: what most deliveries are. `false`: the queue
    /// is not like that, and nothing is counted.
    #[inline]
    pub fn count_single(&mut self, transport: u8, queue: &MessageQueue) -> bool {
        let Some(message) = queue.single() else { return false };
        self.add(transport, message.label(), 1, queue.bytes());
        true
    }

    /// Counts what waits behind the first `offered` entries of a queue as it is handed to a transport.
    pub fn count(&mut self, transport: u8, queue: &MessageQueue, offered: usize) {
        for entry in queue.entries_after(offered) {
            match entry {
                Entry::Message(message) => self.add(transport, message.label(), 1, message.len()),
                // The hub makes runs of publications only.
                Entry::Run(run) => {
                    let messages = run.seal();
                    let label = messages.first().map_or(0, Message::label);
                    self.add(
                        transport,
                        label,
                        u32::try_from(messages.len()).unwrap_or(u32::MAX),
                        run.bytes(),
                    );
                }
                Entry::Rest(messages) => {
                    messages
                        .iter()
                        .for_each(|message| self.add(transport, message.label(), 1, message.len()));
                }
            }
        }
    }

    #[inline]
    fn add(&mut self, transport: u8, label: u8, messages: u32, bytes: usize) {
        let key = u16::from_le_bytes([transport, label]);
        if self.last.key != key {
            self.turn_to(key);
        }
        self.last.messages = self.last.messages.wrapping_add(messages);
        self.last.bytes += wide(bytes);
    }

    /// Goes on with another kind.
    #[cold]
    fn turn_to(&mut self, key: u16) {
        let known = self.others.iter().position(|sum| sum.key == key);
        let next = known.map_or(Sum { key, ..Sum::NONE }, |at| self.others.swap_remove(at));
        let before = std::mem::replace(&mut self.last, next);
        if before.messages > 0 {
            self.others.push(before);
        }
    }

    /// Takes what was counted.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Counted> + '_ {
        let last = std::mem::replace(&mut self.last, Sum::NONE);
        let sums = self.others.drain(..).chain((last.messages > 0).then_some(last));
        sums.map(|Sum { key, messages, bytes }| {
            let [transport, label] = key.to_le_bytes();
            Counted { transport, frame: Frame::of_label(label), messages: messages.into(), bytes }
        })
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_transport::Run;

    use super::*;

    fn message(frame: Frame, text: &str) -> Message {
        Message::labelled(frame.label(), text)
    }

    #[test]
    fn each_message_is_counted_once_however_often_it_is_offered() {
        let (push, reply) = (Frame::PushPublication, Frame::Rpc);
        let mut tally = Tally::default();
        let mut queue = MessageQueue::new();
        queue.push(message(push, "abc"));
        assert!(!tally.count_single(1, &MessageQueue::new()) && tally.count_single(1, &queue));
        tally.count(1, &queue, queue.count());
        let run = Run::new(message(push, "de"));
        run.append(message(push, "fgh")).expect("open");
        queue.push(message(reply, "r"));
        queue.push_run(run);
        assert!(!tally.count_single(1, &queue), "there are several");
        tally.count(1, &queue, 1);
        tally.count(1, &queue, queue.count());
        tally.count(2, &queue, 2);
        let counted = |transport, frame, messages, bytes| Counted { transport, frame, messages, bytes };
        let mut all: Vec<_> = tally.drain().collect();
        all.sort_by_key(|counted| (counted.transport, counted.frame));
        assert_eq!(all, [counted(1, push, 3, 8), counted(1, reply, 1, 1), counted(2, push, 2, 5)]);
        assert_eq!(tally.drain().next(), None);
    }
}
