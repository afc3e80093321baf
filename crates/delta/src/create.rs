//! From source and target to the delta.

use std::cell::Cell;

use crate::compare::{common_prefix, common_suffix, word};
use crate::format::{checksum, digits, put};
use crate::index::{FINE, Index, WINDOW};

/// Offsets and lengths have 32 bits in every decoder; what is beyond is not referred to.
const MAX_SOURCE: usize = u32::MAX as usize;

/// A match this long is taken without looking for a longer one, which bounds the comparisons.
const LONG: usize = 32;

/// How far after a copy its continuation is looked for in the source. Only when that fails the source is indexed.
const NEAR: usize = 24;

/// The same in a source that is indexed quickly.
const EAGER: usize = 8;

/// From this length of a literal on not every place of the target is looked up.
const SPARSE: usize = 256;

/// What comparing two ranges costs, in places looked up; and the bytes that are compared in the time of one of these.
const COMPARE: usize = 8;

/// Candidates looked at for a longer copy. What tells places apart occurs in few of them.
const FEW: usize = 4;

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
        self.create_with(usize::MAX, source, target, out);
    }

    fn create_with(&mut self, work: usize, source: &[u8], target: &[u8], out: &mut Vec<u8>) {
        out.clear();
        put(target.len(), out);
        out.push(b'\n');
        let source = source.get(..MAX_SOURCE).unwrap_or(source);
        let mut writer = Writer { target, out, written: 0, is_text: None };
        let work = Cell::new(work);
        Search { source, target, index: &mut self.index, is_indexed: false, work }.run(&mut writer);
        writer.finish();
    }

    /// As [`create_into`](Self::create_into), and whether the delta is worth sending, which is when it is smaller
    /// than the target (HID-09). When it is not, send the target.
    #[must_use]
    pub fn create_if_smaller(&mut self, source: &[u8], target: &[u8], out: &mut Vec<u8>) -> bool {
        self.create_if_smaller_within(usize::MAX, source, target, out)
    }

    /// As [`create_if_smaller`](Self::create_if_smaller), for whoever cannot wait: no more than so much `work` is done to
    /// find what can be copied, and what is not found by then is written as it is.
    ///
    /// One unit is about one place of the target that is looked up; comparing ranges costs by their length. Changes in a
    /// few places of a large document cost little wherever they are. Beside this, time linear in source and target is
    /// taken to read both and to index the source, which is little.
    #[must_use]
    pub fn create_if_smaller_within(
        &mut self,
        work: usize,
        source: &[u8],
        target: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        // Not even length, one copy and checksum would be smaller; or no decoder takes it.
        if target.len() <= "9\n9@0,0;".len() || target.len() > MAX_SOURCE {
            out.clear();
            return false;
        }
        self.create_with(work, source, target, out);
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
        let Some(bytes) = self.target.get(self.written..end).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        put(bytes.len(), self.out);
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
        self.written = end;
    }

    /// Writes the rest, and what ends a delta.
    fn finish(mut self) {
        self.literal(self.target.len());
        put(checksum(self.target) as usize, self.out);
        self.out.push(b';');
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
    /// What may still be done.
    work: Cell<usize>,
}

impl Search<'_> {
    fn spend(&self, work: usize) {
        self.work.set(self.work.get().saturating_sub(work));
    }

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
        let mut gap = Gap { begin, end, expected: (begin > 0).then_some(begin) };
        let mut at = begin;
        while at + WINDOW <= end && self.work.get() > 0 {
            self.spend(if self.is_indexed { COMPARE } else { 1 });
            if let Some(copy) = self.longest(at, gap) {
                let copy = self.look_ahead(at, copy, gap);
                writer.copy(copy);
                at = copy.end();
                gap = Gap { begin: at, end, expected: Some(copy.offset + copy.length) };
                continue;
            }
            let pending = at - gap.begin;
            if !self.is_indexed && self.is_worth_indexing(pending, end - at) {
                self.index.build(self.source);
                self.is_indexed = true;
                at = gap.begin;
                continue;
            }
            // Not a divisor of the index's stride: every alignment comes up sooner or later.
            at += if pending < SPARSE { 1 } else { 3 };
        }
    }

    /// Whether, with so much that is not found near and so much that is to come, the source is indexed. In a small one
    /// that costs less than sending what is somewhere else in it; lists of objects have the same words everywhere.
    const fn is_worth_indexing(&self, pending: usize, left: usize) -> bool {
        if self.source.len() <= FINE { pending >= EAGER } else { pending >= NEAR && left >= NEAR }
    }

    /// The copy itself, or a longer one that covers a later window of it. Keys that occur everywhere match
    /// anywhere; what comes after them tells which place it is.
    fn look_ahead(&mut self, at: usize, found: Copy, gap: Gap) -> Copy {
        if found.length >= LONG || found.end() >= gap.end {
            return found;
        }
        if !self.is_indexed {
            self.index.build(self.source);
            self.is_indexed = true;
        }
        let mut best = found;
        for at in at + 1..found.end().min(at + LONG) {
            let Some(window) = word(self.target, at) else { break };
            for place in self.index.candidates(window).take(FEW) {
                // What lies on the same diagonal is the same copy.
                if place + best.at != at + best.offset && word(self.source, place) == Some(window) {
                    best = longer(best, self.extend(place, at, gap));
                }
            }
            if best.length >= LONG || self.work.get() == 0 {
                break;
            }
        }
        best
    }

    /// The longest copy that pays and covers the window at `at`.
    fn longest(&self, at: usize, gap: Gap) -> Option<Copy> {
        let window = word(self.target, at)?;
        let pending = at - gap.begin;
        let near = gap.expected.filter(|_| pending < NEAR).map(|expected| expected + pending);
        let near = SHIFTS.iter().filter_map(|shift| near?.checked_add_signed(*shift));
        let indexed = self.is_indexed.then(|| self.index.candidates(window)).into_iter().flatten();
        let mut best: Option<Copy> = None;
        for place in near.chain(indexed).filter(|place| word(self.source, *place) == Some(window)) {
            let copy = self.extend(place, at, gap);
            best = best.map_or(copy, |best| Some(longer(best, copy)));
            if best.is_some_and(|best| best.length >= LONG) {
                break;
            }
        }
        best
    }

    /// How far source and target agree around these places, if that pays.
    fn extend(&self, place: usize, at: usize, gap: Gap) -> Option<Copy> {
        let forward = common_prefix(self.source.get(place..)?, self.target.get(at..gap.end)?);
        let back = common_suffix(self.source.get(..place)?, self.target.get(gap.begin..at)?);
        let copy = Copy { at: at - back, offset: place - back, length: back + forward };
        self.spend(COMPARE + copy.length / COMPARE);
        copy.pays(copy.at > gap.begin && copy.end() < gap.end).then_some(copy)
    }
}

/// The first of the longest.
fn longer(best: Copy, other: Option<Copy>) -> Copy {
    other.filter(|other| other.length > best.length).unwrap_or(best)
}

/// The part of the target without copies yet.
#[derive(Clone, Copy)]
struct Gap {
    begin: usize,
    end: usize,
    /// Where the source goes on after the copy before the gap, if there is one.
    expected: Option<usize>,
}
