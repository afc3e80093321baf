//! WebSockets that go one way: after its connect request the client has nothing more to say (UNI-01..04).

use std::convert::Infallible;
use std::future::Ready;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tourbillon_protocol::connect_frame;
use tourbillon_transport::{
    Accept, PingMode, Received, Transport, TransportError, TransportInfo, TransportReader,
};
use tourbillon_types::{Direction, Encoding, PushKinds};
use tower_service::Service;

use crate::handshake::{Answer, Handshake, refuse};
use crate::service::follow;
use crate::{
    UpgradedRead, UpgradedWrite, WebSocketConfig, WebSocketReader, WebSocketTransport, WebSocketWriter,
};

/// How WebSocket connections to clients that only listen behave. Defaults are Centrifugo's (`uni_websocket.*`).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UniWebSocketConfig {
    /// What is the same as on connections that speak both ways.
    pub websocket: WebSocketConfig,
    /// Ends connections without a close frame of the server's own, which would tell code and reason. Default: no.
    pub disable_closing_handshake: bool,
    /// Does not tell a disconnect by a message before the close frame. Default: no.
    pub disable_disconnect_push: bool,
    /// Sends messages that wait together as lines of one frame, up to 64 KiB of them. The client must expect that.
    /// Default: no.
    pub join_push_messages: bool,
    /// Time within which the peer must take what is written to it; `None` for what the node has for all. Default
    /// `None`.
    pub write_timeout: Option<Duration>,
}

/// A client's connect request in JSON that came by another way than the connection, such as one that a ticket in the
/// address stands for. Whoever has it puts it into the extensions of the request that
/// [`UniWebSocketService`] gets, and it comes before what is in the query.
#[derive(Clone, Debug)]
pub struct GivenConnect(pub Bytes);

/// Answers WebSocket handshakes of clients that only listen, as
/// [`WebSocketService`](crate::WebSocketService) does those of others, and hands the connections to `A`.
///
/// The client's connect request is in the query, as `cf_connect`, or it is the first message. In JSON, as all that
/// follows. What a client sends after it is ignored (UNI-02). A connect request in the query that is none is refused
/// with 400, one in the first message with a close of code 3501. The connection is pinged with frames, to which the
/// client has to answer, and with messages, to which it has not (UNI-03).
///
/// # Panics
///
/// [`Service::call`] must run inside a tokio runtime, which the connection is set up in.
#[derive(Clone, Debug)]
pub struct UniWebSocketService<A> {
    accept: A,
    config: Arc<UniWebSocketConfig>,
}

impl<A> UniWebSocketService<A> {
    /// A service that hands connections to `accept`.
    pub fn new(accept: A, config: UniWebSocketConfig) -> Self {
        Self { accept, config: Arc::new(config) }
    }
}

impl<A: Accept<UniWebSocketTransport>> UniWebSocketService<A> {
    /// Answers a handshake, and leaves what follows it to the caller: see
    /// [`WebSocketService::upgrade`](crate::WebSocketService::upgrade).
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
        let first = match request.extensions().get::<GivenConnect>() {
            Some(GivenConnect(connect)) => First::of(connect),
            None => First::of_query(request.uri().query()),
        };
        let Ok(first) = first else {
            return (refuse(StatusCode::BAD_REQUEST, "this is no connect request in JSON\n"), None);
        };
        let handshake = match Handshake::new(&self.config.websocket, false, request) {
            Ok(handshake) => handshake,
            Err(refused) => return (*refused, None),
        };
        let config = self.config.clone();
        let mut info = TransportInfo::new("uni_websocket", Encoding::Json);
        info.direction = Direction::Unidirectional;
        info.ping = PingMode::Native;
        info.suppressed =
            if config.disable_disconnect_push { PushKinds::DISCONNECT } else { PushKinds::NONE };
        info.peer = handshake.peer;
        info.write_timeout = config.write_timeout;
        let answer = handshake.answer();
        let accept = self.accept.clone();
        let after = async move {
            let Some((read, write, early, deflate, context)) = handshake.upgraded().await else { return };
            let websocket = WebSocketTransport::new(info, read, write, &config.websocket);
            let websocket = websocket.with_deflate(deflate).with_early(early);
            accept.accept(UniWebSocketTransport { websocket, first, config }, context);
        };
        (answer, Some(after))
    }
}

impl<A, B> Service<Request<B>> for UniWebSocketService<A>
where
    A: Accept<UniWebSocketTransport>,
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

/// A WebSocket to a client that only listens.
#[derive(Debug)]
pub struct UniWebSocketTransport<R = UpgradedRead, W = UpgradedWrite> {
    websocket: WebSocketTransport<R, W>,
    first: First,
    config: Arc<UniWebSocketConfig>,
}

impl<R, W> Transport for UniWebSocketTransport<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Reader = UniWebSocketReader<R>;
    type Writer = WebSocketWriter<W>;

    fn info(&self) -> &TransportInfo {
        self.websocket.info()
    }

    fn split(self) -> (Self::Reader, Self::Writer) {
        let (reader, mut writer) = self.websocket.split();
        if self.config.join_push_messages {
            writer.join_lines();
        }
        if self.config.disable_closing_handshake {
            writer.close_silently();
        }
        (UniWebSocketReader { reader, first: self.first }, writer)
    }
}

/// Where the connect request is.
#[derive(Debug)]
enum First {
    /// It came with the handshake; here as the command that it stands for.
    Given(Bytes),
    /// It is the first message.
    Awaited,
    /// Nobody asks for more.
    Taken,
}

impl First {
    /// An error: what the query has is none.
    fn of_query(query: Option<&str>) -> Result<Self, ()> {
        let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let Some((_, value)) = pairs.find(|(name, value)| *name == "cf_connect" && !value.is_empty()) else {
            return Ok(Self::Awaited);
        };
        let spaced = value.replace('+', " ");
        let request = Bytes::from_iter(percent_decode_str(&spaced));
        Self::of(&request)
    }

    fn of(request: &Bytes) -> Result<Self, ()> {
        connect_frame(Encoding::Json, request).map(Self::Given).map_err(|_| ())
    }
}

/// The receiving half of a WebSocket to a client that only listens: the connect request, as a command, and nothing
/// more but what keeps the connection alive and ends it.
#[derive(Debug)]
pub struct UniWebSocketReader<R> {
    reader: WebSocketReader<R>,
    first: First,
}

impl<R: AsyncRead + Unpin + Send + 'static> TransportReader for UniWebSocketReader<R> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        if matches!(self.first, First::Given(_))
            && let First::Given(frame) = std::mem::replace(&mut self.first, First::Taken)
        {
            return Poll::Ready(Ok(Received::Message(frame)));
        }
        loop {
            let message = match ready!(self.reader.poll_recv(cx))? {
                Received::Message(message) => message,
                other => return Poll::Ready(Ok(other)),
            };
            if matches!(self.first, First::Taken) {
                continue;
            }
            self.first = First::Taken;
            return Poll::Ready(connect_frame(Encoding::Json, &message).map(Received::Message).map_err(
                |_| {
                    self.reader.discard();
                    TransportError::Protocol("the first message is no connect request")
                },
            ));
        }
    }
}
