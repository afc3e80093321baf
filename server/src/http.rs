//! HTTP listeners.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Opening;
use crate::router::{Routed, Router};

/// Time within which a request's head must be there (HTTP-01). It bounds the wait between two requests too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time within which an answer must be taken (HTTP-01).
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// How many connections are taken in a row before those that were taken get their turn. The memory of a connection
/// that arrives is several times that of one that rests: the fewer arrive at once, the more of it is used again.
const AT_ONCE: u32 = 16;

/// How long the listener rests when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves one port until `stop` is cancelled, and then the requests that are under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let router = Arc::new(router);
    // Not the builder that finds out the version: it waits for a first byte without a deadline, and speaks HTTP/2
    // with whoever begins so, for which these limits do not count.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // Answers are small: one piece costs the system less than several.
    http.writev(false);
    hasten(&listener);
    let mut taken = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = canonical(peer);
                // One that may not stand is closed by this, without a word.
                if let Some(opening) = router.open(peer) {
                    let routed = Routed { router: Arc::clone(&router), peer, pace: Pace::new(opening) };
                    connections.spawn(converse(&http, stream, routed, stop.clone()));
                }
                taken += 1;
                if taken % AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
            // It was gone before we took it.
            Err(error) if is_about_one(error.kind()) => tracing::debug!(%error, "a connection was not taken"),
            Err(error) => {
                // No descriptors left, as a rule. Some will be.
                tracing::warn!(%error, "connections cannot be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether an error of `accept` is about one connection and not about the listener.
const fn is_about_one(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// An IPv4 peer of a listener for both is an IPv4 peer.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Serves one connection to its end, or to the end of its request where `stop` is cancelled.
fn converse(
    http: &http1::Builder,
    stream: TcpStream,
    routed: Routed,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    if !INHERITS {
        let _ = stream.set_nodelay(true);
    }
    let (peer, pace) = (routed.peer, routed.pace.clone());
    let served = http.serve_connection(TokioIo::new(stream), routed).with_upgrades();
    async move {
        {
            let mut served = pin!(served);
            let mut stopping = false;
            // No interval: its first tick is at once, and such a timer wakes the runtime for every connection.
            let mut tick = pin!(sleep(WRITE_TIMEOUT));
            loop {
                tokio::select! {
                    result = &mut served => {
                        if let Err(error) = result {
                            tracing::debug!(%peer, %error, "HTTP connection failed");
                            return;
                        }
                        break;
                    }
                    () = stop.cancelled(), if !stopping => {
                        stopping = true;
                        served.as_mut().graceful_shutdown();
                    }
                    () = &mut tick => {
                        tick.set(sleep(WRITE_TIMEOUT));
                        if pace.tick() {
                            tracing::debug!(%peer, "HTTP connection ended: its answer was not taken");
                            return;
                        }
                    }
                }
            }
        }
        // Here rather than in a task of its own, and after all of HTTP is dropped: an upgrade that did not come about
        // is told by that.
        if let Some(after) = pace.take_after() {
            after.await;
        }
    }
}

/// Whether accepted sockets have the listener's `TCP_NODELAY`, which saves a system call for each.
const INHERITS: bool = cfg!(target_os = "linux");

/// Answers are complete when they are written; waiting for more to send with them only delays them.
fn hasten(listener: &TcpListener) {
    if INHERITS && let Err(error) = rustix::net::sockopt::set_tcp_nodelay(listener, true) {
        tracing::warn!(%error, "answers may be delayed: TCP_NODELAY cannot be set");
    }
}

/// What the task of a connection and the service of its requests share: whether an answer is not taken, and what
/// comes after an upgrade.
///
/// From outside of the HTTP library it is not to be seen whether an answer has been written. But it is followed by
/// the next request or by the end of the connection, for which there is a deadline too: what has come to neither
/// within both deadlines is still writing.
#[derive(Clone, Default)]
pub(crate) struct Pace(Arc<Shared>);

/// Runs once HTTP is over.
pub(crate) type After = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Shared {
    /// 0 while a request is awaited or worked on, else one more than the ticks since its answer.
    ticks: AtomicU32,
    after: Mutex<Option<After>>,
    /// Until the first request.
    opening: Mutex<Option<Opening>>,
}

impl Pace {
    /// That of a connection that holds a place until its first request.
    fn new(opening: Option<Opening>) -> Self {
        Self(Arc::new(Shared { opening: Mutex::new(opening), ..Shared::default() }))
    }

    /// A request came.
    pub(crate) fn asked(&self) {
        drop(self.0.opening.lock().take());
        self.0.ticks.store(0, Ordering::Relaxed);
    }

    /// Its answer was handed over.
    pub(crate) fn answered(&self) {
        self.0.ticks.store(1, Ordering::Relaxed);
    }

    /// What is to be done once the connection is upgraded.
    pub(crate) fn set_after(&self, after: impl Future<Output = ()> + Send + 'static) {
        *self.0.after.lock() = Some(Box::pin(after));
    }

    fn take_after(&self) -> Option<After> {
        self.0.after.lock().take()
    }

    /// [`WRITE_TIMEOUT`] went by. Whether it is time to give up.
    fn tick(&self) -> bool {
        let ticked = |ticks: u32| (ticks > 0).then_some(ticks.saturating_add(1));
        self.0
            .ticks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, ticked)
            .is_ok_and(|before| before > LAST_TICK)
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pace").field(&self.0.ticks).finish()
    }
}

/// The number of ticks after an answer that are borne: the first comes sooner than a whole timeout after it.
const LAST_TICK: u32 = 2;

const _: () = assert!(HEAD_TIMEOUT.as_secs() <= WRITE_TIMEOUT.as_secs(), "two ticks cover both");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_nothing_follows_is_given_up_at_the_third_tick() {
        let pace = Pace::default();
        assert_eq!([pace.tick(), pace.tick(), pace.tick()], [false; 3]);
        pace.answered();
        assert_eq!([pace.tick(), pace.tick()], [false; 2]);
        pace.asked();
        assert_eq!([pace.tick(), pace.tick(), pace.tick()], [false; 3]);
        pace.answered();
        assert_eq!([pace.tick(), pace.tick(), pace.tick()], [false, false, true]);
    }
}
