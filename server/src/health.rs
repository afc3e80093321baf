//! Whether the server is alive (OBS-04) and whether it can do its work, for whoever sends clients to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tourbillon::node::{Node, Unready};

use crate::consumers::Watch;
use crate::router::{Answer, reply};

/// How often the parts of the node are asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// The endpoints at and below `health.handler_prefix`: itself and `/live` answer 200 for as long as the process answers,
/// as Centrifugo does; `/ready`, which is an extension, answers 503 with the reasons where clients had better go
/// elsewhere. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    prefix: String,
    consumers: Watch,
    leaving: AtomicBool,
    state: Mutex<State>,
}

/// What the parts said last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// What is in the way, as JSON.
    Unready(Bytes),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Live,
    Ready,
}

impl Health {
    /// `prefix` does not end in a slash, unless it is one.
    pub(crate) fn new(prefix: String, consumers: Watch) -> Self {
        let (leaving, state) = (AtomicBool::new(false), Mutex::new(State::Starting));
        Self(Arc::new(Inner { prefix, consumers, leaving, state }))
    }

    /// What is asked for at this path; `None` if it is not one of ours.
    pub(crate) fn question(&self, path: &str) -> Option<Question> {
        match path.strip_prefix(self.0.prefix.trim_end_matches('/'))? {
            "" => Some(Question::Live),
            "/" if self.0.prefix == "/" => Some(Question::Live),
            "/live" => Some(Question::Live),
            "/ready" => Some(Question::Ready),
            _ => None,
        }
    }

    /// The answer, whatever the method.
    pub(crate) fn answer(&self, question: Question) -> Answer {
        let json = |status, body: Bytes| reply(status, "application/json", body);
        if question == Question::Live {
            return json(StatusCode::OK, Bytes::from_static(b"{}"));
        }
        let unready = |body| json(StatusCode::SERVICE_UNAVAILABLE, body);
        if self.0.leaving.load(Ordering::Relaxed) {
            return unready(Bytes::from_static(br#"{"status":"leaving"}"#));
        }
        match self.0.state.lock().clone() {
            State::Starting => unready(Bytes::from_static(br#"{"status":"starting"}"#)),
            State::Ready => json(StatusCode::OK, self.ready()),
            State::Unready(reasons) => unready(reasons),
        }
    }

    /// Which consumers fail is told, and is no reason for clients to go elsewhere: all nodes ask the same queues.
    fn ready(&self) -> Bytes {
        let failing: Vec<&str> = self.0.consumers.failing().collect();
        if failing.is_empty() {
            return Bytes::from_static(br#"{"status":"ready"}"#);
        }
        Bytes::from(json!({ "status": "ready", "failing_consumers": failing }).to_string())
    }

    /// Says from now on that the server is about to stop.
    pub(crate) fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Asks the node's parts every 2 s, until `stop` is cancelled, and logs when it can do its work no longer, or again.
    pub(crate) async fn watch(self, node: Node, stop: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watching = async {
            loop {
                ticks.tick().await;
                self.note(&node.unready().await);
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    fn note(&self, unready: &[Unready]) {
        let state = if unready.is_empty() {
            State::Ready
        } else {
            let reason = |it: &Unready| json!({ "part": it.part.to_string(), "error": it.error.to_string() });
            let reasons: Vec<_> = unready.iter().map(reason).collect();
            State::Unready(Bytes::from(json!({ "status": "unready", "reasons": reasons }).to_string()))
        };
        let before = std::mem::replace(&mut *self.0.state.lock(), state.clone());
        if before == state {
            return;
        }
        match state {
            State::Ready if before != State::Starting => tracing::info!("ready again"),
            State::Ready | State::Starting => {}
            State::Unready(_) => {
                let reasons = unready.iter().map(Unready::to_string).collect::<Vec<_>>().join("; ");
                tracing::error!(%reasons, "not ready");
            }
        }
    }
}
