//! One session as a transport.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;
use tourbillon_transport::{MessageQueue, Transport, TransportError, TransportInfo, TransportWriter};
use tourbillon_types::Disconnect;

use crate::framing::Framing;
use crate::h3::Sending;
pub use crate::reader::WebTransportReader;

/// A connection over the stream of a WebTransport session.
#[derive(Debug)]
pub struct WebTransport {
    pub(crate) info: TransportInfo,
    pub(crate) reader: WebTransportReader,
    pub(crate) writer: WebTransportWriter,
}

impl Transport for WebTransport {
    type Reader = WebTransportReader;
    type Writer = WebTransportWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (WebTransportReader, WebTransportWriter) {
        (self.reader, self.writer)
    }
}

/// The sending half of a session. Dropping it ends the session.
#[derive(Debug)]
pub struct WebTransportWriter {
    stream: Sending,
    framing: Framing,
    /// What is left of what was taken off the queue last.
    rest: Bytes,
    /// Tells the session why it ends.
    end: Option<oneshot::Sender<Disconnect>>,
}

impl WebTransportWriter {
    pub(crate) const fn new(stream: Sending, framing: Framing, end: oneshot::Sender<Disconnect>) -> Self {
        Self { stream, framing, rest: Bytes::new(), end: Some(end) }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        while !self.rest.is_empty() {
            ready!(self.stream.poll_send(cx, &mut self.rest))?;
        }
        // What it was a part of is not kept.
        self.rest = Bytes::new();
        Poll::Ready(Ok(()))
    }
}

impl TransportWriter for WebTransportWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        loop {
            ready!(self.poll_rest(cx))?;
            let Some(entry) = queue.entries().next() else { return Poll::Ready(Ok(())) };
            self.rest = self.framing.shared(entry);
            queue.pop_entry();
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Disconnect) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_rest(cx))?;
        if let Some(end) = self.end.take() {
            let _ = end.send(why.clone());
            self.stream.finish()?;
        }
        Poll::Ready(Ok(()))
    }
}
