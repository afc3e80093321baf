//! Limits of what clients may do in which time, as a decorator.
//!
//! Four layers, asked in this order: what a connection does, what a user does on this node, what a user does on all nodes,
//! and how many errors a connection causes. Each is off by default and then takes no memory; where it is on, only whoever
//! used something up takes some, until it has come back. What each layer found to be too much is told in the log every ten
//! seconds.
//!
//! Commands are judged before anything is done for them, by [`Hooks::command`]. A user's `connect` is judged once the
//! user is known, which takes the check of a token: what comes before that, [`RateLimiter`] is for.

mod bucket;
mod config;
mod layer;
mod shared;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Either;
use tourbillon_node::hooks::Judgement;
use tourbillon_node::{Client, ClientCommand, ConnectDecision, ConnectRequest, Hooks, Refusal};
use tourbillon_types::{ClientId, Disconnect, ErrorCode, Instant, Now, ReplyError, UserId};

use self::bucket::{Meter, Set};
use self::layer::{Layer, Verdict, Wanted};
use self::shared::Shared;
use crate::forward::forward;
use crate::{Live, Namespaces};

pub use self::bucket::RateLimiter;
pub use self::config::{
    Bucket, BucketProblem, Buckets, CommandBuckets, CommandLimits, ErrorLimits, LimitsConfig, LimitsError,
    Operation,
};
pub use self::shared::{SharedBucket, SharedBuckets, SharedBucketsError};

/// The most connections that are followed by each layer at once.
const CONNECTIONS: usize = 1 << 20;

/// The most users that are followed at once.
const USERS: usize = 1 << 18;

/// How often what was too much is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Bounds what clients may do in which time, and leaves the rest to `H`.
///
/// | too much of what | what follows |
/// |---|---|
/// | commands of a connection or a user | error 111, which is temporary |
/// | `unsubscribe`, which is never refused | nothing, or 3503 where `disconnect_on_accounted_limit` is set |
/// | connects of a user | error 111; 3013 for unidirectional clients |
/// | errors, but for internal ones | 3509 |
#[derive(Debug)]
pub struct Limits<H> {
    connections: Option<Followed<ClientId>>,
    users: Option<Followed<UserId>>,
    shared: Option<Arc<Shared>>,
    errors: Option<Errors>,
    namespaces: Live<Namespaces>,
    told: AtomicU64,
    inner: H,
}

/// A layer with whom it follows.
#[derive(Debug)]
struct Followed<K> {
    layer: Layer,
    meter: Meter<K>,
}

#[derive(Debug)]
struct Errors {
    set: Set,
    meter: Meter<ClientId>,
    dry_run: bool,
    count: AtomicU64,
}

impl<K: std::hash::Hash + Eq + Clone> Followed<K> {
    fn new(path: &str, config: &CommandLimits, limit: usize) -> Result<Option<Self>, LimitsError> {
        Ok(Layer::new(path, config)?.map(|layer| Self { layer, meter: Meter::new(limit) }))
    }

    /// What is to be done about a command. Counts it where it is too much.
    fn ask(&self, key: &K, wanted: Wanted<'_>, now: Instant) -> Verdict {
        let verdict = self.meter.with(key, now, |levels| self.layer.ask(wanted, levels, now));
        if verdict == Verdict::Within {
            return verdict;
        }
        self.layer.tally.count(wanted.operation);
        if self.layer.dry_run { Verdict::Within } else { verdict }
    }
}

impl Layer {
    fn tell(&self, name: &'static str) {
        for (operation, hits) in self.tally.take() {
            let (command, dry_run) = (operation.name(), self.dry_run);
            tracing::warn!(layer = name, command, hits, dry_run, "a rate limit was exceeded");
        }
    }
}

impl Errors {
    fn new(config: &ErrorLimits) -> Result<Option<Self>, LimitsError> {
        let wrong = |problem| LimitsError { path: "client_error.total.buckets".to_owned(), problem };
        let set = Set::new(&config.total.buckets, &mut 0).map_err(wrong)?;
        let on = config.enabled && config.total.enabled && !config.total.buckets.is_empty();
        let (dry_run, count) = (config.dry_run, AtomicU64::new(0));
        Ok(on.then(|| Self { set, meter: Meter::new(CONNECTIONS), dry_run, count }))
    }

    fn ask(&self, client: ClientId, now: Instant) -> Result<(), Disconnect> {
        if self.meter.with(&client, now, |levels| levels.take(&[Some(&self.set)], now)) {
            return Ok(());
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.dry_run { Ok(()) } else { Err(Disconnect::TOO_MANY_ERRORS) }
    }

    fn tell(&self) {
        let hits = self.count.swap(0, Ordering::Relaxed);
        if hits > 0 {
            let dry_run = self.dry_run;
            tracing::warn!(
                layer = "client_error",
                command = "error",
                hits,
                dry_run,
                "a rate limit was exceeded"
            );
        }
    }
}

impl LimitsConfig {
    /// Looks whether limits can be made of it.
    ///
    /// # Errors
    ///
    /// The first bucket that cannot be used, of layers that are off, too.
    pub fn check(&self) -> Result<(), LimitsError> {
        Layer::new("client_command", &self.client_command)?;
        Layer::new("user_command", &self.user_command)?;
        Errors::new(&self.client_error).map(drop)
    }
}

impl CommandLimits {
    /// Looks whether limits can be made of it. `path` is that of its options below `client.rate_limit`.
    ///
    /// # Errors
    ///
    /// The first bucket that cannot be used, of a layer that is off, too.
    pub fn check(&self, path: &str) -> Result<(), LimitsError> {
        Layer::new(path, self).map(drop)
    }
}

impl<H> Limits<H> {
    /// Puts limits before `inner`. The namespaces tell those of channels apart.
    ///
    /// # Errors
    ///
    /// The first bucket that cannot be used, of layers that are off, too.
    pub fn new(
        config: &LimitsConfig,
        namespaces: impl Into<Live<Namespaces>>,
        inner: H,
    ) -> Result<Self, LimitsError> {
        Ok(Self {
            connections: Followed::new("client_command", &config.client_command, CONNECTIONS)?,
            users: Followed::new("user_command", &config.user_command, USERS)?,
            shared: None,
            errors: Errors::new(&config.client_error)?,
            namespaces: namespaces.into(),
            told: AtomicU64::new(0),
            inner,
        })
    }

    /// Holds limits of users on all nodes together besides, by buckets that these share. While those cannot be asked,
    /// everything is let pass, which the log tells every ten seconds.
    ///
    /// # Errors
    ///
    /// The first bucket that cannot be used, of a layer that is off, too.
    pub fn with_shared(
        mut self,
        config: &CommandLimits,
        buckets: Arc<dyn SharedBuckets>,
    ) -> Result<Self, LimitsError> {
        self.shared = Shared::new(config, buckets)?.map(Arc::new);
        Ok(self)
    }

    /// How many connections and users take memory: those that used something up which has not come back yet.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.connections.as_ref().map_or(0, |followed| followed.meter.len())
            + self.users.as_ref().map_or(0, |followed| followed.meter.len())
            + self.errors.as_ref().map_or(0, |errors| errors.meter.len())
    }

    /// Asks about a command, if it is limited at all.
    fn with<R>(&self, command: ClientCommand<'_>, ask: impl FnOnce(Wanted<'_>) -> R) -> Option<R> {
        let operation = Operation::of(command)?;
        let method = if let ClientCommand::Rpc(method) = command { method } else { "" };
        Some(match command.channel() {
            Some(channel) => self.namespaces.with(|namespaces| {
                let namespace = namespaces.resolve(channel).0.namespace;
                ask(Wanted { operation, namespace, method })
            }),
            None => ask(Wanted { operation, namespace: "", method }),
        })
    }

    fn judge(&self, client: &Client, wanted: Wanted<'_>, now: Instant) -> Result<(), Refusal> {
        if let Some(connections) = &self.connections {
            match connections.ask(&client.id, wanted, now) {
                Verdict::Over => return Err(ReplyError::TOO_MANY_REQUESTS.into()),
                Verdict::OverButDone if connections.layer.disconnect_on_accounted_limit => {
                    return Err(Disconnect::FORCE_DISCONNECT.into());
                }
                Verdict::Within | Verdict::OverButDone => {}
            }
        }
        match &self.users {
            Some(users)
                if !client.user.is_anonymous() && users.ask(&client.user, wanted, now) == Verdict::Over =>
            {
                Err(ReplyError::TOO_MANY_REQUESTS.into())
            }
            _ => Ok(()),
        }
    }

    /// What the nodes together say, once they have been asked.
    fn judge_later(&self, user: &UserId, command: ClientCommand<'_>, now: Instant) -> Option<Judgement> {
        let shared = self.shared.as_ref().filter(|_| !user.is_anonymous())?;
        let question = self.with(command, |wanted| shared.question(wanted, now))??;
        let (shared, user) = (shared.clone(), user.clone());
        Some(Box::pin(async move { shared.ask(&user, question, now).await }))
    }
}

impl<H: Hooks> Hooks for Limits<H> {
    // Not an async fn: its future would have room for the request and for the one inside.
    fn connect(
        &self,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<ConnectDecision, Refusal>> + Send {
        let now = request.instant;
        let wanted = Wanted { operation: Operation::Connect, namespace: "", method: "" };
        let decided = self.inner.connect(request).map(move |decision| {
            let decision = decision?;
            if let Some(users) = self.users.as_ref().filter(|_| !decision.user.is_anonymous())
                && users.ask(&decision.user, wanted, now) == Verdict::Over
            {
                return Err(ReplyError::TOO_MANY_REQUESTS.into());
            }
            Ok(decision)
        });
        let Some(shared) = self.shared.as_ref() else { return Either::Left(decided) };
        Either::Right(Box::pin(async move {
            let decision = decided.await?;
            if !decision.user.is_anonymous()
                && let Some(question) = shared.question(wanted, now)
            {
                shared.ask(&decision.user, question, now).await?;
            }
            Ok(decision)
        }))
    }

    fn command(
        &self,
        client: &Client,
        command: ClientCommand<'_>,
        now: Now,
    ) -> Result<Option<Judgement>, Refusal> {
        if self.connections.is_some() || self.users.is_some() {
            self.with(command, |wanted| self.judge(client, wanted, now.instant)).unwrap_or(Ok(()))?;
        }
        let inner = self.inner.command(client, command, now)?;
        Ok(match (self.judge_later(&client.user, command, now.instant), inner) {
            (Some(ours), Some(inner)) => Some(Box::pin(async move {
                ours.await?;
                inner.await
            })),
            (ours, inner) => ours.or(inner),
        })
    }

    fn erred(&self, client: &Client, error: &ReplyError, now: Now) -> Result<(), Disconnect> {
        // What the server did wrong is not the client's fault.
        if let Some(errors) = self.errors.as_ref().filter(|_| error.code != ErrorCode::INTERNAL) {
            errors.ask(client.id, now.instant)?;
        }
        self.inner.erred(client, error, now)
    }

    fn tick(&self, now: Now) {
        let tell = now.instant.as_nanos() >= self.told.load(Ordering::Relaxed);
        if tell {
            self.told.store((now.instant + TELL_EVERY).as_nanos(), Ordering::Relaxed);
        }
        if let Some(connections) = &self.connections {
            connections.meter.sweep(now.instant);
            if tell {
                connections.layer.tell("client_command");
            }
        }
        if let Some(users) = &self.users {
            users.meter.sweep(now.instant);
            if tell {
                users.layer.tell("user_command");
            }
        }
        if let Some(shared) = self.shared.as_ref().filter(|_| tell) {
            shared.tell();
        }
        if let Some(errors) = &self.errors {
            errors.meter.sweep(now.instant);
            if tell {
                errors.tell();
            }
        }
        self.inner.tick(now);
    }

    forward!(inner: subscribe history presence publish map_publish map_remove track rpc message cache_empty refresh sub_refresh channel_options stays subscription_stays notified welcome answered unsubscribed disconnected);
}
