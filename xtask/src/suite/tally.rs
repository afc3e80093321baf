//! Counts tests in what test runners print.

use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) left_out: usize,
}

impl Tally {
    /// Adds what a line says: the summary of a cargo test binary, of nextest, or of Node's test runner.
    pub(super) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("test result: ") {
            let rest = rest.split_once(". ").map_or(rest, |(_, counts)| counts);
            self.counts(rest.split(';'), "ignored");
        } else if let Some((_, rest)) = line.split_once(" run: ").filter(|_| line.starts_with("Summary [")) {
            self.counts(rest.split(','), "skipped");
        } else if let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("\u{2139} ")) {
            let mut words = rest.split_whitespace();
            let (Some(word), Some(count), None) = (words.next(), words.next(), words.next()) else { return };
            let Ok(count) = count.parse::<usize>() else { return };
            match word {
                "pass" => self.passed += count,
                "fail" | "cancelled" => self.failed += count,
                "skipped" | "todo" => self.left_out += count,
                _ => {}
            }
        }
    }

    fn counts<'a>(&mut self, parts: impl Iterator<Item = &'a str>, left_out: &str) {
        for part in parts {
            let mut words = part.split_whitespace();
            let Some(count) = words.next().and_then(|count| count.parse::<usize>().ok()) else { continue };
            match words.next() {
                Some("passed") => self.passed += count,
                Some("failed") => self.failed += count,
                Some(word) if word == left_out => self.left_out += count,
                _ => {}
            }
        }
    }

    /// For the report; empty where there were no tests.
    pub(super) fn shown(self) -> String {
        match self {
            Self { passed: 0, failed: 0, left_out: 0 } => String::new(),
            Self { passed, failed, left_out: 0 } => format!("{passed} passed, {failed} failed"),
            Self { passed, failed, left_out } => {
                format!("{passed} passed, {failed} failed, {left_out} LEFT OUT")
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.left_out += other.left_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> (usize, usize, usize) {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        (tally.passed, tally.failed, tally.left_out)
    }

    #[test]
    fn cargo_test_is_counted() {
        let text = "running 3 tests\ntest a ... ok\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(tally(text), (15, 2, 1));
    }

    #[test]
    fn nextest_is_counted() {
        let text = "     Summary [   1.234s] 20 tests run: 17 passed (1 slow), 3 failed, 2 skipped\n";
        assert_eq!(tally(text), (17, 3, 2));
    }

    #[test]
    fn node_is_counted() {
        assert_eq!(
            tally("# tests 5\n# suites 0\n# pass 3\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n"),
            (3, 1, 1)
        );
        assert_eq!(tally("\u{2139} pass 4\n\u{2139} fail 0\n"), (4, 0, 0));
        assert_eq!(tally("# pass the salt\n# Subtest: pass 3\n"), (0, 0, 0));
    }
}
