//! Answers that are not taken.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tourbillon::http::PendingStream;

use crate::admission::Opening;

/// Time within which a request's head must be there (HTTP-01). It bounds the wait between two requests of HTTP/1.1 too.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time within which an answer must be taken (HTTP-01).
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time within which a piece of a stream must be written, up to as much again (EMU-06).
pub(super) const PIECE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the task of a connection and the service of its requests share: whether an answer is not taken, and what
/// comes after an upgrade.
///
/// From outside of the HTTP library it is not to be seen whether an answer has been written. But it is followed by
/// the next request or by the end of the connection, for which there is a deadline too: what has come to neither
/// within both deadlines is still writing.
#[derive(Clone, Default)]
pub(crate) struct Pace(Arc<Shared>);

/// A piece of a stream in the hands of the HTTP library.
struct Piece {
    bytes: Bytes,
    pace: Pace,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.pace.0.gone.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs once HTTP is over.
pub(crate) type After = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Shared {
    /// 0 while a request is awaited or worked on, else one more than the ticks since its answer.
    ticks: AtomicU32,
    /// How many pieces of a stream were handed over, and how many of them are gone.
    handed: AtomicU32,
    gone: AtomicU32,
    /// Whether pieces are looked after: elsewhere others do that.
    watches: bool,
    after: Mutex<Option<After>>,
    /// Until the first request.
    opening: Mutex<Option<Opening>>,
    /// Whether the stream of an answer can have the socket: that of HTTP/1.1, which has one answer at a time.
    lends: bool,
    /// The stream that is to have it.
    stream: Mutex<Option<PendingStream>>,
}

impl Pace {
    /// That of a connection of HTTP/1.1 that holds a place until its first request.
    pub(crate) fn new(opening: Option<Opening>) -> Self {
        Self(Arc::new(Shared { opening: Mutex::new(opening), lends: true, ..Shared::default() }))
    }

    /// That of a request of HTTP/2, which looks after the pieces of a stream.
    pub(super) fn watching() -> Self {
        Self(Arc::new(Shared { watches: true, ..Shared::default() }))
    }

    /// Whether an answer's stream can have the socket.
    pub(crate) fn lends(&self) -> bool {
        self.0.lends
    }

    /// This stream is to have the socket, once the head of its answer is written.
    pub(crate) fn set_stream(&self, stream: PendingStream) {
        *self.0.stream.lock() = Some(stream);
    }

    pub(super) fn has_stream(&self) -> bool {
        self.0.lends && self.0.stream.lock().is_some()
    }

    pub(super) fn take_stream(&self) -> Option<PendingStream> {
        self.0.stream.lock().take()
    }

    /// A request came.
    pub(crate) fn asked(&self) {
        drop(self.0.opening.lock().take());
        self.0.ticks.store(0, Ordering::Relaxed);
    }

    /// Its answer was handed over.
    pub(crate) fn answered(&self) {
        self.0.ticks.store(1, Ordering::Relaxed);
    }

    /// A piece of a stream for the HTTP library, which lets go of it once it is written.
    pub(crate) fn hand(&self, bytes: Bytes) -> Bytes {
        if !self.0.watches {
            return bytes;
        }
        self.0.handed.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Piece { bytes, pace: self.clone() })
    }

    /// The number of the oldest piece that is not written yet.
    pub(super) fn piece(&self) -> Option<u32> {
        let gone = self.0.gone.load(Ordering::Relaxed);
        (gone != self.0.handed.load(Ordering::Relaxed)).then_some(gone)
    }

    /// What is to be done once the connection is upgraded.
    pub(crate) fn set_after(&self, after: impl Future<Output = ()> + Send + 'static) {
        *self.0.after.lock() = Some(Box::pin(after));
    }

    pub(super) fn take_after(&self) -> Option<After> {
        self.0.after.lock().take()
    }

    /// [`WRITE_TIMEOUT`] went by. Whether it is time to give up.
    pub(super) fn tick(&self) -> bool {
        let ticked = |ticks: u32| (ticks > 0).then_some(ticks.saturating_add(1));
        self.0
            .ticks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, ticked)
            .is_ok_and(|before| before > LAST_TICK)
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pace").field(&self.0.ticks).finish()
    }
}

/// The number of ticks after an answer that are borne: the first comes sooner than a whole timeout after it.
const LAST_TICK: u32 = 2;

const _: () = assert!(HEAD_TIMEOUT.as_secs() <= WRITE_TIMEOUT.as_secs(), "two ticks cover both");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_nothing_follows_is_given_up_at_the_third_tick() {
        let pace = Pace::default();
        assert_eq!([pace.tick(), pace.tick(), pace.tick()], [false; 3]);
        pace.answered();
        assert_eq!([pace.tick(), pace.tick()], [false; 2]);
        pace.asked();
        assert_eq!([pace.tick(), pace.tick(), pace.tick()], [false; 3]);
        pace.answered();
        assert_eq!([pace.tick(), pace.tick(), pace.tick()], [false, false, true]);
    }
}
