//! What a channel's subscribers share, as values: the array that they stand in, their filters, the latest publication, and
//! deltas, which are made once for all of them.
//!
//! Nothing here knows a connection, a runtime or a lock; the hub of the node ties them to those.

pub mod deltas;
mod dense;
mod filters;
mod latest;

pub use dense::{Dense, Keyed};
pub use filters::{FilterId, Filters, TagFilters};
pub use latest::Latest;
