//! What the services answer with.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tourbillon_transport::slot::Slot;

use crate::takeover::PendingStream;

/// How long a stream's end keeps back after all that it said. Where both arrive at once, the official SDK notices the
/// end of an HTTP stream before it has looked at the disconnect in front of it, and does not know why it was closed.
/// It ends the stream itself when it has, so that only others wait.
pub(crate) const END_DELAY: Duration = Duration::from_millis(500);

/// The body of an answer: a short text, or a stream for as long as the connection lasts. It never fails.
///
/// Dropping a stream ends its connection.
#[derive(Debug)]
pub struct HttpBody(Kind);

#[derive(Debug)]
enum Kind {
    Text(Bytes),
    /// Begins when it is first asked for something, unless it is [taken](HttpBody::take_stream) before.
    Pending(PendingStream),
    Stream(Stream),
    /// Whoever has taken it does not ask here again.
    Taken,
}

/// The taking end of a slot.
#[derive(Debug)]
struct Stream {
    slot: Arc<Slot>,
    /// Everything was taken.
    end: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.end.is_none()
            && let Some(bytes) = ready!(self.slot.poll_take(cx))
        {
            return Poll::Ready(Some(bytes));
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(END_DELAY)));
        end.as_mut().poll(cx).map(|()| None)
    }

    fn is_finished(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.is_elapsed())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.slot.leave();
    }
}

impl HttpBody {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self(Kind::Text(text.into()))
    }

    pub(crate) const fn stream(slot: Arc<Slot>) -> Self {
        Self(Kind::Stream(Stream { slot, end: None }))
    }

    pub(crate) const fn pending(stream: PendingStream) -> Self {
        Self(Kind::Pending(stream))
    }

    /// Whether this is the stream of a connection rather than a short answer.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Pending(_) | Kind::Stream(_))
    }

    /// Whether there is something to [take](Self::take_stream).
    #[must_use]
    pub const fn is_pending_stream(&self) -> bool {
        matches!(self.0, Kind::Pending(_))
    }

    /// The stream, for a server that is going to have the socket from the end of the head on and has
    /// [said so](crate::OfferSocket). After that the body has nothing more, and no end.
    #[must_use]
    pub fn take_stream(&mut self) -> Option<PendingStream> {
        if !self.is_pending_stream() {
            return None;
        }
        match std::mem::replace(&mut self.0, Kind::Taken) {
            Kind::Pending(stream) => Some(stream),
            _ => None,
        }
    }
}

impl Body for HttpBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Text(text) if text.is_empty() => Poll::Ready(None),
            Kind::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Kind::Pending(_) => {
                if let Some(stream) = self.take_stream() {
                    *self = stream.begin_in_slot();
                }
                self.poll_frame(cx)
            }
            Kind::Taken => Poll::Pending,
            Kind::Stream(stream) => stream.poll_take(cx).map(|bytes| bytes.map(Frame::data).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_empty(),
            Kind::Pending(_) | Kind::Taken => false,
            Kind::Stream(stream) => stream.is_finished(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(u64::try_from(text.len()).unwrap_or(u64::MAX)),
            Kind::Pending(_) | Kind::Stream(_) | Kind::Taken => SizeHint::default(),
        }
    }
}
