//! Decimal numbers in tags, as Centrifugo reads them (TF-01).

use std::cmp::Ordering;
use std::fmt;

/// The longest text that is a number, in bytes.
const MAX_LENGTH: usize = 200;

/// Digits after the point that a number may have.
const MAX_FRACTION: usize = 19;

/// A number as its digits: without zeros before or after them, and zero without a sign. The derived equality is
/// therefore that of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number<'a> {
    is_negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Number<'a> {
    /// A sign or none, digits, and perhaps a point and up to 19 more digits: no exponent, no space, nothing without
    /// a digit on either side of the point, 200 bytes in all.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (is_negative, digits) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let point = digits.iter().position(|byte| !byte.is_ascii_digit());
        let (integer, fraction) = match point.map(|point| digits.split_at(point)) {
            None => (digits, None),
            Some((integer, [b'.', fraction @ ..])) => (integer, Some(fraction)),
            Some(_) => return None,
        };
        let is_fraction = |digits: &[u8]| {
            (1..=MAX_FRACTION).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        };
        if integer.is_empty() || !fraction.is_none_or(is_fraction) {
            return None;
        }
        let leading = integer.iter().take_while(|digit| **digit == b'0').count();
        let integer = integer.get(leading..).unwrap_or_default();
        let fraction = fraction.unwrap_or_default();
        let trailing = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let fraction = fraction.get(..fraction.len() - trailing).unwrap_or_default();
        let is_zero = integer.is_empty() && fraction.is_empty();
        Some(Self { is_negative: is_negative && !is_zero, integer, fraction })
    }

    /// The number with digits of its own.
    pub(super) fn to_owned(self) -> OwnedNumber {
        let Self { is_negative, integer, fraction } = self;
        OwnedNumber { is_negative, integer: integer.into(), fraction: fraction.into() }
    }
}

impl fmt::Display for Number<'_> {
    /// Text of which the same number is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let digits = |digits: &[u8]| digits.iter().copied().map(char::from).collect::<String>();
        let integer = if self.integer.is_empty() { "0".to_owned() } else { digits(self.integer) };
        let point = if self.fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{integer}{point}{}", digits(self.fraction))
    }
}

/// A number that does not borrow its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnedNumber {
    is_negative: bool,
    integer: Box<[u8]>,
    fraction: Box<[u8]>,
}

impl OwnedNumber {
    pub(super) const fn get(&self) -> Number<'_> {
        Number { is_negative: self.is_negative, integer: &self.integer, fraction: &self.fraction }
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let integers = self.integer.len().cmp(&other.integer.len()).then(self.integer.cmp(other.integer));
            integers.then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.is_negative, other.is_negative) {
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The one way to write this number.
    fn canonical(number: &Number<'_>) -> String {
        let sign = if number.is_negative { "-" } else { "" };
        let integer = if number.integer.is_empty() { b"0" } else { number.integer };
        let point = if number.fraction.is_empty() { "" } else { "." };
        let bytes = [sign.as_bytes(), integer, point.as_bytes(), number.fraction].concat();
        String::from_utf8(bytes).expect("digits")
    }

    /// Each text and what the decimal package of Centrifugo made of it.
    #[test]
    fn texts_are_numbers_where_centrifugo_has_them() {
        for (text, value) in [
            ("0", "0"),
            ("-0", "0"),
            ("+1", "1"),
            ("00012", "12"),
            ("1.50", "1.5"),
            ("0.1234567890123456789", "0.1234567890123456789"),
            ("0.0000000000000000000", "0"),
            ("1.0000000000000000000", "1"),
            ("000000000000000000000000000000.5", "0.5"),
            ("340282366920938463463374607431768211456", "340282366920938463463374607431768211456"),
        ] {
            assert_eq!(Number::parse(text).as_ref().map(canonical).as_deref(), Some(value), "{text}");
        }
        for text in [
            "",
            "+",
            "-",
            ".",
            "1.",
            "-1.",
            ".5",
            "-.5",
            "+.5",
            "1e3",
            "1E3",
            "1_000",
            " 1",
            "1 ",
            "0x10",
            "inf",
            "NaN",
            "1..2",
            "1.2.3",
            "--1",
            "+-1",
            "١",
            "0.12345678901234567890",
            "0.00000000000000000000",
        ] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_longest_number_has_200_bytes() {
        for (text, is_number) in [
            ("9".repeat(200), true),
            ("9".repeat(201), false),
            ("0".repeat(201), false),
            (format!("-{}", "9".repeat(199)), true),
            (format!("-{}", "9".repeat(200)), false),
            (format!("{}.1234567890123456789", "9".repeat(180)), true),
            (format!("{}.1234567890123456789", "9".repeat(181)), false),
        ] {
            assert_eq!(Number::parse(&text).is_some(), is_number, "{text}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ascending = [
            "-100",
            "-20.5",
            "-20.45",
            "-20",
            "-6",
            "-5",
            "-0.01",
            "0",
            "0.009",
            "0.01",
            "0.1",
            "0.15",
            "1",
            "1.5",
            "9.99",
            "10",
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211457",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(Number::parse(a).cmp(&Number::parse(b)), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    fn scaled(mantissa: i64) -> String {
        let (sign, size) = (if mantissa < 0 { "-" } else { "" }, mantissa.unsigned_abs());
        format!("{sign}{}.{:04}", size / 10_000, size % 10_000)
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_integers(a in -100_000_000_i64..100_000_000, b in -100_000_000_i64..100_000_000) {
            let (a_text, b_text) = (scaled(a), scaled(b));
            prop_assert_eq!(Number::parse(&a_text).cmp(&Number::parse(&b_text)), a.cmp(&b));
            prop_assert_eq!(Number::parse(&a_text) == Number::parse(&b_text), a == b);
        }

        #[test]
        fn any_text_is_a_number_or_not(text in "[-+]?[0-9.e ]{0,30}") {
            if let Some(number) = Number::parse(&text) {
                let (canonical, owned) = (canonical(&number), number.to_owned());
                prop_assert_eq!(Number::parse(&canonical), Some(number));
                prop_assert_eq!(owned.get(), number);
            }
        }
    }
}
