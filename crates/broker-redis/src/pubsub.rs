//! What is handed on to this node: which channels it wants, and the way of their messages.
//!
//! Messages of a shard come over a connection of their own. One task takes them from there and gives each to one of a few
//! workers, by the channel: messages of a channel stay in their order, those of others do not wait for them. Where
//! messages may have been lost (the connection was, or a queue was full) positions are told as lost.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Message as Received, Value};
use parking_lot::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
use tourbillon_broker::{BrokerError, EventSink};
use tourbillon_types::Channel;

use crate::client::{self, ConnectError, Link, Purpose, bytes, failed};
use crate::counts::{Fault, PubSubCounts};
use crate::payload::{self, Damaged, Message};
use crate::shard::Shard;
use crate::sharding;

/// Channels of one command; that many are subscribed again at a time when a connection has come back (RED-17).
const BATCH: usize = 512;

/// How long nothing is done after subscribing again has failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Messages that wait for one worker.
const QUEUE: usize = 8192;

/// What is taken from one shard.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    shard: Shard,
    client: Link,
    /// Including those whose command is under way.
    wanted: Mutex<HashSet<Channel>>,
    counts: Arc<PubSubCounts>,
    /// Made when the connection is, so that nothing is missed until somebody listens. Taken once.
    ears: Mutex<Option<(Receiver<Received>, Receiver<Server>)>>,
}

impl Subscriptions {
    pub(crate) async fn connect(shard: Shard, counts: Arc<PubSubCounts>) -> Result<Self, ConnectError> {
        let client = client::connect(&shard.config, Purpose::Messages).await?;
        let ears = Mutex::new(Some((client.message_rx(), client.reconnect_rx())));
        Ok(Self { shard, client, wanted: Mutex::default(), counts, ears })
    }

    /// When this answers, messages that are handed on from then on arrive.
    pub(crate) async fn subscribe(&self, channels: &[&Channel]) -> Result<(), BrokerError> {
        let new: Vec<Channel> = {
            let mut wanted = self.wanted.lock();
            channels
                .iter()
                .filter(|channel| wanted.insert((**channel).clone()))
                .map(|it| (*it).clone())
                .collect()
        };
        // Those that were wanted already may still be under way: whoever asks again gets an answer that is true.
        let done = self.ask_for(channels.iter().copied()).await;
        if done.is_err() {
            let mut wanted = self.wanted.lock();
            new.iter().for_each(|channel| {
                wanted.remove(channel);
            });
        }
        done.map_err(|error| failed(&self.client, error))
    }

    pub(crate) async fn unsubscribe(&self, channels: &[&Channel]) -> Result<(), BrokerError> {
        {
            let mut wanted = self.wanted.lock();
            channels.iter().for_each(|channel| {
                wanted.remove(*channel);
            });
        }
        for batch in channels.chunks(BATCH) {
            let left = self.client.unsubscribe(self.names(batch.iter().copied())).await;
            left.map_err(|error| failed(&self.client, error))?;
        }
        barrier(&self.client).await.map_err(|error| failed(&self.client, error))
    }

    fn names<'a>(&self, channels: impl Iterator<Item = &'a Channel>) -> Vec<String> {
        channels.map(|channel| self.shard.keys.pubsub(channel)).collect()
    }

    async fn ask_for<'a>(&self, channels: impl Iterator<Item = &'a Channel>) -> Result<(), Error> {
        let names = self.names(channels);
        for batch in names.chunks(BATCH) {
            self.client.subscribe(batch.to_vec()).await?;
        }
        barrier(&self.client).await
    }

    /// Takes messages and gives them to the workers, and keeps the connection. Does not end by itself.
    pub(crate) async fn run(&self, events: &EventSink, workers: &Workers) {
        let Some((messages, reconnects)) = self.ears.lock().take() else { return };
        tokio::join!(self.receive(messages, events, workers), self.keep(reconnects, events));
    }

    async fn receive(&self, mut messages: Receiver<Received>, events: &EventSink, workers: &Workers) {
        loop {
            match messages.recv().await {
                Ok(message) => {
                    let Some(channel) = self.shard.keys.channel(&message.channel) else { continue };
                    let Some(bytes) = bytes(message.value) else { continue };
                    workers.give(channel, bytes, events);
                }
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "messages of Redis came faster than they could be routed");
                    self.counts.drop_messages(lost);
                    self.lost(events);
                }
                // The client has quit.
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Subscribes again whenever the connection has come back, and finds out when it is gone without a word.
    async fn keep(&self, mut reconnects: Receiver<Server>, events: &EventSink) {
        let mut probe = tokio::time::interval(self.shard.config.connection.probe_interval);
        probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A connection that is new is fine.
                biased;
                reconnected = reconnects.recv() => match reconnected {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        self.counts.fault(Fault::Lost);
                        self.restore(&mut reconnects, events).await;
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = probe.tick() => {
                    if let Err(error) = barrier(&self.client).await {
                        tracing::warn!(%error, "a connection to Redis for messages does not answer");
                        self.counts.fault(Fault::Silent);
                        let _ = self.client.force_reconnection().await;
                        self.client.revive(&error);
                    }
                }
            }
        }
    }

    async fn restore(&self, reconnects: &mut Receiver<Server>, events: &EventSink) {
        loop {
            // Those that came until now are covered by what follows.
            while reconnects.try_recv().is_ok() {}
            let _ = client::introduce(&self.client, &self.shard.config.connection).await;
            let wanted: Vec<Channel> = self.wanted.lock().iter().cloned().collect();
            match self.ask_for(wanted.iter()).await {
                Ok(()) => {
                    tracing::info!(channels = wanted.len(), "subscribed again at Redis");
                    return self.lost(events);
                }
                Err(error) => {
                    tracing::warn!(%error, "subscribing again at Redis failed");
                    self.counts.fault(Fault::Resubscribe);
                    self.client.revive(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Tells that messages of this shard may have been lost.
    fn lost(&self, events: &EventSink) {
        let wanted: Vec<Channel> = self.wanted.lock().iter().cloned().collect();
        wanted.iter().for_each(|channel| events.position_lost(Some(channel)));
    }

    /// Whether messages can come.
    pub(crate) async fn ready(&self) -> Result<(), BrokerError> {
        barrier(&self.client).await.map_err(|error| failed(&self.client, error))
    }

    pub(crate) async fn quit(&self) {
        let _ = self.client.quit().await;
    }
}

/// What was asked for over this connection has been done when this answers: a command to subscribe itself is answered
/// when it is sent.
pub(crate) async fn barrier(client: &Client) -> Result<(), Error> {
    // In a cluster, the node that commands to subscribe go to.
    let node = fred::util::redis_keyslot(client.id().as_bytes());
    let ping = CustomCommand::new_static("PING", ClusterHash::Custom(node), false);
    client.custom::<Value, Value>(ping, Vec::new()).await.map(|_| ())
}

/// Divides channels by where they are.
pub(crate) fn by_place<'a>(
    channels: &'a [Channel],
    place: impl Fn(&Channel) -> usize,
) -> HashMap<usize, Vec<&'a Channel>> {
    let mut places: HashMap<usize, Vec<&'a Channel>> = HashMap::new();
    for channel in channels {
        places.entry(place(channel)).or_default().push(channel);
    }
    places
}

/// Those who read messages and tell the node.
#[derive(Debug)]
pub(crate) struct Workers {
    queues: Vec<Sender<(Channel, Bytes)>>,
    counts: Arc<PubSubCounts>,
    /// They end when this does.
    _tasks: JoinSet<()>,
}

impl Workers {
    /// As many as there are processors, which read messages by `tell`.
    pub(crate) fn start(events: &EventSink, tell: Tell, counts: &Arc<PubSubCounts>) -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut tasks = JoinSet::new();
        let queues = (0..count).map(|_| {
            let (queue, mut messages) = mpsc::channel::<(Channel, Bytes)>(QUEUE);
            let events = events.clone();
            tasks.spawn(async move {
                while let Some((channel, message)) = messages.recv().await {
                    tell(&events, &channel, &message);
                }
            });
            queue
        });
        let queues: Vec<_> = queues.collect();
        counts.watch(&queues);
        Self { queues, counts: counts.clone(), _tasks: tasks }
    }

    fn give(&self, channel: &str, message: Bytes, events: &EventSink) {
        let Some(queue) = self.queues.get(sharding::spread(channel, self.queues.len())) else { return };
        let channel = Channel::from(channel);
        if let Err(full) = queue.try_send((channel, message)) {
            let (channel, _) = full.into_inner();
            tracing::warn!(channel = channel.as_str(), "a message of Redis was dropped: too many wait");
            self.counts.drop_messages(1);
            events.position_lost(Some(&channel));
        }
    }
}

/// Reads a message and tells the node.
pub(crate) type Tell = fn(&EventSink, &Channel, &Bytes);

/// Reads a message of a channel with a stream, or without.
pub(crate) fn tell(events: &EventSink, channel: &Channel, message: &Bytes) {
    give(events, channel, payload::parse(message));
}

/// Reads a message of a keyed channel.
pub(crate) fn tell_change(events: &EventSink, channel: &Channel, message: &Bytes) {
    match payload::parse_change(message).transpose() {
        Some(message) => give(events, channel, message),
        None => events.position_lost(Some(channel)),
    }
}

fn give(events: &EventSink, channel: &Channel, message: Result<Message, Damaged>) {
    match message {
        Ok(Message::Publication(publication)) => events.publication(channel, Arc::new(publication)),
        Ok(Message::Delta(publication, previous)) => {
            events.delta_publication(channel, Arc::new(publication), previous.map(Arc::new));
        }
        Ok(Message::Join(info)) => events.join(channel, Arc::new(info)),
        Ok(Message::Leave(info)) => events.leave(channel, Arc::new(info)),
        Err(error) => {
            tracing::warn!(%error, channel = channel.as_str(), "a message of Redis is damaged");
            events.position_lost(Some(channel));
        }
    }
}
