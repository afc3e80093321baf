//! From source and target to the delta.

use crate::compare::{common_prefix, common_suffix, word};
use crate::format::{checksum, digits, put};
use crate::index::{Index, WINDOW};

/// Offsets and lengths have 32 bits in every decoder; what is beyond is not referred to.
const MAX_SOURCE: usize = u32::MAX as usize;

/// A match this long is taken without looking for a longer one, which bounds the comparisons.
const LONG: usize = 64;

/// How far after a copy its continuation is looked for in the source before the index is asked, and from which
/// length of a literal on the index is asked at all.
const NEAR: usize = 24;

/// Shifts of the continuation that are tried: a number or a word that changed its length by so much.
const SHIFTS: [isize; 9] = [0, 1, -1, 2, -2, 3, -3, 4, -4];

/// The delta that makes `target` of `source`. A [`Creator`] saves allocations where many are made.
///
/// Every target has one, if need be a literal of all of it, which is a few bytes longer than the target.
#[must_use]
pub fn create(source: &[u8], target: &[u8]) -> Vec<u8> {
    let mut delta = Vec::new();
    Creator::new().create_into(source, target, &mut delta);
    delta
}

/// Creates deltas and keeps its tables for the next one. Without content, and without allocations, when new.
#[derive(Debug, Default)]
pub struct Creator {
    index: Index,
}

impl Creator {
    /// A creator without tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that the tables occupy: at most 512 KiB, a little more than the source up to then, and nothing as long
    /// as changes were too small to need tables. Drop the creator to give them back.
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        self.index.capacity()
    }

    /// Replaces what is in `out` by the delta that makes `target` of `source`.
    ///
    /// Takes time linear in both, whatever they contain. Targets of 4 GiB and more yield deltas that decoders,
    /// [`apply`](crate::apply) included, do not take: [`create_if_smaller`](Self::create_if_smaller) says so.
    pub fn create_into(&mut self, source: &[u8], target: &[u8], out: &mut Vec<u8>) {
        out.clear();
        put(target.len(), out);
        out.push(b'\n');
        let source = source.get(..MAX_SOURCE).unwrap_or(source);
        let mut writer = Writer { target, out, written: 0, is_text: None };
        Search { source, target, index: &mut self.index, is_indexed: false }.run(&mut writer);
        writer.literal(target.len());
        put(checksum(target) as usize, out);
        out.push(b';');
    }

    /// As [`create_into`](Self::create_into), and whether the delta is worth sending, which is when it is smaller
    /// than the target (HID-09). When it is not, send the target.
    #[must_use]
    pub fn create_if_smaller(&mut self, source: &[u8], target: &[u8], out: &mut Vec<u8>) -> bool {
        // Not even length, one copy and checksum would be smaller; or no decoder takes it.
        if target.len() <= "9\n9@0,0;".len() || target.len() > MAX_SOURCE {
            out.clear();
            return false;
        }
        self.create_into(source, target, out);
        out.len() < target.len()
    }
}

/// A range of the source that is the target's at `at`.
#[derive(Clone, Copy, Debug)]
struct Copy {
    at: usize,
    offset: usize,
    length: usize,
}

impl Copy {
    const fn end(&self) -> usize {
        self.at + self.length
    }

    /// What it takes to write it.
    fn cost(&self) -> usize {
        digits(self.length) + digits(self.offset) + "@,".len()
    }

    /// Whether it is shorter than its bytes as a literal. A copy in between also costs the head of the second
    /// literal.
    fn pays(&self, splits: bool) -> bool {
        self.length > self.cost() + if splits { "9:".len() } else { 0 }
    }
}

/// Writes segments in the target's order: literals are what lies between copies.
struct Writer<'a> {
    target: &'a [u8],
    out: &'a mut Vec<u8>,
    /// How much of the target is written.
    written: usize,
    /// Whether the target is UTF-8, once it mattered.
    is_text: Option<bool>,
}

impl Writer<'_> {
    fn literal(&mut self, end: usize) {
        let Some(bytes) = self.target.get(self.written..end).filter(|bytes| !bytes.is_empty()) else { return };
        put(bytes.len(), self.out);
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
        self.written = end;
    }

    /// Writes a copy, and before it as a literal what is missing. No longer, in a text, than whole characters.
    fn copy(&mut self, copy: Copy) {
        let begin = self.boundary(copy.at, 1);
        let end = self.boundary(copy.end(), -1);
        if begin >= end {
            return;
        }
        let copy = Copy { at: begin, offset: copy.offset + (begin - copy.at), length: end - begin };
        if !copy.pays(false) {
            return;
        }
        self.literal(copy.at);
        put(copy.length, self.out);
        self.out.push(b'@');
        put(copy.offset, self.out);
        self.out.push(b',');
        self.written = copy.end();
    }

    /// The place itself, unless it is inside a character of a text: then that character's begin or end.
    fn boundary(&mut self, at: usize, step: isize) -> usize {
        let inside = |at: usize| self.target.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        if !inside(at) {
            return at;
        }
        let is_text = *self.is_text.get_or_insert_with(|| std::str::from_utf8(self.target).is_ok());
        let mut moved = at;
        while is_text && self.target.get(moved).is_some_and(|byte| byte & 0xc0 == 0x80) {
            moved = moved.saturating_add_signed(step);
        }
        moved
    }
}

/// Finds copies.
struct Search<'a> {
    source: &'a [u8],
    target: &'a [u8],
    index: &'a mut Index,
    is_indexed: bool,
}

impl Search<'_> {
    fn run(&mut self, writer: &mut Writer<'_>) {
        // Most changes are in one place: what is equal before and after it needs no search.
        let prefix = common_prefix(self.source, self.target);
        let head = Copy { at: 0, offset: 0, length: prefix };
        let begin = if head.pays(false) { prefix } else { 0 };
        let left = |data: &[u8]| data.len() - begin;
        let suffix = common_suffix(
            self.source.get(self.source.len() - left(self.source)..).unwrap_or_default(),
            self.target.get(begin..).unwrap_or_default(),
        );
        let tail =
            Copy { at: self.target.len() - suffix, offset: self.source.len() - suffix, length: suffix };
        let end = if tail.pays(false) { tail.at } else { self.target.len() };
        if begin > 0 {
            writer.copy(head);
        }
        self.middle(begin, end, writer);
        if end < self.target.len() {
            writer.copy(tail);
        }
    }

    fn middle(&mut self, begin: usize, end: usize, writer: &mut Writer<'_>) {
        // Where the source goes on after the last copy, if there was one.
        let mut diagonal = (begin > 0).then_some((begin, begin));
        let mut literal = begin;
        let mut at = begin;
        while at + WINDOW <= end {
            match self.longest(at, literal, end, diagonal) {
                Some(copy) => {
                    writer.copy(copy);
                    at = copy.end();
                    literal = at;
                    diagonal = Some((at, copy.offset + copy.length));
                }
                None => at += 1,
            }
        }
    }

    /// The longest copy that pays and covers the window at `at`, between the pending literal's begin and the end.
    fn longest(
        &mut self,
        at: usize,
        literal: usize,
        end: usize,
        diagonal: Option<(usize, usize)>,
    ) -> Option<Copy> {
        let window = word(self.target, at)?;
        let mut best: Option<Copy> = None;
        let pending = at - literal;
        if let Some((after, offset)) = diagonal.filter(|_| pending < NEAR) {
            let expected = offset + (at - after);
            for shift in SHIFTS {
                let Some(place) = expected.checked_add_signed(shift) else { continue };
                if word(self.source, place) == Some(window) {
                    best = longer(best, self.extend(place, at, literal, end));
                    if best.is_some_and(|best| best.length >= LONG) {
                        return best;
                    }
                }
            }
            if best.is_some() || pending + 1 < NEAR {
                // Too early for the index: what it would find is found later too, and extended back to here.
                return best;
            }
        }
        if !self.is_indexed {
            if end - at < NEAR {
                return None;
            }
            self.index.build(self.source);
            self.is_indexed = true;
        }
        for place in self.index.candidates(window) {
            if word(self.source, place) == Some(window) {
                best = longer(best, self.extend(place, at, literal, end));
                if best.is_some_and(|best| best.length >= LONG) {
                    break;
                }
            }
        }
        best
    }

    /// How far source and target agree around these places, if that pays.
    fn extend(&self, place: usize, at: usize, literal: usize, end: usize) -> Option<Copy> {
        let forward = common_prefix(self.source.get(place..)?, self.target.get(at..end)?);
        let back = common_suffix(self.source.get(..place)?, self.target.get(literal..at)?);
        let copy = Copy { at: at - back, offset: place - back, length: back + forward };
        copy.pays(copy.at > literal && copy.end() < end).then_some(copy)
    }
}

fn longer(a: Option<Copy>, b: Option<Copy>) -> Option<Copy> {
    match (a, b) {
        (Some(first), Some(second)) if second.length > first.length => b,
        (None, _) => b,
        _ => a,
    }
}
