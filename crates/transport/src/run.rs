//! Messages that follow each other on many connections, joined once for all of them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::Message;
use crate::forms::Forms;

/// Messages of one channel that come faster than they are written.
///
/// A run is queued once on every connection and then grows: what is appended reaches all of them without touching
/// any. The first connection that writes it seals it; from then on nothing is appended, and the bytes that go out
/// are made once and shared ([`joined`](Self::joined)).
pub struct Run {
    open: Mutex<Open>,
    sealed: OnceLock<Box<[Message]>>,
    joined: Forms,
}

#[derive(Debug)]
struct Open {
    /// What has been appended, until it is sealed.
    messages: Vec<Message>,
    /// The size of all that was appended.
    bytes: usize,
    /// Whether nothing is appended any more.
    over: bool,
}

impl Run {
    /// The most messages in a run.
    pub const MAX_MESSAGES: usize = 256;
    /// A run that holds more bytes than this takes no more messages. It is how far a connection's queue may be above
    /// its limit for a moment, since what is appended is counted when the connection is looked at next.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// A run that begins with one message.
    #[must_use]
    pub fn new(first: Message) -> Arc<Self> {
        let bytes = first.len();
        let mut messages = Vec::with_capacity(16);
        messages.push(first);
        Arc::new(Self {
            open: Mutex::new(Open { messages, bytes, over: false }),
            sealed: OnceLock::new(),
            joined: Forms::new(),
        })
    }

    /// Appends a message. `Err` gives it back: somebody has begun to write the run, or it is full.
    ///
    /// # Errors
    ///
    /// The message itself.
    pub fn append(&self, message: Message) -> Result<(), Message> {
        let mut open = self.open.lock();
        if open.over || open.messages.len() >= Self::MAX_MESSAGES || open.bytes >= Self::MAX_BYTES {
            return Err(message);
        }
        open.bytes += message.len();
        open.messages.push(message);
        Ok(())
    }

    /// The bytes of its messages so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.open.lock().bytes
    }

    /// Ends the run and gives its messages. Every later call gives the same ones.
    pub fn seal(&self) -> &[Message] {
        self.sealed.get_or_init(|| {
            let mut open = self.open.lock();
            open.over = true;
            std::mem::take(&mut open.messages).into_boxed_slice()
        })
    }

    /// Ends the run and gives the form of it that `key` names, made by `make` if no connection has made it yet. Forms
    /// are kept for as long as the run lives.
    pub fn joined(&self, key: u32, make: impl FnOnce(&[Message]) -> Bytes) -> Bytes {
        let messages = self.seal();
        self.joined.get(key, || make(messages))
    }
}

impl fmt::Debug for Run {
    /// Shows the length only: payloads never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::new(text)
    }

    #[test]
    fn a_run_grows_until_it_is_sealed() {
        let run = Run::new(message("a"));
        assert!(run.append(message("bc")).is_ok());
        assert_eq!(run.bytes(), 3);
        assert_eq!(run.seal().len(), 2);
        assert_eq!(run.append(message("d")).expect_err("sealed").as_bytes(), b"d");
        assert_eq!((run.seal().len(), run.bytes()), (2, 3));
    }

    #[test]
    fn a_run_is_bounded() {
        let run = Run::new(message("a"));
        let appended = (0..).take_while(|_| run.append(message("b")).is_ok()).count();
        assert_eq!(appended, Run::MAX_MESSAGES - 1);
        let run = Run::new(Message::new(vec![0; Run::MAX_BYTES]));
        assert!(run.append(message("b")).is_err());
    }

    #[test]
    fn the_joined_form_is_made_once() {
        let run = Run::new(message("a"));
        run.append(message("b")).expect("open");
        let join = |messages: &[Message]| {
            Bytes::from(messages.iter().flat_map(|message| message.as_bytes().to_vec()).collect::<Vec<_>>())
        };
        let first = run.joined(1, join);
        assert_eq!(first, "ab");
        assert_eq!(run.joined(1, |_| unreachable!("made")).as_ptr(), first.as_ptr());
        assert_eq!(run.joined(2, |_| Bytes::from_static(b"other")), "other");
    }
}
