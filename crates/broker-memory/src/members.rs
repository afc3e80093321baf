//! Who is in the channels of one shard (MEM-05).

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_broker::{Member, PresenceStats};
use tourbillon_types::{Channel, ClientId, ClientInfo, UserId};

/// Members by channel.
#[derive(Debug, Default)]
pub(crate) struct Members(HashMap<Channel, Room, RandomState>);

/// One channel's members, and how many connections each user has: counting is what is asked for most.
#[derive(Debug, Default)]
struct Room {
    clients: HashMap<ClientId, Arc<ClientInfo>, RandomState>,
    users: HashMap<UserId, usize, RandomState>,
}

impl Members {
    pub(crate) fn add(&mut self, channel: &Channel, client: ClientId, info: Arc<ClientInfo>) {
        let room = self.0.entry(channel.clone()).or_default();
        *room.users.entry(info.user.clone()).or_default() += 1;
        if let Some(before) = room.clients.insert(client, info) {
            room.leave(&before.user);
        }
    }

    pub(crate) fn remove(&mut self, channel: &Channel, client: ClientId) {
        let Some(room) = self.0.get_mut(channel) else { return };
        if let Some(info) = room.clients.remove(&client) {
            room.leave(&info.user);
        }
        if room.clients.is_empty() {
            self.0.remove(channel);
            shrink(&mut self.0);
        } else {
            shrink(&mut room.clients);
            shrink(&mut room.users);
        }
    }

    pub(crate) fn list(&self, channel: &Channel) -> Vec<Member> {
        let room = self.0.get(channel).map(|room| &room.clients);
        room.into_iter().flatten().map(|(client, info)| (*client, info.clone())).collect()
    }

    pub(crate) fn stats(&self, channel: &Channel) -> PresenceStats {
        self.0.get(channel).map_or_else(PresenceStats::default, |room| PresenceStats {
            clients: room.clients.len(),
            users: room.users.len(),
        })
    }
}

impl Room {
    /// A connection of the user is gone.
    fn leave(&mut self, user: &UserId) {
        if let Some(connections) = self.users.get_mut(user) {
            *connections -= 1;
            if *connections == 0 {
                self.users.remove(user);
            }
        }
    }
}

/// Gives back what a crowd left.
fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V, RandomState>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_types::Payload;

    use super::*;

    fn info(user: &str) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            user: UserId::from(user),
            client: None,
            connection: Payload::empty(),
            channel: Payload::empty(),
        })
    }

    #[test]
    fn an_empty_channel_leaves_nothing_behind() {
        let mut members = Members::default();
        let channel = Channel::from("a");
        for number in 0..200 {
            members.add(&channel, ClientId::from_random([number; 16]), info("u"));
        }
        for number in 0..200 {
            members.remove(&channel, ClientId::from_random([number; 16]));
        }
        assert!(members.0.is_empty());
    }

    #[test]
    fn a_connection_that_changes_its_user_counts_for_the_new_one() {
        let mut members = Members::default();
        let channel = Channel::from("a");
        let client = ClientId::from_random([1; 16]);
        members.add(&channel, client, info("u"));
        members.add(&channel, client, info("v"));
        assert_eq!(members.stats(&channel), PresenceStats { clients: 1, users: 1 });
        members.remove(&channel, client);
        assert_eq!(members.stats(&channel), PresenceStats::default());
    }
}
