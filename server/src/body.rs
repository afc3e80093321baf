//! Bodies of requests that must arrive in time, and of answers that must be taken in time.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tourbillon::http::HttpBody;

use crate::listen::{Broken, Pace};

/// Time within which a request must have arrived whole (HTTP-01).
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a request as it comes.
pub(crate) struct Received {
    body: Incoming,
    broken: Option<Broken>,
}

impl Received {
    pub(crate) const fn new(body: Incoming, broken: Option<Broken>) -> Self {
        Self { body, broken }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Err(_))), Some(broken)) = (&frame, &self.broken) {
            broken.set();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

/// A body that fails if it is not whole in time.
#[derive(Debug)]
pub(crate) struct Timely {
    body: Received,
    /// From the first wait on: most bodies are there with their heads.
    limit: Option<Pin<Box<Sleep>>>,
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
    pub(crate) const fn new(body: Received) -> Self {
        Self { body, limit: None }
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
            Poll::Pending => {
                let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(READ_TIMEOUT)));
                limit.as_mut().poll(cx).map(|()| Some(Err(BodyError::Late)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Outgoing(Kind);

#[derive(Debug)]
enum Kind {
    Full(Full<Bytes>),
    /// What may last as long as a connection does. It has all the time of the world while there is nothing to say, and
    /// not more than any answer while something is to be taken (HID-100).
    Paced(HttpBody, Pace),
}

impl Outgoing {
    pub(crate) const fn new(body: HttpBody, pace: Pace) -> Self {
        Self(Kind::Paced(body, pace))
    }
}

impl From<Full<Bytes>> for Outgoing {
    fn from(body: Full<Bytes>) -> Self {
        Self(Kind::Full(body))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Full(body) => Pin::new(body).poll_frame(cx),
            Kind::Paced(body, pace) => {
                if let Some(stream) = body.take_stream() {
                    // The library has nothing more to do but to write the head, which has a deadline like any answer.
                    pace.set_stream(stream);
                    return Poll::Pending;
                }
                let frame = Pin::new(body).poll_frame(cx);
                // The HTTP library asks again as soon as it has room.
                match &frame {
                    Poll::Pending => pace.asked(),
                    Poll::Ready(_) => pace.answered(),
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(body) => body.is_end_stream(),
            Kind::Paced(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(body) => body.size_hint(),
            Kind::Paced(body, _) => body.size_hint(),
        }
    }
}
