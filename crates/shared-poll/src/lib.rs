//! Channels whose keys are polled: clients track keys, and a node asks the application for all keys of a channel
//! together, once in an interval, and tells whoever tracks a key when it changed (SP-01 to SP-17).
//!
//! * [`Backend`] is the seam to the application: one question about keys of one channel. Whoever asks an application
//!   over HTTP or gRPC implements it, and so does a program that embeds a node.
//! * [`Polled`] is one channel as a value: who tracks which keys, what is known of them, and what is to be asked when.
//!   It asks nobody and delivers to nobody: time comes in as an argument, [`Ask`]s come out, and what is to be told goes to
//!   a [`Sink`].
//! * [`Polls`] are the channels of a node, and which of them is due next.
//! * [`Update`] is a value on its way from who publishes it to all nodes.
//!
//! Nothing here has a runtime, sockets or a clock.
//!
//! # What a client may rely on
//!
//! Each connection has a version of each key that it tracks: the one it named as it tracked the key, or that of the last
//! value it was sent. It is never sent a value whose version is not above that. A value that it missed, because it came
//! before its reply or is not kept, is asked for anew.
//!
//! ```
//! use tourbillon_shared_poll::{
//!     Delivery, PollRules, Polled, Recipients, Refreshed, Sink, Track, TrackItem, Value, Wants,
//! };
//! use tourbillon_types::{Channel, Epoch, Now};
//!
//! /// Notes what each subscriber is sent.
//! #[derive(Default)]
//! struct Notes(Vec<(&'static str, String)>);
//!
//! impl Sink<&'static str> for Notes {
//!     fn deliver(&mut self, delivery: &Delivery<'_>, to: Recipients<'_, '_, &'static str>) {
//!         let key = delivery.publication.key.as_deref().unwrap_or_default();
//!         self.0.extend(to.map(|(who, _)| (*who, format!("{key} v{}", delivery.publication.version))));
//!     }
//!
//!     fn lost(&mut self, _: &Channel, _: &&'static str) {}
//! }
//!
//! let now = Now::default();
//! let mut notes = Notes::default();
//! let mut channel = Polled::new(Channel::from("prices"), PollRules::default(), Epoch::from("abcd"), now);
//! let ticket = channel.attach(1, "ali", Wants::default());
//! let track = Track { items: vec![TrackItem::new("gold", 0)], ..Track::new(ticket, 1) };
//! channel.track(now, 1, &track)?;
//! // The reply is queued, and what follows may come.
//! channel.open(now, 1, 1, &mut notes);
//! let ask = channel.ask(now).ok_or("a new key is asked for at once")?;
//! let values = vec![Value::new("gold", "12.5".into())];
//! channel.answer(now, &ask, Ok(Refreshed { values, ..Refreshed::default() }), &mut notes);
//! assert_eq!(notes.0, [("ali", "gold v1".to_owned())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod backend;
mod cycle;
mod direct;
mod keys;
mod polled;
mod polls;
mod rules;

use std::sync::Arc;

pub use answers::{Applied, Published};
pub use backend::{Backend, BackendError, BoxFuture, DynBackend, Item, Refresh, Refreshed, Value};
pub use cycle::CycleTimes;
pub use direct::{NotAnUpdate, Update};
pub use keys::{Delivery, Receives, Recipients, Sink};
pub use polled::{Ask, Detached, Polled, Ticket, Track, TrackError, TrackItem, Tracked, Trigger, Wants};
pub use polls::Polls;
pub use rules::{PollMode, PollRules};

/// A key of a polled channel.
pub type Key = Arc<str>;
