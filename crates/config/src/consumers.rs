//! The options of consumers: `consumers` (CONS-01).

use serde::{Deserialize, Serialize};
use tourbillon::postgres::PostgresConfig;
use tourbillon_consumers::postgres::{OutboxConfig, Table};

use crate::check::Checker;
use crate::client_tls::ClientTls;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{Options, options};
use crate::postgres::places;
use crate::secret::SecretText;

/// The most partitions of an outbox: each has a connection of its own.
const PARTITIONS: u32 = 1024;

/// Products of Centrifugo's that are not there yet.
const LATER: [&str; 6] =
    ["kafka", "nats_jetstream", "redis_stream", "google_pub_sub", "aws_sqs", "azure_service_bus"];

options! {
    /// An element of `consumers`.
    NamedConsumer {
        /// The consumer's name: at least two of letters, digits and `_`.
        name: String = String::new(),
        /// Whether it consumes.
        enabled: bool = false,
        /// From what: `postgresql`.
        r#type: String = String::new(),
        /// An outbox in PostgreSQL.
        postgresql: ConsumerPostgres = ConsumerPostgres::default(),
    }
}

options! {
    /// `postgresql` of a consumer.
    ConsumerPostgres {
        /// Where it is: `postgresql://user:password@host:port/database`. `?sslmode=` is `disable`, `prefer` (the default) or
        /// `require`; with these two any certificate will do, as with PostgreSQL's own clients.
        dsn: SecretText = SecretText::default(),
        /// The table, perhaps with its schema before it.
        outbox_table_name: String = String::new(),
        /// How many partitions there are, from 0. Each has a connection.
        num_partitions: u32 = 1,
        /// How many rows are taken at once.
        partition_select_limit: u32 = 100,
        /// How long to wait when there are no more rows.
        partition_poll_interval: GoDuration = GoDuration::from_millis(300),
        /// The channel on which new rows are told of (`NOTIFY`) by the number of their partition; empty for none.
        partition_notification_channel: String = String::new(),
        /// Where it is listened to; empty for `dsn`.
        partition_notification_dsn: SecretText = SecretText::default(),
        /// TLS that is sure of the server. Without it, `sslmode` counts.
        tls: ClientTls = ClientTls::default(),
        /// Nodes do not wait for the lock of a partition, but ask again after `partition_poll_interval`.
        use_try_lock: bool = false,
    }
}

/// A consumer that is switched on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerSettings {
    /// Its name.
    pub name: String,
    /// Where messages come from.
    pub source: ConsumerSource,
}

/// Where a consumer's messages come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConsumerSource {
    /// An outbox in PostgreSQL.
    Postgres(Box<OutboxConfig>),
}

/// The consumers that are switched on. Names and types of the others are checked, too.
pub(crate) fn consumers(check: &mut Checker, options: &Options) -> Vec<ConsumerSettings> {
    let mut all = Vec::new();
    for (at, one) in options.consumers.iter().enumerate() {
        let (path, name) = (format!("consumers[{at}]"), &one.name);
        if !is_name(name) {
            check.error(&format!("{path}.name"), format!("{name:?} must match ^[a-zA-Z0-9_]{{2,}}$"));
        } else if options.consumers.iter().take(at).any(|other| other.name == *name) {
            check.error(&format!("{path}.name"), format!("there is another consumer {name:?}"));
        }
        let source = match one.r#type.as_str() {
            "postgresql" if one.enabled => postgres(check, &format!("{path}.postgresql"), &one.postgresql)
                .map(|config| ConsumerSource::Postgres(Box::new(config))),
            "postgresql" => None,
            later if LATER.contains(&later) => {
                if one.enabled {
                    check.error(&format!("{path}.type"), format!("{later:?} is not implemented yet"));
                }
                None
            }
            other => {
                check.error(&format!("{path}.type"), format!("{other:?} must be \"postgresql\""));
                None
            }
        };
        all.extend(source.map(|source| ConsumerSettings { name: name.clone(), source }));
    }
    all
}

fn is_name(name: &str) -> bool {
    name.len() >= 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn postgres(check: &mut Checker, path: &str, options: &ConsumerPostgres) -> Option<OutboxConfig> {
    let channel = &options.partition_notification_channel;
    let told = ("partition_notification_dsn", &options.partition_notification_dsn);
    let told = (!channel.is_empty()).then_some(told);
    let [database, told_by] = places(check, path, &options.dsn, &options.tls, told);
    if channel.contains('\0') || channel.len() > 63 {
        check.error(&format!("{path}.partition_notification_channel"), "cannot be the name of a channel");
    }
    let table = &options.outbox_table_name;
    let table = check.ok(&format!("{path}.outbox_table_name"), Table::parse(table));
    if options.num_partitions > PARTITIONS {
        check.error(&format!("{path}.num_partitions"), format!("must be at most {PARTITIONS}"));
    }
    let poll = check.duration(&format!("{path}.partition_poll_interval"), options.partition_poll_interval);
    let mut config = OutboxConfig::new(database?, table?);
    // Zero is the usual one (CONF-09).
    let given = |given: u32, usual: u32| if given == 0 { usual } else { given };
    config.partitions = given(options.num_partitions, config.partitions);
    config.limit = given(options.partition_select_limit, config.limit);
    config.poll = if poll.is_zero() { config.poll } else { poll };
    config.try_lock = options.use_try_lock;
    config.notifications = told_by.map(|database| (database, channel.clone()));
    Some(config)
}

/// What of it is allowed and may surprise.
pub(crate) fn warnings(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    for (at, one) in options.consumers.iter().enumerate() {
        let path = format!("consumers[{at}]");
        if !one.enabled {
            warnings.push(format!("{path} has no effect: it is not enabled"));
            continue;
        }
        if one.r#type == "postgresql" {
            warnings.extend(postgres_warnings(&format!("{path}.postgresql"), &one.postgresql));
        }
    }
    warnings
}

fn postgres_warnings(path: &str, options: &ConsumerPostgres) -> Vec<String> {
    let ConsumerPostgres { dsn, tls, .. } = options;
    let is_unsure = PostgresConfig::parse(dsn.expose()).is_ok_and(|config| config.is_unsure());
    let is_told = !options.partition_notification_channel.is_empty();
    let warnings = [
        (
            !tls.enabled && is_unsure,
            "dsn: sslmode=require takes any certificate: whoever is between can read and change everything",
        ),
        (
            tls.enabled && tls.insecure_skip_verify,
            "tls.insecure_skip_verify: whoever is between can read and change everything",
        ),
        (
            !is_told && !options.partition_notification_dsn.is_empty(),
            "partition_notification_dsn has no effect: there is no partition_notification_channel",
        ),
    ];
    warnings.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| format!("{path}.{text}")).collect()
}
