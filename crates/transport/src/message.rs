//! Encoded messages, shared by every connection that gets them.

use std::fmt;

use bytes::Bytes;
use tourbillon_types::Mark;
use triomphe::ThinArc;

use crate::forms::Forms;

/// One encoded message on its way to any number of connections. Cloning shares the bytes.
///
/// Beside the bytes there is room for derived forms, such as the compressed bytes, each computed by whichever
/// connection needs it first and shared by the rest.
///
/// It is one pointer to one allocation, which holds the bytes.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

/// What stands before the bytes.
struct Head {
    forms: Forms,
    /// Few messages have one: boxed, it takes a word of all others.
    mark: Option<Box<Mark>>,
    label: u8,
}

impl Message {
    /// A message of these bytes, which are copied.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self::labelled(0, bytes)
    }

    /// A message of these bytes, which are copied, with a label that says to whoever made it what it is. Transports do
    /// not look at it.
    #[must_use]
    pub fn labelled(label: u8, bytes: impl AsRef<[u8]>) -> Self {
        Self::marked(label, None, bytes)
    }

    /// The same with what the message changes about where its receiver stands.
    #[must_use]
    pub fn marked(label: u8, mark: Option<Box<Mark>>, bytes: impl AsRef<[u8]>) -> Self {
        Self(ThinArc::from_header_and_slice(Head { forms: Forms::new(), mark, label }, bytes.as_ref()))
    }

    /// What the message changes about where its receiver stands, if whoever made it said so.
    #[inline]
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.0.header.header.mark.as_deref()
    }

    /// The label; 0 unless one was given.
    #[inline]
    #[must_use]
    pub fn label(&self) -> u8 {
        self.0.header.header.label
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// The number of encoded bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.slice.len()
    }

    /// Whether there are no bytes, as in a JSON-less ping.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.slice.is_empty()
    }

    /// The form of this message that `key` names, made by `make` if no connection has made it yet.
    ///
    /// Forms are kept for as long as the message lives, so the keys of a process should be few. A compression level
    /// is its own key; transports choose others at random.
    pub fn derived(&self, key: u32, make: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.0.header.header.forms.get(key, || make(&self.0.slice))
    }

    /// The form of this message that `key` names, if it was made already.
    #[inline]
    #[must_use]
    pub fn made(&self, key: u32) -> Option<Bytes> {
        self.0.header.header.forms.made(key)
    }

    /// Whether many connections, or places in queues, have this message at the moment: what is made once for all of
    /// them pays.
    #[inline]
    #[must_use]
    pub fn is_widely_shared(&self) -> bool {
        ThinArc::strong_count(&self.0) >= Self::MANY
    }

    const MANY: usize = 16;

    /// Whether both share the same bytes in memory.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        std::ptr::eq(self.as_bytes(), other.as_bytes())
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Message {
    /// Shows the length only: payloads never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_pointer() {
        assert_eq!(size_of::<Option<Message>>(), size_of::<usize>());
    }

    #[test]
    fn empty_messages_are_told_apart() {
        let (one, other) = (Message::new([]), Message::new([]));
        assert!(one.is_empty() && one.same(&one.clone()) && !one.same(&other));
    }

    #[test]
    fn a_label_stays_with_the_bytes() {
        let message = Message::labelled(7, *b"abc");
        assert_eq!((message.clone().label(), message.as_bytes()), (7, &b"abc"[..]));
        assert_eq!(Message::new(*b"abc").label(), 0);
    }

    #[test]
    fn a_mark_is_shared_with_the_bytes() {
        let mark = Mark::Remove(tourbillon_types::Channel::from("a"));
        let message = Message::marked(7, Some(Box::new(mark.clone())), *b"abc");
        let shared = message.clone();
        drop(message);
        assert_eq!((shared.mark(), shared.label(), shared.as_bytes()), (Some(&mark), 7, &b"abc"[..]));
        assert_eq!(Message::labelled(7, *b"abc").mark(), None);
    }

    #[test]
    fn many_share_a_message_or_few() {
        let message = Message::new(*b"abc");
        let mut others = vec![message.clone(); Message::MANY - 1];
        assert!(message.is_widely_shared());
        others.pop();
        assert!(!message.is_widely_shared());
    }

    #[test]
    fn a_derived_form_is_made_once_and_shared() {
        let message = Message::new(*b"abc");
        assert_eq!(message.made(1), None);
        let first = message.derived(1, |bytes| Bytes::from(bytes.to_ascii_uppercase()));
        let shared = message.clone();
        let again = shared.derived(1, |_| unreachable!("made already"));
        assert!(shared.same(&message));
        assert_eq!(first, "ABC");
        assert_eq!((message.made(1), message.made(2)), (Some(first.clone()), None));
        assert_eq!(again.as_ptr(), first.as_ptr());
        assert_eq!(message.derived(2, |bytes| Bytes::copy_from_slice(&bytes[..1])), "a");
        assert_eq!(message.derived(1, |_| unreachable!("still there")), "ABC");
        assert_eq!(shared.derived(2, |_| unreachable!("there too")), "a");
        assert_eq!(shared.derived(3, |_| Bytes::new()), "");
    }
}
