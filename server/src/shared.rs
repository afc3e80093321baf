//! What nodes keep together beside publications: revocations, in Redis or a database (PRO-34 to PRO-36), and the buckets of
//! users, in Redis (PRO-31).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tourbillon::broker::{BrokerError, Record, RecordsVersion};
use tourbillon::node::{BoxFuture, Node};
use tourbillon::postgres::{self, Postgres, PostgresConfig, PostgresRecords};
use tourbillon::redis::{ConnectError, RedisBucket, RedisRates, RedisRecords};
use tourbillon::types::{Channel, SystemClock, Text, UserId};
use tourbillon_access::{
    CommandLimits, Kept, Revocation, RevocationError, RevocationKind, RevocationStore, SharedBucket,
    SharedBuckets, SharedBucketsError, StoreVersion, StoredRevocations,
};
use tourbillon_config::{RedisPlace, RevocationPlace, SharedLimits};

use crate::engine::chain;

/// How often it is asked whether others have changed revocations.
const POLL: Duration = Duration::from_secs(1);

/// The most revocations of a kind: what a node has room for, of each.
const LIMIT: usize = 1 << 18;

/// Something that nodes share cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// Redis is not there, or not as it has to be.
    #[error("{option}.redis: {source}")]
    Connect {
        /// Whose.
        option: &'static str,
        /// Why.
        source: ConnectError,
    },
    /// The database is not there, or not as it has to be.
    #[error("database.postgresql: {0}")]
    Database(#[from] postgres::ConnectError),
    /// Revocations cannot be read.
    #[error("revocations cannot be read: {0}")]
    Revocations(#[from] RevocationError),
}

/// All of it, connected and read.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) revocations: Arc<StoredRevocations>,
    records: Vec<Arc<RedisRecords>>,
    rates: Option<(CommandLimits, Arc<RedisRates>)>,
}

impl Shared {
    pub(crate) async fn connect(
        places: Vec<(RevocationKind, RevocationPlace)>,
        database: Option<PostgresConfig>,
        limits: Option<SharedLimits>,
    ) -> Result<Self, SharedError> {
        let (mut revocations, mut connected) = (StoredRevocations::default(), Vec::new());
        let database = match database {
            Some(config) => Some(Postgres::connect(config).await?),
            None => None,
        };
        for (kind, place) in places {
            let option = option_of(kind);
            let RevocationPlace::Redis(RedisPlace { shards, prefix }) = place else {
                if let Some(database) = &database {
                    let records = Records::Postgres(database.records(option, LIMIT));
                    revocations = revocations.with_store(kind, Arc::new(Store { kind, records }));
                }
                continue;
            };
            for shard in shards {
                let records = RedisRecords::connect(shard, &prefix, option, LIMIT).await;
                let records = Arc::new(records.map_err(|source| SharedError::Connect { option, source })?);
                connected.push(records.clone());
                let records = Records::Redis(records);
                revocations = revocations.with_store(kind, Arc::new(Store { kind, records }));
            }
        }
        revocations.refresh().await?;
        // Nobody is connected yet.
        let _ = revocations.take_stricter();
        let rates = match limits {
            Some(SharedLimits { commands, place: RedisPlace { shards, prefix } }) => {
                let option = "client.rate_limit.redis_user_command";
                let rates = RedisRates::connect(shards, &prefix).await;
                Some((commands, Arc::new(rates.map_err(|source| SharedError::Connect { option, source })?)))
            }
            None => None,
        };
        Ok(Self { revocations: Arc::new(revocations), records: connected, rates })
    }

    /// The limits of users on all nodes, and their buckets; `None` where there are none.
    pub(crate) fn limits(&self) -> Option<(&CommandLimits, Arc<dyn SharedBuckets>)> {
        let (limits, rates) = self.rates.as_ref()?;
        Some((limits, Arc::new(Buckets(rates.clone()))))
    }

    /// Learns what other nodes change, until `stop` is cancelled.
    pub(crate) async fn run(self, node: Node, stop: CancellationToken) {
        let keep = async {
            let records = join_all(self.records.iter().map(|records| records.look_after()));
            let rates = join_all(self.rates.iter().map(|(_, rates)| rates.look_after()));
            tokio::join!(records, rates)
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = learn(&self.revocations, &node) => {}
            _ = keep, if !self.records.is_empty() || self.rates.is_some() => {}
        }
    }
}

/// Does not end by itself.
async fn learn(revocations: &StoredRevocations, node: &Node) {
    if !revocations.has_stores() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What went wrong has been told, and is tried again. What one store said counts though another is away.
        let _ = revocations.refresh().await;
        if revocations.take_stricter() {
            // Other nodes find out by themselves.
            node.recheck_here(None).await;
        }
    }
}

const fn option_of(kind: RevocationKind) -> &'static str {
    match kind {
        RevocationKind::User => "user_block",
        RevocationKind::Token => "token_revoke",
        _ => "user_tokens_invalidate",
    }
}

/// Revocations of one kind as records.
#[derive(Debug)]
struct Store {
    kind: RevocationKind,
    records: Records,
}

/// Where records are.
#[derive(Debug)]
enum Records {
    Redis(Arc<RedisRecords>),
    Postgres(PostgresRecords),
}

impl Records {
    async fn keep(&self, record: &Record, now: i64) -> Result<bool, BrokerError> {
        match self {
            Self::Redis(records) => records.keep(record, now).await,
            Self::Postgres(records) => records.keep(record, now).await,
        }
    }

    async fn forget(&self, name: &str) -> Result<(), BrokerError> {
        match self {
            Self::Redis(records) => records.forget(name).await,
            Self::Postgres(records) => records.forget(name).await,
        }
    }

    async fn version(&self) -> Result<RecordsVersion, BrokerError> {
        match self {
            Self::Redis(records) => records.version().await,
            Self::Postgres(records) => records.version().await,
        }
    }

    async fn all(&self) -> Result<(RecordsVersion, Vec<Record>), BrokerError> {
        match self {
            Self::Redis(records) => records.all().await,
            Self::Postgres(records) => records.all().await,
        }
    }
}

fn failed(error: BrokerError) -> RevocationError {
    RevocationError::Unavailable(chain(&error))
}

fn version(RecordsVersion { life, number, .. }: RecordsVersion) -> StoreVersion {
    StoreVersion { life, number }
}

/// The present, in seconds since 1970 UTC.
fn now() -> i64 {
    SystemClock::unix_millis().div_euclid(1_000)
}

/// What a record says; `None` for one that is none of ours. Names of older tokens begin with `c:` for connections and with
/// `s:`, the length of the user's name and `:` for subscriptions to a channel.
fn revocation_of(kind: RevocationKind, record: Record) -> Option<Kept> {
    let revocation = match kind {
        RevocationKind::User => Revocation::User(UserId::from(record.name)),
        RevocationKind::Token => Revocation::Token(Text::from(record.name)),
        _ => {
            let (user, channel) = match record.name.strip_prefix("c:") {
                Some(user) => (user, None),
                None => {
                    let (length, names) = record.name.strip_prefix("s:")?.split_once(':')?;
                    let (user, channel) = names.split_at_checked(length.parse().ok()?)?;
                    (user, Some(Channel::from(channel)))
                }
            };
            Revocation::TokensOf { user: UserId::from(user), channel, issued_before: record.number }
        }
    };
    Some((revocation, record.until))
}

/// The name of a revocation's record, and its number.
fn name_of(revocation: &Revocation) -> (String, i64) {
    match revocation {
        Revocation::User(user) => (user.as_str().to_owned(), 0),
        Revocation::Token(id) => (id.as_str().to_owned(), 0),
        Revocation::TokensOf { user, channel: None, issued_before } => {
            (format!("c:{}", user.as_str()), *issued_before)
        }
        Revocation::TokensOf { user, channel: Some(channel), issued_before } => {
            let user = user.as_str();
            (format!("s:{}:{user}{}", user.len(), channel.as_str()), *issued_before)
        }
        _ => (String::new(), 0),
    }
}

impl RevocationStore for Store {
    fn keep<'a>(
        &'a self,
        revocation: &'a Revocation,
        expire_at: Option<i64>,
    ) -> BoxFuture<'a, Result<(), RevocationError>> {
        Box::pin(async move {
            let (name, number) = name_of(revocation);
            let record = Record::new(name, expire_at, number);
            let kept = self.records.keep(&record, now()).await.map_err(failed)?;
            if kept { Ok(()) } else { Err(RevocationError::Full(LIMIT)) }
        })
    }

    fn forget<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), RevocationError>> {
        Box::pin(async move { self.records.forget(&name_of(revocation).0).await.map_err(failed) })
    }

    fn version(&self) -> BoxFuture<'_, Result<StoreVersion, RevocationError>> {
        Box::pin(async move { self.records.version().await.map(version).map_err(failed) })
    }

    fn all(&self) -> BoxFuture<'_, Result<(StoreVersion, Vec<Kept>), RevocationError>> {
        Box::pin(async move {
            let (at, records) = self.records.all().await.map_err(failed)?;
            let now = now();
            let hold = records.into_iter().filter(|record| record.until.is_none_or(|until| until > now));
            Ok((version(at), hold.filter_map(|record| revocation_of(self.kind, record)).collect()))
        })
    }
}

/// Buckets of users in Redis.
#[derive(Debug)]
struct Buckets(Arc<RedisRates>);

impl SharedBuckets for Buckets {
    fn take<'a>(
        &'a self,
        user: &'a UserId,
        buckets: Vec<SharedBucket>,
    ) -> BoxFuture<'a, Result<bool, SharedBucketsError>> {
        Box::pin(async move {
            let buckets: Vec<_> =
                buckets.into_iter().map(|it| RedisBucket::new(it.name, it.step, it.rate)).collect();
            let taken = self.0.take(user.as_str(), &buckets).await;
            taken.map_err(|error| SharedBucketsError(error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_older_tokens_tell_users_and_channels_apart() {
        let of = |user: &str, channel: Option<&str>| Revocation::TokensOf {
            user: UserId::from(user),
            channel: channel.map(Channel::from),
            issued_before: 7,
        };
        let all = [
            of("", None),
            of("s:1:a", None),
            of("ann", Some("a:b")),
            of("an", Some("na:b")),
            of("ünd:", Some("")),
        ];
        let mut names: Vec<_> = all.iter().map(|revocation| name_of(revocation).0).collect();
        for (revocation, name) in all.iter().zip(&names) {
            let record = Record::new(name.clone(), Some(9), 7);
            assert_eq!(revocation_of(RevocationKind::TokensOf, record), Some((revocation.clone(), Some(9))));
        }
        names.dedup();
        assert_eq!(names.len(), all.len());
        for strange in ["", "ann", "s:", "s:9:ann", "s:1:ü", "s:x:ann"] {
            assert_eq!(
                revocation_of(RevocationKind::TokensOf, Record::new(strange.to_owned(), None, 7)),
                None
            );
        }
    }
}
