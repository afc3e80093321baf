//! What can be said about streams.

use std::time::Duration;

use crate::config::PostgresConfig;

/// The longest prefix of tables: names of PostgreSQL end after 63 bytes.
const PREFIX_MAX: usize = 20;

/// How streams are kept and read. `Default` has the values of the options.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamConfig {
    /// In front of the names of all tables and functions.
    pub table_prefix: TablePrefix,
    /// Whether data may be any bytes. Otherwise it has to be JSON, also what is known of connections.
    pub binary_data: bool,
    /// The most connections for publishing and reading, from 1. Two more are for what arrives.
    pub pool_size: usize,
    /// Into how many parts channels are divided, each of which has one writer at a time. The same at all nodes.
    pub num_shards: u8,
    /// How often it is looked for what is new.
    pub poll_interval: Duration,
    /// The most publications of a shard that are read at once, from 1.
    pub batch_size: u32,
    /// Look sooner when PostgreSQL tells that there is something new, by a connection of this place; `None` does not.
    pub notify: Option<PostgresConfig>,
    /// How often what is over is removed.
    pub cleanup_interval: Duration,
    /// How long a position is kept where neither a publication nor the node says.
    pub stream_retention: Duration,
    /// How long an idempotency key is remembered where a publication does not say.
    pub idempotent_result_ttl: Duration,
    /// For how many days partitions are made in advance, from 1.
    pub partition_lookahead_days: u16,
    /// After how many days partitions are dropped, whatever is in them; 0 for never.
    pub partition_retention_days: u16,
    /// Take the tables as they are, and fail if they are not ours.
    pub skip_schema_init: bool,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            table_prefix: TablePrefix::default(),
            binary_data: false,
            pool_size: 16,
            num_shards: 8,
            poll_interval: Duration::from_millis(100),
            batch_size: 1000,
            notify: None,
            cleanup_interval: Duration::from_secs(60),
            stream_retention: Duration::from_secs(24 * 60 * 60),
            idempotent_result_ttl: Duration::from_secs(300),
            partition_lookahead_days: 2,
            partition_retention_days: 7,
            skip_schema_init: false,
        }
    }
}

/// What names of tables and functions begin with: `cf` unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePrefix(String);

/// A text cannot be in front of names of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must begin with a letter and have lower-case letters, digits and _ only, 20 at most")]
pub struct PrefixError(());

impl TablePrefix {
    /// A prefix. Underscores at its end are left out, as one is put behind it anyhow.
    ///
    /// # Errors
    ///
    /// What it must be like.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let text = text.trim_end_matches('_');
        let begins = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !begins || text.len() > PREFIX_MAX || !text.bytes().all(is_fine) {
            return Err(PrefixError(()));
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TablePrefix {
    fn default() -> Self {
        Self("cf".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_names_that_need_no_quotes() {
        for (text, expected) in [("cf", "cf"), ("cf_", "cf"), ("a1_b__", "a1_b")] {
            assert_eq!(TablePrefix::parse(text).expect(text).as_str(), expected);
        }
        let long = "a".repeat(21);
        for wrong in ["", "_", "1a", "Cf", "a-b", "a b", "ä", "a\"", "a;", long.as_str()] {
            assert!(TablePrefix::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
