//! The receiving half: bytes to messages.

use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncRead;
use tourbillon_transport::{Received, TransportError, TransportReader};

use crate::control::{Control, Ending};
use crate::frame::{Decoder, Event, Limits, Opcode, Violation};
use crate::scratch::{poll_discard, poll_read_into};

/// The receiving half of a WebSocket. At rest it holds no buffer.
///
/// One call of [`poll_recv`](TransportReader::poll_recv) does as much work as the stream below lets it: tokio's
/// streams make a task yield after a while.
#[derive(Debug)]
pub struct WebSocketReader<R> {
    io: R,
    control: Control,
    /// What was read and not yet taken apart.
    buffer: BytesMut,
    decoder: Decoder,
    state: State,
    /// Whether `buffer` is a share of the thread's memory.
    borrowed: bool,
    /// The kind of the last message.
    last: Opcode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer closed, or broke the protocol: what still comes is discarded.
    Discarding,
}

impl<R: AsyncRead + Unpin + Send + 'static> WebSocketReader<R> {
    pub(crate) fn new(io: R, control: Control, limits: Limits, buffer: BytesMut) -> Self {
        let decoder = Decoder::new(limits);
        Self { io, control, buffer, decoder, state: State::Open, borrowed: true, last: Opcode::Text }
    }

    /// Whether the last message was text or binary. The client protocol does not care (WS-02); other uses may.
    pub const fn opcode(&self) -> Opcode {
        self.last
    }

    /// From now on only the end matters.
    pub(crate) fn discard(&mut self) {
        self.state = State::Discarding;
        self.buffer = BytesMut::new();
    }

    fn handle(&mut self, event: Event) -> Received {
        match event {
            Event::Message { opcode, data } => {
                self.last = opcode;
                Received::Message(data)
            }
            Event::Ping(payload) => {
                self.control.pong(payload);
                Received::WantsWrite
            }
            Event::Pong => Received::Pong,
            Event::Close(code) => {
                self.control.end(Ending::Peer(code));
                self.discard();
                Received::End
            }
        }
    }

    /// Holds nothing of the thread's memory while it waits.
    fn rest(&mut self) {
        if self.borrowed {
            // Less than one header or control frame.
            self.buffer = BytesMut::from(&self.buffer[..]);
            self.borrowed = false;
        }
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> TransportReader for WebSocketReader<R> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        loop {
            if self.state == State::Discarding {
                // Closing a socket with unread bytes would reset the connection and could take the close frame
                // with it.
                ready!(poll_discard(&mut self.io, cx))?;
                return Poll::Ready(Ok(Received::End));
            }
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(event)) => return Poll::Ready(Ok(self.handle(event))),
                Ok(None) => {}
                Err(Violation { code, error }) => {
                    self.control.end(Ending::Failed(code));
                    self.discard();
                    return Poll::Ready(Err(error));
                }
            }
            match poll_read_into(&mut self.io, cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => {
                    self.discard();
                    return Poll::Ready(Ok(Received::End));
                }
                Poll::Ready(Ok(_)) => self.borrowed = true,
                Poll::Ready(Err(error)) => {
                    self.discard();
                    return Poll::Ready(Err(error.into()));
                }
                Poll::Pending => {
                    self.rest();
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UpgradedRead;

    #[test]
    fn the_reader_is_small() {
        let size = size_of::<WebSocketReader<UpgradedRead>>();
        assert!(size <= 88, "{size}");
    }
}
