//! Blocked users and revoked tokens: what is kept of them, and by whom.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use tourbillon_node::TokenMark;
use tourbillon_types::{Channel, Text, UserId};

use crate::recent::Recent;

pub use tourbillon_node::BoxFuture;

/// Something that was allowed and is not any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Revocation {
    /// This user may not connect (PRO-34).
    User(UserId),
    /// The token with this identifier, its `jti`, counts as expired (PRO-35).
    Token(Text),
    /// Tokens of this user that were issued, by their `iat`, before a time count as expired (PRO-36): those of
    /// connections, or those of subscriptions to one channel.
    TokensOf {
        /// Whose.
        user: UserId,
        /// For which channel; `None` for connection tokens.
        channel: Option<Channel>,
        /// Seconds since 1970 UTC.
        issued_before: i64,
    },
}

/// What somebody had by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenUse<'a> {
    /// A connection as this user.
    Connection(&'a UserId),
    /// A subscription, as this user, to this channel.
    Subscription(&'a UserId, &'a Channel),
}

/// Which sort a revocation is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RevocationKind {
    /// [`Revocation::User`]
    User,
    /// [`Revocation::Token`]
    Token,
    /// [`Revocation::TokensOf`]
    TokensOf,
}

impl RevocationKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Token, Self::TokensOf];
}

/// Something that became of a revocation, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is kept until a time, seconds since 1970 UTC; `None` for ever.
    Keep(Revocation, Option<i64>, Stamp),
    /// It is forgotten.
    Forget(Revocation, Stamp),
}

impl Change {
    /// What it is done to.
    #[must_use]
    pub const fn revocation(&self) -> &Revocation {
        let (Self::Keep(revocation, ..) | Self::Forget(revocation, _)) = self;
        revocation
    }
}

/// When a change was made: of changes to the contrary, the one with the later stamp counts. About the time of day, but
/// always later than those of the changes that were known where it was made, whatever the clocks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(i64);

impl Stamp {
    /// That of a time, in milliseconds since 1970 UTC. Zero is before all others.
    #[must_use]
    pub const fn from_millis(unix_millis: i64) -> Self {
        Self(unix_millis)
    }

    /// The time, in milliseconds since 1970 UTC.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Why a revocation is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// There is no room for it.
    #[error("{0} revocations are kept already, which is the limit")]
    Full(usize),
    /// What keeps them cannot be reached, or failed.
    #[error("{0}")]
    Unavailable(String),
}

/// What keeps revocations.
///
/// The questions come with every connect and every token: they are answered from memory, at once. A store whose
/// revocations outlive the process, or are shared by several, keeps a [`MemoryRevocations`] for that and brings it up to
/// date by itself. An answer that is late lets somebody in who should not be; one that is wrong the other way locks a
/// user out.
pub trait Revocations: fmt::Debug + Send + Sync + 'static {
    /// Whether a user is blocked.
    fn is_blocked(&self, user: &UserId, unix_seconds: i64) -> bool;

    /// Whether a token is revoked: by its identifier, or with others of its user that were for the same.
    fn is_revoked(&self, token: &TokenMark, by: TokenUse<'_>, unix_seconds: i64) -> bool;

    /// Keeps a revocation until `expire_at`, seconds since 1970 UTC; `None` for ever. Of what is there already, the
    /// stricter counts. In force, on this node, when the future ends. Gives what other nodes are to be told.
    ///
    /// # Errors
    ///
    /// [`RevocationError`]: then nothing is changed.
    fn keep(
        &self,
        revocation: Revocation,
        expire_at: Option<i64>,
    ) -> BoxFuture<'_, Result<Change, RevocationError>>;

    /// Forgets a revocation; which does nothing where there is none. Of [`Revocation::TokensOf`], the time is not looked
    /// at. Gives what other nodes are to be told.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Unavailable`].
    fn forget(&self, revocation: &Revocation) -> BoxFuture<'_, Result<Change, RevocationError>>;

    /// Another node has changed this: it is in force here, too, from now on, unless a later change is known that is to the
    /// contrary. Whether something is refused now that was not: then connections of this node are to be asked whether they
    /// may stay.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Full`].
    fn learn(&self, change: Change) -> Result<bool, RevocationError>;

    /// All that a node has to learn which has just come, or comes back after a silence: what was forgotten lately, too.
    /// Nothing, where it finds out by itself.
    fn all(&self) -> Vec<Change>;

    /// About a second has passed: the moment to forget what is over.
    fn tick(&self, unix_seconds: i64);
}

/// Keeps revocations in the memory of the process: they are gone when the last node of a cluster ends. Nodes tell each
/// other of them, and a new node hears of all.
///
/// The number of each kind is bounded: one never takes the room of another. Each is forgotten when it expires. Changes are
/// remembered for a day, the last 65,536 of them: a node that was cut off for no longer does not bring back what was
/// forgotten meanwhile.
#[derive(Debug)]
pub struct MemoryRevocations {
    kept: RwLock<Kept>,
    /// How many there are: most nodes have none, and need no lock to know.
    count: AtomicUsize,
    limit: usize,
}

#[derive(Debug, Default)]
struct Kept {
    users: HashMap<UserId, Until, RandomState>,
    tokens: HashMap<Text, Until, RandomState>,
    /// Connection tokens.
    of_users: HashMap<UserId, (i64, Until), RandomState>,
    /// Subscription tokens.
    of_subscribers: HashMap<(UserId, Channel), (i64, Until), RandomState>,
    /// What expires, by the time at which it does. The time in a [`Revocation::TokensOf`] is zero.
    schedule: BTreeSet<(i64, Revocation)>,
    recent: Recent,
}

/// Until when something holds; `None` for ever.
type Until = Option<i64>;

fn holds(until: Until, unix_seconds: i64) -> bool {
    until.is_none_or(|until| unix_seconds < until)
}

fn later(one: Until, other: Until) -> Until {
    one.zip(other).map(|(one, other)| one.max(other))
}

impl Default for MemoryRevocations {
    /// Room for 262,144 revocations of each kind, which take up to 100 MB a kind.
    fn default() -> Self {
        Self::new(1 << 18)
    }
}

impl MemoryRevocations {
    /// Room for so many revocations of each kind.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { kept: RwLock::default(), count: AtomicUsize::new(0), limit }
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps a revocation: what [`Revocations::keep`] does, at once.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Full`].
    pub fn keep_now(
        &self,
        revocation: Revocation,
        expire_at: Option<i64>,
    ) -> Result<Change, RevocationError> {
        let mut kept = self.kept.write();
        self.check_room(&kept, &revocation)?;
        let change = Change::Keep(revocation, expire_at, kept.recent.stamp());
        self.carry_out(&mut kept, change.clone());
        Ok(change)
    }

    /// Keeps what a store has kept already, which has a limit of its own.
    pub(crate) fn keep_stored(&self, revocation: Revocation, expire_at: Option<i64>) -> Change {
        let mut kept = self.kept.write();
        let change = Change::Keep(revocation, expire_at, kept.recent.stamp());
        self.carry_out(&mut kept, change.clone());
        change
    }

    /// Whether there is room for a revocation.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Full`].
    pub(crate) fn has_room(&self, revocation: &Revocation) -> Result<(), RevocationError> {
        self.check_room(&self.kept.read(), revocation)
    }

    fn check_room(&self, kept: &Kept, revocation: &Revocation) -> Result<(), RevocationError> {
        if kept.until(revocation).is_none() && kept.count(revocation.kind()) >= self.limit {
            return Err(RevocationError::Full(self.limit));
        }
        Ok(())
    }

    /// Changes something, unless a later change is known. Whether anything is stricter than before.
    fn carry_out(&self, kept: &mut Kept, change: Change) -> bool {
        let is_stricter = match change {
            Change::Keep(revocation, until, at) => {
                let key = revocation.key();
                if !kept.recent.counts_as_kept(&key, at) {
                    return false;
                }
                kept.recent.note_kept(key, at);
                let is_stricter = kept.lacks(&revocation, until);
                kept.keep(revocation, until);
                is_stricter
            }
            Change::Forget(revocation, at) => {
                let key = revocation.key();
                if kept.recent.counts_as_forgotten(&key, at) {
                    let until = kept.until(&revocation);
                    kept.unschedule(&revocation, until.flatten());
                    kept.remove(&revocation);
                }
                kept.recent.note_forgotten(key, at);
                false
            }
        };
        self.count.store(kept.len(), Ordering::Release);
        is_stricter
    }

    /// Keeps these revocations of a kind and no others. Whether anything is stricter than before.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Full`]: then nothing is changed.
    pub(crate) fn settle(
        &self,
        kind: RevocationKind,
        all: Vec<(Revocation, Option<i64>)>,
    ) -> Result<bool, RevocationError> {
        let mut kept = self.kept.write();
        if all.len() > self.limit {
            return Err(RevocationError::Full(self.limit));
        }
        let is_stricter = all.iter().any(|(revocation, until)| kept.lacks(revocation, *until));
        kept.clear(kind);
        all.into_iter().for_each(|(revocation, until)| kept.keep(revocation, until));
        self.count.store(kept.len(), Ordering::Release);
        Ok(is_stricter)
    }

    /// The revocations of a kind.
    pub(crate) fn of(&self, kind: RevocationKind) -> Vec<(Revocation, Option<i64>)> {
        self.kept.read().of(kind).collect()
    }

    /// What other nodes have to learn of a kind.
    pub(crate) fn changes_of(&self, kind: RevocationKind) -> Vec<Change> {
        let kept = self.kept.read();
        let forgotten = kept.recent.forgotten(kind).map(|(key, at)| Change::Forget(key.clone(), at));
        let all = kept.of(kind).map(|(revocation, until)| {
            let at = kept.recent.kept(&revocation.key());
            Change::Keep(revocation, until, at)
        });
        forgotten.chain(all).collect()
    }

    /// Forgets a revocation: what [`Revocations::forget`] does, at once.
    pub fn forget_now(&self, revocation: &Revocation) -> Change {
        let mut kept = self.kept.write();
        let change = Change::Forget(revocation.clone(), kept.recent.stamp());
        self.carry_out(&mut kept, change.clone());
        change
    }
}

impl Revocation {
    /// Which sort it is of.
    #[must_use]
    pub const fn kind(&self) -> RevocationKind {
        match self {
            Self::User(_) => RevocationKind::User,
            Self::Token(_) => RevocationKind::Token,
            Self::TokensOf { .. } => RevocationKind::TokensOf,
        }
    }

    /// Whom it concerns; `None` if that cannot be told from it.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) | Self::TokensOf { user, .. } => Some(user),
            Self::Token(_) => None,
        }
    }

    /// The same for all revocations that replace each other.
    fn key(&self) -> Self {
        match self {
            Self::TokensOf { user, channel, .. } => {
                Self::TokensOf { user: user.clone(), channel: channel.clone(), issued_before: 0 }
            }
            other => other.clone(),
        }
    }
}

impl Kept {
    fn len(&self) -> usize {
        self.users.len() + self.tokens.len() + self.of_users.len() + self.of_subscribers.len()
    }

    fn count(&self, kind: RevocationKind) -> usize {
        match kind {
            RevocationKind::User => self.users.len(),
            RevocationKind::Token => self.tokens.len(),
            RevocationKind::TokensOf => self.of_users.len() + self.of_subscribers.len(),
        }
    }

    /// Until when a revocation that is kept holds.
    fn until(&self, revocation: &Revocation) -> Option<Until> {
        match revocation {
            Revocation::User(user) => self.users.get(user).copied(),
            Revocation::Token(id) => self.tokens.get(id).copied(),
            Revocation::TokensOf { user, channel, .. } => {
                self.issued_before(user, channel.as_ref()).map(|(_, until)| until)
            }
        }
    }

    /// Before when tokens of a user have to be issued to be revoked, for a channel or for connections.
    fn issued_before(&self, user: &UserId, channel: Option<&Channel>) -> Option<(i64, Until)> {
        match channel {
            None => self.of_users.get(user).copied(),
            // Its key is made of both, which is not worth it where there are none.
            Some(_) if self.of_subscribers.is_empty() => None,
            Some(channel) => self.of_subscribers.get(&(user.clone(), channel.clone())).copied(),
        }
    }

    fn unschedule(&mut self, revocation: &Revocation, until: Until) {
        if let Some(until) = until {
            self.schedule.remove(&(until, revocation.key()));
        }
    }

    fn of(&self, kind: RevocationKind) -> impl Iterator<Item = (Revocation, Until)> + '_ {
        let is = move |of: RevocationKind| kind == of;
        let users = self.users.iter().filter(move |_| is(RevocationKind::User));
        let users = users.map(|(user, until)| (Revocation::User(user.clone()), *until));
        let tokens = self.tokens.iter().filter(move |_| is(RevocationKind::Token));
        let tokens = tokens.map(|(id, until)| (Revocation::Token(id.clone()), *until));
        let of_users = self.of_users.iter().map(|(user, older)| (user, None, older));
        let of_subscribers =
            self.of_subscribers.iter().map(|((user, channel), older)| (user, Some(channel.clone()), older));
        let older = of_users.chain(of_subscribers).filter(move |_| is(RevocationKind::TokensOf));
        let older = older.map(|(user, channel, (issued_before, until))| {
            let (user, issued_before) = (user.clone(), *issued_before);
            (Revocation::TokensOf { user, channel, issued_before }, *until)
        });
        users.chain(tokens).chain(older)
    }

    /// Whether a revocation is not kept, or not as strictly.
    fn lacks(&self, revocation: &Revocation, until: Until) -> bool {
        let is_longer = self.until(revocation).is_none_or(|before| later(before, until) != before);
        let is_later = match revocation {
            Revocation::TokensOf { user, channel, issued_before } => {
                self.issued_before(user, channel.as_ref()).is_none_or(|(before, _)| before < *issued_before)
            }
            Revocation::User(_) | Revocation::Token(_) => false,
        };
        is_longer || is_later
    }

    fn keep(&mut self, revocation: Revocation, expire_at: Until) {
        let before = self.until(&revocation);
        let until = before.map_or(expire_at, |before| later(before, expire_at));
        self.unschedule(&revocation, before.flatten());
        if let Some(until) = until {
            self.schedule.insert((until, revocation.key()));
        }
        match revocation {
            Revocation::User(user) => drop(self.users.insert(user, until)),
            Revocation::Token(id) => drop(self.tokens.insert(id, until)),
            Revocation::TokensOf { user, channel, issued_before } => {
                let place = match channel {
                    None => self.of_users.entry(user).or_insert((issued_before, until)),
                    Some(channel) => {
                        self.of_subscribers.entry((user, channel)).or_insert((issued_before, until))
                    }
                };
                *place = (place.0.max(issued_before), until);
            }
        }
    }

    fn clear(&mut self, kind: RevocationKind) {
        match kind {
            RevocationKind::User => self.users.clear(),
            RevocationKind::Token => self.tokens.clear(),
            RevocationKind::TokensOf => {
                self.of_users.clear();
                self.of_subscribers.clear();
            }
        }
        self.schedule.retain(|(_, revocation)| revocation.kind() != kind);
    }

    fn remove(&mut self, revocation: &Revocation) {
        match revocation {
            Revocation::User(user) => drop(self.users.remove(user)),
            Revocation::Token(id) => drop(self.tokens.remove(id)),
            Revocation::TokensOf { user, channel: None, .. } => drop(self.of_users.remove(user)),
            Revocation::TokensOf { user, channel: Some(channel), .. } => {
                self.of_subscribers.remove(&(user.clone(), channel.clone()));
            }
        }
    }

    fn expire(&mut self, unix_seconds: i64) {
        while let Some((until, _)) = self.schedule.first()
            && *until <= unix_seconds
            && let Some((_, revocation)) = self.schedule.pop_first()
        {
            self.remove(&revocation);
        }
        self.recent.expire(unix_seconds);
    }

    fn is_over(&self, unix_seconds: i64) -> bool {
        self.schedule.first().is_some_and(|(at, _)| *at <= unix_seconds) || self.recent.is_over(unix_seconds)
    }
}

impl Revocations for MemoryRevocations {
    fn is_blocked(&self, user: &UserId, unix_seconds: i64) -> bool {
        !self.is_empty() && self.kept.read().users.get(user).is_some_and(|until| holds(*until, unix_seconds))
    }

    fn is_revoked(&self, token: &TokenMark, by: TokenUse<'_>, unix_seconds: i64) -> bool {
        if self.is_empty() {
            return false;
        }
        let kept = self.kept.read();
        let by_id = kept.tokens.get(&token.id).is_some_and(|until| holds(*until, unix_seconds));
        let (user, channel) = match by {
            TokenUse::Connection(user) => (user, None),
            TokenUse::Subscription(user, channel) => (user, Some(channel)),
        };
        by_id
            || token.issued_at.is_some_and(|issued_at| {
                kept.issued_before(user, channel)
                    .is_some_and(|(before, until)| issued_at < before && holds(until, unix_seconds))
            })
    }

    fn keep(
        &self,
        revocation: Revocation,
        expire_at: Option<i64>,
    ) -> BoxFuture<'_, Result<Change, RevocationError>> {
        Box::pin(ready(self.keep_now(revocation, expire_at)))
    }

    fn forget(&self, revocation: &Revocation) -> BoxFuture<'_, Result<Change, RevocationError>> {
        Box::pin(ready(Ok(self.forget_now(revocation))))
    }

    fn learn(&self, change: Change) -> Result<bool, RevocationError> {
        let mut kept = self.kept.write();
        if let Change::Keep(revocation, _, at) = &change
            && kept.recent.counts_as_kept(&revocation.key(), *at)
        {
            self.check_room(&kept, revocation)?;
        }
        Ok(self.carry_out(&mut kept, change))
    }

    fn all(&self) -> Vec<Change> {
        RevocationKind::ALL.into_iter().flat_map(|kind| self.changes_of(kind)).collect()
    }

    fn tick(&self, unix_seconds: i64) {
        if !self.kept.read().is_over(unix_seconds) {
            return;
        }
        let mut kept = self.kept.write();
        kept.expire(unix_seconds);
        self.count.store(kept.len(), Ordering::Release);
    }
}
