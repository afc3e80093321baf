//! A transport of one's own: the client protocol over plain TCP, one JSON message a line.
//!
//! ```text
//! cargo run -p tourbillon-examples --bin custom_transport
//! nc localhost 8081
//! {"id":1,"connect":{}}
//! {"id":2,"subscribe":{"channel":"chat"}}
//! {"id":3,"publish":{"channel":"chat","data":{"text":"hello"}}}
//! ```
//!
//! Everything a transport needs is in the two seam crates; the node is not known here until `main`.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tourbillon::memory::MemoryEngine;
use tourbillon::{AllowAll, Node};
use tourbillon_transport::{
    Accept, ConnContext, MessageQueue, Received, Transport, TransportError, TransportInfo, TransportReader,
    TransportWriter,
};
use tourbillon_types::{Disconnect, Encoding, PushKinds};

/// The longest line a client may send.
const LIMIT: usize = 64 * 1024;

/// One TCP connection that carries lines.
struct Lines {
    info: TransportInfo,
    stream: TcpStream,
}

impl Lines {
    fn new(stream: TcpStream) -> Self {
        let mut info = TransportInfo::new("lines", Encoding::Json);
        info.peer = stream.peer_addr().ok();
        // A line has no close frame: the client is told by a push.
        info.suppressed = PushKinds::NONE;
        Self { info, stream }
    }
}

impl Transport for Lines {
    type Reader = LineReader;
    type Writer = LineWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (LineReader, LineWriter) {
        let (read, write) = self.stream.into_split();
        (LineReader { read, buffer: BytesMut::new() }, LineWriter { write, pending: VecDeque::new() })
    }
}

struct LineReader {
    read: OwnedReadHalf,
    buffer: BytesMut,
}

impl TransportReader for LineReader {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                return Poll::Ready(Ok(Received::Message(line.freeze())));
            }
            if self.buffer.len() > LIMIT {
                return Poll::Ready(Err(TransportError::MessageTooLarge { limit: LIMIT }));
            }
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.read).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(Received::End));
            }
            self.buffer.extend_from_slice(chunk.filled());
        }
    }
}

struct LineWriter {
    write: OwnedWriteHalf,
    /// Bytes taken off the queue and not yet written.
    pending: VecDeque<Bytes>,
}

impl LineWriter {
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        while let Some(bytes) = self.pending.front_mut() {
            let written = ready!(Pin::new(&mut self.write).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            bytes.advance(written);
            if bytes.is_empty() {
                self.pending.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl TransportWriter for LineWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        loop {
            ready!(self.poll_pending(cx))?;
            let Some(message) = queue.pop() else { return Poll::Ready(Ok(())) };
            let mut line = BytesMut::with_capacity(message.len() + 1);
            line.extend_from_slice(message.as_bytes());
            line.extend_from_slice(b"\n");
            self.pending.push_back(line.freeze());
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &Disconnect) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_pending(cx))?;
        Poll::Ready(Ok(ready!(Pin::new(&mut self.write).poll_shutdown(cx))?))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (node, driver) = Node::builder(MemoryEngine::default()).hooks(AllowAll).build()?;
    tokio::spawn(driver);

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        node.accept(Lines::new(stream), ConnContext::default());
    }
}
