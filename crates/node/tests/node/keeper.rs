//! A client that speaks either encoding and keeps a keyed channel's values as SDKs do: it loads the state page by page,
//! catches up, applies changes with their deltas, and comes back to where it stood.

use std::collections::BTreeMap;

use tourbillon_protocol::command::{Request, Subscribe};
use tourbillon_protocol::reply::SubscribeResult;
use tourbillon_protocol::{Push, PushEvent, ReplyResult};
use tourbillon_types::{Disconnect, Encoding, Publication, ReplyError, StreamPosition};

use crate::harness::TestNode;
use crate::link::Link;

/// How far a keeper is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has nothing.
    Fresh,
    /// It is to ask for the next page of the state.
    State {
        cursor: String,
    },
    /// It is to ask for the next part of the stream.
    Stream,
    Live,
    /// It was live, and is not subscribed.
    Away,
}

/// A client with one keyed channel.
pub(crate) struct Keeper {
    link: Link,
    channel: String,
    pub(crate) phase: Phase,
    /// What each subscribe asks for besides.
    pub(crate) wish: Subscribe,
    /// Whether deltas are granted. In JSON data then comes in strings.
    granted: bool,
    /// Whether it can come back to where it stood.
    recoverable: bool,
    pub(crate) position: StreamPosition,
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    /// How many values came as deltas.
    pub(crate) deltas: usize,
    /// The code by which the server ended the subscription last.
    pub(crate) unsubscribed: Option<u32>,
    /// Keys in the order in which changes came, with whether they are removals.
    pub(crate) changes: Vec<(String, bool)>,
}

impl Keeper {
    pub(crate) async fn connect(test: &TestNode, encoding: Encoding, channel: &str) -> Self {
        Self {
            link: Link::connect(test, encoding).await,
            channel: channel.to_owned(),
            phase: Phase::Fresh,
            wish: Subscribe { kind: 1, ..Subscribe::default() },
            granted: false,
            recoverable: false,
            position: StreamPosition::default(),
            values: BTreeMap::new(),
            deltas: 0,
            unsubscribed: None,
            changes: Vec::new(),
        }
    }

    /// One that takes deltas. `granted`: it will have them.
    pub(crate) fn fossil(mut self, granted: bool) -> Self {
        self.wish.delta = "fossil".to_owned();
        self.granted = granted;
        self
    }

    /// The connection is lost, and there is another.
    pub(crate) async fn reconnect(&mut self, test: &TestNode) {
        self.link = Link::connect(test, self.link.encoding).await;
        self.phase = match self.phase {
            Phase::Live | Phase::Away if self.recoverable => Phase::Away,
            _ => Phase::Fresh,
        };
    }

    async fn call(&mut self, request: Request) -> Result<ReplyResult, ReplyError> {
        let (pushes, result) = self.link.call(request).await;
        self.take(pushes);
        result
    }

    /// What the next subscribe asks for.
    fn next_subscribe(&self) -> Subscribe {
        let mut subscribe = Subscribe { channel: self.channel.clone(), ..self.wish.clone() };
        if self.phase != Phase::Fresh {
            subscribe.position = self.position.clone();
        }
        match &self.phase {
            Phase::Fresh => subscribe.phase = 2,
            Phase::State { cursor } => {
                subscribe.phase = 2;
                subscribe.cursor.clone_from(cursor);
            }
            Phase::Stream => subscribe.phase = 1,
            Phase::Away => subscribe.recover = true,
            Phase::Live => panic!("it is subscribed"),
        }
        subscribe
    }

    /// Sends what [`step`](Self::step) would, without waiting.
    pub(crate) fn send_next(&mut self) {
        self.link.send(Request::Subscribe(Box::new(self.next_subscribe())));
    }

    /// Goes on by one command.
    pub(crate) async fn step(&mut self) -> Result<SubscribeResult, ReplyError> {
        let first = matches!(self.phase, Phase::Fresh);
        let away = matches!(self.phase, Phase::Away);
        let subscribe = self.next_subscribe();
        let result = match self.call(Request::Subscribe(Box::new(subscribe))).await {
            Ok(ReplyResult::Subscribe(result)) => *result,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                self.phase = Phase::Fresh;
                return Err(error);
            }
        };
        assert_eq!(result.kind, 1);
        assert!(!result.expires && result.ttl == 0 && !result.positioned && result.data.is_empty());
        if first {
            self.values.clear();
            self.unsubscribed = None;
            self.position = result.position.clone();
        }
        for entry in &result.state {
            assert!(!entry.removed && !entry.delta);
            self.set(entry);
        }
        for publication in &result.publications {
            self.change(publication);
        }
        self.phase = match result.phase {
            2 if result.cursor.is_empty() => Phase::Stream,
            2 => Phase::State { cursor: result.cursor.clone() },
            1 => Phase::Stream,
            _ => Phase::Live,
        };
        assert_eq!(away, result.was_recovering);
        assert_eq!(away, result.recovered);
        if result.phase != 2 {
            self.position = result.position.clone();
        }
        if result.phase == 0 {
            assert_eq!(result.delta, self.granted);
            self.recoverable = result.recoverable;
            self.unsubscribed = None;
        }
        Ok(result)
    }

    /// Loads and catches up until it is live. What cannot be recovered begins anew.
    pub(crate) async fn load(&mut self) {
        for _ in 0..10_000 {
            if self.phase == Phase::Live {
                return;
            }
            if let Err(error) = self.step().await {
                assert_eq!(error, ReplyError::UNRECOVERABLE_POSITION, "nothing else goes wrong");
            }
        }
        panic!("it never gets there");
    }

    pub(crate) async fn unsubscribe(&mut self) {
        let pushes = self.link.unsubscribe(&self.channel).await;
        self.take(pushes);
        self.phase = if self.phase == Phase::Live && self.recoverable { Phase::Away } else { Phase::Fresh };
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

    fn take(&mut self, pushes: Vec<Push>) {
        for push in pushes {
            match push {
                Push { channel, event: PushEvent::Publication(publication), .. } => {
                    assert_eq!(channel.as_deref(), Some(&*self.channel));
                    assert_eq!(self.phase, Phase::Live, "a change comes after the reply");
                    if publication.offset > 0 {
                        assert!(publication.offset > self.position.offset, "each change comes once");
                        self.position.offset = publication.offset;
                    }
                    self.change(&publication);
                }
                Push { event: PushEvent::Unsubscribe(why), .. } => {
                    self.unsubscribed = Some(why.code);
                    self.phase = if self.recoverable { Phase::Away } else { Phase::Fresh };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn change(&mut self, publication: &Publication) {
        let key = publication.key.as_deref().expect("a change has a key").to_owned();
        self.changes.push((key.clone(), publication.removed));
        if publication.removed {
            // With deltas in JSON there is always something to be parsed.
            let none = if self.granted && self.link.encoding == Encoding::Json { r#""null""# } else { "" };
            assert_eq!((publication.data.as_ref(), publication.delta), (none.as_bytes(), false));
            self.values.remove(&key);
            return;
        }
        self.set(publication);
    }

    fn set(&mut self, publication: &Publication) {
        let key = publication.key.as_deref().expect("an entry has a key").to_owned();
        let data = if self.granted {
            self.link.restored(publication, self.values.get(&key).map(Vec::as_slice))
        } else {
            publication.data.as_ref().to_vec()
        };
        self.deltas += usize::from(publication.delta);
        self.values.insert(key, data);
    }
}
