//! What is in Redis is what Centrifugo's nodes have there, and what they hand on is understood.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{Config, ServerConfig};
use fred::types::{Message, Value};
use tourbillon_broker::conformance::Event;
use tourbillon_broker::{Broker, History, HistoryPolicy, HistoryQuery, Presence, Publish};
use tourbillon_broker_redis::RedisConfig;
use tourbillon_types::{Channel, ClientId, ClientInfo, Payload, Publication, UserId};

use crate::servers::{Redis, block_on, eventually, run, shard};

const POLICY: HistoryPolicy =
    HistoryPolicy { size: 2, ttl: Duration::from_secs(60), meta_ttl: Duration::from_secs(600) };

fn on(redis: &Redis) -> RedisConfig {
    RedisConfig::new(vec![shard(&redis.url())])
}

/// Everybody's messages.
async fn listener(redis: &Redis) -> (fred::clients::Client, tokio::sync::broadcast::Receiver<Message>) {
    let server = ServerConfig::new_centralized("127.0.0.1", redis.port);
    let client = fred::clients::Client::new(Config { server, ..Config::default() }, None, None, None);
    client.init().await.expect("connected");
    let messages = client.message_rx();
    client.psubscribe("*").await.expect("subscribed");
    let _: Value = client.ping(None).await.expect("subscribed by now");
    (client, messages)
}

/// Where it was handed on, and what, with the time of publications, which nobody knows, cut off.
async fn heard(messages: &mut tokio::sync::broadcast::Receiver<Message>) -> (String, Vec<u8>) {
    let message = tokio::time::timeout(crate::servers::PATIENCE, messages.recv()).await;
    let Message { channel, value, .. } = message.expect("a message").expect("a message");
    (channel.to_string(), value.as_bytes().expect("bytes").to_vec())
}

/// A publication of `{}` up to its time.
const DATA: &[u8] = b"\x22\x02{}\x48";

fn publish(channel: &str) -> Publish {
    Publish::new(Channel::from(channel), Payload::from("{}"))
}

#[test]
fn red_08_what_is_handed_on_is_what_centrifugo_hands_on() {
    block_on(async {
        let redis = Redis::start(&[]);
        let node = run(on(&redis)).await;
        let (_client, mut messages) = listener(&redis).await;
        let time = 6;
        let mut expect = async |what: &str, head: &[u8], tail: &[u8]| {
            let (channel, bytes) = heard(&mut messages).await;
            assert_eq!(channel, "centrifugo.client.ns:a", "{what}");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(bytes.starts_with(head) && bytes.ends_with(tail), "{what}: {text:?}");
            bytes
        };
        node.engine.publish(publish("ns:a")).await.unwrap();
        assert_eq!(expect("plain", DATA, b"").await.len(), DATA.len() + time);
        let mut flagged = publish("ns:a");
        flagged.options.delta = true;
        node.engine.publish(flagged.clone()).await.unwrap();
        expect("for deltas", b"\x22\x02{}\x40\x01\x48", b"").await;
        let mut kept = publish("ns:a");
        kept.options.history = Some(POLICY);
        let epoch = node.engine.publish(kept.clone()).await.unwrap().position.epoch;
        let head = [format!("__p1:1:{}__", epoch.as_str()).as_bytes(), DATA].concat();
        expect("kept", &head, b"").await;
        kept.options.delta = true;
        node.engine.publish(kept).await.unwrap();
        let length = DATA.len() + time;
        let head = [format!("__d1:2:{}:{length}:", epoch.as_str()).as_bytes(), DATA].concat();
        let delta = expect("kept, for deltas", &head, b"").await;
        let between = [format!(":{length}:").as_bytes(), DATA].concat();
        assert!(delta.windows(between.len()).any(|window| window == between));
        let info = Arc::new(ClientInfo {
            user: UserId::from("u"),
            client: None,
            connection: Payload::empty(),
            channel: Payload::empty(),
        });
        node.engine.publish_join(&Channel::from("ns:a"), info.clone()).await.unwrap();
        expect("a join", b"__j__\x0a\x01u", b"u").await;
        node.engine.publish_leave(&Channel::from("ns:a"), info).await.unwrap();
        expect("a leave", b"__l__\x0a\x01u", b"u").await;
    });
}

#[test]
fn red_08_what_centrifugo_hands_on_is_understood() {
    block_on(async {
        let redis = Redis::start(&[]);
        let node = run(on(&redis)).await;
        let channel = Channel::from("a");
        node.engine.subscribe(std::slice::from_ref(&channel)).await.unwrap();
        for message in [
            "\x22\x021a",
            "__p1:7:ab__\x22\x022b",
            "__d1:8:ab:4:\x22\x022b:4:\x22\x023c",
            "__d1:9:ab:0::4:\x22\x024d",
            "\x22\x025e\x40\x01",
            "__j__\x0a\x01u",
            "__l__\x0a\x01u",
        ] {
            assert_eq!(redis.cli(&["PUBLISH", "centrifugo.client.a", message]), "1", "{message}");
        }
        eventually("all arrive", || node.log.len() == 7).await;
        let told: Vec<_> = node.log.events().iter().map(told).collect();
        let expected = [
            "1a 0 ",
            "2b 7 ab",
            "3c 8 ab after 2b 7",
            "4d 9 ab after ?",
            "5e 0  after ?",
            "join u",
            "leave u",
        ];
        assert_eq!(told, expected);
    });
}

fn told(event: &Event) -> String {
    let text = |it: &Publication| format!("{} {}", String::from_utf8_lossy(it.data.as_ref()), it.offset);
    match event {
        Event::Publication(_, it) => format!("{} {}", text(it), it.epoch.as_str()),
        Event::Delta(_, it, previous) => {
            let previous = previous.as_deref().map_or_else(|| "?".to_owned(), text);
            format!("{} {} after {previous}", text(it), it.epoch.as_str())
        }
        Event::Join(_, info) => format!("join {}", info.user),
        Event::Leave(_, info) => format!("leave {}", info.user),
    }
}

#[test]
fn red_05_and_red_09_streams_are_kept_as_centrifugo_keeps_them() {
    block_on(async {
        let redis = Redis::start(&[]);
        let node = run(on(&redis)).await;
        let mut epoch = String::new();
        for number in 1..=3 {
            let mut publish = publish("a");
            publish.options.history = Some(POLICY);
            publish.options.version = number;
            publish.options.version_epoch = "ve".to_owned();
            publish.options.idempotency_key = format!("k{number}");
            let position = node.engine.publish(publish).await.unwrap().position;
            epoch = position.epoch.as_str().to_owned();
        }
        let mut plain = publish("b");
        plain.options.idempotency_key = "k".to_owned();
        node.engine.publish(plain).await.unwrap();
        let keys = redis.cli(&["KEYS", "*"]);
        let mut keys: Vec<_> = keys.lines().collect();
        keys.sort_unstable();
        let expected = [
            "centrifugo.result.a.k1",
            "centrifugo.result.a.k2",
            "centrifugo.result.a.k3",
            "centrifugo.result.b.k",
            "centrifugo.stream.a",
            "centrifugo.stream.meta.a",
        ];
        assert_eq!(keys, expected);
        let of = |key: &str, fields: &[&str]| redis.cli(&[&["HMGET", key][..], fields].concat());
        let meta = of("centrifugo.stream.meta.a", &["e", "s", "v", "ve"]);
        assert_eq!(meta, format!("{epoch}\n3\n3\nve"));
        assert_eq!(of("centrifugo.result.a.k2", &["e", "s"]), format!("{epoch}\n2"));
        assert_eq!(redis.cli(&["HGETALL", "centrifugo.result.b.k"]), "e");
        let entries = redis.cli(&["XRANGE", "centrifugo.stream.a", "-", "+"]);
        let lines: Vec<_> = entries.lines().collect();
        assert_eq!((lines.first(), lines.get(1), lines.get(3)), (Some(&"2-0"), Some(&"d"), Some(&"3-0")));
        assert!(lines[2].contains("{}"), "{entries:?}");
        let ttl = |key: &str| redis.cli(&["TTL", key]).parse::<u64>().expect("a lifetime");
        assert!((58..=60).contains(&ttl("centrifugo.stream.a")));
        assert!((598..=600).contains(&ttl("centrifugo.stream.meta.a")));
        assert!((298..=300).contains(&ttl("centrifugo.result.a.k1")));
    });
}

#[test]
fn red_13_and_hid_92_reading_makes_an_epoch_and_keeps_it_alive() {
    block_on(async {
        let redis = Redis::start(&[]);
        let node = run(on(&redis)).await;
        let read = async |ttl| {
            let asked = node.engine.history(&Channel::from("a"), &HistoryQuery::position(), ttl).await;
            asked.expect("a position").position
        };
        let first = read(Duration::from_secs(100)).await;
        assert!(!first.epoch.is_unknown());
        let ttl = || redis.cli(&["TTL", "centrifugo.stream.meta.a"]).parse::<u64>().expect("a lifetime");
        assert!((98..=100).contains(&ttl()));
        assert_eq!(read(Duration::from_secs(200)).await, first);
        assert!((198..=200).contains(&ttl()));
    });
}

#[test]
fn hid_78_versions_are_compared_to_the_last_digit() {
    block_on(async {
        let redis = Redis::start(&[]);
        let node = run(on(&redis)).await;
        let largest = u64::MAX;
        for (version, taken) in
            [(largest - 2, true), (largest - 1, true), (largest - 1, false), (largest, true)]
        {
            let mut publish = publish("a");
            publish.options.history = Some(POLICY);
            publish.options.version = version;
            let published = node.engine.publish(publish).await.unwrap();
            assert_eq!(published.suppressed.is_none(), taken, "{version}");
        }
    });
}

#[test]
fn red_14_and_red_16_presence_is_kept_as_centrifugo_keeps_it() {
    block_on(async {
        let redis = Redis::start(&[]);
        let mut config = on(&redis);
        config.presence.user_mapping = true;
        let node = run(config).await;
        let (channel, client) = (Channel::from("a"), ClientId::from_random([7; 16]));
        let info = Arc::new(ClientInfo {
            user: UserId::from("u"),
            client: Some(client),
            connection: Payload::empty(),
            channel: Payload::empty(),
        });
        // Twice: hid_93.
        for _ in 0..2 {
            node.engine.add_presence(&channel, client, info.clone()).await.unwrap();
        }
        let name = client.to_string();
        let listed = redis.cli(&["HGETALL", "centrifugo.presence.data.a"]);
        assert!(listed.starts_with(&name) && listed.contains(&format!("u\x12${name}")), "{listed:?}");
        assert_eq!(redis.cli(&["HGETALL", "centrifugo.presence.user.clients.a"]), "u\n1");
        let now: u64 = redis.cli(&["TIME"]).lines().next().and_then(|it| it.parse().ok()).expect("a time");
        for (key, member) in
            [("centrifugo.presence.expire.a", name.as_str()), ("centrifugo.presence.user.expire.a", "u")]
        {
            let ends: u64 = redis.cli(&["ZSCORE", key, member]).parse().expect("a time");
            assert!((now + 58..=now + 60).contains(&ends), "{key}: {ends} at {now}");
            // So that it is over.
            redis.cli(&["ZADD", key, &now.to_string(), member]);
        }
        let stats = node.engine.presence_stats(&channel).await.unwrap();
        assert_eq!((stats.clients, stats.users), (0, 0), "whose time is over is gone");
        assert!(node.engine.presence(&channel).await.unwrap().is_empty());
    });
}
