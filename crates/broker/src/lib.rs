//! The seam between a node and the message broker behind it.
//!
//! A [`Broker`] carries publications between nodes and, where it can, keeps a channel's stream, which is read through
//! [`History`]; a [`Presence`] keeps who is in which channel; a [`Control`] carries messages between the nodes
//! themselves; a [`MapStore`] keeps keyed channels. An [`Engine`] bundles a broker with these optional parts; a
//! configuration that needs a part that the engine lacks fails at start. Implementers write `async fn`s against the
//! traits; the node holds their object-safe mirrors ([`DynBroker`], [`DynHistory`], [`DynPresence`]), which every
//! implementation has for free.
//!
//! # What an implementer may get wrong
//!
//! * **Order.** Publications of one channel must reach [`BrokerEvents::publication`] in the order of their
//!   offsets. A broker that delivers out of order makes positioned subscribers resubscribe for nothing.
//! * **Epochs.** Publications of a stream carry its epoch, every one of them: it is how a subscriber learns that the
//!   stream has begun anew.
//! * **Loss.** A broker that may have lost events of a channel (a reconnect, a full buffer) must say so with
//!   [`BrokerEvents::position_lost`]. Silence there is silent loss for subscribers.
//! * **Deadlines.** A call that cannot be answered ends with [`BrokerError::unavailable`]; the node adds a
//!   deadline of its own, and dropping a future half way must leave the broker usable.
//!
//! The conformance suite (module and feature `conformance`) looks for these mistakes and others.
//!
//! # A broker of one's own
//!
//! ```
//! use std::sync::{Arc, OnceLock};
//!
//! use tourbillon_broker::{
//!     Broker, BrokerError, Capabilities, Engine, EventSink, Publish, Published, Stop,
//! };
//! use tourbillon_types::{Channel, Publication};
//!
//! /// Delivers within the process and keeps nothing.
//! #[derive(Debug, Default)]
//! struct Local(OnceLock<EventSink>);
//!
//! impl Broker for Local {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::default()
//!     }
//!
//!     async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
//!         if publish.options.history.is_some() {
//!             return Err(BrokerError::unsupported("history"));
//!         }
//!         if let Some(events) = self.0.get() {
//!             let publication = Publication { data: publish.data, ..Publication::default() };
//!             events.publication(&publish.channel, Arc::new(publication));
//!         }
//!         Ok(Published::default())
//!     }
//!
//!     async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
//!         Ok(())
//!     }
//!
//!     async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
//!         Ok(())
//!     }
//!
//!     fn attach(&self, events: EventSink) {
//!         let _ = self.0.set(events);
//!     }
//!
//!     async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
//!         stop.await;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BrokerError> {
//! let engine = Engine::new(Local::default());
//! assert!(engine.history().is_none() && engine.presence().is_none());
//! engine.broker().publish(Publish::new(Channel::from("news"), "{}".into())).await?;
//! # Ok(())
//! # }
//! ```

mod broker;
mod bus;
mod control;
mod engine;
mod error;
mod events;
mod history;
mod map;
mod presence;
mod publish;
mod record;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use broker::{BoxFuture, Broker, Capabilities, DynBroker, Parts, SharedBroker, Stop};
pub use bus::{BusControl, ControlBus};
pub use control::{Control, ControlEvents, ControlSink, DynControl, Receiver, SharedControl};
pub use engine::Engine;
pub use error::BrokerError;
pub use events::{BrokerEvents, EventSink};
pub use history::{DynHistory, History, SharedHistory};
pub use map::{
    DynMapStore, MapChanged, MapPublish, MapPublishOptions, MapRemove, MapStats, MapStore, MapSuppressed,
    SharedMapStore,
};
pub use presence::{DynPresence, Member, Presence, PresenceStats, SharedPresence};
pub use publish::{Attempt, Publish, PublishOptions, Published, Suppressed};
pub use record::{Record, RecordsVersion};
pub use tourbillon_types::{
    HistoryPolicy, HistoryQuery, KeyMode, MapPage, MapPolicy, MapQuery, MapStream, Page,
};
