//! A client that speaks either encoding, in commands, replies and pushes as values: what those who keep a channel as SDKs
//! do have in common.

use std::collections::VecDeque;

use tourbillon_protocol::client::{Replies, ServerMessage, encode_command};
use tourbillon_protocol::command::{Command, Request, Unsubscribe};
use tourbillon_protocol::{Envelope, Push, ReplyResult};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Disconnect, Encoding, Publication, ReplyError};

use crate::harness::{Client, TestNode};

/// A connection that is accepted.
pub(crate) struct Link {
    client: Client,
    pub(crate) encoding: Encoding,
    id: u32,
    /// What came with something else and was not looked at yet.
    came: VecDeque<ServerMessage>,
}

/// What came before an answer, and the answer.
pub(crate) type Answered = (Vec<Push>, Result<ReplyResult, ReplyError>);

impl Link {
    pub(crate) async fn connect(test: &TestNode, encoding: Encoding) -> Self {
        let client = test.open(1 << 24, |info| info.encoding = encoding);
        let mut link = Self { client, encoding, id: 0, came: VecDeque::new() };
        let (pushes, connected) = link.call(Request::Connect(Box::default())).await;
        assert!(matches!(connected, Ok(ReplyResult::Connect(_))), "{connected:?}");
        assert_eq!(pushes, []);
        link
    }

    /// Sends a command, without waiting.
    pub(crate) fn send(&mut self, request: Request) {
        self.id += 1;
        let command = encode_command(self.encoding, &Command { id: self.id, request }).expect("a command");
        self.client.peer.send(command);
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn call(&mut self, request: Request) -> Answered {
        self.send(request);
        let mut pushes = Vec::new();
        loop {
            while let Some(message) = self.came.pop_front() {
                match message {
                    ServerMessage::Reply(reply) => {
                        assert_eq!(reply.id, self.id);
                        return (pushes, reply.result);
                    }
                    ServerMessage::Push(push) => pushes.push(push),
                    ServerMessage::Ping => {}
                }
            }
            let Sent::Message(message) = self.client.next().await else { panic!("a reply comes") };
            self.take(message);
        }
    }

    pub(crate) async fn unsubscribe(&mut self, channel: &str) -> Vec<Push> {
        let unsubscribe = Unsubscribe { channel: channel.to_owned() };
        let (pushes, reply) = self.call(Request::Unsubscribe(unsubscribe)).await;
        assert_eq!(reply, Ok(ReplyResult::Unsubscribe));
        pushes
    }

    /// What has come, once all that can happen now has happened. No reply is waited for.
    pub(crate) async fn settle(&mut self) -> Vec<Push> {
        for _ in 0..30 {
            tokio::task::yield_now().await;
        }
        while let Some(sent) = self.client.peer.try_recv() {
            match sent {
                Sent::Message(message) => self.take(message),
                other => panic!("{other:?}"),
            }
        }
        let pushes = self.came.drain(..).filter_map(|message| match message {
            ServerMessage::Reply(reply) => panic!("{reply:?}"),
            ServerMessage::Push(push) => Some(push),
            ServerMessage::Ping => None,
        });
        pushes.collect()
    }

    /// Why the connection ends.
    pub(crate) async fn closed(&mut self) -> Disconnect {
        self.client.closed().await
    }

    fn take(&mut self, message: bytes::Bytes) {
        let messages = Replies::new(self.encoding, Envelope::Reply, message);
        self.came.extend(messages.map(|message| message.expect("a message")));
    }

    /// The data of a publication as it was published, by whoever takes deltas and has `base`.
    pub(crate) fn restored(&self, publication: &Publication, base: Option<&[u8]>) -> Vec<u8> {
        let data = publication.data.as_ref();
        // In JSON both are strings (HID-08).
        let data = match self.encoding {
            Encoding::Json if !data.is_empty() => {
                serde_json::from_slice::<String>(data).expect("a string").into_bytes()
            }
            _ => data.to_vec(),
        };
        if !publication.delta {
            return data;
        }
        let base = base.expect("a delta comes after something whole");
        let whole = tourbillon_delta::apply(base, &data, 1 << 24).expect("a delta against what it has");
        assert!(data.len() < whole.len(), "a delta is smaller");
        whole
    }
}
