//! Records that all nodes share (PRO-34 to PRO-36).

use futures_util::future::{join, join_all};
use tourbillon_broker::{Record, RecordsVersion};
use tourbillon_broker_postgres::PostgresRecords;

use crate::server::{Server, block_on};

fn record(name: &str, until: Option<i64>, number: i64) -> Record {
    Record::new(name.to_owned(), until, number)
}

async fn sorted(records: &PostgresRecords) -> Vec<Record> {
    let mut all = records.all().await.expect("read").1;
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

#[test]
fn pro_34_to_36_records_are_kept_for_all_and_the_stricter_counts() {
    block_on(async {
        let server = Server::start();
        // Both make the table, at the same time.
        let (one, two) = join(server.records(10), server.records(10)).await;
        assert_eq!(one.all().await.unwrap(), Default::default());
        for (until, number) in [(Some(200), 5), (Some(100), 9), (Some(150), 0)] {
            assert!(one.keep(&record("ann", until, number), 1).await.unwrap());
        }
        for until in [Some(100), None, Some(300)] {
            assert!(two.keep(&record("bob", until, 0), 1).await.unwrap());
        }
        let odd = format!("ünd }}{{\0'{}", "long".repeat(10_000));
        assert!(two.keep(&record(&odd, Some(1 << 40), 1 << 40), 1).await.unwrap());
        assert!(two.keep(&record("", None, 0), 1).await.unwrap());
        let all = [
            record("", None, 0),
            record("ann", Some(200), 9),
            record("bob", None, 0),
            record(&odd, Some(1 << 40), 1 << 40),
        ];
        assert_eq!(sorted(&one).await, all);
        for name in ["bob", "nobody", "", &odd] {
            two.forget(name).await.unwrap();
        }
        assert_eq!(sorted(&one).await, [record("ann", Some(200), 9)]);
        // What is over lends nothing to what comes after it.
        assert!(one.keep(&record("ann", Some(250), 1), 200).await.unwrap());
        assert_eq!(sorted(&two).await, [record("ann", Some(250), 1)]);
        let other = server.connect().await.records("token_revoke", 10);
        assert_eq!(other.all().await.unwrap(), Default::default(), "another kind has records of its own");
    });
}

#[test]
fn pro_34_to_36_each_change_of_records_is_another_version() {
    block_on(async {
        let server = Server::start();
        let records = server.records(10).await;
        let mut before = records.version().await.unwrap();
        assert_eq!(before, RecordsVersion::default());
        for step in 0..3 {
            match step {
                0 => assert!(records.keep(&record("ann", None, 0), 1).await.unwrap()),
                1 => records.forget("ann").await.unwrap(),
                _ => assert!(records.keep(&record("ann", Some(9), 0), 1).await.unwrap()),
            }
            let then = records.version().await.unwrap();
            assert!(then.number > before.number && !then.life.is_empty());
            assert!(before.life.is_empty() || before.life == then.life);
            assert_eq!(records.all().await.unwrap().0, then);
            before = then;
        }
        records.forget("nobody").await.unwrap();
        assert_eq!(records.version().await.unwrap(), before, "nothing was changed");
        server.psql("DROP TABLE tourbillon_revocations");
        assert_eq!(records.version().await.unwrap(), RecordsVersion::default(), "the table was made anew");
        assert!(records.keep(&record("ann", None, 0), 1).await.unwrap());
        assert_ne!(records.version().await.unwrap().life, before.life, "all was forgotten");
    });
}

#[test]
fn pro_34_to_36_no_change_is_seen_before_one_with_a_smaller_number() {
    block_on(async {
        let server = Server::start();
        let writers =
            [server.records(10_000).await, server.records(10_000).await, server.records(10_000).await];
        let reader = server.records(10_000).await;
        let write = join_all(writers.iter().enumerate().map(|(writer, records)| async move {
            for n in 0..40 {
                assert!(records.keep(&record(&format!("{writer}-{n}"), None, 0), 1).await.unwrap());
            }
        }));
        let read = async {
            let (mut seen, mut looks) = (0, 0);
            while seen < 120 {
                let (version, all) = reader.all().await.unwrap();
                assert_eq!(
                    u64::try_from(all.len()).unwrap(),
                    version.number,
                    "a change and its number come together"
                );
                assert!(version.number >= seen, "numbers go up");
                (seen, looks) = (version.number, looks + 1);
            }
            looks
        };
        let (_, looks) = join(write, read).await;
        assert!(looks > 3, "it was read while it was written: {looks}");
    });
}

#[test]
fn pro_34_to_36_records_have_a_limit_that_holds_and_what_is_over_makes_room() {
    block_on(async {
        let server = Server::start();
        let records = server.records(2).await;
        assert!(records.keep(&record("ann", Some(100), 0), 1).await.unwrap());
        assert!(records.keep(&record("bob", None, 0), 1).await.unwrap());
        let before = records.version().await.unwrap();
        assert!(!records.keep(&record("eve", None, 0), 99).await.unwrap());
        assert_eq!(records.version().await.unwrap(), before, "nothing was changed");
        assert!(records.keep(&record("bob", None, 7), 99).await.unwrap(), "it is there already");
        assert!(records.keep(&record("eve", None, 0), 100).await.unwrap());
        assert_eq!(sorted(&records).await, [record("bob", None, 7), record("eve", None, 0)]);
        assert_eq!(server.psql("SELECT count(*) FROM tourbillon_revocations WHERE name = 'ann'"), "0");
        // Also of many that come at once.
        let crowd = server.connect().await.records("token_revoke", 5);
        let names: Vec<Record> = (0..30).map(|n| record(&n.to_string(), None, 0)).collect();
        let kept = join_all(names.iter().map(|record| crowd.keep(record, 1))).await;
        assert_eq!(kept.into_iter().filter(|kept| *kept.as_ref().unwrap()).count(), 5);
        assert_eq!(sorted(&crowd).await.len(), 5);
        let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tourbillon'";
        assert_eq!(server.psql(connections), "5", "four of the crowd, and one before");
    });
}

#[test]
fn pro_34_to_36_many_records_are_read_at_once() {
    block_on(async {
        let server = Server::start();
        let records = server.records(300_000).await;
        assert!(records.keep(&record("one", None, 0), 1).await.unwrap());
        server.psql(
            "INSERT INTO tourbillon_revocations (kind, name, until, number) \
             SELECT 'user_block', convert_to('user-' || n, 'UTF8'), n, n FROM generate_series(1, 262143) n",
        );
        let all = sorted(&records).await;
        assert_eq!(all.len(), 1 << 18);
        assert!(all.contains(&record("user-77", Some(77), 77)));
        assert!(records.keep(&record("one", None, 5), 1).await.unwrap(), "in time, though there are many");
    });
}
