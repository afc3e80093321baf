//! Token buckets that nodes share (PRO-31).

use std::time::Duration;

use fred::types::Value;
use futures_util::future::join_all;
use tourbillon_broker::BrokerError;

use crate::client::{ConnectError, number, run};
use crate::config::ShardConfig;
use crate::scripts::RATES_TAKE;
use crate::shard::{Shard, Shards};

/// How long an answer is waited for, however long `io_timeout` is: somebody waits for each.
const DEADLINE: Duration = Duration::from_secs(1);

/// A bucket of somebody: holds `rate` tokens, which come back evenly over its interval.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisBucket {
    /// What tells it from other buckets of the same owner.
    pub name: String,
    /// How long one token takes to come back. Not below a microsecond.
    pub step: Duration,
    /// How many it holds.
    pub rate: u32,
}

impl RedisBucket {
    /// A bucket of this name.
    #[must_use]
    pub const fn new(name: String, step: Duration, rate: u32) -> Self {
        Self { name, step, rate }
    }
}

/// Token buckets on Redis, which all nodes take from. Only buckets that are not full take memory there, an hour after
/// their last use at most. The clock is that of Redis.
///
/// An owner's buckets are one hash, `<prefix>.rate.<owner>`, on the shard that consistent hashing has for the owner.
#[derive(Debug)]
pub struct RedisRates {
    shards: Shards,
}

impl RedisRates {
    /// Connects to all shards.
    ///
    /// # Errors
    ///
    /// When one of them cannot be reached or does not take us.
    pub async fn connect(shards: Vec<ShardConfig>, prefix: &str) -> Result<Self, ConnectError> {
        Ok(Self { shards: Shards::connect(shards, prefix).await? })
    }

    /// Takes a token from each of these buckets of `owner`, if each has one; otherwise from none, and `false`.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked, or does not answer within a second: whether tokens were taken is unknown.
    ///
    /// # Cancel safety
    ///
    /// Tokens may have been taken.
    pub async fn take(&self, owner: &str, buckets: &[RedisBucket]) -> Result<bool, BrokerError> {
        let place = self.shards.place(owner);
        let shard = self.shards.0.get(place).ok_or(BrokerError::internal("no shard"))?;
        let mut args: Vec<Value> = Vec::with_capacity(3 * buckets.len());
        for RedisBucket { name, step, rate } in buckets {
            // Whole nanoseconds, as microseconds with a fraction.
            let micros = |nanos: u128| format!("{}.{:03}", nanos / 1_000, nanos % 1_000);
            let step = step.as_nanos().max(1_000);
            let span = step.saturating_mul(u128::from(*rate));
            args.extend([name.as_str().into(), micros(step).into(), micros(span).into()]);
        }
        let asking = run(&shard.commands, &RATES_TAKE, vec![shard.keys.rates(owner)], args);
        match tokio::time::timeout(DEADLINE, asking).await {
            Ok(answer) => Ok(number(&answer?)? == 1),
            Err(_) => Err(BrokerError::unavailable("Redis did not answer within a second")),
        }
    }

    /// Says what connections are called whenever they have come back. Does not end by itself.
    ///
    /// # Cancel safety
    ///
    /// It can be called again.
    pub async fn look_after(&self) {
        join_all(self.shards.0.iter().map(Shard::keep)).await;
    }
}
