//! The other nodes: who is there (CTL-03), and asking one of them for something (CTL-04).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tourbillon_broker::{BrokerError, ControlEvents, Receiver, SharedControl};
use tourbillon_transport::InjectError;
use tourbillon_types::{NodeId, SessionId};

use crate::shared::Shared;
use tourbillon_control::{EMULATION, Emulation, Heard, Message, NodeInfo, Peers, What};
use tourbillon_metrics::{Action, NodeMetrics, Told};

/// How often a node says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Messages that wait to be looked at; what comes beyond is lost, and whoever asked learns it by its deadline.
const INBOX: usize = 4096;

/// Questions of other nodes that are worked on at once. Each holds a frame and waits for room in a session.
const QUESTIONS: usize = 1024;

/// What a node knows of its cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    control: SharedControl,
    id: NodeId,
    inbox: mpsc::Sender<Bytes>,
    peers: Mutex<Peers>,
    asked: Mutex<HashMap<u64, oneshot::Sender<u32>>>,
    last_question: AtomicU64,
}

/// The messages of other nodes, for the task that looks at them.
#[derive(Debug)]
pub(crate) struct Inbox(mpsc::Receiver<Bytes>);

/// What an answer means. Numbers are those of Centrifugo's emulation.
mod code {
    pub(super) const DONE: u32 = 0;
    pub(super) const BAD_REQUEST: u32 = 1;
    pub(super) const NO_SESSION: u32 = 2;
    pub(super) const BUSY: u32 = 3;
    pub(super) const UNKNOWN_QUESTION: u32 = 4;
}

impl Cluster {
    pub(crate) fn new(control: SharedControl, id: NodeId) -> (Self, Inbox) {
        let (inbox, messages) = mpsc::channel(INBOX);
        let cluster = Self {
            control,
            id,
            inbox,
            peers: Mutex::default(),
            asked: Mutex::default(),
            last_question: AtomicU64::new(0),
        };
        (cluster, Inbox(messages))
    }

    pub(crate) const fn control(&self) -> &SharedControl {
        &self.control
    }

    /// The other nodes, as they last described themselves.
    pub(crate) fn peers(&self) -> Vec<NodeInfo> {
        self.peers.lock().infos()
    }

    /// The number of other nodes.
    pub(crate) fn size(&self) -> usize {
        self.peers.lock().len()
    }

    /// Brings a frame to a session of another node (EMU-09).
    pub(crate) async fn emulate(
        &self,
        shared: &Shared,
        node: NodeId,
        session: SessionId,
        frame: Bytes,
        patience: Duration,
    ) -> Result<(), InjectError> {
        if !self.peers.lock().has(node) {
            return Err(InjectError::NoNode);
        }
        let question = Emulation { session, frame }.encode();
        shared.metrics.act(Action::Survey);
        match timeout(patience, self.ask(shared, node, EMULATION, question)).await {
            Ok(Ok(code::DONE)) => Ok(()),
            Ok(Ok(code::NO_SESSION)) => Err(InjectError::NoSession),
            Ok(Ok(code)) => {
                tracing::debug!(%node, code, "another node did not deliver an emulation request");
                Err(InjectError::Unavailable)
            }
            Ok(Err(error)) => {
                tracing::warn!(%node, %error, "another node cannot be reached");
                Err(InjectError::Unavailable)
            }
            Err(_) => Err(InjectError::Unavailable),
        }
    }

    /// Asks a node and waits for the code of its answer, for ever.
    async fn ask(
        &self,
        shared: &Shared,
        node: NodeId,
        op: &'static str,
        data: Bytes,
    ) -> Result<u32, BrokerError> {
        let id = self.last_question.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        self.asked.lock().insert(id, answer);
        let _asked = Asked { cluster: self, id };
        self.send(shared, Receiver::Node(node), What::Question { id, op: op.to_owned(), data }).await?;
        answered.await.map_err(|_| BrokerError::internal("a question got lost"))
    }

    async fn send(&self, shared: &Shared, to: Receiver, what: What) -> Result<(), BrokerError> {
        shared.metrics.tell(Told::Control);
        self.control.send(to, Message { from: self.id, what }.encode()).await
    }
}

/// A question that is waiting for its answer; without whoever asked, nothing waits.
struct Asked<'a> {
    cluster: &'a Cluster,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.cluster.asked.lock().remove(&self.id);
    }
}

impl ControlEvents for Shared {
    fn message(&self, message: Bytes) {
        self.metrics.hear(Told::Control);
        if let Some(cluster) = &self.cluster
            && cluster.inbox.try_send(message).is_err()
        {
            tracing::warn!("a message of another node is lost: too many wait");
        }
    }
}

/// Takes part in the cluster until the node stops, and says farewell.
pub(crate) async fn run(shared: &Shared, cluster: &Cluster, inbox: Inbox) {
    let parts = async { tokio::join!(announce(shared, cluster), listen(shared, cluster, inbox)) };
    let _ = shared.stopped.run_until_cancelled(parts).await;
    let _ = timeout(FAREWELL, cluster.send(shared, Receiver::Others, What::Leaving)).await;
}

/// Says again and again that this node is alive, and forgets those that do not.
async fn announce(shared: &Shared, cluster: &Cluster) {
    let mut beats = tokio::time::interval(HEARTBEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told: Option<Arc<NodeMetrics>> = None;
    loop {
        beats.tick().await;
        let now = shared.clock.now().instant;
        for node in cluster.peers.lock().expire(now) {
            tracing::warn!(%node, "another node is silent and taken for gone");
        }
        let mut info = shared.info();
        // Others keep what they were told, and what is counted changes once an interval.
        let known = told.iter().zip(&info.metrics).any(|(told, now)| Arc::ptr_eq(told, now));
        if known {
            info.metrics = None;
        }
        let metrics = info.metrics.clone();
        if introduce(shared, cluster, Receiver::Others, info).await && !known {
            told = metrics;
        }
    }
}

/// Says what this node is. `false`: it was not said.
async fn introduce(shared: &Shared, cluster: &Cluster, to: Receiver, info: NodeInfo) -> bool {
    let said = cluster.send(shared, to, What::Alive(Box::new(info)));
    match timeout(shared.config.call_timeout, said).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::warn!(%error, "other nodes cannot be told of this one"),
        Err(_) => tracing::warn!("other nodes cannot be told of this one in time"),
    }
    false
}

/// Looks at what other nodes say.
async fn listen(shared: &Shared, cluster: &Cluster, mut inbox: Inbox) {
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = inbox.0.recv(), if answers.len() < QUESTIONS => {
                let Some(message) = message else { return };
                match Message::decode(message) {
                    Ok(Message { from, .. }) if from == cluster.id => {}
                    Ok(Message { from, what }) => answers.extend(take(shared, cluster, from, what)),
                    // A later release, perhaps.
                    Err(error) => tracing::debug!(%error, "a message of another node is passed over"),
                }
            }
            Some(()) = answers.next(), if !answers.is_empty() => {}
        }
    }
}

/// Takes note of a message; what is left to do for it.
fn take<'a>(
    shared: &'a Shared,
    cluster: &'a Cluster,
    from: NodeId,
    what: What,
) -> Option<impl Future<Output = ()> + 'a> {
    let reply = match what {
        What::Alive(info) => {
            let now = shared.clock.now().instant;
            match cluster.peers.lock().hear(now, from, *info) {
                Heard::First => tracing::info!(node = %from, "another node is there"),
                Heard::Again => return None,
                Heard::Surplus => {
                    tracing::warn!(node = %from, "another node is passed over: there are too many");
                    return None;
                }
            }
            Reply::Introduction
        }
        What::Leaving => {
            cluster.peers.lock().leave(from);
            tracing::info!(node = %from, "another node leaves");
            return None;
        }
        What::Question { id, op, data } => Reply::Answer { id, op, data },
        What::Answer { id, code } => {
            // Whoever asked may have given up.
            if let Some(asked) = cluster.asked.lock().remove(&id) {
                let _ = asked.send(code);
            }
            return None;
        }
    };
    Some(respond(shared, cluster, from, reply))
}

/// What a message is followed by.
enum Reply {
    /// A node that has just come need not wait for the next heartbeat.
    Introduction,
    Answer {
        id: u64,
        op: String,
        data: Bytes,
    },
}

async fn respond(shared: &Shared, cluster: &Cluster, to: NodeId, reply: Reply) {
    match reply {
        Reply::Introduction => {
            introduce(shared, cluster, Receiver::Node(to), shared.info()).await;
        }
        Reply::Answer { id, op, data } => {
            let code = match op.as_str() {
                EMULATION => emulated(shared, data).await,
                _ => code::UNKNOWN_QUESTION,
            };
            let answer = cluster.send(shared, Receiver::Node(to), What::Answer { id, code });
            if !matches!(timeout(shared.config.call_timeout, answer).await, Ok(Ok(()))) {
                tracing::warn!(node = %to, "another node cannot be answered");
            }
        }
    }
}

/// Delivers what came to another node for a session of this one.
async fn emulated(shared: &Shared, data: Bytes) -> u32 {
    let Some(Emulation { session, frame }) = Emulation::decode(data) else { return code::BAD_REQUEST };
    match shared.inject_here(session, frame).await {
        Ok(()) => code::DONE,
        Err(InjectError::NoSession) => code::NO_SESSION,
        Err(_) => code::BUSY,
    }
}
