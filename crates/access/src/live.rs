//! Settings that can change while they are used.

use std::sync::Arc;

use parking_lot::RwLock;

/// A shared value that can be replaced: who asks gets the newest, who holds one keeps it. Clones share the place.
///
/// ```
/// let settings = tourbillon_access::Live::new(1);
/// let elsewhere = settings.clone();
/// let before = elsewhere.load();
/// settings.replace(2);
/// assert_eq!((*before, *elsewhere.load()), (1, 2));
/// ```
#[derive(Debug)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Live<T> {
    /// A place with a value.
    pub fn new(value: T) -> Self {
        Self::from(Arc::new(value))
    }

    /// The value in force.
    #[must_use]
    pub fn load(&self) -> Arc<T> {
        self.0.read().clone()
    }

    /// Asks the value in force, without holding on to it.
    pub fn with<R>(&self, ask: impl FnOnce(&T) -> R) -> R {
        ask(&self.0.read())
    }

    /// Puts another value in force.
    pub fn replace(&self, value: T) {
        let value = Arc::new(value);
        let old = std::mem::replace(&mut *self.0.write(), value);
        // Not under the lock: it may be large.
        drop(old);
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> From<Arc<T>> for Live<T> {
    fn from(value: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }
}

impl<T> From<T> for Live<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
