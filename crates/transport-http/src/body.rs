//! What the services answer with.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::slot::Slot;

/// The body of an answer: a short text, or a stream for as long as the connection lasts. It never fails.
///
/// Dropping a stream ends its connection.
#[derive(Debug)]
pub struct HttpBody(Kind);

#[derive(Debug)]
enum Kind {
    Text(Bytes),
    Stream(Stream),
}

/// The taking end of a slot.
#[derive(Debug)]
struct Stream(Arc<Slot>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl HttpBody {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self(Kind::Text(text.into()))
    }

    pub(crate) const fn stream(slot: Arc<Slot>) -> Self {
        Self(Kind::Stream(Stream(slot)))
    }

    /// Whether this is the stream of a connection rather than a short answer.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Stream(_))
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
            Kind::Stream(stream) => stream.0.poll_take(cx).map(|bytes| bytes.map(Frame::data).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_empty(),
            Kind::Stream(stream) => stream.0.is_finished(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(u64::try_from(text.len()).unwrap_or(u64::MAX)),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}
