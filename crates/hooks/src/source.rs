//! Publications that a program has for one subscription alone.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tourbillon_types::{Publication, Unsubscribe};

/// Where the publications of one subscription come from, beside those of its channel (PRX-50). It is asked by the
/// connection's own task, once the client has got its reply, for as long as the subscription lasts, and dropped with it.
pub trait Source: Send + 'static {
    /// The next publication, as soon as there is one; or how the subscription ends, after which nothing more is asked.
    /// A connection that does not take what comes is closed as slow, like any other.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Publication, Unsubscribe>>;
}

/// A [`Source`] on its way to its subscription. Clones share it; equal are those that are the same.
#[derive(Clone)]
pub struct SubscriptionSource(Arc<Mutex<Option<Box<dyn Source>>>>);

impl SubscriptionSource {
    /// Holds a source.
    pub fn new(source: impl Source) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(source)))))
    }

    /// The source, the first time.
    #[must_use]
    pub fn take(&self) -> Option<Box<dyn Source>> {
        self.0.lock().take()
    }
}

impl PartialEq for SubscriptionSource {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SubscriptionSource {}

impl fmt::Debug for SubscriptionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubscriptionSource")
    }
}
