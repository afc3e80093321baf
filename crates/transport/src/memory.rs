//! A transport without a network: two ends in one process.
//!
//! For tests, and for programs that talk to a node inside themselves. Both directions hold a bounded number of bytes:
//! a peer that does not read exerts back-pressure, as a socket does, and a peer that waits for
//! [`ready`](MemoryPeer::ready) before it sends gets it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tourbillon_types::Disconnect;

use crate::{
    Message, MessageQueue, PingMode, Received, Transport, TransportError, TransportInfo, TransportReader,
    TransportWriter,
};

/// The node's end of a [`pair`].
#[derive(Debug)]
pub struct MemoryTransport {
    info: TransportInfo,
    shared: Arc<Mutex<Shared>>,
}

/// The client's end of a [`pair`].
#[derive(Debug)]
pub struct MemoryPeer {
    shared: Arc<Mutex<Shared>>,
}

/// What comes out at the client's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// One encoded message.
    Message(Bytes),
    /// A transport-level ping.
    Ping,
    /// The connection ended.
    Closed(Disconnect),
}

#[derive(Debug)]
struct Shared {
    to_node: VecDeque<Received>,
    to_peer: VecDeque<Sent>,
    /// Bytes that `to_node` holds.
    untaken: usize,
    /// Bytes that `to_peer` holds.
    unread: usize,
    capacity: usize,
    pings: usize,
    closed: bool,
    peer_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    peer: Option<Waker>,
    sender: Option<Waker>,
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Two ends of one connection. Each direction holds up to `capacity` bytes, and always at least one message.
#[must_use]
pub fn pair(info: TransportInfo, capacity: usize) -> (MemoryTransport, MemoryPeer) {
    let shared = Arc::new(Mutex::new(Shared {
        to_node: VecDeque::new(),
        to_peer: VecDeque::new(),
        untaken: 0,
        unread: 0,
        capacity,
        pings: 0,
        closed: false,
        peer_gone: false,
        reader: None,
        writer: None,
        peer: None,
        sender: None,
    }));
    (MemoryTransport { info, shared: shared.clone() }, MemoryPeer { shared })
}

impl Transport for MemoryTransport {
    type Reader = MemoryReader;
    type Writer = MemoryWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (MemoryReader, MemoryWriter) {
        let native = self.info.ping == PingMode::Native;
        (MemoryReader { shared: self.shared.clone() }, MemoryWriter { shared: self.shared, native })
    }
}

/// The receiving half of a [`MemoryTransport`].
#[derive(Debug)]
pub struct MemoryReader {
    shared: Arc<Mutex<Shared>>,
}

impl TransportReader for MemoryReader {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        let mut shared = self.shared.lock();
        if let Some(received) = shared.to_node.pop_front() {
            if let Received::Message(message) = &received {
                shared.untaken -= message.len();
                wake(&mut shared.sender);
            }
            return Poll::Ready(Ok(received));
        }
        if shared.peer_gone {
            return Poll::Ready(Ok(Received::End));
        }
        shared.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The sending half of a [`MemoryTransport`].
#[derive(Debug)]
pub struct MemoryWriter {
    shared: Arc<Mutex<Shared>>,
    native: bool,
}

impl MemoryWriter {
    fn broken() -> TransportError {
        TransportError::Io(std::io::ErrorKind::BrokenPipe.into())
    }
}

impl TransportWriter for MemoryWriter {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        let mut shared = self.shared.lock();
        if shared.peer_gone {
            return Poll::Ready(Err(Self::broken()));
        }
        for _ in 0..std::mem::take(&mut shared.pings) {
            shared.to_peer.push_back(Sent::Ping);
            wake(&mut shared.peer);
        }
        while !queue.is_empty() {
            let length = queue.iter().next().map_or(0, Message::len);
            if shared.unread > 0 && shared.unread + length > shared.capacity {
                shared.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let Some(message) = queue.pop() else { break };
            shared.unread += length;
            shared.to_peer.push_back(Sent::Message(Bytes::copy_from_slice(message.as_bytes())));
            wake(&mut shared.peer);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, why: &Disconnect) -> Poll<Result<(), TransportError>> {
        let mut shared = self.shared.lock();
        if shared.peer_gone {
            return Poll::Ready(Err(Self::broken()));
        }
        if !std::mem::replace(&mut shared.closed, true) {
            shared.to_peer.push_back(Sent::Closed(why.clone()));
            wake(&mut shared.peer);
        }
        Poll::Ready(Ok(()))
    }

    fn ping(&mut self) {
        if self.native {
            self.shared.lock().pings += 1;
        }
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        if !std::mem::replace(&mut shared.closed, true) {
            shared.to_peer.push_back(Sent::Closed(Disconnect::CONNECTION_CLOSED));
        }
        wake(&mut shared.peer);
    }
}

impl MemoryPeer {
    /// Sends one message to the node, whether or not there is room for it: a test may be as rude as it likes. A
    /// program waits until it is [`ready`](Self::ready) before.
    pub fn send(&self, message: impl Into<Bytes>) {
        self.push(Received::Message(message.into()));
    }

    /// Answers a transport-level ping.
    pub fn pong(&self) {
        self.push(Received::Pong);
    }

    fn push(&self, received: Received) {
        let mut shared = self.shared.lock();
        if let Received::Message(message) = &received {
            shared.untaken += message.len();
        }
        shared.to_node.push_back(received);
        wake(&mut shared.reader);
    }

    /// Waits until the node has taken so much that one more message may be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn ready(&mut self) {
        poll_fn(|cx| {
            let mut shared = self.shared.lock();
            if shared.untaken == 0 || shared.untaken < shared.capacity {
                return Poll::Ready(());
            }
            shared.sender = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Why the node ends the connection. What it sends before that is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but what was to be dropped.
    pub async fn closed(&mut self) -> Disconnect {
        loop {
            if let Sent::Closed(why) = self.recv().await {
                return why;
            }
        }
    }

    /// What the node sent next. After [`Sent::Closed`] nothing more comes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Sent {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) as a poll function.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        let mut shared = self.shared.lock();
        let Some(sent) = shared.to_peer.pop_front() else {
            shared.peer = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Sent::Message(message) = &sent {
            shared.unread -= message.len();
            wake(&mut shared.writer);
        }
        Poll::Ready(sent)
    }

    /// What the node sent next, if it is there already.
    pub fn try_recv(&mut self) -> Option<Sent> {
        match self.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => Some(sent),
            Poll::Pending => None,
        }
    }
}

impl Drop for MemoryPeer {
    /// The client goes away.
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        shared.peer_gone = true;
        wake(&mut shared.reader);
        wake(&mut shared.writer);
    }
}
