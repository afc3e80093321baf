//! What a log keeps, and for how long.

use tourbillon_recovery::{HistoryQuery, StreamLog};
use tourbillon_types::{Epoch, Instant, Payload, Publication, StreamPosition};

use crate::rig::{META_TTL, TTL, at, offsets, policy, publication, seconds};

fn log() -> StreamLog {
    StreamLog::new(Epoch::from("a"), Instant::ZERO, META_TTL)
}

fn filled(count: usize, size: usize) -> StreamLog {
    let mut log = log();
    for _ in 0..count {
        log.append(Instant::ZERO, &policy(size), Publication::default());
    }
    log
}

fn read(log: &mut StreamLog, query: &HistoryQuery) -> Vec<u64> {
    offsets(&log.read(Instant::ZERO, query, META_TTL).publications)
}

#[test]
fn offsets_count_from_one_in_the_logs_epoch() {
    let mut log = log();
    assert_eq!(log.position(), at(0, "a"));
    for offset in 1..=3 {
        let appended = log.append(Instant::ZERO, &policy(2), Publication::default());
        assert_eq!((appended.offset, &appended.epoch), (offset, &Epoch::from("a")));
        assert_eq!(log.position(), at(offset, "a"));
    }
}

#[test]
fn the_newest_are_kept_up_to_the_policys_size() {
    assert_eq!(read(&mut filled(5, 3), &HistoryQuery::default()), [3, 4, 5]);
    let mut log = filled(5, 5);
    log.append(Instant::ZERO, &policy(2), Publication::default());
    assert_eq!(read(&mut log, &HistoryQuery::default()), [5, 6], "a smaller policy takes effect at once");
    log.append(Instant::ZERO, &policy(0), Publication::default());
    assert_eq!(read(&mut log, &HistoryQuery::default()), [] as [u64; 0]);
    assert_eq!(log.position(), at(7, "a"));
}

#[test]
fn pages_go_both_ways_from_anywhere() {
    let mut log = filled(7, 5);
    let since = |offset| HistoryQuery::since(at(offset, "a"));
    for (query, expected) in [
        (HistoryQuery::default(), vec![3, 4, 5, 6, 7]),
        (HistoryQuery::default().limited(2), vec![3, 4]),
        (HistoryQuery::default().reversed(), vec![7, 6, 5, 4, 3]),
        (HistoryQuery::latest(2), vec![7, 6]),
        (HistoryQuery::position(), vec![]),
        (since(4), vec![5, 6, 7]),
        (since(4).limited(2), vec![5, 6]),
        (since(4).limited(0), vec![]),
        // What came in between is gone: the first offset tells.
        (since(0), vec![3, 4, 5, 6, 7]),
        (since(7), vec![]),
        (since(u64::MAX), vec![]),
        (since(5).reversed(), vec![4, 3]),
        (since(5).reversed().limited(1), vec![4]),
        (since(3).reversed(), vec![]),
        (since(0).reversed(), vec![]),
        (since(8).reversed().limited(1), vec![7]),
        (since(u64::MAX).reversed().limited(2), vec![7, 6]),
        (HistoryQuery::since(at(4, "")), vec![5, 6, 7]),
        (HistoryQuery::since(at(4, "b")), vec![]),
        (HistoryQuery::since(at(4, "b")).reversed(), vec![]),
    ] {
        assert_eq!(read(&mut log, &query), expected, "{query:?}");
        assert_eq!(log.read(Instant::ZERO, &query, META_TTL).position, at(7, "a"));
    }
}

#[test]
fn publications_go_together_when_none_came_for_their_lifetime() {
    let mut log = filled(2, 10);
    let almost = Instant::from_nanos(seconds(60).as_nanos() - 1);
    assert_eq!(log.entries_due(), Some(seconds(60)));
    assert_eq!(log.latest(almost).map(|latest| latest.offset), Some(2));
    assert_eq!(log.latest(seconds(60)), None, "no later than due");
    log.append(seconds(59), &policy(10), Publication::default());
    let page = log.read(seconds(118), &HistoryQuery::default(), META_TTL);
    assert_eq!(offsets(&page.publications), [1, 2, 3], "the last one keeps the others");
    let page = log.read(seconds(119), &HistoryQuery::default(), META_TTL);
    assert_eq!((page.publications, page.position), (vec![], at(3, "a")));
    assert_eq!(log.entries_due(), None);
    let appended = log.append(seconds(200), &policy(10), Publication::default());
    assert_eq!(appended.offset, 4);
    assert_eq!(read(&mut log, &HistoryQuery::default()), [4]);
}

#[test]
fn what_was_due_does_not_come_back_with_the_next_publication() {
    let mut log = filled(2, 10);
    log.append(seconds(61), &policy(10), Publication::default());
    assert_eq!(read(&mut log, &HistoryQuery::default()), [3]);
}

#[test]
fn positions_live_on_with_every_use() {
    let mut log = log();
    assert_eq!(log.due(), Instant::ZERO + META_TTL);
    log.append(seconds(10), &policy(10), Publication::default());
    assert_eq!(log.due(), seconds(10) + META_TTL);
    log.read(seconds(20), &HistoryQuery::position(), META_TTL);
    assert_eq!(log.due(), seconds(20) + META_TTL, "being read is a use");
    assert!(!log.is_expired(seconds(3619)));
    assert!(log.is_expired(seconds(3620)));
}

#[test]
fn positions_do_not_go_before_publications() {
    let mut log = log();
    let short = tourbillon_recovery::HistoryPolicy { meta_ttl: TTL / 2, ..policy(10) };
    log.append(Instant::ZERO, &short, Publication::default());
    assert_eq!(log.due(), Instant::ZERO + TTL);
    log.read(Instant::ZERO, &HistoryQuery::position(), TTL / 2);
    assert_eq!(log.due(), Instant::ZERO + TTL);
}

#[test]
fn clearing_keeps_the_position() {
    let mut log = filled(3, 10);
    log.clear();
    assert_eq!((log.position(), log.len(), log.is_empty()), (at(3, "a"), 0, true));
    assert_eq!(log.latest(Instant::ZERO), None);
    let next = HistoryQuery::since(at(3, "a"));
    assert_eq!(read(&mut log, &next), [] as [u64; 0]);
    log.append(Instant::ZERO, &policy(10), Publication::default());
    assert_eq!(read(&mut log, &next), [4]);
}

#[test]
fn versions_ascend_within_their_epoch() {
    let mut log = log();
    assert!(!log.is_stale(1, ""));
    log.set_version(5, "x");
    for (version, epoch, stale) in [
        (4, "x", true),
        (5, "x", true),
        (6, "x", false),
        (5, "", true),
        (6, "", false),
        (1, "y", false),
        (0, "x", false),
    ] {
        assert_eq!(log.is_stale(version, epoch), stale, "{version} {epoch}");
    }
    log.set_version(0, "");
    assert!(log.is_stale(5, "x"), "what has no version leaves it");
    log.set_version(1, "y");
    assert!(log.is_stale(1, "y") && !log.is_stale(5, "x"));
    log.set_version(2, "y");
    assert!(log.is_stale(2, "y"));
}

#[test]
fn pages_share_what_is_kept_and_hold_no_buffer() {
    let mut log = log();
    let data = Payload::from(b"data".to_vec());
    log.append(Instant::ZERO, &policy(1), Publication { data: data.clone(), ..Publication::default() });
    let mut read = || {
        let page = log.read(Instant::ZERO, &HistoryQuery::default(), META_TTL);
        page.publications.first().expect("a publication").data.clone()
    };
    let (one, other) = (read(), read());
    assert_eq!((&one, one.bytes().as_ptr()), (&data, other.bytes().as_ptr()));
    assert_ne!(one.bytes().as_ptr(), data.bytes().as_ptr());
}

#[test]
fn appending_allocates_the_entry_and_reading_the_page() {
    let mut log = filled(1000, 100);
    let policy = policy(100);
    let appends = allocation_counter::measure(|| {
        for _ in 0..1000 {
            log.append(Instant::ZERO, &policy, Publication::default());
        }
    });
    // What is given back, and what is kept.
    assert_eq!((appends.count_total, appends.bytes_current), (2000, 0), "one goes for one that comes");
    let query = HistoryQuery::since(StreamPosition { offset: 1950, epoch: Epoch::UNKNOWN });
    let reads = allocation_counter::measure(|| drop(log.read(Instant::ZERO, &query, META_TTL)));
    assert!(reads.count_total <= 1 + 2 * 50, "{}", reads.count_total);
}

#[test]
fn room_grows_with_what_is_kept_and_goes_with_it() {
    let bytes = |count: usize, size: usize| {
        let measured = allocation_counter::measure(|| drop(filled(count, size)));
        measured.bytes_max
    };
    // An entry, and the publication that is appended at the moment.
    let (entry, appended) = (56, 200);
    // Before it has its size the list grows once more, and both are there.
    assert!(bytes(1000, 10) <= 20 * entry + appended, "no more than what is kept");
    assert!(bytes(10, 1_000_000) <= 25 * entry + appended, "a large size costs nothing before it is used");
    let mut log = filled(1000, 1000);
    let freed = allocation_counter::measure(|| log.clear());
    assert!(freed.bytes_current <= -56 * 1000);
}

#[test]
fn a_restored_log_goes_on_where_it_was() {
    let publications = |offsets: &[u64]| offsets.iter().map(|offset| publication(*offset, "a")).collect();
    for (stored, kept) in [
        (vec![3, 4, 5], vec![3, 4, 5]),
        (vec![], vec![]),
        (vec![1, 2, 4, 5], vec![4, 5]),
        // What is not the newest is of no use.
        (vec![3, 4], vec![]),
        (vec![5, 6], vec![]),
    ] {
        let restored = publications(&stored);
        let mut log = StreamLog::restore(at(5, "a"), restored, seconds(60), seconds(600));
        assert_eq!(read(&mut log, &HistoryQuery::default()), kept, "{stored:?}");
        assert_eq!(log.append(Instant::ZERO, &policy(10), Publication::default()).offset, 6);
    }
    let mut log = StreamLog::restore(at(5, "a"), publications(&[5]), seconds(60), seconds(600));
    assert_eq!((log.entries_due(), log.due(), log.version()), (Some(seconds(60)), seconds(600), (0, "")));
    log.set_version(7, "x");
    assert_eq!(log.version(), (7, "x"));
}

#[test]
fn what_the_next_publication_leaves_is_known_before() {
    for (count, size, now, oldest) in
        [(0, 3, 0, 1), (2, 3, 0, 1), (3, 3, 0, 2), (9, 3, 0, 8), (3, 1, 0, 4), (3, 3, 60, 4)]
    {
        let mut log = filled(count, 3);
        assert_eq!(log.oldest_with_next(seconds(now), &policy(size)), oldest, "{count} {size} {now}");
        log.append(seconds(now), &policy(size), Publication::default());
        let page = log.read(seconds(now), &HistoryQuery::default().limited(1), META_TTL);
        assert_eq!(offsets(&page.publications), [oldest]);
    }
}
