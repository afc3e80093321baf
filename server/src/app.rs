//! A whole server: from settings to something that runs.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tourbillon::grpc::{GrpcConfig, UniStreamService};
use tourbillon::http::{EmulationService, InitService, StreamService, TicketService};
use tourbillon::node::{BuildError, Hooks, Node, NodeDriver};
use tourbillon::proxy::{ProxyBackend, ProxyHooks};
use tourbillon::websocket::{UniWebSocketService, WebSocketService};
use tourbillon::webtransport::Http3;
use tourbillon_access::{
    Limits, LimitsConfig, LimitsError, Live, Namespaced, Namespaces, Patterns, Revoked, Tokens, TokensConfig,
};
use tourbillon_admin::{AdminService, NoRandomness};
use tourbillon_api::{ApiPages, ApiService, GrpcApi, HttpApi};
use tourbillon_config::{Backends, Networks};

use crate::acme::Acme;
use crate::admission::{Admission, Rules};
use crate::backends::BackendRules;
use crate::config::{AdminSettings, HttpTransports, Settings, ShutdownSettings};
use crate::consumers::{ConsumerError, Consumers};
use crate::debug::DebugPages;
use crate::dev::Dev;
use crate::engine::{self, EngineError};
use crate::explain::Explainer;
use crate::grpc::{self, GrpcPort, Idle};
use crate::health::Health;
use crate::listen::{Listeners, Port, QuicPort, Socket, Speaks, announced};
use crate::metrics::Scrape;
use crate::operators::{Admin, Operators};
use crate::ports::{Ports, TlsHandles};
use crate::revoke::Revoker;
use crate::router::{HttpRoutes, Router};
use crate::shared::{Shared, SharedError};
use tourbillon_tls::{Tls, TlsError};

/// `trusted`: whose word on a client's address counts.
fn http_routes(node: &Node, settings: HttpTransports, trusted: Networks) -> HttpRoutes {
    let HttpTransports { http_stream, sse, emulation, uni_http_stream, uni_sse, init, ticket } = settings;
    let node = || node.clone();
    let tickets = ticket.as_ref().map(|(_, tickets)| tickets.clone());
    let ticketed = |service: StreamService<Node>| match &tickets {
        Some(tickets) => service.with_tickets(tickets.clone()),
        None => service,
    };
    let streams = [
        http_stream.map(|(path, config)| (path, StreamService::http_stream(node(), config))),
        sse.map(|(path, config)| (path, ticketed(StreamService::sse(node(), config)))),
        uni_http_stream.map(|(path, config)| (path, StreamService::uni_http_stream(node(), config))),
        uni_sse.map(|(path, config)| (path, ticketed(StreamService::uni_sse(node(), config)))),
    ];
    HttpRoutes {
        streams: streams.into_iter().flatten().collect(),
        emulation: emulation.map(|(path, config)| (path, EmulationService::new(node(), config))),
        init: init.map(|(path, config)| (path, InitService::new(config))),
        ticket: ticket.map(|((path, config), tickets)| (path, TicketService::new(tickets, config), trusted)),
    }
}

/// What clients connect to by GRPC.
fn uni_grpc(
    node: Node,
    config: GrpcConfig,
    admission: Admission,
    tls: Option<Tls>,
) -> GrpcPort<UniStreamService<Node>> {
    let service = UniStreamService::new(node, config);
    GrpcPort { service, admission: Some(admission), tls, idle: Idle::CLIENTS }
}

/// What decides about clients, as far as it can be changed.
#[derive(Clone, Debug)]
struct Deciding {
    namespaces: Live<Namespaces>,
    tokens: Live<TokensConfig>,
    backends: Live<Backends>,
}

/// What of a running server can be changed.
#[derive(Clone, Debug)]
pub struct Reload {
    deciding: Deciding,
    connection_limit: Live<Option<usize>>,
    tls: TlsHandles,
    node: Node,
    dev: bool,
}

/// In the development mode, clients are told why they are refused.
fn rules(namespaces: Namespaces, dev: bool) -> Namespaces {
    if dev { namespaces.telling_reasons() } else { namespaces }
}

impl Reload {
    /// Puts the rules of channels, the keys of tokens, proxies and how long they are waited for, the limit of connections
    /// and the certificates of other settings into force. Which headers connections keep for proxies stays.
    /// Everything else stays (CONF-10). Key sets that were fetched are kept, as far as they come from the same
    /// addresses (KEY-09).
    pub fn apply(&self, settings: Settings) {
        self.tls.reload(&settings.ports);
        let Deciding { namespaces, tokens, backends } = &self.deciding;
        settings.tokens.take_over(&tokens.load());
        // No proxy is asked that may take longer than it is waited for.
        self.node.set_call_timeouts(settings.node.call_timeout, settings.node.shared_poll_call_timeout);
        backends.replace(settings.backends);
        namespaces.replace(rules(settings.namespaces, self.dev));
        tokens.replace(settings.tokens);
        self.connection_limit.replace(settings.connection_limit);
    }
}

impl Deciding {
    fn new(namespaces: Namespaces, tokens: TokensConfig, backends: Backends) -> Self {
        let (namespaces, tokens) = (Live::new(namespaces), Live::new(tokens));
        Self { namespaces, tokens, backends: Live::new(backends) }
    }

    /// Which backend is asked about what.
    fn backend_rules(&self) -> BackendRules {
        BackendRules {
            backends: self.backends.clone(),
            namespaces: self.namespaces.clone(),
            patterns: Patterns::default(),
        }
    }

    /// Who decides: what is too much first, which costs nothing else, then who is blocked, then tokens, the rules of
    /// channels, and backends.
    fn hooks(&self, shared: &Shared, limits: &LimitsConfig) -> Result<impl Hooks, LimitsError> {
        let Self { namespaces, tokens, backends } = self;
        let mut hooks = ProxyHooks::new(self.backend_rules());
        if let Some(method) = backends.with(|backends| backends.ping.clone()) {
            hooks = hooks.with_ping(method);
        }
        let hooks = Namespaced::new(namespaces.clone(), hooks);
        let hooks = Tokens::new(tokens.clone(), namespaces.clone(), hooks);
        let hooks = Revoked::new(shared.revocations.clone(), hooks);
        let hooks = Limits::new(limits, namespaces.clone(), hooks)?;
        match shared.limits() {
            Some((limits, buckets)) => hooks.with_shared(limits, buckets),
            None => Ok(hooks),
        }
    }
}

/// Why a server cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node refuses its settings.
    #[error(transparent)]
    Node(#[from] BuildError),
    /// The admin interface cannot be had.
    #[error("admin: {0}")]
    Admin(#[from] NoRandomness),
    /// A limit makes no sense.
    #[error("client.rate_limit.{0}")]
    Limits(#[from] LimitsError),
    /// Certificates cannot be loaded.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// HTTP/3 is not to be had.
    #[error("http_server.http3: {0}")]
    Http3(#[source] io::Error),
    /// Nothing can be listened to where an authority asks.
    #[error("http_server.tls_autocert.http_addr: listening on {address}: {source}")]
    Challenges {
        /// Where.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What is to be consumed is not there.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// What nodes share is not there.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// HTTP/3, which is with TLS or not at all.
fn quic(
    socket: UdpSocket,
    tls: Option<Tls>,
    http3: Http3<Node>,
    router: Arc<Router>,
) -> Result<QuicPort, StartError> {
    let tls = tls.ok_or_else(|| StartError::Http3(io::Error::other("needs TLS for clients")))?;
    QuicPort::new(socket, tls, http3, router).map_err(StartError::Http3)
}

/// The port where an authority asks, if it asks over HTTP.
fn challenges(speaks: &Ports) -> Result<Option<Port>, StartError> {
    let (Some(address), Some(acme)) = (speaks.challenges, &speaks.acme) else { return Ok(None) };
    let socket = Socket::bind(address).map_err(|source| StartError::Challenges { address, source })?;
    let router = Router { acme: Some(Arc::clone(acme.certificates())), ..Router::default() };
    Ok(Some(Port { socket, router: Arc::new(router), speaks: Speaks::default() }))
}

/// The admin page and its API, and whether clients' port has them too.
fn admin(
    node: &Node,
    service: ApiService,
    settings: AdminSettings,
    trusted: Networks,
) -> Result<(Admin, bool), StartError> {
    let service = AdminService::new(service, settings.config, &node.config().version)?;
    Ok((Admin { service, trusted }, settings.external))
}

/// What the server API can do here.
fn api(node: &Node, deciding: &Deciding, shared: &Shared) -> ApiService {
    let Deciding { namespaces, tokens, .. } = deciding.clone();
    let explainer = Arc::new(Explainer { namespaces, tokens });
    let revoker = Arc::new(Revoker::new(node.clone(), shared.revocations.clone()));
    ApiService::new(node.clone()).with_explanations(explainer).with_revocations(revoker)
}

/// The pages about the API at this prefix.
fn pages(prefix: &str, api: &str, node: &Node) -> ApiPages {
    ApiPages::new(prefix, api, &node.config().version)
}

/// A server that is built and does not run yet.
#[derive(Debug)]
pub struct App {
    node: Node,
    driver: NodeDriver,
    ports: Vec<Port>,
    uni_grpc: Option<(TcpListener, GrpcPort<UniStreamService<Node>>)>,
    grpc_api: Option<(TcpListener, GrpcPort<GrpcApi>)>,
    quic: Option<QuicPort>,
    reload: Reload,
    shared: Shared,
    consumers: Consumers,
    api: ApiService,
    acme: Option<Acme>,
    health: Option<Health>,
    shutdown: ShutdownSettings,
}

impl App {
    /// Puts a server together, and connects to what it needs. Nothing is served yet. Blocks while it reads streams that
    /// were kept.
    ///
    /// # Errors
    ///
    /// Settings that the node or the limits refuse, certificates that cannot be loaded, a file of streams that cannot
    /// be used, or a Redis or a database that is not there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind but connections, which end with the runtime.
    pub async fn build(
        settings: Settings,
        listeners: Listeners,
        dev: Option<Dev>,
    ) -> Result<Self, StartError> {
        let is_dev = dev.is_some();
        let speaks = Ports::new(&settings.ports)?;
        let asked = challenges(&speaks)?;
        let namespaces = rules(settings.namespaces, is_dev);
        let deciding = Deciding::new(namespaces, settings.tokens, settings.backends);
        // Futures of what connects are large, and each is of use once.
        let shared = Shared::connect(settings.revocations, settings.database, settings.shared_limits);
        let shared = Box::pin(shared).await?;
        let hooks = deciding.hooks(&shared, &settings.limits)?;
        let (engine, counts) = Box::pin(engine::connect(settings.engine)).await?;
        let polled = ProxyBackend::new(deciding.backend_rules());
        let builder = Node::builder(engine).hooks(hooks).shared_poll(polled).config(settings.node);
        let (node, driver) = builder.build()?;
        let reload = Reload {
            deciding,
            connection_limit: Live::new(settings.connection_limit),
            tls: speaks.tls,
            node: node.clone(),
            dev: is_dev,
        };
        let admission = Admission::new(
            node.clone(),
            Rules {
                limit: reload.connection_limit.clone(),
                rate: settings.connection_rate_limit,
                addresses: settings.ip_limits,
                half_open: settings.half_open_limit,
            },
        );
        let grpc_admission = admission.clone();
        let tickets = settings.http.ticket.as_ref().map(|(_, tickets)| tickets.clone());
        let http = http_routes(&node, settings.http, settings.trusted_proxies.clone());
        let websocket =
            settings.websocket.map(|(path, config)| (path, WebSocketService::new(node.clone(), config)));
        let uni_websocket = settings
            .uni_websocket
            .map(|(path, config)| (path, UniWebSocketService::new(node.clone(), config)));
        let consumers = Box::pin(Consumers::connect(settings.consumers)).await?;
        let (backends, watch) = (reload.deciding.backends.clone(), consumers.watch());
        let prometheus = settings.prometheus;
        let prometheus =
            prometheus.map(|it| Scrape::new(it, node.clone(), backends, (counts, watch.clone())));
        let service = Scrape::watch(prometheus.as_ref(), api(&node, &reload.deciding, &shared));
        let consumed = service.clone();
        let trusted = settings.trusted_proxies;
        let admin = settings.admin.map(|it| admin(&node, service.clone(), it, trusted)).transpose()?;
        let api = settings.api.map(|config| (config.prefix.clone(), HttpApi::new(service.clone(), config)));
        let grpc_api = listeners.grpc_api.zip(settings.grpc_api).map(|(listener, (_, config))| {
            let (service, tls) = (GrpcApi::new(service, config), speaks.grpc_api.clone());
            (listener, GrpcPort { service, admission: None, tls, idle: Idle::BACKENDS })
        });
        let mut external = Router {
            websocket,
            uni_websocket,
            tickets,
            http: Some(http),
            dev,
            admission: Some(admission),
            ..Router::default()
        };
        let uni_grpc = listeners.uni_grpc.zip(settings.uni_grpc).map(|(listener, (_, config))| {
            (listener, uni_grpc(node.clone(), config, grpc_admission, speaks.uni_grpc.clone()))
        });
        let swagger = settings.swagger.as_ref().map(|prefix| pages(prefix, &settings.api_prefix, &node));
        let api_external = settings.api_external;
        let health = settings.health.map(|prefix| Health::new(prefix, watch));
        let debug = settings.debug.map(DebugPages::new);
        let operators =
            Operators { api, api_external, health: health.clone(), swagger, prometheus, debug, admin };
        let internal = operators.settle(&mut external, listeners.internal.is_some());
        let mut ports = Vec::new();
        if let Some((socket, router)) = listeners.internal.zip(internal) {
            ports.push(Port { socket, router: Arc::new(router), speaks: speaks.internal });
        }
        external.alt_svc = listeners.http3.as_ref().map(announced).transpose().map_err(StartError::Http3)?;
        let router = Arc::new(external);
        let quic = listeners.http3.map(|socket| {
            let http3 = Http3::new(node.clone(), settings.webtransport);
            quic(socket, speaks.external.tls.clone(), http3, Arc::clone(&router))
        });
        let quic = quic.transpose()?;
        ports.push(Port { socket: listeners.external, router, speaks: speaks.external });
        ports.extend(asked);
        Ok(Self {
            node,
            driver,
            ports,
            uni_grpc,
            grpc_api,
            quic,
            reload,
            shared,
            consumers,
            api: consumed,
            acme: speaks.acme,
            health,
            shutdown: settings.shutdown,
        })
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The handle by which settings can be changed while the server runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until `stop` is cancelled. Then it is not ready any more, and goes on for `shutdown.ready_delay`; turns
    /// clients away and tells those that there are 3001, over `shutdown.drain_window`; stops listening, stops consumers when
    /// they are gone, and returns, or after `shutdown.timeout`. `false`: it took too long. `hurry` ends the first two of
    /// these waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections end with the runtime.
    pub async fn run(self, stop: CancellationToken, hurry: CancellationToken) -> bool {
        let mut tasks = JoinSet::new();
        let (asked, stop) = (stop, CancellationToken::new());
        if let Some(health) = &self.health {
            tasks.spawn(health.clone().watch(self.node.clone(), stop.clone()));
        }
        tasks.spawn(self.driver);
        tasks.spawn(self.shared.run(self.node.clone(), stop.clone()));
        for tls in self.reload.tls.each() {
            tasks.spawn(tls.clone().watch(stop.clone()));
        }
        if let Some(acme) = self.acme {
            tasks.spawn(acme.run(stop.clone()));
        }
        // What comes from queues is carried out while clients are there (CONS-07).
        let stop_consumers = CancellationToken::new();
        let mut consumers = self.consumers.start(&self.api, &stop_consumers);
        for port in self.ports {
            tasks.spawn(port.serve(stop.clone()));
        }
        if let Some(quic) = self.quic {
            tasks.spawn(quic.serve(stop.clone()));
        }
        if let Some((listener, port)) = self.uni_grpc {
            tasks.spawn(grpc::serve(listener, port, stop.clone()));
        }
        if let Some((listener, port)) = self.grpc_api {
            tasks.spawn(grpc::serve(listener, port, stop.clone()));
        }
        asked.cancelled().await;
        if let Some(health) = &self.health {
            health.leave();
        }
        let ShutdownSettings { ready_delay, drain_window, timeout, .. } = self.shutdown;
        let leaving = async {
            tokio::time::sleep(ready_delay).await;
            self.node.leave(drain_window).await;
        };
        hurry.run_until_cancelled(leaving).await;
        stop.cancel();
        let ended = async {
            self.node.drain().await;
            stop_consumers.cancel();
            while consumers.join_next().await.is_some() {}
            self.node.shutdown().await;
            while tasks.join_next().await.is_some() {}
        };
        tokio::time::timeout(timeout, ended).await.is_ok()
    }
}
