//! What things cost in memory.

use std::sync::Arc;

use tourbillon_broker::{Broker, HistoryQuery, Presence};
use tourbillon_types::{Channel, ClientId, ClientInfo, Payload, UserId};

use crate::rig::{Rig, at_once, kept};

#[test]
fn publishing_allocates_the_entry_and_its_bytes() {
    let rig = Rig::new();
    for _ in 0..100 {
        rig.keep("a");
    }
    let publish = kept("a");
    let engine = &*rig.memory;
    let costs = allocation_counter::measure(|| {
        let published = at_once(Broker::publish(engine, publish));
        assert!(published.is_ok());
    });
    // The publication, its own copy of the data, and the handle by which the copy is shared.
    assert!(costs.count_total <= 3, "{} allocations", costs.count_total);
    assert!(costs.bytes_current <= 0, "one goes for one that comes");
}

#[test]
fn a_page_costs_a_list_however_large_its_publications_are() {
    let rig = Rig::new();
    for _ in 0..10 {
        let mut publish = kept("a");
        publish.data = Payload::from(vec![b'1'; 100_000]);
        rig.publish(publish);
    }
    let costs = allocation_counter::measure(|| {
        assert_eq!(rig.read("a", &HistoryQuery::default()).publications.len(), 10);
    });
    assert!(costs.bytes_total < 2_000, "{} bytes", costs.bytes_total);
}

#[test]
fn a_stream_with_nothing_but_a_position_is_small() {
    let rig = Rig::new();
    let names: Vec<_> = (0..20_000).map(|number| format!("channel-{number:06}")).collect();
    let costs = allocation_counter::measure(|| {
        for name in &names {
            rig.read(name, &HistoryQuery::position());
        }
    });
    let each = usize::try_from(costs.bytes_current).unwrap_or_default() / names.len();
    assert!(each <= 330, "{each} bytes for each stream");
}

#[test]
fn counting_members_allocates_nothing() {
    let rig = Rig::new();
    let channel = Channel::from("a");
    for number in 0..=255 {
        let info = ClientInfo {
            user: UserId::from(format!("user-{}", number % 10)),
            client: None,
            connection: Payload::empty(),
            channel: Payload::empty(),
        };
        let added = rig.memory.add_presence(&channel, ClientId::from_random([number; 16]), Arc::new(info));
        assert!(at_once(added).is_ok());
    }
    let costs = allocation_counter::measure(|| {
        let stats = at_once(rig.memory.presence_stats(&channel)).unwrap_or_default();
        // Identifiers of version 4 fix six of their bits, so some of these are the same.
        assert!(stats.clients > 100 && stats.users == 10);
    });
    assert_eq!(costs.count_total, 0);
}
