//! The HTTP side of connections that speak both ways.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Full;
use tokio::net::TcpStream;
use tourbillon_transport::{Accept, ConnContext, Held, TransportInfo};
use tower_service::Service;

use crate::handshake::{Agreed, Answer, Handshake};
use crate::io::halves;
use crate::negotiate::Deflate;
use crate::{UpgradedRead, UpgradedWrite, WebSocketConfig, WebSocketTransport};

/// Answers WebSocket handshakes and hands the connections to `A`.
///
/// Over HTTP/1.1 that is an upgrade, over HTTP/2 an extended CONNECT (RFC 8441), for which the HTTP server must have
/// said that it takes them (hyper's `enable_connect_protocol`). A request that is no handshake gets 400, 405 or 426;
/// one from a page that is not allowed gets 403; any gets 500 from a server that does not pass upgrades on
/// (`serve_connection` without `with_upgrades`).
///
/// The peer's address is taken from a [`SocketAddr`](std::net::SocketAddr) among the request's extensions, where the
/// HTTP server put one.
///
/// # Panics
///
/// [`Service::call`] must run inside a tokio runtime, which the connection is set up in.
#[derive(Clone, Debug)]
pub struct WebSocketService<A> {
    accept: A,
    config: Arc<WebSocketConfig>,
}

impl<A> WebSocketService<A> {
    /// A service that hands connections to `accept`.
    pub fn new(accept: A, config: WebSocketConfig) -> Self {
        Self { accept, config: Arc::new(config) }
    }
}

impl<A: Accept<WebSocketTransport>> WebSocketService<A> {
    /// Answers a handshake, and leaves what follows it to the caller, who needs no task for it then: a future to be
    /// awaited once the answer is handed to the HTTP server, and best when that is done with the connection; over
    /// HTTP/2, where it is not done, beside it. `None` where the request was refused.
    ///
    /// # Panics
    ///
    /// The future must be polled inside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    pub fn upgrade(
        &self,
        request: Request<()>,
    ) -> (Response<Full<Bytes>>, Option<impl Future<Output = ()> + Send + use<A>>) {
        let handshake = match Handshake::new(&self.config, true, request) {
            Ok(handshake) => handshake,
            Err(refused) => return (*refused, None),
        };
        let info = info(&handshake, handshake.peer);
        let answer = handshake.answer();
        let service = self.clone();
        let after = async move {
            let Some((read, write, early, deflate, context)) = handshake.upgraded().await else { return };
            service.begin(info, (read, write), early, deflate, context);
        };
        (answer, Some(after))
    }

    /// Agrees upon a handshake that the caller has read off a connection of plain TCP itself, who answers it with
    /// status 101 and the [headers](TcpUpgrade::each_header) of what this gives, and then hands the connection to that.
    /// `held` lasts as long as the connection. The request's extensions say nothing here.
    ///
    /// # Errors
    ///
    /// The answer that refuses the request.
    pub fn upgrade_tcp(
        &self,
        request: Request<()>,
        peer: Option<SocketAddr>,
        held: Option<Held>,
    ) -> Result<TcpUpgrade<A>, Box<Response<Full<Bytes>>>> {
        let handshake = Handshake::agree(&self.config, true, request)?;
        let info = info(&handshake, peer);
        let mut context = handshake.context;
        context.held = held;
        Ok(TcpUpgrade { service: self.clone(), info, agreed: handshake.agreed, context })
    }

    /// Hands on a connection whose handshake is over.
    fn begin(
        &self,
        info: TransportInfo,
        (read, write): (UpgradedRead, UpgradedWrite),
        early: Bytes,
        deflate: Option<Deflate>,
        context: ConnContext,
    ) {
        let transport = WebSocketTransport::new(info, read, write, &self.config).with_deflate(deflate);
        self.accept.accept(transport.with_early(early), context);
    }
}

/// What a connection is, by its handshake.
fn info(handshake: &Handshake, peer: Option<SocketAddr>) -> TransportInfo {
    let mut info = TransportInfo::new("websocket", handshake.wanted.encoding);
    info.ping = handshake.wanted.ping;
    info.peer = peer;
    info
}

/// A handshake over plain TCP that was agreed upon ([`WebSocketService::upgrade_tcp`]).
#[derive(Debug)]
pub struct TcpUpgrade<A> {
    service: WebSocketService<A>,
    info: TransportInfo,
    agreed: Agreed,
    context: ConnContext,
}

impl<A> TcpUpgrade<A> {
    /// Gives the headers of the answer one by one.
    pub fn each_header(&self, each: impl FnMut(HeaderName, &[u8])) {
        self.agreed.each_header(each);
    }
}

impl<A: Accept<WebSocketTransport>> TcpUpgrade<A> {
    /// Hands the connection on, whose `TCP_NODELAY` the caller has set, since messages are complete when they are
    /// written. `early` is what was read behind the handshake.
    ///
    /// # Panics
    ///
    /// Must be called inside a tokio runtime.
    pub fn complete(self, stream: TcpStream, early: Bytes) {
        let Self { service, info, agreed, context } = self;
        service.begin(info, halves(stream), early, agreed.deflate, context);
    }
}

impl<A, B> Service<Request<B>> for WebSocketService<A>
where
    A: Accept<WebSocketTransport>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (answer, after) = self.upgrade(request.map(drop));
        follow(answer, after)
    }
}

/// The answer; what comes after it gets a task.
pub(crate) fn follow(
    answer: Answer,
    after: Option<impl Future<Output = ()> + Send + 'static>,
) -> Ready<Result<Answer, Infallible>> {
    if let Some(after) = after {
        tokio::spawn(after);
    }
    ready(Ok(answer))
}
