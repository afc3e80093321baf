//! What all parts of a node share.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tourbillon_broker::{self as broker, Attempt, BrokerError, BrokerEvents, Engine, Publish, Published};
use tourbillon_hub::{Attached, Base, FlowRules, Hub, Manner, Place, Source, Variant};
use tourbillon_protocol::{Limits, PushEvent, encode_ping};
use tourbillon_session::{Refusal, SessionConfig};
use tourbillon_shared_poll::DynBackend;
use tourbillon_transport::Message;
use tourbillon_types::{Channel, ClientInfo, Clock, Instant, NodeId, Publication, ReplyError, Text};

use crate::NodeConfig;
use crate::calls::within;
use crate::checks::Checks;
use crate::cluster::Cluster;
use crate::conn::Conn;
use crate::emulation::Sessions;
use crate::flush::Flushers;
use crate::hooks::DynHooks;
use crate::interest::Interest;
use crate::members::Lanes;
use crate::polls::Poller;
use crate::ready::Ended;
use crate::registry::Registry;
use crate::timeouts::Timeouts;
use crate::wheel::Wheel;
use tourbillon_metrics::{Frame, Metrics, Suppressed, Told};

/// What all parts of a node share.
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) config: NodeConfig,
    /// Above so many bytes it is looked what can be done about a connection's queue.
    pub(crate) comfortable_queue: usize,
    pub(crate) timeouts: Timeouts,
    pub(crate) session_config: Arc<SessionConfig>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Instant,
    pub(crate) engine: Engine,
    pub(crate) hooks: Arc<dyn DynHooks>,
    pub(crate) hub: Hub<Conn>,
    pub(crate) registry: Registry,
    pub(crate) sessions: Sessions,
    pub(crate) wheel: Wheel,
    pub(crate) flushers: Flushers,
    pub(crate) interest: Option<Interest>,
    /// Of keyed channels.
    pub(crate) map_interest: Option<Interest>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) members: Lanes,
    pub(crate) checks: Checks,
    pub(crate) poller: Poller,
    pub(crate) metrics: Metrics,
    /// The tasks of all connections.
    pub(crate) connections: TaskTracker,
    /// Cancelled when the node's own tasks are to end.
    pub(crate) stopped: CancellationToken,
    /// Connections that have not sent their connect command.
    pub(crate) half_open: AtomicUsize,
    pub(crate) ended: Ended,
    draining: AtomicBool,
    last_key: AtomicU64,
}

/// The parts that a builder chooses.
pub(crate) struct Parts {
    pub(crate) id: NodeId,
    pub(crate) config: NodeConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) engine: Engine,
    pub(crate) hooks: Arc<dyn DynHooks>,
    pub(crate) flushers: usize,
    pub(crate) interest: Option<Interest>,
    pub(crate) map_interest: Option<Interest>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) polled: Option<Arc<dyn DynBackend>>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { id, config, clock, engine, hooks, flushers, interest, map_interest, cluster, polled } =
            parts;
        let mut session_config = SessionConfig::new(id);
        session_config.version = Text::from(config.version.as_str());
        session_config.ping_interval = config.ping_interval;
        session_config.pong_timeout = config.pong_timeout;
        session_config.stale_close_delay = config.stale_close_delay;
        session_config.expired_close_delay = config.expired_close_delay;
        session_config.expired_sub_close_delay = config.expired_sub_close_delay;
        session_config.channel_limit = config.channel_limit;
        session_config.channel_max_length = config.channel_max_length;
        session_config.concurrency = config.concurrency;
        session_config.include_server_time = config.connect_include_server_time;
        session_config.unidirectional_disconnects.clone_from(&config.unidirectional_disconnects);
        let mut limits = Limits::with_max_command_bytes(config.message_size_limit);
        // Deeper than a filter may be, so that who asks for one that is too deep is told so (TF-02).
        limits.max_filter_depth = 60;
        Self {
            id,
            session_config: Arc::new(session_config),
            limits,
            started: clock.now().instant,
            checks: Checks::of(&engine),
            engine,
            hooks,
            hub: Hub::new(clock.clone()),
            clock,
            registry: Registry::new(),
            sessions: Sessions::default(),
            wheel: Wheel::new(),
            flushers: Flushers::new(flushers, config.write_delay),
            interest,
            map_interest,
            cluster,
            members: Lanes::new(),
            poller: Poller::new(polled),
            metrics: Metrics::measuring(config.measures).labelled(&config.metrics_client_labels),
            connections: TaskTracker::new(),
            stopped: CancellationToken::new(),
            half_open: AtomicUsize::new(0),
            ended: Ended::default(),
            draining: AtomicBool::new(false),
            last_key: AtomicU64::new(0),
            timeouts: Timeouts::new(&config),
            comfortable_queue: config.comfortable_queue(),
            config,
        }
    }

    /// A number that names a connection within the node.
    pub(crate) fn next_key(&self) -> u64 {
        self.last_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether new connections are turned away. `SeqCst`: a connection is registered before it asks, and the drain
    /// is set before the registered ones are listed, so that none slips between.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// The ping of a variant.
    pub(crate) fn ping(&self, variant: Variant) -> Message {
        Message::labelled(Frame::ServerPing.label(), encode_ping(variant.encoding, variant.envelope))
    }

    /// Attaches a connection to a channel, gate closed, and sees to it that the channel is delivered by where it comes
    /// from.
    pub(crate) async fn attach(
        &self,
        channel: &Channel,
        conn: &Arc<Conn>,
        place: &Place,
        (flow, source): (FlowRules, Source),
    ) -> Result<(), BrokerError> {
        if source == Source::Broker {
            self.engine.broker().check(channel)?;
        }
        let attached = self.hub.attach(channel, conn, place, (flow, source));
        let Some(interest) = self.interest_in(source) else { return Ok(()) };
        if attached == Attached::Undelivered {
            interest.ensure(channel.clone()).await?;
            self.hub.delivered(channel, source);
        }
        Ok(())
    }

    pub(crate) const fn interest_in(&self, source: Source) -> Option<&Interest> {
        match source {
            Source::Broker => self.interest.as_ref(),
            Source::Maps => self.map_interest.as_ref(),
        }
    }

    /// Detaches a connection from a channel.
    pub(crate) fn detach(&self, channel: &Channel, conn: &Conn) {
        let polled = self.poller.detach(self, channel, conn);
        if let (true, Some(interest)) = (polled.unused, &self.interest) {
            interest.release(channel.clone());
        }
        if polled.was_subscriber {
            return;
        }
        // Not as a polled one, or not any more. What the server subscribes to is a stream in these channels, too.
        let Some(sources) = self.hub.detach(channel, conn) else { return };
        for source in [Source::Broker, Source::Maps] {
            if sources.has(source)
                && let Some(interest) = self.interest_in(source)
            {
                interest.release(channel.clone());
            }
        }
    }

    /// Publishes, within the deadline for calls.
    pub(crate) async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        self.metrics.tell(Told::Publication);
        let publish = match self.engine.broker().publish_now(publish) {
            Attempt::Done(answer) => return answer.inspect(|published| self.note_suppressed(published)),
            Attempt::Later(publish) => publish,
        };
        let call = self.engine.broker().publish(publish);
        tokio::time::timeout(self.call_timeout(), call)
            .await
            .unwrap_or_else(|_| Err(BrokerError::unavailable("no answer to publish in time")))
            .inspect(|published| self.note_suppressed(published))
    }

    fn note_suppressed(&self, published: &Published) {
        match published.suppressed {
            None => {}
            Some(broker::Suppressed::Idempotency) => self.metrics.suppress(Suppressed::Idempotency),
            Some(broker::Suppressed::Version) => self.metrics.suppress(Suppressed::Version),
        }
    }
}

impl Shared {
    /// Does what brings a message to the subscribers of a channel, and measures it, if that is wanted.
    fn measured(&self, told: Told, published: i64, work: impl FnOnce()) {
        self.metrics.hear(told);
        let Some(measured) = self.metrics.measured() else { return work() };
        let begun = self.clock.now();
        measured.lag(published, begun.unix_millis);
        work();
        measured.broadcast(told, self.clock.instant() - begun.instant);
    }

    pub(crate) fn broadcast(&self, channel: &Channel, publication: &Arc<Publication>, base: Base<'_>) {
        let work = || {
            if !self.poller.published(self, channel, publication) {
                self.broadcast_now(channel, publication, base);
            }
        };
        self.measured(Told::Publication, publication.time, work);
    }

    fn broadcast_now(&self, channel: &Channel, publication: &Arc<Publication>, base: Base<'_>) {
        let late = self
            .config
            .channel_position_max_time_lag
            .is_some_and(|lag| tourbillon_recovery::is_late(publication, self.clock.now().unix_millis, lag));
        self.hub.broadcast(channel, publication, Manner { pass: self.flushers.pass(), late, base });
    }

    /// Waits for the application, but not for ever.
    pub(crate) async fn deadline<T>(
        &self,
        call: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        within(self.call_timeout(), pin!(call)).await.unwrap_or_else(|| {
            tracing::warn!("the application did not answer in time");
            Err(ReplyError::INTERNAL.into())
        })
    }
}

impl BrokerEvents for Shared {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        self.broadcast(channel, &publication, Base::None);
    }

    /// The hub knows better than the broker what its subscribers had before.
    fn delta_publication(
        &self,
        channel: &Channel,
        publication: Arc<Publication>,
        _: Option<Arc<Publication>>,
    ) {
        self.broadcast(channel, &publication, Base::Latest);
    }

    fn join(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.measured(Told::Join, 0, || self.hub.notify(channel, &PushEvent::Join(info)));
    }

    fn leave(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.measured(Told::Leave, 0, || self.hub.notify(channel, &PushEvent::Leave(info)));
    }

    fn position_lost(&self, channel: Option<&Channel>) {
        self.hub.lose_of(Source::Broker, channel);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}
