//! Keyed channels against a model: whatever is set, removed, ended, forgotten, loaded, left and taken up again, and in
//! whatever order, a client that is live has what the store has, and one that cannot is told so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tourbillon_broker::Engine;
use tourbillon_broker_memory::{MemoryEngine, MemoryMaps};
use tourbillon_node::{MapPublishOptions, MapRemoveOptions, NodeConfig};
use tourbillon_types::{
    Channel, Encoding, ManualClock, MapQuery, Payload, Publication, ReplyError, TagFilter, Tags,
};

use crate::harness::{TestNode, start_on};
use crate::keeper::{Keeper, Phase};
use crate::scripted::ByName;

const KEEPERS: usize = 4;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Set {
        key: u8,
        number: u32,
    },
    Remove {
        key: u8,
    },
    /// Time passes for keys and streams.
    Pass {
        seconds: u64,
    },
    Clear,
    /// A keeper goes on by one command.
    Load {
        keeper: usize,
    },
    Leave {
        keeper: usize,
    },
    /// A keeper loses its connection, and has another.
    Lose {
        keeper: usize,
    },
    /// Everything that can happen happens.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let keeper = 0..KEEPERS;
    prop_oneof![
        12 => (0_u8..9, 0_u32..1000).prop_map(|(key, number)| Step::Set { key, number }),
        4 => (0_u8..9).prop_map(|key| Step::Remove { key }),
        2 => (1_u64..70).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Clear),
        12 => keeper.clone().prop_map(|keeper| Step::Load { keeper }),
        2 => keeper.clone().prop_map(|keeper| Step::Leave { keeper }),
        2 => keeper.prop_map(|keeper| Step::Lose { keeper }),
        3 => Just(Step::Settle),
    ]
}

fn document(number: u32) -> String {
    format!(r#"{{"number":{number},"text":"the same <words> in every one of them, ünd long enough"}}"#)
}

/// A key has one tag for ever: what a filter shows of a channel is what it shows of its keys.
fn tags(key: u8) -> Arc<Tags> {
    Arc::new(Tags::from([("t".to_owned(), (key % 2).to_string())]))
}

struct World {
    test: TestNode,
    maps: MemoryMaps,
    clock: Arc<ManualClock>,
    channel: Channel,
    keepers: Vec<Keeper>,
}

impl World {
    async fn new(channel: &str) -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let maps = MemoryMaps::with_clock(clock.clone());
        let engine = Engine::new(MemoryEngine::default()).with_maps(maps.clone());
        let test = start_on(engine, ByName, NodeConfig::default());
        let delta = channel.contains("delta") && !channel.contains("ephemeral");
        let mut keepers = Vec::new();
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            keepers.push(Keeper::connect(&test, encoding, channel).await.fossil(delta));
        }
        keepers.push(Keeper::connect(&test, Encoding::Json, channel).await);
        let mut filtered = Keeper::connect(&test, Encoding::Json, channel).await;
        filtered.wish.filter = Some(Box::new(TagFilter {
            key: "t".to_owned(),
            cmp: "eq".to_owned(),
            val: "1".to_owned(),
            ..TagFilter::default()
        }));
        keepers.push(filtered);
        Self { test, maps, clock, channel: Channel::from(channel), keepers }
    }

    async fn take(&mut self, step: &Step) {
        let node = &self.test.node;
        match *step {
            Step::Set { key, number } => {
                let mut options = MapPublishOptions::default();
                options.tags = Some(tags(key));
                let data = Payload::from(document(number).into_bytes());
                let set = node.map_publish(self.channel.clone(), key.to_string(), data, options).await;
                assert!(set.is_ok(), "{set:?}");
            }
            Step::Remove { key } => {
                let options = MapRemoveOptions::default();
                let removed = node.map_remove(self.channel.clone(), key.to_string(), options).await;
                assert!(removed.is_ok(), "{removed:?}");
            }
            Step::Pass { seconds } => {
                self.clock.advance(Duration::from_secs(seconds));
                self.maps.expire();
            }
            Step::Clear => node.map_clear(&self.channel).await.expect("cleared"),
            Step::Load { keeper } => self.load(keeper).await,
            Step::Leave { keeper } => self.keepers[keeper].unsubscribe().await,
            Step::Lose { keeper } => {
                let Self { test, keepers, .. } = self;
                keepers[keeper].reconnect(test).await;
            }
            Step::Settle => self.settle().await,
        }
    }

    async fn load(&mut self, keeper: usize) {
        let keeper = &mut self.keepers[keeper];
        if keeper.phase != Phase::Live
            && let Err(error) = keeper.step().await
        {
            assert_eq!(error, ReplyError::UNRECOVERABLE_POSITION);
        }
    }

    async fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let page = self.test.node.map_state(&self.channel, &MapQuery::default()).await.expect("a state");
        let value = |entry: &Arc<Publication>| {
            (entry.key.as_deref().expect("keyed").to_owned(), entry.data.as_ref().to_vec())
        };
        page.entries.iter().map(value).collect()
    }

    /// Whoever is live now has what the store has, as far as it may see that.
    async fn settle(&mut self) {
        self.maps.expire();
        let values = self.values().await;
        for (at, keeper) in self.keepers.iter_mut().enumerate() {
            keeper.settle().await;
            if keeper.phase != Phase::Live {
                continue;
            }
            let mut expected = values.clone();
            if keeper.wish.filter.is_some() {
                expected.retain(|key, _| key.parse::<u8>().expect("a number") % 2 == 1);
            }
            assert_eq!(keeper.values, expected, "keeper {at}");
        }
    }
}

const CHANNELS: [&str; 4] = [
    "map_delta_filter",
    "map_delta_filter_ephemeral",
    "map_delta_filter_persistent",
    "map_delta_filter_long",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn map_27_who_is_live_has_what_the_store_has(
        channel in prop::sample::select(&CHANNELS[..]),
        steps in vec(step(), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut world = World::new(channel).await;
            for step in &steps {
                world.take(step).await;
            }
            // In the end everybody gets there.
            for keeper in 0..KEEPERS {
                world.keepers[keeper].settle().await;
                world.keepers[keeper].load().await;
            }
            world.settle().await;
            assert!(world.keepers.iter().all(|keeper| keeper.phase == Phase::Live));
            world.keepers.clear();
            world.test.end().await;
        });
    }
}
