//! Token buckets and records that all nodes share.

use std::time::Duration;

use tourbillon_broker_redis::{Record, RedisBucket, RedisRates, RedisRecords};

use crate::servers::{PATIENCE, Redis, block_on, cluster, shard};

const MINUTE: Duration = Duration::from_secs(60);

fn bucket(name: &str, interval: Duration, rate: u32) -> RedisBucket {
    RedisBucket::new(name.to_owned(), interval / rate, rate)
}

async fn taken(rates: &RedisRates, owner: &str, buckets: &[RedisBucket], times: usize) -> Vec<bool> {
    let mut taken = Vec::new();
    for _ in 0..times {
        taken.push(rates.take(owner, buckets).await.expect("an answer"));
    }
    taken
}

#[test]
fn pro_31_nodes_take_from_the_same_buckets() {
    block_on(async {
        let redis = Redis::start(&[]);
        let connect = || RedisRates::connect(vec![shard(&redis.url())], "p");
        let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
        let three = [bucket("publish", MINUTE, 3)];
        assert_eq!(taken(&one, "ann", &three, 2).await, [true, true]);
        assert_eq!(taken(&two, "ann", &three, 2).await, [true, false]);
        assert_eq!(taken(&one, "ann", &three, 1).await, [false]);
        assert_eq!(
            taken(&one, "ann", &[bucket("history", MINUTE, 1)], 2).await,
            [true, false],
            "another bucket"
        );
        assert_eq!(taken(&two, "bob", &three, 1).await, [true], "another owner");
        assert_eq!(redis.cli(&["KEYS", "*"]).lines().count(), 2);
        let lives: u64 = redis.cli(&["PTTL", "p.rate.ann"]).parse().expect("a number");
        assert!((50_000..=60_002).contains(&lives), "forgotten once all of them are full: {lives}");
    });
}

#[test]
fn pro_31_all_buckets_must_have_a_token_and_give_none_otherwise() {
    block_on(async {
        let redis = Redis::start(&[]);
        let rates = RedisRates::connect(vec![shard(&redis.url())], "p").await.unwrap();
        let (large, small) = (bucket("large", MINUTE, 5), bucket("small", MINUTE, 2));
        assert_eq!(taken(&rates, "ann", &[large.clone(), small], 4).await, [true, true, false, false]);
        assert_eq!(
            taken(&rates, "ann", &[large], 4).await,
            [true, true, true, false],
            "two were taken before"
        );
        assert_eq!(taken(&rates, "ann", &[], 2).await, [true, true]);
    });
}

#[test]
fn pro_31_tokens_come_back_evenly() {
    block_on(async {
        let redis = Redis::start(&[]);
        let rates = RedisRates::connect(vec![shard(&redis.url())], "p").await.unwrap();
        let buckets = [bucket("b", Duration::from_secs(3), 3)];
        assert_eq!(taken(&rates, "ann", &buckets, 4).await, [true, true, true, false]);
        // One after a third of the interval: neither at once, nor all of them.
        let mut refused = 0;
        while !rates.take("ann", &buckets).await.expect("an answer") {
            refused += 1;
        }
        assert!(refused > 0);
        assert!(!rates.take("ann", &buckets).await.expect("an answer"), "only one has come back");
        let many = [bucket("fast", Duration::from_secs(1), 2_000_000)];
        assert_eq!(taken(&rates, "ann", &many, 3).await, [true; 3], "more than one each microsecond");
    });
}

#[test]
fn pro_31_owners_are_spread_over_shards_and_clusters() {
    block_on(async {
        let (one, two) = (Redis::start(&[]), Redis::start(&[]));
        let rates = RedisRates::connect(vec![shard(&one.url()), shard(&two.url())], "p").await.unwrap();
        for owner in 0..20 {
            let owner = owner.to_string();
            assert_eq!(taken(&rates, &owner, &[bucket("b", MINUTE, 1)], 2).await, [true, false]);
        }
        let kept: Vec<u32> =
            [&one, &two].map(|redis| redis.cli(&["DBSIZE"]).parse().expect("a number")).into();
        assert_eq!(kept.iter().sum::<u32>(), 20);
        assert!(kept.iter().all(|kept| *kept > 0), "{kept:?}");
        let nodes = cluster();
        let rates = RedisRates::connect(vec![shard(&nodes[0].url())], "p").await.unwrap();
        for owner in ["ann", "bob", "}", ""] {
            assert_eq!(taken(&rates, owner, &[bucket("b", MINUTE, 1)], 2).await, [true, false], "{owner}");
        }
    });
}

#[test]
fn pro_31_a_redis_that_is_away_is_a_passing_failure_and_is_used_again() {
    block_on(async {
        let mut redis = Redis::start(&[]);
        let rates = RedisRates::connect(vec![shard(&redis.url())], "p").await.unwrap();
        let buckets = [bucket("b", MINUTE, 1000)];
        assert_eq!(taken(&rates, "ann", &buckets, 1).await, [true]);
        redis.kill();
        assert!(rates.take("ann", &buckets).await.is_err_and(|error| error.is_transient()));
        redis.restart();
        let again = async {
            while rates.take("ann", &buckets).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("used again");
    });
}

async fn records(redis: &Redis, limit: usize) -> RedisRecords {
    RedisRecords::connect(shard(&redis.url()), "p", "user_block", limit).await.expect("connected")
}

fn record(name: &str, until: Option<i64>, number: i64) -> Record {
    Record::new(name.to_owned(), until, number)
}

async fn sorted(records: &RedisRecords) -> Vec<Record> {
    let mut all = records.all().await.expect("read").1;
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

#[test]
fn pro_34_to_36_records_are_kept_for_all_and_the_stricter_counts() {
    block_on(async {
        let redis = Redis::start(&[]);
        let (one, two) = (records(&redis, 10).await, records(&redis, 10).await);
        assert_eq!(one.all().await.unwrap(), Default::default());
        for (until, number) in [(Some(200), 5), (Some(100), 9), (Some(150), 0)] {
            assert!(one.keep(&record("ann", until, number), 1).await.unwrap());
        }
        assert!(two.keep(&record("bob", Some(100), 0), 1).await.unwrap());
        assert!(two.keep(&record("bob", None, 0), 1).await.unwrap());
        assert!(two.keep(&record("bob", Some(300), 0), 1).await.unwrap());
        assert!(two.keep(&record("ünd }{", Some(1 << 40), 1 << 40), 1).await.unwrap());
        let all =
            [record("ann", Some(200), 9), record("bob", None, 0), record("ünd }{", Some(1 << 40), 1 << 40)];
        assert_eq!(sorted(&one).await, all);
        two.forget("bob").await.unwrap();
        two.forget("nobody").await.unwrap();
        assert_eq!(sorted(&one).await.len(), 2);
        // What is over lends nothing to what comes after it.
        assert!(one.keep(&record("ann", Some(250), 1), 200).await.unwrap());
        assert_eq!(sorted(&two).await[0], record("ann", Some(250), 1));
    });
}

#[test]
fn pro_34_to_36_each_change_of_records_is_another_version() {
    block_on(async {
        let redis = Redis::start(&[]);
        let records = records(&redis, 10).await;
        let mut before = records.version().await.unwrap();
        assert!(before.life.is_empty());
        for step in 0..3 {
            match step {
                0 => assert!(records.keep(&record("ann", None, 0), 1).await.unwrap()),
                1 => records.forget("ann").await.unwrap(),
                _ => assert!(records.keep(&record("ann", Some(9), 0), 1).await.unwrap()),
            }
            let then = records.version().await.unwrap();
            assert_ne!(then, before);
            assert!(before.life.is_empty() || before.life == then.life);
            before = then;
        }
        records.forget("nobody").await.unwrap();
        assert_eq!(records.version().await.unwrap(), before, "nothing was changed");
        assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
        assert!(records.keep(&record("ann", None, 0), 1).await.unwrap());
        assert_ne!(records.version().await.unwrap().life, before.life, "all was forgotten");
    });
}

#[test]
fn pro_34_to_36_records_have_a_limit_and_what_is_over_makes_room() {
    block_on(async {
        let redis = Redis::start(&[]);
        let records = records(&redis, 2).await;
        assert!(records.keep(&record("ann", Some(100), 0), 1).await.unwrap());
        assert!(records.keep(&record("bob", None, 0), 1).await.unwrap());
        assert!(!records.keep(&record("eve", None, 0), 99).await.unwrap());
        assert!(records.keep(&record("bob", None, 7), 99).await.unwrap(), "it is there already");
        assert!(records.keep(&record("eve", None, 0), 100).await.unwrap());
        assert_eq!(sorted(&records).await, [record("bob", None, 7), record("eve", None, 0)]);
    });
}

#[test]
fn pro_34_to_36_many_records_are_read_in_parts_also_of_a_cluster() {
    block_on(async {
        let nodes = cluster();
        let records = records(&nodes[0], 5_000).await;
        for number in 0..2_500 {
            let kept = record(&format!("user-{number:04}"), (number % 3 > 0).then_some(10_000), number);
            assert!(records.keep(&kept, 1).await.unwrap());
        }
        let all = sorted(&records).await;
        assert_eq!(all.len(), 2_500);
        assert!(all.iter().zip(0..).all(|(record, number)| record.number == number));
    });
}
