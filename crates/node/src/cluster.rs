//! The other nodes: who is there (CTL-03), and asking one of them, or all, for something (CTL-04, CTL-05).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;
use tourbillon_broker::{BrokerError, ControlEvents, Receiver, SharedControl};
use tourbillon_transport::InjectError;
use tourbillon_types::{Channel, NodeId, ReplyError, SessionId};

use crate::hooks::Noticed;
use crate::server_api;
use crate::shared::Shared;
use tourbillon_control::{
    CHANNELS, ChannelPattern, EMULATION, Emulation, Heard, Message, NOTICE, NodeInfo, Notice, ORDER, Order,
    Peers, What, decode_channels, encode_channels,
};
use tourbillon_metrics::{Action, NodeMetrics, Told};

/// How often a node says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Messages that wait to be looked at; what comes beyond is lost, and whoever asked learns it by its deadline.
const INBOX: usize = 4096;

/// Parts of an answer that wait to be looked at; with more than this the answer is given up.
const PARTS: usize = 64;

/// How much longer than the node that is asked somebody waits for its answer, which has to come back.
const WAY_BACK: Duration = Duration::from_secs(1);

/// Frames for sessions of this node that wait for room there, which of one session are few. What comes beyond is answered
/// with [`code::BUSY`].
const EMULATIONS: usize = 1024;

/// Other questions of other nodes that are worked on at once. What comes beyond is answered with [`code::BUSY`].
const QUESTIONS: usize = 1024;

/// Such answers that are being sent. With more, the way to the other nodes is stuck, and whoever asks learns it by its
/// deadline.
const REFUSALS: usize = 1024;

/// Nodes that have just come and are being told of this one. Others are heard when they say again that they are there.
const INTRODUCTIONS: usize = 1024;

/// What a node knows of its cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    control: SharedControl,
    id: NodeId,
    inbox: mpsc::Sender<Bytes>,
    peers: Mutex<Peers>,
    asked: Mutex<HashMap<u64, Waiting>>,
    last_question: AtomicU64,
}

/// Who waits for an answer, and of which node.
#[derive(Debug)]
struct Waiting {
    node: NodeId,
    /// The code with the last part only.
    parts: mpsc::Sender<(Option<u32>, Bytes)>,
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
    pub(super) const LATE: u32 = 5;
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
        let answer = timeout(patience, self.ask(shared, node, EMULATION, question));
        match survey(shared, EMULATION, answer).await {
            Ok(Ok((code::DONE, _))) => Ok(()),
            Ok(Ok((code::NO_SESSION, _))) => Err(InjectError::NoSession),
            Ok(Ok((code::BUSY, _))) => Err(InjectError::Busy),
            Ok(Ok((code, _))) => {
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

    /// Has connections of all other nodes told something, and waits until they have been (CTL-05).
    pub(crate) async fn order(&self, shared: &Shared, order: &Order) -> Result<(), ReplyError> {
        self.ask_all(shared, ORDER, order.encode()).await.map(drop)
    }

    /// Tells the programs of all other nodes something, and waits until they have heard it (CTL-06).
    pub(crate) async fn notify(&self, shared: &Shared, notice: Notice) -> Result<(), ReplyError> {
        self.ask_all(shared, NOTICE, notice.encode()).await.map(drop)
    }

    /// The channels of all other nodes with their numbers of subscribers; of several nodes, a channel comes several times.
    pub(crate) async fn channels(
        &self,
        shared: &Shared,
        pattern: &ChannelPattern,
    ) -> Result<Vec<(Channel, usize)>, ReplyError> {
        let parts = self.ask_all(shared, CHANNELS, pattern.encode()).await?;
        let lists: Option<Vec<_>> = parts.into_iter().map(decode_channels).collect();
        Ok(lists.ok_or(ReplyError::INTERNAL)?.into_iter().flatten().collect())
    }

    /// Asks all other nodes that are heard of, and gives all parts of their answers. One that leaves meanwhile, or falls
    /// silent, has no connections any more: it need not answer.
    async fn ask_all(
        &self,
        shared: &Shared,
        op: &'static str,
        data: Bytes,
    ) -> Result<Vec<Bytes>, ReplyError> {
        let nodes = self.peers.lock().nodes();
        let asked = nodes.into_iter().map(|node| {
            let data = data.clone();
            async move {
                let patience = shared.call_timeout() + WAY_BACK;
                match timeout(patience, self.ask(shared, node, op, data)).await {
                    Ok(Ok((code::DONE, parts))) => Ok(parts),
                    _ if !self.peers.lock().has(node) => Ok(Vec::new()),
                    Ok(Ok((code, _))) => {
                        tracing::warn!(%node, op, code, "another node could not do what it was asked for");
                        Err(ReplyError::INTERNAL)
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(%node, op, %error, "another node cannot be reached");
                        Err(ReplyError::INTERNAL)
                    }
                    Err(_) => {
                        tracing::warn!(%node, op, "another node did not answer in time");
                        Err(ReplyError::INTERNAL)
                    }
                }
            }
        });
        // All of them, whatever one answers.
        let answers = survey(shared, op, join_all(asked)).await;
        Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Asks a node and waits for the code of its answer and what belongs to it, for ever.
    async fn ask(
        &self,
        shared: &Shared,
        node: NodeId,
        op: &'static str,
        data: Bytes,
    ) -> Result<(u32, Vec<Bytes>), BrokerError> {
        let id = self.last_question.fetch_add(1, Ordering::Relaxed) + 1;
        let (parts, mut answer) = mpsc::channel(PARTS);
        self.asked.lock().insert(id, Waiting { node, parts });
        let _asked = Asked { cluster: self, id };
        self.send(shared, Receiver::Node(node), What::Question { id, op: op.to_owned(), data }).await?;
        let (mut whole, mut last) = (Vec::new(), None);
        while let Some((code, part)) = answer.recv().await {
            whole.push(part);
            last = code;
        }
        last.map(|code| (code, whole)).ok_or_else(|| BrokerError::internal("a question got lost"))
    }

    /// An answer came, or a part of it.
    fn answered(&self, from: NodeId, id: u64, code: u32, (part, more): (Bytes, bool)) {
        let mut asked = self.asked.lock();
        // Whoever asked may have given up.
        let Some(waiting) = asked.get(&id).filter(|waiting| waiting.node == from) else { return };
        let taken = waiting.parts.try_send(((!more).then_some(code), part));
        if !more || taken.is_err() {
            asked.remove(&id);
        }
    }

    /// A node is gone: nothing that it was asked will be answered.
    fn lose(&self, node: NodeId) {
        self.asked.lock().retain(|_, waiting| waiting.node != node);
    }

    async fn send(&self, shared: &Shared, to: Receiver, what: What) -> Result<(), BrokerError> {
        shared.metrics.tell(Told::Control);
        self.control.send(to, Message { from: self.id, what }.encode()).await
    }
}

/// Waits for what other nodes are asked, and counts it.
async fn survey<T>(shared: &Shared, op: &'static str, answer: impl Future<Output = T>) -> T {
    shared.metrics.act(Action::Survey);
    let Some(measured) = shared.metrics.measured() else { return answer.await };
    let asked = shared.clock.instant();
    let answer = answer.await;
    measured.survey(op, shared.clock.instant() - asked);
    answer
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
        let silent = cluster.peers.lock().expire(now);
        for node in silent {
            tracing::warn!(%node, "another node is silent and taken for gone");
            cluster.lose(node);
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
    match timeout(shared.call_timeout(), said).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::warn!(%error, "other nodes cannot be told of this one"),
        Err(_) => tracing::warn!("other nodes cannot be told of this one in time"),
    }
    false
}

/// Room for what is done for other nodes, by what it waits for: none keeps another from being done.
struct Rooms {
    introductions: Semaphore,
    emulations: Semaphore,
    questions: Semaphore,
    refusals: Semaphore,
}

impl Rooms {
    fn new() -> Self {
        Self {
            introductions: Semaphore::new(INTRODUCTIONS),
            emulations: Semaphore::new(EMULATIONS),
            questions: Semaphore::new(QUESTIONS),
            refusals: Semaphore::new(REFUSALS),
        }
    }
}

/// Looks at what other nodes say. Whatever is worked on, their next message is read: it may say that they are alive.
async fn listen(shared: &Shared, cluster: &Cluster, mut inbox: Inbox) {
    let rooms = Rooms::new();
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = inbox.0.recv() => {
                let Some(message) = message else { return };
                match Message::decode(message) {
                    Ok(Message { from, .. }) if from == cluster.id => {}
                    Ok(Message { from, what }) => {
                        let reply = take(shared, cluster, &rooms, (from, what));
                        answers.extend(reply.map(|(reply, room)| async move {
                            respond(shared, cluster, from, reply).await;
                            drop(room);
                        }));
                    }
                    // A later release, perhaps.
                    Err(error) => tracing::debug!(%error, "a message of another node is passed over"),
                }
            }
            Some(()) = answers.next(), if !answers.is_empty() => {}
        }
    }
}

/// Takes note of a message; what is left to do for it, and the room that it has.
fn take<'a>(
    shared: &Shared,
    cluster: &Cluster,
    rooms: &'a Rooms,
    (from, what): (NodeId, What),
) -> Option<(Reply, SemaphorePermit<'a>)> {
    match what {
        What::Alive(info) => {
            let now = shared.clock.now().instant;
            let room = rooms.introductions.try_acquire().ok();
            let mut peers = cluster.peers.lock();
            if room.is_none() && !peers.has(from) {
                return None;
            }
            match peers.hear(now, from, *info) {
                Heard::First => tracing::info!(node = %from, "another node is there"),
                Heard::Again => return None,
                Heard::Surplus => {
                    tracing::warn!(node = %from, "another node is passed over: there are too many");
                    return None;
                }
            }
            room.map(|room| (Reply::Introduction, room))
        }
        What::Leaving => {
            cluster.peers.lock().leave(from);
            cluster.lose(from);
            tracing::info!(node = %from, "another node leaves");
            None
        }
        What::Question { id, op, data } => {
            let room = if op == EMULATION { &rooms.emulations } else { &rooms.questions };
            if let Ok(room) = room.try_acquire() {
                return Some((Reply::Answer { id, op, data }, room));
            }
            let Ok(room) = rooms.refusals.try_acquire() else {
                tracing::warn!(node = %from, op, "a question of another node is lost: too many wait");
                return None;
            };
            tracing::debug!(node = %from, op, "a question of another node is refused: too many wait");
            Some((Reply::Busy { id }, room))
        }
        What::Answer { id, code, data, more } => {
            cluster.answered(from, id, code, (data, more));
            None
        }
    }
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
    /// There is no room for the question.
    Busy {
        id: u64,
    },
}

async fn respond(shared: &Shared, cluster: &Cluster, to: NodeId, reply: Reply) {
    match reply {
        Reply::Introduction => {
            introduce(shared, cluster, Receiver::Node(to), shared.info()).await;
            welcome(shared, cluster, to).await;
        }
        Reply::Answer { id, op, data } => {
            let (code, parts) = match op.as_str() {
                EMULATION => (emulated(shared, data).await, Vec::new()),
                ORDER => (ordered(shared, data).await, Vec::new()),
                NOTICE => (noticed(shared, data).await, Vec::new()),
                CHANNELS => listed(shared, data),
                _ => (code::UNKNOWN_QUESTION, Vec::new()),
            };
            answer(shared, cluster, to, (id, code, parts)).await;
        }
        Reply::Busy { id } => answer(shared, cluster, to, (id, code::BUSY, Vec::new())).await,
    }
}

/// Answers a question: the code, and what belongs to it in parts.
async fn answer(shared: &Shared, cluster: &Cluster, to: NodeId, (id, code, parts): (u64, u32, Vec<Bytes>)) {
    let answer = async {
        let mut parts = parts.into_iter();
        let mut next = parts.next();
        loop {
            let data = next.unwrap_or_default();
            next = parts.next();
            let what = What::Answer { id, code, data, more: next.is_some() };
            cluster.send(shared, Receiver::Node(to), what).await?;
            if next.is_none() {
                return Ok::<_, BrokerError>(());
            }
        }
    };
    if !matches!(timeout(shared.call_timeout(), answer).await, Ok(Ok(()))) {
        tracing::warn!(node = %to, "another node cannot be answered");
    }
}

/// Tells a node that has come what it has not heard.
async fn welcome(shared: &Shared, cluster: &Cluster, node: NodeId) {
    for (what, data) in shared.hooks.welcome() {
        let notice = Notice { what: what.to_owned(), data }.encode();
        let patience = shared.call_timeout() + WAY_BACK;
        let told = timeout(patience, cluster.ask(shared, node, NOTICE, notice)).await;
        if !matches!(told, Ok(Ok((code::DONE, _)))) {
            tracing::warn!(%node, what, "another node does not hear what it has missed");
        }
    }
}

/// Tells the program of this node what that of another says.
async fn noticed(shared: &Shared, data: Bytes) -> u32 {
    let Some(Notice { what, data }) = Notice::decode(data) else { return code::BAD_REQUEST };
    match shared.hooks.notified(&what, &data) {
        Noticed::Noted => code::DONE,
        Noticed::Recheck(user) => {
            shared.carry_out(&server_api::recheck(user.as_ref())).await;
            code::DONE
        }
        Noticed::InPart(user) => {
            shared.carry_out(&server_api::recheck(user.as_ref())).await;
            code::UNKNOWN_QUESTION
        }
        _ => code::UNKNOWN_QUESTION,
    }
}

/// Tells connections of this node what another wants them to be told.
async fn ordered(shared: &Shared, data: Bytes) -> u32 {
    let Some(order) = Order::decode(data) else { return code::BAD_REQUEST };
    shared.carry_out(&order).await;
    code::DONE
}

/// The channels of this node.
fn listed(shared: &Shared, data: Bytes) -> (u32, Vec<Bytes>) {
    let Some(pattern) = ChannelPattern::decode(data) else { return (code::BAD_REQUEST, Vec::new()) };
    (code::DONE, encode_channels(&shared.hub.channels(&|name| pattern.matches(name))))
}

/// Delivers what came to another node for a session of this one.
async fn emulated(shared: &Shared, data: Bytes) -> u32 {
    let Some(Emulation { session, frame }) = Emulation::decode(data) else { return code::BAD_REQUEST };
    match shared.inject_here(session, frame).await {
        Ok(()) => code::DONE,
        Err(InjectError::NoSession) => code::NO_SESSION,
        Err(InjectError::Busy) => code::BUSY,
        Err(_) => code::LATE,
    }
}
