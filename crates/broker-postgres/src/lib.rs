//! What nodes keep together in PostgreSQL, 12 or newer: names until a time, of which revocations are made (PRO-34 to PRO-36).
//!
//! # How it is connected
//!
//! [`Postgres::connect`] opens a connection, makes the table if it is missing, and fails where that cannot be done. From then
//! on up to four connections are opened as they are needed and used again. Nothing runs beside the calls: one that finds its
//! connection lost opens another, once, so that a database that comes back is used with the next call. Of several hosts the
//! first counts that takes writes. A call ends after four seconds (reading all after 30), connecting
//! included, as a [transient](BrokerError::is_transient) failure.
//!
//! # What is kept
//!
//! All is in one table, [`TABLE`], in the first schema of the user's search path. The user must be allowed to create it there,
//! or to use the one that somebody made:
//!
//! ```sql
#![doc = include_str!("table.sql")]
//! ```
//!
//! `kind` says what for. Beside the records of a kind there is a row `<kind>.version`, with the number of changes and the
//! `life`, which is another where the table was made anew. Whoever changes something changes that row first, and so has its
//! lock until all is committed: changes are seen in the order of their numbers.

mod config;
mod database;
mod records;
mod tls;

pub use config::{DsnError, PostgresConfig};
pub use database::{ConnectError, Postgres};
pub use records::PostgresRecords;

/// What the table is called.
pub const TABLE: &str = "tourbillon_revocations";

#[cfg(doc)]
use tourbillon_broker::BrokerError;
