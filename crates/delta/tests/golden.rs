//! Vectors made with the npm package that the official JavaScript SDK's decoder comes from: what it creates is
//! applied here, and what is created here is what it has applied.
#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use tourbillon_delta::{apply, create};

fn bytes(hex: &str) -> Vec<u8> {
    if hex == "-" {
        return Vec::new();
    }
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("two digits"))
        .collect()
}

#[test]
fn both_directions_agree_with_the_javascript_package() {
    let mut vectors = 0;
    let (mut theirs_total, mut ours_total) = (0, 0);
    for line in include_str!("golden/fossil-delta.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [kind, source, target, theirs, ours] = fields[..] else { panic!("five fields: {line}") };
        let [source, target, theirs, ours] = [source, target, theirs, ours].map(bytes);
        assert_eq!(apply(&source, &theirs, target.len()).as_ref(), Ok(&target), "{kind}: their delta");
        assert_eq!(apply(&source, &ours, target.len()).as_ref(), Ok(&target), "{kind}: our delta");
        // A change of the search makes other deltas: check them with the package before they replace these.
        assert_eq!(create(&source, &target), ours, "{kind}");
        vectors += 1;
        theirs_total += theirs.len();
        ours_total += ours.len();
    }
    assert!(vectors >= 30, "{vectors} vectors");
    assert!(ours_total * 100 <= theirs_total * 101, "{ours_total} bytes, theirs are {theirs_total}");
}
