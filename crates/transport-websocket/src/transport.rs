//! One WebSocket as a transport.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tourbillon_transport::{Transport, TransportInfo};
use tourbillon_types::Encoding;

use crate::control::Control;
use crate::frame::Opcode;
use crate::reader::ReadLimits;
use crate::{Compression, UpgradedRead, UpgradedWrite, WebSocketConfig, WebSocketReader, WebSocketWriter};

/// A WebSocket after its handshake, as the server sees it.
#[derive(Debug)]
pub struct WebSocketTransport<R = UpgradedRead, W = UpgradedWrite> {
    info: TransportInfo,
    read: R,
    write: W,
    limits: ReadLimits,
    compression: Option<Compression>,
}

impl<R, W> WebSocketTransport<R, W> {
    /// A WebSocket over the halves of any byte stream whose handshake is done, without compression.
    /// [`WebSocketService`](crate::WebSocketService) does this for HTTP upgrades.
    pub fn new(info: TransportInfo, read: R, write: W, config: &WebSocketConfig) -> Self {
        let limits = ReadLimits {
            message: config.message_size_limit,
            inflated: config.inflated_limit(),
            deflate: false,
        };
        Self { info, read, write, limits, compression: None }
    }

    /// The same, with permessage-deflate agreed upon in the handshake.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.limits.deflate = true;
        self.compression = Some(compression);
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
        let writer = WebSocketWriter::new(self.write, control.clone(), opcode, self.compression);
        (WebSocketReader::new(self.read, control, self.limits, BytesMut::new()), writer)
    }
}
