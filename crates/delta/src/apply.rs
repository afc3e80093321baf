//! From source and delta to the target.

use std::error::Error;
use std::fmt;

use crate::format::{checksum, digit};

/// What is wrong with a delta. Positions are offsets in the delta, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaError {
    /// The target would be longer than the caller allows.
    TooLarge {
        /// The target's length, in bytes, as far as it is known.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The delta ends before its trailer.
    Truncated,
    /// No number stands where one has to.
    NoNumber(usize),
    /// A number does not fit 32 bits.
    NumberTooLarge(usize),
    /// A number is followed by something else than the format knows at this place.
    BadOperator(usize),
    /// A copy reaches beyond the source.
    CopyOutOfRange(usize),
    /// The segments make up another length than the header says, in bytes.
    WrongSize {
        /// What the header says.
        header: usize,
        /// What the segments make up.
        segments: usize,
    },
    /// The target is not the one that the delta was made for: the source is probably another one.
    WrongChecksum,
    /// Something follows the trailer.
    TrailingBytes(usize),
}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "the target takes {size} bytes or more, {limit} are allowed")
            }
            Self::Truncated => f.write_str("the delta ends before its checksum"),
            Self::NoNumber(at) => write!(f, "byte {at} of the delta is no digit"),
            Self::NumberTooLarge(at) => write!(f, "the number at byte {at} of the delta exceeds 32 bits"),
            Self::BadOperator(at) => write!(f, "byte {at} of the delta does not belong there"),
            Self::CopyOutOfRange(at) => {
                write!(f, "the copy at byte {at} of the delta goes beyond the source")
            }
            Self::WrongSize { header, segments } => {
                write!(f, "the delta announces {header} bytes and has {segments}")
            }
            Self::WrongChecksum => f.write_str("the checksum differs: the delta is for another source"),
            Self::TrailingBytes(at) => write!(f, "the delta goes on at byte {at}, after its checksum"),
        }
    }
}

impl Error for DeltaError {}

/// The target that the delta makes of the source.
///
/// Allocates once, exactly the target's length, and only after the whole delta was found to be consistent with the
/// source and to yield at most `limit` bytes.
///
/// # Errors
///
/// The delta is damaged, is for another source, or its target is longer than `limit` bytes.
pub fn apply(source: &[u8], delta: &[u8], limit: usize) -> Result<Vec<u8>, DeltaError> {
    let (header, mut segments) = Segments::begin(source, delta)?;
    if header > limit {
        return Err(DeltaError::TooLarge { size: header, limit });
    }
    let check = segments.clone();
    let mut size = 0_usize;
    for segment in check {
        if let Segment::Piece(piece) = segment? {
            size = size.saturating_add(piece.len());
            if size > limit {
                return Err(DeltaError::TooLarge { size, limit });
            }
        }
    }
    if size != header {
        return Err(DeltaError::WrongSize { header, segments: size });
    }
    let mut target = Vec::with_capacity(size);
    let expected = loop {
        match segments.next().ok_or(DeltaError::Truncated)?? {
            Segment::Piece(piece) => target.extend_from_slice(piece),
            Segment::End(checksum) => break checksum,
        }
    };
    if checksum(&target) == expected { Ok(target) } else { Err(DeltaError::WrongChecksum) }
}

/// A part of the target, or the checksum that ends the delta.
enum Segment<'a> {
    Piece(&'a [u8]),
    End(u32),
}

/// Yields segments up to the trailer or an error.
#[derive(Clone)]
struct Segments<'a> {
    source: &'a [u8],
    delta: &'a [u8],
    at: usize,
    ended: bool,
}

impl<'a> Segments<'a> {
    /// Reads the header.
    fn begin(source: &'a [u8], delta: &'a [u8]) -> Result<(usize, Self), DeltaError> {
        let mut segments = Self { source, delta, at: 0, ended: false };
        let size = segments.number()?;
        segments.operator(b'\n')?;
        Ok((size as usize, segments))
    }

    fn byte(&self) -> Result<u8, DeltaError> {
        self.delta.get(self.at).copied().ok_or(DeltaError::Truncated)
    }

    fn operator(&mut self, expected: u8) -> Result<(), DeltaError> {
        if self.byte()? != expected {
            return Err(DeltaError::BadOperator(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<u32, DeltaError> {
        let begin = self.at;
        let mut number = 0_u32;
        while let Some(value) = digit(self.byte()?) {
            if number > u32::MAX >> 6 {
                return Err(DeltaError::NumberTooLarge(begin));
            }
            number = (number << 6) | value;
            self.at += 1;
        }
        if self.at == begin { Err(DeltaError::NoNumber(begin)) } else { Ok(number) }
    }

    fn segment(&mut self) -> Result<Segment<'a>, DeltaError> {
        let begin = self.at;
        let number = self.number()?;
        let operator = self.byte()?;
        self.at += 1;
        let length = number as usize;
        match operator {
            b'@' => {
                let offset = self.number()? as usize;
                self.operator(b',')?;
                let piece = self.source.get(offset..).and_then(|rest| rest.get(..length));
                piece.map(Segment::Piece).ok_or(DeltaError::CopyOutOfRange(begin))
            }
            b':' => {
                let literal = self.delta.get(self.at..).and_then(|rest| rest.get(..length));
                self.at += length;
                literal.map(Segment::Piece).ok_or(DeltaError::Truncated)
            }
            b';' if self.at < self.delta.len() => Err(DeltaError::TrailingBytes(self.at)),
            b';' => Ok(Segment::End(number)),
            _ => Err(DeltaError::BadOperator(self.at - 1)),
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, DeltaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let segment = self.segment();
        self.ended = !matches!(segment, Ok(Segment::Piece(_)));
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &[u8] = b"abcdefgh";

    fn result(delta: &str) -> Result<Vec<u8>, DeltaError> {
        apply(SOURCE, delta.as_bytes(), 10)
    }

    #[test]
    fn copies_and_literals_make_the_target() {
        // The sum of "fgXa" and "b" as words.
        assert_eq!(result("5\n2@5,1:X2@0,38PqXX;"), Ok(b"fgXab".to_vec()));
        assert_eq!(result("0\n0;"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (delta, error) in [
            ("", DeltaError::Truncated),
            ("5", DeltaError::Truncated),
            ("5\n", DeltaError::Truncated),
            ("5\n2@5,", DeltaError::Truncated),
            ("5\n5:abc", DeltaError::Truncated),
            ("\n", DeltaError::NoNumber(0)),
            ("5\n2@,", DeltaError::NoNumber(4)),
            ("5\n4000000@0,", DeltaError::NumberTooLarge(2)),
            ("~~~~~~~~~~~~~~\n", DeltaError::NumberTooLarge(0)),
            ("5;", DeltaError::BadOperator(1)),
            ("5\n2!", DeltaError::BadOperator(3)),
            ("5\n2@5;", DeltaError::BadOperator(5)),
            ("5\n4@5,", DeltaError::CopyOutOfRange(2)),
            ("5\n1@3~~~~~,", DeltaError::CopyOutOfRange(2)),
            ("5\n2@5,0;", DeltaError::WrongSize { header: 5, segments: 2 }),
            ("1\n2@5,0;", DeltaError::WrongSize { header: 1, segments: 2 }),
            ("2\n2@5,0;", DeltaError::WrongChecksum),
            ("2\n2@5,3~~~~~;", DeltaError::WrongChecksum),
            ("0\n0;x", DeltaError::TrailingBytes(4)),
            ("B\n", DeltaError::TooLarge { size: 11, limit: 10 }),
            ("3~~~~~\n0;", DeltaError::TooLarge { size: u32::MAX as usize, limit: 10 }),
            ("A\n8@0,8@0,8@0,0;", DeltaError::TooLarge { size: 16, limit: 10 }),
        ] {
            assert_eq!(result(delta), Err(error), "{delta:?}");
            assert!(!error.to_string().is_empty());
        }
    }
}
