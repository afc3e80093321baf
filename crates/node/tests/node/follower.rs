//! A client that speaks either encoding and follows one channel, deltas included, as SDKs do.

use std::sync::Arc;

use tourbillon_protocol::client::{Replies, ServerMessage, encode_command};
use tourbillon_protocol::command::{Command, Request, SubRefresh, Subscribe, Unsubscribe};
use tourbillon_protocol::reply::SubscribeResult;
use tourbillon_protocol::{Envelope, Push, PushEvent, Reply, ReplyResult};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Encoding, Publication, ReplyError, StreamPosition};

use crate::harness::{Client, TestNode};

/// What came to a follower, deltas applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) offset: u64,
    pub(crate) data: Vec<u8>,
    /// Whether it came as a delta.
    pub(crate) delta: bool,
}

/// A client with one channel.
pub(crate) struct Follower {
    client: Client,
    encoding: Encoding,
    channel: String,
    id: u32,
    /// Whether the present subscription has deltas.
    delta: bool,
    /// The data of the last publication of the present subscription.
    base: Option<Vec<u8>>,
    /// The number of the channel in the present subscription.
    number: i64,
    pub(crate) position: StreamPosition,
    pub(crate) received: Vec<Received>,
    /// The code by which the server ended the subscription, if it did.
    pub(crate) unsubscribed: Option<u32>,
}

impl Follower {
    pub(crate) async fn connect(test: &TestNode, encoding: Encoding, channel: &str) -> Self {
        let client = test.open(1 << 24, |info| info.encoding = encoding);
        let mut follower = Self {
            client,
            encoding,
            channel: channel.to_owned(),
            id: 0,
            delta: false,
            base: None,
            number: 0,
            position: StreamPosition::default(),
            received: Vec::new(),
            unsubscribed: None,
        };
        let connected = follower.call(Request::Connect(Box::default())).await;
        assert!(matches!(connected, Ok(ReplyResult::Connect(_))), "{connected:?}");
        follower
    }

    async fn call(&mut self, request: Request) -> Result<ReplyResult, ReplyError> {
        self.id += 1;
        let command = encode_command(self.encoding, &Command { id: self.id, request }).expect("a command");
        self.client.peer.send(command);
        loop {
            let Sent::Message(message) = self.client.next().await else { panic!("a reply comes") };
            if let Some(reply) = self.take(message) {
                assert_eq!(reply.id, self.id);
                return reply.result;
            }
        }
    }

    /// Subscribes; what the reply has is received.
    pub(crate) async fn subscribe(
        &mut self,
        change: impl FnOnce(&mut Subscribe),
    ) -> Result<SubscribeResult, ReplyError> {
        let mut subscribe = Subscribe { channel: self.channel.clone(), ..Subscribe::default() };
        change(&mut subscribe);
        let ReplyResult::Subscribe(result) = self.call(Request::Subscribe(Box::new(subscribe))).await? else {
            panic!("a subscribe is answered by its result")
        };
        // Whatever it had, nothing may be relied on: this may be another connection.
        (self.delta, self.base, self.unsubscribed, self.number) = (result.delta, None, None, result.id);
        self.position = result.position.clone();
        for publication in &result.publications {
            self.receive(publication);
        }
        Ok(*result)
    }

    pub(crate) async fn unsubscribe(&mut self) {
        let unsubscribe = Unsubscribe { channel: self.channel.clone() };
        let reply = self.call(Request::Unsubscribe(unsubscribe)).await;
        assert_eq!(reply, Ok(ReplyResult::Unsubscribe));
    }

    /// Has a new token for the subscription.
    pub(crate) async fn refresh(&mut self, token: &str) -> Result<(), ReplyError> {
        let refresh =
            SubRefresh { channel: self.channel.clone(), token: token.to_owned(), ..SubRefresh::default() };
        self.call(Request::SubRefresh(Box::new(refresh))).await.map(drop)
    }

    /// Takes what has come, once all that can happen now has happened.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..30 {
            tokio::task::yield_now().await;
        }
        while let Some(sent) = self.client.peer.try_recv() {
            match sent {
                Sent::Message(message) => assert_eq!(self.take(message), None),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Why the connection ends.
    pub(crate) async fn closed(&mut self) -> tourbillon_types::Disconnect {
        self.client.closed().await
    }

    /// Takes what has come, and gives it away.
    pub(crate) async fn news(&mut self) -> Vec<Received> {
        self.settle().await;
        std::mem::take(&mut self.received)
    }

    fn take(&mut self, message: bytes::Bytes) -> Option<Reply> {
        for message in Replies::new(self.encoding, Envelope::Reply, message) {
            match message.expect("a message") {
                ServerMessage::Reply(reply) => return Some(reply),
                ServerMessage::Push(Push { channel, id, event: PushEvent::Publication(publication) }) => {
                    assert_eq!((channel.as_deref().unwrap_or_default(), id), self.name());
                    self.receive(&publication);
                }
                ServerMessage::Push(Push { event: PushEvent::Unsubscribe(why), .. }) => {
                    self.unsubscribed = Some(why.code);
                }
                ServerMessage::Push(other) => panic!("{other:?}"),
                ServerMessage::Ping => {}
            }
        }
        None
    }

    fn name(&self) -> (&str, i64) {
        if self.number == 0 { (&self.channel, 0) } else { ("", self.number) }
    }

    fn receive(&mut self, publication: &Arc<Publication>) {
        assert_eq!(self.unsubscribed, None, "nothing follows the end of a subscription");
        let data = publication.data.as_ref();
        if !self.delta {
            assert!(!publication.delta);
            return self.have(publication, data.to_vec());
        }
        // In JSON both are strings (HID-08).
        let data = match self.encoding {
            Encoding::Json => serde_json::from_slice::<String>(data).expect("a string").into_bytes(),
            Encoding::Protobuf => data.to_vec(),
        };
        let data = if publication.delta {
            let base = self.base.as_deref().expect("a delta comes after something whole");
            let whole = tourbillon_delta::apply(base, &data, 1 << 24).expect("a delta against what it has");
            assert!(data.len() < whole.len(), "a delta is smaller");
            whole
        } else {
            data
        };
        self.base = Some(data.clone());
        self.have(publication, data);
    }

    fn have(&mut self, publication: &Publication, data: Vec<u8>) {
        if publication.offset > 0 {
            self.position.offset = publication.offset;
        }
        if !publication.epoch.is_unknown() {
            self.position.epoch = publication.epoch.clone();
        }
        self.received.push(Received { offset: publication.offset, data, delta: publication.delta });
    }
}
