//! Connections of HTTP/1.1.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tourbillon::transport::Lender;

use super::pace::{HEAD_TIMEOUT, Pace, WRITE_TIMEOUT};
use crate::router::Routed;

/// The largest head of a request, in bytes.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;

/// How HTTP/1.1 is spoken.
pub(super) struct Http1(http1::Builder);

impl Http1 {
    pub(super) fn new() -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
        // Answers are small: one piece costs the system less than several.
        http.writev(false);
        Self(http)
    }
}

/// Serves one connection to its end, or to the end of its request where `stop` is cancelled.
pub(super) fn converse<S>(
    http: &Http1,
    stream: S,
    routed: Routed,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, pace) = (routed.peer.map(tracing::field::display), routed.pace.clone());
    let (lender, lent) = Lender::lend(stream);
    let served = http.0.serve_connection(TokioIo::new(lent), routed).with_upgrades();
    async move {
        {
            let mut served = pin!(served);
            let mut stopping = false;
            // No interval: its first tick is at once, and such a timer wakes the runtime for every connection.
            let mut tick = pin!(sleep(WRITE_TIMEOUT));
            loop {
                tokio::select! {
                    // What is done with a stream is seen once the HTTP library has done its part.
                    biased;
                    result = &mut served => {
                        if let Err(error) = result {
                            tracing::debug!(peer, %error, "HTTP connection failed");
                            return;
                        }
                        break;
                    }
                    () = head_written(&pace, &lender) => break,
                    () = stop.cancelled(), if !stopping => {
                        stopping = true;
                        served.as_mut().graceful_shutdown();
                    }
                    () = &mut tick => {
                        tick.set(sleep(WRITE_TIMEOUT));
                        if pace.tick() {
                            tracing::debug!(peer, "HTTP connection ended: its answer was not taken");
                            return;
                        }
                    }
                }
            }
        }
        if let Some(pending) = pace.take_stream() {
            if let Some(stream) = lender.take() {
                pending.begin(stream);
            }
            return;
        }
        // Here rather than in a task of its own, and after all of HTTP is dropped: an upgrade that did not come about
        // is told by that.
        if let Some(after) = pace.take_after() {
            after.await;
        }
    }
}

/// Ready when an answer goes on without the HTTP library and that has written the head. Asked after the library was,
/// which is woken as long as there is something unwritten.
async fn head_written<S>(pace: &Pace, lender: &Lender<S>) {
    let written = || pace.has_stream() && lender.is_flushed();
    poll_fn(|_| if written() { Poll::Ready(()) } else { Poll::Pending }).await;
}
