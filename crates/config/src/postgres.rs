//! PostgreSQL as the broker and between nodes: `broker.postgres` (PGS-01 to PGS-10) and `controller` (CTL-01, ENG-05).

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tourbillon::postgres::{ControlConfig, PostgresConfig, StreamConfig, TablePrefix};

use crate::check::Checker;
use crate::client_tls::ClientTls;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{Options, options};
use crate::nats::rules;
use crate::secret::SecretText;

const PATH: &str = "broker.postgres";
const CONTROL: &str = "controller.postgres";

/// The most days.
const DAYS_MAX: u16 = 3650;

options! {
    /// `broker.postgres`.
    BrokerPostgres {
        /// Where it is: `postgresql://user:password@host:port/database`. `?sslmode=` is `disable`, `prefer` (the default) or
        /// `require`; with these two any certificate will do, as with PostgreSQL's own clients.
        dsn: SecretText = SecretText::default(),
        /// TLS that is sure of the server. Without it, `sslmode` counts.
        tls: ClientTls = ClientTls::default(),
        /// The most connections for publishing; zero for 16. Four more are for reading, and two for what arrives.
        pool_size: usize = 16,
        /// Into how many parts channels are divided, from 1 to 255, each of which has one writer at a time; zero for 8. It is
        /// kept in the database, and a node that says something else does not start.
        num_shards: u8 = 8,
        /// How often what is over is removed; zero for 1m.
        cleanup_interval: GoDuration = GoDuration::from_secs(60),
        /// How long an idempotency key is remembered where a publication does not say; zero for 5m.
        idempotent_result_ttl: GoDuration = GoDuration::from_secs(300),
        /// Data may be any bytes; otherwise it must be JSON, and so must what is known of connections.
        binary_data: bool = false,
        /// How long a position is kept where no option of history says; zero for 24h.
        stream_retention: GoDuration = GoDuration::from_secs(24 * 60 * 60),
        /// PostgreSQL tells nodes that there is something new, so that they look sooner.
        use_notify: bool = false,
        /// Where nodes listen for that, if `dsn` is a pooler's, with which nobody can listen; empty for `dsn`.
        notify_dsn: SecretText = SecretText::default(),
        /// What the names of tables and functions begin with.
        table_prefix: String = "cf".to_owned(),
        /// Leave tables and functions as they are, and do not start if they are not those of this release.
        skip_schema_init: bool = false,
        /// How nodes read what is new.
        outbox: PostgresOutbox = PostgresOutbox::default(),
        /// For how many days partitions are made in advance; zero for 2.
        partition_lookahead_days: u16 = 2,
        /// After how many days partitions are dropped, with what was published then; negative for never.
        partition_retention_days: i32 = 7,
    }
}

options! {
    /// `broker.postgres.outbox`.
    PostgresOutbox {
        /// How often it is looked for what is new; zero for 100ms.
        poll_interval: GoDuration = GoDuration::from_millis(100),
        /// The most publications of a shard that are read at once; zero for 1000.
        batch_size: u32 = 1000,
    }
}

options! {
    /// `controller`.
    Controller {
        /// Messages between nodes go another way than the broker's, if it has one.
        enabled: bool = false,
        /// `postgres`.
        r#type: String = String::new(),
        /// PostgreSQL, 13 or newer, with type `postgres`.
        postgres: ControllerPostgres = ControllerPostgres::default(),
    }
}

options! {
    /// `controller.postgres`.
    ControllerPostgres {
        /// Where it is, as in `broker.postgres.dsn`.
        dsn: SecretText = SecretText::default(),
        /// TLS that is sure of the server. Without it, `sslmode` counts.
        tls: ClientTls = ClientTls::default(),
        /// The most connections for sending; zero for 8. Two more are for what arrives.
        pool_size: usize = 8,
        /// Into how many parts messages are divided, from 1 to 255, each of which has one sender at a time; zero for 1. It is
        /// kept in the database, and a node that says something else does not start.
        num_shards: u8 = 1,
        /// What the names of tables and functions begin with.
        table_prefix: String = "cf".to_owned(),
        /// How often it is looked for what is new; zero for 50ms.
        poll_interval: GoDuration = GoDuration::from_millis(50),
        /// PostgreSQL tells nodes that there is something new, so that they look sooner.
        use_notify: bool = false,
        /// Where nodes listen for that, if `dsn` is a pooler's, with which nobody can listen; empty for `dsn`.
        notify_dsn: SecretText = SecretText::default(),
        /// After how many days partitions are dropped; negative for never.
        partition_retention_days: i32 = 1,
        /// For how many days partitions are made in advance; zero for 2.
        partition_lookahead_days: u16 = 2,
        /// How often partitions are looked after; zero for 1m.
        partition_cleanup_interval: GoDuration = GoDuration::from_secs(60),
        /// The most messages of a shard that are read at once; zero for 1000.
        batch_size: u32 = 1000,
        /// Leave tables and functions as they are, and do not start if they are not those of this release.
        skip_schema_init: bool = false,
    }
}

/// Where a PostgreSQL is, and where one listens to what it tells of, if one does: at the same place, unless there is another
/// for it. `None` with an error.
pub(crate) fn places(
    check: &mut Checker,
    path: &str,
    dsn: &SecretText,
    tls: &ClientTls,
    told: Option<(&str, &SecretText)>,
) -> [Option<PostgresConfig>; 2] {
    let tls = tls.config_for_name(check, &format!("{path}.tls")).map(Arc::new);
    let mut place = |option: &str, dsn: &SecretText| {
        let path = format!("{path}.{option}");
        if dsn.is_empty() {
            check.error(&path, "must be set");
            return None;
        }
        let config = check.ok(&path, PostgresConfig::parse(dsn.expose()))?;
        match &tls {
            Some(tls) => check.ok(&path, config.with_tls(tls.clone())),
            None => Some(config),
        }
    };
    let config = place("dsn", dsn);
    let told = match told {
        Some((_, dsn)) if dsn.is_empty() => config.clone(),
        Some((option, dsn)) => place(option, dsn),
        None => None,
    };
    [config, told]
}

/// Takes a duration; zero is the usual one.
fn duration(check: &mut Checker, path: &str, duration: GoDuration, into: &mut Duration) {
    let duration = check.duration(path, duration);
    if !duration.is_zero() {
        *into = duration;
    }
}

/// Takes a number; zero is the usual one.
fn number<N: PartialOrd + Default + Display>(
    check: &mut Checker,
    path: &str,
    number: N,
    most: N,
    into: &mut N,
) {
    if number > most {
        check.error(path, format!("must be at most {most}"));
    } else if number != N::default() {
        *into = number;
    }
}

/// Takes the days after which partitions are dropped: 0 for never, which is negative in options, where zero is the same as
/// none.
fn retention(check: &mut Checker, path: &str, days: i32, into: &mut u16) {
    *into = 0;
    number(check, path, u16::try_from(days.max(0)).unwrap_or(u16::MAX), DAYS_MAX, into);
}

/// How PostgreSQL is used; `None` with an error.
pub(crate) fn config(check: &mut Checker, options: &Options) -> Option<(PostgresConfig, StreamConfig)> {
    let it = &options.broker.postgres;
    let at = |name: &str| format!("{PATH}.{name}");
    let mut to = StreamConfig::default();
    number(check, &at("pool_size"), it.pool_size, 1000, &mut to.pool_size);
    number(check, &at("num_shards"), it.num_shards, u8::MAX, &mut to.num_shards);
    number(check, &at("outbox.batch_size"), it.outbox.batch_size, 100_000, &mut to.batch_size);
    let (ahead, into) = (it.partition_lookahead_days, &mut to.partition_lookahead_days);
    number(check, &at("partition_lookahead_days"), ahead, DAYS_MAX, into);
    let (days, into) = (it.partition_retention_days, &mut to.partition_retention_days);
    retention(check, &at("partition_retention_days"), days, into);
    duration(check, &at("outbox.poll_interval"), it.outbox.poll_interval, &mut to.poll_interval);
    duration(check, &at("cleanup_interval"), it.cleanup_interval, &mut to.cleanup_interval);
    duration(check, &at("stream_retention"), it.stream_retention, &mut to.stream_retention);
    duration(check, &at("idempotent_result_ttl"), it.idempotent_result_ttl, &mut to.idempotent_result_ttl);
    let prefix = check.ok(&at("table_prefix"), TablePrefix::parse(&it.table_prefix));
    let told = it.use_notify.then_some(("notify_dsn", &it.notify_dsn));
    let [config, notify] = places(check, PATH, &it.dsn, &it.tls, told);
    to.notify = notify;
    (to.binary_data, to.skip_schema_init) = (it.binary_data, it.skip_schema_init);
    to.table_prefix = prefix?;
    kept_long_enough(check, options);
    Some((config?, to))
}

/// What carries messages between nodes; `None` where the broker does, or with an error.
pub(crate) fn control(check: &mut Checker, options: &Options) -> Option<(PostgresConfig, ControlConfig)> {
    let Controller { enabled, r#type, postgres: it } = &options.controller;
    if !enabled {
        return None;
    }
    if r#type != "postgres" {
        check.error("controller.type", format!("{type:?} must be \"postgres\""));
        return None;
    }
    let at = |name: &str| format!("{CONTROL}.{name}");
    let mut to = ControlConfig::default();
    number(check, &at("pool_size"), it.pool_size, 1000, &mut to.pool_size);
    number(check, &at("num_shards"), it.num_shards, u8::MAX, &mut to.num_shards);
    number(check, &at("batch_size"), it.batch_size, 100_000, &mut to.batch_size);
    let (ahead, into) = (it.partition_lookahead_days, &mut to.partition_lookahead_days);
    number(check, &at("partition_lookahead_days"), ahead, DAYS_MAX, into);
    let (days, into) = (it.partition_retention_days, &mut to.partition_retention_days);
    retention(check, &at("partition_retention_days"), days, into);
    duration(check, &at("poll_interval"), it.poll_interval, &mut to.poll_interval);
    let (interval, into) = (it.partition_cleanup_interval, &mut to.partition_cleanup_interval);
    duration(check, &at("partition_cleanup_interval"), interval, into);
    let prefix = check.ok(&at("table_prefix"), TablePrefix::parse(&it.table_prefix));
    let told = it.use_notify.then_some(("notify_dsn", &it.notify_dsn));
    let [config, notify] = places(check, CONTROL, &it.dsn, &it.tls, told);
    to.notify = notify;
    to.skip_schema_init = it.skip_schema_init;
    to.table_prefix = prefix?;
    Some((config?, to))
}

/// What is dropped is in no history.
fn kept_long_enough(check: &mut Checker, options: &Options) {
    let days = options.broker.postgres.partition_retention_days;
    let kept = Duration::from_secs(u64::try_from(days).unwrap_or_default() * 24 * 60 * 60);
    for (path, rules) in rules(options) {
        let is_longer = rules.history_ttl.to_std().is_some_and(|ttl| ttl > kept);
        if days > 0 && rules.history_size > 0 && is_longer {
            let message =
                format!("is longer than {PATH}.partition_retention_days keeps anything: {days} days");
            check.error(&format!("{path}.history_ttl"), message);
        }
    }
}

/// What of it is allowed and may surprise; only where it is the broker.
pub(crate) fn warnings(options: &Options) -> Vec<String> {
    let BrokerPostgres { dsn, notify_dsn, use_notify, tls, .. } = &options.broker.postgres;
    let mut warnings = surprises(PATH, [dsn, notify_dsn], *use_notify, tls);
    if !options.controller.enabled {
        let text =
            "nodes do not know of each other: commands reach connections of one node only (controller)";
        warnings.push(text.to_owned());
    }
    warnings
}

/// What of messages between nodes is allowed and may surprise.
pub(crate) fn warnings_of_control(options: &Options) -> Vec<String> {
    let Controller { enabled, postgres, .. } = &options.controller;
    let ControllerPostgres { dsn, notify_dsn, use_notify, tls, .. } = postgres;
    if *enabled { surprises(CONTROL, [dsn, notify_dsn], *use_notify, tls) } else { Vec::new() }
}

fn surprises(path: &str, [dsn, notify_dsn]: [&SecretText; 2], notify: bool, tls: &ClientTls) -> Vec<String> {
    let mut warnings = Vec::new();
    if !notify_dsn.is_empty() && !notify {
        warnings.push(format!("{path}.notify_dsn has no effect without {path}.use_notify"));
    }
    let of = |dsn: &SecretText| PostgresConfig::parse(dsn.expose()).is_ok_and(|config| config.is_unsure());
    for (option, is_so) in [
        ("dsn: sslmode=require takes any certificate", !tls.enabled && of(dsn)),
        ("notify_dsn: sslmode=require takes any certificate", !tls.enabled && notify && of(notify_dsn)),
        ("tls.insecure_skip_verify", tls.enabled && tls.insecure_skip_verify),
    ] {
        if is_so {
            warnings.push(format!("{path}.{option}: whoever is between can read and change everything"));
        }
    }
    warnings
}
