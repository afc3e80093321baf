//! One response as a transport.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tourbillon_transport::slot::{Slot, SlotReader};
use tourbillon_transport::{MessageQueue, Transport, TransportError, TransportInfo, TransportWriter};
use tourbillon_types::Disconnect;

use crate::failure::Verdict;
use crate::framing::Framing;

/// A connection whose messages to the client are the body of a response. The first message of the client is what came
/// with the request; what it sends later comes in other requests, and not through here.
///
/// Dropping it, or its writer, ends the response.
#[derive(Debug)]
pub struct HttpTransport {
    info: TransportInfo,
    reader: SlotReader,
    writer: HttpWriter,
}

impl HttpTransport {
    pub(crate) fn new(
        info: TransportInfo,
        first: Bytes,
        framing: Framing,
        verdict: Verdict,
        slot: Arc<Slot>,
    ) -> Self {
        let reader = SlotReader::new(first, slot.clone());
        Self { info, reader, writer: HttpWriter { framing, verdict, slot } }
    }
}

impl Transport for HttpTransport {
    type Reader = SlotReader;
    type Writer = HttpWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (SlotReader, HttpWriter) {
        (self.reader, self.writer)
    }
}

/// The sending half.
#[derive(Debug)]
pub struct HttpWriter {
    framing: Framing,
    verdict: Verdict,
    slot: Arc<Slot>,
}

impl TransportWriter for HttpWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        if !self.verdict.look(queue) {
            // The answer tells it. Whatever else there is to say has no stream to go to.
            self.slot.leave();
        }
        self.slot.poll_put(cx, self.framing, queue).map_err(TransportError::from)
    }

    fn poll_close(&mut self, _: &mut Context<'_>, why: &Disconnect) -> Poll<Result<(), TransportError>> {
        self.verdict.end(why.code, &why.reason);
        // What is in the slot is still taken; the reader tells when.
        Poll::Ready(self.slot.end().map_err(TransportError::from))
    }
}

impl Drop for HttpWriter {
    fn drop(&mut self) {
        let _ = self.slot.end();
    }
}
