//! Connections to a backend.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tourbillon_tls::rustls::ClientConfig;
use tourbillon_tls::rustls::pki_types::ServerName;

use crate::target::Address;

/// How long nothing may be heard of a backend until TCP asks whether it is still there.
const QUIET: Duration = Duration::from_secs(15);

/// Connects to one place, whatever is asked for there.
#[derive(Clone)]
pub(crate) struct Connector {
    address: Arc<Address>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl Connector {
    pub(crate) fn new(
        address: Address,
        tls: Option<(ClientConfig, ServerName<'static>)>,
        timeout: Duration,
    ) -> Self {
        let tls = tls.map(|(config, name)| (TlsConnector::from(Arc::new(config)), name));
        Self { address: Arc::new(address), tls, timeout }
    }

    async fn connect(self) -> io::Result<Stream> {
        let plain = match &*self.address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                look_after(&stream)?;
                Stream(Box::new(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => Stream(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let Some((connector, name)) = self.tls else { return Ok(plain) };
        Ok(Stream(Box::new(connector.connect(name, plain).await?)))
    }
}

/// A backend that vanished without a word is noticed in about half a minute, whether something is sent to it or not: else
/// its connection would be asked again and again, and its streams would be silent for ever.
fn look_after(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let asks = TcpKeepalive::new().with_time(QUIET).with_interval(QUIET / 3);
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
    let asks = asks.with_retries(3);
    socket.set_tcp_keepalive(&asks)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(QUIET * 2))?;
    Ok(())
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            // Whoever asked may have gone meanwhile: it has a deadline of its own.
            let connected = tokio::time::timeout(connector.timeout, connector.connect()).await;
            Ok(TokioIo::new(connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
        })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of any kind.
pub(crate) struct Stream(Box<dyn Io>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tcp_looks_after_a_backend_that_vanishes() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        assert!(!SockRef::from(&stream).keepalive()?);
        look_after(&stream)?;
        assert!(SockRef::from(&stream).keepalive()?);
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&stream).tcp_user_timeout()?, Some(QUIET * 2));
        Ok(())
    }
}
