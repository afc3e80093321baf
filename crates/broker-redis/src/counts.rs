//! What is counted of messages that are handed on (RED-18, MET-42 to MET-44).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::{Sender, WeakSender};
use tourbillon_types::Channel;

/// What became of the messages that came over the connections for messages, of an engine or of a store of keyed channels.
/// It counts from the start of the process.
#[derive(Default)]
pub struct PubSubCounts {
    faults: [AtomicU64; 3],
    dropped: AtomicU64,
    dropped_control: AtomicU64,
    /// Those of the workers, which end with these.
    queues: Mutex<Vec<WeakSender<(Channel, Bytes)>>>,
}

/// What went wrong with a connection for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It was lost, and has come back.
    Lost,
    /// It did not answer, and is replaced (RED-19).
    Silent,
    /// Channels could not be subscribed to again.
    Resubscribe,
}

impl PubSubCounts {
    pub(crate) fn fault(&self, fault: Fault) {
        if let Some(count) = self.faults.get(fault as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn drop_messages(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn drop_control(&self, count: u64) {
        self.dropped_control.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self, queues: &[Sender<(Channel, Bytes)>]) {
        *self.queues.lock() = queues.iter().map(Sender::downgrade).collect();
    }

    /// How often something went wrong with a connection for messages, by what it was (MET-42).
    #[must_use]
    pub fn errors(&self) -> [(&'static str, u64); 3] {
        let [lost, silent, resubscribe] = self.faults.each_ref().map(|count| count.load(Ordering::Relaxed));
        [("connection_lost", lost), ("no_answer", silent), ("subscribe_channel", resubscribe)]
    }

    /// How many messages of channels were dropped since too many waited (MET-43).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many messages of other nodes were.
    #[must_use]
    pub fn dropped_control(&self) -> u64 {
        self.dropped_control.load(Ordering::Relaxed)
    }

    /// How many messages wait for each worker (MET-44). None where nothing runs.
    #[must_use]
    pub fn buffered(&self) -> Vec<usize> {
        let queues = self.queues.lock();
        let queues = queues.iter().filter_map(WeakSender::upgrade);
        queues.map(|queue| queue.max_capacity() - queue.capacity()).collect()
    }
}

impl fmt::Debug for PubSubCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubCounts").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}
