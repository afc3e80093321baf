//! HTTP/3: QUIC connections, with the requests and the sessions of WebTransport on them (HTTP-03, WT-01..04).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tourbillon::node::Node;
use tourbillon::transport::Held;
use tourbillon::webtransport::quinn::{Endpoint, ServerConfig, VarInt};
use tourbillon::webtransport::{Admitted, Http3, RequestBody, ServeError, alt_svc, endpoint, server_config};
use tower_service::Service;

use super::pace::Pace;
use super::port::canonical;
use crate::admission::{Opening, Refused};
use crate::body::{Outgoing, Received};
use crate::router::Router;
use tourbillon_tls::{Tls, rustls};

/// How many connections may have asked for nothing before whoever comes must show that its address is its own, which
/// costs it a round trip: the places of others are not for whoever writes their addresses on its packets.
const UNPROVEN: usize = 64;

/// Time within which peers must have heard that the server is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// That a connection ends in order (RFC 9114 section 8.1).
const NO_ERROR: VarInt = VarInt::from_u32(0x100);

/// A UDP port and what it leads to.
#[derive(Debug)]
pub(crate) struct QuicPort {
    endpoint: Endpoint,
    tls: Tls,
    /// What new connections begin with, and what it was made of.
    config: Arc<ServerConfig>,
    current: Arc<rustls::ServerConfig>,
    http3: Http3<Node>,
    router: Arc<Router>,
}

/// How answers over TCP tell of HTTP/3 at this socket.
pub(crate) fn announced(socket: &UdpSocket) -> io::Result<HeaderValue> {
    socket.local_addr().map(|address| alt_svc(address.port()))
}

impl QuicPort {
    /// Nothing is served yet. Fails where TLS does not do for QUIC, or the system refuses what is asked of the socket.
    pub(crate) fn new(
        socket: UdpSocket,
        tls: Tls,
        http3: Http3<Node>,
        router: Arc<Router>,
    ) -> io::Result<Self> {
        let current = tls.current();
        let endpoint = endpoint(socket, &current)?;
        let config = Arc::new(server_config(&current)?);
        Ok(Self { endpoint, tls, config, current, http3, router })
    }

    /// Serves until `stop` is cancelled, and then what is under way.
    pub(crate) async fn serve(mut self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                () = stop.cancelled() => break,
            };
            let Some(incoming) = incoming else { break };
            self.follow_tls();
            if !incoming.remote_address_validated() && self.router.opening() >= UNPROVEN {
                // It fails for those whose address is known, who do not come here.
                let _ = incoming.retry();
                continue;
            }
            let peer = canonical(incoming.remote_address());
            // Anybody can write the address of somebody else on a packet, which takes none of its places.
            let opening = if incoming.remote_address_validated() {
                self.router.open(Some(peer))
            } else {
                self.router.open_for_nobody()
            };
            let Some(opening) = opening else {
                incoming.refuse();
                continue;
            };
            let opening = Arc::new(Mutex::new(opening));
            let visitor = Visitor { router: Arc::clone(&self.router), peer, opening };
            let (http3, config, stop) = (self.http3.clone(), Arc::clone(&self.config), stop.clone());
            connections.spawn(async move {
                let admit = |headers: &HeaderMap| visitor.admit(headers);
                let served = async {
                    // The endpoint has the one of its beginning.
                    let connecting = incoming.accept_with(config).map_err(ServeError::from)?;
                    http3.serve(connecting, visitor.clone(), admit, stop.cancelled()).await
                };
                if let Err(error) = served.await {
                    tracing::debug!(%peer, %error, "HTTP/3 connection failed");
                }
            });
        }
        connections.close();
        loop {
            tokio::select! {
                () = connections.wait() => break,
                Some(incoming) = self.endpoint.accept() => incoming.refuse(),
            }
        }
        self.endpoint.close(NO_ERROR, b"");
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }

    /// Certificates change by themselves; who may come in changes with the whole configuration of TLS.
    fn follow_tls(&mut self) {
        let current = self.tls.current();
        if Arc::ptr_eq(&current, &self.current) {
            return;
        }
        match server_config(&current) {
            Ok(config) => self.config = Arc::new(config),
            // As before: it was good for QUIC with the same versions of TLS.
            Err(error) => tracing::error!(%error, "changed TLS is not taken for HTTP/3"),
        }
        self.current = current;
    }
}

/// The other end of one connection.
#[derive(Clone)]
struct Visitor {
    router: Arc<Router>,
    peer: SocketAddr,
    /// Until the first request.
    opening: Arc<Mutex<Option<Opening>>>,
}

impl Visitor {
    /// Whether a session of WebTransport may begin, by the headers of its request.
    fn admit(&self, headers: &HeaderMap) -> Result<Admitted, StatusCode> {
        // The connection's place becomes that of its first session; the next ones need their own. Of its address, a session
        // takes one.
        let first = self.opening.lock().take().map(Opening::without_address);
        let permit = self.router.permit(Some(self.peer), headers).map_err(Refused::status)?;
        let opening = match first {
            Some(opening) => Some(opening),
            None => self.router.open_for_nobody().ok_or(StatusCode::SERVICE_UNAVAILABLE)?,
        };
        Ok(Admitted { held: permit.map(Held::new), opening: opening.map(Held::new) })
    }
}

impl Service<Request<RequestBody>> for Visitor {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        drop(self.opening.lock().take());
        let (router, peer) = (Arc::clone(&self.router), self.peer);
        Box::pin(async move {
            // It is seen to elsewhere that answers are taken.
            Ok(router.told(request.map(Received::quic), Some(peer), &Pace::default()).await)
        })
    }
}
