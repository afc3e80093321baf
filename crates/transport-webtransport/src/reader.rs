//! The receiving half: a stream to messages.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::sync::oneshot;
use tourbillon_transport::{Received, TransportError, TransportReader};

use crate::framing::Framing;
use crate::h3::Receiving;

/// The receiving half of a session. At rest it holds no buffer of its own.
#[derive(Debug)]
pub struct WebTransportReader {
    stream: Receiving,
    framing: Framing,
    limit: usize,
    /// What was received and is no whole message yet.
    buffer: BytesMut,
    /// Closed when the session ends without its stream.
    session: oneshot::Receiver<()>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The client broke the rules: what still comes is discarded.
    Discarding,
    Ended,
}

impl WebTransportReader {
    pub(crate) fn new(
        stream: Receiving,
        framing: Framing,
        limit: usize,
        session: oneshot::Receiver<()>,
    ) -> Self {
        Self { stream, framing, limit, buffer: BytesMut::new(), session, state: State::Open }
    }
}

impl TransportReader for WebTransportReader {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        loop {
            if self.state == State::Ended {
                return Poll::Ready(Ok(Received::End));
            }
            if self.state == State::Discarding {
                self.buffer.clear();
            }
            match self.framing.next(&mut self.buffer, self.limit) {
                Ok(Some(message)) => return Poll::Ready(Ok(Received::Message(message))),
                Ok(None) => {}
                Err(error) => {
                    self.state = State::Discarding;
                    return Poll::Ready(Err(error));
                }
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(bytes)) if self.buffer.is_empty() => self.buffer = bytes.into(),
                Poll::Ready(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                // What is not whole will never be.
                Poll::Ready(None) => self.state = State::Ended,
                Poll::Pending => {
                    let _ = ready!(Pin::new(&mut self.session).poll(cx));
                    self.state = State::Ended;
                }
            }
        }
    }
}
