//! The queue of one connection: it holds no storage while it is empty.

use std::collections::VecDeque;

use crate::Message;

/// Messages waiting to be written, in order, with their total size.
///
/// An empty queue owns no memory, and one message is held in place: a connection at rest costs nothing, and the
/// usual delivery of one message at a time allocates nothing.
#[derive(Debug, Default)]
pub struct MessageQueue {
    slots: Slots,
    bytes: usize,
}

#[derive(Debug, Default)]
enum Slots {
    #[default]
    Empty,
    One(Message),
    Many(VecDeque<Message>),
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
        match &mut self.slots {
            Slots::Empty => self.slots = Slots::One(message),
            Slots::Many(many) => many.push_back(message),
            Slots::One(_) => {
                let mut many = VecDeque::with_capacity(4);
                if let Slots::One(first) = std::mem::take(&mut self.slots) {
                    many.push_back(first);
                }
                many.push_back(message);
                self.slots = Slots::Many(many);
            }
        }
    }

    /// Takes the first message off.
    #[inline]
    pub fn pop(&mut self) -> Option<Message> {
        if let Slots::Many(many) = &mut self.slots {
            let message = many.pop_front()?;
            self.bytes -= message.len();
            if many.is_empty() {
                self.slots = Slots::Empty;
            }
            return Some(message);
        }
        self.bytes = 0;
        match std::mem::take(&mut self.slots) {
            Slots::One(message) => Some(message),
            Slots::Empty | Slots::Many(_) => None,
        }
    }

    /// The messages in order.
    pub fn iter(&self) -> impl Iterator<Item = &Message> + '_ {
        let (front, back) = self.as_slices();
        front.iter().chain(back)
    }

    /// The messages in order, as they lie in memory: those of the first slice come first.
    #[must_use]
    pub fn as_slices(&self) -> (&[Message], &[Message]) {
        match &self.slots {
            Slots::Empty => (&[], &[]),
            Slots::One(message) => (std::slice::from_ref(message), &[]),
            Slots::Many(many) => many.as_slices(),
        }
    }

    /// The number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.slots {
            Slots::Empty => 0,
            Slots::One(_) => 1,
            Slots::Many(many) => many.len(),
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.slots, Slots::Empty)
    }

    /// The total size of the waiting messages, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops everything that waits and its storage.
    pub fn clear(&mut self) {
        *self = Self::new();
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
    fn one_message_needs_no_storage() {
        let mut queue = MessageQueue::new();
        queue.push(message("a"));
        assert!(matches!(queue.slots, Slots::One(_)));
        queue.clear();
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn the_queue_is_small() {
        assert!(size_of::<MessageQueue>() <= 40);
    }
}
