//! Flush workers: they write to the connections that have something queued.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::conn::Conn;
use tourbillon_metrics::{Metrics, Tally};

/// How many connections a worker writes to before it lets other tasks run.
const BATCH: usize = 64;

/// The flush workers of a node.
#[derive(Debug)]
pub(crate) struct Flushers {
    workers: Box<[Flusher]>,
    /// How often a worker has taken what waits for it.
    passes: AtomicU64,
    /// How long a worker waits for more before it writes.
    delay: Option<Duration>,
}

/// One worker: the connections that wait for it.
#[derive(Default)]
struct Flusher {
    waiting: Mutex<Vec<Arc<Conn>>>,
    notify: Notify,
    /// Ends a delay.
    hurry: Notify,
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher").field("waiting", &self.waiting.lock().len()).finish_non_exhaustive()
    }
}

impl Flushers {
    /// So many workers; at least one. Each writes at once, or waits so long for more to write.
    pub(crate) fn new(workers: usize, delay: Option<Duration>) -> Self {
        let workers = (0..workers.max(1)).map(|_| Flusher::default()).collect();
        Self { workers, passes: AtomicU64::new(0), delay }
    }

    /// Whether workers wait for more before they write.
    pub(crate) const fn is_delayed(&self) -> bool {
        self.delay.is_some()
    }

    /// Ends the delay of a connection's worker: the connection has a lot to write.
    pub(crate) fn hurry(&self, conn: &Conn) {
        if self.is_delayed()
            && let Some(flusher) = self.of(conn)
        {
            flusher.hurry.notify_one();
        }
    }

    /// A connection's worker. Always the same one, so that its writes stay in order.
    fn of(&self, conn: &Conn) -> Option<&Flusher> {
        let workers = u64::try_from(self.workers.len()).unwrap_or(1);
        let at = usize::try_from(conn.key % workers).unwrap_or_default();
        self.workers.get(at)
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// A number that changes whenever a worker begins to write what waits for it. While it stays, what was handed
    /// over is still queued.
    pub(crate) fn pass(&self) -> u64 {
        self.passes.load(Ordering::Acquire)
    }

    /// Hands a connection to its worker.
    pub(crate) fn push(&self, conn: Arc<Conn>) {
        let Some(flusher) = self.of(&conn) else { return };
        let mut waiting = flusher.waiting.lock();
        let first = waiting.is_empty();
        waiting.push(conn);
        drop(waiting);
        if first {
            flusher.notify.notify_one();
        }
    }

    /// Runs one worker for ever. What it sends is counted there.
    pub(crate) async fn run(&self, worker: usize, metrics: &Metrics) {
        let Some(flusher) = self.workers.get(worker) else { return };
        // Two lists in turn: one is filled while the other is worked on, and neither is allocated again.
        let mut batch = Vec::new();
        let mut tally = Tally::default();
        loop {
            flusher.notify.notified().await;
            if let Some(delay) = self.delay {
                // What is said of haste while nothing waits holds for what comes next.
                let _ = timeout(delay, flusher.hurry.notified()).await;
            }
            self.passes.fetch_add(1, Ordering::AcqRel);
            std::mem::swap(&mut batch, &mut *flusher.waiting.lock());
            for (number, conn) in batch.drain(..).enumerate() {
                conn.flush(&mut tally);
                if number % BATCH == BATCH - 1 {
                    metrics.take(&mut tally);
                    tokio::task::yield_now().await;
                }
            }
            metrics.take(&mut tally);
            // What a storm left is given back.
            batch.shrink_to(4096);
        }
    }
}
