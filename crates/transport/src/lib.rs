//! The seam between connections and the node.
//!
//! A [`Transport`] is one connection that has been set up: a WebSocket after its handshake, an event stream after
//! its response head, a line-based socket. It splits into a [`TransportReader`] and a [`TransportWriter`]. Frames
//! are opaque to it. Whoever accepts connections hands them to something that implements [`Accept`]; a node does.
//!
//! Both halves are *polled*, like [`std::future::Future`]s, instead of being `async fn`s. That makes cancel safety
//! hold by construction (there is no future to drop half way), lets one flush worker write to thousands of
//! connections without a task for each, and keeps an idle connection free of buffers.
//!
//! # Writing a transport
//!
//! 1. Implement [`TransportReader::poll_recv`]: yield whole messages as they came off the wire.
//! 2. Implement [`TransportWriter::poll_write`] and [`TransportWriter::poll_close`].
//! 3. Hand the transport to an `impl Accept`: `node.accept(transport, context)`.
//! 4. Run the conformance suite (module and feature `conformance`) in your tests.
//!
//! `examples/custom_transport.rs` of the repository is one: lines over TCP.

mod context;
mod emulation;
mod error;
mod forms;
mod lane;
mod lend;
mod message;
mod origin;
mod queue;
mod rewound;
mod run;

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod memory;
pub mod proxy_protocol;
pub mod slot;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
pub use context::{ConnContext, Held, KeptHeaders};
pub use emulation::{Inject, InjectError, Mailbox, Mailed};
pub use error::TransportError;
pub use lane::Lane;
pub use lend::{Lender, Lent};
pub use message::Message;
pub use origin::{OriginError, OriginPolicy};
pub use queue::{Entry, MessageQueue};
pub use rewound::Rewound;
pub use run::Run;
use tourbillon_types::{Direction, Disconnect, Encoding, PushKinds};

/// What is known about a connection before its first frame.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportInfo {
    /// The transport's name in metrics and logs, such as `websocket`.
    pub name: &'static str,
    /// Whether the client sends commands.
    pub direction: Direction,
    /// The encoding negotiated for both ways.
    pub encoding: Encoding,
    /// Who measures liveness.
    pub ping: PingMode,
    /// Kinds of pushes that its client does not get. What they tell of takes place all the same: a connection ends
    /// without the push that says so, and positions move over publications that are not sent.
    ///
    /// The disconnect is among them where the close itself carries code and reason, as on WebSocket (HID-13).
    pub suppressed: PushKinds,
    /// Whether client frames come through the emulation endpoint.
    pub emulation: bool,
    /// Whether a refused connect of a unidirectional client is an error reply, which the transport turns into an
    /// answer of its own, instead of a disconnect (UNI-09).
    pub connect_errors: bool,
    /// The peer's address, where there is one.
    pub peer: Option<SocketAddr>,
    /// Time within which the peer must take what is written to it; `None` for what the node has for all. Kept in whole
    /// milliseconds.
    pub write_timeout: Option<Duration>,
}

impl TransportInfo {
    /// A bidirectional transport whose close carries the reason, so that no push has to.
    #[must_use]
    pub const fn new(name: &'static str, encoding: Encoding) -> Self {
        Self {
            name,
            direction: Direction::Bidirectional,
            encoding,
            ping: PingMode::Protocol,
            suppressed: PushKinds::DISCONNECT,
            emulation: false,
            connect_errors: false,
            peer: None,
            write_timeout: None,
        }
    }
}

/// How a connection's liveness is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PingMode {
    /// By empty messages of the client protocol.
    #[default]
    Protocol,
    /// By the transport's own pings ([`TransportWriter::ping`]), answered by [`Received::Pong`]. Clients that only
    /// listen get empty messages too, which tell them that the server is there (UNI-03).
    Native,
}

/// One connection, ready to carry frames.
pub trait Transport: Send + 'static {
    /// The half that yields what the peer sends.
    type Reader: TransportReader;
    /// The half that sends.
    type Writer: TransportWriter;

    /// What is known about the connection.
    fn info(&self) -> &TransportInfo;

    /// The two halves. They may share state, but either may be dropped first.
    fn split(self) -> (Self::Reader, Self::Writer);
}

/// What a [`TransportReader`] yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// One whole message off the wire, holding one or more encoded commands.
    Message(Bytes),
    /// The peer answered a [`TransportWriter::ping`].
    Pong,
    /// The reader left something for the writer to send by itself, such as an answer to a transport-level ping:
    /// call [`TransportWriter::poll_write`] even if no message is queued.
    WantsWrite,
    /// An orderly end: nothing more will come.
    End,
}

/// The receiving half of a connection.
pub trait TransportReader: Send + 'static {
    /// Yields the next thing the peer sent.
    ///
    /// `Pending` registers the waker of `cx` (the last one given counts) and loses nothing. After [`Received::End`]
    /// the reader is not polled again. After an error it may be polled while the connection is closed, to discard
    /// what the peer still sends; it yields [`Received::End`] or an error then, never a message.
    ///
    /// An implementation bounds the memory that an unfinished message can take, and yields
    /// [`TransportError::MessageTooLarge`] above the bound, before allocating for a length that the peer merely
    /// announced.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] ends the connection.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>>;

    /// [`poll_recv`](Self::poll_recv) as a future.
    ///
    /// # Errors
    ///
    /// Those of [`poll_recv`](Self::poll_recv).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    fn recv(&mut self) -> impl Future<Output = Result<Received, TransportError>> + Send
    where
        Self: Sized,
    {
        poll_fn(|cx| self.poll_recv(cx))
    }
}

/// The sending half of a connection.
pub trait TransportWriter: Send + 'static {
    /// Writes what can be written without waiting.
    ///
    /// Takes messages off the front of `queue` as they are handed to the operating system, in order, as many as
    /// possible in one system call. A message partly written is taken off and finished by later calls.
    ///
    /// `Ready(Ok(()))`: the queue is empty and nothing is left unwritten. `Pending`: the peer does not take more
    /// now; what is left stays, and the waker of `cx` is woken when more can be written.
    ///
    /// # Errors
    ///
    /// The connection is broken; what was queued is lost.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>>;

    /// Ends the connection, telling the peer why where the transport can.
    ///
    /// Finishes a message partly written first. `why` is the same at every call until `Ready`. The reader stays
    /// usable, so that the peer's own end can be awaited.
    ///
    /// # Errors
    ///
    /// The connection is broken, and so ended.
    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Disconnect) -> Poll<Result<(), TransportError>>;

    /// Queues a transport-level ping, sent by the next [`poll_write`](Self::poll_write). Called only when
    /// [`TransportInfo::ping`] is [`PingMode::Native`].
    fn ping(&mut self) {}
}

/// Whoever takes connections.
pub trait Accept<T: Transport>: Clone + Send + 'static {
    /// Takes over the connection and returns at once.
    fn accept(&self, transport: T, context: ConnContext);
}
