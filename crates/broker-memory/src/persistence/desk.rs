//! Where those wait who want something of the disk: a bounded crowd, of which few take a thread.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tourbillon_broker::BrokerError;

use crate::engine::ORDERS;

/// How many may wait. Each holds what it publishes.
const ROOM: usize = 16 * 1024;

/// How many wait for the disk itself, each with a thread of the runtime's pool. They share its writes.
const THREADS: usize = 128;

/// Lets one of a channel at a time go to the disk: threads are not for waiting for each other.
#[derive(Debug)]
pub(crate) struct Desk {
    room: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    /// By the order of channels, as publications are appended in.
    turns: Box<[Arc<Semaphore>]>,
}

/// The right to go to the disk. Given back by its end.
pub(crate) type Ticket = [OwnedSemaphorePermit; 3];

impl Desk {
    pub(crate) fn new() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            room: semaphore(ROOM),
            threads: semaphore(THREADS),
            turns: (0..ORDERS).map(|_| semaphore(1)).collect(),
        }
    }

    /// Waits until it is the turn of this one, the number of a channel's order. Turns are given in the order in which they were asked for.
    ///
    /// # Errors
    ///
    /// Too many wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place up.
    pub(crate) async fn ticket(&self, turn: usize) -> Result<Ticket, BrokerError> {
        let ended = |_| BrokerError::internal("nobody goes to the disk any more");
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| BrokerError::unavailable("too many wait for the disk"))?;
        let turn = self.turns.get(turn).ok_or(BrokerError::internal("no turn"))?.clone();
        let turn = turn.acquire_owned().await.map_err(ended)?;
        let thread = self.threads.clone().acquire_owned().await.map_err(ended)?;
        Ok([room, turn, thread])
    }
}
