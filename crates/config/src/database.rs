//! The database: `database`, in which revocations may be kept.

use serde::{Deserialize, Serialize};
use tourbillon::postgres::PostgresConfig;

use crate::check::Checker;
use crate::client_tls::ClientTls;
use crate::describe::{Describe, Texts, path_of};
use crate::model::{Options, options};
use crate::postgres;
use crate::secret::SecretText;

const PATH: &str = "database.postgresql";

options! {
    /// `database`.
    Database {
        /// Whether there is one.
        enabled: bool = false,
        /// PostgreSQL, 12 or newer.
        postgresql: DatabasePostgres = DatabasePostgres::default(),
    }
}

options! {
    /// `database.postgresql`.
    DatabasePostgres {
        /// Where it is: `postgresql://user:password@host:port/database`, with several hosts where it has replicas.
        /// `?sslmode=` is `disable`, `prefer` (the default) or `require`; with these two any certificate will do, as with
        /// PostgreSQL's own clients.
        dsn: SecretText = SecretText::default(),
        /// TLS that is sure of the server, an option of our own. Without it, `sslmode` counts.
        tls: ClientTls = ClientTls::default(),
    }
}

/// Whether something is kept there.
fn is_used(options: &Options) -> bool {
    let kinds = [&options.user_block, &options.token_revoke, &options.user_tokens_invalidate];
    kinds.iter().any(|kind| kind.storage_type == "database")
}

/// Where the database is; `None` where there is none, where nothing is kept there, or with an error.
pub(crate) fn config(check: &mut Checker, options: &Options) -> Option<PostgresConfig> {
    let Database { enabled, postgresql } = &options.database;
    if !enabled {
        return None;
    }
    let [config, _] = postgres::places(check, PATH, &postgresql.dsn, &postgresql.tls, None);
    let config = config?;
    is_used(options).then_some(config)
}

/// What of it is allowed and may surprise.
pub(crate) fn warnings(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let Database { enabled, postgresql: DatabasePostgres { dsn, tls } } = &options.database;
    if !enabled {
        return warnings;
    }
    if !is_used(options) {
        warnings.push("database: nothing is kept there, and it is not connected to".to_owned());
    }
    let is_unsure = PostgresConfig::parse(dsn.expose()).is_ok_and(|config| config.is_unsure());
    for (option, is_so) in [
        ("dsn: sslmode=require takes any certificate", !tls.enabled && is_unsure),
        ("tls.insecure_skip_verify", tls.enabled && tls.insecure_skip_verify),
    ] {
        if is_so {
            warnings.push(format!("{PATH}.{option}: whoever is between can read and change everything"));
        }
    }
    warnings
}
