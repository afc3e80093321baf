//! What streams and the SQL functions do (PGS-01 to PGS-10).

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::conformance::Log;
use tourbillon_broker::{
    Broker, EventSink, History, HistoryPolicy, HistoryQuery, Publish, Published, Suppressed,
};
use tourbillon_broker_postgres::{PostgresBroker, StreamConfig, TablePrefix};
use tourbillon_types::{Channel, Payload};

use crate::server::{PATIENCE, Server, block_on, config};

/// Where what is published must be JSON, as nothing else is said.
pub(crate) fn json() -> StreamConfig {
    let mut streams = StreamConfig::default();
    streams.poll_interval = Duration::from_millis(5);
    streams
}

async fn connect(server: &Server, streams: StreamConfig) -> Result<PostgresBroker, String> {
    let connected = PostgresBroker::connect(config(&server.dsn("postgres")), streams).await;
    connected.map_err(|error| error.to_string())
}

/// A broker that runs.
pub(crate) async fn run(server: &Server, streams: StreamConfig, events: EventSink) -> Arc<PostgresBroker> {
    let broker = Arc::new(connect(server, streams).await.expect("connected"));
    Broker::attach(&*broker, events);
    let running = broker.clone();
    tokio::spawn(async move { Broker::run(&*running, Box::pin(std::future::pending())).await });
    broker
}

/// A node that hears of the channels `a` and `b`.
pub(crate) async fn node(server: &Server, streams: StreamConfig) -> (Arc<Log>, Arc<PostgresBroker>) {
    let log = Arc::new(Log::default());
    let broker = run(server, streams, EventSink::new(log.clone())).await;
    Broker::subscribe(&*broker, &[a(), Channel::from("b")]).await.expect("subscribed");
    (log, broker)
}

/// Waits for something that is told to this process.
pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 5 {
        if is() {
            return;
        }
        // tidy: allow-sleep another process has no event for us
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

pub(crate) fn a() -> Channel {
    Channel::from("a")
}

pub(crate) fn kept(data: &str) -> Publish {
    let mut publish = Publish::new(a(), Payload::from(data.as_bytes().to_vec()));
    let minute = Duration::from_secs(60);
    publish.options.history = Some(HistoryPolicy { size: 10, ttl: minute, meta_ttl: minute });
    publish
}

pub(crate) async fn publish(broker: &PostgresBroker, publish: Publish) -> Published {
    Broker::publish(broker, publish).await.expect("published")
}

async fn read(broker: &PostgresBroker) -> Vec<String> {
    let page = History::history(broker, &a(), &HistoryQuery::default(), Duration::ZERO).await.expect("read");
    let text = |data: &Payload| String::from_utf8(data.as_ref().to_vec()).expect("text");
    page.publications.iter().map(|publication| text(&publication.data)).collect()
}

/// A transaction of an application.
pub(crate) async fn application(server: &Server) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(&server.dsn("postgres"), tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("connected");
    tokio::spawn(connection);
    client
}

#[test]
fn pgs_02_what_an_application_publishes_arrives_everywhere_when_it_commits() {
    block_on(async {
        let server = Server::start();
        let ((one, broker), (two, _)) = (node(&server, json()).await, node(&server, json()).await);
        let client = application(&server).await;
        client
            .batch_execute("BEGIN; SELECT cf_stream_publish('a', '\"never\"'); ROLLBACK")
            .await
            .expect("undone");
        client
            .batch_execute(
                "BEGIN; SELECT cf_stream_publish('a', '{\"n\": 1}', p_tags => '{\"k\": \"v\"}', p_client_id => 'app', \
                 p_user_id => 'ann', p_conn_info => '[1]', p_history_size => 5, p_history_ttl => '1 minute'); \
                 SELECT cf_stream_publish_join('a', 'app', 'ann'); SELECT cf_stream_publish_leave('b', 'app', 'ann')",
            )
            .await
            .expect("published");
        // Others go on meanwhile, in other shards.
        let other = Publish::new(Channel::from("c"), Payload::from("3"));
        let shards = "SELECT abs(hashtext('a')::bigint) % 8, abs(hashtext('b')::bigint) % 8, abs(hashtext('c')::bigint) % 8";
        assert_eq!(server.psql(shards), "1|0|2");
        publish(&broker, other).await;
        assert!(one.is_empty() && two.is_empty() && read(&broker).await.is_empty());
        client.batch_execute("COMMIT").await.expect("committed");
        eventually("it arrives", || one.len() == 3 && two.len() == 3).await;
        for log in [&one, &two] {
            let [publication] = &log.publications("a")[..] else { panic!("one publication") };
            assert_eq!(publication.data.as_ref(), br#"{"n": 1}"#);
            assert_eq!((publication.offset, publication.epoch.as_str().len()), (1, 8));
            assert_eq!(publication.tags.as_deref().map(|tags| tags["k"].clone()).as_deref(), Some("v"));
            let info = publication.info.as_deref().expect("a publisher");
            assert_eq!((info.user.as_str(), info.client), ("ann", None));
            assert_eq!((info.connection.as_ref(), info.channel.as_ref()), (&b"[1]"[..], &b""[..]));
            assert!(publication.time > 1_700_000_000_000);
        }
        assert_eq!(read(&broker).await, [r#"{"n": 1}"#]);
    });
}

#[test]
fn pgs_03_what_is_committed_first_arrives_first() {
    block_on(async {
        let server = Server::start();
        let (log, broker) = node(&server, json()).await;
        let client = application(&server).await;
        client.batch_execute("BEGIN; SELECT cf_stream_publish('a', '1')").await.expect("published");
        let second = tokio::spawn({
            let broker = broker.clone();
            async move { publish(&broker, kept("2")).await }
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        eventually("the second one waits for the first one", || server.psql(waits) == "1").await;
        assert!(log.is_empty());
        client.batch_execute("COMMIT").await.expect("committed");
        assert_eq!(second.await.expect("done").position.offset, 2);
        eventually("both arrive", || log.len() == 2).await;
        assert_eq!(log.data("a"), ["1", "2"]);
    });
}

#[test]
fn pgs_03_a_transaction_that_does_not_end_is_a_passing_failure_for_others_and_they_leave_nothing_behind() {
    block_on(async {
        let server = Server::start();
        let (log, broker) = node(&server, json()).await;
        let client = application(&server).await;
        client.batch_execute("BEGIN; SELECT cf_stream_publish('a', '1')").await.expect("published");
        let failed = Broker::publish(&*broker, kept("2")).await.expect_err("somebody has the shard");
        assert!(failed.is_transient(), "{failed:?}");
        client.batch_execute("COMMIT").await.expect("committed");
        publish(&broker, kept("3")).await;
        eventually("both arrive", || log.len() == 2).await;
        assert_eq!(log.data("a"), ["1", "3"]);
    });
}

#[test]
fn pgs_04_hid_94_95_sql_functions_have_defaults_and_remember_what_was_said() {
    block_on(async {
        let server = Server::start();
        let (log, broker) = node(&server, json()).await;
        let meta =
            |column: &str| server.psql(&format!("SELECT {column} FROM cf_stream_meta WHERE channel = 'a'"));
        let call = |args: &str| server.psql(&format!("SELECT * FROM cf_stream_publish('a', '1'{args})"));
        let lives =
            "extract(epoch FROM date_trunc('minute', expires_at - updated_at + interval '1 second'))::int";
        assert!(call("").starts_with("1|1|"), "an offset, though nothing was said of a history");
        assert_eq!(meta(&format!("history_ttl, history_size, {lives}")), "00:01:00|100|604800");
        call(", p_history_ttl => '2 hours', p_history_size => 3");
        assert_eq!(meta(&format!("history_ttl, history_size, {lives}")), "02:00:00|3|7200");
        call(", p_meta_ttl => '3 hours'");
        assert_eq!(meta(&format!("history_ttl, history_size, {lives}")), "02:00:00|3|10800");
        call(", p_meta_ttl => '-1 second', p_history_ttl => '1 hour'");
        assert_eq!(meta("history_ttl, history_size, expires_at"), "01:00:00|3|infinity");
        call(", p_idempotency_key => 'k'");
        let noted = "SELECT result_offset, round(extract(epoch FROM expires_at - now()) / 60) FROM cf_stream_idempotency";
        assert_eq!(server.psql(noted), "5|5");
        eventually("all arrive", || log.len() == 5).await;
        assert_eq!(read(&broker).await.len(), 3, "as was said once");
        let epoch = meta("epoch");
        assert_eq!(server.psql("SELECT * FROM cf_stream_top_position('a')"), format!("5|{epoch}"));
        assert_eq!(server.psql("SELECT * FROM cf_stream_top_position('never')"), "0|");
        server.psql("SELECT cf_stream_remove_history('a')");
        assert!(read(&broker).await.is_empty());
        // Those that were too old for it do not come back with a larger one.
        server.psql("UPDATE cf_stream_meta SET history_size = 100");
        assert!(read(&broker).await.is_empty());
        assert_eq!(
            server.psql("SELECT count(*) FROM cf_stream WHERE kind = 3"),
            "3",
            "no others are touched"
        );
        assert_eq!(server.psql("SELECT * FROM cf_stream_top_position('a')"), format!("5|{epoch}"));
    });
}

#[test]
fn pgs_05_keys_are_looked_at_before_versions_and_strict_calls_fail() {
    block_on(async {
        let server = Server::start();
        let (log, broker) = node(&server, json()).await;
        let call = |args: &str| {
            server.psql(&format!("SELECT out_channel_offset, out_suppressed, out_suppress_reason FROM cf_stream_publish('a', '1', {args})"))
        };
        assert_eq!(call("p_version => 5, p_idempotency_key => 'k'"), "1|f|");
        assert_eq!(call("p_version => 6"), "2|f|");
        assert_eq!(call("p_version => 1, p_idempotency_key => 'k'"), "1|t|idempotency");
        assert_eq!(call("p_version => 6, p_idempotency_key => 'l'"), "2|t|version");
        assert_eq!(call("p_version => 1, p_version_epoch => 'other', p_idempotency_key => 'l'"), "3|f|");
        let client = application(&server).await;
        let strict =
            client.batch_execute("SELECT cf_stream_publish_strict('a', '1', p_idempotency_key => 'k')").await;
        let said = strict.expect_err("used").as_db_error().expect("of the function").message().to_owned();
        assert_eq!(said, "publish suppressed: idempotency");
        let strict = "SELECT out_channel_offset FROM cf_stream_publish_strict('a', '1')";
        assert_eq!(server.psql(strict), "4");
        let mut again = kept("1");
        "k".clone_into(&mut again.options.idempotency_key);
        assert_eq!(publish(&broker, again).await.suppressed, Some(Suppressed::Idempotency));
        eventually("all arrive", || log.len() == 4).await;
        // What cannot be delivered is refused where it is made.
        for wrong in
            ["'a', NULL", "'a', '1', p_tags => '[]'", "'a', '1', p_tags => '{\"k\": 1}'", "NULL, '1'"]
        {
            let refused = client.batch_execute(&format!("SELECT cf_stream_publish({wrong})")).await;
            assert!(refused.is_err_and(|error| error.as_db_error().is_some()), "{wrong}");
        }
    });
}

#[test]
fn pgs_06_small_batches_lose_nothing_and_what_was_there_before_is_not_delivered() {
    block_on(async {
        let server = Server::start();
        let (before, broker) = node(&server, json()).await;
        publish(&broker, kept("0")).await;
        let mut small = json();
        small.batch_size = 2;
        small.poll_interval = Duration::from_secs(3600);
        small.notify = Some(config(&server.dsn("postgres")));
        let (log, _) = node(&server, small).await;
        let listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
        eventually("somebody listens", || server.psql(listens) == "1").await;
        server.psql("SELECT cf_stream_publish('a', to_jsonb(n)) FROM generate_series(1, 25) n");
        eventually("all arrive", || log.len() == 25 && before.len() == 26).await;
        assert_eq!(log.data("a"), (1..=25).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn pgs_07_what_is_over_is_removed_and_days_to_come_are_prepared() {
    block_on(async {
        let server = Server::start();
        let mut streams = json();
        streams.partition_lookahead_days = 3;
        streams.partition_retention_days = 1;
        streams.cleanup_interval = Duration::from_millis(20);
        let (log, broker) = node(&server, streams).await;
        let mut keyed = kept("1");
        "k".clone_into(&mut keyed.options.idempotency_key);
        publish(&broker, keyed).await;
        eventually("it arrives", || log.len() == 1).await;
        let days = "SELECT string_agg((right(relname, 10) = to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYY_MM_DD'))::text, \
             '' ORDER BY n) FROM pg_inherits JOIN pg_class ON oid = inhrelid JOIN generate_series(-9, 9) n \
             ON right(relname, 10) = to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYY_MM_DD') WHERE inhparent = 'cf_stream'::regclass";
        let rows = "SELECT (SELECT count(*) FROM cf_stream_meta), (SELECT count(*) FROM cf_stream_idempotency), (SELECT count(*) FROM cf_stream)";
        assert_eq!((server.psql(days).as_str(), server.psql(rows).as_str()), ("truetruetruetrue", "1|1|1"));
        server.psql(
            "CREATE TABLE cf_stream_2020_01_01 PARTITION OF cf_stream FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00'); \
             INSERT INTO cf_stream (channel, channel_offset, kind, created_at) VALUES ('a', 9, 3, now() - interval '2 minutes'), ('a', 9, 0, '2020-01-01 12:00:00+00')",
        );
        eventually("what is over is gone", || server.psql(rows) == "1|1|1").await;
        server.psql("UPDATE cf_stream_meta SET expires_at = now(); UPDATE cf_stream_idempotency SET expires_at = now()");
        eventually("what is over is gone", || server.psql(rows) == "0|0|1").await;
        assert_eq!(server.psql("SELECT to_regclass('cf_stream_2020_01_01') IS NULL"), "t");
    });
}

#[test]
fn pgs_08_the_schema_is_made_or_left_alone_and_a_newer_one_is_refused() {
    block_on(async {
        let server = Server::start();
        let mut alone = json();
        alone.skip_schema_init = true;
        let told = connect(&server, alone.clone()).await.expect_err("there is nothing");
        assert!(told.contains("the tables cf_stream_* are missing"), "{told}");
        assert_eq!(server.psql("SELECT to_regclass('cf_stream') IS NULL"), "t");
        // Several at once.
        let (one, two) = futures_util::future::join(connect(&server, json()), connect(&server, json())).await;
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        assert!(connect(&server, alone.clone()).await.is_ok());
        // Functions of an older release are replaced.
        server.psql("UPDATE cf_stream_schema_version SET schema_version = 0 WHERE id = 2; DROP FUNCTION cf_stream_top_position");
        assert!(connect(&server, alone.clone()).await.is_err());
        assert!(connect(&server, json()).await.is_ok());
        assert_eq!(server.psql("SELECT * FROM cf_stream_top_position('a')"), "0|");
        let mut other = json();
        other.num_shards = 4;
        let told = connect(&server, other).await.expect_err("others have eight");
        assert!(told.contains("cf_stream_shard_lock has 8 shards, and num_shards says 4"), "{told}");
        server.psql("UPDATE cf_stream_schema_version SET schema_version = 2 WHERE id = 1");
        let told = connect(&server, json()).await.expect_err("newer");
        assert!(told.contains("newer release"), "{told}");
        let mut elsewhere = json();
        elsewhere.table_prefix = TablePrefix::parse("tenant_").expect("a prefix");
        assert!(connect(&server, elsewhere).await.is_ok());
        server.psql("SELECT tenant_binary_stream_publish('a', '\\x00')");
    });
}

#[test]
fn pgs_09_data_is_json_unless_it_may_be_anything_and_connections_are_counted() {
    block_on(async {
        let server = Server::start();
        let mut streams = json();
        streams.pool_size = 2;
        let (log, broker) = node(&server, streams).await;
        for wrong in ["no json", "", "\"\\u0000\"", "\u{0}"] {
            let refused = Broker::publish(&*broker, kept(wrong)).await;
            assert!(
                refused.as_ref().is_err_and(tourbillon_broker::BrokerError::is_invalid),
                "{wrong:?}: {refused:?}"
            );
        }
        let named = |name: &str| Publish { channel: Channel::from(name), ..kept("1") };
        let refused = Broker::publish(&*broker, named("nul\u{0}")).await;
        assert!(refused.is_err_and(|error| error.is_invalid()));
        let many = (0..20).map(|n| {
            let broker = broker.clone();
            async move { publish(&broker, kept(&n.to_string())).await }
        });
        futures_util::future::join_all(many).await;
        eventually("all arrive", || log.len() == 20).await;
        let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tourbillon'";
        assert_eq!(server.psql(connections), "4", "two that publish, and two that read");
    });
}

#[test]
fn pgs_10_reading_does_not_keep_a_position_alive() {
    block_on(async {
        let server = Server::start();
        let (_, broker) = node(&server, json()).await;
        publish(&broker, kept("1")).await;
        let meta = || server.psql("SELECT expires_at, updated_at FROM cf_stream_meta");
        let before = meta();
        assert_eq!(read(&broker).await, ["1"]);
        assert_eq!(meta(), before);
        let mut unsaid = kept("2");
        unsaid.options.history =
            unsaid.options.history.map(|policy| HistoryPolicy { meta_ttl: Duration::ZERO, ..policy });
        publish(&broker, unsaid).await;
        assert_eq!(
            server.psql("SELECT extract(epoch FROM expires_at - updated_at)::int FROM cf_stream_meta"),
            "86400",
            "stream_retention"
        );
    });
}

#[test]
fn a_server_that_goes_away_loses_nothing_and_nobody_is_left_in_the_dark() {
    block_on(async {
        let mut server = Server::start();
        let (log, broker) = node(&server, json()).await;
        publish(&broker, kept("1")).await;
        broker.ready().await.expect("ready");
        server.kill();
        let failed = Broker::publish(&*broker, kept("2")).await.expect_err("it is away");
        assert!(failed.is_transient(), "{failed:?}");
        assert!(broker.ready().await.is_err_and(|error| error.is_transient()));
        server.restart();
        server.psql("SELECT cf_stream_publish('a', '3')");
        publish(&broker, kept("4")).await;
        eventually("all arrive", || log.len() >= 3).await;
        broker.ready().await.expect("ready again");
        assert_eq!((log.data("a"), log.lost()), (["1", "3", "4"].map(str::to_owned).to_vec(), vec![]));
        // A database that has forgotten what it delivered: whoever has a position has to look.
        server.psql(
            "DROP TABLE cf_stream, cf_stream_meta, cf_stream_schema_version, cf_stream_idempotency CASCADE",
        );
        let (_, other) = node(&server, json()).await;
        eventually("the loss is told", || log.lost() == [None]).await;
        publish(&other, kept("5")).await;
        eventually("it goes on", || log.len() >= 4).await;
        assert_eq!(log.data("a"), ["1", "3", "4", "5"]);
    });
}
