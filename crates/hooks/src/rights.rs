//! What a program decided about a connection and wants to find again.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tourbillon_types::Tags;

/// What a program decided about a connection for as long as it lasts, such as what its token lets it do. A node keeps
/// it with the connection and gives it back with every request.
pub trait Rights: Any + fmt::Debug + Send + Sync {
    /// Whether a subscription that depends on them ([`SubscriptionOptions::revocable`](crate::SubscriptionOptions))
    /// goes on. Asked when they change.
    fn holds(&self, channel: &str) -> bool;
}

/// [`Rights`] that a connection holds. Clones share them; equal are those that are the same.
#[derive(Clone, Debug)]
pub struct ClientRights(Arc<dyn Rights>);

impl ClientRights {
    /// Holds these.
    pub fn new(rights: impl Rights) -> Self {
        Self(Arc::new(rights))
    }

    /// The rights, if they are of this type.
    #[must_use]
    pub fn get<R: Rights>(&self) -> Option<&R> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
    }

    /// See [`Rights::holds`].
    #[must_use]
    pub fn holds(&self, channel: &str) -> bool {
        self.0.holds(channel)
    }
}

impl PartialEq for ClientRights {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientRights {}

/// Labels and rights of a connection. Where there are none, as in many programs, they take one word.
#[derive(Clone, Default)]
pub struct ClientTerms(Option<Arc<Terms>>);

#[derive(Clone)]
struct Terms {
    labels: Option<Arc<Tags>>,
    rights: Option<ClientRights>,
}

impl ClientTerms {
    /// Labels, which stay for as long as the connection lasts, and rights.
    #[must_use]
    pub fn new(labels: Option<Arc<Tags>>, rights: Option<ClientRights>) -> Self {
        let is_empty = labels.is_none() && rights.is_none();
        Self((!is_empty).then(|| Arc::new(Terms { labels, rights })))
    }

    /// The labels (PRO-44), if there are any.
    #[must_use]
    pub fn labels(&self) -> Option<&Tags> {
        self.0.as_ref()?.labels.as_deref()
    }

    /// What the program decided about the connection.
    #[must_use]
    pub fn rights(&self) -> Option<&ClientRights> {
        self.0.as_ref()?.rights.as_ref()
    }

    /// The same labels with other rights.
    #[must_use]
    pub fn with_rights(&self, rights: ClientRights) -> Self {
        Self::new(self.0.as_ref().and_then(|terms| terms.labels.clone()), Some(rights))
    }
}

impl fmt::Debug for ClientTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTerms").field("rights", &self.rights()).finish_non_exhaustive()
    }
}
