//! Revocations that outlive all nodes: kept elsewhere, and known by each node.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tourbillon_node::TokenMark;
use tourbillon_types::UserId;

use crate::revocations::{
    BoxFuture, Change, MemoryRevocations, Revocation, RevocationError, RevocationKind, Revocations, TokenUse,
};

/// How often a store is read anew when this node changes something meanwhile.
const TRIES: usize = 8;

/// Which state a store is in: another after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreVersion {
    /// Another where the store has lost all it kept; empty where it never kept anything.
    pub life: String,
    /// Another after each change.
    pub number: u64,
}

impl StoreVersion {
    /// Whether a store in this state does not have what it had in that one.
    fn is_before(&self, seen: &Self) -> bool {
        !seen.life.is_empty() && (self.life != seen.life || self.number < seen.number)
    }
}

/// Keeps revocations of one kind for all nodes, whatever becomes of these.
///
/// Every call must have a deadline of its own.
pub trait RevocationStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a revocation until a time, in seconds since 1970 UTC; `None` for ever. Of what is there already, the stricter
    /// counts.
    ///
    /// # Errors
    ///
    /// [`RevocationError`]: it may be kept or not.
    fn keep<'a>(
        &'a self,
        revocation: &'a Revocation,
        expire_at: Option<i64>,
    ) -> BoxFuture<'a, Result<(), RevocationError>>;

    /// Forgets a revocation. Of [`Revocation::TokensOf`], the time is not looked at.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Unavailable`]: it may be forgotten or not.
    fn forget<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), RevocationError>>;

    /// Which state it is in. Asked every second.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Unavailable`].
    fn version(&self) -> BoxFuture<'_, Result<StoreVersion, RevocationError>>;

    /// All that it keeps, of one moment, and the state that is.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Unavailable`].
    fn all(&self) -> BoxFuture<'_, Result<(StoreVersion, Vec<Kept>), RevocationError>>;
}

/// A revocation, and until when it holds.
pub type Kept = (Revocation, Option<i64>);

/// Revocations of which some kinds are kept in stores that outlive all nodes. What is in a store is known here from
/// [`refresh`](Self::refresh) on, which is to be called before anybody connects and about every second from then on;
/// questions are answered from memory.
///
/// While a store cannot be asked, what was known goes on to hold. A store that has lost everything gets back what this
/// node knows.
#[derive(Debug, Default)]
pub struct StoredRevocations {
    memory: MemoryRevocations,
    places: Vec<(RevocationKind, Place)>,
    /// Whether something was learned from stores that is stricter, and nobody has been told yet.
    is_stricter: AtomicBool,
}

#[derive(Debug)]
struct Place {
    store: Arc<dyn RevocationStore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often this node has changed something by itself: what was read before may lack that.
    changes: u64,
    seen: Option<StoreVersion>,
    is_away: bool,
}

impl StoredRevocations {
    /// Keeps the revocations of a kind there.
    #[must_use]
    pub fn with_store(mut self, kind: RevocationKind, store: Arc<dyn RevocationStore>) -> Self {
        self.places.retain(|(of, _)| *of != kind);
        self.places.push((kind, Place { store, state: Mutex::default() }));
        self
    }

    /// Whether any kind is kept in a store.
    #[must_use]
    pub fn has_stores(&self) -> bool {
        !self.places.is_empty()
    }

    fn place(&self, kind: RevocationKind) -> Option<&Place> {
        self.places.iter().find(|(of, _)| *of == kind).map(|(_, place)| place)
    }

    /// Learns what others have changed in the stores. Whatever comes of it, [`take_stricter`](Self::take_stricter) says
    /// what is to be done then.
    ///
    /// # Errors
    ///
    /// The first store that cannot be asked. Of the others, all is known.
    ///
    /// # Cancel safety
    ///
    /// What has been learned is known.
    pub async fn refresh(&self) -> Result<(), RevocationError> {
        let mut failed = Ok(());
        for (kind, place) in &self.places {
            let refreshed = self.refresh_one(*kind, place).await;
            let is_away = std::mem::replace(&mut place.state.lock().is_away, refreshed.is_err());
            match refreshed {
                Ok(()) if is_away => tracing::info!(?kind, "the store of revocations can be asked again"),
                Ok(()) => {}
                Err(error) => {
                    if !is_away {
                        tracing::warn!(?kind, %error, "a store of revocations cannot be asked: what is known holds");
                    }
                    failed = failed.and(Err(error));
                }
            }
        }
        failed
    }

    /// Whether something that was learned from stores since this was asked last is refused now and was not before: then
    /// connections of this node are to be [asked](tourbillon_node::Node::recheck_here) whether they may stay.
    #[must_use]
    pub fn take_stricter(&self) -> bool {
        self.is_stricter.swap(false, Ordering::AcqRel)
    }

    async fn refresh_one(&self, kind: RevocationKind, place: &Place) -> Result<(), RevocationError> {
        for _ in 0..TRIES {
            let (changes, seen) = {
                let state = place.state.lock();
                (state.changes, state.seen.clone())
            };
            let version = place.store.version().await?;
            if seen.as_ref() == Some(&version) {
                return Ok(());
            }
            if seen.is_some_and(|seen| version.is_before(&seen)) {
                let known = self.memory.of(kind);
                tracing::warn!(?kind, known = known.len(), "a store of revocations has lost what it kept");
                for (revocation, until) in &known {
                    place.store.keep(revocation, *until).await?;
                }
            }
            let (version, all) = place.store.all().await?;
            let mut state = place.state.lock();
            if state.changes == changes {
                if self.memory.settle(kind, all)? {
                    self.is_stricter.store(true, Ordering::Release);
                }
                state.seen = Some(version);
                return Ok(());
            }
        }
        // This node changes much: the next time.
        Ok(())
    }

    /// Changes what is known here, so that nothing that was read before undoes it.
    fn change<R>(&self, kind: RevocationKind, change: impl FnOnce(&MemoryRevocations) -> R) -> R {
        let Some(place) = self.place(kind) else { return change(&self.memory) };
        let mut state = place.state.lock();
        state.changes += 1;
        change(&self.memory)
    }
}

impl Revocations for StoredRevocations {
    fn is_blocked(&self, user: &UserId, unix_seconds: i64) -> bool {
        self.memory.is_blocked(user, unix_seconds)
    }

    fn is_revoked(&self, token: &TokenMark, by: TokenUse<'_>, unix_seconds: i64) -> bool {
        self.memory.is_revoked(token, by, unix_seconds)
    }

    fn keep(
        &self,
        revocation: Revocation,
        expire_at: Option<i64>,
    ) -> BoxFuture<'_, Result<Change, RevocationError>> {
        Box::pin(async move {
            let kind = revocation.kind();
            let Some(place) = self.place(kind) else { return self.memory.keep_now(revocation, expire_at) };
            self.memory.has_room(&revocation)?;
            place.store.keep(&revocation, expire_at).await?;
            // Even where others have taken the room meanwhile: it is in force for everybody else.
            Ok(self.change(kind, |memory| memory.keep_stored(revocation, expire_at)))
        })
    }

    fn forget(&self, revocation: &Revocation) -> BoxFuture<'_, Result<Change, RevocationError>> {
        let revocation = revocation.clone();
        Box::pin(async move {
            let kind = revocation.kind();
            if let Some(place) = self.place(kind) {
                place.store.forget(&revocation).await?;
            }
            Ok(self.change(kind, |memory| memory.forget_now(&revocation)))
        })
    }

    fn learn(&self, change: Change) -> Result<bool, RevocationError> {
        self.change(change.revocation().kind(), |memory| memory.learn(change))
    }

    /// What is in stores, a node finds there.
    fn all(&self) -> Vec<Change> {
        let kinds = RevocationKind::ALL.into_iter().filter(|kind| self.place(*kind).is_none());
        kinds.flat_map(|kind| self.memory.changes_of(kind)).collect()
    }

    fn tick(&self, unix_seconds: i64) {
        self.memory.tick(unix_seconds);
    }
}
