//! Not losing publications: a channel's log and the rules of catching up with it, as values.
//!
//! Nothing here does I/O, reads a clock or knows a runtime. Time, epochs and limits come in as arguments, so that
//! every order of events can be tried in a test, and the crate's tests do that.
//!
//! * [`StreamLog`] is what a broker keeps of a channel. Most brokers have a product that does this for them; the
//!   embedded engine has this.
//! * [`Plan`] says which history a new subscriber needs, and makes the beginning of its subscription of the answer,
//!   in either [`RecoveryMode`].
//! * [`Gate`] stands between channel and subscriber: it holds publications back until the subscribe reply is queued,
//!   and judges each one by its position from then on.
//! * [`step`] are the rules by which a publication follows a position, and [`PositionCheck`] compares positions with
//!   the broker's, for what no publication reveals.
//!
//! The promise these keep together: a subscriber with a position gets every publication after the one its reply
//! names, once and in order and not before the reply, or is told that this is no longer so ([`Lost`]).
//!
//! # A subscribe that recovers
//!
//! ```
//! use std::time::Duration;
//!
//! use tourbillon_recovery::{Ask, Gate, Offer, Plan, StreamLog, Terms};
//! use tourbillon_types::{Epoch, HistoryPolicy, Instant, Publication, StreamPosition};
//!
//! let now = Instant::ZERO;
//! let policy = HistoryPolicy {
//!     size: 100,
//!     ttl: Duration::from_secs(60),
//!     meta_ttl: Duration::from_secs(3600),
//! };
//! let mut log = StreamLog::new(Epoch::from("abcdefgh"), now, policy.meta_ttl);
//! let mut publish = || log.append(now, &policy, Publication::default());
//! publish(); // The client saw this one and went away.
//! publish();
//!
//! // It comes again. First the gate: nothing that is published from now on can get lost.
//! let mut gate = Gate::buffering(1000);
//! let meanwhile = publish();
//! assert_eq!(gate.offer(&meanwhile, false), Offer::Held);
//!
//! // Then the history, which may or may not contain what is held behind the gate.
//! let terms = Terms { positioned: true, recoverable: true, ..Terms::default() };
//! let seen = StreamPosition { offset: 1, epoch: Epoch::from("abcdefgh") };
//! let ask = Ask { recover: true, position: seen, ..Ask::default() };
//! let plan = Plan::new(&terms, ask, 300).ok_or("no position")?;
//! let page = log.read(now, &plan.query(), policy.meta_ttl);
//! let resumed = plan.finish(page, &mut gate, |_| false)?;
//! assert!(resumed.recovered);
//! let offsets: Vec<_> = resumed.publications.iter().map(|publication| publication.offset).collect();
//! assert_eq!(offsets, [2, 3]);
//!
//! // The reply is queued, and the gate opens.
//! let opened = gate.open(Some(resumed.live));
//! assert!(opened.publications.is_empty() && opened.lost.is_none());
//! let next = log.append(now, &policy, Publication::default());
//! assert_eq!(gate.offer(&next, false), Offer::Deliver);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod entry;
mod gate;
mod log;
mod position;
mod resume;

pub use gate::{Gate, Offer, Opened};
pub use log::StreamLog;
pub use position::{Ending, Judgement, Lost, PositionCheck, Step, is_late, leap, step};
pub use resume::{Ask, Plan, REJECT_UNRECOVERED, RecoveryMode, ResumeError, Resumed, Terms};
pub use tourbillon_types::{HistoryPolicy, HistoryQuery, Page};
