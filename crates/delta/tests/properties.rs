//! What holds for every source, target and delta.
#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use proptest::collection::vec;
use proptest::prelude::*;
use tourbillon_delta::{Creator, apply, create};

/// Bytes of few values, so that much of them is repeated.
fn repetitive() -> impl Strategy<Value = Vec<u8>> {
    (vec(vec(any::<u8>(), 1..40), 1..6), vec(any::<prop::sample::Index>(), 0..40))
        .prop_map(|(blocks, order)| order.iter().flat_map(|at| at.get(&blocks).clone()).collect())
}

/// Text with characters of every length.
fn text() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "é", "数", "量", "🚀", "\"price\":", "10", "ü"]), 0..300)
        .prop_map(|parts| parts.concat())
}

/// What a change does: cut so much at a place and put this there.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    vec((any::<prop::sample::Index>(), 0_usize..20, vec(any::<u8>(), 0..20)), 0..6)
}

fn edited(source: &[u8], edits: &[(prop::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut target = source.to_vec();
    for (at, cut, put) in edits {
        let at = at.index(target.len() + 1);
        let end = (at + cut).min(target.len());
        target.splice(at..end, put.iter().copied());
    }
    target
}

fn check(source: &[u8], target: &[u8]) -> Result<Vec<u8>, TestCaseError> {
    let delta = create(source, target);
    prop_assert_eq!(apply(source, &delta, target.len()), Ok(target.to_vec()));
    prop_assert!(delta.len() <= target.len() + 20, "{} bytes for {}", delta.len(), target.len());
    Ok(delta)
}

proptest! {
    #[test]
    fn unrelated_bytes(source in vec(any::<u8>(), 0..600), target in vec(any::<u8>(), 0..600)) {
        check(&source, &target)?;
    }

    #[test]
    fn repeated_bytes(source in repetitive(), target in repetitive()) {
        check(&source, &target)?;
    }

    #[test]
    fn similar_bytes(source in vec(any::<u8>(), 0..3000), edits in edits()) {
        let target = edited(&source, &edits);
        let delta = check(&source, &target)?;
        // At worst each edit costs what it puts, the window it hides, and the heads of a literal and a copy.
        let put: usize = edits.iter().map(|(_, _, put)| put.len()).sum();
        prop_assert!(delta.len() <= 20 + put + edits.len() * 40, "{} bytes for {edits:?}", delta.len());
    }

    #[test]
    fn periods(period in vec(any::<u8>(), 1..30), source in 0_usize..2000, target in 0_usize..2000, turn in 0_usize..30) {
        let source: Vec<u8> = period.iter().cycle().take(source).copied().collect();
        let target: Vec<u8> = period.iter().cycle().skip(turn).take(target).copied().collect();
        check(&source, &target)?;
    }

    /// HID-08: a JSON string carries it.
    #[test]
    fn the_delta_of_a_text_is_a_text(source in text(), target in text(), edits in edits()) {
        let delta = check(source.as_bytes(), target.as_bytes())?;
        prop_assert!(str::from_utf8(&delta).is_ok());
        let target = String::from_utf8_lossy(&edited(source.as_bytes(), &edits)).into_owned();
        let delta = check(source.as_bytes(), target.as_bytes())?;
        prop_assert!(str::from_utf8(&delta).is_ok());
    }

    #[test]
    fn a_used_creator_makes_what_a_new_one_makes(pairs in vec((repetitive(), repetitive()), 1..5)) {
        let mut creator = Creator::new();
        let mut delta = b"left over".to_vec();
        for (source, target) in pairs {
            creator.create_into(&source, &target, &mut delta);
            prop_assert_eq!(&delta, &create(&source, &target));
        }
    }

    /// HID-09: what is worth sending is smaller, and what is not would not be.
    #[test]
    fn worth_sending_is_what_is_smaller(source in repetitive(), target in repetitive()) {
        let mut delta = Vec::new();
        let smaller = Creator::new().create_if_smaller(&source, &target, &mut delta);
        prop_assert_eq!(smaller, create(&source, &target).len() < target.len());
        if smaller {
            prop_assert_eq!(apply(&source, &delta, target.len()), Ok(target));
        }
    }

    #[test]
    fn any_bytes_are_a_delta_or_an_error(source in vec(any::<u8>(), 0..50), delta in vec(any::<u8>(), 0..80), limit in 0_usize..200) {
        if let Ok(target) = apply(&source, &delta, limit) {
            prop_assert!(target.len() <= limit);
        }
    }

    #[test]
    fn nearly_deltas_are_deltas_or_errors(source in vec(any::<u8>(), 0..50), delta in "[0-9A]{1,3}\n([0-9A]{1,2}@[0-9]{1,2},|3:abc){0,6}[0-9]{1,3};?", limit in 0_usize..200) {
        if let Ok(target) = apply(&source, delta.as_bytes(), limit) {
            prop_assert!(target.len() <= limit);
        }
    }

    #[test]
    fn a_damaged_delta_is_refused_or_has_the_same_length(
        source in repetitive(), edits in edits(), at in any::<prop::sample::Index>(), flip in 1_u8..=255,
    ) {
        let target = edited(&source, &edits);
        let mut delta = create(&source, &target);
        let at = at.index(delta.len());
        delta[at] ^= flip;
        // One changed byte of a literal changes the checksum; a changed copy may copy equal bytes.
        if let Ok(other) = apply(&source, &delta, target.len() + 100) {
            prop_assert_eq!(other.len(), target.len());
        }
        delta[at] ^= flip;
        for end in 0..delta.len() {
            prop_assert!(apply(&source, &delta[..end], target.len()).is_err());
        }
    }
}

/// Sources beyond what is indexed finely, and beyond what is indexed at every eighth byte.
#[test]
fn large_sources_have_small_deltas() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for length in [16 << 10, (16 << 10) + 1, 100 << 10, 512 << 10, (512 << 10) + 1, 3 << 20] {
        let source: Vec<u8> = std::iter::repeat_with(&mut noise).take(length).collect();
        let mut target = source.clone();
        target.rotate_left(length / 3);
        target[length / 2] ^= 1;
        let mut creator = Creator::new();
        let mut delta = Vec::new();
        creator.create_into(&source, &target, &mut delta);
        assert_eq!(apply(&source, &delta, length), Ok(target));
        assert!(delta.len() < 100, "{} bytes for {length}", delta.len());
        assert!(creator.scratch_bytes() <= 512 << 10, "{} bytes of tables", creator.scratch_bytes());
    }
}

#[test]
fn one_change_needs_no_tables() {
    let source = br#"{"id":17,"price":10.25,"currency":"EUR"}"#.repeat(100);
    let mut target = source.clone();
    target[2000] ^= 1;
    let mut creator = Creator::new();
    let mut delta = Vec::new();
    assert!(creator.create_if_smaller(&source, &target, &mut delta));
    assert_eq!((creator.scratch_bytes(), delta.len() < 32), (0, true));
}

/// Every target that short costs more as a delta.
#[test]
fn the_shortest_targets_are_not_worth_it() {
    for length in 0..=10 {
        let data = vec![b'a'; length];
        let mut delta = b"left over".to_vec();
        let smaller = Creator::new().create_if_smaller(&data, &data, &mut delta);
        assert_eq!(smaller, create(&data, &data).len() < length, "{length}");
    }
}

/// Changes in few places are found with little work, wherever they are. Whatever the work, a delta is right.
#[test]
fn work_is_bounded() {
    let source: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8).collect();
    let mut creator = Creator::new();
    let mut delta = Vec::new();
    for places in [vec![], vec![500_000], vec![1, 70_000, 500_000, (1 << 20) - 2]] {
        let mut target = source.clone();
        for at in &places {
            target[*at] ^= 1;
        }
        assert!(creator.create_if_smaller_within(1_000_000, &source, &target, &mut delta));
        assert_eq!(delta, create(&source, &target), "the same as with all the time in the world");
        assert!(delta.len() < 200, "{} bytes for {places:?}", delta.len());
        assert_eq!(apply(&source, &delta, target.len()), Ok(target));
    }
    // Each thing is found, and costs: with less work less is found.
    let target: Vec<u8> =
        source.chunks(16).enumerate().flat_map(|(at, chunk)| [&[at as u8][..], chunk].concat()).collect();
    let mut sizes = Vec::new();
    for work in [usize::MAX, 1_000_000, 10_000, 100, 0] {
        let smaller = creator.create_if_smaller_within(work, &source, &target, &mut delta);
        assert_eq!(smaller, delta.len() < target.len());
        assert_eq!(apply(&source, &delta, target.len()).as_ref(), Ok(&target));
        sizes.push(delta.len());
    }
    assert!(sizes.is_sorted() && sizes[4] > sizes[3] && sizes[3] > sizes[0], "{sizes:?}");
}

#[test]
fn what_is_as_long_is_not_worth_sending() {
    let (mut creator, mut delta, mut as_long) = (Creator::new(), Vec::new(), 0);
    let source: Vec<u8> = (0..64).collect();
    for common in 0..64_usize {
        for more in 0..32 {
            let target: Vec<u8> =
                source.iter().copied().take(common).chain((0..more).map(|n| 0x80 + n)).collect();
            let smaller = creator.create_if_smaller(&source, &target, &mut delta);
            let length = create(&source, &target).len();
            assert_eq!(smaller, length < target.len(), "{common} bytes are common, {more} are new");
            as_long += usize::from(length == target.len());
        }
    }
    assert!(as_long > 0);
}

/// A number that has a digit more than before costs little more than its digits, in sources of any size.
#[test]
fn what_moved_a_little_is_found_where_it_should_be() {
    for rows in [10_u32, 2_000] {
        let text = |more: u32| {
            let row = |n: u32| {
                format!("{{\"id\":{n},\"price\":{}}},", if n % (rows / 5) == 1 { 99 + more } else { n })
            };
            (0..rows).map(row).collect::<String>().into_bytes()
        };
        let (source, target) = (text(0), text(1));
        let (mut creator, mut delta) = (Creator::new(), Vec::new());
        creator.create_into(&source, &target, &mut delta);
        assert!(rows < 1_000 || creator.scratch_bytes() == 0, "without tables, where they would be large");
        assert!(delta.len() < 5 * 16 + 24, "{} bytes: {}", delta.len(), String::from_utf8_lossy(&delta));
        assert_eq!(apply(&source, &delta, target.len()), Ok(target));
    }
}
