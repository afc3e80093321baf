//! Streams that outlive the process, in one file.

mod codec;
mod desk;
mod journal;
mod store;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use desk::Ticket;
pub(crate) use journal::Journal;
use tourbillon_types::Epoch;

/// Where streams are stored, and how safely.
///
/// The file belongs to one engine at a time. What is stored are the publications of streams, their positions and
/// versions; idempotency keys and presence are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// The file; it is made if it is not there. Its directory is not.
    pub path: PathBuf,
    /// When it is certain that what was published is there after a crash.
    pub fsync: Fsync,
}

/// When the file is written in such a way that it survives a crash of the process or the machine.
///
/// Whoever publishes is told that it was done, and subscribers get it, at a moment when a crash may still undo it, or
/// not. If it may, offsets could be given twice, so after such a crash streams go on with their offsets in *new
/// epochs*: subscribers learn that they cannot recover, and nothing is lost in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before anybody is told. Whatever happens, streams go on in their epochs and subscribers recover. Publishing to
    /// one channel takes as long as the disk does; publishers of different channels share its writes. The epoch of a channel
    /// that was read, but not published to yet, is stored within a second.
    Always,
    /// Every so often, while [`Broker::run`](tourbillon_broker::Broker::run) runs, and at its end.
    Interval(Duration),
    /// When `run` ends.
    Never,
}

/// Why stored streams cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be opened, read or written, or another engine has it open.
    #[error("the file of streams cannot be used")]
    File(#[source] Box<redb::Error>),
    /// The file was written by a version with another format.
    #[error("the file of streams has format {found}; this version reads format {expected}")]
    Format {
        /// The file's format.
        found: u64,
        /// The format that is understood.
        expected: u64,
    },
    /// The file is damaged where it says what is where.
    #[error("the file of streams is damaged")]
    Unreadable,
    /// What is stored of a channel makes no sense.
    #[error("the file of streams is damaged at channel {channel:?}")]
    Damaged {
        /// The channel.
        channel: String,
    },
}

impl<E: Into<redb::Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::File(Box::new(error.into()))
    }
}

/// What is stored of a stream besides its publications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) epoch: Epoch,
    pub(crate) top: u64,
    /// When it was published to last, milliseconds since 1970 UTC.
    pub(crate) published: i64,
    pub(crate) ttl: Duration,
    pub(crate) meta_ttl: Duration,
    pub(crate) version: u64,
    pub(crate) version_epoch: String,
}

impl Meta {
    /// How long publications are kept from now on. A wall clock that was put back does not prolong it.
    pub(crate) fn remaining(&self, unix_millis: i64) -> Duration {
        let passed = u64::try_from(unix_millis.saturating_sub(self.published)).unwrap_or_default();
        self.ttl.saturating_sub(Duration::from_millis(passed))
    }
}

#[cfg(test)]
mod tests;
