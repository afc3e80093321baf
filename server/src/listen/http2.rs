//! Connections of HTTP/2.
//!
//! The HTTP library (h2 0.4) has limits of its own, which are set here: heads, CONTINUATION frames, resets of
//! requests that were not yet looked at, resets that a client provokes, and DATA frames that carry nothing. What it
//! does not see is what a request costs after it was handed over. So each request here has a credit, which comes
//! back with its answer: a client that has requests begun and takes them back has none soon, and is sent away. And
//! a connection needs requests: one without any is ended, whatever else it sends.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::pace::{PIECE_TIMEOUT, Pace, WRITE_TIMEOUT};
use super::port::Common;
use crate::router::Routed;

/// The most requests at once: as many as Go's server takes.
const STREAMS: u32 = 250;

/// The largest head of a request, in bytes as HTTP/2 counts them.
const HEAD_LIMIT: u32 = 16 * 1024;

/// How much of a request's body may be on its way, in bytes: a whole body of a client.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// How much of an answer may wait for the connection, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// How many requests may be taken back before they are looked at (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// How many requests we may have to reset for what the client did (CVE-2025-8671), or refuse for there being too many.
const OWN_RESETS: usize = 256;

/// How many more requests may be taken back than are answered.
const CREDITS: u32 = 100;

/// A connection that has had no request ends at the first tick, which are [`WRITE_TIMEOUT`] apart; one that has had some
/// at this one without.
const IDLE_TICKS: u32 = 3;

/// Time within which a client must go once it is told to and has no request left.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves one connection to its end, or to the end of its requests where the server stops.
pub(super) async fn converse<S>(stream: S, mut routed: Routed, common: Arc<Common>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = routed.peer.map(tracing::field::display);
    let streams = Streams::new(common.tasks.clone());
    // What is still worked on has nobody to answer when the connection is gone.
    let _gone = streams.end_with();
    routed.streams = Some(streams.clone());
    let mut http = http2::Builder::new(streams.clone());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        // WebSocket (RFC 8441).
        .enable_connect_protocol();
    let mut served = Box::pin(http.serve_connection(TokioIo::new(stream), routed));
    let mut tick = pin!(sleep(WRITE_TIMEOUT));
    let mut idle = 0;
    let mut stopping = false;
    loop {
        tokio::select! {
            result = &mut served => {
                if let Err(error) = result {
                    tracing::debug!(peer, %error, "HTTP/2 connection failed");
                }
                return;
            }
            () = common.stop.cancelled(), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
                tick.set(sleep(FAREWELL));
            }
            () = streams.exhausted() => {
                tracing::debug!(peer, "HTTP/2 connection ended: it takes its requests back");
                return;
            }
            () = &mut tick => {
                if stopping && streams.is_idle() {
                    tracing::debug!(peer, "HTTP/2 connection ended: it does not go");
                    return;
                }
                tick.set(sleep(WRITE_TIMEOUT));
                idle = if streams.is_idle() { idle + 1 } else { 0 };
                let most = if streams.has_begun() { IDLE_TICKS } else { 1 };
                if idle == most && !stopping {
                    stopping = true;
                    served.as_mut().graceful_shutdown();
                    tick.set(sleep(FAREWELL));
                }
            }
        }
    }
}

/// The requests of a connection. It is the executor that the HTTP library runs them by.
#[derive(Clone)]
pub(crate) struct Streams(Arc<Shared>);

struct Shared {
    tasks: TaskTracker,
    gone: CancellationToken,
    /// That of the request whose future the HTTP library hands over next: it does so right after the service was called.
    next: Mutex<Option<Pace>>,
    begun: AtomicBool,
    active: AtomicUsize,
    credits: AtomicU32,
    exhausted: Notify,
}

/// A request that was not answered yet.
pub(crate) struct Begun {
    streams: Streams,
    answered: bool,
    broken: Arc<AtomicBool>,
}

/// Whether the body of a request broke off.
#[derive(Debug)]
pub(crate) struct Broken(Arc<AtomicBool>);

impl Broken {
    /// It did.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request, or an upgraded connection, from its begin to its end.
struct Active(Streams);

impl Streams {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self(Arc::new(Shared {
            tasks,
            gone: CancellationToken::new(),
            next: Mutex::new(None),
            begun: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            credits: AtomicU32::new(CREDITS),
            exhausted: Notify::new(),
        }))
    }

    /// Ends what is worked on when it is dropped.
    pub(crate) fn end_with(&self) -> DropGuard {
        self.0.gone.clone().drop_guard()
    }

    /// Waits until the client has taken so many requests back that it has to go.
    pub(crate) async fn exhausted(&self) {
        self.0.exhausted.notified().await;
    }

    /// A request came.
    pub(crate) fn begin(&self) -> (Pace, Begun) {
        let pace = Pace::watching();
        *self.0.next.lock() = Some(pace.clone());
        self.0.begun.store(true, Ordering::Relaxed);
        (pace, Begun { streams: self.clone(), answered: false, broken: Arc::default() })
    }

    fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.active.load(Ordering::Relaxed) == 0
    }
}

impl Begun {
    /// What is to be told when its body breaks off.
    pub(crate) fn broken(&self) -> Broken {
        Broken(Arc::clone(&self.broken))
    }

    /// Its answer was handed over. One to a request that was taken back before it was whole is none.
    pub(crate) fn answered(mut self) {
        if self.broken.load(Ordering::Relaxed) {
            return;
        }
        self.answered = true;
        let more = |credits: u32| (credits < CREDITS).then_some(credits + 1);
        let _ = self.streams.0.credits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let less = |credits: u32| credits.checked_sub(1);
        let before = self.streams.0.credits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if before.unwrap_or_default() <= 1 {
            self.streams.0.exhausted.notify_one();
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let pace = self.0.next.lock().take();
        self.0.active.fetch_add(1, Ordering::Relaxed);
        let active = Active(self.clone());
        self.0.tasks.spawn(async move {
            let gone = active.0.0.gone.clone();
            let work = async {
                match pace {
                    Some(pace) => answer(future, pace).await,
                    None => future.await,
                }
            };
            tokio::select! {
                () = work => {}
                () = gone.cancelled() => {}
            }
            drop(active);
        });
    }
}

/// Sees a request to the end of its answer, or until that is not taken.
async fn answer(future: impl Future<Output = ()>, pace: Pace) {
    let taken = {
        let (mut future, mut tick) = (pin!(future), pin!(sleep(WRITE_TIMEOUT)));
        let mut piece = None;
        poll_fn(|cx| {
            if future.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if piece.is_none() && pace.piece().is_some() {
                piece = pace.piece();
                tick.set(sleep(PIECE_TIMEOUT));
            }
            while tick.as_mut().poll(cx).is_ready() {
                if piece.is_some() && piece == pace.piece() || piece.is_none() && pace.tick() {
                    return Poll::Ready(false);
                }
                piece = pace.piece();
                tick.set(sleep(piece.map_or(WRITE_TIMEOUT, |_| PIECE_TIMEOUT)));
            }
            Poll::Pending
        })
        .await
    };
    if !taken {
        tracing::debug!("HTTP/2 request ended: its answer was not taken");
        return;
    }
    if let Some(after) = pace.take_after() {
        after.await;
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("active", &self.0.active).finish_non_exhaustive()
    }
}
