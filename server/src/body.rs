//! Bodies of requests that must arrive in time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

/// Time within which a request must have arrived whole (HTTP-01).
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that fails if it is not whole in time.
#[derive(Debug)]
pub(crate) struct Timely {
    body: Incoming,
    limit: Pin<Box<Sleep>>,
}

/// Why the body of a request is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body did not arrive in time")]
    Late,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Timely {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, limit: Box::pin(sleep(READ_TIMEOUT)) }
    }
}

impl Body for Timely {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from))),
            Poll::Pending => self.limit.as_mut().poll(cx).map(|()| Some(Err(BodyError::Late))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
