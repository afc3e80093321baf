//! Channels that give their latest publication and have none: whoever knows it is asked (REC-13).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tourbillon_node::{
    ChannelOptions, ChannelPattern, ConnectDecision, ConnectRequest, Hooks, Node, NodeConfig, PublishOptions,
    Refusal, SubscribeDecision, SubscribeRequest, Target,
};
use tourbillon_protocol::command::Subscribe;
use tourbillon_types::{Channel, Encoding, Payload, ReplyError, UserId};

use crate::follower::Follower;
use crate::harness::{TestNode, start};
use crate::scripted::ByName;

/// As [`ByName`]. What becomes of an empty cache is in the name of its channel, too: `fill`, `late` fills it and says
/// nothing, `lie` says so and does not, `fail` and `hang`.
#[derive(Clone, Default)]
struct Filling(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: AtomicUsize,
    node: OnceLock<Node>,
}

impl Filling {
    async fn fill(&self, channel: &Channel) {
        let node = self.0.node.get().expect("a node");
        let mut options = PublishOptions::default();
        options.history = ByName.channel_options(channel).expect("a channel").history;
        node.publish(channel.clone(), Payload::from("1"), options).await.expect("published");
    }
}

impl Hooks for Filling {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        ByName.connect(request).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        ByName.subscribe(request).await
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        ByName.channel_options(channel)
    }

    async fn cache_empty(&self, channel: &Channel) -> Result<bool, Refusal> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        match channel.rsplit('_').next() {
            Some("fill") => {
                self.fill(channel).await;
                Ok(true)
            }
            Some("late") => {
                self.fill(channel).await;
                Ok(false)
            }
            Some("lie") => Ok(true),
            Some("fail") => Err(ReplyError::LIMIT_EXCEEDED.into()),
            Some("hang") => std::future::pending().await,
            _ => Ok(false),
        }
    }
}

fn rig() -> (TestNode, Filling) {
    let hooks = Filling::default();
    let test = start(hooks.clone(), NodeConfig::default());
    assert!(hooks.0.node.set(test.node.clone()).is_ok());
    (test, hooks)
}

fn recover(subscribe: &mut Subscribe) {
    subscribe.recover = true;
}

async fn offsets(follower: &mut Follower) -> Vec<u64> {
    follower.news().await.into_iter().map(|news| news.offset).collect()
}

#[tokio::test(start_paused = true)]
async fn an_empty_cache_is_filled_by_the_application_and_looked_at_again() {
    let (test, hooks) = rig();
    for (number, (channel, wish)) in [
        ("history_recover_cache_fill", recover as fn(&mut Subscribe)),
        // Without being asked, too.
        ("history_recover_cache_auto_fill", |_: &mut Subscribe| {}),
        ("history_recover_cache_delta_fill", recover),
    ]
    .into_iter()
    .enumerate()
    {
        let mut follower = Follower::connect(&test, Encoding::Json, channel).await;
        let result = follower.subscribe(wish).await.expect("subscribed");
        assert!(result.recovered && result.was_recovering, "{channel}");
        assert_eq!(result.publications.len(), 1, "with the reply");
        assert_eq!(hooks.0.asked.load(Ordering::SeqCst), number + 1);
        assert_eq!(offsets(&mut follower).await, [1], "once, although it was published behind the gate");
        test.publish(channel, "2").await;
        assert_eq!(offsets(&mut follower).await, [2]);
        // Now there is something.
        let mut second = Follower::connect(&test, Encoding::Protobuf, channel).await;
        assert!(second.subscribe(wish).await.expect("subscribed").recovered);
        assert_eq!(hooks.0.asked.load(Ordering::SeqCst), number + 1);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_fill_a_cache_leaves_it_unrecovered() {
    let (test, hooks) = rig();
    let cases = [("no", &[][..]), ("lie", &[]), ("late", &[1])];
    for (number, (what, expected)) in cases.into_iter().enumerate() {
        let channel = format!("history_recover_cache_{what}");
        let mut follower = Follower::connect(&test, Encoding::Json, &channel).await;
        let result = follower.subscribe(recover).await.expect("subscribed");
        assert!(!result.recovered && result.was_recovering && result.publications.is_empty(), "{channel}");
        assert_eq!(hooks.0.asked.load(Ordering::SeqCst), number + 1, "once");
        assert_eq!(offsets(&mut follower).await, expected, "{channel}");
    }
    for (what, code) in [("fail", 106), ("hang", 100)] {
        let channel = format!("history_recover_cache_{what}");
        let mut follower = Follower::connect(&test, Encoding::Json, &channel).await;
        let refused = follower.subscribe(recover).await.expect_err("refused");
        assert_eq!(refused.code.0, code, "{channel}");
        assert!(
            test.node
                .channels(&ChannelPattern::new(&channel).expect("sound"))
                .await
                .expect("channels")
                .is_empty()
        );
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_what_is_no_empty_cache() {
    let (test, hooks) = rig();
    test.publish("history_recover_cache_full_fill", "1").await;
    for (channel, recovering) in [
        ("history_recover_cache_full_fill", true),
        ("history_recover_cache_fill", false),
        ("history_recover_fill", true),
        ("history_position_cache_fill", true),
        ("fill", true),
    ] {
        let mut follower = Follower::connect(&test, Encoding::Json, channel).await;
        let wish = |subscribe: &mut Subscribe| subscribe.recover = recovering;
        follower.subscribe(wish).await.expect("subscribed");
    }
    assert_eq!(hooks.0.asked.load(Ordering::SeqCst), 0);
    // Subscriptions that the server makes ask like others.
    let mut client = test.client().await;
    let target = Target::user(UserId::anonymous());
    let channel = "history_recover_cache_auto_given_fill";
    let options = ByName.channel_options(channel).expect("a channel").subscription();
    test.node.subscribe(&target, Channel::from(channel), options).await.expect("subscribed");
    assert!(client.message().await["push"]["subscribe"].is_object());
    assert_eq!(client.publication(channel).await, 1);
    assert_eq!(hooks.0.asked.load(Ordering::SeqCst), 1);
    test.end().await;
}
