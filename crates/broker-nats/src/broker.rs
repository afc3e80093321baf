//! Publish and subscribe.

use std::sync::{Arc, OnceLock};

use async_nats::Message;
use tourbillon_broker::{
    Attempt, Broker, BrokerError, Capabilities, EventSink, Parts, Publish, PublishOptions, Published, Stop,
};
use tourbillon_protocol::stored::{Carried, decode_push, encode_push};
use tourbillon_types::{Channel, ClientInfo, Publication, SystemClock};

use crate::client::{Client, Receive};
use crate::config::NatsConfig;
use crate::control::NatsControl;
use crate::line::Outgoing;
use crate::subjects::{Impossible, Subjects, is_pattern};

/// A broker over NATS, which brings the way to the other nodes along. It keeps no streams.
///
/// # Delivery
///
/// A publication is handed to NATS and forgotten: it arrives once or, where a connection breaks, not at all. While there
/// is no connection, publishing and subscribing fail at once with a [transient](BrokerError::is_transient) error.
/// Connections are made again for as long as the broker runs, and then have all subscriptions again.
///
/// # Patterns
///
/// With [`NatsConfig::allow_wildcards`], a subscription to a channel such as `news.*` gets the publications of all channels
/// that NATS finds in it, each with its own [`channel`](Publication::channel) (NATS-04). Joins and leaves are those of the
/// channel of that very name.
#[derive(Debug)]
pub struct NatsBroker {
    client: Client<Channels>,
    control: Arc<NatsControl>,
    raw: bool,
}

#[derive(Debug)]
struct Channels {
    subjects: Subjects,
    raw: bool,
    events: OnceLock<EventSink>,
}

impl From<Impossible> for BrokerError {
    fn from(Impossible(why): Impossible) -> Self {
        Self::invalid(why)
    }
}

impl Receive for Channels {
    fn subject(&self, name: &str) -> String {
        // Names are looked at before they get here.
        self.subjects.to_subscribe(name).unwrap_or_default()
    }

    fn message(&self, name: &Channel, Message { subject, payload, .. }: Message) {
        let Some(events) = self.events.get() else { return };
        if self.raw {
            let publication = Publication {
                channel: self.concrete(name, &subject),
                // What it pins is gone with it.
                data: payload.into(),
                ..Publication::default()
            };
            events.publication(name, Arc::new(publication));
            return;
        }
        let (channel, carried) = match decode_push(payload) {
            Ok(push) => push,
            Err(error) => {
                tracing::error!(channel = %name, %error, "a message of NATS is not what nodes send");
                return;
            }
        };
        match carried {
            Carried::Publication(stored) => {
                let (mut publication, previous) = (stored.publication, stored.previous);
                publication.channel = self.concrete(name, &subject);
                if !std::mem::take(&mut publication.delta) {
                    return events.publication(name, Arc::new(publication));
                }
                let previous = (!previous.is_empty())
                    .then(|| Arc::new(Publication { data: previous, ..Publication::default() }));
                events.delta_publication(name, Arc::new(publication), previous);
            }
            Carried::Join(info) if channel == *name => events.join(name, Arc::new(info)),
            Carried::Leave(info) if channel == *name => events.leave(name, Arc::new(info)),
            // Of one of the channels of a pattern.
            Carried::Join(_) | Carried::Leave(_) => {}
            _ => tracing::debug!(channel = %name, "a message of NATS says what this release does not know"),
        }
    }

    fn lost(&self) {
        if let Some(events) = self.events.get() {
            events.position_lost(None);
        }
    }
}

impl Channels {
    /// The channel of a publication, where what was subscribed to is a pattern (NATS-04).
    fn concrete(&self, name: &Channel, subject: &str) -> Option<Channel> {
        if !is_pattern(name) {
            return None;
        }
        self.subjects.channel_of(subject).map(Channel::from)
    }
}

impl NatsBroker {
    /// A broker. Nothing is connected yet: [`run`](Broker::run) does that.
    #[must_use]
    pub fn new(config: NatsConfig) -> Self {
        let raw = config.raw.is_some();
        let channels = Channels { subjects: Subjects::new(&config), raw, events: OnceLock::new() };
        let control = Arc::new(NatsControl::new(config.clone()));
        Self { client: Client::new(config, channels), control, raw }
    }

    /// Returns once there is a connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn connected(&self) {
        self.client.connected().await;
    }

    /// What is sent for a publication.
    fn message(&self, publish: &Publish) -> Result<Outgoing, BrokerError> {
        let Publish { channel, data, options } = publish;
        let PublishOptions { info, tags, history, version, delta, idempotency_key, .. } = options;
        if history.is_some() {
            return Err(BrokerError::unsupported("NATS keeps no streams"));
        }
        if *version != 0 {
            return Err(BrokerError::unsupported("NATS keeps no versions"));
        }
        if !idempotency_key.is_empty() {
            return Err(BrokerError::unsupported("NATS does not know what was published"));
        }
        let subject = self.client.receive().subjects.to_publish(channel)?;
        if self.raw {
            return Ok(Outgoing { subject, reply: None, payload: data.bytes().clone() });
        }
        let publication = Publication {
            data: data.clone(),
            info: info.clone(),
            tags: tags.clone(),
            delta: *delta,
            time: SystemClock::unix_millis(),
            ..Publication::default()
        };
        let payload = encode_push(channel, &Carried::from(publication)).into();
        Ok(Outgoing { subject, reply: None, payload })
    }

    async fn tell(&self, channel: &Channel, carried: Carried) -> Result<(), BrokerError> {
        if self.raw {
            return Err(BrokerError::unsupported("joins and leaves, as publications are bare data"));
        }
        // To a pattern too, if somebody is subscribed to it: it is a channel of that name then.
        let subject = self.client.receive().subjects.to_subscribe(channel)?;
        let payload = encode_push(channel, &carried).into();
        self.client.publish(Outgoing { subject, reply: None, payload }).await
    }
}

impl Broker for NatsBroker {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.multi_node = true;
        capabilities.needs_interest = true;
        capabilities.join_leave = !self.raw;
        capabilities
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.control = Some(self.control.clone());
        parts
    }

    fn publish_now(&self, publish: Publish) -> Attempt {
        match self.message(&publish).map(|message| self.client.try_publish(message)) {
            Ok(Some(Ok(()))) => Attempt::Done(Ok(Published::default())),
            Ok(None) => Attempt::Later(publish),
            Ok(Some(Err(error))) | Err(error) => Attempt::Done(Err(error)),
        }
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        self.client.publish(self.message(&publish)?).await?;
        Ok(Published::default())
    }

    async fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.tell(channel, Carried::Join(ClientInfo::clone(&info))).await
    }

    async fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.tell(channel, Carried::Leave(ClientInfo::clone(&info))).await
    }

    fn check(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.client.receive().subjects.to_subscribe(channel)?;
        Ok(())
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        for channel in channels {
            self.check(channel)?;
        }
        self.client.subscribe(channels).await
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.client.unsubscribe(channels);
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        let _ = self.client.receive().events.set(events);
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.client.ready().await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        self.client.run(stop).await;
        Ok(())
    }
}
