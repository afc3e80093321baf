//! Limits of what users may do on all nodes together (PRO-31).
//!
//! Buckets are kept elsewhere, so asking them takes a while and can fail. A limit that cannot be asked refuses nobody: what
//! it guards is worth less than that everybody can go on. Then it is not asked again for a moment, so that no command
//! waits for what is away.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tourbillon_node::Refusal;
use tourbillon_types::{Instant, ReplyError, UserId};

use super::config::{CommandLimits, LimitsError, Operation};
use super::layer::{Layer, Wanted};
use crate::revocations::BoxFuture;

/// How long after a question that had no answer no other is asked; counted from when that one was.
const PAUSE: Duration = Duration::from_secs(2);

/// A bucket of a user, to be taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedBucket {
    /// What tells it from the user's other buckets: the same on nodes with the same options.
    pub name: String,
    /// How long one token takes to come back.
    pub step: Duration,
    /// How many it holds.
    pub rate: u32,
}

/// Why buckets cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SharedBucketsError(
    /// What is wrong.
    pub String,
);

/// Keeps token buckets of users for several nodes.
pub trait SharedBuckets: fmt::Debug + Send + Sync + 'static {
    /// Takes a token of each of these buckets of a user, if each has one; otherwise of none, and `false`. A command waits
    /// for it: the answer, or the error, must come within a second.
    ///
    /// # Errors
    ///
    /// [`SharedBucketsError`]: whether tokens were taken is unknown then, and the command is let pass.
    ///
    /// # Cancel safety
    ///
    /// Tokens may have been taken.
    fn take<'a>(
        &'a self,
        user: &'a UserId,
        buckets: Vec<SharedBucket>,
    ) -> BoxFuture<'a, Result<bool, SharedBucketsError>>;
}

/// The layer, ready to be asked.
#[derive(Debug)]
pub(crate) struct Shared {
    layer: Layer,
    buckets: Arc<dyn SharedBuckets>,
    /// Nobody is asked before, in nanoseconds of the node's clock.
    asked_from: AtomicU64,
    /// How many commands were let pass because nobody could be asked.
    passed: AtomicU64,
}

/// What is to be asked about a command.
#[derive(Debug)]
pub(crate) struct Question {
    operation: Operation,
    buckets: Vec<SharedBucket>,
}

impl Shared {
    /// `None` for a layer that is off.
    pub(crate) fn new(
        config: &CommandLimits,
        buckets: Arc<dyn SharedBuckets>,
    ) -> Result<Option<Self>, LimitsError> {
        let (asked_from, passed) = (AtomicU64::new(0), AtomicU64::new(0));
        let layer = Layer::new("redis_user_command", config)?;
        Ok(layer.map(|layer| Self { layer, buckets, asked_from, passed }))
    }

    /// What to ask about a command; `None` where nothing limits it, or nobody can be asked.
    pub(crate) fn question(&self, wanted: Wanted<'_>, now: Instant) -> Option<Question> {
        let (set, operation) = (self.layer.set(wanted)?, wanted.operation);
        if now.as_nanos() < self.asked_from.load(Ordering::Relaxed) {
            self.passed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let buckets = set.numbered().map(|(number, rate)| SharedBucket {
            name: format!("{}.{number}", operation.name()),
            step: rate.step(),
            rate: rate.holds(),
        });
        Some(Question { operation, buckets: buckets.collect() })
    }

    /// Whether a command may pass. `now` is when the question came up.
    pub(crate) async fn ask(&self, user: &UserId, question: Question, now: Instant) -> Result<(), Refusal> {
        let Question { operation, buckets } = question;
        match self.buckets.take(user, buckets).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.layer.tally.count(operation);
                if self.layer.dry_run || operation.is_release() {
                    return Ok(());
                }
                Err(ReplyError::TOO_MANY_REQUESTS.into())
            }
            Err(error) => {
                self.passed.fetch_add(1, Ordering::Relaxed);
                let before = self.asked_from.fetch_max((now + PAUSE).as_nanos(), Ordering::Relaxed);
                if before <= now.as_nanos() {
                    tracing::warn!(%error, "a rate limit of users cannot be asked, and lets everything pass");
                }
                Ok(())
            }
        }
    }

    /// Tells what was too much since the last time, and what was let pass unasked.
    pub(crate) fn tell(&self) {
        self.layer.tell("redis_user_command");
        let passed = self.passed.swap(0, Ordering::Relaxed);
        if passed > 0 {
            tracing::warn!(
                layer = "redis_user_command",
                passed,
                "commands were let pass without being limited"
            );
        }
    }
}
