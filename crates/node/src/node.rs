//! The node: a handle to everything, and how it is built.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tourbillon_broker::{BoxFuture, ControlSink, Engine, EventSink};
use tourbillon_hub::{Source, Variant};
use tourbillon_session::ServerOp;
use tourbillon_shared_poll::{Backend, DynBackend};
use tourbillon_transport::{Accept, ConnContext, Transport};
use tourbillon_types::{Clock, Disconnect, NodeId};

use crate::NodeConfig;
use crate::boot::Boot;
use crate::checks;
use crate::clock::RuntimeClock;
use crate::cluster::{self, Cluster};
use crate::conn::Conn;
use crate::driver::Driver;
use crate::emulation::Listed;
use crate::hooks::{DynHooks, Hooks};
use crate::interest::{self, Requests};
use crate::maps;
use crate::ready::Part;
use crate::shared::{Parts, Shared};
use crate::wheel::TICK;
use tourbillon_metrics::Aggregator;

/// How often connections are told to go, where that takes a while.
const STEP: Duration = Duration::from_millis(100);

/// A running node. Cheap to clone; all clones are the same node.
///
/// ```
/// use tourbillon_broker_memory::MemoryEngine;
/// use tourbillon_node::{AllowAll, Node};
/// use tourbillon_types::{Channel, Payload};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (node, driver) = Node::builder(MemoryEngine::default()).hooks(AllowAll).build()?;
/// tokio::spawn(driver);
/// let published = node.publish(Channel::from("news"), Payload::from("{}"), Default::default()).await?;
/// assert_eq!(published.position.offset, 0, "this engine keeps no history");
/// node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

impl Node {
    /// Begins to build a node on this engine.
    pub fn builder(engine: impl Into<Engine>) -> NodeBuilder {
        NodeBuilder {
            engine: engine.into(),
            hooks: Arc::new(crate::hooks::Defaults),
            config: NodeConfig::default(),
            clock: None,
            workers: None,
            polled: None,
        }
    }

    /// The node's identifier, made anew for every run.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// How the node behaves.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.shared.config
    }

    /// Ends every connection with 3001 and turns new ones away; then stops the node's own tasks. Returns when
    /// every connection is gone, which takes no longer than the deadlines of [`NodeConfig`] allow: each connection
    /// gets what is queued for it, and for that, as long as it takes something, ten seconds at most.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the node draining; calling again goes on.
    pub async fn shutdown(&self) {
        self.drain().await;
        self.shared.stopped.cancel();
    }

    /// The first half of [`shutdown`](Self::shutdown): returns when every connection is gone. The node can still publish, for
    /// whoever has to finish something.
    ///
    /// # Cancel safety
    ///
    /// As with [`shutdown`](Self::shutdown).
    pub async fn drain(&self) {
        self.leave(Duration::ZERO).await;
        let shared = &self.shared;
        shared.connections.close();
        shared.connections.wait().await;
    }

    /// Turns new connections away and tells those that there are to go (3001), in no order, evenly over so long: they come
    /// again elsewhere, and not all at once. Returns when the last one has been told. [`shutdown`](Self::shutdown) is what
    /// comes next.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the node draining, with those that it has told.
    pub async fn leave(&self, window: Duration) {
        let shared = &self.shared;
        shared.drain();
        let mut conns = shared.registry.all();
        // Names of connections are random.
        conns.sort_unstable_by_key(|conn| conn.client);
        let steps = usize::try_from(window.as_millis() / STEP.as_millis()).unwrap_or(usize::MAX).max(1);
        let all = conns.len();
        for step in 1..=steps {
            let left = all - all * step / steps;
            for conn in conns.drain(left..) {
                conn.tell(ServerOp::Disconnect(Disconnect::SHUTDOWN), None);
            }
            if left == 0 {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
    }
}

impl<T: Transport> Accept<T> for Node {
    /// Takes over the connection in a task of its own.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    fn accept(&self, transport: T, context: ConnContext) {
        let info = transport.info().clone();
        let variant = Variant { encoding: info.encoding, envelope: info.direction.into() };
        let (reader, writer) = transport.split();
        let shared = &self.shared;
        let number = shared.metrics.transport(info.name);
        let conn = Conn::new(shared.clone(), variant, number, Box::new(writer), info.write_timeout);
        shared.registry.add(&conn);
        if shared.is_draining() {
            conn.tell(ServerOp::Disconnect(Disconnect::SHUTDOWN), None);
        }
        let tracker = shared.connections.clone();
        let boot = Boot::new(shared, &info, context);
        if info.emulation {
            let reader = Listed::new(shared, conn.session, reader);
            tracker.spawn(Driver::new(conn, reader, &info, boot));
        } else {
            tracker.spawn(Driver::new(conn, reader, &info, boot));
        }
    }
}

/// Chooses the parts of a node.
#[must_use]
pub struct NodeBuilder {
    engine: Engine,
    hooks: Arc<dyn DynHooks>,
    config: NodeConfig,
    clock: Option<Arc<dyn Clock>>,
    workers: Option<usize>,
    polled: Option<Arc<dyn DynBackend>>,
}

impl NodeBuilder {
    /// What the program decides. Default: anybody connects, nobody may do anything.
    pub fn hooks(self, hooks: impl Hooks) -> Self {
        Self { hooks: Arc::new(hooks), ..self }
    }

    /// What the program decides, shared already.
    pub fn shared_hooks(self, hooks: Arc<dyn DynHooks>) -> Self {
        Self { hooks, ..self }
    }

    /// How the node behaves.
    pub fn config(self, config: NodeConfig) -> Self {
        Self { config, ..self }
    }

    /// What the node takes the time from. Default: the runtime's monotonic clock, which tests can pause, and the
    /// system's wall clock.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Who knows what the keys of polled channels hold (SP-08). Default: nobody, and there are no such channels: who asks
    /// for one gets 108.
    pub fn shared_poll(self, backend: impl Backend) -> Self {
        self.shared_poll_arc(Arc::new(backend))
    }

    /// The same, shared already.
    pub fn shared_poll_arc(self, backend: Arc<dyn DynBackend>) -> Self {
        Self { polled: Some(backend), ..self }
    }

    /// How many tasks write to connections. Default: one for each processor.
    pub fn flush_workers(self, workers: usize) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// Builds the node. Nothing runs before the driver is spawned.
    ///
    /// # Errors
    ///
    /// A configuration that contradicts itself.
    pub fn build(self) -> Result<(Node, NodeDriver), BuildError> {
        self.config.check()?;
        let (interest, requests) = if self.engine.broker().capabilities().needs_interest {
            let (interest, requests) = interest::interest(Source::Broker);
            (Some(interest), Some(requests))
        } else {
            (None, None)
        };
        let asks = || interest::interest(Source::Maps);
        let (map_interest, map_requests) = self.engine.maps().map(|_| asks()).unzip();
        let id = NodeId::random();
        let (cluster, inbox) = self.engine.control().map(|control| Cluster::new(control.clone(), id)).unzip();
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared::new(Parts {
            id,
            config: self.config,
            clock: self.clock.unwrap_or_else(|| Arc::new(RuntimeClock::default())),
            engine: self.engine,
            hooks: self.hooks,
            flushers: self.workers.unwrap_or_else(processors),
            interest,
            map_interest,
            cluster,
            polled: self.polled,
        }));
        shared.engine.broker().attach(EventSink::new(shared.clone()));
        if let Some(maps) = shared.engine.maps() {
            maps.attach(EventSink::new(Arc::new(maps::Events(shared.clone()))));
        }
        if let Some(cluster) = &shared.cluster {
            cluster.control().attach(id, ControlSink::new(shared.clone()));
        }
        let now = shared.clock.now().instant;
        let interval = shared.config.info_metrics_aggregate_interval;
        let aggregator = Aggregator::new(interval, now, shared.samples(), shared.metrics.aggregate());
        let driver = NodeDriver(Box::pin(run(shared.clone(), aggregator, (requests, map_requests), inbox)));
        Ok((Node { shared }, driver))
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Why a node cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A configuration value makes no sense.
    #[error("{option}: {problem}")]
    Config {
        /// The field of [`NodeConfig`].
        option: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The node's own work: flushing, timing, talking to the broker. Ends after [`Node::shutdown`]: for what is left to be
/// told of who was in which channel, it takes 20 seconds at most.
#[must_use = "a node does nothing until its driver is spawned"]
pub struct NodeDriver(BoxFuture<'static, ()>);

impl Future for NodeDriver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for NodeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeDriver")
    }
}

async fn run(
    shared: Arc<Shared>,
    aggregator: Aggregator,
    (requests, map_requests): (Option<Requests>, Option<Requests>),
    inbox: Option<cluster::Inbox>,
) {
    let tasks = TaskTracker::new();
    for worker in 0..shared.flushers.len() {
        let shared = shared.clone();
        let stopped = shared.stopped.clone();
        tasks.spawn(async move {
            stopped.run_until_cancelled(shared.flushers.run(worker, &shared.metrics)).await
        });
    }
    for lane in 0..shared.members.len() {
        let shared = shared.clone();
        tasks.spawn(async move { shared.members.run(lane, &shared).await });
    }
    let for_ever: [fn(&Shared) -> BoxFuture<'_, ()>; 3] = [
        |shared| Box::pin(checks::run(shared)),
        |shared| Box::pin(shared.hub.run()),
        |shared| Box::pin(shared.poller.run(shared)),
    ];
    for work in for_ever {
        let shared = shared.clone();
        let stopped = shared.stopped.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(work(&shared)).await });
    }
    let stop = shared.stopped.clone();
    let engine = {
        let shared = shared.clone();
        async move {
            let stopped = || Box::pin(stop.clone().cancelled_owned());
            let broker = async {
                if let Err(error) = shared.engine.broker().run(stopped()).await {
                    shared.ended.add(Part::Broker, &error);
                }
            };
            let maps = async {
                let Some(maps) = shared.engine.maps() else { return };
                if let Err(error) = maps.run(stopped()).await {
                    shared.ended.add(Part::Maps, &error);
                }
            };
            tokio::join!(broker, maps);
        }
    };
    tasks.spawn(engine);
    for (requests, source) in [(requests, Source::Broker), (map_requests, Source::Maps)] {
        let (Some(requests), true) = (requests, shared.interest_in(source).is_some()) else { continue };
        let shared = shared.clone();
        let stopped = shared.stopped.clone();
        tasks.spawn(async move {
            let Some(interest) = shared.interest_in(source) else { return };
            stopped.run_until_cancelled(interest::run(&shared, interest, requests)).await;
        });
    }
    if let Some(inbox) = inbox {
        let shared = shared.clone();
        tasks.spawn(async move {
            let Some(cluster) = &shared.cluster else { return };
            let left = CancellationToken::new();
            let control = async {
                if let Err(error) = cluster.control().run(Box::pin(left.clone().cancelled_owned())).await {
                    shared.ended.add(Part::Control, &error);
                }
            };
            let part = async {
                cluster::run(&shared, cluster, inbox).await;
                left.cancel();
            };
            tokio::join!(control, part);
        });
    }
    shared.stopped.run_until_cancelled(turn_wheel(&shared, aggregator)).await;
    tasks.close();
    tasks.wait().await;
}

/// How often the application is told that time passes.
const SECOND: Duration = Duration::from_secs(1);

async fn turn_wheel(shared: &Shared, mut aggregator: Aggregator) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = shared.clock.now().instant;
    loop {
        ticks.tick().await;
        let now = shared.clock.now();
        shared.wheel.advance(now.instant);
        if now.instant - told >= SECOND {
            told = now.instant;
            shared.hooks.tick(now);
            aggregator.advance(now.instant, || shared.samples(), shared.metrics.aggregate());
        }
    }
}
