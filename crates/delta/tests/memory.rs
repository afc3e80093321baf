//! What applying and creating allocate.
#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use allocation_counter::measure;
use tourbillon_delta::{Creator, apply, create};

#[test]
fn a_refused_delta_allocates_nothing() {
    let source = [b'a'; 100];
    let bomb = ["3~~~~~\n".to_owned(), "1_@0,".repeat(10_000), "0;".to_owned()].concat();
    let long = ["10000\n".to_owned(), "1_@0,".repeat(10_000), "0;".to_owned()].concat();
    for (delta, limit) in [
        (bomb.as_bytes(), 1000),
        (bomb.as_bytes(), usize::MAX),
        (long.as_bytes(), 1000),
        (b"F4240\nF4240:a", usize::MAX),
        (b"3~~~~~\n0;", usize::MAX),
        (b"", 1000),
    ] {
        let info = measure(|| assert!(apply(&source, delta, limit).is_err()));
        assert_eq!(info.count_total, 0);
    }
}

#[test]
fn a_target_is_allocated_once_and_exactly() {
    let (source, target) = (vec![b'a'; 5000], vec![b'a'; 50_001]);
    let delta = create(&source, &target);
    let info = measure(|| assert_eq!(apply(&source, &delta, target.len()).map(|t| t.len()), Ok(50_001)));
    assert_eq!((info.count_total, info.bytes_max), (1, 50_001));
}

#[test]
fn a_warm_creator_allocates_nothing() {
    let source: Vec<u8> = (0..20_000_u32).map(|i| ((i * i) >> 7) as u8).collect();
    let mut target = source.clone();
    target.rotate_left(7000);
    let (mut creator, mut delta) = (Creator::new(), Vec::new());
    assert!(creator.create_if_smaller(&source, &target, &mut delta));
    assert!(creator.scratch_bytes() > 0, "this needs the tables");
    let info = measure(|| creator.create_into(&source, &target, &mut delta));
    assert_eq!(info.count_total, 0);
}
