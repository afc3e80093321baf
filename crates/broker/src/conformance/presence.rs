//! What a broker that keeps presence, or carries joins and leaves, is held to.

use std::collections::BTreeMap;
use std::sync::Arc;

use tourbillon_types::{Channel, ClientId, ClientInfo, Payload, UserId};

use super::{Event, Harness, start};
use crate::{PresenceStats, SharedPresence};

async fn keeper(harness: &impl Harness) -> Option<SharedPresence> {
    let (_, broker) = start(harness, &[]).await;
    broker.parts().presence
}

fn client(number: u8) -> ClientId {
    ClientId::from_random([number; 16])
}

fn info(number: u8, user: &str, channel: &'static str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: UserId::from(user),
        client: Some(client(number)),
        connection: Payload::from(r#"{"name":"n"}"#),
        channel: Payload::from(channel),
    })
}

async fn add(presence: &SharedPresence, channel: &str, number: u8, user: &str) {
    let added = presence.add_presence(&Channel::from(channel), client(number), info(number, user, "")).await;
    assert!(added.is_ok(), "{added:?}");
}

async fn remove(presence: &SharedPresence, channel: &str, number: u8, user: &str) {
    let user = UserId::from(user);
    let removed = presence.remove_presence(&Channel::from(channel), client(number), &user).await;
    assert!(removed.is_ok(), "{removed:?}");
}

async fn list(presence: &SharedPresence, channel: &str) -> BTreeMap<ClientId, Arc<ClientInfo>> {
    let listed = presence.presence(&Channel::from(channel)).await;
    assert!(listed.is_ok(), "{listed:?}");
    let listed = listed.unwrap_or_default();
    let length = listed.len();
    let sorted: BTreeMap<_, _> = listed.into_iter().collect();
    assert_eq!(sorted.len(), length, "nobody is there twice");
    sorted
}

async fn stats(presence: &SharedPresence, channel: &str) -> (usize, usize) {
    let stats = presence.presence_stats(&Channel::from(channel)).await;
    assert!(stats.is_ok(), "{stats:?}");
    let PresenceStats { clients, users } = stats.unwrap_or_default();
    (clients, users)
}

/// Who was added is listed, with all that is known of them, in their channel only.
pub async fn presence_lists_who_is_there(harness: impl Harness) {
    let Some(presence) = keeper(&harness).await else { return };
    add(&presence, "a", 1, "u").await;
    add(&presence, "a", 2, "").await;
    add(&presence, "b", 3, "u").await;
    let expected = BTreeMap::from([(client(1), info(1, "u", "")), (client(2), info(2, "", ""))]);
    assert_eq!(list(&presence, "a").await, expected);
    assert_eq!(list(&presence, "b").await.len(), 1);
    assert!(list(&presence, "empty").await.is_empty());
}

/// Connections count one by one and users once, however they come and go (CMD-09).
pub async fn presence_counts_users_once(harness: impl Harness) {
    let Some(presence) = keeper(&harness).await else { return };
    assert_eq!(stats(&presence, "a").await, (0, 0));
    for (number, user, expected) in [
        (1, "u", (1, 1)),
        (2, "u", (2, 1)),
        (3, "v", (3, 2)),
        (4, "", (4, 3)),
        (5, "", (5, 3)),
        // Again, as nodes do from time to time.
        (3, "v", (5, 3)),
        (1, "u", (5, 3)),
    ] {
        add(&presence, "a", number, user).await;
        assert_eq!(stats(&presence, "a").await, expected, "{number} of {user:?}");
    }
    assert_eq!(stats(&presence, "b").await, (0, 0));
    for (number, user, expected) in [
        (1, "u", (4, 3)),
        (2, "u", (3, 2)),
        (2, "u", (3, 2)),
        (4, "", (2, 2)),
        (5, "", (1, 1)),
        (3, "v", (0, 0)),
    ] {
        remove(&presence, "a", number, user).await;
        assert_eq!(stats(&presence, "a").await, expected, "{number} of {user:?}");
    }
}

/// What is known of a connection can change, and those who left are gone.
pub async fn presence_is_replaced_and_removed(harness: impl Harness) {
    let Some(presence) = keeper(&harness).await else { return };
    let channel = Channel::from("a");
    add(&presence, "a", 1, "u").await;
    let changed = info(1, "u", r#"{"changed":true}"#);
    assert!(presence.add_presence(&channel, client(1), changed.clone()).await.is_ok());
    assert_eq!(list(&presence, "a").await, BTreeMap::from([(client(1), changed)]));
    remove(&presence, "a", 2, "u").await;
    assert_eq!(list(&presence, "a").await.len(), 1, "removing who is not there is harmless");
    remove(&presence, "a", 1, "u").await;
    assert!(list(&presence, "a").await.is_empty());
}

/// Joins and leaves arrive at whoever has the channel, in their order.
pub async fn joins_and_leaves_arrive(harness: impl Harness) {
    let (log, broker) = start(&harness, &["a"]).await;
    let channel = Channel::from("a");
    let joined = broker.publish_join(&channel, info(1, "u", "")).await;
    if !broker.capabilities().join_leave {
        assert!(joined.is_err_and(|error| error.is_unsupported()), "ignored a join");
        return;
    }
    assert!(joined.is_ok());
    assert!(broker.publish_leave(&channel, info(1, "u", "")).await.is_ok());
    harness.settled(&log, 2).await;
    let expected = [Event::Join(channel.clone(), info(1, "u", "")), Event::Leave(channel, info(1, "u", ""))];
    assert_eq!(log.events(), expected);
}
