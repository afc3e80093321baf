//! A client that speaks either encoding and follows one channel, deltas included, as SDKs do.

use std::sync::Arc;

use tourbillon_protocol::command::{Request, SubRefresh, Subscribe};
use tourbillon_protocol::reply::SubscribeResult;
use tourbillon_protocol::{Push, PushEvent, ReplyResult};
use tourbillon_types::{Disconnect, Encoding, Publication, ReplyError, StreamPosition};

use crate::harness::TestNode;
use crate::link::Link;

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
    link: Link,
    channel: String,
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
        Self {
            link: Link::connect(test, encoding).await,
            channel: channel.to_owned(),
            delta: false,
            base: None,
            number: 0,
            position: StreamPosition::default(),
            received: Vec::new(),
            unsubscribed: None,
        }
    }

    async fn call(&mut self, request: Request) -> Result<ReplyResult, ReplyError> {
        let (pushes, result) = self.link.call(request).await;
        self.take(pushes);
        result
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
        let pushes = self.link.unsubscribe(&self.channel).await;
        self.take(pushes);
    }

    /// Has a new token for the subscription.
    pub(crate) async fn refresh(&mut self, token: &str) -> Result<(), ReplyError> {
        let refresh =
            SubRefresh { channel: self.channel.clone(), token: token.to_owned(), ..SubRefresh::default() };
        self.call(Request::SubRefresh(Box::new(refresh))).await.map(drop)
    }

    /// Takes what has come, once all that can happen now has happened.
    pub(crate) async fn settle(&mut self) {
        let pushes = self.link.settle().await;
        self.take(pushes);
    }

    /// Why the connection ends.
    pub(crate) async fn closed(&mut self) -> Disconnect {
        self.link.closed().await
    }

    /// Takes what has come, and gives it away.
    pub(crate) async fn news(&mut self) -> Vec<Received> {
        self.settle().await;
        std::mem::take(&mut self.received)
    }

    fn take(&mut self, pushes: Vec<Push>) {
        for push in pushes {
            match push {
                Push { channel, id, event: PushEvent::Publication(publication) } => {
                    assert_eq!((channel.as_deref().unwrap_or_default(), id), self.name());
                    self.receive(&publication);
                }
                Push { event: PushEvent::Unsubscribe(why), .. } => self.unsubscribed = Some(why.code),
                other => panic!("{other:?}"),
            }
        }
    }

    fn name(&self) -> (&str, i64) {
        if self.number == 0 { (&self.channel, 0) } else { ("", self.number) }
    }

    fn receive(&mut self, publication: &Arc<Publication>) {
        assert_eq!(self.unsubscribed, None, "nothing follows the end of a subscription");
        if !self.delta {
            assert!(!publication.delta);
            return self.have(publication, publication.data.as_ref().to_vec());
        }
        let data = self.link.restored(publication, self.base.as_deref());
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
