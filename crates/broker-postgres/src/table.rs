//! Tables that grow by the day, which all nodes read as they do.

pub(crate) mod names;
pub(crate) mod notify;
pub(crate) mod outbox;
pub(crate) mod schema;
pub(crate) mod upkeep;
