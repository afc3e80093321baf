//! The hub of a node: which connections have which channels, and the fan-out to them.
//!
//! * [`Hub`] is all of it: connections are attached to channels and detached from them, and what is published in a channel
//!   is queued for those who have it, encoded once for each form.
//! * [`Subscriber`] is a connection as the hub sees it: something that takes messages. The node has the implementation.
//! * [`Place`] says how a connection has a channel, [`FlowRules`] how the channel's publications flow.
//! * [`Fanout`] does the same for values of polled channels, whose subscribers are not here.

mod batches;
mod bodies;
mod channel;
pub mod encode;
mod encodings;
mod flow;
mod flowing;
mod hub;
mod polled;
mod subscriber;
mod tracked;

pub use channel::Place;
pub use flow::FlowRules;
pub use hub::{Attached, Base, Hub, Manner, Source, Sources};
pub use polled::Fanout;
pub use subscriber::{Loose, Subscriber, Variant};
