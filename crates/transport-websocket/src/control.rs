//! What the reader leaves for the writer: answers to pings, and how the connection ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// The most pings that are answered one by one; of more, the oldest are dropped, which RFC 6455 section 5.5.3
/// allows.
const PONGS: usize = 16;

/// Shared by both halves of a connection. At rest it holds nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether there are frames to be sent. Looked at for every message, so without the lock; changed under it.
    waiting: AtomicBool,
    pending: Mutex<Option<Box<Pending>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Payloads of pongs to be sent.
    pub(crate) pongs: Vec<Bytes>,
    /// Whether a ping is to be sent.
    pub(crate) ping: bool,
    /// How the connection ends, if the reader has found out.
    pub(crate) ending: Option<Ending>,
}

/// How a connection ends, seen from its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer closes, with this code or none: the close is answered by the same.
    Peer(Option<u16>),
    /// The peer broke the protocol: it is told with this code.
    Failed(u16),
}

impl Control {
    fn with<T>(&self, work: impl FnOnce(&mut Pending) -> T) -> T {
        let mut pending = self.0.pending.lock();
        self.0.waiting.store(true, Ordering::Release);
        work(pending.get_or_insert_default())
    }

    pub(crate) fn pong(&self, payload: Bytes) {
        self.with(|pending| {
            if pending.pongs.len() == PONGS {
                pending.pongs.remove(0);
            }
            pending.pongs.push(payload);
        });
    }

    pub(crate) fn ping(&self) {
        self.with(|pending| pending.ping = true);
    }

    pub(crate) fn end(&self, ending: Ending) {
        self.with(|pending| {
            pending.ending.get_or_insert(ending);
        });
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.0.pending.lock().as_ref().and_then(|pending| pending.ending)
    }

    /// Whether there are control frames to be sent.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire)
    }

    /// Takes the control frames to be sent: pongs, and whether to ping.
    pub(crate) fn take(&self) -> Option<(Vec<Bytes>, bool)> {
        let mut pending = self.0.pending.lock();
        self.0.waiting.store(false, Ordering::Release);
        let taken = pending.as_mut()?;
        let frames = (std::mem::take(&mut taken.pongs), std::mem::take(&mut taken.ping));
        if taken.ending.is_none() {
            *pending = None;
        }
        Some(frames)
    }
}
