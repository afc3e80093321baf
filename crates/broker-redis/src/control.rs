//! Messages between nodes (RED-07). What is for all goes to `<prefix>.control`, what is for one to
//! `<prefix>.node.<id>`, which are Centrifugo's names, too.
//!
//! Whoever publishes to all hears itself. So that a node knows what is its own, and does not have to look into it, a
//! message for all has its sender at the end: as a field of Protobuf with a number that nobody uses, so that nodes that do
//! not know of it pass over it.
//!
//! All messages of a node go through the first shard, of a cluster through one node, which keeps their order; nodes listen
//! at every shard.

use bytes::Bytes;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Message;
use fred::types::config::Server;
use futures_util::future::join_all;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tourbillon_broker::{BrokerError, ControlSink, Receiver, Stop};
use tourbillon_types::NodeId;

use crate::client::{Link, Purpose, bytes, introduce, publish_at, unconnected};
use crate::counts::PubSubCounts;
use crate::pubsub::barrier;
use crate::shard::{Shard, Shards};

/// Number 536,870,911 (the last there is), with a length, which is 16.
const SENDER: [u8; 6] = [0xfa, 0xff, 0xff, 0xff, 0x0f, 16];

/// The message with its sender at the end.
fn signed(message: &[u8], node: &NodeId) -> Vec<u8> {
    [message, &SENDER, node.as_bytes()].concat()
}

/// The message without its sender; `None` if it is this node's own.
fn foreign(message: &Bytes, node: &NodeId) -> Option<Bytes> {
    let Some((rest, sender)) = message.split_last_chunk::<16>() else { return Some(message.clone()) };
    match rest.strip_suffix(&SENDER) {
        Some(_) if sender == node.as_bytes() => None,
        Some(rest) => Some(message.slice_ref(rest)),
        // Of a node that says so inside.
        None => Some(message.clone()),
    }
}

pub(crate) async fn send(
    shards: &Shards,
    node: &NodeId,
    to: Receiver,
    message: &[u8],
) -> Result<(), BrokerError> {
    let shard = shards.0.first().ok_or(BrokerError::internal("no shard"))?;
    let (name, message) = match to {
        Receiver::Node(to) => (shard.keys.node(&to), Bytes::copy_from_slice(message)),
        Receiver::Others => (shard.keys.control(), signed(message, node).into()),
    };
    publish_at(&shard.commands, &shard.keys.control(), name, message).await
}

/// Listens at every shard until `stop` resolves.
pub(crate) async fn run(
    shards: &Shards,
    (node, sink): (NodeId, &ControlSink),
    counts: &PubSubCounts,
    stop: Stop,
) {
    let ears: Vec<Ear<'_>> = shards.0.iter().map(Ear::open).collect();
    let links: Vec<Link> = ears.iter().map(|ear| ear.link.clone()).collect();
    let listening = join_all(ears.into_iter().map(|ear| ear.listen(&node, sink, counts)));
    tokio::select! {
        () = stop => (),
        _ = listening => (),
    }
    for link in &links {
        let _ = link.quit().await;
    }
}

/// What hears one shard.
struct Ear<'a> {
    shard: &'a Shard,
    link: Link,
    /// Made before the connection is, so that nothing is missed.
    messages: broadcast::Receiver<Message>,
    reconnects: broadcast::Receiver<Server>,
}

impl<'a> Ear<'a> {
    /// The server was there when the engine connected; if it is not now, it will be again.
    fn open(shard: &'a Shard) -> Self {
        let client = unconnected(&shard.config, Purpose::Control);
        let (messages, reconnects) = (client.message_rx(), client.reconnect_rx());
        Self { shard, link: Link::begin(client), messages, reconnects }
    }

    async fn listen(self, node: &NodeId, sink: &ControlSink, counts: &PubSubCounts) {
        let Self { shard, link, mut messages, mut reconnects } = self;
        let names = [shard.keys.control(), shard.keys.node(node)];
        let subscribe = async {
            loop {
                match reconnects.recv().await {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
                let _ = introduce(&link, &shard.config.connection).await;
                let subscribed = async {
                    link.subscribe(names.to_vec()).await?;
                    barrier(&link).await
                };
                if let Err(error) = subscribed.await {
                    tracing::warn!(%error, "listening to other nodes at Redis failed");
                    let _ = link.force_reconnection().await;
                }
            }
        };
        let receive = async {
            loop {
                match messages.recv().await {
                    Ok(message) => {
                        let own = names.get(1).is_some_and(|name| *name == *message.channel);
                        let Some(bytes) = bytes(message.value) else { continue };
                        let message = if own { Some(bytes) } else { foreign(&bytes, node) };
                        if let Some(message) = message {
                            sink.message(message);
                        }
                    }
                    Err(RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "messages of other nodes came faster than they could be taken");
                        counts.drop_control(lost);
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        };
        tokio::join!(subscribe, receive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_its_own_messages() {
        let (one, two) = (NodeId::from_random([1; 16]), NodeId::from_random([2; 16]));
        for message in [&b""[..], b"x", &[0xff; 100]] {
            let sent: Bytes = signed(message, &one).into();
            assert_eq!(foreign(&sent, &one), None);
            assert_eq!(foreign(&sent, &two).as_deref(), Some(message));
        }
        for unsigned in [&b""[..], b"short", b"longer than what a sender would take"] {
            let unsigned = Bytes::copy_from_slice(unsigned);
            assert_eq!(foreign(&unsigned, &one), Some(unsigned.clone()));
        }
    }
}
