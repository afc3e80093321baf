//! Which connections there are, and whose they are.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tourbillon_types::{ClientId, UserId};

use crate::conn::Conn;

const SHARDS: usize = 32;

/// All connections of a node.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Every connection from the moment it is taken.
    connections: Sharded<Identified, ()>,
    /// The accepted ones by user.
    users: Sharded<UserId, Users>,
}

#[derive(Debug)]
pub(crate) struct Sharded<K, V> {
    shards: Box<[Mutex<HashMap<K, V, RandomState>>]>,
    hasher: RandomState,
}

/// The connections of one user. Most have one.
#[derive(Debug)]
enum Users {
    One(Arc<Conn>),
    Many(HashMap<Identified, (), RandomState>),
}

/// A connection, found by its client's identifier, which it has itself: tables hold one word for each.
#[derive(Debug)]
struct Identified(Arc<Conn>);

impl Borrow<ClientId> for Identified {
    fn borrow(&self) -> &ClientId {
        &self.0.client
    }
}

impl Hash for Identified {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.client.hash(state);
    }
}

impl PartialEq for Identified {
    fn eq(&self, other: &Self) -> bool {
        self.0.client == other.0.client
    }
}

impl Eq for Identified {}

impl<K: Hash + Eq, V> Sharded<K, V> {
    pub(crate) fn new() -> Self {
        let hasher = RandomState::default();
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect();
        Self { shards, hasher }
    }

    pub(crate) fn shard<Q>(&self, key: &Q) -> &Mutex<HashMap<K, V, RandomState>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let at = usize::try_from(self.hasher.hash_one(key) >> 59).unwrap_or_default();
        &self.shards[at]
    }

    fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// Gives back what a storm of entries left.
pub(crate) fn shrink<K: Hash + Eq, V>(map: &mut HashMap<K, V, RandomState>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to_fit();
    }
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { connections: Sharded::new(), users: Sharded::new() }
    }

    /// Adds a connection that is not accepted yet.
    pub(crate) fn add(&self, conn: &Arc<Conn>) {
        self.connections.shard(&conn.client).lock().insert(Identified(conn.clone()), ());
    }

    /// Removes a connection.
    pub(crate) fn remove(&self, conn: &Conn) {
        let mut shard = self.connections.shard(&conn.client).lock();
        shard.remove(&conn.client);
        shrink(&mut shard);
    }

    /// Adds an accepted connection to its user, unless the user has `limit` already.
    pub(crate) fn accept(&self, user: &UserId, conn: &Arc<Conn>, limit: Option<usize>) -> bool {
        let mut shard = self.users.shard(user).lock();
        let Some(users) = shard.get_mut(user) else {
            if limit == Some(0) {
                return false;
            }
            shard.insert(user.clone(), Users::One(conn.clone()));
            return true;
        };
        if limit.is_some_and(|limit| users.len() >= limit) {
            return false;
        }
        users.add(conn);
        true
    }

    /// Adds an accepted connection to its user, and gives the others, which are to end. Of several that do this at the
    /// same time one is left, the last.
    pub(crate) fn take_place(&self, user: &UserId, conn: &Arc<Conn>) -> Vec<Arc<Conn>> {
        let mut shard = self.users.shard(user).lock();
        let Some(users) = shard.get_mut(user) else {
            shard.insert(user.clone(), Users::One(conn.clone()));
            return Vec::new();
        };
        let others = users.all();
        users.add(conn);
        others
    }

    /// Removes an accepted connection from its user.
    pub(crate) fn leave(&self, user: &UserId, conn: &Conn) {
        let mut shard = self.users.shard(user).lock();
        if shard.get_mut(user).is_some_and(|users| users.remove(conn)) {
            shard.remove(user);
            shrink(&mut shard);
        }
    }

    /// The accepted connections of a user; those without a name for the empty user.
    pub(crate) fn of_user(&self, user: &UserId) -> Vec<Arc<Conn>> {
        self.users.shard(user).lock().get(user).map(Users::all).unwrap_or_default()
    }

    /// The accepted connections of all users.
    pub(crate) fn accepted(&self) -> Vec<Arc<Conn>> {
        let shards = self.users.shards.iter();
        shards.flat_map(|shard| shard.lock().values().flat_map(Users::all).collect::<Vec<_>>()).collect()
    }

    /// Every connection.
    pub(crate) fn all(&self) -> Vec<Arc<Conn>> {
        let shards = self.connections.shards.iter();
        shards
            .flat_map(|shard| shard.lock().keys().map(|entry| entry.0.clone()).collect::<Vec<_>>())
            .collect()
    }

    /// The number of accepted connections.
    pub(crate) fn clients(&self) -> usize {
        self.users.shards.iter().map(|shard| shard.lock().values().map(Users::len).sum::<usize>()).sum()
    }

    /// The number of users with accepted connections; those without a name count as one.
    pub(crate) fn users(&self) -> usize {
        self.users.count()
    }

    /// The number of connections, accepted or not.
    pub(crate) fn connections(&self) -> usize {
        self.connections.count()
    }
}

impl Users {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    fn all(&self) -> Vec<Arc<Conn>> {
        match self {
            Self::One(only) => vec![only.clone()],
            Self::Many(many) => many.keys().map(|entry| entry.0.clone()).collect(),
        }
    }

    fn add(&mut self, conn: &Arc<Conn>) {
        if let Self::One(first) = self {
            *self = Self::Many(HashMap::from_iter([(Identified(first.clone()), ())]));
        }
        if let Self::Many(many) = self {
            many.insert(Identified(conn.clone()), ());
        }
    }

    /// `true`: nobody is left.
    fn remove(&mut self, conn: &Conn) -> bool {
        match self {
            Self::One(only) => only.key == conn.key,
            Self::Many(many) => {
                many.remove(&conn.client);
                shrink(many);
                many.is_empty()
            }
        }
    }
}
