//! One client of the protocol as a pure state machine.
//!
//! [`Session`] decides what a connection answers, calls and closes with. It does no I/O, reads no clock and draws
//! no randomness: the same inputs at the same times give the same outputs. A driver owns it and
//!
//! 1. feeds it [`Input`]s through [`Session::handle`], commands only while [`Session::ready`] says so;
//! 2. carries out the [`Output`]s in order: sends replies and pushes, runs [`Call`]s and returns their
//!    [`Answer`]s, opens and detaches channels, closes;
//! 3. feeds [`Input::Tick`] when [`Session::next_deadline`] has passed.
//!
//! A call that attaches channels to the hub hands them over with its answer: what the session
//! [`holds`](Session::holds) once the answer is handled it gives back by [`Output::Detach`]; what it does not hold
//! then (the grant had expired, the session is closed, the connect was refused) the driver detaches without a word
//! to the application.
//!
//! After [`Output::Close`] nothing more comes out, whatever goes in. The channels it is subscribed to then are
//! given by [`Session::channels`]; detaching them is the driver's cleanup.

mod calls;
mod config;
mod connect;
mod io;
mod map;
mod ping;
mod poll;
mod publish;
mod query;
mod refresh;
mod server;
mod session;
mod subscribe;
mod subscriptions;

pub use calls::{
    Accepted, Answer, Call, CallId, Further, Granted, MapAnswer, MapAttach, MapCall, MapChanges, MapGranted,
    MapShow, MapTerms, Refreshed, Refusal,
};
pub use config::{SessionConfig, SessionInit};
pub use io::{Input, Output, Outputs, ServerOp};
pub use poll::{TrackCall, Tracked};
pub use session::Session;
pub use subscribe::{CHANNEL_COMPACTION, FOSSIL};
