//! What comes before HTTP, on listeners that are not plain.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tourbillon::transport::proxy_protocol;

use super::port::{Common, Stream};
use super::{http1, http2};
use crate::acme;
use crate::admission::Opening;
use crate::router::Routed;
use tourbillon_tls::{Tls, rustls};

/// Time within which HTTP must have begun: the PROXY header, the TLS handshake and the first bytes of HTTP/2. As
/// Centrifugo's, which is that of a request's head.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What begins every connection of HTTP/2 (RFC 9113 section 3.4), and no request of HTTP/1.1 here.
const PREFACE: &[u8] = b"PRI";

/// Why HTTP did not begin.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it said nothing, or not enough, for {} s", TIMEOUT.as_secs())]
    Late,
    #[error("PROXY header: {0}")]
    Proxy(#[from] proxy_protocol::HeaderError),
    #[error("there are too many connections that have not asked for anything")]
    TooMany,
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves a connection to its end.
pub(super) async fn greet(
    stream: Stream,
    peer: Option<SocketAddr>,
    opening: Option<Opening>,
    common: Arc<Common>,
) {
    let result = match stream {
        Stream::Tcp(stream) => open(stream, peer, opening, common).await,
        Stream::Unix(stream) => open(stream, peer, opening, common).await,
    };
    if let Err(refusal) = result {
        tracing::debug!(peer = peer.map(tracing::field::display), %refusal, "connection refused");
    }
}

async fn open<S>(
    mut stream: S,
    mut peer: Option<SocketAddr>,
    mut opening: Option<Opening>,
    common: Arc<Common>,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut deadline = Box::pin(sleep(TIMEOUT));
    if common.says_who(peer) {
        let header = in_time(&mut deadline, proxy_protocol::read(&mut stream)).await??;
        peer = header.or(peer);
        opening = common.router.open(peer).ok_or(Refusal::TooMany)?;
    }
    let routed = Routed::new(Arc::clone(&common.router), peer, opening);
    if let Some(tls) = &common.speaks.tls {
        in_time(&mut deadline, common.turns.turn()).await?;
        let handshake = Box::pin(handshake(tls, stream));
        let Some(stream) = in_time(&mut deadline, handshake).await?? else { return Ok(()) };
        drop(deadline);
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => http2::converse(stream, routed, common).await,
            // The authority has seen what it asked for.
            Some(acme::PROTOCOL) => {}
            _ => http1::converse(&common.http1, stream, routed, common.stop.clone()).await,
        }
    } else if common.speaks.h2c {
        let begun = in_time(&mut deadline, begun(&mut stream)).await??;
        drop(deadline);
        let is_http2 = begun == PREFACE;
        let (read, write) = tokio::io::split(stream);
        let stream = tokio::io::join(io::Cursor::new(begun).chain(read), write);
        if is_http2 {
            http2::converse(stream, routed, common).await;
        } else {
            http1::converse(&common.http1, stream, routed, common.stop.clone()).await;
        }
    } else {
        drop(deadline);
        http1::converse(&common.http1, stream, routed, common.stop.clone()).await;
    }
    Ok(())
}

/// What is ready in time.
async fn in_time<T>(deadline: &mut Pin<Box<Sleep>>, work: impl Future<Output = T>) -> Result<T, Refusal> {
    tokio::select! {
        done = work => Ok(done),
        () = deadline => Err(Refusal::Late),
    }
}

/// Reads as much as tells HTTP/2 from anything else.
async fn begun<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            break;
        }
        begun.extend_from_slice(&byte);
    }
    Ok(begun)
}

/// `None` where it was no TLS, and has been told so.
async fn handshake<S>(tls: &Tls, stream: S) -> Result<Option<TlsStream<S>>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accept = TlsAcceptor::from(tls.current()).accept(stream).into_fallible();
    match accept.await {
        Ok(stream) => Ok(Some(stream)),
        Err((error, mut stream)) if is_no_tls(&error) => {
            let told = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                         Connection: close\r\n\r\nthis port speaks TLS\n";
            stream.write_all(told).await?;
            stream.shutdown().await?;
            Ok(None)
        }
        Err((error, _)) => Err(Refusal::Tls(error)),
    }
}

/// Whether the first bytes were no TLS record at all, as those of a request to the wrong port.
fn is_no_tls(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}
