//! What the fuzz targets run. Their seeds are run by a test here as well.

use crate::{Creator, apply};

/// The longest target that the targets allow, in bytes.
const LIMIT: usize = 1 << 16;

/// Splits at a place that the first two bytes say.
fn halves(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let [high, low, rest @ ..] = data else { return None };
    let at = usize::from(u16::from_be_bytes([*high, *low]));
    rest.split_at_checked(at.min(rest.len()))
}

/// A source and any bytes as its delta: never more than the limit, and what comes out has a delta again.
pub fn delta_apply(data: &[u8]) {
    let Some((source, delta)) = halves(data) else { return };
    if let Ok(target) = apply(source, delta, LIMIT) {
        assert!(target.len() <= LIMIT && target.capacity() <= LIMIT);
        roundtrip(source, &target);
    }
}

/// Any source and any target.
pub fn delta_roundtrip(data: &[u8]) {
    let Some((source, target)) = halves(data) else { return };
    roundtrip(source, target);
}

fn roundtrip(source: &[u8], target: &[u8]) {
    let mut delta = Vec::new();
    let mut creator = Creator::new();
    creator.create_into(source, target, &mut delta);
    assert!(delta.len() <= target.len() + 32, "a delta is at most a literal of everything");
    assert_eq!(apply(source, &delta, target.len()).as_deref(), Ok(target));
    if std::str::from_utf8(target).is_ok() {
        assert!(std::str::from_utf8(&delta).is_ok(), "a delta of text is text");
    }
    let first = delta.clone();
    creator.create_into(source, target, &mut delta);
    assert_eq!(delta, first, "what a creator made before does not matter");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_of_the_fuzz_targets_pass() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, target) in
            [("delta_apply", delta_apply as fn(&[u8])), ("delta_roundtrip", delta_roundtrip)]
        {
            let seeds = std::fs::read_dir(corpus.join(name)).expect("the folder of the target");
            let mut count = 0;
            for seed in seeds {
                target(&std::fs::read(seed.expect("an entry").path()).expect("a readable seed"));
                count += 1;
            }
            assert!(count >= 5, "{name} has {count} seeds");
        }
    }
}
