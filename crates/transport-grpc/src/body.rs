//! What calls are answered with.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;
use tourbillon_transport::slot::Slot;

use crate::status::{Code, Status};

/// The body of an answer: a stream of messages and its trailers, or nothing. It never fails.
///
/// Dropping a stream ends its connection.
#[derive(Debug)]
pub struct GrpcBody(Option<Stream>);

/// The taking end of a slot.
#[derive(Debug)]
struct Stream {
    slot: Arc<Slot>,
    /// When the client gives up by itself.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.slot.leave();
    }
}

impl GrpcBody {
    pub(crate) const fn empty() -> Self {
        Self(None)
    }

    pub(crate) const fn stream(slot: Arc<Slot>, deadline: Option<Pin<Box<Sleep>>>) -> Self {
        Self(Some(Stream { slot, deadline }))
    }

    /// Whether this is the stream of a connection rather than the end of a call that came to nothing.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.0.is_some()
    }

    /// The end.
    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 = None;
        Poll::Ready(Some(Ok(Frame::trailers(status.trailers()))))
    }
}

impl Body for GrpcBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(stream) = &mut self.0 else { return Poll::Ready(None) };
        match stream.slot.poll_take(cx) {
            Poll::Ready(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(None) => return self.end(&Status::OK),
            Poll::Pending => {}
        }
        let over = stream.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        if !over {
            return Poll::Pending;
        }
        self.end(&Status::new(Code::DeadlineExceeded, "the deadline of the call is over"))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.0.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
