//! Sessions whose clients send by requests of their own (EMU-07..09).

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::timeout;
use tourbillon_transport::{Inject, InjectError, Mailbox, Mailed, Received, TransportError, TransportReader};
use tourbillon_types::{NodeId, SessionId};

use crate::Node;
use crate::registry::{Sharded, shrink};
use crate::shared::Shared;

/// The mailboxes of the sessions that have one.
#[derive(Debug)]
pub(crate) struct Sessions(Sharded<SessionId, Mailbox>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Sharded::new())
    }
}

impl Sessions {
    fn mailbox(&self, session: &SessionId) -> Option<Mailbox> {
        self.0.shard(session).lock().get(session).cloned()
    }

    fn enter(&self, session: SessionId, mailbox: Mailbox) {
        self.0.shard(&session).lock().insert(session, mailbox);
    }

    fn leave(&self, session: &SessionId) {
        let mut shard = self.0.shard(session).lock();
        shard.remove(session);
        shrink(&mut shard);
    }
}

/// The reader of such a session. It can be found by the session's secret for as long as it lives.
#[derive(Debug)]
pub(crate) struct Listed<R> {
    reader: Mailed<R>,
    shared: Arc<Shared>,
    session: SessionId,
}

impl<R: TransportReader> Listed<R> {
    pub(crate) fn new(shared: &Arc<Shared>, session: SessionId, reader: R) -> Self {
        let (reader, mailbox) = Mailed::new(reader);
        shared.sessions.enter(session, mailbox);
        Self { reader, shared: shared.clone(), session }
    }
}

impl<R: TransportReader> TransportReader for Listed<R> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        self.reader.poll_recv(cx)
    }
}

impl<R> Drop for Listed<R> {
    fn drop(&mut self) {
        self.shared.sessions.leave(&self.session);
    }
}

impl Inject for Node {
    /// Reaches sessions of this node, and through the engine's control those of the nodes that it hears of. Waits for
    /// room and for answers no longer than [`call_timeout`](crate::NodeConfig::call_timeout).
    async fn inject(&self, node: NodeId, session: SessionId, frame: Bytes) -> Result<(), InjectError> {
        let shared = &self.shared;
        if node == shared.id {
            return shared.inject_here(session, frame).await;
        }
        let cluster = shared.cluster.as_ref().ok_or(InjectError::NoNode)?;
        cluster.emulate(shared, node, session, frame, shared.call_timeout()).await
    }
}

impl Shared {
    /// Hands a frame to a session of this node.
    pub(crate) async fn inject_here(&self, session: SessionId, frame: Bytes) -> Result<(), InjectError> {
        let mailbox = self.sessions.mailbox(&session).ok_or(InjectError::NoSession)?;
        let delivered = timeout(self.call_timeout(), mailbox.deliver(frame)).await;
        delivered.unwrap_or(Err(InjectError::Unavailable))
    }
}
