//! A whole server: from settings to something that runs.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tourbillon::grpc::UniStreamService;
use tourbillon::http::{EmulationService, InitService, StreamService, TicketService};
use tourbillon::memory::{MemoryEngine, OpenError, Persistence};
use tourbillon::node::{BuildError, Node, NodeDriver};
use tourbillon::types::SystemClock;
use tourbillon::websocket::{UniWebSocketService, WebSocketService};
use tourbillon_access::{
    DenyAll, Limits, LimitsError, Live, MemoryRevocations, Namespaced, Namespaces, Revocations, Revoked,
    Tokens, TokensConfig,
};
use tourbillon_api::{ApiService, HttpApi};

use crate::admission::{Admission, Rules};
use crate::config::{HttpTransports, ListenerConfig, Settings};
use crate::dev::Dev;
use crate::explain::Explainer;
use crate::grpc::{self, GrpcPort};
use crate::http::serve;
use crate::revoke::Revoker;
use crate::router::{HttpRoutes, Router};

/// Sockets that are bound and not yet served. Tests bring their own.
#[derive(Debug)]
pub struct Listeners {
    external: TcpListener,
    internal: Option<TcpListener>,
    uni_grpc: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the settings say.
    ///
    /// # Errors
    ///
    /// The address that cannot be bound, named in the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub async fn bind(config: ListenerConfig) -> io::Result<Self> {
        let external = bind(config.external).await?;
        let internal = match config.internal {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { external, internal, uni_grpc: None })
    }

    /// Binds the port of the unidirectional GRPC stream, too. Without it the stream is not there.
    ///
    /// # Errors
    ///
    /// The address that cannot be bound, named in the message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub async fn with_uni_grpc(self, address: SocketAddr) -> io::Result<Self> {
        Ok(Self { uni_grpc: Some(bind(address).await?), ..self })
    }

    /// Where the unidirectional GRPC stream is, if it is.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn uni_grpc_address(&self) -> io::Result<Option<SocketAddr>> {
        self.uni_grpc.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Where clients connect to.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn external_address(&self) -> io::Result<SocketAddr> {
        self.external.local_addr()
    }

    /// Where API and health are, if elsewhere.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn internal_address(&self) -> io::Result<Option<SocketAddr>> {
        self.internal.as_ref().map(TcpListener::local_addr).transpose()
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        // A system without IPv6 has no address for both.
        Err(error)
            if address.is_ipv6()
                && address.ip().is_unspecified()
                && !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| io::Error::new(error.kind(), format!("listening on {address}: {error}")))
}

fn http_routes(node: &Node, settings: HttpTransports) -> HttpRoutes {
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
        ticket: ticket.map(|((path, config), tickets)| (path, TicketService::new(tickets, config))),
    }
}

/// What of a running server can be changed.
#[derive(Clone, Debug)]
pub struct Reload {
    namespaces: Live<Namespaces>,
    tokens: Live<TokensConfig>,
    connection_limit: Live<Option<usize>>,
    dev: bool,
}

/// In the development mode, clients are told why they are refused.
fn rules(namespaces: Namespaces, dev: bool) -> Namespaces {
    if dev { namespaces.telling_reasons() } else { namespaces }
}

impl Reload {
    /// Puts the rules of channels, the keys of tokens and the limit of connections of other settings into force.
    /// Everything else stays (CONF-10). Key sets that were fetched are kept, as far as they come from the same
    /// addresses (KEY-09).
    pub fn apply(&self, settings: Settings) {
        settings.tokens.take_over(&self.tokens.load());
        self.namespaces.replace(rules(settings.namespaces, self.dev));
        self.tokens.replace(settings.tokens);
        self.connection_limit.replace(settings.connection_limit);
    }
}

/// Why a server cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node refuses its settings.
    #[error(transparent)]
    Node(#[from] BuildError),
    /// A limit makes no sense.
    #[error("client.rate_limit.{0}")]
    Limits(#[from] LimitsError),
    /// The file of streams cannot be used.
    #[error("broker.memory.persistence.path: {}: {}", path.display(), chain(source))]
    Streams {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenError,
    },
}

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The embedded engine, with what is in its file, if it has one.
fn engine(persistence: Option<Persistence>) -> Result<MemoryEngine, StartError> {
    let Some(persistence) = persistence else { return Ok(MemoryEngine::default()) };
    MemoryEngine::open(Arc::new(SystemClock::new()), &persistence)
        .map_err(|source| StartError::Streams { path: persistence.path, source })
}

/// A server that is built and does not run yet.
#[derive(Debug)]
pub struct App {
    node: Node,
    driver: NodeDriver,
    ports: Vec<(TcpListener, Router)>,
    uni_grpc: Option<(TcpListener, GrpcPort)>,
    reload: Reload,
    shutdown_timeout: Duration,
}

impl App {
    /// Puts a server together. Nothing runs yet. Blocks while it reads streams that were kept.
    ///
    /// # Errors
    ///
    /// Settings that the node or the limits refuse, or a file of streams that cannot be used.
    pub fn build(settings: Settings, listeners: Listeners, dev: Option<Dev>) -> Result<Self, StartError> {
        let is_dev = dev.is_some();
        let namespaces = Live::new(rules(settings.namespaces, is_dev));
        let tokens = Live::new(settings.tokens);
        let connection_limit = Live::new(settings.connection_limit);
        let revocations: Arc<dyn Revocations> = Arc::new(MemoryRevocations::default());
        let hooks =
            Tokens::new(tokens.clone(), namespaces.clone(), Namespaced::new(namespaces.clone(), DenyAll));
        let hooks = Revoked::new(revocations.clone(), hooks);
        // Outermost: what is too much costs nothing else.
        let hooks = Limits::new(&settings.limits, namespaces.clone(), hooks)?;
        let engine = engine(settings.persistence)?;
        let (node, driver) = Node::builder(engine).hooks(hooks).config(settings.node).build()?;
        let admission = Admission::new(
            node.clone(),
            Rules {
                limit: connection_limit.clone(),
                rate: settings.connection_rate_limit,
                addresses: settings.ip_limits,
                half_open: settings.half_open_limit,
            },
        );
        let grpc_admission = admission.clone();
        let http = http_routes(&node, settings.http);
        let websocket =
            settings.websocket.map(|(path, config)| (path, WebSocketService::new(node.clone(), config)));
        let uni_websocket = settings
            .uni_websocket
            .map(|(path, config)| (path, UniWebSocketService::new(node.clone(), config)));
        let explainer = Arc::new(Explainer { namespaces: namespaces.clone(), tokens: tokens.clone() });
        let api = settings.api.map(|config| {
            let path = config.prefix.clone();
            let revoker = Arc::new(Revoker::new(node.clone(), revocations));
            let service =
                ApiService::new(node.clone()).with_explanations(explainer).with_revocations(revoker);
            (path, HttpApi::new(service, config))
        });
        let mut external = Router {
            websocket,
            uni_websocket,
            http: Some(http),
            dev,
            admission: Some(admission),
            ..Router::default()
        };
        let uni_grpc = listeners.uni_grpc.zip(settings.uni_grpc).map(|(listener, (_, config))| {
            let service = UniStreamService::new(node.clone(), config);
            (listener, GrpcPort { service, admission: grpc_admission })
        });
        let mut ports = Vec::new();
        if let Some(listener) = listeners.internal {
            external.api = api.clone().filter(|_| settings.api_external);
            ports.push((listener, Router { api, health: settings.health, ..Router::default() }));
        } else {
            external.api = api;
            external.health = settings.health;
        }
        ports.push((listeners.external, external));
        Ok(Self {
            node,
            driver,
            ports,
            uni_grpc,
            reload: Reload { namespaces, tokens, connection_limit, dev: is_dev },
            shutdown_timeout: settings.shutdown_timeout,
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

    /// Serves until `stop` is cancelled; then stops accepting, tells every client 3001 and returns when they are
    /// gone, or after the shutdown timeout. `false`: it took too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections end with the runtime.
    pub async fn run(self, stop: CancellationToken) -> bool {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.driver);
        for (listener, router) in self.ports {
            tasks.spawn(serve(listener, router, stop.clone()));
        }
        if let Some((listener, port)) = self.uni_grpc {
            tasks.spawn(grpc::serve(listener, port, stop.clone()));
        }
        stop.cancelled().await;
        let ended = async {
            self.node.shutdown().await;
            while tasks.join_next().await.is_some() {}
        };
        tokio::time::timeout(self.shutdown_timeout, ended).await.is_ok()
    }
}
