//! Where messages come from.

use std::future::{Future, pending};
use std::time::Duration;

use crate::message::Message;

/// Messages that were taken.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// The messages, in their order.
    pub messages: Vec<Message>,
    /// Whether there may be more of them already: then [`Source::idle`] is not waited for.
    pub more: bool,
}

impl Batch {
    /// These messages.
    #[must_use]
    pub const fn new(messages: Vec<Message>, more: bool) -> Self {
        Self { messages, more }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done and must not come again.
    Done,
    /// It is to come again, after this time.
    Again(Duration),
}

/// Why a source cannot be used now. Has neither secrets nor parts of messages in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Why messages that were taken are not ours any more.
pub type Lost = SourceError;

/// Where messages come from, at least once: a queue, or the part of one whose messages have an order. [`Runner`] is who uses
/// it, and never calls it twice at once.
///
/// A message that was taken is this source's until [`settle`](Self::settle) says what became of it. If that never happens, as
/// after a crash or [`reset`](Self::reset), it must come again, here or elsewhere, and soon enough. A source that tells
/// its queue that something is done before it is told so itself loses messages; nobody else can notice.
///
/// [`Runner`]: crate::Runner
pub trait Source: Send + 'static {
    /// What it is called in logs, such as `partition 3`.
    fn name(&self) -> &str;

    /// Whether a message that is to come again holds up those behind it. If not, they overtake it.
    fn is_ordered(&self) -> bool;

    /// Takes messages; connects if there is no connection. Without messages it waits for some for a second or so at
    /// most, and not at all where [`idle`](Self::idle) does.
    ///
    /// # Errors
    ///
    /// Why there are none to be had. [`reset`](Self::reset) is called then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future counts as an error.
    fn take(&mut self) -> impl Future<Output = Result<Batch, SourceError>> + Send;

    /// Says what became of the messages that were taken, in their order. Those beyond the end have not been tried, and are to
    /// come again at once.
    ///
    /// # Errors
    ///
    /// The queue may know it or not. [`reset`](Self::reset) is called then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future counts as an error.
    fn settle(&mut self, outcomes: &[Outcome]) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Waits until it is worth while to take messages again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn idle(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Resolves when messages that were taken are not this source's any more, so that others may have them by now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn lost(&mut self) -> impl Future<Output = Lost> + Send {
        pending()
    }

    /// Gives up the connection and what was taken over it.
    fn reset(&mut self);
}
