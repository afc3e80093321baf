//! Taking connections.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind::Socket;
use super::greet::greet;
use super::http1::Http1;
use super::quick;
use super::turns::Turns;
use crate::router::{Routed, Router};
use tourbillon_config::Networks;
use tourbillon_tls::Tls;

/// How many connections are taken in a row before those that were taken get their turn. The memory of a connection
/// that arrives is several times that of one that rests: the fewer arrive at once, the more of it is used again.
const AT_ONCE: u32 = 16;

/// How long the listener rests when the system has no more file descriptors.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A socket and what it leads to.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) socket: Socket,
    pub(crate) router: Arc<Router>,
    pub(crate) speaks: Speaks,
}

/// What comes before HTTP/1.1, or instead of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Speaks {
    pub(crate) tls: Option<Tls>,
    /// HTTP/2 without TLS.
    pub(crate) h2c: bool,
    /// Networks whose connections begin with a PROXY header.
    pub(crate) proxied: Option<Networks>,
}

/// What connections of a port have in common.
pub(super) struct Common {
    pub(super) router: Arc<Router>,
    pub(super) speaks: Speaks,
    pub(super) http1: Http1,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Of those who come.
    pub(super) turns: Turns,
}

impl Common {
    /// Whether a connection begins with a PROXY header.
    pub(super) fn says_who(&self, peer: Option<SocketAddr>) -> bool {
        // Whoever may open a Unix socket is trusted.
        let is_trusted = |networks: &Networks| peer.is_none_or(|peer| networks.contains(peer.ip()));
        self.speaks.proxied.as_ref().is_some_and(is_trusted)
    }
}

/// A connection that was taken.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                if !INHERITS {
                    let _ = stream.set_nodelay(true);
                }
                Ok((Stream::Tcp(stream), Some(canonical(peer))))
            }
            Self::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), None))
            }
        }
    }

    /// Answers are complete when they are written; waiting for more to send with them only delays them.
    fn hasten(&self) {
        if let Self::Tcp(listener) = self
            && INHERITS
            && let Err(error) = rustix::net::sockopt::set_tcp_nodelay(listener, true)
        {
            tracing::warn!(%error, "answers may be delayed: TCP_NODELAY cannot be set");
        }
    }
}

impl Port {
    /// Serves until `stop` is cancelled, and then the requests that are under way.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let Self { socket, router, speaks } = self;
        let tasks = TaskTracker::new();
        let plain = speaks.tls.is_none() && !speaks.h2c && speaks.proxied.is_none();
        let http1 = Http1::new();
        let common = Arc::new(Common {
            router,
            speaks,
            http1,
            stop: stop.clone(),
            tasks: tasks.clone(),
            turns: Turns::new(),
        });
        socket.hasten();
        let mut taken = 0;
        let mut pace = pin!(common.turns.pace());
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => break,
                never = &mut pace => match never {},
            };
            match accepted {
                Ok((stream, peer)) => {
                    match stream {
                        // One that may not stand is closed by this, without a word.
                        Stream::Tcp(stream) if plain => {
                            if let Some(opening) = common.router.open(peer) {
                                let routed = Routed::new(Arc::clone(&common.router), peer, opening);
                                tasks.spawn(quick::serve(Arc::clone(&common), stream, routed));
                            }
                        }
                        stream => {
                            // It counts for whoever is meant where it says so first.
                            let opening = match common.says_who(peer) {
                                true => Some(None),
                                false => common.router.open(peer),
                            };
                            if let Some(opening) = opening {
                                tasks.spawn(greet(stream, peer, opening, Arc::clone(&common)));
                            }
                        }
                    }
                    taken += 1;
                    if taken % AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                // It was gone before we took it.
                Err(error) if is_about_one(error.kind()) => {
                    tracing::debug!(%error, "a connection was not taken");
                }
                Err(error) => {
                    // No descriptors left, as a rule. Some will be.
                    tracing::warn!(%error, "connections cannot be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
        drop(socket);
        // There is no pace any more, and what has begun is to come to its end.
        common.turns.close();
        tasks.close();
        tasks.wait().await;
    }
}

/// Whether an error of `accept` is about one connection and not about the listener.
pub(crate) const fn is_about_one(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// An IPv4 peer of a listener for both is an IPv4 peer.
pub(crate) fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Whether accepted sockets have the listener's `TCP_NODELAY`, which saves a system call for each.
const INHERITS: bool = cfg!(target_os = "linux");
