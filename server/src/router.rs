//! Which path leads where. Paths match exactly; there are few.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, ALT_SVC, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tourbillon::http::{
    EmulationService, HttpBody, InitService, OfferSocket, StreamService, TicketHolder, TicketService, Tickets,
};
use tourbillon::node::Node;
use tourbillon::transport::Held;
use tourbillon::websocket::{GivenConnect, TcpUpgrade, UniWebSocketService, WebSocketService};
use tourbillon_api::{ApiPages, HttpApi};
use tourbillon_config::Networks;
use tower_service::Service;

use crate::acme::Certificates;
use crate::admission::{self, Admission, Opening, Permit, Refused};
use crate::body::{Outgoing, Received, Timely};
use crate::debug::DebugPages;
use crate::dev::Dev;
use crate::health::{Health, Question};
use crate::listen::{Begun, Pace, Streams};
use crate::metrics::{HttpRequests, Scrape};
use crate::operators::Admin;

pub(crate) type Answer = Response<Full<Bytes>>;

/// The endpoints of one port.
#[derive(Debug, Default)]
pub(crate) struct Router {
    pub(crate) websocket: Option<(String, WebSocketService<Node>)>,
    pub(crate) uni_websocket: Option<(String, UniWebSocketService<Node>)>,
    /// What `ticket` in the query of that stands for.
    pub(crate) tickets: Option<Tickets>,
    pub(crate) http: Option<HttpRoutes>,
    pub(crate) api: Option<(String, HttpApi)>,
    pub(crate) health: Option<Health>,
    pub(crate) prometheus: Option<Scrape>,
    /// Where requests are counted; `None` where they are not.
    pub(crate) requests: Option<Arc<HttpRequests>>,
    pub(crate) debug: Option<DebugPages>,
    pub(crate) swagger: Option<ApiPages>,
    pub(crate) dev: Option<Dev>,
    pub(crate) admin: Option<Admin>,
    /// Who may connect; `None` for ports without endpoints for clients.
    pub(crate) admission: Option<Admission>,
    /// All that is there where an authority asks.
    pub(crate) acme: Option<Arc<Certificates>>,
    /// What answers over TCP say of HTTP/3.
    pub(crate) alt_svc: Option<HeaderValue>,
}

/// The endpoints of connections over plain HTTP.
#[derive(Debug)]
pub(crate) struct HttpRoutes {
    pub(crate) streams: Vec<(String, StreamService<Node>)>,
    pub(crate) emulation: Option<(String, EmulationService<Node>)>,
    pub(crate) init: Option<(String, InitService)>,
    /// And whose word on a client's address counts.
    pub(crate) ticket: Option<(String, TicketService, Networks)>,
}

/// What can be asked for without the HTTP library.
#[derive(Debug)]
pub(crate) enum Quick<'a> {
    Api(&'a HttpApi),
    WebSocket,
}

/// What was asked for, as the log tells it: without the query, which may hold a key (OBS-08).
#[derive(Debug)]
pub(crate) struct Asked(Method, String);

impl Asked {
    /// `None` where nobody wants to know.
    pub(crate) fn new(router: &Router, method: &Method, path: &str) -> Option<Self> {
        let wanted = router.requests.is_some() || tracing::enabled!(tracing::Level::DEBUG);
        wanted.then(|| Self(method.clone(), path.to_owned()))
    }

    /// Tells of it, with its answer.
    pub(crate) fn log(asked: Option<Self>, router: &Router, peer: Option<SocketAddr>, status: StatusCode) {
        let Some(Self(method, path)) = asked else { return };
        if let Some(requests) = &router.requests {
            requests.count(router.endpoint(&path), &method, status);
        }
        let peer = peer.map(tracing::field::display);
        tracing::debug!(peer, %method, %path, status = status.as_u16(), "HTTP request");
    }
}

/// One of them.
enum HttpRoute<'a> {
    Stream(&'a StreamService<Node>),
    Emulation(&'a EmulationService<Node>),
    Init(&'a InitService),
    Ticket(&'a TicketService, &'a Networks),
}

impl HttpRoutes {
    fn route(&self, path: &str) -> Option<HttpRoute<'_>> {
        if let Some((_, stream)) = self.streams.iter().find(|(at, _)| at == path) {
            return Some(HttpRoute::Stream(stream));
        }
        if let Some((at, ticket, trusted)) = &self.ticket
            && at == path
        {
            return Some(HttpRoute::Ticket(ticket, trusted));
        }
        match (&self.emulation, &self.init) {
            (Some((at, emulation)), _) if at == path => Some(HttpRoute::Emulation(emulation)),
            (_, Some((at, init))) if at == path => Some(HttpRoute::Init(init)),
            _ => None,
        }
    }
}

impl HttpRoute<'_> {
    /// Whether a request begins a connection, or prepares for it: not if it is what a browser asks before.
    fn begins(&self, method: &Method) -> bool {
        !matches!(self, HttpRoute::Emulation(_) | HttpRoute::Ticket(..)) && method != Method::OPTIONS
    }

    async fn answer(self, request: Request<Received>) -> Response<HttpBody> {
        let answer = match self {
            Self::Stream(service) => service.clone().call(request).await,
            Self::Emulation(service) => service.clone().call(request).await,
            Self::Init(service) => service.clone().call(request).await,
            Self::Ticket(service, _) => service.clone().call(request).await,
        };
        match answer {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}

impl Router {
    /// Whether one more connection may stand. `Some(None)`: nobody counts.
    pub(crate) fn open(&self, peer: Option<SocketAddr>) -> Option<Option<Opening>> {
        let open = |admission: &Admission| admission.open(Some(counted(peer))).map(Some);
        self.admission.as_ref().map_or(Some(None), open)
    }

    /// The same for one that counts for no address: it is not known whose it is, or counted already.
    pub(crate) fn open_for_nobody(&self) -> Option<Option<Opening>> {
        let open = |admission: &Admission| admission.open(None).map(Some);
        self.admission.as_ref().map_or(Some(None), open)
    }

    /// How many connections stand that have not asked for anything.
    pub(crate) fn opening(&self) -> usize {
        self.admission.as_ref().map_or(0, Admission::opening)
    }

    /// The place of a connection that a request with these headers begins. `None`: nobody counts.
    pub(crate) fn permit(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<Permit>, Refused> {
        self.admission.as_ref().map(|admission| admission.admit(counted(peer), headers)).transpose()
    }

    /// Gives a request that begins a connection its place, which lasts as long as the connection, and the peer's
    /// address.
    fn admit(&self, peer: Option<SocketAddr>, request: &mut Request<Received>) -> Result<(), Refused> {
        if let Some(permit) = self.permit(peer, request.headers())? {
            request.extensions_mut().insert(Held::new(permit));
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        Ok(())
    }

    /// Whether this is a path of WebSockets.
    fn upgrades_at(&self, path: &str) -> bool {
        self.websocket.as_ref().is_some_and(|(at, _)| at == path)
            || self.uni_websocket.as_ref().is_some_and(|(at, _)| at == path)
    }

    /// Answers a request.
    pub(crate) async fn told(
        &self,
        request: Request<Received>,
        peer: Option<SocketAddr>,
        pace: &Pace,
    ) -> Response<Outgoing> {
        let asked = Asked::new(self, request.method(), request.uri().path());
        let answer = self.answer(request, peer, pace).await;
        Asked::log(asked, self, peer, answer.status());
        answer
    }

    /// What is at a path, of what can be asked for without the HTTP library.
    pub(crate) fn quick(&self, path: &str) -> Option<Quick<'_>> {
        // In the order of an answer to any request.
        if self.acme.is_some() || self.http.as_ref().is_some_and(|http| http.route(path).is_some()) {
            return None;
        }
        if self.websocket.as_ref().is_some_and(|(at, _)| at == path) {
            return Some(Quick::WebSocket);
        }
        if self.uni_websocket.as_ref().is_some_and(|(at, _)| at == path)
            || self.asks_health(path).is_some()
            || self.prometheus.as_ref().is_some_and(|scrape| scrape.is_at(path))
        {
            return None;
        }
        self.api.as_ref().filter(|(at, _)| is_below(at, path)).map(|(_, api)| Quick::Api(api))
    }

    /// The endpoint that a path belongs to, under a name that nobody can make up.
    fn endpoint<'a>(&'a self, path: &'a str) -> &'a str {
        let http = self.http.as_ref().is_some_and(|http| http.route(path).is_some());
        let health = self.asks_health(path).is_some();
        let prometheus = self.prometheus.as_ref().is_some_and(|scrape| scrape.is_at(path));
        if self.upgrades_at(path) || http || health || prometheus {
            return path;
        }
        match &self.api {
            Some((at, api)) if is_below(at, path) => {
                if api.has(path) {
                    path
                } else {
                    at
                }
            }
            _ => "other",
        }
    }

    /// Who answers to a path that asks how the server is, and to what.
    fn asks_health(&self, path: &str) -> Option<(&Health, Question)> {
        self.health.as_ref().and_then(|health| health.question(path).map(|question| (health, question)))
    }

    /// The API of this port.
    pub(crate) fn api(&self) -> Option<&HttpApi> {
        self.api.as_ref().map(|(_, api)| api)
    }

    /// Agrees upon a handshake for the WebSockets of this port, over plain TCP and without the HTTP library. An error is
    /// the answer that refuses it.
    pub(crate) fn handshake(
        &self,
        peer: Option<SocketAddr>,
        request: Request<()>,
    ) -> Result<Box<TcpUpgrade<Node>>, Box<Answer>> {
        let Some((_, service)) = &self.websocket else { return Err(Box::new(nothing())) };
        let permit = self.permit(peer, request.headers()).map_err(|refused| Box::new(too_many(refused)))?;
        service.upgrade_tcp(request, peer, permit.map(Held::new)).map(Box::new)
    }

    async fn answer(
        &self,
        mut request: Request<Received>,
        peer: Option<SocketAddr>,
        pace: &Pace,
    ) -> Response<Outgoing> {
        if let Some(http) = &self.http
            && let Some(route) = http.route(request.uri().path())
        {
            if route.begins(request.method())
                && let Err(refused) = self.admit(peer, &mut request)
            {
                return too_many(refused).map(Outgoing::from);
            }
            if let HttpRoute::Ticket(_, trusted) = &route {
                let holder = admission::counted(trusted, counted(peer).ip(), request.headers());
                request.extensions_mut().insert(TicketHolder(holder));
            }
            if pace.lends() {
                request.extensions_mut().insert(OfferSocket);
            }
            let mut answer = route.answer(request).await;
            if answer.body().is_pending_stream() {
                // There is no HTTP behind the stream.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return answer.map(|body| Outgoing::new(body, pace.clone()));
        }
        self.short_answer(request, peer, pace).await.map(Outgoing::from)
    }

    async fn short_answer(
        &self,
        mut request: Request<Received>,
        peer: Option<SocketAddr>,
        pace: &Pace,
    ) -> Answer {
        if let Some(acme) = &self.acme {
            return acme.answer(&request);
        }
        if request.version() == Version::HTTP_3 && self.upgrades_at(request.uri().path()) {
            let text = "WebSocket is spoken over HTTP/1.1 and HTTP/2\n";
            return reply(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", text);
        }
        if let Some((at, service)) = &self.websocket
            && request.uri().path() == at
        {
            if let Err(refused) = self.admit(peer, &mut request) {
                return too_many(refused);
            }
            let (answer, after) = service.upgrade(request.map(drop));
            return following(answer, after, pace);
        }
        if let Some((at, service)) = &self.uni_websocket
            && request.uri().path() == at
        {
            if let Err(refused) = self.admit(peer, &mut request) {
                return too_many(refused);
            }
            // Used with the handshake, whatever becomes of that.
            let query = request.uri().query();
            match self.tickets.as_ref().and_then(|tickets| tickets.in_query(query)) {
                Some(Ok(connect)) => drop(request.extensions_mut().insert(GivenConnect(connect))),
                Some(Err(error)) => {
                    let text = format!("{error}\n");
                    return reply(StatusCode::FORBIDDEN, "text/plain; charset=utf-8", text);
                }
                None => {}
            }
            let (answer, after) = service.upgrade(request.map(drop));
            return following(answer, after, pace);
        }
        let path = request.uri().path();
        if let Some((health, question)) = self.asks_health(path) {
            return health.answer(question);
        }
        if let Some(scrape) = &self.prometheus
            && scrape.is_at(path)
        {
            return scrape.answer(&request).await;
        }
        if let Some((at, api)) = &self.api
            && is_below(at, path)
        {
            return api.answer(request.map(Timely::new)).await;
        }
        if let Some(swagger) = &self.swagger
            && let Some(answer) = swagger.answer(&request)
        {
            return answer;
        }
        if let Some(debug) = &self.debug
            && let Some(page) = debug.page(path)
        {
            return debug.answer(page, &request).await;
        }
        if let Some(dev) = &self.dev
            && let Some(answer) = dev.answer(&request, peer)
        {
            return answer;
        }
        // Last: without a prefix, its page is at the root.
        if let Some(admin) = self.admin.as_ref().filter(|admin| admin.service.owns(path)) {
            return admin.answer(request, peer).await;
        }
        nothing()
    }
}

fn nothing() -> Answer {
    reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "nothing is here\n")
}

/// Whether a path begins with this one.
fn is_below(at: &str, path: &str) -> bool {
    path.strip_prefix(at).is_some_and(|rest| at == "/" || rest.starts_with('/'))
}

/// The address that a connection counts for. Who comes by a Unix socket comes from this machine.
pub(crate) fn counted(peer: Option<SocketAddr>) -> SocketAddr {
    peer.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// The answer to a handshake, with what becomes of the connection.
fn following(
    answer: Answer,
    after: Option<impl Future<Output = ()> + Send + 'static>,
    pace: &Pace,
) -> Answer {
    if let Some(after) = after {
        pace.set_after(after);
    }
    answer
}

fn too_many(refused: Refused) -> Answer {
    let mut answer = reply(refused.status(), "text/plain; charset=utf-8", refused.text());
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// The answer to a request for a page that is asked for with another method than GET and HEAD.
pub(crate) fn get_only(method: &Method) -> Option<Answer> {
    if [Method::GET, Method::HEAD].contains(method) {
        return None;
    }
    let mut answer = reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "GET only\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(answer)
}

pub(crate) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The router for the requests of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    router: Arc<Router>,
    pub(crate) peer: Option<SocketAddr>,
    /// That of the one request at a time of HTTP/1.1.
    pub(crate) pace: Pace,
    /// The requests of HTTP/2.
    pub(crate) streams: Option<Streams>,
}

impl Routed {
    /// Requests of HTTP/1.1 that come from `peer`, which has no address at a Unix socket. The connection holds a place
    /// until its first request.
    pub(crate) fn new(router: Arc<Router>, peer: Option<SocketAddr>, opening: Option<Opening>) -> Self {
        Self { router, peer, pace: Pace::new(opening), streams: None }
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }
}

impl hyper::service::Service<Request<Incoming>> for Routed {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { router, peer, mut pace, streams } = self.clone();
        // The place of the connection is free, whatever becomes of the request.
        pace.asked();
        let begun = streams.map(|streams| {
            let (own, begun) = streams.begin();
            pace = own;
            begun
        });
        let broken = begun.as_ref().map(Begun::broken);
        let request = request.map(|body| Received::new(body, broken));
        Box::pin(async move {
            let mut answer = router.told(request, peer, &pace).await;
            if let Some(alt_svc) = &router.alt_svc
                && answer.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                answer.headers_mut().insert(ALT_SVC, alt_svc.clone());
            }
            pace.answered();
            if let Some(begun) = begun {
                begun.answered();
            }
            Ok(answer)
        })
    }
}
