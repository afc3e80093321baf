//! Key sets that are fetched (RFC 7517): the keys of issuers that change them when they like.
//!
//! A set is kept by its address, and within it keys by identifier, kind and algorithm: a key answers only for the
//! issuer whose address it came from, even if another issuer has a key of the same name.
//!
//! Nothing runs by itself. Who checks a token waits for a fetch that is needed; all who need the same wait for the
//! same one. A set that got old is fetched again; while that fails, it is good for a while longer.

mod endpoint;
mod fetch;
#[cfg(feature = "jwks-http")]
mod http;
mod set;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use self::endpoint::Endpoint;
pub use self::fetch::{FetchError, JwksFetch};
#[cfg(feature = "jwks-http")]
pub use self::http::HttpJwksFetch;
use self::set::KeySet;
use crate::config::ConfigProblem;
use crate::key::{Key, KeyQuery, KeySource, Loading, RemoteKeys};
use crate::mapping::Mappings;
use crate::{ClaimMapping, ConfigError, InvalidToken, Pattern, TokenError, VerifierConfig};

/// Where key sets come from, and how long they are good.
#[derive(Clone, Debug)]
pub struct JwksConfig {
    /// Who has key sets. The first whose issuer and audience fit a token has its keys.
    pub providers: Vec<JwksProvider>,
    /// Takes groups of any form into addresses (KEY-07): whoever makes tokens then says where their keys are.
    pub insecure_skip_endpoint_safety_check: bool,
    /// How long a set is good before it is fetched again. Default 1 h (KEY-06).
    pub lifetime: Duration,
    /// How much longer it is good while fetching it fails. Default 24 h.
    pub stale_lifetime: Duration,
    /// The least time between two fetches of a set that is there, because it lacks a key or is old. A token whose key is
    /// missing meanwhile is not refused for good: the key may be a new one (KEY-06). Default 10 s.
    pub refresh_interval: Duration,
    /// The least time between two fetches of a set that could never be fetched. Default 1 s.
    pub retry_interval: Duration,
    /// The largest set, in bytes. Default 512 KiB.
    pub max_set_bytes: usize,
    /// The most sets that are kept: addresses with placeholders are many. Default 1,024, and as many for each provider
    /// with a fetcher of its own.
    pub max_sets: usize,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            insecure_skip_endpoint_safety_check: false,
            lifetime: Duration::from_secs(3_600),
            stale_lifetime: Duration::from_secs(24 * 3_600),
            refresh_interval: Duration::from_secs(10),
            retry_interval: Duration::from_secs(1),
            max_set_bytes: 512 * 1_024,
            max_sets: 1_024,
        }
    }
}

/// Somebody who has a key set (PRO-46).
#[derive(Clone, Debug, Default)]
pub struct JwksProvider {
    /// The option that errors about it name, such as `jwks_public_endpoint`.
    pub option: Cow<'static, str>,
    /// The address of the set. `{{name}}` stands for a named group of `issuer_regex` or `audience_regex` (KEY-07).
    pub endpoint: String,
    /// The issuer (`iss`) whose keys they are; empty for any.
    pub issuer: String,
    /// The audience (one of `aud`) for whom they sign; empty for any.
    pub audience: String,
    /// What of its connection tokens gets into the meta object, in place of what all have (PRO-46).
    pub meta_from_claim: Vec<ClaimMapping>,
    /// What of its connection tokens becomes labels, in place of what all have (PRO-46).
    pub labels_from_claim: Vec<ClaimMapping>,
    /// Who fetches its sets, where that is not whoever fetches those of others: over TLS with roots of its own, say.
    /// What comes so is never taken for the keys of another provider at the same address.
    pub fetch: Option<Arc<dyn JwksFetch>>,
}

/// Keys from sets that are fetched (KEY-05, KEY-06, KEY-07, PRO-46). Clones share the sets.
#[derive(Clone)]
pub struct JwksKeys(Arc<Inner>);

struct Inner {
    providers: Vec<Provider>,
    issuer_regex: Option<Pattern>,
    audience_regex: Option<Pattern>,
    limits: JwksConfig,
    sets: Arc<Sets>,
}

/// The sets that somebody fetches, by their addresses.
struct Sets {
    fetch: Arc<dyn JwksFetch>,
    entries: Mutex<HashMap<Box<str>, Entry>>,
}

impl Sets {
    fn new(fetch: Arc<dyn JwksFetch>) -> Arc<Self> {
        Arc::new(Self { fetch, entries: Mutex::default() })
    }
}

struct Provider {
    /// Its own, or those of all.
    sets: Arc<Sets>,
    endpoint: Endpoint,
    issuer: String,
    audience: String,
    meta: Mappings,
    labels: Mappings,
}

/// What is known of the set at one address.
#[derive(Clone, Default)]
struct Entry {
    set: Option<Arc<KeySet>>,
    /// When the set was asked for, seconds since 1970 UTC.
    fetched_at: i64,
    /// When a fetch began the last time.
    attempted_at: Option<i64>,
    /// Why that failed, if it did.
    error: Option<FetchError>,
    flight: Option<Shared<BoxFuture<'static, ()>>>,
}

impl Entry {
    /// Whether a key that is missing in the set is none: the set is not older than the question, or surely not older than
    /// the token. What else is missing may be a new key, whose set somebody who makes up keys keeps from being fetched just
    /// now.
    fn is_final(&self, query: &KeyQuery<'_>) -> bool {
        let was_issued_before = |at: i64| at.saturating_add(LATE) <= self.fetched_at;
        self.fetched_at >= query.unix_seconds || query.issued_at.is_some_and(was_issued_before)
    }
}

/// How much later than the clocks of others ours may be, in seconds, and how much later than it signs by a key an issuer may
/// have that in its set.
const LATE: i64 = 60;

/// How many times a set is asked for before that counts as failed (KEY-06).
const ATTEMPTS: usize = 2;

impl JwksKeys {
    /// Keys from these sets. The configuration of the verifier has the expressions that fill placeholders; its keys
    /// are not used (KEY-05).
    ///
    /// # Errors
    ///
    /// An address that is none, or that a token could turn to a place of its own.
    pub fn new(
        config: JwksConfig,
        verifier: &VerifierConfig,
        fetch: Arc<dyn JwksFetch>,
    ) -> Result<Self, ConfigError> {
        let issuer_regex = pattern("issuer_regex", &verifier.issuer_regex)?;
        let audience_regex = pattern("audience_regex", &verifier.audience_regex)?;
        let groups = [("issuer_regex", issuer_regex.as_ref()), ("audience_regex", audience_regex.as_ref())];
        let skip = config.insecure_skip_endpoint_safety_check;
        let sets = Sets::new(fetch);
        let providers = config.providers.iter().map(|provider| {
            let wrong = |problem| ConfigError { option: provider.option.clone(), problem };
            Ok(Provider {
                sets: provider.fetch.as_ref().map_or_else(|| sets.clone(), |own| Sets::new(own.clone())),
                endpoint: Endpoint::new(&provider.endpoint, &groups, skip).map_err(wrong)?,
                issuer: provider.issuer.clone(),
                audience: provider.audience.clone(),
                meta: Mappings::new("meta_from_claim", &provider.meta_from_claim)?,
                labels: Mappings::new("labels_from_claim", &provider.labels_from_claim)?,
            })
        });
        Ok(Self(Arc::new(Inner {
            providers: providers.collect::<Result<_, _>>()?,
            issuer_regex,
            audience_regex,
            limits: config,
            sets,
        })))
    }

    /// Takes over the sets that another holds, so that a change of the configuration neither fetches them all again
    /// nor loses those whose issuer cannot be reached just now (KEY-09). Sets at other addresses stay behind, and those
    /// that were fetched in a way of their own which is another one now.
    pub fn take_over(&self, old: &Self) {
        if Arc::ptr_eq(&self.0, &old.0) {
            return;
        }
        self.take_sets_over(&self.0.sets, &old.0.sets);
        for sets in self.0.own_sets() {
            let Some(identity) = sets.fetch.identity() else { continue };
            for fetched in old.0.own_sets() {
                if fetched.fetch.identity() == Some(identity) {
                    self.take_sets_over(sets, fetched);
                }
            }
        }
    }

    fn take_sets_over(&self, sets: &Arc<Sets>, fetched: &Sets) {
        let fetched = fetched.entries.lock().clone();
        let mut entries = sets.entries.lock();
        let providers = || self.0.providers.iter().filter(|provider| Arc::ptr_eq(&provider.sets, sets));
        for (address, entry) in fetched {
            let is_ours = providers().any(|provider| provider.endpoint.may_be(&address));
            if is_ours && entries.len() < self.0.limits.max_sets {
                // What is on its way belongs to the old one, and is asked for anew.
                let attempted_at = entry.attempted_at.filter(|_| entry.flight.is_none());
                entries.entry(address).or_insert(Entry { flight: None, attempted_at, ..entry });
            }
        }
    }

    /// Seconds since each set was fetched, by address: `None` where that never worked. For who watches over it.
    #[must_use]
    pub fn ages(&self, unix_seconds: i64) -> Vec<(String, Option<u64>)> {
        let age = |entry: &Entry| entry.set.as_ref().map(|_| elapsed(entry.fetched_at, unix_seconds));
        let mut ages = Vec::new();
        for sets in self.0.all_sets() {
            ages.extend(sets.entries.lock().iter().map(|(address, entry)| (address.to_string(), age(entry))));
        }
        ages
    }
}

impl JwksKeys {
    /// Whether whose keys they are depends on what tokens say of their issuer or audience.
    pub(crate) fn is_for_issuers(&self) -> bool {
        self.0.providers.iter().any(|provider| !provider.issuer.is_empty() || !provider.audience.is_empty())
    }

    /// What the claims of a token are turned into: those for the meta object, and those for labels.
    pub(crate) fn mappings(&self, query: &KeyQuery<'_>) -> Result<(&Mappings, &Mappings), InvalidToken> {
        self.0.provider(query).map(|provider| (&provider.meta, &provider.labels))
    }
}

impl Inner {
    /// Those of one provider each.
    fn own_sets(&self) -> impl Iterator<Item = &Arc<Sets>> {
        let sets = self.providers.iter().map(|provider| &provider.sets);
        sets.filter(|sets| !Arc::ptr_eq(sets, &self.sets))
    }

    /// The same, and those of all.
    fn all_sets(&self) -> impl Iterator<Item = &Arc<Sets>> {
        self.own_sets().chain(std::iter::once(&self.sets))
    }

    /// Whose keys may have signed a token.
    fn provider(&self, query: &KeyQuery<'_>) -> Result<&Provider, InvalidToken> {
        let issuer = query.issuer.unwrap_or_default();
        let fits = |provider: &&Provider| {
            (provider.issuer.is_empty() || provider.issuer == issuer)
                && (provider.audience.is_empty()
                    || query.audience.iter().any(|one| *one == provider.audience))
        };
        self.providers.iter().find(fits).ok_or(InvalidToken::NoKeySet)
    }

    /// Where the set is that has a token's keys. The issuer and audience decide, so they are checked.
    fn find(&self, query: &KeyQuery<'_>) -> Result<(&Arc<Sets>, String), InvalidToken> {
        let provider = self.provider(query)?;
        Ok((&provider.sets, self.address(provider, query)?))
    }

    fn address(&self, provider: &Provider, query: &KeyQuery<'_>) -> Result<String, InvalidToken> {
        let issuer = query.issuer.unwrap_or_default();
        if !provider.endpoint.has_placeholders() {
            return provider.endpoint.fill(&|_| None).ok_or(InvalidToken::NoKeySet);
        }
        let by_issuer = match &self.issuer_regex {
            Some(regex) => Some(regex.captures(issuer).ok_or(InvalidToken::Issuer)?),
            None => None,
        };
        let by_audience = match &self.audience_regex {
            Some(regex) => {
                let found = query.audience.iter().find_map(|one| regex.captures(one));
                Some(found.ok_or(InvalidToken::Audience)?)
            }
            None => None,
        };
        let group = |name: &str| {
            let groups = [by_audience.as_ref(), by_issuer.as_ref()];
            groups.into_iter().flatten().find_map(|groups| groups.name(name)).map(|found| found.as_str())
        };
        provider.endpoint.fill(&group).ok_or(InvalidToken::NoKeySet)
    }

    /// Whether the set must be fetched before a key can be found in it, or found missing.
    fn is_due(&self, entry: &Entry, key_id: &str, query: &KeyQuery<'_>) -> bool {
        let now = query.unix_seconds;
        let (wanted, interval) = match &entry.set {
            None => (true, self.limits.retry_interval),
            Some(set) => {
                let old = elapsed(entry.fetched_at, now) >= self.limits.lifetime.as_secs();
                let lacking = !set.has(key_id, query.algorithm);
                (old || lacking, self.limits.refresh_interval)
            }
        };
        wanted && entry.attempted_at.is_none_or(|at| elapsed(at, now) >= interval.as_secs().max(1))
    }
}

/// One fetch of a set.
struct Flight {
    /// Not held: a source that nobody has any more ends its fetches.
    keeper: Weak<Sets>,
    fetch: Arc<dyn JwksFetch>,
    address: String,
    max_bytes: usize,
    began: i64,
}

impl Flight {
    async fn run(self) {
        let mut result = Err(FetchError::Connect);
        for _ in 0..ATTEMPTS {
            result = self.fetch.fetch(&self.address, self.max_bytes).await.and_then(|body| {
                if body.len() > self.max_bytes {
                    return Err(FetchError::TooLarge);
                }
                KeySet::parse(&body)
            });
            if !result.as_ref().err().is_some_and(FetchError::may_pass) {
                break;
            }
        }
        let Some(keeper) = self.keeper.upgrade() else { return };
        let mut entries = keeper.entries.lock();
        let entry = entries.entry(self.address.into()).or_default();
        entry.flight = None;
        match result {
            Ok(set) => {
                entry.set = Some(Arc::new(set));
                entry.fetched_at = self.began;
                entry.error = None;
            }
            Err(error) => entry.error = Some(error),
        }
    }
}

impl KeySource for JwksKeys {
    fn candidates(&self, query: &KeyQuery<'_>) -> Result<Vec<Key>, TokenError> {
        let key_id = key_id(query)?;
        let (sets, address) = self.0.find(query)?;
        let entries = sets.entries.lock();
        let Some(entry) = entries.get(&*address) else { return Err(FetchError::NotFetched.into()) };
        let limits = &self.0.limits;
        let good_for = limits.lifetime.saturating_add(limits.stale_lifetime).as_secs();
        match &entry.set {
            Some(set) if elapsed(entry.fetched_at, query.unix_seconds) < good_for => {
                let found = set.find(key_id, query.algorithm);
                if found.is_empty() && !entry.is_final(query) {
                    return Err(entry.error.unwrap_or(FetchError::TooSoon).into());
                }
                Ok(found)
            }
            _ => Err(entry.error.unwrap_or(FetchError::NotFetched).into()),
        }
    }

    fn remote(&self) -> Option<&dyn RemoteKeys> {
        Some(self)
    }
}

impl RemoteKeys for JwksKeys {
    fn load(&self, query: &KeyQuery<'_>) -> Option<Loading> {
        let key_id = key_id(query).ok()?;
        let (sets, address) = self.0.find(query).ok()?;
        let mut entries = sets.entries.lock();
        if !entries.contains_key(&*address) && entries.len() >= self.0.limits.max_sets {
            make_room(&mut entries);
        }
        let entry = entries.entry(address.as_str().into()).or_default();
        if let Some(flight) = &entry.flight {
            return Some(Box::pin(flight.clone()));
        }
        if !self.0.is_due(entry, key_id, query) {
            return None;
        }
        entry.attempted_at = Some(query.unix_seconds);
        let flight = Flight {
            keeper: Arc::downgrade(sets),
            fetch: sets.fetch.clone(),
            address,
            max_bytes: self.0.limits.max_set_bytes,
            began: query.unix_seconds,
        };
        let flight = flight.run().boxed().shared();
        entry.flight = Some(flight.clone());
        Some(Box::pin(flight))
    }

    fn key_sets(&self) -> Option<&JwksKeys> {
        Some(self)
    }
}

/// Forgets the set that was asked for longest ago.
fn make_room(sets: &mut HashMap<Box<str>, Entry>) {
    let oldest = sets.iter().min_by_key(|(_, entry)| entry.attempted_at).map(|(address, _)| address.clone());
    if let Some(address) = oldest {
        sets.remove(&address);
    }
}

fn key_id<'a>(query: &KeyQuery<'a>) -> Result<&'a str, InvalidToken> {
    query.key_id.filter(|id| !id.is_empty()).ok_or(InvalidToken::NoKeyId)
}

/// Seconds from then to now. A clock that was set back says nothing about time, so it counts as for ever.
fn elapsed(then: i64, now: i64) -> u64 {
    if now < then { u64::MAX } else { now.abs_diff(then) }
}

fn pattern(option: &'static str, source: &str) -> Result<Option<Pattern>, ConfigError> {
    if source.is_empty() {
        return Ok(None);
    }
    let compiled = Pattern::new(source);
    compiled
        .map(Some)
        .map_err(|error| ConfigError { option: option.into(), problem: ConfigProblem::from(error) })
}

impl fmt::Debug for JwksKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksKeys")
            .field("providers", &self.0.providers.len())
            .field("sets", &self.0.all_sets().map(|sets| sets.entries.lock().len()).sum::<usize>())
            .field("fetch", &self.0.sets.fetch)
            .finish_non_exhaustive()
    }
}
