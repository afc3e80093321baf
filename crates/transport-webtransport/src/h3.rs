//! What is needed of the HTTP/3 library, its unstable parts included: nothing else here names it.
//!
//! Its receiving streams must not be told to stop while a read is under way (h3-quinn 0.0.10 panics): they are
//! dropped instead, which tells the peer the same.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h3::error::Code;
use h3::ext::Protocol;
use h3::frame::FrameStream;
use h3::proto::frame::Frame;
use h3::quic::{BidiStream as _, RecvStream as _, SendStream as _, SendStreamUnframed as _};
use h3::server::{Connection, RequestResolver, RequestStream};
use h3::stream::BufRecvStream;
pub(crate) use h3::webtransport::SessionId;
use http::{Request, Response};
use http_body::{Body, Frame as BodyFrame};
use tokio::time::timeout;
use tourbillon_types::Disconnect;

type Bidi = h3_quinn::BidiStream<Bytes>;
type Recv = h3_quinn::RecvStream;
type Send = h3_quinn::SendStream<Bytes>;

/// The largest head of a request, in bytes as RFC 9114 section 4.2.2 counts them.
const HEAD_LIMIT: u64 = 16 * 1024;

/// Time within which what is sent of an answer must be taken (HTTP-01).
pub(crate) const WRITE: Duration = Duration::from_secs(10);

/// The type of the capsule that ends a session with code and reason.
const CLOSE_SESSION: u64 = 0x2843;

/// The longest reason that such a capsule may have, in bytes.
const REASON: usize = 1024;

/// HTTP/3 on one QUIC connection.
pub(crate) struct Server(Connection<h3_quinn::Connection, Bytes>);

impl Server {
    /// Begins to speak HTTP/3, with so many sessions of WebTransport at a time.
    pub(crate) async fn begin(quic: quinn::Connection, sessions: u64) -> Result<Self, BodyError> {
        let mut builder = h3::server::builder();
        builder.max_field_section_size(HEAD_LIMIT);
        if sessions > 0 {
            builder
                .enable_webtransport(true)
                .enable_extended_connect(true)
                .enable_datagram(true)
                .max_webtransport_sessions(sessions);
        }
        builder.build(h3_quinn::Connection::new(quic)).await.map(Self).map_err(BodyError::new)
    }

    /// The next stream that the peer opens in both directions; `None` when it will open no more. To be polled all the
    /// time, or the connection stands still. Cancel-safe.
    pub(crate) async fn accept(&mut self) -> Result<Option<Opened>, BodyError> {
        let stream = poll_fn(|cx| self.0.poll_accept_request_stream(cx)).await.map_err(BodyError::new)?;
        Ok(stream.map(|stream| Opened(self.0.create_resolver(FrameStream::new(BufRecvStream::new(stream))))))
    }

    /// Tells the peer that requests which it has not sent yet are not served.
    pub(crate) async fn leave(&mut self) -> Result<(), BodyError> {
        taken(WRITE, self.0.shutdown(0)).await
    }
}

/// A stream of which nothing is known yet.
pub(crate) struct Opened(RequestResolver<h3_quinn::Connection, Bytes>);

/// What a stream is for.
pub(crate) enum Purpose {
    /// It belongs to this session.
    Session(SessionId, Stream),
    /// A request.
    Request(Box<(Request<()>, Exchange)>),
}

impl Opened {
    /// What its first bytes say that it is for.
    pub(crate) async fn purpose(mut self) -> Result<Purpose, BodyError> {
        let first = poll_fn(|cx| self.0.frame_stream.poll_next(cx)).await;
        if let Ok(Some(Frame::WebTransportStream(session))) = first {
            return Ok(Purpose::Session(session, Stream(Box::new(self.0.frame_stream.into_inner()))));
        }
        let request = self.0.accept_with_frame(first).map_err(BodyError::new)?;
        let (request, stream) = request.resolve().await.map_err(BodyError::new)?;
        let (answer, body) = stream.split();
        let exchange = Exchange { answer: Answering(answer), body: RequestBody(body) };
        Ok(Purpose::Request(Box::new((request, exchange))))
    }
}

/// Whether a request asks for a session.
pub(crate) fn asks_for_session(request: &Request<()>) -> bool {
    request.method() == http::Method::CONNECT
        && request.extensions().get::<Protocol>() == Some(&Protocol::WEB_TRANSPORT)
}

/// The stream of a session, in both directions.
pub(crate) struct Stream(Box<BufRecvStream<Bidi, Bytes>>);

impl Stream {
    pub(crate) fn split(self) -> (Sending, Receiving) {
        let (send, recv) = self.0.split();
        (Sending(send), Receiving(recv))
    }
}

/// The receiving half of a session's stream.
pub(crate) struct Receiving(BufRecvStream<Recv, Bytes>);

impl Receiving {
    /// What comes next; `None` at the end, however it came about.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_data(cx).map(|data| data.ok().flatten())
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiving")
    }
}

/// The sending half of a session's stream.
pub(crate) struct Sending(BufRecvStream<Send, Bytes>);

impl Sending {
    /// Sends some of these bytes, and takes them off.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, bytes).map_err(broken)
    }

    /// Nothing more is sent. What was, still arrives.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self.0.poll_finish(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(finished) => finished.map_err(broken),
            Poll::Pending => Ok(()),
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

fn broken(error: h3::quic::StreamErrorIncoming) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

/// A request's two directions.
pub(crate) struct Exchange {
    pub(crate) answer: Answering,
    pub(crate) body: RequestBody,
}

/// The way back of a request.
pub(crate) struct Answering(RequestStream<Send, Bytes>);

impl Answering {
    /// The session whose request this is.
    pub(crate) fn session(&self) -> SessionId {
        self.0.send_id().into()
    }

    /// Sends the head, which must be taken in time.
    pub(crate) async fn head(&mut self, head: Response<()>) -> Result<(), BodyError> {
        let sent = taken(WRITE, self.0.send_response(head)).await;
        self.or_give_up(sent)
    }

    /// Sends a part of the body, which must be taken within `limit`.
    pub(crate) async fn data(&mut self, data: Bytes, limit: Duration) -> Result<(), BodyError> {
        let sent = taken(limit, self.0.send_data(data)).await;
        self.or_give_up(sent)
    }

    /// The answer is whole, which must be taken in time.
    pub(crate) async fn finish(&mut self) -> Result<(), BodyError> {
        let sent = taken(WRITE, self.0.finish()).await;
        self.or_give_up(sent)
    }

    /// What was sent is not all: whoever reads it is not to take it for the whole (RFC 9114 section 4.1.1).
    pub(crate) fn give_up(&mut self) {
        self.0.stop_stream(Code::H3_INTERNAL_ERROR);
    }

    fn or_give_up(&mut self, sent: Result<(), BodyError>) -> Result<(), BodyError> {
        if sent.is_err() {
            self.give_up();
        }
        sent
    }

    /// Ends the session that the request began, and tells why.
    pub(crate) async fn end_session(&mut self, why: &Disconnect) -> Result<(), BodyError> {
        self.data(close_capsule(why.code, &why.reason), WRITE).await?;
        self.finish().await
    }
}

/// Waits for the peer to take what is sent: it gives credit for that as it likes, and may give none for ever.
async fn taken<E: fmt::Display>(
    limit: Duration,
    sent: impl Future<Output = Result<(), E>>,
) -> Result<(), BodyError> {
    match timeout(limit, sent).await {
        Ok(sent) => sent.map_err(BodyError::new),
        Err(_) => Err(BodyError::new("what was sent was not taken in time")),
    }
}

fn close_capsule(code: u32, reason: &str) -> Bytes {
    let whole = (0..=REASON.min(reason.len())).rev().find(|&end| reason.is_char_boundary(end));
    let reason = whole.and_then(|end| reason.get(..end)).unwrap_or_default();
    let mut capsule = BytesMut::with_capacity(8 + 4 + reason.len());
    put_varint(&mut capsule, CLOSE_SESSION);
    put_varint(&mut capsule, u64::try_from(4 + reason.len()).unwrap_or_default());
    capsule.put_u32(code);
    capsule.put_slice(reason.as_bytes());
    capsule.freeze()
}

/// A number below 2^30 as RFC 9000 section 16 writes it.
fn put_varint(to: &mut BytesMut, number: u64) {
    match u32::try_from(number).unwrap_or(u32::MAX) {
        small @ 0..=0x3f => to.put_u8(u8::try_from(small).unwrap_or_default()),
        middle @ 0x40..=0x3fff => to.put_u16(u16::try_from(middle).unwrap_or_default() | 0x4000),
        large => to.put_u32(large | 0x8000_0000),
    }
}

/// The body of a request over HTTP/3.
pub struct RequestBody(RequestStream<Recv, Bytes>);

impl RequestBody {
    /// Waits for the end, whatever comes before it.
    pub(crate) async fn ended(&mut self) {
        while let Ok(Some(_)) = self.0.recv_data().await {}
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, BodyError>>> {
        let data = self.0.poll_recv_data(cx);
        data.map(|data| match data {
            Ok(Some(mut data)) => Some(Ok(BodyFrame::data(data.copy_to_bytes(data.remaining())))),
            Ok(None) => None,
            Err(error) => Some(Err(BodyError::new(error))),
        })
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}

/// A peer that broke off, or broke the rules of HTTP/3.
#[derive(Debug, thiserror::Error)]
#[error("HTTP/3: {0}")]
pub struct BodyError(String);

impl BodyError {
    fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_has_its_code_and_as_much_of_the_reason_as_it_may() {
        assert_eq!(close_capsule(3501, "bad"), &b"\x68\x43\x07\0\0\x0d\xadbad"[..]);
        let long = close_capsule(1, &"ä".repeat(600));
        assert_eq!(&long[..4], b"\x68\x43\x44\x04", "1028 bytes follow");
        assert_eq!(long.len(), 4 + 4 + 1024);
        let cut = close_capsule(1, &format!("x{}", "ä".repeat(600)));
        assert_eq!(cut.len(), 4 + 4 + 1023, "no half characters");
    }
}
