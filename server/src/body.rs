//! Bodies of requests that must arrive in time, and of answers that must be taken in time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tourbillon::http::HttpBody;
use tourbillon::webtransport::{self, RequestBody};

use crate::listen::{Broken, Pace};

/// Time within which a request must have arrived whole (HTTP-01).
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a request as it comes.
#[derive(Debug)]
pub(crate) struct Received {
    body: Coming,
    broken: Option<Broken>,
}

#[derive(Debug)]
enum Coming {
    Tcp(Incoming),
    Quic(Box<RequestBody>),
}

/// Why the body of a request breaks off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    #[error(transparent)]
    Tcp(#[from] hyper::Error),
    #[error(transparent)]
    Quic(#[from] webtransport::BodyError),
}

impl Received {
    pub(crate) const fn new(body: Incoming, broken: Option<Broken>) -> Self {
        Self { body: Coming::Tcp(body), broken }
    }

    /// That of a request over HTTP/3.
    pub(crate) fn quic(body: RequestBody) -> Self {
        Self { body: Coming::Quic(Box::new(body)), broken: None }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let frame = match &mut self.body {
            Coming::Tcp(body) => Pin::new(body).poll_frame(cx).map_err(Interrupted::from),
            Coming::Quic(body) => Pin::new(body.as_mut()).poll_frame(cx).map_err(Interrupted::from),
        };
        if let (Poll::Ready(Some(Err(_))), Some(broken)) = (&frame, &self.broken) {
            broken.set();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Coming::Tcp(body) => body.is_end_stream(),
            Coming::Quic(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Coming::Tcp(body) => body.size_hint(),
            Coming::Quic(body) => body.size_hint(),
        }
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
    Broken(#[from] Interrupted),
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
                let frame = Pin::new(&mut *body).poll_frame(cx);
                // The HTTP library asks again as soon as it has room.
                match &frame {
                    Poll::Pending => pace.asked(),
                    Poll::Ready(_) => pace.answered(),
                }
                let is_stream = body.is_stream();
                let hand = |bytes| if is_stream { pace.hand(bytes) } else { bytes };
                frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(hand))))
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
