//! The byte streams under WebSocket connections.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tourbillon_transport::{Lent, Rewound};

/// The receiving half of an upgraded connection.
#[derive(Debug)]
pub struct UpgradedRead(ReadHalf);

/// The sending half of an upgraded connection.
#[derive(Debug)]
pub struct UpgradedWrite(WriteHalf);

#[derive(Debug)]
enum ReadHalf {
    Tcp(OwnedReadHalf),
    Other(tokio::io::ReadHalf<TokioIo<Upgraded>>),
}

#[derive(Debug)]
enum WriteHalf {
    Tcp(OwnedWriteHalf),
    Other(tokio::io::WriteHalf<TokioIo<Upgraded>>),
}

/// Takes an upgraded connection apart: plain TCP without the layers that the HTTP server put around it, anything
/// else as it is. The bytes are what the HTTP server has read already. `None`: it has kept the connection.
pub(crate) fn split(upgraded: Upgraded) -> Option<(UpgradedRead, UpgradedWrite, Bytes)> {
    let upgraded = match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Some(tcp(parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Some(tcp(parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<Lent<TcpStream>>>() {
        Ok(parts) => return Some(tcp(parts.io.into_inner().into_inner()?, parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<Lent<Rewound>>>() {
        Ok(parts) => {
            let (stream, before) = parts.io.into_inner().into_inner()?.into_parts();
            let early = match (parts.read_buf.is_empty(), before.is_empty()) {
                (_, true) => parts.read_buf,
                (true, _) => before,
                _ => [parts.read_buf, before].concat().into(),
            };
            Some(tcp(stream, early))
        }
        Err(upgraded) => {
            let (read, write) = tokio::io::split(TokioIo::new(upgraded));
            let halves = (UpgradedRead(ReadHalf::Other(read)), UpgradedWrite(WriteHalf::Other(write)));
            Some((halves.0, halves.1, Bytes::new()))
        }
    }
}

fn tcp(stream: TcpStream, early: Bytes) -> (UpgradedRead, UpgradedWrite, Bytes) {
    // Messages are complete when they are written; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let (read, write) = halves(stream);
    (read, write, early)
}

/// The halves of a connection of plain TCP.
pub(crate) fn halves(stream: TcpStream) -> (UpgradedRead, UpgradedWrite) {
    let (read, write) = stream.into_split();
    (UpgradedRead(ReadHalf::Tcp(read)), UpgradedWrite(WriteHalf::Tcp(write)))
}

impl AsyncRead for UpgradedRead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match &mut self.0 {
            ReadHalf::Tcp(half) => Pin::new(half).poll_read(cx, into),
            ReadHalf::Other(half) => Pin::new(half).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for UpgradedWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match &mut self.0 {
            WriteHalf::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
            WriteHalf::Other(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match &mut self.0 {
            WriteHalf::Tcp(half) => Pin::new(half).poll_write_vectored(cx, slices),
            WriteHalf::Other(half) => Pin::new(half).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            WriteHalf::Tcp(half) => half.is_write_vectored(),
            WriteHalf::Other(half) => half.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.0 {
            WriteHalf::Tcp(half) => Pin::new(half).poll_flush(cx),
            WriteHalf::Other(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.0 {
            WriteHalf::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            WriteHalf::Other(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
