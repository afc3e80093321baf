//! The outbox in PostgreSQL (CONS-10).

use std::time::Duration;

use tourbillon_consumers::postgres::{OutboxConfig, Table};

use crate::api::{Api, block_on};
use crate::server::{Server, config, until};

const TABLE: &str = "CREATE TABLE outbox (id BIGSERIAL PRIMARY KEY, method TEXT NOT NULL, payload JSONB NOT NULL, \
     partition INTEGER NOT NULL DEFAULT 0)";

fn started() -> Server {
    let server = Server::start();
    server.psql(TABLE);
    server
}

fn outbox(server: &Server) -> OutboxConfig {
    let mut config =
        OutboxConfig::new(config(&server.dsn("postgres")), Table::parse("outbox").expect("a name"));
    config.poll = Duration::from_millis(20);
    config
}

/// Runs all partitions.
fn run(api: &mut Api, config: OutboxConfig) {
    let (sources, bell) = config.sources("orders");
    for source in sources {
        api.run(source, OutboxConfig::mode());
    }
    if let Some(bell) = bell {
        tokio::spawn(bell.run(api.health.clone(), api.stop.clone()));
    }
}

fn insert(server: &Server, partition: u32, channel: &str, data: std::ops::Range<u32>) {
    server.psql(&format!(
        "INSERT INTO outbox (method, payload, partition) SELECT 'publish', \
         jsonb_build_object('channel', '{channel}', 'data', n), {partition} FROM generate_series({}, {}) n",
        data.start,
        data.end - 1
    ));
}

fn rows(server: &Server) -> String {
    server.psql("SELECT count(*) FROM outbox")
}

fn is_empty(server: &Server) {
    until("the outbox is empty", || rows(server) == "0");
}

fn expected(channel: &str, data: std::ops::Range<u32>) -> Vec<String> {
    data.map(|n| format!("{channel} {n}")).collect()
}

#[test]
fn cons_10_rows_are_carried_out_in_the_order_of_each_partition_and_deleted() {
    let server = started();
    insert(&server, 0, "a", 0..250);
    insert(&server, 1, "b", 0..250);
    block_on(async {
        let mut api = Api::new();
        let mut config = outbox(&server);
        config.partitions = 2;
        run(&mut api, config);
        let all = api.several(500).await;
        for channel in ["a", "b"] {
            let of: Vec<_> = all.iter().filter(|one| one.starts_with(channel)).cloned().collect();
            assert_eq!(of, expected(channel, 0..250));
        }
        insert(&server, 1, "b", 250..251);
        assert_eq!(api.next().await, "b 250");
        is_empty(&server);
        let health = api.health.clone();
        assert_eq!(api.end().await, [""; 0]);
        assert_eq!((health.counts().processed, health.counts().errors), (501, 0));
    });
}

#[test]
fn cons_10_rows_of_several_types_are_read_and_poisoned_ones_are_skipped() {
    let server = Server::start();
    server.psql("CREATE SCHEMA app; CREATE TABLE app.\"Out\" (id INTEGER, method VARCHAR(20), payload BYTEA, partition BIGINT)");
    server.psql(
        "INSERT INTO app.\"Out\" VALUES (3, 'publish', '{\"channel\":\"c\",\"data\":3}', 0), (1, NULL, NULL, 0), \
         (2, 'publish', '\\xff00', 0), (4, 'no_method', '{}', 0), \
         (5, '', convert_to('{\"method\":\"publish\",\"payload\":\"{\\\"channel\\\":\\\"c\\\",\\\"data\\\":5}\"}', 'UTF8'), 0), \
         (6, 'subscribe', '{}', 0), (7, 'publish', '{\"channel\":\"c\",\"data\":7}', 1)",
    );
    block_on(async {
        let mut api = Api::new();
        let mut config = outbox(&server);
        config.table = Table::parse("app.\"Out\"").expect("a name");
        run(&mut api, config);
        assert_eq!(api.several(2).await, ["c 3", "c 5"]);
        until("one row is left, of another partition", || server.psql("SELECT id FROM app.\"Out\"") == "7");
        let health = api.health.clone();
        assert_eq!(api.end().await, [""; 0]);
        assert_eq!((health.counts().processed, health.counts().skipped), (6, 4));
    });
}

#[test]
fn cons_10_a_row_that_fails_is_kept_and_holds_up_its_partition_alone() {
    let server = started();
    insert(&server, 0, "a", 0..1);
    insert(&server, 0, "later", 0..1);
    insert(&server, 0, "a", 1..2);
    insert(&server, 1, "b", 0..1);
    block_on(async {
        let mut api = Api::new();
        api.fail("later", u32::MAX);
        let mut config = outbox(&server);
        config.partitions = 2;
        run(&mut api, config);
        let mut first = Vec::new();
        while !["a 0", "b 0", "later 0"].iter().all(|one| first.iter().any(|seen| seen == one)) {
            first.push(api.next().await);
        }
        assert!(!first.iter().any(|seen| seen == "a 1"), "{first:?}");
        until("what is done is deleted", || rows(&server) == "2");
        assert_eq!(api.health.failing().len(), 1);
        api.fail("later", 0);
        loop {
            match api.next().await.as_str() {
                "later 0" => {}
                other => break assert_eq!(other, "a 1"),
            }
        }
        is_empty(&server);
        until("it works again", || api.health.failing().is_empty());
        assert_eq!(api.end().await, [""; 0]);
    });
}

#[test]
fn cons_10_nodes_take_turns_and_no_row_is_carried_out_twice() {
    for try_lock in [false, true] {
        let server = started();
        block_on(async {
            let mut api = Api::new();
            for _ in 0..3 {
                let mut config = outbox(&server);
                config.limit = 7;
                config.try_lock = try_lock;
                run(&mut api, config);
            }
            insert(&server, 0, "a", 0..300);
            assert_eq!(api.several(300).await, expected("a", 0..300));
            is_empty(&server);
            assert_eq!(api.end().await, [""; 0]);
        });
    }
}

#[test]
fn cons_10_no_row_is_lost_with_the_database_or_with_a_node() {
    let mut server = started();
    insert(&server, 0, "a", 0..3);
    insert(&server, 0, "hang", 0..1);
    insert(&server, 0, "a", 3..5);
    block_on(async {
        let mut api = Api::new();
        api.fail("hang", 1);
        run(&mut api, outbox(&server));
        assert_eq!(api.several(4).await, ["a 0", "a 1", "a 2", "hang 0"]);
        // The transaction that would have deleted them is gone.
        server.kill();
        until("it is noticed while a row is carried out", || !api.health.failing().is_empty());
        server.restart();
        assert_eq!(api.several(6).await, ["a 0", "a 1", "a 2", "hang 0", "a 3", "a 4"]);
        is_empty(&server);
        assert_eq!(api.end().await, [""; 0]);
    });
}

#[test]
fn cons_10_a_notification_wakes_a_partition() {
    let server = started();
    block_on(async {
        let mut api = Api::new();
        let mut config = outbox(&server);
        config.partitions = 2;
        config.poll = Duration::from_secs(3_600);
        config.notifications = Some((config.database.clone(), "new \"rows\"".to_owned()));
        run(&mut api, config);
        let listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
        until("it listens", || server.psql(listens) == "1");
        for text in ["", "x", "2", "-1"] {
            server.psql(&format!("NOTIFY \"new \"\"rows\"\"\", '{text}'"));
        }
        insert(&server, 1, "b", 0..1);
        server.psql("NOTIFY \"new \"\"rows\"\"\", '1'");
        assert_eq!(api.next().await, "b 0");
        // What is told while nobody listens is found when somebody does again.
        insert(&server, 0, "a", 0..1);
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'");
        assert_eq!(api.next().await, "a 0");
        assert_eq!(api.end().await, [""; 0]);
    });
}

#[test]
fn cons_10_a_table_that_is_missing_or_another_is_told_of() {
    let server = Server::start();
    let check = || {
        let (mut sources, _) = outbox(&server).sources("orders");
        block_on(async { sources[0].check().await }).map_err(|error| error.to_string())
    };
    let told = check().expect_err("no table");
    assert_eq!(told, "PostgreSQL: relation \"outbox\" does not exist (SQLSTATE 42P01)");
    server.psql("CREATE TABLE outbox (id BIGSERIAL, method TEXT)");
    assert_eq!(
        check().expect_err("no column"),
        "PostgreSQL: column \"payload\" does not exist (SQLSTATE 42703)"
    );
    server.psql("DROP TABLE outbox");
    server.psql(TABLE);
    assert_eq!(check(), Ok(()));
    // Rows that are carried out and cannot be deleted would be carried out for ever.
    server.psql("CREATE ROLE reader LOGIN PASSWORD 'hidden-word'; GRANT SELECT, UPDATE ON outbox TO reader");
    let config = OutboxConfig::new(config(&server.dsn("reader")), Table::parse("outbox").expect("a name"));
    let (mut sources, _) = config.sources("orders");
    let told = block_on(async { sources[0].check().await }).expect_err("no right");
    assert_eq!(told.to_string(), "rows may be read and not deleted");
}
