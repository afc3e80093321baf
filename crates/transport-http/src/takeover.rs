//! How a stream gets the socket for itself.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tourbillon_transport::slot::Slot;
use tourbillon_transport::{Accept, ConnContext, TransportInfo};

use crate::failure::Verdict;
use crate::framing::Framing;
use crate::places::Places;
use crate::socket::Wire;
use crate::{HttpBody, HttpTransport};

/// Said by an HTTP server, among the extensions of a request: once the head of the answer is written, the connection's
/// socket can be had for what follows. Only of HTTP/1, whose connections have one request at a time.
///
/// A server that has said so finds the stream of an answer [in its body](HttpBody::take_stream), before that is asked
/// for anything, and:
///
/// 1. lets the HTTP library write the head, with the body pending;
/// 2. drops the library's connection once nothing of the head is unwritten, and so has the socket back;
///    [`Lender`](tourbillon_transport::Lender) is made for that;
/// 3. hands the socket to [`PendingStream::begin`].
///
/// What the library has read beyond the request is lost, so the head should say `Connection: close`. A server that
/// does not take the stream serves the body like any other.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfferSocket;

/// A connection that begins with what carries it.
pub struct PendingStream {
    begin: Box<dyn FnOnce(Carrier) + Send>,
    framing: Framing,
    chunked: bool,
}

/// What carries a stream.
enum Carrier {
    Slot(Arc<Slot>),
    Socket(Arc<Wire>),
}

impl fmt::Debug for PendingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingStream").field("framing", &self.framing).finish_non_exhaustive()
    }
}

impl PendingStream {
    /// `chunked`: whether the head says that what follows comes in chunks.
    pub(crate) fn new<A: Accept<HttpTransport>>(
        accept: A,
        (info, context): (TransportInfo, ConnContext),
        first: Bytes,
        (framing, places): (Framing, Option<Box<Places>>),
        chunked: bool,
    ) -> Self {
        let begin = move |carrier| {
            let transport = match carrier {
                Carrier::Slot(slot) => {
                    HttpTransport::new(info, first, (framing, places), Verdict::NONE, slot)
                }
                Carrier::Socket(wire) => HttpTransport::over(info, first, (framing, places), wire),
            };
            accept.accept(transport, context);
        };
        Self { begin: Box::new(begin), framing, chunked }
    }

    /// Hands the connection over, which has `socket` for itself: the head of its answer is written, and nothing else.
    ///
    /// Must be called within a tokio runtime. Plain TCP takes the least memory.
    pub fn begin<S>(self, socket: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some(wire) = Wire::new(socket, self.chunked) {
            (self.begin)(Carrier::Socket(wire));
        }
    }

    /// Hands the connection over, which has a body.
    pub(crate) fn begin_in_slot(self) -> HttpBody {
        let slot = Arc::new(Slot::new(self.framing.preamble()));
        // Ends the connection if it is dropped.
        let body = HttpBody::stream(slot.clone());
        (self.begin)(Carrier::Slot(slot));
        body
    }
}
