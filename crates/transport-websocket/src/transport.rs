//! One WebSocket as a transport.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tourbillon_transport::{Transport, TransportInfo};
use tourbillon_types::Encoding;

use crate::control::Control;
use crate::frame::{Limits, Opcode};
use crate::negotiate::Deflate;
use crate::{Compression, UpgradedRead, UpgradedWrite, WebSocketConfig, WebSocketReader, WebSocketWriter};

/// A WebSocket after its handshake, as the server sees it.
#[derive(Debug)]
pub struct WebSocketTransport<R = UpgradedRead, W = UpgradedWrite> {
    info: TransportInfo,
    read: R,
    write: W,
    limits: Limits,
    deflate: Option<Deflate>,
    messages_in_frame: usize,
    /// What has been read already.
    early: BytesMut,
}

impl<R, W> WebSocketTransport<R, W> {
    /// A WebSocket over the halves of any byte stream whose handshake is done, without compression.
    /// [`WebSocketService`](crate::WebSocketService) does this for HTTP upgrades.
    pub fn new(info: TransportInfo, read: R, write: W, config: &WebSocketConfig) -> Self {
        let mut limits = Limits::new(config.message_size_limit);
        limits.inflated = config.inflated_limit();
        let messages_in_frame = config.max_messages_in_frame;
        Self { info, read, write, limits, deflate: None, messages_in_frame, early: BytesMut::new() }
    }

    /// The same, with permessage-deflate agreed upon in the handshake, without context takeover on either side.
    #[must_use]
    pub const fn with_compression(self, compression: Compression) -> Self {
        self.with_deflate(Some(Deflate { compression, window: None }))
    }

    pub(crate) const fn with_deflate(mut self, deflate: Option<Deflate>) -> Self {
        self.limits.deflate = deflate.is_some();
        self.deflate = deflate;
        self
    }

    /// The same, with what was read off the stream before it came here.
    #[must_use]
    pub fn with_early(mut self, early: impl Into<BytesMut>) -> Self {
        self.early = early.into();
        self
    }
}

impl<R, W> Transport for WebSocketTransport<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Reader = WebSocketReader<R>;
    type Writer = WebSocketWriter<W>;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (Self::Reader, Self::Writer) {
        let control = Control::default();
        let opcode = match self.info.encoding {
            Encoding::Json => Opcode::Text,
            Encoding::Protobuf => Opcode::Binary,
        };
        let writer = WebSocketWriter::new(self.write, control.clone(), opcode, self.deflate)
            .with_messages_in_frame(self.messages_in_frame);
        (WebSocketReader::new(self.read, control, self.limits, self.early), writer)
    }
}
