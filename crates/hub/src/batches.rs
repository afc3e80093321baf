//! When the batches of channels are due: one task for all of them, which sleeps until the next.
//!
//! The timing wheel is too coarse for it: a batch waits for tens of milliseconds, and a tick is a hundred.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Weak;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tourbillon_types::{Channel, Instant};

use crate::channel::Entry;
use crate::hub::Hub;
use crate::subscriber::Subscriber;

/// How many batches are delivered before other tasks run.
const AT_ONCE: usize = 16;

/// Batches that wait for their time. A channel is here once at most.
#[derive(Debug)]
pub(crate) struct Batches<C> {
    due: Mutex<BinaryHeap<Due<C>>>,
    notify: Notify,
}

impl<C> Default for Batches<C> {
    fn default() -> Self {
        Self { due: Mutex::default(), notify: Notify::new() }
    }
}

/// A channel whose batch is to be looked at.
#[derive(Debug)]
pub(crate) struct Due<C> {
    pub(crate) at: Instant,
    pub(crate) channel: Channel,
    pub(crate) entry: Weak<Entry<C>>,
}

impl<C> Ord for Due<C> {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<C> PartialOrd for Due<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<C> PartialEq for Due<C> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<C> Eq for Due<C> {}

impl<C> Batches<C> {
    /// Has a channel looked at when it is time.
    pub(crate) fn add(&self, due: Due<C>) {
        let mut waiting = self.due.lock();
        let first = waiting.peek().is_none_or(|next| due.at < next.at);
        waiting.push(due);
        drop(waiting);
        if first {
            self.notify.notify_one();
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due.lock().peek().map(|due| due.at)
    }

    fn take(&self, now: Instant) -> Option<Due<C>> {
        let mut waiting = self.due.lock();
        if waiting.peek()?.at > now {
            return None;
        }
        let due = waiting.pop();
        // What a storm left is given back.
        if waiting.capacity() > 1024 && waiting.len() < waiting.capacity() / 8 {
            waiting.shrink_to_fit();
        }
        due
    }
}

impl<C: Subscriber> Hub<C> {
    /// Delivers batches when they are due, for ever.
    ///
    /// # Cancel safety
    ///
    /// What was not delivered before a drop is delivered by the next run.
    pub async fn run(&self) {
        loop {
            tokio::select! {
                () = self.batches.notify.notified() => {}
                () = self.wait_until(self.batches.next()) => {}
            }
            let mut delivered = 0;
            while let Some(due) = self.batches.take(self.clock.now().instant) {
                self.deliver_due(due);
                delivered += 1;
                if delivered % AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn wait_until(&self, due: Option<Instant>) {
        match due {
            Some(due) => tokio::time::sleep(due - self.clock.now().instant).await,
            None => std::future::pending().await,
        }
    }
}
