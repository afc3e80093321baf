//! The vocabulary every Tourbillon crate shares: channels, identifiers, publications, positions, codes and time.
//!
//! Nothing here does I/O, knows a wire format or reads a clock except [`clock::SystemClock`], which is the one
//! place of the workspace that does. Identifiers draw their randomness from the operating system when they are
//! made ([`ClientId::random`]), and so do epochs ([`Epoch::random`]); everything else is a plain value.

pub mod channel;
pub mod clock;
pub mod codes;
pub mod encoding;
pub mod filter;
pub mod history;
pub mod id;
pub mod kind;
pub mod map;
pub mod mark;
pub mod payload;
pub mod permissions;
pub mod publication;
pub mod push;
pub mod text;
pub mod token;

pub use channel::{Channel, UserId};
pub use clock::{Clock, Instant, ManualClock, Now, SystemClock};
pub use codes::{Disconnect, ErrorCode, ReplyError, Unsubscribe};
pub use encoding::{Direction, Encoding};
pub use filter::{FilterError, FilterLimits, FilterProblem, TagFilter, TagMatcher};
pub use history::{HistoryPolicy, HistoryQuery, Page};
pub use id::{ClientId, NodeId, ParseIdError, SessionId};
pub use kind::SubscriptionKind;
pub use map::{KeyMode, MapPage, MapPolicy, MapPresence, MapQuery, MapStream, PageSizes};
pub use mark::Mark;
pub use payload::{KeptPayload, Payload};
pub use permissions::Permissions;
pub use publication::{ClientInfo, Epoch, Publication, StreamPosition, Tags};
pub use push::PushKinds;
pub use text::Text;
pub use token::TokenMark;
