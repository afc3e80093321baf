//! Adding up what is sent, before it gets to the counts that threads share.

use smallvec::SmallVec;
use tourbillon_transport::{Entry, Message, MessageQueue};

use crate::{Frame, wide};

/// What one thread has sent and not told yet. Most of the time it holds one or two kinds of messages.
#[derive(Debug, Default)]
pub struct Tally(SmallVec<[Counted; 4]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) transport: u8,
    pub(crate) frame: Frame,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Tally {
    /// Counts what waits behind the first `offered` entries of a queue, as it is handed to a transport.
    #[inline]
    pub fn count(&mut self, transport: u8, queue: &MessageQueue, offered: usize) {
        match queue.single() {
            Some(message) if offered == 0 => self.add(transport, message.label(), 1, message.len()),
            _ => self.count_many(transport, queue, offered),
        }
    }

    fn count_many(&mut self, transport: u8, queue: &MessageQueue, offered: usize) {
        for entry in queue.entries_after(offered) {
            match entry {
                Entry::Message(message) => self.add(transport, message.label(), 1, message.len()),
                // The hub makes runs of publications only.
                Entry::Run(run) => {
                    let messages = run.seal();
                    let label = messages.first().map_or(0, Message::label);
                    self.add(transport, label, wide(messages.len()), run.bytes());
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
    fn add(&mut self, transport: u8, label: u8, messages: u64, bytes: usize) {
        let same = |counted: &&mut Counted| counted.transport == transport && counted.frame.label() == label;
        match self.0.iter_mut().find(same) {
            Some(counted) => {
                counted.messages += messages;
                counted.bytes += wide(bytes);
            }
            None => {
                let frame = Frame::of_label(label);
                self.0.push(Counted { transport, frame, messages, bytes: wide(bytes) });
            }
        }
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Counted> + '_ {
        self.0.drain(..)
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
        tally.count(1, &queue, 0);
        tally.count(1, &queue, queue.count());
        let run = Run::new(message(push, "de"));
        run.append(message(push, "fgh")).expect("open");
        queue.push(message(reply, "r"));
        queue.push_run(run);
        tally.count(1, &queue, 1);
        tally.count(1, &queue, queue.count());
        tally.count(2, &queue, 2);
        let counted = |transport, frame, messages, bytes| Counted { transport, frame, messages, bytes };
        let all: Vec<_> = tally.drain().collect();
        assert_eq!(all, [counted(1, push, 3, 8), counted(1, reply, 1, 1), counted(2, push, 2, 5)]);
        assert_eq!(tally.drain().next(), None);
    }
}
