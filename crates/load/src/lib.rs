//! Load for servers that speak the Centrifugo client protocol.
//!
//! One thread drives thousands of clients, over WebSocket or HTTP: [`fleet`] is the poll loop, [`wire`] the protocol's
//! commands and a glance at what comes back, [`mode`] the loads: idle connections, arrivals, fan-out, many channels,
//! calls, storms and publishing over HTTP; [`siege`] that of a crowd that wants in; [`streams`] those of channels that
//! keep something, [`football`] those of deltas and filters; [`command`] is all of it from a command line. [`floor`]
//! is a server that does next to nothing: what it costs, nothing can undercut with the same system calls. A
//! [`Process`](process::Process) tells what the server under load uses.
//!
//! ```no_run
//! use tourbillon_load::mode::{FanOut, fan_out};
//! use tourbillon_load::{Quiet, Target};
//!
//! let target = Target::new("ws://127.0.0.1:8000/connection/websocket")?;
//! let figures = fan_out(&target, None, &FanOut::default(), &mut Quiet)?;
//! println!("{:.0} deliveries a second", figures.deliveries as f64 / figures.seconds);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures are rounded anyway, and lengths are checked where they matter"
)]

pub mod command;
mod crowd;
pub mod fleet;
pub mod floor;
pub mod football;
pub mod frame;
pub mod http;
mod load;
mod meter;
pub mod mode;
pub mod process;
mod report;
pub mod siege;
pub mod streams;
mod target;
mod unsent;
pub mod wire;

pub use load::{Load, LoadError, Progress, Publishing, Quiet};
pub use report::{Figures, Latency, ServerUse};
pub use target::{Carrier, Endpoint, Target, TargetError};
