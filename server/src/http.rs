//! HTTP listeners.

use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::router::{Routed, Router};

/// Time within which a request's head must be there (HTTP-01).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
const HEADER_LIMIT: usize = 16 * 1024;

/// How long the listener rests when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves one port until `stop` is cancelled, and then the requests that are under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_LIMIT);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => take(&http, &graceful, &connections, (stream, peer), router.clone()),
            Err(error) => {
                // One that failed before we took it, or no descriptors left: neither ends the server.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
    connections.close();
    connections.wait().await;
}

fn take(
    http: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    connections: &TaskTracker,
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
) {
    // Answers are complete when they are written; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let served =
        http.serve_connection_with_upgrades(TokioIo::new(stream), Routed { router, peer }).into_owned();
    let served = graceful.watch(served);
    connections.spawn(async move {
        if let Err(error) = served.await {
            tracing::debug!(%peer, %error, "HTTP connection failed");
        }
    });
}
