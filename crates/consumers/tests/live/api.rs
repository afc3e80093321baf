//! An API that says what it was asked, and fails as channels want it to.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tourbillon_api::command::Publish;
use tourbillon_api::{ApiCommand, ApiError, ApiReply};
use tourbillon_consumers::{Health, Mode, Runner, Source};
use tower::service_fn;

use crate::server::PATIENCE;

/// Runs a test to its end, or fails it if it hangs. Consumers run beside it, so that it may wait for things elsewhere.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let limited = async { tokio::time::timeout(PATIENCE, future).await };
    runtime.expect("a runtime").block_on(limited).expect("the test hangs")
}

/// What was published, and how a consumer does that has it published.
pub(crate) struct Api {
    told: mpsc::UnboundedSender<String>,
    published: mpsc::UnboundedReceiver<String>,
    /// How often publications into a channel fail yet.
    failures: Arc<Mutex<HashMap<String, u32>>>,
    pub(crate) health: Arc<Health>,
    pub(crate) stop: CancellationToken,
    running: Vec<JoinHandle<()>>,
}

impl Api {
    pub(crate) fn new() -> Self {
        let (told, published) = mpsc::unbounded_channel();
        Self {
            told,
            published,
            failures: Arc::default(),
            health: Arc::default(),
            stop: CancellationToken::new(),
            running: Vec::new(),
        }
    }

    /// Has publications into a channel fail so often; those into `hang` never end.
    pub(crate) fn fail(&self, channel: &str, times: u32) {
        self.failures.lock().insert(channel.to_owned(), times);
    }

    /// Runs a source whose messages it carries out.
    pub(crate) fn run(&mut self, source: impl Source, mode: Mode) {
        let (told, failures) = (self.told.clone(), self.failures.clone());
        let api = service_fn(move |command: ApiCommand| {
            let (told, failures) = (told.clone(), failures.clone());
            async move {
                let ApiCommand::Publish(Publish { channel, content, .. }) = command else {
                    return Err(ApiError::BAD_REQUEST);
                };
                let channel = channel.as_str();
                let data = String::from_utf8_lossy(content.data.bytes()).into_owned();
                let _ = told.send(format!("{channel} {data}"));
                let fails = failures.lock().get_mut(channel).is_some_and(|left| {
                    let fails = *left > 0;
                    *left -= u32::from(fails);
                    fails
                });
                match fails {
                    true if channel == "hang" => std::future::pending().await,
                    true => Err(ApiError::INTERNAL),
                    false => Ok(ApiReply::HistoryRemove),
                }
            }
        });
        let runner = Runner::new("orders", source, mode, api, self.health.clone());
        self.running.push(tokio::spawn(runner.run(self.stop.clone())));
    }

    /// What is published next: channel and data.
    pub(crate) async fn next(&mut self) -> String {
        self.published.recv().await.expect("somebody publishes")
    }

    /// The next so many.
    pub(crate) async fn several(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            all.push(self.next().await);
        }
        all
    }

    /// Ends all that runs; what was published and nobody asked for yet.
    pub(crate) async fn end(mut self) -> Vec<String> {
        self.stop.cancel();
        for running in self.running {
            running.await.expect("no panic");
        }
        self.published.close();
        std::iter::from_fn(|| self.published.try_recv().ok()).collect()
    }
}
