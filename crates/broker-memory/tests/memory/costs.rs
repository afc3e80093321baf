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
    // Each is made anew around the bytes that are kept.
    assert!(costs.bytes_total < 3_000, "{} bytes", costs.bytes_total);
}

/// What is kept of a publication beside its data and its place in the list, which is as long as the policy allows.
#[test]
fn a_publication_takes_little_besides_its_data() {
    const COUNT: usize = 5_000;
    let rig = Rig::new();
    let publish = |tagged: bool, number: usize| {
        let mut publish = kept(&format!("a{}", number % 50));
        publish.data = Payload::from(vec![b'1'; 200]);
        if let Some(policy) = &mut publish.options.history {
            policy.size = COUNT / 50 + 1;
        }
        if tagged {
            publish.options.tags = Some(Arc::new([("a".to_owned(), "b".to_owned())].into()));
        }
        publish
    };
    // The streams themselves are there, each with one publication and the list's first places.
    (0..50).for_each(|number| drop(rig.publish(publish(false, number))));
    let costs = allocation_counter::measure(|| {
        for number in 0..COUNT {
            rig.publish(publish(false, number));
        }
    });
    let each = (costs.bytes_current as f64 - (COUNT * 200) as f64) / COUNT as f64;
    assert!(each <= 64.0, "{each} bytes for each publication besides its data");
    assert!(each >= 40.0, "{each} bytes: are they kept at all?");
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
