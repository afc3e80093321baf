//! Durations as Go writes them (CONF-08).

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as configuration files state it: `1h30m`, `250ms`, `-1s`, or a bare number of nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl GoDuration {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self::from_millis(seconds * 1000)
    }

    /// Whether it is below zero, which switches some options off.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The length, if it is not below zero.
    #[must_use]
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// Reads a duration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut nanos: f64 = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest.get(..digits)?.parse().ok()?;
            rest = rest.get(digits..)?;
            let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            let unit = rest.get(..unit_end)?;
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
            #[expect(clippy::cast_precision_loss, reason = "a unit is far below 2^53")]
            {
                nanos += number * *factor as f64;
            }
            rest = rest.get(unit_end..)?;
        }
        if nanos > 9.2e18 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let nanos = nanos.round() as i64;
        Some(Self(if negative { -nanos } else { nanos }))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        for (unit, factor) in
            [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)]
        {
            if nanos != 0 && nanos % factor == 0 {
                return write!(f, "{}{unit}", nanos / factor);
            }
        }
        if nanos == 0 { f.write_str("0s") } else { write!(f, "{nanos}ns") }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"25s\", or a number of nanoseconds")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<GoDuration, E> {
                GoDuration::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_i64<E: Error>(self, nanos: i64) -> Result<GoDuration, E> {
                Ok(GoDuration(nanos))
            }

            fn visit_u64<E: Error>(self, nanos: u64) -> Result<GoDuration, E> {
                i64::try_from(nanos)
                    .map(GoDuration)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(nanos), &self))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_lengths() {
        for (text, millis) in [
            ("0", 0),
            ("25s", 25_000),
            ("1000ms", 1_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("-1s", -1_000),
            ("720h", 2_592_000_000),
        ] {
            assert_eq!(GoDuration::parse(text), Some(GoDuration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "1s1", "--1s", "999999999999h", "\u{e9}s"] {
            assert_eq!(GoDuration::parse(text), None, "{text}");
        }
        assert_eq!(GoDuration::from_secs(25).to_string(), "25s");
        assert_eq!(GoDuration::from_secs(120).to_string(), "2m");
        assert_eq!(GoDuration::from_secs(-1).to_string(), "-1s");
    }
}
