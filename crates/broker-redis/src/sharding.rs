//! Which of several servers a channel is on (RED-04). Nodes of one installation must agree to the bit, Centrifugo's too.

/// FNV-1a, 64 bits.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Jump consistent hash (Lamping and Veach): when one more bucket is added, only what moves there moves.
pub(crate) fn jump(mut key: u64, buckets: usize) -> usize {
    let buckets = i64::try_from(buckets).unwrap_or(i64::MAX);
    let (mut bucket, mut next) = (0_i64, 0_i64);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let scale = f64::from(1_u32 << 31) / ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * scale) as i64;
    }
    usize::try_from(bucket).unwrap_or_default()
}

/// The place of a channel among so many; 0 if there is one only.
pub(crate) fn place(channel: &str, count: usize) -> usize {
    if count > 1 { jump(hash(channel), count) } else { 0 }
}

/// The place of a channel among so many, where nobody else has to know it.
pub(crate) fn spread(channel: &str, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    // The upper half: the lower bits of short names are alike.
    usize::try_from((hash(channel) >> 32) % count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The vectors of its authors.
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(hash(text), expected, "{text}");
        }
    }

    #[test]
    fn red_04_places_are_those_of_the_jump_hash() {
        // The vectors that implementations of the paper share.
        for (key, buckets, expected) in
            [(1, 1, 0), (42, 57, 43), (0xDEAD_10CC, 1, 0), (0xDEAD_10CC, 666, 361), (256, 1024, 520)]
        {
            assert_eq!(jump(key, buckets), expected, "{key} of {buckets}");
        }
        assert_eq!(place("anything", 1), 0);
    }

    #[test]
    fn one_more_place_moves_only_what_goes_there() {
        let names: Vec<String> = (0..1000).map(|number| format!("channel-{number}")).collect();
        let mut moved = 0;
        for name in &names {
            let (before, after) = (place(name, 4), place(name, 5));
            assert!(after == before || after == 4, "{name}");
            moved += usize::from(after != before);
        }
        assert!((100..300).contains(&moved), "{moved} of 1000");
    }
}
