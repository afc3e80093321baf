//! NATS carries publications, joins and leaves, and the messages between nodes (NATS-01 to NATS-06, ENG-06).
//!
//! [`NatsBroker`] is a [`Broker`](tourbillon_broker::Broker) without streams: what nobody listens to when it is published
//! is gone, and what asks for history, versions or idempotency is refused. What goes over NATS is what Centrifugo sends
//! there, so nodes of both share publications, joins and leaves.
//!
//! ```no_run
//! use tourbillon_broker::Engine;
//! use tourbillon_broker_nats::{NatsBroker, NatsConfig};
//!
//! let config = NatsConfig::at("nats://10.0.0.1:4222,nats://10.0.0.2:4222")?;
//! let engine = Engine::new(NatsBroker::new(config));
//! # drop(engine);
//! # Ok::<(), tourbillon_broker_nats::AddressError>(())
//! ```
//!
//! # Why there is a client of NATS here
//!
//! The protocol is a few lines of text, and what a broker needs is not to be had from the library for it:
//!
//! * a subscription is there once the server says so, or `subscribe` would lose what is published next;
//! * what cannot be sent now fails now, and does not go out minutes later from a queue;
//! * messages of one connection arrive in the order in which they came, whatever their subjects;
//! * a channel at rest is an entry of a map, not a queue of its own.

mod address;
mod broker;
mod client;
mod config;
mod control;
mod dial;
mod subjects;
mod wire;

pub use address::{AddressError, NatsServer};
pub use broker::NatsBroker;
pub use config::{NatsConfig, NatsTls, RawMode};
pub use control::NatsControl;
