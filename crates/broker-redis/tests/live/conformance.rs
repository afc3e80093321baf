//! The suites that every broker passes, on every form of Redis.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tourbillon_broker::conformance::{ControlHarness, Harness, Inbox, Log};
use tourbillon_broker::{
    BrokerError, Control, ControlSink, DynBroker, EventSink, Receiver, SharedControl, Stop,
    conformance_suite, control_conformance_suite,
};
use tourbillon_broker_redis::{Connection, RedisConfig, RedisEngine, ShardConfig};
use tourbillon_types::NodeId;

use crate::servers::{Redis, block_on, cluster, eventually, prefix, run_with, shard, until};

/// Servers of a form, and engines on them.
struct Live {
    servers: Vec<Redis>,
    config: RedisConfig,
}

impl Live {
    fn on(servers: Vec<Redis>, shards: Vec<ShardConfig>) -> Self {
        let mut config = RedisConfig::new(shards);
        config.prefix = prefix();
        Self { servers, config }
    }

    fn standalone() -> Self {
        let redis = Redis::start(&[]);
        let shards = vec![shard(&redis.url())];
        Self::on(vec![redis], shards)
    }

    fn shards() -> Self {
        let servers = vec![Redis::start(&[]), Redis::start(&[]), Redis::start(&[])];
        let shards = servers.iter().map(|redis| shard(&redis.url())).collect();
        Self::on(servers, shards)
    }

    fn cluster() -> Self {
        let servers = cluster();
        let nodes: Vec<_> = servers.iter().map(|redis| format!("127.0.0.1:{}", redis.port)).collect();
        let shards = vec![ShardConfig::cluster(&nodes.join(","), &Connection::default()).unwrap()];
        Self::on(servers, shards)
    }

    fn unix_socket() -> Self {
        let redis = Redis::start(&["--unixsocket", "{dir}/s"]);
        let socket = redis.directory().join("s");
        until("there is a socket", || socket.exists());
        let shards = vec![shard(&format!("unix://{}", socket.display()))];
        Self::on(vec![redis], shards)
    }

    fn with(mut self, change: impl FnOnce(&mut RedisConfig)) -> Self {
        change(&mut self.config);
        self
    }
}

/// Makes everything that ends in time end so much sooner.
const PASS: &str = r"
local by = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 and left <= by then
    redis.call('DEL', key)
  elseif left >= 0 then
    redis.call('PEXPIRE', key, left - by)
  end
  if redis.call('TYPE', key).ok == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -by / 1000, member)
    end
  end
end
return 'passed'";

impl Harness for Live {
    async fn broker(&self, events: EventSink) -> Arc<dyn DynBroker> {
        run_with(self.config.clone(), events).await
    }

    async fn pass(&self, duration: Duration) -> bool {
        let by = duration.as_millis().to_string();
        self.servers.iter().for_each(|redis| assert_eq!(redis.cli(&["EVAL", PASS, "0", &by]), "passed"));
        true
    }

    async fn settled(&self, log: &Log, events: usize) {
        eventually("the events arrive", || log.len() >= events).await;
    }
}

/// A node's place, which is left when this is dropped.
#[derive(Debug)]
struct Place {
    engine: Arc<RedisEngine>,
    running: tokio::task::JoinHandle<()>,
}

impl Control for Place {
    fn attach(&self, _: NodeId, _: ControlSink) {}

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        Control::send(&*self.engine, to, message).await
    }

    async fn run(&self, _: Stop) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl ControlHarness for Live {
    async fn join(&self, node: NodeId, sink: ControlSink) -> SharedControl {
        let engine = Arc::new(RedisEngine::connect(self.config.clone()).await.expect("connected"));
        Control::attach(&*engine, node, sink);
        let running = engine.clone();
        let running = tokio::spawn(async move {
            let _ = Control::run(&*running, Box::pin(std::future::pending())).await;
        });
        let name = format!("{}.node.{node}", self.config.prefix);
        let listens = |redis: &Redis| redis.cli(&["PUBSUB", "NUMSUB", &name]).ends_with('1');
        // In a cluster, it listens at one of the nodes.
        let all = self.config.shards.len();
        eventually("the node listens", || self.servers.iter().filter(|redis| listens(redis)).count() == all)
            .await;
        Arc::new(Place { engine, running })
    }

    async fn settled(&self, inbox: &Inbox, count: usize) {
        eventually("the messages arrive", || inbox.messages().len() >= count).await;
    }
}

mod standalone {
    use super::*;
    conformance_suite!(block_on, Live::standalone());
    control_conformance_suite!(block_on, Live::standalone());
}

mod several_shards {
    use super::*;
    conformance_suite!(block_on, Live::shards());
    control_conformance_suite!(block_on, Live::shards());
}

mod in_a_cluster {
    use super::*;
    conformance_suite!(block_on, Live::cluster());
    control_conformance_suite!(block_on, Live::cluster());
}

mod lists {
    use super::*;
    conformance_suite!(block_on, Live::standalone().with(|config| config.lists = true));
}

mod counted_users {
    use super::*;
    conformance_suite!(block_on, Live::standalone().with(|config| config.presence.user_mapping = true));
}

mod older_protocol {
    use super::*;

    fn live() -> Live {
        let mut live = Live::unix_socket();
        live.config.shards[0].connection.force_resp2 = true;
        live
    }

    conformance_suite!(block_on, live());
    control_conformance_suite!(block_on, live());
}
