//! The part of a connection that others than its own driver touch: its outbox, what it is told, its alarm.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::{ArcWake, AtomicWaker, waker_ref};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tourbillon_hub::{Loose, Subscriber, Variant};
use tourbillon_session::ServerOp;
use tourbillon_transport::{Lane, Message, MessageQueue, Run, TransportWriter};
use tourbillon_types::{Channel, ClientId, Disconnect, Instant, SessionId, TagMatcher, Unsubscribe};

use crate::fresh::identifiers;
use crate::shared::Shared;
use crate::wheel::Alarm;
use tourbillon_metrics::{Kind, Metrics, Named, Tally};

/// One connection, as the hub, the flush workers and the server API see it.
pub(crate) struct Conn {
    /// Distinct within the node, for as long as it runs.
    pub(crate) key: u64,
    pub(crate) client: ClientId,
    pub(crate) session: SessionId,
    pub(crate) variant: Variant,
    pub(crate) alarm: Alarm,
    pub(crate) shared: Arc<Shared>,
    outbox: Mutex<Outbox>,
    driver: AtomicWaker,
    /// Whether it waits for its flush worker.
    dirty: AtomicBool,
    /// As what it is counted: a [`Kind`].
    kind: AtomicU8,
    /// Time within which the peer must take what is written to it, in milliseconds.
    write_timeout: u32,
    /// A [`Stall`], or `MAX` while nothing is stuck.
    stall: AtomicU64,
}

/// Something the server side wants of a connection, and who waits for it to be done.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) op: Wish,
    /// Only if its labels are such.
    pub(crate) labels: Option<Arc<TagMatcher>>,
    /// Dropped when the wish is carried out.
    pub(crate) done: Option<Done>,
}

impl Told {
    /// Whether it ends the connection, whoever that is.
    const fn is_end(&self) -> bool {
        matches!(self.op, Wish::Op(ServerOp::Disconnect(_))) && self.labels.is_none()
    }
}

/// What the server side wants of a connection.
#[derive(Debug)]
pub(crate) enum Wish {
    /// This of its session.
    Op(ServerOp),
    /// That it asks the application whether it may stay.
    Recheck,
}

/// Held by whoever has yet to carry out a wish. The wisher waits until all are dropped.
pub(crate) type Done = mpsc::Sender<()>;

/// What the transport was handed and does not take, in one word: there is one for every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stall(u64);

impl Stall {
    const NONE: Self = Self(u64::MAX);

    /// For the number of entries; the rest is milliseconds.
    const BITS: u32 = 24;

    const MANY: u64 = (1 << Self::BITS) - 1;

    /// `due`: when the peer has to have taken something. `entries`: how much was handed over.
    fn new(due: Instant, entries: usize) -> Self {
        let millis = due.as_nanos().div_ceil(1_000_000).min((u64::MAX >> Self::BITS) - 1);
        let entries = u64::try_from(entries).unwrap_or(u64::MAX).min(Self::MANY);
        Self((millis << Self::BITS) | entries)
    }

    fn due(self) -> Instant {
        if self == Self::NONE {
            return Instant::MAX;
        }
        Instant::from_nanos((self.0 >> Self::BITS).saturating_mul(1_000_000))
    }

    /// How many entries were handed over: all, if they are more than can be told.
    fn entries(self) -> usize {
        match self.0 & Self::MANY {
            _ if self == Self::NONE => 0,
            Self::MANY => usize::MAX,
            entries => usize::try_from(entries).unwrap_or(usize::MAX),
        }
    }
}

/// Mostly empty, and then it takes one word.
pub(crate) type Inbox = Option<Box<Vec<Told>>>;

struct Outbox {
    queue: MessageQueue,
    /// `None` before the connection is set up and once its driver closes it.
    writer: Option<Box<dyn TransportWriter>>,
    /// Why the connection must end; nothing is queued any more.
    fault: Option<Box<Disconnect>>,
    /// What the server side wants, which the driver has not taken yet.
    told: Inbox,
}

impl Conn {
    /// `transport` is its number among what is counted; `write_timeout`: `None` for the node's.
    pub(crate) fn new(
        shared: Arc<Shared>,
        variant: Variant,
        transport: u8,
        writer: Box<dyn TransportWriter>,
        write_timeout: Option<Duration>,
    ) -> Arc<Self> {
        let (client, session) = identifiers();
        let write_timeout = write_timeout.unwrap_or(shared.config.write_timeout);
        Arc::new(Self {
            key: shared.next_key(),
            client,
            session,
            variant,
            alarm: Alarm::new(),
            shared,
            outbox: Mutex::new(Outbox {
                queue: MessageQueue::new(),
                writer: Some(writer),
                fault: None,
                told: None,
            }),
            driver: AtomicWaker::new(),
            dirty: AtomicBool::new(false),
            kind: AtomicU8::new(Kind::new(transport, Named::default()).to_byte()),
            write_timeout: u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX),
            stall: AtomicU64::new(Stall::NONE.0),
        })
    }

    /// Queues a message. Whoever calls flushes. `false`: the connection takes no more.
    pub(crate) fn enqueue(&self, message: Message) -> bool {
        self.admit(message.len(), |queue| queue.push(message))
    }

    fn admit(&self, bytes: usize, push: impl FnOnce(&mut MessageQueue)) -> bool {
        let mut outbox = self.outbox.lock();
        if outbox.fault.is_some() || outbox.writer.is_none() {
            return false;
        }
        if outbox.queue.bytes() + bytes > self.shared.comfortable_queue && !self.make_room(&mut outbox, bytes)
        {
            outbox.fail(Disconnect::SLOW);
            drop(outbox);
            self.wake_driver();
            return false;
        }
        push(&mut outbox.queue);
        true
    }

    /// Makes room in a queue that is long: what may be missed goes, and what waits for the end of a delay is written
    /// before. `false`: there is no room.
    #[cold]
    fn make_room(&self, outbox: &mut Outbox, bytes: usize) -> bool {
        let excess = (outbox.queue.bytes() + bytes).saturating_sub(self.shared.config.queue_max_size);
        if !outbox.queue.drop_oldest(excess) {
            return false;
        }
        // A peer that takes no more is not helped by haste.
        if self.stalled() == Stall::NONE {
            self.shared.flushers.hurry(self);
        }
        true
    }

    /// Hands the connection to its flush worker, unless it waits there already.
    pub(crate) fn mark_dirty(self: &Arc<Self>) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.shared.flushers.push(self.clone());
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// As what the connection is counted.
    pub(crate) fn kind(&self) -> Kind {
        Kind::from_byte(self.kind.load(Ordering::Relaxed))
    }

    /// Notes which names the client gave of itself.
    pub(crate) fn set_named(&self, named: Named) {
        self.kind.store(Kind::new(self.kind().transport, named).to_byte(), Ordering::Relaxed);
    }

    /// How many entries of the queue are counted already. What is replaced before it is written is counted in the place
    /// of what replaces it.
    pub(crate) fn offered(&self) -> usize {
        self.stalled().entries()
    }

    fn stalled(&self) -> Stall {
        Stall(self.stall.load(Ordering::Relaxed))
    }

    /// Writes what is queued, as far as the peer takes it. Called by the flush worker and by the driver, who count what
    /// is sent.
    pub(crate) fn flush(self: &Arc<Self>, tally: &mut Tally) {
        // Before the queue is looked at: a message queued from here on marks the connection anew.
        self.dirty.store(false, Ordering::Release);
        let waker = waker_ref(self);
        let mut cx = Context::from_waker(&waker);
        let mut outbox = self.outbox.lock();
        let Outbox { queue, writer: Some(writer), fault: None, .. } = &mut *outbox else { return };
        let transport = self.kind().transport;
        if self.stalled() != Stall::NONE || !tally.count_single(transport, queue) {
            tally.count(transport, queue, self.offered());
        }
        let before = queue.bytes();
        match writer.poll_write(&mut cx, queue) {
            Poll::Ready(Ok(())) => self.stall.store(Stall::NONE.0, Ordering::Relaxed),
            Poll::Ready(Err(error)) => {
                let why = match error {
                    tourbillon_transport::TransportError::Io(_) => Disconnect::WRITE_ERROR,
                    other => other.disconnect(),
                };
                outbox.fail(why);
                drop(outbox);
                self.wake_driver();
            }
            Poll::Pending => {
                let stalled = self.stalled();
                let anew = queue.bytes() < before || stalled == Stall::NONE;
                let due =
                    if anew { self.shared.clock.now().instant + self.write_timeout() } else { stalled.due() };
                let stall = Stall::new(due, queue.count());
                self.stall.store(stall.0, Ordering::Relaxed);
                drop(outbox);
                if anew {
                    self.shared.wheel.arm(self, stall.due());
                }
            }
        }
    }

    /// When the peer has to have taken something; [`Instant::MAX`] while nothing is stuck.
    pub(crate) fn stalled_until(&self) -> Instant {
        self.stalled().due()
    }

    /// Has the driver run at `due`, for which it looked whether something is stuck; and earlier, where a flush worker found
    /// so since: its alarm is not to be lost.
    pub(crate) fn rest_until(self: &Arc<Self>, due: Instant) {
        self.shared.wheel.set(self, due);
        let stalled = self.stalled_until();
        if stalled < due {
            self.shared.wheel.arm(self, stalled);
        }
    }

    /// Time within which the peer must take what is written to it.
    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout.into())
    }

    /// Asks the transport to ping.
    pub(crate) fn native_ping(&self) {
        if let Some(writer) = &mut self.outbox.lock().writer {
            writer.ping();
        }
    }

    /// Takes the writer and what is queued away, to close the connection. From now on nothing is queued, nobody waits for
    /// wishes, and its driver is not woken from here: the timing wheel has the connection for a while, and a waker would
    /// keep the memory of the driver's task for as long.
    pub(crate) fn take_writer(&self) -> (MessageQueue, Option<Box<dyn TransportWriter>>) {
        drop(self.driver.take());
        let mut outbox = self.outbox.lock();
        let (queue, writer, told) =
            (std::mem::take(&mut outbox.queue), outbox.writer.take(), outbox.told.take());
        drop(outbox);
        drop(told);
        (queue, writer)
    }

    /// Tells the connection's driver what the server side wants.
    pub(crate) fn tell(&self, op: ServerOp, done: Option<Done>) {
        self.wish(Wish::Op(op), None, done);
    }

    /// Tells it this or something else, if it is one with such labels. Of one that ends nothing can be wanted any more.
    pub(crate) fn wish(&self, op: Wish, labels: Option<Arc<TagMatcher>>, done: Option<Done>) {
        let told = Told { op, labels, done };
        let mut outbox = self.outbox.lock();
        if outbox.fault.is_some() || outbox.writer.is_none() {
            drop(outbox);
            // Whoever waits for it is woken by this.
            return drop(told);
        }
        outbox.told.get_or_insert_with(|| Box::new(Vec::with_capacity(1))).push(told);
        drop(outbox);
        self.wake_driver();
    }

    /// Takes what the server side wants. An error: the connection must end, and why. Of one that `connects`, what is
    /// wanted waits until it is accepted or not, unless it is its end.
    pub(crate) fn told(&self, connects: bool) -> Result<Inbox, Disconnect> {
        let mut outbox = self.outbox.lock();
        match &outbox.fault {
            Some(fault) => Err(Disconnect::clone(fault)),
            None if connects && !outbox.told.iter().flat_map(|told| &**told).any(Told::is_end) => Ok(None),
            None => Ok(outbox.told.take()),
        }
    }

    /// Lets the driver run.
    pub(crate) fn wake_driver(&self) {
        self.driver.wake();
    }

    /// Has the driver's task woken by [`wake_driver`](Self::wake_driver).
    pub(crate) fn register_driver(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }
}

impl Subscriber for Conn {
    fn key(&self) -> u64 {
        self.key
    }

    fn variant(&self) -> Variant {
        self.variant
    }

    fn send(self: &Arc<Self>, message: Message) {
        if self.enqueue(message) {
            self.mark_dirty();
        }
    }

    fn send_run(self: &Arc<Self>, run: Arc<Run>) {
        if self.admit(run.bytes(), |queue| queue.push_run(run)) {
            self.mark_dirty();
        }
    }

    fn send_in(self: &Arc<Self>, message: Message, lane: u32, how: Loose) -> bool {
        let mut outbox = self.outbox.lock();
        if outbox.fault.is_some() || outbox.writer.is_none() {
            return true;
        }
        let lane = Lane::new(lane, how == Loose::Oldest);
        if how == Loose::Latest {
            outbox.queue.remove_lane(lane);
        }
        let bytes = message.len();
        if outbox.queue.bytes() + bytes > self.shared.comfortable_queue && !self.make_room(&mut outbox, bytes)
        {
            match how {
                Loose::Oldest => return true,
                Loose::Position => {
                    // What the client has got by then is what was made before, without a gap.
                    outbox.queue.remove_lane(lane);
                    return false;
                }
                Loose::Latest => {
                    outbox.fail(Disconnect::SLOW);
                    drop(outbox);
                    self.wake_driver();
                    return true;
                }
            }
        }
        outbox.queue.push_in(message, lane);
        drop(outbox);
        self.mark_dirty();
        true
    }

    fn fail(&self, why: Disconnect) {
        let mut outbox = self.outbox.lock();
        if outbox.fault.is_none() {
            outbox.fail(why);
        }
        drop(outbox);
        self.wake_driver();
    }

    fn lose(&self, channel: &Channel) {
        self.tell(ServerOp::Insufficient { channel: channel.clone() }, None);
    }

    fn unsubscribe(&self, channel: &Channel, why: Unsubscribe) {
        self.tell(ServerOp::Unsubscribe { channel: channel.clone(), why }, None);
    }

    fn attached(&self) {
        self.metrics().subscribed(self.kind().named);
    }

    fn detached(&self) {
        self.metrics().unsubscribed(self.kind().named);
    }

    fn filtered(&self, deliveries: u64) {
        self.metrics().filter(deliveries);
    }
}

impl Outbox {
    fn fail(&mut self, why: Disconnect) {
        if why.drops_queue() {
            self.queue.clear();
        }
        self.fault = Some(Box::new(why));
    }
}

impl ArcWake for Conn {
    /// The socket takes more.
    fn wake_by_ref(conn: &Arc<Self>) {
        conn.mark_dirty();
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("client", &self.client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use futures_util::FutureExt;
    use tourbillon_broker_memory::MemoryEngine;
    use tourbillon_transport::TransportError;
    use tourbillon_types::{Direction, Encoding};

    use crate::Node;
    use crate::wheel::TICK;

    use super::*;

    /// Takes nothing.
    struct Stuck;

    impl TransportWriter for Stuck {
        fn poll_write(
            &mut self,
            _: &mut Context<'_>,
            _: &mut MessageQueue,
        ) -> Poll<Result<(), TransportError>> {
            Poll::Pending
        }

        fn poll_close(&mut self, _: &mut Context<'_>, _: &Disconnect) -> Poll<Result<(), TransportError>> {
            Poll::Pending
        }

        fn ping(&mut self) {}
    }

    #[derive(Debug, Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn stuck() -> Arc<Conn> {
        let (node, _driver) = Node::builder(MemoryEngine::default()).build().expect("a node");
        let variant = Variant { encoding: Encoding::Json, envelope: Direction::Bidirectional.into() };
        Conn::new(node.shared, variant, 0, Box::new(Stuck), None)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_is_wanted_of_a_connection_that_is_closed_or_has_failed() {
        for fails in [false, true] {
            let conn = stuck();
            if fails {
                Subscriber::fail(&*conn, Disconnect::SLOW);
            } else {
                drop(conn.take_writer());
            }
            let (done, mut undone) = mpsc::channel(1);
            conn.tell(ServerOp::Message(Default::default()), Some(done));
            assert_eq!(undone.recv().now_or_never(), Some(None), "{fails}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_looked_before_a_stall_does_not_lose_its_alarm() {
        let conn = stuck();
        let shared = &conn.shared;
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        conn.register_driver(&Context::from_waker(&waker));
        let due = conn.stalled_until();
        assert_eq!(due, Instant::MAX);
        // Meanwhile a flush worker finds it stuck.
        assert!(conn.enqueue(shared.ping(conn.variant)));
        conn.flush(&mut Tally::default());
        conn.rest_until(due);
        shared.wheel.advance(conn.stalled_until() + TICK);
        assert!(woken.0.load(Ordering::SeqCst));
    }

    #[test]
    fn a_stall_fits_into_a_word() {
        assert_eq!((Stall::NONE.due(), Stall::NONE.entries()), (Instant::MAX, 0));
        for (millis, entries) in [(0, 0), (1, 1), (86_400_000_000, 1 << 20)] {
            let stall = Stall::new(Instant::from_nanos(millis * 1_000_000), entries);
            assert_eq!((stall.due(), stall.entries()), (Instant::from_nanos(millis * 1_000_000), entries));
        }
        let stall = Stall::new(Instant::from_nanos(1), 1 << 24);
        assert_eq!((stall.due().as_nanos(), stall.entries()), (1_000_000, usize::MAX), "never early");
        let far = Stall::new(Instant::MAX, 5);
        assert_ne!(far, Stall::NONE);
        assert_eq!(far.entries(), 5);
    }
}
