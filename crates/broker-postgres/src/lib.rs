//! What nodes keep together in PostgreSQL: streams, 13 or newer (PGS-01 to PGS-10), and names until a time, of which revocations
//! are made, 12 or newer (PRO-34 to PRO-36).
//!
//! # Streams
//!
//! [`PostgresBroker`] is a broker whose channels are in tables. Whoever may use the database publishes, in a transaction that
//! does other things too, and what is published is delivered if it commits:
//!
//! ```sql
//! BEGIN;
//! UPDATE orders SET state = 'paid' WHERE id = 7;
//! SELECT * FROM cf_stream_publish('orders:7', '{"state": "paid"}', p_history_size => 10, p_history_ttl => '1 hour');
//! COMMIT;
//! ```
//!
//! `cf_stream_publish_strict` fails where the publication is superfluous; `cf_stream_publish_join`, `cf_stream_publish_leave`,
//! `cf_stream_remove_history` and `cf_stream_top_position` do what they say. With binary data all is called
//! `cf_binary_stream_*`; both are made. What is there is in `stream/tables.sql` and `stream/functions.sql`.
//!
//! # Messages between nodes
//!
//! [`PostgresControl`] carries them, in tables of its own (CTL-01), for brokers that do not.
//!
//! # How records are connected
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
mod control;
mod database;
mod records;
mod session;
mod stream;
mod table;
mod tls;

pub use config::{DsnError, PostgresConfig};
pub use control::{ControlConfig, PostgresControl};
pub use database::{ConnectError, Postgres};
pub use records::PostgresRecords;
pub use session::{Failure, PostgresSession};
pub use stream::{PostgresBroker, PrefixError, StreamConfig, TablePrefix};
pub use tokio_postgres;

/// What the table is called.
pub const TABLE: &str = "tourbillon_revocations";

#[cfg(doc)]
use tourbillon_broker::BrokerError;
