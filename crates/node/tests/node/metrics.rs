//! What a node counts, and what `info` tells of it (API-30, OBS-13).

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::{ControlBus, Engine};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    AllowAll, ConnectDecision, ConnectRequest, Form, Hooks, Measures, Node, NodeConfig, NodeInfo, Refusal,
    RpcDecision, RpcRequest, Sample, SampleKind, Target,
};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Channel, Disconnect, Tags, Unsubscribe, UserId};

use crate::harness::{Client, TestNode, start, start_on};
use crate::scripted::ByName;

/// The value of a metric with just these labels; 0 if it has not been counted.
#[track_caller]
pub(crate) fn value(node: &Node, name: &str, labels: &[(&str, &str)]) -> f64 {
    let same = |sample: &&Sample| {
        sample.family.full_name() == name
            && sample.labels.iter().map(|(label, value)| (*label, &**value)).eq(labels.iter().copied())
    };
    let all = node.metrics();
    let found: Vec<_> = all.iter().filter(same).collect();
    assert!(found.len() < 2, "{found:?}");
    found.first().map_or(0.0, |sample| sample.value)
}

fn sent(node: &Node, frame: &str) -> (f64, f64) {
    let labels = [("frame_type", frame), ("transport", "memory")];
    let of = |name| value(node, name, &labels);
    (of("centrifugo_transport_messages_sent"), of("centrifugo_transport_messages_sent_size"))
}

fn received(node: &Node, frame: &str) -> (f64, f64) {
    let labels = [("frame_type", frame), ("transport", "memory")];
    let of = |name| value(node, name, &labels);
    (of("centrifugo_transport_messages_received"), of("centrifugo_transport_messages_received_size"))
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Takes what a client got: how many publications, and their bytes.
fn taken(client: &mut Client) -> (usize, usize) {
    let mut all = (0, 0);
    while let Some(next) = client.peer.try_recv() {
        if let Sent::Message(message) = next
            && message.starts_with(br#"{"push":"#)
        {
            all = (all.0 + 1, all.1 + message.len());
        }
    }
    all
}

fn pair((count, bytes): (usize, usize)) -> (f64, f64) {
    let float = |number: usize| f64::from(u32::try_from(number).expect("few"));
    (float(count), float(bytes))
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_counted_once() {
    let test = start(AllowAll, NodeConfig::default());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = test.client().await;
        client.subscribe("news").await;
        clients.push(client);
    }
    let mut nameless = test.open(1 << 20, |info| info.name = "other_one");
    nameless.call(r#""connect":{"version":"1"}"#).await;
    for _ in 0..5 {
        test.publish("news", "{}").await;
        settle().await;
    }
    let got = clients.iter_mut().map(taken).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert_eq!(got.0, 15);
    assert_eq!(sent(&test.node, "push_publication"), pair(got));
    assert_eq!((sent(&test.node, "connect").0, sent(&test.node, "subscribe").0), (3.0, 3.0));
    let commands = [r#"{"id":1,"connect":{"name":"test"}}"#, r#"{"id":2,"subscribe":{"channel":"news"}}"#];
    assert_eq!(received(&test.node, "connect"), pair((3, 3 * commands[0].len())));
    assert_eq!(received(&test.node, "subscribe"), pair((3, 3 * commands[1].len())));
    let value = |name, labels: &[_]| value(&test.node, name, labels);
    for direction in ["centrifugo_node_messages_sent_count", "centrifugo_node_messages_received_count"] {
        assert_eq!(value(direction, &[("type", "publication")]), 5.0, "{direction}");
    }
    let names = |name, version, transport| {
        [("client_name", name), ("client_version", version), ("transport", transport)]
    };
    let named = names("unregistered", "unversioned", "memory");
    assert_eq!(value("centrifugo_client_connections_accepted", &named), 3.0);
    let other = names("unnamed", "unregistered", "other_one");
    assert_eq!(value("centrifugo_client_connections_inflight", &other), 1.0);

    // One ends by itself, one loses its subscription, and one is told off.
    clients.pop();
    settle().await;
    assert_eq!(value("centrifugo_client_connections_inflight", &named), 2.0);
    let subscriptions = [("client_name", "unregistered")];
    assert_eq!(value("centrifugo_client_subscriptions_inflight", &subscriptions), 2.0);
    assert_eq!(value("centrifugo_client_subscriptions_accepted", &subscriptions), 3.0);
    let reply = clients[0].call(r#""presence":{"channel":"news"}"#).await;
    assert_eq!(reply["error"]["code"], 108, "{reply}");
    let refused = [("code", "108"), ("method", "presence")];
    assert_eq!(value("centrifugo_client_num_reply_errors", &refused), 1.0);
    let nobody = Target::user(UserId::anonymous());
    test.node.unsubscribe(&nobody, Channel::from("news"), Unsubscribe::SERVER).await.expect("told");
    settle().await;
    assert_eq!(value("centrifugo_client_num_server_unsubscribes", &[("code", "2000")]), 3.0);
    assert_eq!(value("centrifugo_client_subscriptions_inflight", &subscriptions), 0.0);
    test.node.disconnect(&nobody, Disconnect::FORCE_RECONNECT, &[]).await.expect("told");
    settle().await;
    assert_eq!(value("centrifugo_client_num_server_disconnects", &[("code", "3011")]), 3.0);
    let closes = |transport| {
        value("centrifugo_transport_outgoing_close_count", &[("code", "3011"), ("transport", transport)])
    };
    assert_eq!((closes("memory"), closes("other_one")), (2.0, 1.0));
    assert_eq!(sent(&test.node, "push_unsubscribe").0, 2.0);
    assert_eq!(value("centrifugo_node_action_count", &[("action", "add_client")]), 4.0);
    assert_eq!(value("centrifugo_node_action_count", &[("action", "remove_client")]), 4.0);
    assert_eq!(value("centrifugo_node_num_clients", &[]), 0.0);
    drop((clients, nameless));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn bursts_and_slow_readers_do_not_change_what_is_counted() {
    let test = start(AllowAll, NodeConfig::default());
    let mut clients = Vec::new();
    for number in 0..8 {
        // Some take little at a time, so that what they are sent is offered again and again.
        let mut client = test.open(if number % 2 == 0 { 300 } else { 1 << 20 }, |_| {});
        client.call(r#""connect":{"name":"test"}"#).await;
        client.subscribe("news").await;
        clients.push(client);
    }
    let mut got = vec![(0, 0); clients.len()];
    for round in 0..20 {
        for _ in 0..16 {
            test.publish("news", r#"{"text":"some words"}"#).await;
        }
        if round % 3 == 0 {
            settle().await;
        }
        for (got, client) in got.iter_mut().zip(&mut clients) {
            let (count, bytes) = taken(client);
            *got = (got.0 + count, got.1 + bytes);
        }
    }
    for _ in 0..200 {
        settle().await;
        for (got, client) in got.iter_mut().zip(&mut clients) {
            let (count, bytes) = taken(client);
            *got = (got.0 + count, got.1 + bytes);
        }
    }
    assert!(got.iter().all(|got| got.0 == 320), "{got:?}");
    let all = got.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert_eq!(sent(&test.node, "push_publication"), pair(all));
    drop(clients);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn filters_and_recoveries_are_counted() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    let filter = r#"{"key":"parity","cmp":"eq","val":"even"}"#;
    let reply = client.call(&format!(r#""subscribe":{{"channel":"filter","tf":{filter}}}"#)).await;
    assert!(reply["subscribe"].is_object(), "{reply}");
    for parity in ["odd", "even", "odd"] {
        let tags = Tags::from([("parity".to_owned(), parity.to_owned())]);
        test.publish_with("filter", "1", |options| options.tags = Some(Arc::new(tags))).await;
    }
    settle().await;
    assert_eq!(value(&test.node, "centrifugo_node_tags_filter_dropped_publications", &[]), 2.0);
    test.publish("history_recover", "1").await;
    let mut first = test.client().await;
    let reply = first.call(r#""subscribe":{"channel":"history_recover"}"#).await;
    let epoch = reply["subscribe"]["epoch"].as_str().expect("an epoch").to_owned();
    test.publish("history_recover", "2").await;
    for (epoch, offset) in [(&*epoch, 1), (&*epoch, 2), ("wrong", 1)] {
        let mut client = test.client().await;
        let place = format!(r#""recover":true,"epoch":"{epoch}","offset":{offset}"#);
        client.call(&format!(r#""subscribe":{{"channel":"history_recover",{place}}}"#)).await;
    }
    for (publications, recovered) in [("yes", "yes"), ("no", "yes"), ("no", "no")] {
        let labels = [("has_recovered_publications", publications), ("recovered", recovered)];
        assert_eq!(value(&test.node, "centrifugo_client_recover", &labels), 1.0, "{labels:?}");
    }
    let action = |name| value(&test.node, "centrifugo_node_action_count", &[("action", name)]);
    assert_eq!((action("history_recover"), action("history_stream_top")), (3.0, 1.0));
    drop((client, first));
    test.end().await;
}

fn item(info: &NodeInfo, name: &str) -> Option<f64> {
    info.metrics.as_ref().expect("metrics").items.get(name).copied()
}

const PUBLICATIONS: &str = "centrifugo.node.messages_sent_count.type.publication";
const PUSHES: &str = "centrifugo.transport.messages_sent.frame_type.push_publication.transport.memory";

async fn publish(test: &TestNode, times: usize) {
    for _ in 0..times {
        test.publish("news", "{}").await;
    }
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn info_tells_what_was_counted_in_the_last_interval() {
    let mut config = NodeConfig::default();
    config.info_metrics_aggregate_interval = Duration::from_secs(10);
    config.ping_interval = None;
    let test = start(AllowAll, config);
    let first = test.node.info();
    assert_eq!(first.metrics.as_ref().map(|metrics| metrics.interval), Some(Duration::from_secs(10)));
    assert_eq!(item(&first, PUBLICATIONS), Some(0.0), "known before anything happens");
    let mut client = test.client().await;
    client.subscribe("news").await;
    publish(&test, 7).await;
    assert_eq!(item(&test.node.info(), PUBLICATIONS), Some(0.0), "the interval is not over");
    let mut told = Vec::new();
    for more in [3, 0, 0] {
        tokio::time::sleep(Duration::from_secs(12)).await;
        let info = test.node.info();
        told.push((item(&info, PUBLICATIONS), item(&info, PUSHES)));
        assert_eq!(item(&info, "centrifugo.node.num_clients"), Some(1.0), "a gauge is what it is");
        publish(&test, more).await;
        taken(&mut client);
    }
    assert_eq!(told, [(Some(7.0), Some(7.0)), (Some(3.0), Some(3.0)), (Some(0.0), Some(0.0))]);
    let counters = test.node.metrics();
    let total = counters.iter().find(|sample| sample.family.name == "messages_sent").expect("counted");
    assert_eq!(total.family.kind, SampleKind::Counter, "the samples themselves go on growing");
    drop(client);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_tell_each_other_what_they_counted() {
    let bus = ControlBus::default();
    let node = |name: &str| {
        let mut config = NodeConfig::default();
        name.clone_into(&mut config.name);
        config.info_metrics_aggregate_interval = Duration::from_secs(10);
        start_on(Engine::new(MemoryEngine::default()).with_control(bus.join()), AllowAll, config)
    };
    let heard = async |by: &TestNode, name: &str| {
        let nodes = by.node.nodes().await;
        nodes.into_iter().find(|node| node.name == name).expect("known")
    };
    let (a, b) = (node("a"), node("b"));
    publish(&a, 4).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(item(&a.node.info(), PUBLICATIONS), Some(4.0));
    // Heartbeats come every three seconds; those without news leave what is known.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let told = heard(&b, "a").await;
        assert_eq!(told.metrics, a.node.info().metrics);
        assert_eq!(item(&told, "centrifugo.node.num_nodes"), Some(2.0));
    }
    let c = node("c");
    settle().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(heard(&c, "a").await.metrics, a.node.info().metrics, "a newcomer hears at once");
    let control = value(&a.node, "centrifugo_node_messages_sent_count", &[("type", "control")]);
    assert!(control > 4.0, "{control}");
    for node in [a, b, c] {
        node.end().await;
    }
}

#[test]
fn an_interval_too_short_is_refused() {
    let mut config = NodeConfig::default();
    config.info_metrics_aggregate_interval = Duration::ZERO;
    let built = Node::builder(MemoryEngine::default()).config(config).build();
    assert!(built.is_err_and(|error| error.to_string().starts_with("info_metrics_aggregate_interval")));
}

/// How many values a metric has, with these labels.
pub(crate) fn measured(node: &Node, name: &str, labels: &[(&str, &str)]) -> (u64, f64) {
    let all = node.distributions();
    let found = all.iter().find(|one| {
        one.name == name
            && one.labels.iter().map(|(label, value)| (*label, &**value)).eq(labels.iter().copied())
    });
    found.map_or((0, 0.0), |one| (one.count, one.sum))
}

/// Takes three seconds for each call.
struct Slow;

impl Hooks for Slow {
    async fn connect(&self, _: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Ok(ConnectDecision::new(UserId::anonymous()))
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        tokio::time::sleep(Duration::from_secs(3)).await; // tidy: allow-sleep the clock is paused
        Ok(RpcDecision { data: request.data })
    }
}

/// MET-20, MET-26: as long as the application takes, and as the client does.
#[tokio::test(start_paused = true)]
async fn commands_and_pongs_are_measured_from_beginning_to_end() {
    let test = start(Slow, NodeConfig::default());
    test.client().await.call(r#""rpc":{"method":"a"}"#).await;
    assert_eq!(test.node.distributions(), [], "nobody asked for it");
    test.end().await;

    let mut config = NodeConfig::default();
    config.measures = Some(Measures::new(Form::Classic));
    let test = start(Slow, config);
    let mut client = test.client().await;
    for _ in 0..2 {
        client.call(r#""rpc":{"method":"a"}"#).await;
    }
    assert!(client.call(r#""unsubscribe":{"channel":"none"}"#).await["unsubscribe"].is_object());
    let command = |name: &str| {
        measured(
            &test.node,
            &format!("centrifugo_client_command_duration_seconds{name}"),
            &[("method", "rpc")],
        )
    };
    assert_eq!((command(""), command("_histogram")), ((2, 6.0), (2, 6.0)));
    let unsubscribes = [("method", "unsubscribe")];
    let name = "centrifugo_client_command_duration_seconds";
    assert_eq!(measured(&test.node, name, &unsubscribes).0, 1, "one that asks nobody");
    let Sent::Message(ping) = client.next().await else { panic!("no ping") };
    assert_eq!(&ping[..], b"{}");
    tokio::time::advance(Duration::from_secs(2)).await;
    client.send("{}");
    client.call(r#""rpc":{"method":"a"}"#).await;
    let pongs =
        measured(&test.node, "centrifugo_client_ping_pong_duration_seconds", &[("transport", "memory")]);
    assert!(pongs.0 == 1 && (2.0..2.1).contains(&pongs.1), "{pongs:?}");
    assert_eq!(measured(&test.node, name, &[("method", "unknown")]).0, 0, "a pong is no command");
    test.end().await;
}
