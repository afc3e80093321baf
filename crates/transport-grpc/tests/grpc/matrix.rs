//! What has to work over every transport, as a client of tonic's sees it of a node.

use std::net::SocketAddr;
use std::time::Duration;

use tonic::{Request, Streaming};
use tourbillon_broker::PublishOptions;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    ChannelOptions, ConnectDecision, ConnectRequest as Asked, HistoryPolicy, Hooks, Node, Refusal, Target,
};
use tourbillon_transport_grpc::{GrpcConfig, UniStreamService};
use tourbillon_types::{Channel, Disconnect, Payload, ReplyError, UserId};

use crate::support::{block_on, consume, serve};
use crate::unistream::{Connect, ConnectRequest, Publication, Push, SubscribeRequest, SubscribeResult};

/// The token is the user's name, and everybody has the channels that he names.
struct ByName;

impl Hooks for ByName {
    async fn connect(&self, request: Asked) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from(request.token));
        for channel in request.channels {
            let options = self.channel_options(&channel)?.subscription();
            decision.subscriptions.push((channel, options));
        }
        Ok(decision)
    }

    fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
        let hour = Duration::from_secs(3_600);
        let mut options = ChannelOptions::default();
        options.history = Some(HistoryPolicy { size: 1_000, ttl: hour, meta_ttl: hour });
        options.force_recovery = true;
        options.presence = true;
        options.join_leave = true;
        options.force_push_join_leave = true;
        Ok(options)
    }
}

struct Place {
    node: Node,
    address: SocketAddr,
}

impl Place {
    async fn start() -> Self {
        let (node, driver) = Node::builder(MemoryEngine::default()).hooks(ByName).build().expect("a node");
        tokio::spawn(driver);
        let address = serve(UniStreamService::new(node.clone(), GrpcConfig::default())).await;
        Self { node, address }
    }

    async fn publish(&self, numbers: impl IntoIterator<Item = u64>) {
        let rules = self.node.channel_options("news").expect("a channel");
        for number in numbers {
            let mut options = PublishOptions::default();
            options.history = rules.history;
            let data = Payload::from(number.to_string().into_bytes());
            let published = self.node.publish(Channel::from("news"), data, options).await;
            assert!(published.is_ok(), "{published:?}");
        }
    }

    /// A call of this user's, who has the channel and asks for it so.
    async fn open(&self, user: &str, asks: SubscribeRequest) -> Call {
        let subs = [("news".to_owned(), asks)].into();
        let request = ConnectRequest { token: user.to_owned(), subs, ..ConnectRequest::default() };
        let pushes = consume(self.address, Request::new(request)).await.expect("a stream").into_inner();
        let mut call = Call { pushes, connect: Connect::default() };
        call.connect = call.next().await.connect.expect("a connect push");
        call
    }
}

struct Call {
    pushes: Streaming<Push>,
    connect: Connect,
}

impl Call {
    /// The next push but for pings.
    async fn next(&mut self) -> Push {
        loop {
            let push = self.pushes.message().await.expect("a message").expect("not the end");
            if push != Push::default() {
                return push;
            }
        }
    }

    /// The next publications; joins and leaves are passed over.
    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut found = Vec::new();
        while found.len() < count {
            found.extend(self.next().await.r#pub.iter().map(number));
        }
        found
    }

    fn subscription(&self) -> &SubscribeResult {
        &self.connect.subs["news"]
    }

    fn recovered(&self) -> Vec<u64> {
        self.subscription().publications.iter().map(number).collect()
    }
}

fn number(publication: &Publication) -> u64 {
    let data = std::str::from_utf8(&publication.data).expect("text");
    data.parse().expect("a number")
}

fn since(offset: u64, before: &Call) -> SubscribeRequest {
    SubscribeRequest { recover: true, epoch: before.subscription().epoch.clone(), offset }
}

#[test]
fn publications_arrive_complete_and_in_order() {
    block_on(async {
        let place = Place::start().await;
        let mut calls = [
            place.open("1", SubscribeRequest::default()).await,
            place.open("2", SubscribeRequest::default()).await,
        ];
        place.publish(1..=500).await;
        for call in &mut calls {
            assert_eq!(call.numbers(500).await, (1..=500).collect::<Vec<_>>());
        }
        drop(calls);
        place.node.shutdown().await;
    });
}

#[test]
fn a_call_that_begins_where_another_ended_has_what_was_missed() {
    block_on(async {
        let place = Place::start().await;
        let mut first = place.open("1", SubscribeRequest::default()).await;
        let subscription = first.subscription();
        assert!(subscription.recoverable && subscription.positioned && !subscription.was_recovering);
        place.publish(1..=3).await;
        assert_eq!(first.numbers(3).await, [1, 2, 3]);
        let asks = since(3, &first);
        drop(first);
        place.publish(4..=20).await;
        let mut second = place.open("1", asks.clone()).await;
        assert!(second.subscription().was_recovering && second.subscription().recovered);
        assert_eq!(second.recovered(), (4..=20).collect::<Vec<_>>());
        place.publish([21]).await;
        assert_eq!(second.numbers(1).await, [21]);
        // What is not there any more is not recovered in part.
        place.publish(22..=1_100).await;
        drop(second);
        let third = place.open("1", asks).await;
        assert!(third.subscription().was_recovering && !third.subscription().recovered);
        assert_eq!((third.recovered(), third.subscription().offset), (vec![], 1_100));
        drop(third);
        place.node.shutdown().await;
    });
}

#[test]
fn presence_joins_and_leaves_tell_who_is_there() {
    block_on(async {
        let place = Place::start().await;
        let mut stays = place.open("stays", SubscribeRequest::default()).await;
        let comes = place.open("comes", SubscribeRequest::default()).await;
        let joined = loop {
            let info = stays.next().await.join.and_then(|join| join.info).expect("a join");
            if info.user == "comes" {
                break info;
            }
        };
        assert_eq!(joined.client, comes.connect.client);
        let members = async || {
            let members = place.node.presence(&Channel::from("news")).await.expect("members");
            let mut users: Vec<_> = members.iter().map(|(_, info)| info.user.as_str().to_owned()).collect();
            users.sort();
            users
        };
        assert_eq!(members().await, ["comes", "stays"]);
        drop(comes);
        let left = stays.next().await.leave.and_then(|leave| leave.info).expect("a leave");
        assert_eq!((left.user.as_str(), left.client), ("comes", joined.client));
        assert_eq!(members().await, ["stays"]);
        drop(stays);
        place.node.shutdown().await;
    });
}

#[test]
fn a_disconnect_is_the_last_push_and_the_call_ends_in_order() {
    block_on(async {
        let place = Place::start().await;
        let mut told = place.open("told", SubscribeRequest::default()).await;
        let why = Disconnect::custom(4501, "enough");
        let target = Target::user(UserId::from("told"));
        place.node.disconnect(&target, why, &[]).await.expect("done");
        let last = loop {
            let push = told.next().await;
            if push.join.is_none() {
                break push.disconnect.expect("a disconnect");
            }
        };
        assert_eq!((last.code, last.reason.as_str()), (4501, "enough"));
        assert_eq!(told.pushes.message().await.expect("status 0"), None);
        place.node.shutdown().await;
    });
}

/// A stream in memory is another one after a restart, and whoever knew the one before is told.
#[test]
fn a_node_that_ends_says_so_and_the_next_one_takes_over() {
    block_on(async {
        let place = Place::start().await;
        let mut first = place.open("1", SubscribeRequest::default()).await;
        place.publish(1..=3).await;
        assert_eq!(first.numbers(3).await, [1, 2, 3]);
        let ((), told) = tokio::join!(place.node.shutdown(), first.next());
        assert_eq!(told.disconnect.expect("a disconnect").code, 3001);
        assert_eq!(first.pushes.message().await.expect("status 0"), None);
        let next = Place::start().await;
        next.publish(1..=5).await;
        let mut second = next.open("1", since(3, &first)).await;
        assert!(second.subscription().was_recovering && !second.subscription().recovered);
        assert_eq!((second.recovered(), second.subscription().offset), (vec![], 5));
        assert_ne!(second.subscription().epoch, first.subscription().epoch);
        next.publish([6]).await;
        assert_eq!(second.numbers(1).await, [6]);
        drop(second);
        next.node.shutdown().await;
    });
}
