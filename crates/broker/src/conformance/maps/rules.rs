//! On which conditions keys are changed, and in which order these are looked at.

use std::sync::Arc;

use tourbillon_types::{Epoch, KeyMode, StreamPosition};

use super::{Bench, MapHarness};
use crate::{MapPublish, MapRemove, MapSuppressed};

/// A repeated key of idempotency has no effect and gets the first one's place, within its channel only. Changes and
/// removals have the same keys.
pub async fn map_idempotency(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let once = |key: &str, data: &str, idempotency: &str| {
        let mut publish = bench.value(key, data);
        idempotency.clone_into(&mut publish.options.idempotency_key);
        publish
    };
    let first = bench.publish(once("x", "1", "k")).await;
    bench.set("y", "2").await;
    let again = bench.publish(once("z", "3", "k")).await;
    assert_eq!(first.suppressed, None);
    assert_eq!(again.suppressed, Some(MapSuppressed::Idempotency));
    assert_eq!(again.position, first.position, "the first one's place is told again");
    let removal =
        |idempotency: &str| MapRemove { idempotency_key: idempotency.to_owned(), ..bench.removal("y") };
    assert_eq!(bench.take(removal("k")).await.suppressed, Some(MapSuppressed::Idempotency));
    let removed = bench.take(removal("r")).await;
    assert_eq!((removed.suppressed, removed.position.offset), (None, 3));
    let again = bench.take(removal("r")).await;
    assert_eq!((again.suppressed, again.position.offset), (Some(MapSuppressed::Idempotency), 3));
    assert_eq!(bench.suppressed(once("y", "4", "r")).await, Some(MapSuppressed::Idempotency));
    let elsewhere = MapPublish { channel: "b".into(), ..once("x", "5", "k") };
    assert_eq!(bench.suppressed(elsewhere).await, None);
    assert_eq!(bench.state().await, ["x=1"]);
    assert_eq!(bench.told(4).await, ["1:x=1", "2:y=2", "3:-y"]);
}

/// A version that is not above that of its key is suppressed and gets the place where the channel stands. A change
/// without a version keeps the key's, and a removal takes it away.
pub async fn map_versions_are_of_keys(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let versioned = |key: &str, version: u64| {
        let mut publish = bench.value(key, &version.to_string());
        publish.options.version = version;
        publish
    };
    let mut taken = 0;
    for (key, version, is_taken) in [
        ("x", 5, true),
        ("x", 5, false),
        ("x", 4, false),
        // Another key has versions of its own.
        ("y", 1, true),
        ("x", 7, true),
        ("x", 0, true),
        ("x", 7, false),
        ("x", 8, true),
        ("y", 2, true),
    ] {
        let published = bench.publish(versioned(key, version)).await;
        let expected = (!is_taken).then_some(MapSuppressed::Version);
        assert_eq!(published.suppressed, expected, "version {version} of {key}");
        taken += u64::from(is_taken);
        assert_eq!(published.position.offset, taken, "where the channel stands");
        assert!(!published.position.epoch.is_unknown());
    }
    // Beyond what fits into a signed or a floating number.
    for (version, is_taken) in [(1 << 53, true), ((1 << 53) + 1, true), (1 << 53, false), (u64::MAX, true)] {
        let published = bench.publish(versioned("large", version)).await;
        assert_eq!(published.suppressed.is_none(), is_taken, "version {version}");
    }
    assert_eq!(bench.take(bench.removal("x")).await.suppressed, None);
    assert_eq!(bench.suppressed(versioned("x", 1)).await, None, "the version went with the key");
    assert_eq!(bench.suppressed(versioned("y", 2)).await, Some(MapSuppressed::Version));
}

/// Versions of different epochs are not compared.
pub async fn map_versions_of_epochs(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    for (version, epoch, is_taken) in [
        (5, "x", true),
        (5, "x", false),
        (5, "", false),
        (1, "y", true),
        (1, "y", false),
        // Only the latest epoch is known.
        (2, "x", true),
        (3, "", true),
        (3, "z", true),
    ] {
        let mut publish = bench.value("key", "v");
        publish.options.version = version;
        epoch.clone_into(&mut publish.options.version_epoch);
        let suppressed = bench.suppressed(publish).await;
        assert_eq!(suppressed.is_none(), is_taken, "version {version} of {epoch:?}");
    }
}

/// A key can be set only if it is new, or only if it is not.
pub async fn map_key_modes(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let value = |data: &str, mode: KeyMode| {
        let mut publish = bench.value("x", data);
        publish.options.mode = mode;
        publish
    };
    let missing = bench.publish(value("1", KeyMode::IfExists)).await;
    assert_eq!((missing.suppressed, missing.position.offset), (Some(MapSuppressed::KeyNotFound), 0));
    assert!(!missing.position.epoch.is_unknown());
    assert_eq!(bench.suppressed(value("2", KeyMode::IfNew)).await, None);
    let there = bench.publish(value("3", KeyMode::IfNew)).await;
    assert_eq!((there.suppressed, there.position.offset), (Some(MapSuppressed::KeyExists), 1));
    assert_eq!(there.position.epoch, missing.position.epoch);
    assert_eq!(bench.suppressed(value("4", KeyMode::IfExists)).await, None);
    assert_eq!(bench.suppressed(value("5", KeyMode::Replace)).await, None);
    assert_eq!(bench.state().await, ["x=5"]);
    assert_eq!(bench.take(bench.removal("x")).await.suppressed, None);
    assert_eq!(bench.suppressed(value("6", KeyMode::IfExists)).await, Some(MapSuppressed::KeyNotFound));
    assert_eq!(bench.suppressed(value("7", KeyMode::IfNew)).await, None);
    assert_eq!(bench.told(5).await, ["1:x=2", "2:x=4", "3:x=5", "4:-x", "5:x=7"]);
}

/// A key can be set, or removed, only if it was last set where somebody believes.
pub async fn map_expected_positions(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let first = bench.set("x", "1").await;
    let second = bench.set("y", "2").await;
    let expecting = |key: &str, data: &str, offset: u64, epoch: &Epoch| {
        let mut publish = bench.value(key, data);
        publish.options.expected = Some(StreamPosition { offset, epoch: epoch.clone() });
        publish
    };
    let elsewhere = Epoch::from("elsewhere");
    for (key, offset, epoch) in
        [("x", 2, &first.epoch), ("x", 0, &first.epoch), ("x", 1, &elsewhere), ("new", 1, &first.epoch)]
    {
        let published = bench.publish(expecting(key, "no", offset, epoch)).await;
        assert_eq!(published.suppressed, Some(MapSuppressed::PositionMismatch), "{key} {offset} {epoch:?}");
        assert_eq!(published.position, second);
    }
    let third = bench.publish(expecting("x", "3", 1, &first.epoch)).await;
    assert_eq!((third.suppressed, third.position.offset), (None, 3));
    let removal =
        |expected: &StreamPosition| MapRemove { expected: Some(expected.clone()), ..bench.removal("x") };
    assert_eq!(bench.take(removal(&first)).await.suppressed, Some(MapSuppressed::PositionMismatch));
    assert_eq!(bench.take(removal(&third.position)).await.suppressed, None);
    assert_eq!(bench.state().await, ["y=2"]);
    assert_eq!(bench.told(4).await, ["1:x=1", "2:y=2", "3:x=3", "4:-x"]);
}

/// Idempotency, version, key, place: the first that is not fulfilled is the one that is told (MAPB-09). What was
/// suppressed has used no key of idempotency and has changed nothing.
pub async fn map_checks_have_an_order(harness: impl MapHarness) {
    let bench = Bench::new(harness).await;
    let mut first = bench.value("x", "1");
    first.options.version = 5;
    "used".clone_into(&mut first.options.idempotency_key);
    let position = bench.publish(first).await.position;
    let attempt = |idempotency: &str, version: u64, mode: KeyMode, offset: u64| {
        let mut publish = bench.value("x", "no");
        idempotency.clone_into(&mut publish.options.idempotency_key);
        publish.options.version = version;
        publish.options.mode = mode;
        publish.options.expected = Some(StreamPosition { offset, epoch: position.epoch.clone() });
        publish
    };
    for (publish, reason) in [
        (attempt("used", 5, KeyMode::IfNew, 9), MapSuppressed::Idempotency),
        (attempt("free", 5, KeyMode::IfNew, 9), MapSuppressed::Version),
        (attempt("free", 6, KeyMode::IfNew, 9), MapSuppressed::KeyExists),
        (attempt("free", 6, KeyMode::IfExists, 9), MapSuppressed::PositionMismatch),
        (
            MapPublish { key: Arc::from("new"), ..attempt("free", 5, KeyMode::IfExists, 9) },
            MapSuppressed::KeyNotFound,
        ),
    ] {
        let published = bench.publish(publish).await;
        assert_eq!((published.suppressed, published.position), (Some(reason), position.clone()));
    }
    let expected = Some(StreamPosition { offset: 9, epoch: position.epoch.clone() });
    let missing = MapRemove { expected, ..bench.removal("new") };
    assert_eq!(bench.take(missing).await.suppressed, Some(MapSuppressed::KeyNotFound));
    assert_eq!(bench.state().await, ["x=1"]);
    let taken = bench.publish(attempt("free", 6, KeyMode::IfExists, 1)).await;
    assert_eq!((taken.suppressed, taken.position.offset), (None, 2), "nothing was used up");
    assert_eq!(bench.told(2).await, ["1:x=1", "2:x=no"]);
}
