//! One call as a transport.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tourbillon_transport::slot::{Slot, SlotReader};
use tourbillon_transport::{MessageQueue, Transport, TransportError, TransportInfo, TransportWriter};
use tourbillon_types::Disconnect;

use crate::form::LengthPrefixed;

/// A connection whose messages to the client are the answer to its call. The client says nothing after its connect
/// request.
///
/// Dropping it, or its writer, ends the call.
#[derive(Debug)]
pub struct GrpcTransport {
    info: TransportInfo,
    reader: SlotReader,
    writer: GrpcWriter,
}

impl GrpcTransport {
    pub(crate) fn new(info: TransportInfo, first: Bytes, slot: Arc<Slot>) -> Self {
        let reader = SlotReader::new(first, slot.clone());
        Self { info, reader, writer: GrpcWriter(slot) }
    }
}

impl Transport for GrpcTransport {
    type Reader = SlotReader;
    type Writer = GrpcWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (SlotReader, GrpcWriter) {
        (self.reader, self.writer)
    }
}

/// The sending half.
#[derive(Debug)]
pub struct GrpcWriter(Arc<Slot>);

impl TransportWriter for GrpcWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        self.0.poll_put(cx, LengthPrefixed, queue).map_err(TransportError::from)
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &Disconnect) -> Poll<Result<(), TransportError>> {
        // What is in the slot is still taken; the reader tells when.
        Poll::Ready(self.0.end().map_err(TransportError::from))
    }
}

impl Drop for GrpcWriter {
    fn drop(&mut self) {
        let _ = self.0.end();
    }
}
