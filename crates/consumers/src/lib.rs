//! Consumers of queues and outboxes: what an application puts there, the server API carries out (CONS-01 to CONS-10).
//!
//! * A [`Message`] has a body and attributes; a [`Mode`] makes a command of the API of it, or says why it cannot.
//! * A [`Source`] is where messages come from, at least once, in their order. Each is a module with a feature of its own,
//!   such as `postgres::Outbox`.
//! * A [`Runner`] takes messages from one source, has them carried out by a `tower` service such as
//!   [`ApiService`](tourbillon_api::ApiService), and says to the source what became of each.
//!
//! # What becomes of a message
//!
//! | outcome | what the source is told | what the operator sees |
//! |---|---|---|
//! | carried out | it is done | `consumers_messages_processed_total` |
//! | no command, or refused by the API | it is done: trying again would not help | an error in the log, `consumers_messages_skipped_total` |
//! | the API failed with 100, or did not answer | it is to come again, after a growing pause | an error in the log, `consumers_errors_total` |
//!
//! Nothing is told to be done before it is: what a crash interrupts comes again. So a message may be carried out twice,
//! against which idempotency keys and versions help. A broadcast of which one channel failed with 100 comes again whole.
//!
//! # What becomes of a source
//!
//! A source that fails is begun anew, for ever, with growing pauses, by the [`Runner`], which also outlives a panic. The
//! pauses start again from the shortest one only when messages have been asked for with success. [`Health`] knows since when
//! a source fails.

mod health;
mod message;
mod pause;
#[cfg(feature = "postgres")]
pub mod postgres;
mod runner;
mod source;
mod verdict;

pub use health::{Counts, Health};
pub use message::{Message, Mode, PublicationAttributes, Skip};
pub use pause::pause;
pub use runner::Runner;
pub use source::{Batch, Lost, Outcome, Source, SourceError};
