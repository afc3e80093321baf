//! From a source to the API.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tourbillon_api::{ApiCommand, ApiError, ApiReply};
use tower_service::Service;

use crate::health::Health;
use crate::message::{Message, Mode};
use crate::pause::{chance, pause};
use crate::source::{Batch, Outcome, Source, SourceError};
use crate::verdict::{Verdict, judge};

/// How long a source may take to hand out messages, connecting included, and to be told what became of them.
const SOURCE: Duration = Duration::from_secs(30);

/// How long a command may take. The calls that it is made of have shorter limits.
const COMMAND: Duration = Duration::from_secs(30);

/// After this time no further message of a batch is begun: whoever lends them does not wait for ever.
const BATCH: Duration = Duration::from_secs(10);

/// Takes messages from a source and has them carried out, one after the other, until it is stopped.
pub struct Runner<S, A> {
    /// The consumer's name, for logs.
    consumer: String,
    source: S,
    mode: Mode,
    api: A,
    health: Arc<Health>,
    /// Failures in a row.
    failures: u32,
}

impl<S: Source, A> fmt::Debug for Runner<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("consumer", &self.consumer)
            .field("source", &self.source.name())
            .finish_non_exhaustive()
    }
}

/// What is left to do after a round.
enum Next {
    /// Take more at once.
    Take,
    /// Wait until there may be more.
    Idle,
    /// Wait, since a message that holds up others failed.
    Pause,
}

impl<S, A> Runner<S, A>
where
    S: Source,
    A: Service<ApiCommand, Response = ApiReply, Error = ApiError> + Send + 'static,
    A::Future: Send,
{
    /// Puts one together; nothing happens yet. How it does is told to `health`, which sources of one consumer share.
    pub fn new(consumer: &str, source: S, mode: Mode, api: A, health: Arc<Health>) -> Self {
        Self { consumer: consumer.to_owned(), source, mode, api, health, failures: 0 }
    }

    /// Runs until `stop` is cancelled. Then messages that were taken are carried out still and the source is told; no more
    /// are taken. Failures and panics of source and API are outlived.
    ///
    /// # Cancel safety
    ///
    /// What was taken comes again, though it may have been carried out.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let round = AssertUnwindSafe(self.round(&stop)).catch_unwind().await;
            let next =
                round.unwrap_or_else(|panic| Err(SourceError(format!("panicked: {}", text_of(&*panic)))));
            let next = next.unwrap_or_else(|error| self.failed(error));
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.wait(next) => {}
            }
        }
        self.source.reset();
    }

    async fn wait(&mut self, next: Next) {
        match next {
            Next::Take => {}
            Next::Idle => self.source.idle().await,
            Next::Pause => sleep(pause(self.failures, chance())).await,
        }
    }

    /// The source failed, and has to begin anew.
    fn failed(&mut self, error: SourceError) -> Next {
        self.failures = self.failures.saturating_add(1);
        let (consumer, source) = (&self.consumer, self.source.name());
        tracing::error!(consumer, source, failures = self.failures, %error, "a consumer's source failed");
        self.health.failed(source, error.0);
        self.source.reset();
        Next::Pause
    }

    /// Takes messages once, and says what became of them.
    async fn round(&mut self, stop: &CancellationToken) -> Result<Next, SourceError> {
        // A source that is away is not waited for at the end.
        let taken = stop.run_until_cancelled(in_time(self.source.take())).await;
        let Some(taken) = taken else { return Ok(Next::Idle) };
        let Batch { messages, more } = taken?;
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut over = pin!(sleep(BATCH));
        let mut failure = None;
        for message in &messages {
            if !outcomes.is_empty() && has_passed(&mut over) {
                break;
            }
            let verdict = tokio::select! {
                verdict = handle(&mut self.api, &self.mode, message) => verdict,
                lost = self.source.lost() => return Err(lost),
            };
            let outcome = self.conclude(message, verdict);
            outcomes.push(outcome);
            if outcome != Outcome::Done && self.source.is_ordered() {
                failure = Some(outcomes.len() == 1);
                break;
            }
        }
        if !messages.is_empty() {
            in_time(self.source.settle(&outcomes)).await?;
        }
        let done = outcomes.iter().filter(|outcome| **outcome == Outcome::Done);
        done.for_each(|_| self.health.processed());
        Ok(match failure {
            // It held up the others before, and does so still.
            Some(true) => self.held_up(self.failures),
            Some(false) => self.held_up(0),
            None => {
                if self.failures > 0 {
                    let (consumer, source) = (&self.consumer, self.source.name());
                    tracing::info!(consumer, source, "a consumer's source works again");
                    self.health.recovered(source);
                }
                self.failures = 0;
                if more || outcomes.len() < messages.len() { Next::Take } else { Next::Idle }
            }
        })
    }

    fn held_up(&mut self, failures: u32) -> Next {
        self.failures = failures.saturating_add(1);
        self.health
            .failed(self.source.name(), "a message cannot be carried out, and others wait for it".to_owned());
        Next::Pause
    }

    /// Says what became of a message.
    fn conclude(&self, message: &Message, verdict: Result<Verdict, String>) -> Outcome {
        let (consumer, source, message_id) = (&self.consumer, self.source.name(), &message.id);
        let why = match verdict {
            Ok(Verdict::Done) => return Outcome::Done,
            Ok(Verdict::Again(error)) => {
                let deliveries = message.deliveries;
                tracing::error!(
                    consumer, source, message_id, deliveries, %error,
                    "a consumed message failed and is tried again"
                );
                if !self.source.is_ordered() {
                    self.health.stumbled();
                }
                return Outcome::Again(pause(deliveries, chance()));
            }
            Ok(Verdict::Refused(error)) => error.to_string(),
            Err(why) => why,
        };
        tracing::error!(consumer, source, message_id, why, "a consumed message is skipped");
        self.health.skipped();
        Outcome::Done
    }
}

/// Has a message carried out; an error says why it is no command.
async fn handle<A>(api: &mut A, mode: &Mode, message: &Message) -> Result<Verdict, String>
where
    A: Service<ApiCommand, Response = ApiReply, Error = ApiError>,
{
    let command = mode.command(message).map_err(|skip| skip.to_string())?;
    let carried_out = async {
        poll_fn(|cx| api.poll_ready(cx)).await?;
        api.call(command).await
    };
    let late = || Err(ApiError::INTERNAL.with_message("no answer in time"));
    Ok(judge(timeout(COMMAND, carried_out).await.unwrap_or_else(|_| late())))
}

async fn in_time<T>(asked: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
    timeout(SOURCE, asked).await.unwrap_or_else(|_| Err(SourceError("no answer in time".to_owned())))
}

fn has_passed(time: &mut Pin<&mut Sleep>) -> bool {
    time.as_mut().now_or_never().is_some()
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests;
