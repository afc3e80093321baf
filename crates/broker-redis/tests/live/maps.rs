//! The suite that every store of keyed channels passes.

use std::time::Duration;

use tourbillon_broker::conformance::MapHarness;
use tourbillon_broker::{EventSink, MapStore, SharedMapStore, map_conformance_suite};
use tourbillon_broker_redis::{MapsConfig, RedisMaps};

use crate::servers::{Redis, block_on, cluster, eventually, prefix, shard};

struct Live {
    redis: Redis,
    config: MapsConfig,
}

impl Live {
    fn start() -> Self {
        let redis = Redis::start(&[]);
        let mut config = MapsConfig::new(vec![shard(&redis.url())]);
        config.prefix = prefix();
        config.cleanup_interval = Some(Duration::from_millis(10));
        Self { redis, config }
    }
}

/// Makes everything that ends in time end so much sooner. Of a channel whose time is not over yet, all at once.
const PASS: &str = r"
local by = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 and left <= by then
    redis.call('DEL', key)
  elseif left >= 0 then
    redis.call('PEXPIRE', key, left - by)
  end
  if string.find(key, ':state:expire:', 1, true) or string.find(key, ':cleanup:channels', 1, true) then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -by, member)
    end
  end
end
return 'passed'";

const DUE: &str = r"
local now = redis.call('TIME')[1] * 1000
local due = 0
for _, key in ipairs(redis.call('KEYS', '*:state:expire:*')) do
  due = due + redis.call('ZCOUNT', key, '-inf', now)
end
return due";

impl MapHarness for Live {
    async fn store(&self, events: EventSink) -> SharedMapStore {
        let store = std::sync::Arc::new(RedisMaps::connect(self.config.clone()).await.expect("connected"));
        MapStore::attach(&*store, events);
        let running = store.clone();
        tokio::spawn(async move { MapStore::run(&*running, Box::pin(std::future::pending())).await });
        store
    }

    async fn pass(&self, duration: Duration) -> bool {
        // In steps that are shorter than what a store may take to tell of a key's end.
        let mut left = duration;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(30));
            left -= step;
            let by = step.as_millis().to_string();
            assert_eq!(self.redis.cli(&["EVAL", PASS, "0", &by]), "passed");
            eventually("keys end", || self.redis.cli(&["EVAL", DUE, "0"]) == "0").await;
        }
        true
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        eventually("it is so", condition).await;
    }

    fn needs_interest(&self) -> bool {
        true
    }
}

map_conformance_suite!(block_on, Live::start());

#[test]
fn mapb_05_a_cluster_is_refused() {
    block_on(async {
        let nodes = cluster();
        let error = RedisMaps::connect(MapsConfig::new(vec![shard(&nodes[0].url())])).await.map(|_| ());
        assert!(error.is_err_and(|error| error.to_string().contains("Cluster")));
    });
}

#[test]
fn mapb_02_names_are_centrifugos() {
    block_on(async {
        let live = Live::start();
        let store = live
            .store(EventSink::new(std::sync::Arc::<tourbillon_broker::conformance::Log>::default()))
            .await;
        let policy = tourbillon_broker::MapPolicy::recoverable(
            Duration::from_secs(60),
            tourbillon_broker::MapStream::default(),
        );
        let set = tourbillon_broker::MapPublish::new("a".into(), "k", "1".into(), policy);
        let position = store.publish(set).await.unwrap().position;
        let p = &live.config.prefix;
        let cli = |args: &[&str]| live.redis.cli(args);
        assert_eq!(
            cli(&["HMGET", &format!("{p}:meta:a"), "e", "s"]),
            format!("{}\n1", position.epoch.as_str())
        );
        let entry = cli(&["HGET", &format!("{p}:state:a"), "k"]);
        assert!(entry.starts_with(&format!("1:{}:\"\x011", position.epoch.as_str())), "{entry:?}");
        assert_eq!(cli(&["ZRANGE", &format!("{p}:state:expire:a"), "0", "-1"]), "k");
        assert_eq!(cli(&["HGET", &format!("{p}:state:meta:a"), "epoch"]), position.epoch.as_str());
        assert_eq!(cli(&["ZRANGE", &format!("{p}:cleanup:channels"), "0", "-1"]), "a");
        assert!(cli(&["XRANGE", &format!("{p}:stream:a"), "-", "+"]).starts_with("1-0\ne\n"));
    });
}
