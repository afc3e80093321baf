//! One response as a transport.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tourbillon_transport::slot::{Form, Gone, Slot, SlotReader};
use tourbillon_transport::{
    MessageQueue, Received, Transport, TransportError, TransportInfo, TransportReader, TransportWriter,
};
use tourbillon_types::Disconnect;

use crate::failure::Verdict;
use crate::framing::{Chunked, Framing};
use crate::places::{LONGEST_LINE, Places, begins};
use crate::socket::{SocketReader, SocketWriter, Wire};

/// A connection whose messages to the client are the body of a response. The first message of the client is what came
/// with the request; what it sends later comes in other requests, and not through here.
///
/// Dropping it, or its writer, ends the response.
#[derive(Debug)]
pub struct HttpTransport {
    info: TransportInfo,
    reader: HttpReader,
    writer: HttpWriter,
}

impl HttpTransport {
    /// One whose messages the HTTP server takes out of a slot.
    pub(crate) fn new(
        info: TransportInfo,
        first: Bytes,
        (framing, places): (Framing, Option<Box<Places>>),
        verdict: Verdict,
        slot: Arc<Slot>,
    ) -> Self {
        let reader = HttpReader(Reads::Slot(SlotReader::new(first, slot.clone())));
        Self { info, reader, writer: HttpWriter(Writes::Slot { framing, places, verdict, slot }) }
    }

    /// One that has the socket for itself.
    pub(crate) fn over(
        info: TransportInfo,
        first: Bytes,
        (framing, places): (Framing, Option<Box<Places>>),
        wire: Arc<Wire>,
    ) -> Self {
        let reader = HttpReader(Reads::Socket(SocketReader::new(first, wire.clone(), framing)));
        Self { info, reader, writer: HttpWriter(Writes::Socket(SocketWriter::new(wire, framing, places))) }
    }
}

impl Transport for HttpTransport {
    type Reader = HttpReader;
    type Writer = HttpWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (HttpReader, HttpWriter) {
        (self.reader, self.writer)
    }
}

/// The receiving half: what came with the request, and the end.
#[derive(Debug)]
pub struct HttpReader(Reads);

#[derive(Debug)]
enum Reads {
    Slot(SlotReader),
    Socket(SocketReader),
}

impl TransportReader for HttpReader {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        match &mut self.0 {
            Reads::Slot(slot) => slot.poll_recv(cx),
            Reads::Socket(socket) => socket.poll_recv(cx),
        }
    }
}

/// The sending half.
#[derive(Debug)]
pub struct HttpWriter(Writes);

#[derive(Debug)]
enum Writes {
    Slot {
        framing: Framing,
        /// Of a client that has one.
        places: Option<Box<Places>>,
        verdict: Verdict,
        slot: Arc<Slot>,
    },
    Socket(SocketWriter),
}

/// Hands messages to the other side of a slot.
fn poll_put(
    slot: &Slot,
    cx: &Context<'_>,
    (framing, places): (Framing, &mut Option<Box<Places>>),
    queue: &mut MessageQueue,
) -> Poll<Result<(), Gone>> {
    if framing != Framing::EventsWithIds {
        return slot.poll_put(cx, framing, queue);
    }
    if places.is_none() {
        ready!(slot.poll_put_while(cx, framing, queue, |entry| !begins(entry)))?;
        if queue.is_empty() {
            return Poll::Ready(Ok(()));
        }
    }
    // From here on what is written is this client's alone.
    let places = places.get_or_insert_default();
    let form = Chunked { framing, chunked: false };
    let mut id = Vec::new();
    slot.poll_put_each(cx, framing.length(b"") + LONGEST_LINE, queue, |message, to| {
        id.clear();
        places.take(message, &mut id);
        form.append_behind(&id, message.as_bytes(), to);
    })
}

impl TransportWriter for HttpWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        match &mut self.0 {
            Writes::Slot { framing, places, verdict, slot } => {
                if !verdict.look(queue) {
                    // The answer tells it. Whatever else there is to say has no stream to go to.
                    slot.leave();
                }
                poll_put(slot, cx, (*framing, places), queue).map_err(TransportError::from)
            }
            Writes::Socket(socket) => socket.poll_write(cx, queue).map_err(TransportError::from),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Disconnect) -> Poll<Result<(), TransportError>> {
        match &mut self.0 {
            Writes::Slot { verdict, slot, .. } => {
                verdict.end(why.code, &why.reason);
                // What is in the slot is still taken; the reader tells when.
                Poll::Ready(slot.end().map_err(TransportError::from))
            }
            Writes::Socket(socket) => socket.poll_end(cx).map_err(TransportError::from),
        }
    }
}

impl Drop for HttpWriter {
    fn drop(&mut self) {
        if let Writes::Slot { slot, .. } = &self.0 {
            let _ = slot.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_idle_stream_takes_is_small() {
        assert!(size_of::<HttpReader>() <= 64, "{}", size_of::<HttpReader>());
        assert!(size_of::<HttpWriter>() <= 72, "{}", size_of::<HttpWriter>());
    }
}
