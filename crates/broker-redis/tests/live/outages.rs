//! Servers that go away and come back, and servers that are not there.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tourbillon_broker::conformance::Inbox;
use tourbillon_broker::{
    Broker, BrokerEvents, Control, ControlSink, EventSink, History, HistoryPolicy, HistoryQuery, Publish,
    Receiver,
};
use tourbillon_broker_redis::{Connection, RedisConfig, RedisEngine, RedisTls, ShardConfig};
use tourbillon_tls::TlsClient;
use tourbillon_types::{Channel, ClientInfo, NodeId, Payload, Publication};

use crate::servers::{PATIENCE, Redis, block_on, cluster, eventually, prefix, run_with, shard, until};

const POLICY: HistoryPolicy =
    HistoryPolicy { size: 10, ttl: Duration::from_secs(60), meta_ttl: Duration::from_secs(600) };

/// What a node was told.
#[derive(Debug, Default)]
struct Ear {
    publications: Mutex<Vec<(Channel, Arc<Publication>)>>,
    lost: Mutex<Vec<Channel>>,
    /// Nobody gets on while this is set.
    blocked: Mutex<bool>,
    unblocked: Condvar,
}

impl BrokerEvents for Ear {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        if *self.blocked.lock() {
            // The thread's other tasks go on elsewhere, whatever this one does. Without that, those that this thread was
            // about to run would wait with it: the one that takes messages from the connection, too.
            tokio::task::block_in_place(|| {
                let mut blocked = self.blocked.lock();
                while *blocked {
                    self.unblocked.wait(&mut blocked);
                }
            });
        }
        self.publications.lock().push((channel.clone(), publication));
    }

    fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn position_lost(&self, channel: Option<&Channel>) {
        self.lost.lock().push(channel.expect("a channel").clone());
    }
}

impl Ear {
    fn data(&self, channel: &Channel) -> Vec<String> {
        let publications = self.publications.lock();
        let of = publications.iter().filter(|(name, _)| name == channel);
        of.map(|(_, it)| String::from_utf8_lossy(it.data.as_ref()).into_owned()).collect()
    }

    fn has_lost(&self, channel: &Channel) -> bool {
        self.lost.lock().contains(channel)
    }
}

fn config(address: &str) -> RedisConfig {
    let mut config = RedisConfig::new(vec![shard(address)]);
    config.prefix = prefix();
    config.shards[0].connection.io_timeout = Duration::from_millis(500);
    config
}

async fn start(config: RedisConfig) -> (Arc<Ear>, Arc<RedisEngine>) {
    let ear = Arc::new(Ear::default());
    let engine = run_with(config, EventSink::new(ear.clone())).await;
    (ear, engine)
}

fn kept(channel: &Channel, data: &str) -> Publish {
    let mut publish = Publish::new(channel.clone(), Payload::from(data.as_bytes().to_vec()));
    publish.options.history = Some(POLICY);
    publish
}

/// Publishes until it works: how long that takes is not for us to know.
async fn publish(engine: &Arc<RedisEngine>, publish: Publish) -> tourbillon_broker::Published {
    let trying = async {
        loop {
            match engine.publish(publish.clone()).await {
                Ok(published) => return published,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.expect("published at last")
}

#[test]
fn red_17_a_server_that_was_killed_is_told_and_found_again() {
    block_on(async {
        let mut redis = Redis::start(&[]);
        let (ear, engine) = start(config(&redis.url())).await;
        let channel = Channel::from("a");
        engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        let first = publish(&engine, kept(&channel, "before")).await.position;
        eventually("it arrives", || ear.data(&channel) == ["before"]).await;
        assert!(Broker::ready(&*engine).await.is_ok());
        redis.kill();
        let failed = Broker::publish(&*engine, kept(&channel, "meanwhile")).await.unwrap_err();
        assert!(failed.is_transient(), "{failed:?}");
        assert!(Broker::ready(&*engine).await.is_err_and(|error| error.is_transient()));
        redis.restart();
        eventually("the loss is told", || ear.has_lost(&channel)).await;
        let second = publish(&engine, kept(&channel, "after")).await.position;
        assert_eq!(second.offset, 1, "the server has forgotten everything");
        assert_ne!(second.epoch, first.epoch);
        eventually("it arrives", || ear.data(&channel) == ["before", "after"]).await;
        assert!(Broker::ready(&*engine).await.is_ok());
        let position = ear.publications.lock().last().map(|(_, it)| (it.offset, it.epoch.clone()));
        assert_eq!(position, Some((1, second.epoch)));
    });
}

#[test]
fn red_17_every_channel_is_subscribed_again_when_a_connection_was_lost() {
    block_on(async {
        let redis = Redis::start(&[]);
        let (ear, engine) = start(config(&redis.url())).await;
        let channels: Vec<_> = (0..1500).map(|number| Channel::from(format!("c{number}"))).collect();
        engine.subscribe(&channels).await.unwrap();
        assert_eq!(redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]), "1");
        eventually("all losses are told", || channels.iter().all(|channel| ear.has_lost(channel))).await;
        for channel in &channels {
            publish(&engine, Publish::new(channel.clone(), "x".into())).await;
        }
        eventually("all arrive", || ear.publications.lock().len() == channels.len()).await;
    });
}

#[test]
fn hid_91_a_server_that_forgets_everything_begins_a_new_epoch() {
    block_on(async {
        let redis = Redis::start(&[]);
        let (ear, engine) = start(config(&redis.url())).await;
        let channel = Channel::from("a");
        engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        publish(&engine, kept(&channel, "1")).await;
        let first = publish(&engine, kept(&channel, "2")).await.position;
        assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
        let second = publish(&engine, kept(&channel, "3")).await.position;
        assert_eq!((first.offset, second.offset), (2, 1));
        assert_ne!(first.epoch, second.epoch);
        // The meta data alone are gone: what the stream holds is of the epoch before.
        let prefix = redis.cli(&["KEYS", "*.stream.meta.a"]);
        assert_eq!(redis.cli(&["DEL", &prefix]), "1");
        let page = engine.history(&channel, &HistoryQuery::default(), POLICY.meta_ttl).await.unwrap();
        assert_eq!((page.publications.len(), page.position.offset), (0, 0));
        let third = publish(&engine, kept(&channel, "4")).await.position;
        assert_eq!(third.epoch, page.position.epoch, "what was told to readers stays true");
        let page = engine.history(&channel, &HistoryQuery::default(), POLICY.meta_ttl).await.unwrap();
        let kept: Vec<_> = page.publications.iter().map(|it| it.data.clone()).collect();
        assert_eq!(kept, [Payload::from("4")]);
        eventually("all arrive", || ear.data(&channel) == ["1", "2", "3", "4"]).await;
    });
}

#[test]
fn scripts_that_a_server_has_forgotten_are_told_again() {
    block_on(async {
        let redis = Redis::start(&[]);
        let (_, engine) = start(config(&redis.url())).await;
        for offset in 1..=3 {
            let published = Broker::publish(&*engine, kept(&Channel::from("a"), "x")).await.unwrap();
            assert_eq!(published.position.offset, offset);
            assert_eq!(redis.cli(&["SCRIPT", "FLUSH"]), "OK");
        }
    });
}

#[test]
fn a_server_that_does_not_answer_is_a_passing_failure() {
    block_on(async {
        let redis = Redis::start(&[]);
        let (_, engine) = start(config(&redis.url())).await;
        let signal = |name: &str| {
            let sent = Command::new("kill").args([name, &redis.pid().to_string()]).status();
            assert!(sent.expect("kill").success());
        };
        signal("-STOP");
        let failed = Broker::publish(&*engine, kept(&Channel::from("a"), "x")).await;
        assert!(Broker::ready(&*engine).await.is_err_and(|error| error.is_transient()));
        signal("-CONT");
        assert!(failed.as_ref().is_err_and(|error| error.is_transient()), "{failed:?}");
        publish(&engine, kept(&Channel::from("a"), "y")).await;
    });
}

/// A server that says nothing for a while may have handed nothing on: subscribers are told, though the connection stands.
#[test]
fn red_19_a_silent_connection_is_probed_and_replaced() {
    block_on(async {
        let redis = Redis::start(&[]);
        let mut config = config(&redis.url());
        config.shards[0].connection.probe_interval = Duration::from_millis(100);
        let (ear, engine) = start(config).await;
        let channel = Channel::from("a");
        engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        let signal = |name: &str| {
            let sent = Command::new("kill").args([name, &redis.pid().to_string()]).status();
            assert!(sent.expect("kill").success());
        };
        let count = |error: &str| {
            engine.counts().errors().into_iter().find(|(name, _)| *name == error).map(|(_, count)| count)
        };
        assert_eq!((count("no_answer"), count("connection_lost")), (Some(0), Some(0)));
        signal("-STOP");
        eventually("nobody answers", || count("no_answer") > Some(0)).await;
        signal("-CONT");
        eventually("the loss is told", || ear.has_lost(&channel)).await;
        assert!(count("connection_lost") > Some(0));
        publish(&engine, kept(&channel, "after")).await;
        eventually("it arrives", || ear.data(&channel).contains(&"after".to_owned())).await;
    });
}

#[test]
fn red_17_there_is_no_start_without_a_server() {
    block_on(async {
        let mut redis = Redis::start(&[]);
        redis.kill();
        let error = RedisEngine::connect(config(&redis.url())).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{}", redis.port)), "{error}");
    });
}

#[test]
fn who_is_not_let_in_does_not_start() {
    block_on(async {
        let redis = Redis::start(&["--requirepass", "secret"]);
        let with = |password: &str| config(&format!("redis://:{password}@127.0.0.1:{}/3", redis.port));
        let error = RedisEngine::connect(with("wrong")).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("WRONGPASS") && !error.contains("wrong@"), "{error}");
        let (_, engine) = start(with("secret")).await;
        publish(&engine, kept(&Channel::from("a"), "x")).await;
        let keys = redis.cli(&["-a", "secret", "--no-auth-warning", "-n", "3", "DBSIZE"]);
        assert_eq!(keys, "2", "stream and meta data are in the database that the address names");
    });
}

#[test]
fn red_15_a_server_without_lifetimes_of_fields_is_told_at_the_start() {
    block_on(async {
        let redis = Redis::start(&[]);
        let mut config = config(&redis.url());
        config.presence.hash_field_ttl = true;
        let version = redis.cli(&["INFO", "server"]);
        let version =
            version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
        let has = (numbers.next(), numbers.next()) >= (Some(7), Some(4));
        let started = RedisEngine::connect(config).await.map(|_| ());
        assert_eq!(started.is_ok(), has, "{version}: {started:?}");
        assert!(has || started.unwrap_err().to_string().contains("presence_hash_field_ttl"));
    });
}

#[test]
fn red_03_connections_have_the_name_of_the_options() {
    block_on(async {
        let redis = Redis::start(&[]);
        let mut config = config(&redis.url());
        config.shards[0].connection.client_name = "tourbillon-here".to_owned();
        let (_, engine) = start(config).await;
        let named = || redis.cli(&["CLIENT", "LIST"]).matches("name=tourbillon-here ").count();
        assert_eq!(named(), 2, "commands and messages");
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        publish(&engine, kept(&Channel::from("a"), "x")).await;
        eventually("the connections are named again", || named() == 2).await;
    });
}

#[test]
fn red_18_a_full_queue_is_told_as_a_loss() {
    block_on(async {
        let redis = Redis::start(&[]);
        let mut config = config(&redis.url());
        config.shards[0].connection.io_timeout = PATIENCE;
        let (ear, engine) = start(config).await;
        let channel = Channel::from("a");
        engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        *ear.blocked.lock() = true;
        let message = || Publish::new(channel.clone(), "x".into());
        let sending: Vec<_> = (0..9000).map(|_| Broker::publish(&*engine, message())).collect();
        let sent = futures_util::future::join_all(sending).await;
        let told =
            tokio::time::timeout(PATIENCE / 2, eventually("the loss is told", || ear.has_lost(&channel)))
                .await;
        let waiting = engine.counts().buffered();
        assert_eq!(waiting.iter().sum::<usize>(), 8192, "one queue is full: {waiting:?}");
        *ear.blocked.lock() = false;
        ear.unblocked.notify_all();
        told.expect("told");
        let counts = engine.counts();
        let dropped = counts.dropped();
        assert!((1..=9000 - 8192).contains(&dropped), "{dropped}");
        assert!(sent.iter().all(Result::is_ok));
        eventually("what was not dropped arrives", || ear.publications.lock().len() >= 8192).await;
    });
}

#[test]
fn nodes_hear_of_each_other_again_after_an_outage() {
    block_on(async {
        let mut redis = Redis::start(&[]);
        let config = config(&redis.url());
        let (one, two) = (NodeId::from_random([1; 16]), NodeId::from_random([2; 16]));
        let inbox = Arc::new(Inbox::default());
        let mut engines = Vec::new();
        for (node, inbox) in [(one, Arc::new(Inbox::default())), (two, inbox.clone())] {
            let engine = Arc::new(RedisEngine::connect(config.clone()).await.unwrap());
            Control::attach(&*engine, node, ControlSink::new(inbox));
            let running = engine.clone();
            tokio::spawn(async move { Control::run(&*running, Box::pin(std::future::pending())).await });
            engines.push(engine);
        }
        let name = format!("{}.node.{two}", config.prefix);
        let listens = |redis: &Redis| redis.cli(&["PUBSUB", "NUMSUB", &name]).ends_with('1');
        eventually("the node listens", || listens(&redis)).await;
        redis.kill();
        redis.restart();
        eventually("the node listens again", || listens(&redis)).await;
        let sent = tokio::time::timeout(PATIENCE, async {
            while Control::send(&*engines[0], Receiver::Node(two), "x".into()).await.is_err() {
                tokio::task::yield_now().await;
            }
        });
        sent.await.expect("sent at last");
        eventually("it arrives", || inbox.messages() == ["x"]).await;
    });
}

#[test]
fn a_node_of_a_cluster_that_comes_back_is_used_again() {
    block_on(async {
        let mut nodes = cluster();
        // One address of one node, which says that it is of a cluster.
        let (ear, engine) = start(config(&nodes[0].url())).await;
        let channels: Vec<_> = (0..50).map(|number| Channel::from(format!("c{number}"))).collect();
        engine.subscribe(&channels).await.unwrap();
        for channel in &channels {
            publish(&engine, kept(channel, "before")).await;
        }
        eventually("all arrive", || ear.publications.lock().len() == channels.len()).await;
        nodes[1].kill();
        nodes[1].restart();
        until("the cluster is complete", || {
            nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
        });
        for channel in &channels {
            publish(&engine, kept(channel, "after")).await;
        }
        let whole = |channel: &Channel| ear.has_lost(channel) || ear.data(channel).len() == 2;
        eventually("all arrive or are told", || channels.iter().all(whole)).await;
    });
}

#[test]
fn sentinels_name_another_server_when_theirs_is_gone() {
    block_on(async {
        let mut master = Redis::start(&[]);
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        until("the replica follows", || {
            replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let sentinel = Redis::sentinel(&master);
        until("the sentinel knows both", || {
            sentinel.cli(&["SENTINEL", "REPLICAS", "mymaster"]).contains(&replica.port.to_string())
        });
        let address = format!("redis+sentinel://127.0.0.1:{}?sentinel_master_name=mymaster", sentinel.port);
        let (ear, engine) = start(config(&address)).await;
        let channel = Channel::from("a");
        engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        let first = publish(&engine, kept(&channel, "before")).await.position;
        until("it is replicated", || replica.cli(&["DBSIZE"]) == "2");
        master.kill();
        eventually("the loss is told", || ear.has_lost(&channel)).await;
        let second = publish(&engine, kept(&channel, "after")).await.position;
        assert_eq!((second.offset, second.epoch), (2, first.epoch), "the replica knows the stream");
        eventually("it arrives", || ear.data(&channel) == ["before", "after"]).await;
    });
}

#[test]
fn connections_are_encrypted_where_the_options_say_so() {
    block_on(async {
        let key = rcgen::generate_simple_self_signed(["redis.example".to_owned()]).expect("a certificate");
        let redis = Redis::encrypted(&key.cert.pem(), &key.signing_key.serialize_pem());
        let address = format!("redis://127.0.0.1:{}", redis.port + 1);
        let with = |name: Option<&str>| {
            let pem = key.cert.pem();
            let trusting = TlsClient { server_ca: &pem, ..TlsClient::default() }.config().expect("TLS");
            let mut connection = Connection::default();
            connection.tls = Some(RedisTls::new(Arc::new(trusting), name.map(str::to_owned)));
            RedisConfig::new(vec![ShardConfig::parse(&address, &connection).expect("an address")])
        };
        let (ear, engine) = start(with(Some("redis.example"))).await;
        let channel = Channel::from("a");
        engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        publish(&engine, kept(&channel, "x")).await;
        eventually("it arrives", || ear.data(&channel) == ["x"]).await;
        let another = RedisEngine::connect(with(None)).await.map(|_| ()).unwrap_err().to_string();
        assert!(another.contains("InvalidCertificate"), "{another}");
        let nobody = RedisEngine::connect(config(&format!("rediss://127.0.0.1:{}", redis.port + 1))).await;
        assert!(nobody.is_err(), "a certificate that nobody vouches for");
    });
}
