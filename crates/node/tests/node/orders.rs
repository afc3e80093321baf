//! What one node has connections of the others told (CTL-05, API-22 to API-25, API-31, PRO-51).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tourbillon_broker::ControlBus;
use tourbillon_node::{
    ChannelPattern, Client as HookClient, ConnectDecision, ConnectRequest, Hooks, Noticed, RefreshDecision,
    Refusal, SubscribeDecision, SubscribeRequest, SubscriptionOptions, Target, TokenMark,
};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{
    Channel, ClientId, Disconnect, FilterLimits, Now, ReplyError, TagFilter, TagMatcher, Tags, Unsubscribe,
    UserId,
};

use crate::cluster::{Silenced, know_each_other, node_on, node_with};
use crate::harness::{Client, TestNode};

/// Tokens are names of users, and after a space labels: `ann region=eu tier=pro`.
#[derive(Clone, Default)]
struct Labels {
    /// Nobody may stay any more.
    closed: Arc<AtomicBool>,
    /// The subscription token "stolen" does not count any more.
    revoked: Arc<AtomicBool>,
}

impl Hooks for Labels {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut words = request.token.split(' ');
        let mut decision = ConnectDecision::new(UserId::from(words.next().unwrap_or_default()));
        let labels: Tags =
            words.filter_map(|word| word.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        decision.labels = Some(Arc::new(labels));
        decision.expire_at = Some(i64::MAX);
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.token = TokenMark::new(Some(&request.token), None);
        Ok(decision)
    }

    fn subscription_stays(
        &self,
        _: &HookClient,
        _: &Channel,
        token: &TokenMark,
        _: Now,
    ) -> Result<(), Unsubscribe> {
        match self.revoked.load(Ordering::SeqCst) && token.id == *"stolen" {
            true => Err(Unsubscribe::STATE_INVALIDATED),
            false => Ok(()),
        }
    }

    /// Nobody may stay any more, and connections of the user that it says are asked.
    fn notified(&self, what: &str, user: &[u8]) -> Noticed {
        self.closed.store(true, Ordering::SeqCst);
        let noticed = Noticed::Recheck(Some(UserId::from(String::from_utf8_lossy(user).into_owned())));
        if what == "too much" { noticed.in_part() } else { noticed }
    }

    fn stays(&self, _: &HookClient, _: Now) -> Result<(), Disconnect> {
        match self.closed.load(Ordering::SeqCst) {
            true => Err(Disconnect::PERMISSION_DENIED),
            false => Ok(()),
        }
    }
}

/// A client that knows its identifier.
struct Named {
    client: Client,
    id: ClientId,
}

impl std::ops::Deref for Named {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for Named {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

async fn client(at: &TestNode, token: &str) -> Named {
    let mut client = at.open(1 << 20, |_| {});
    let reply = client.call(&format!(r#""connect":{{"token":"{token}"}}"#)).await;
    let id = reply["connect"]["client"].as_str().expect("an identifier").parse().expect("an identifier");
    Named { client, id }
}

fn user(name: &str) -> Target {
    Target::user(UserId::from(name))
}

fn equal(key: &str, val: &str) -> Arc<TagMatcher> {
    let filter = TagFilter { key: key.into(), cmp: "eq".into(), val: val.into(), ..TagFilter::default() };
    Arc::new(TagMatcher::new(&filter, FilterLimits::default()).expect("sound"))
}

async fn cluster(hooks: &Labels) -> [TestNode; 3] {
    let bus = ControlBus::default();
    let nodes = ["a", "b", "c"].map(|name| node_on(&bus, hooks.clone(), name));
    know_each_other(&nodes.each_ref()).await;
    nodes
}

async fn end(nodes: [TestNode; 3]) {
    for node in nodes {
        node.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_user_are_told_wherever_they_are() {
    let nodes = cluster(&Labels::default()).await;
    let [a, b, c] = &nodes;
    let mut anns = [client(a, "ann").await, client(b, "ann").await, client(c, "ann").await];
    let mut bob = client(b, "bob").await;
    let (ann, news) = (user("ann"), || Channel::from("news"));
    let mut options = SubscriptionOptions::default();
    options.data = r#"{"hello":1}"#.into();
    assert_eq!(a.node.subscribe(&ann, news(), options).await, Ok(()));
    for (node, client) in nodes.iter().zip(&mut anns) {
        assert_eq!(client.message().await["push"]["subscribe"]["data"]["hello"], 1);
        // It was subscribed when the call returned.
        node.publish("news", "1").await;
        assert_eq!(client.publication("news").await, Value::from(1));
    }
    assert_eq!(b.node.unsubscribe(&ann, news(), Unsubscribe::SERVER).await, Ok(()));
    let data = r#"{"of":"no channel"}"#;
    assert_eq!(c.node.send(&ann, data.into()).await, Ok(()));
    assert_eq!(a.node.refresh(&ann, RefreshDecision::until(Some(1 << 40))).await, Ok(()));
    for client in &mut anns {
        assert_eq!(client.message().await["push"]["unsubscribe"]["code"], 2000);
        assert_eq!(client.message().await["push"]["message"]["data"]["of"], "no channel");
        assert_eq!(client.message().await["push"]["refresh"]["expires"], true);
    }
    let [first, rest @ ..] = &mut anns;
    assert_eq!(b.node.disconnect(&ann, Disconnect::FORCE_DISCONNECT, &[first.id]).await, Ok(()));
    for client in rest {
        assert_eq!(client.client.closed().await, Disconnect::FORCE_DISCONNECT);
    }
    first.silence().await;
    bob.silence().await;
    drop((anns, bob));
    end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_found_wherever_it_is() {
    let nodes = cluster(&Labels::default()).await;
    let [a, _, c] = &nodes;
    let (mut here, mut there) = (client(a, "ann").await, client(c, "ann").await);
    for (number, meant) in [(1, there.id), (2, here.id)] {
        let mut target = user("ann");
        target.client = Some(meant);
        let data = format!(r#"{{"number":{number}}}"#);
        assert_eq!(a.node.send(&target, data.into_bytes().into()).await, Ok(()));
    }
    assert_eq!(there.message().await["push"]["message"]["data"]["number"], 1);
    assert_eq!(here.message().await["push"]["message"]["data"]["number"], 2);
    // Whose it is has to be right, too.
    let mut target = user("bob");
    target.client = Some(there.id);
    assert_eq!(a.node.disconnect(&target, Disconnect::FORCE_DISCONNECT, &[]).await, Ok(()));
    here.silence().await;
    there.silence().await;
    drop((here, there));
    end(nodes).await;
}

/// PRO-44, PRO-51.
#[tokio::test(start_paused = true)]
async fn labels_choose_among_the_connections_of_a_user_and_of_all() {
    let nodes = cluster(&Labels::default()).await;
    let [a, b, c] = &nodes;
    let mut ann = client(a, "ann region=eu tier=pro").await;
    let mut ann_too = client(b, "ann region=us").await;
    let mut bob = client(c, "bob region=eu").await;
    let mut nobody = client(b, "").await;
    let mut target = user("ann");
    target.labels = Some(equal("region", "eu"));
    assert_eq!(c.node.send(&target, "1".into()).await, Ok(()));
    let mut target = Target::everybody();
    assert_eq!(a.node.send(&target, "2".into()).await, Ok(()));
    target.labels = Some(equal("region", "eu"));
    assert_eq!(b.node.send(&target, "3".into()).await, Ok(()));
    for (client, expected) in
        [(&mut ann, &[1, 2, 3][..]), (&mut ann_too, &[2]), (&mut bob, &[2, 3]), (&mut nobody, &[2])]
    {
        for number in expected {
            assert_eq!(client.message().await["push"]["message"]["data"], *number);
        }
        client.silence().await;
    }
    drop((ann, ann_too, bob, nobody));
    end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn channels_of_all_nodes_are_told_together() {
    let nodes = cluster(&Labels::default()).await;
    let mut clients = Vec::new();
    for (node, channels) in nodes.iter().zip([&["x", "y"][..], &["x"], &["x", "z:1"]]) {
        let mut client = client(node, "ann").await;
        for channel in channels {
            client.subscribe(channel).await;
        }
        clients.push(client);
    }
    for node in &nodes {
        let told = async |pattern| {
            let pattern = ChannelPattern::new(pattern).expect("sound");
            let mut told = node.node.channels(&pattern).await.expect("told");
            told.sort();
            told.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>()
        };
        assert_eq!(told("").await, ["x 3", "y 1", "z:1 1"]);
        assert_eq!(told("z*").await, ["z:1 1"]);
    }
    drop(clients);
    end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_stay_is_found_on_every_node() {
    let hooks = Labels::default();
    let nodes = cluster(&hooks).await;
    let [a, b, c] = &nodes;
    let mut clients = [client(a, "ann").await, client(b, "ann").await, client(c, "bob").await];
    assert_eq!(a.node.recheck(None).await, Ok(()));
    for client in &mut clients {
        client.silence().await;
    }
    hooks.closed.store(true, Ordering::SeqCst);
    assert_eq!(c.node.recheck(Some(&UserId::from("ann"))).await, Ok(()));
    let [first, second, bob] = &mut clients;
    assert_eq!(first.client.closed().await, Disconnect::PERMISSION_DENIED);
    assert_eq!(second.client.closed().await, Disconnect::PERMISSION_DENIED);
    bob.silence().await;
    drop(clients);
    end(nodes).await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_stay_is_found_on_this_node_alone_or_where_a_part_of_a_notice_is_noted() {
    let hooks = Labels::default();
    let nodes = cluster(&hooks).await;
    let [a, b, c] = &nodes;
    let mut clients = [client(a, "ann").await, client(b, "ann").await, client(c, "bob").await];
    hooks.closed.store(true, Ordering::SeqCst);
    a.node.recheck_here(Some(&UserId::from("ann"))).await;
    let [first, second, bob] = &mut clients;
    assert_eq!(first.client.closed().await, Disconnect::PERMISSION_DENIED);
    second.silence().await;
    let told = a.node.notify("too much", "ann".into()).await;
    assert_eq!(told, Err(ReplyError::INTERNAL), "not all of it is noted");
    assert_eq!(second.client.closed().await, Disconnect::PERMISSION_DENIED);
    bob.silence().await;
    drop(clients);
    end(nodes).await;
}

/// PRO-35, PRO-36.
#[tokio::test(start_paused = true)]
async fn subscriptions_whose_tokens_do_not_count_are_found_on_every_node() {
    let hooks = Labels::default();
    let nodes = cluster(&hooks).await;
    let [a, b, _] = &nodes;
    let mut clients = [client(a, "ann").await, client(b, "ann").await, client(b, "bob").await];
    for client in &mut clients {
        for (channel, token) in [("x", "stolen"), ("y", "other")] {
            let subscribe = format!(r#""subscribe":{{"channel":"{channel}","token":"{token}"}}"#);
            assert!(client.call(&subscribe).await["subscribe"].is_object());
        }
    }
    hooks.revoked.store(true, Ordering::SeqCst);
    assert_eq!(a.node.recheck(Some(&UserId::from("ann"))).await, Ok(()));
    let [first, second, bob] = &mut clients;
    for ann in [first, second] {
        let push = ann.message().await;
        assert_eq!(
            (&push["push"]["channel"], &push["push"]["unsubscribe"]["code"]),
            (&"x".into(), &2502.into())
        );
        ann.silence().await;
    }
    bob.silence().await;
    drop(clients);
    end(nodes).await;
}

/// Nobody is told that something was done that may not have been.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_an_error_until_it_is_gone() {
    let bus = ControlBus::default();
    let silenced = Arc::new(AtomicBool::new(false));
    let a = node_with(Silenced(bus.join(), silenced.clone()), Labels::default(), "a");
    let b = node_on(&bus, Labels::default(), "b");
    know_each_other(&[&a, &b]).await;
    let mut ann = client(&b, "ann").await;
    silenced.store(true, Ordering::Relaxed);
    assert_eq!(b.node.send(&user("ann"), "1".into()).await, Err(ReplyError::INTERNAL));
    assert!(b.node.channels(&ChannelPattern::new("").expect("sound")).await.is_err());
    assert_eq!(ann.message().await["push"]["message"]["data"], 1, "those of this node are told");
    // It falls silent altogether while it is waited for, and then is no node of the cluster any more.
    let since = tokio::time::Instant::now();
    while b.node.send(&user("ann"), "2".into()).await.is_err() {
        assert!(since.elapsed().as_secs() < 15, "it should be gone");
    }
    assert_eq!(b.node.nodes().await.len(), 1);
    drop(ann);
    a.end().await;
    b.end().await;
}

/// What hooks are told, and what they tell who comes.
#[derive(Clone, Default)]
struct Gossip {
    heard: Arc<Mutex<Vec<String>>>,
    news: Option<&'static str>,
}

impl Hooks for Gossip {
    fn notified(&self, what: &str, data: &[u8]) -> Noticed {
        self.heard.lock().push(format!("{what} {}", String::from_utf8_lossy(data)));
        match what {
            "nonsense" => Noticed::NotUnderstood,
            _ => Noticed::Noted,
        }
    }

    fn welcome(&self) -> Vec<(&'static str, Bytes)> {
        self.news.iter().map(|news| ("news", Bytes::from_static(news.as_bytes()))).collect()
    }
}

/// CTL-06.
#[tokio::test(start_paused = true)]
async fn programs_of_nodes_tell_each_other() {
    let bus = ControlBus::default();
    let hooks = [Some("of a"), Some("of b"), None].map(|news| Gossip { news, ..Gossip::default() });
    let [a, b, c] = &hooks;
    let first = [node_on(&bus, a.clone(), "a"), node_on(&bus, b.clone(), "b")];
    know_each_other(&first.each_ref()).await;
    let settled = async |of: &Gossip, count: usize| {
        while of.heard.lock().len() < count {
            tokio::time::advance(std::time::Duration::from_millis(10)).await;
        }
        let mut heard = std::mem::take(&mut *of.heard.lock());
        heard.sort();
        heard
    };
    assert_eq!(settled(a, 1).await, ["news of b"]);
    assert_eq!(settled(b, 1).await, ["news of a"]);
    assert_eq!(first[0].node.notify("gossip", "1".into()).await, Ok(()));
    assert_eq!(*b.heard.lock(), ["gossip 1"], "when the call returned");
    assert!(a.heard.lock().is_empty(), "others, not itself");
    assert_eq!(first[1].node.notify("nonsense", "2".into()).await, Err(ReplyError::INTERNAL));
    // Who comes later hears what there is.
    let last = node_on(&bus, c.clone(), "c");
    assert_eq!(settled(c, 2).await, ["news of a", "news of b"]);
    for node in first.into_iter().chain([last]) {
        node.end().await;
    }
}

/// CTL-06.
#[tokio::test(start_paused = true)]
async fn connections_are_asked_whether_they_may_stay_before_a_notice_is_answered() {
    let nodes = cluster(&Labels::default()).await;
    let [a, b, _] = &nodes;
    let (mut ann, mut bob) = (client(b, "ann").await, client(b, "bob").await);
    assert_eq!(a.node.notify("closed for", "ann".into()).await, Ok(()));
    assert_eq!(ann.client.peer.try_recv(), Some(Sent::Closed(Disconnect::PERMISSION_DENIED)));
    bob.silence().await;
    drop((ann, bob));
    end(nodes).await;
}
