//! How far two byte strings agree.

/// Compared at once where much is likely to be equal.
const BLOCK: usize = 64;

/// The length of the longest common beginning.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)).take_while(|(a, b)| a == b).count();
    let mut length = blocks * BLOCK;
    let (a, b) = (a.get(length..).unwrap_or_default(), b.get(length..).unwrap_or_default());
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    for (a, b) in a_words.iter().zip(b_words) {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    // The shorter one is at its rest, while the longer may still have whole words.
    let words = a_words.len().min(b_words.len()) * 8;
    let (a, b) = (a.get(words..).unwrap_or_default(), b.get(words..).unwrap_or_default());
    length + a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The length of the longest common end.
pub(crate) fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.rchunks_exact(BLOCK).zip(b.rchunks_exact(BLOCK)).take_while(|(a, b)| a == b).count();
    let mut length = blocks * BLOCK;
    let (a, b) = (rest(a, length), rest(b, length));
    for (a, b) in a.rchunks_exact(8).zip(b.rchunks_exact(8)) {
        if a != b {
            break;
        }
        length += 8;
    }
    let same = length - blocks * BLOCK;
    let (a, b) = (rest(a, same), rest(b, same));
    length + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

fn rest(data: &[u8], from_end: usize) -> &[u8] {
    data.get(..data.len() - from_end).unwrap_or_default()
}

/// The eight bytes at a place, as a number.
pub(crate) fn word(data: &[u8], at: usize) -> Option<u64> {
    data.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found_at_every_length() {
        let data: Vec<u8> = (0..300_u32).map(|i| (i * 7) as u8).collect();
        for length in 0..data.len() {
            let mut other = data.clone();
            other[length] ^= 1;
            assert_eq!(common_prefix(&data, &other), length);
            assert_eq!(common_suffix(&data, &other), data.len() - length - 1);
            assert_eq!(common_prefix(&data, &data[..length]), length);
            assert_eq!(common_prefix(&data[..length], &data), length);
            assert_eq!(common_suffix(&data, &data[length..]), data.len() - length);
            assert_eq!(common_suffix(&data[length..], &data), data.len() - length);
        }
        assert_eq!((common_prefix(&data, &data), common_suffix(&data, &data)), (300, 300));
    }
}
