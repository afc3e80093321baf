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
//! # How `async-nats` is used
//!
//! * A subscription is there once the server has handed back what this node said to itself after it: the library says
//!   nothing of the server's having read it.
//! * A client of the library is for one connection, and its queue goes with that: what cannot be sent now fails now, and
//!   does not go out minutes later.
//! * Messages of one subject arrive in their order. Those of several, such as messages between nodes for all and for one,
//!   need not.
//! * A channel that somebody is subscribed to takes five kilobytes or so: the library has a queue for each. A full one, of
//!   65,536 messages, drops what comes, which is told as a loss.
//! * Users of NATS with limited permissions need `<prefix>.node.*` both ways, for messages between nodes and to themselves.

mod address;
mod broker;
mod client;
mod config;
mod control;
mod line;
mod subjects;

pub use address::{AddressError, NatsServer};
pub use broker::NatsBroker;
pub use config::{NatsConfig, NatsTls, RawMode};
pub use control::NatsControl;
