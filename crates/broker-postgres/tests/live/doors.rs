//! Servers that are away, and servers that do not take us.

use std::sync::Arc;

use tourbillon_broker::Record;
use tourbillon_broker_postgres::{Postgres, PostgresConfig};
use tourbillon_tls::TlsClient;

use crate::server::{PASSWORD, Server, block_on, config};

fn ann() -> Record {
    Record::new("ann".to_owned(), None, 0)
}

/// Why we may not connect.
async fn refused(config: PostgresConfig) -> String {
    let refused = Postgres::connect(config).await.expect_err("refused").to_string();
    assert!(!refused.contains(PASSWORD), "{refused}");
    refused
}

#[test]
fn a_server_that_is_away_is_a_passing_failure_and_is_used_again() {
    block_on(async {
        let mut server = Server::start();
        let records = server.records(10).await;
        assert!(records.keep(&ann(), 1).await.unwrap());
        let version = records.version().await.unwrap();
        server.kill();
        for failed in [records.version().await.map(drop), records.keep(&ann(), 1).await.map(drop)] {
            assert!(failed.is_err_and(|error| error.is_transient()));
        }
        server.restart();
        // With the first call, and nothing is lost.
        assert_eq!(records.version().await.unwrap(), version);
        assert_eq!(records.all().await.unwrap().1, [ann()]);
        // So is one that was lost while nobody looked.
        server.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tourbillon'",
        );
        assert!(records.keep(&ann(), 1).await.unwrap());
    });
}

#[test]
fn a_server_that_stands_still_is_waited_for_so_long_and_no_longer() {
    block_on(async {
        let server = Server::start();
        let records = server.records(10).await;
        server.signal_all("-STOP");
        let failed = records.version().await.expect_err("no answer");
        server.signal_all("-CONT");
        assert!(failed.is_transient());
        let cause = std::error::Error::source(&failed).expect("a cause").to_string();
        assert_eq!(cause, "no answer in time");
        assert_eq!(records.version().await.unwrap(), Default::default());
    });
}

#[test]
fn a_change_that_waits_for_another_one_gives_up_in_time_and_leaves_nothing_behind() {
    block_on(async {
        let server = Server::start();
        let records = server.records(10).await;
        assert!(records.keep(&ann(), 1).await.unwrap());
        // Somebody holds the row of the version, and does not let go of it.
        let (client, connection) =
            tokio_postgres::connect(&server.dsn("postgres"), tokio_postgres::NoTls).await.expect("connected");
        let held = tokio::spawn(connection);
        client.batch_execute("BEGIN; UPDATE tourbillon_revocations SET number = number").await.expect("held");
        let bob = Record::new("bob".to_owned(), None, 0);
        assert!(records.keep(&bob, 1).await.expect_err("it is held").is_transient());
        assert_eq!(records.all().await.expect("reading does not wait").1, [ann()]);
        client.batch_execute("ROLLBACK").await.expect("let go");
        held.abort();
        crate::server::until("the change is given up", || {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' OR wait_event_type = 'Lock'";
            server.psql(open) == "0"
        });
        assert_eq!(records.all().await.expect("read").1, [ann()]);
    });
}

#[test]
fn who_is_not_taken_learns_why_without_secrets() {
    block_on(async {
        let server = Server::start();
        let at = format!("PostgreSQL at 127.0.0.1:{}", server.port);
        let dsn = server.dsn("postgres");
        for (config, expected) in [
            (
                config("postgresql://ann:hidden-word@127.0.0.1:1/x"),
                "PostgreSQL at 127.0.0.1:1: error connecting to server: Connection refused",
            ),
            (
                config(&dsn.replace(PASSWORD, "other")),
                "password authentication failed for user \"postgres\" (SQLSTATE 28P01)",
            ),
            (config(&dsn.replace(&format!(":{PASSWORD}"), "")), "password missing"),
            (
                config(&dsn.replace(&format!("{}/postgres", server.port), &format!("{}/none", server.port))),
                "database \"none\" does not exist (SQLSTATE 3D000)",
            ),
            (config(&format!("{dsn}?sslmode=require")), "server does not support TLS"),
        ] {
            let told = refused(config).await;
            assert!(told.contains(expected), "{told}");
            assert!(told.starts_with(&at) || told.starts_with("PostgreSQL at 127.0.0.1:1:"), "{told}");
        }
        server.psql("ALTER SYSTEM SET default_transaction_read_only = on");
        server.psql("SELECT pg_reload_conf()");
        let told = refused(config(&dsn)).await;
        assert!(told.contains("database does not allow writes"), "{told}");
    });
}

#[test]
fn rights_that_are_missing_are_named() {
    block_on(async {
        let server = Server::start();
        server.psql(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"));
        let told = refused(config(&server.dsn("app"))).await;
        let expected = "the table tourbillon_revocations is missing and cannot be made: permission denied for schema public (SQLSTATE 42501)";
        assert!(told.contains(expected), "{told}");
        // Somebody else makes it.
        assert!(server.records(10).await.keep(&ann(), 1).await.unwrap());
        server.psql("GRANT SELECT, INSERT ON tourbillon_revocations TO app");
        let told = refused(config(&server.dsn("app"))).await;
        assert!(told.contains("is there, but without the rights to UPDATE, DELETE"), "{told}");
        server.psql("GRANT UPDATE, DELETE ON tourbillon_revocations TO app");
        let app =
            Postgres::connect(config(&server.dsn("app"))).await.expect("taken").records("user_block", 10);
        assert_eq!(app.all().await.unwrap().1, [ann()]);
        app.forget("ann").await.unwrap();
        // Rights that are taken away later.
        server.psql("REVOKE DELETE ON tourbillon_revocations FROM app");
        let failed = app.forget("ann").await.expect_err("denied");
        assert!(!failed.is_transient());
        server.psql("DROP TABLE tourbillon_revocations; CREATE TABLE tourbillon_revocations (kind text)");
        let told = refused(config(&server.dsn("postgres"))).await;
        assert!(told.contains("another than ours: column \"id\" does not exist"), "{told}");
    });
}

#[test]
fn tls_is_as_sure_as_it_is_asked_to_be() {
    block_on(async {
        let key = rcgen::generate_simple_self_signed(["db.example".to_owned()]).expect("a certificate");
        let cert = key.cert.pem();
        let server = Server::start_with(Some((&cert, &key.signing_key.serialize_pem())));
        let of = |query: &str| config(&format!("{}{query}", server.dsn("postgres")));
        let encrypted = || {
            let query = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tourbillon'";
            server.psql(query)
        };
        for (query, expected) in [("", "t"), ("?sslmode=require", "t"), ("?sslmode=disable", "f")] {
            let postgres = Postgres::connect(of(query)).await.expect("connected");
            assert_eq!(postgres.records("user_block", 1).version().await.unwrap(), Default::default());
            assert_eq!(encrypted(), expected, "{query}");
        }
        let with = |terms: TlsClient<'_>, name: Option<&str>| {
            let name = name.map(|name| name.to_owned().try_into().expect("a name"));
            let tls = name.map_or_else(|| terms.config(), |name| terms.config_for(name)).expect("terms");
            of("").with_tls(Arc::new(tls)).expect("no contradiction")
        };
        let trusted = TlsClient { server_ca: &cert, ..TlsClient::default() };
        Postgres::connect(with(trusted, Some("db.example"))).await.expect("the certificate that is trusted");
        let told = refused(with(TlsClient::default(), Some("db.example"))).await;
        assert!(told.contains("error performing TLS handshake: invalid peer certificate"), "{told}");
        let told = refused(with(trusted, None)).await;
        assert!(told.contains("certificate not valid for name"), "{told}");
    });
}
