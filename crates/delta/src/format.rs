//! The smallest parts of the format: numbers and the checksum.

/// Digits in the order of their values.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Marks bytes that are no digit.
const NONE: u8 = 0xff;

/// The value of each byte as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// The value of a digit.
pub(crate) fn digit(byte: u8) -> Option<u32> {
    let value = VALUES[usize::from(byte)];
    (value != NONE).then_some(u32::from(value))
}

/// How many digits a number takes.
pub(crate) fn digits(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros();
    bits.div_ceil(6).max(1) as usize
}

/// Appends a number.
pub(crate) fn put(number: usize, out: &mut Vec<u8>) {
    for place in (0..digits(number)).rev() {
        out.push(DIGITS[(number >> (6 * place)) & 63]);
    }
}

/// The sum of the target's big-endian words of 32 bits, the last one filled up with zeros.
pub(crate) fn checksum(data: &[u8]) -> u32 {
    let (words, rest) = data.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let sum = words.iter().fold(0_u32, |sum, word| sum.wrapping_add(u32::from_be_bytes(*word)));
    sum.wrapping_add(u32::from_be_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_most_significant_digit_first() {
        for (number, text) in [(0, "0"), (9, "9"), (10, "A"), (36, "_"), (37, "a"), (63, "~"), (64, "10")] {
            let mut out = Vec::new();
            put(number, &mut out);
            assert_eq!((out.as_slice(), digits(number)), (text.as_bytes(), text.len()));
        }
        let mut out = Vec::new();
        put(u32::MAX as usize, &mut out);
        assert_eq!(out, b"3~~~~~");
    }

    #[test]
    fn every_digit_has_its_value_and_nothing_else_is_one() {
        for byte in 0..=u8::MAX {
            let place = DIGITS.iter().position(|digit| *digit == byte);
            assert_eq!(digit(byte), place.map(|place| place as u32));
        }
    }

    #[test]
    fn the_checksum_adds_words_and_wraps() {
        assert_eq!(checksum(b""), 0);
        assert_eq!(checksum(b"\x01"), 0x0100_0000);
        assert_eq!(checksum(b"\x00\x00\x00\x01\x00\x02\x03"), 0x0002_0301);
        assert_eq!(checksum(&[0xff; 8]), 0xffff_fffe);
    }
}
