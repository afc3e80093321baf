//! The channels of one session.

use tourbillon_types::{Channel, Instant, Payload, Permissions, Unsubscribe};

use crate::map::Loading;

/// The channels of one session, sorted by name.
///
/// A sorted vector that grows gently: one subscription costs one small allocation, none costs nothing, and the
/// order is the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Vec<(Channel, Subscription)>);

/// One channel of a session.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) state: State,
    /// The server made it, at connect or later.
    pub(crate) server_side: bool,
    pub(crate) client_side_refresh: bool,
    /// It depends on the rights of the connection.
    pub(crate) revocable: bool,
    /// The server hides publications from it.
    pub(crate) filtered: bool,
    /// Its channel is polled: it tracks keys.
    pub(crate) polled: bool,
    /// What it lets the client do.
    pub(crate) allow: Permissions,
    /// What few subscriptions have.
    pub(crate) rare: Option<Box<Rare>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// A call is under way for it: whether it may be, what it begins with, or a page of what is loaded.
    #[default]
    Subscribing,
    /// Keyed, and the client has yet to ask for its next page.
    Loading,
    /// Keyed, and it took too long to load. Nothing is held for it any more.
    Late,
    Subscribed,
}

#[derive(Debug)]
pub(crate) struct Rare {
    /// What is told of the subscriber to others.
    pub(crate) info: Payload,
    /// When something has to be done about its expiry.
    pub(crate) due: Instant,
    /// Whether the server's own refresh is under way.
    pub(crate) refreshing: bool,
    /// Who waits for the subscribe to end in order to undo it.
    pub(crate) undo: Vec<Undo>,
    /// What is known of a keyed subscription until it is live.
    pub(crate) loading: Option<Box<Loading>>,
}

impl Default for Rare {
    fn default() -> Self {
        Self { info: Payload::empty(), due: Instant::MAX, refreshing: false, undo: Vec::new(), loading: None }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Undo {
    /// The client's unsubscribe command with this id.
    Client(u32),
    Server(Unsubscribe),
}

impl Subscription {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn due(&self) -> Instant {
        self.rare.as_ref().map_or(Instant::MAX, |rare| rare.due)
    }

    pub(crate) fn info(&self) -> Payload {
        self.rare.as_ref().map_or_else(Payload::empty, |rare| rare.info.clone())
    }
}

impl Subscriptions {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, channel: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| name.as_str().cmp(channel))
    }

    pub(crate) fn contains(&self, channel: &str) -> bool {
        self.find(channel).is_ok()
    }

    pub(crate) fn get_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        let at = self.find(channel).ok()?;
        self.0.get_mut(at).map(|(_, subscription)| subscription)
    }

    pub(crate) fn get(&self, channel: &str) -> Option<&Subscription> {
        let at = self.find(channel).ok()?;
        self.0.get(at).map(|(_, subscription)| subscription)
    }

    /// Adds a channel that is not there yet.
    pub(crate) fn insert(&mut self, channel: Channel, subscription: Subscription) {
        let Err(at) = self.find(&channel) else { return };
        if self.0.len() == self.0.capacity() {
            // Doubling from one: most connections have one channel or few.
            self.0.reserve_exact(self.0.len().max(1));
        }
        self.0.insert(at, (channel, subscription));
    }

    /// Holds this name in place of an equal one.
    pub(crate) fn share_name(&mut self, channel: &Channel) {
        if let Ok(at) = self.find(channel)
            && let Some((name, _)) = self.0.get_mut(at)
        {
            *name = channel.clone();
        }
    }

    pub(crate) fn remove(&mut self, channel: &str) -> Option<(Channel, Subscription)> {
        let at = self.find(channel).ok()?;
        let removed = self.0.remove(at);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Channel, &Subscription)> {
        self.0.iter().map(|(channel, subscription)| (channel, subscription))
    }

    /// The earliest time at which something has to be done about an expiry.
    pub(crate) fn next_due(&self) -> Instant {
        self.0.iter().map(|(_, subscription)| subscription.due()).min().unwrap_or(Instant::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscription_is_small() {
        assert!(size_of::<(Channel, Subscription)>() <= 32);
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a".into(), Subscription::default());
        assert_eq!(subscriptions.0.capacity(), 1);
        subscriptions.remove("a");
        assert_eq!(subscriptions.0.capacity(), 0);
    }

    #[test]
    fn names_are_shared() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a".into(), Subscription::default());
        let (shared, other) = (Channel::from("a"), Channel::from("b"));
        subscriptions.share_name(&shared);
        subscriptions.share_name(&other);
        let names: Vec<_> = subscriptions.iter().map(|(name, _)| name.as_ptr()).collect();
        assert_eq!(names, [shared.as_ptr()]);
    }

    #[test]
    fn channels_stay_sorted_and_distinct() {
        let mut subscriptions = Subscriptions::default();
        for name in ["m", "a", "z", "m"] {
            subscriptions.insert(name.into(), Subscription::default());
        }
        assert_eq!(subscriptions.iter().map(|(c, _)| c.to_string()).collect::<Vec<_>>(), ["a", "m", "z"]);
        assert!(subscriptions.contains("z") && !subscriptions.contains("b"));
        assert!(subscriptions.remove("b").is_none() && subscriptions.remove("m").is_some());
        assert_eq!(subscriptions.len(), 2);
    }
}
