//! Consumers, from settings to something that runs (CONS-07).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tourbillon::node::{Family, Sample, SampleKind};
use tourbillon_api::{ApiService, Protocol};
use tourbillon_config::{ConsumerSettings, ConsumerSource};
use tourbillon_consumers::postgres::{Bell, Outbox, OutboxConfig};
use tourbillon_consumers::{Counts, Health, Mode, Runner, SourceError};

/// How long a source may take to show that it is there.
const START: Duration = Duration::from_secs(10);

/// A consumer's source is not there, or not as it has to be.
#[derive(Debug, thiserror::Error)]
#[error("the consumer {name:?}: {problem}")]
pub struct ConsumerError {
    name: String,
    problem: SourceError,
}

/// What runs for a consumer.
enum Part {
    Outbox(Outbox),
    Bell(Bell),
}

/// One consumer, found to be possible.
struct Consumer {
    name: String,
    mode: Mode,
    parts: Vec<Part>,
    health: Arc<Health>,
}

/// All consumers, which do not run yet.
#[derive(Default)]
pub(crate) struct Consumers {
    all: Vec<Consumer>,
}

impl fmt::Debug for Consumers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|consumer| &consumer.name)).finish()
    }
}

impl Consumers {
    /// Looks whether all sources are there.
    pub(crate) async fn connect(settings: Vec<ConsumerSettings>) -> Result<Self, ConsumerError> {
        let mut all = Vec::new();
        for ConsumerSettings { name, source, .. } in settings {
            let checked = timeout(START, parts(&name, source)).await;
            let checked = checked.unwrap_or_else(|_| Err(SourceError("no answer in time".to_owned())));
            match checked {
                Ok((mode, parts)) => all.push(Consumer { name, mode, parts, health: Arc::default() }),
                Err(problem) => return Err(ConsumerError { name, problem }),
            }
        }
        Ok(Self { all })
    }

    /// How they do.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.all.iter().map(|consumer| (consumer.name.clone(), consumer.health.clone())).collect())
    }

    /// Has them run, each source in a task of its own, until `stop` is cancelled.
    pub(crate) fn start(self, api: &ApiService, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for Consumer { name, mode, parts, health } in self.all {
            tracing::info!(consumer = name, "a consumer starts");
            for part in parts {
                let (health, stop) = (health.clone(), stop.clone());
                match part {
                    Part::Outbox(source) => {
                        let api = api.clone().over(Protocol::Consuming);
                        tasks.spawn(Runner::new(&name, source, mode.clone(), api, health).run(stop));
                    }
                    Part::Bell(bell) => drop(tasks.spawn(bell.run(health, stop))),
                }
            }
        }
        tasks
    }
}

async fn parts(name: &str, source: ConsumerSource) -> Result<(Mode, Vec<Part>), SourceError> {
    match source {
        ConsumerSource::Postgres(config) => {
            let (mut sources, bell) = config.sources(name);
            if let Some(first) = sources.first_mut() {
                first.check().await?;
            }
            let parts = sources.into_iter().map(Part::Outbox).chain(bell.map(Part::Bell));
            Ok((OutboxConfig::mode(), parts.collect()))
        }
        _ => Err(SourceError("its type is not known".to_owned())),
    }
}

static PROCESSED: Family = Family::new(
    SampleKind::Counter,
    "consumers",
    "messages_processed_total",
    "Consumed messages that are done.",
);

static SKIPPED: Family = Family::new(
    SampleKind::Counter,
    "consumers",
    "messages_skipped_total",
    "Consumed messages among those that are done that were no commands, or were refused.",
);

static ERRORS: Family = Family::new(
    SampleKind::Counter,
    "consumers",
    "errors_total",
    "Consumed messages that were to be tried again, and failures of sources.",
);

static FAILING: Family =
    Family::new(SampleKind::Gauge, "consumers", "sources_failing", "Sources of consumers that fail now.");

/// How consumers do (MET-65).
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Vec<(String, Arc<Health>)>);

impl Watch {
    /// The names of those that fail.
    pub(crate) fn failing(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, health)| health.counts().failing > 0).map(|(name, _)| name.as_str())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53")]
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (name, health) in &self.0 {
            let Counts { processed, skipped, errors, failing, .. } = health.counts();
            let labels = || vec![("consumer_name", name.clone().into())];
            samples.push(Sample::new(&PROCESSED, labels(), processed as f64));
            samples.push(Sample::new(&SKIPPED, labels(), skipped as f64));
            samples.push(Sample::new(&ERRORS, labels(), errors as f64));
            samples.push(Sample::new(&FAILING, labels(), failing as f64));
        }
        samples
    }
}
