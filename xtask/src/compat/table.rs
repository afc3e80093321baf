//! The table of known behaviour.

use std::collections::BTreeSet;

use serde::Deserialize;

const LONGEST_TEXT: usize = 100;

/// All of `tests/compatibility.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    area: Vec<RawArea>,
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArea {
    name: String,
    prefixes: Vec<String>,
}

/// The rows of one area.
#[derive(Debug)]
pub(crate) struct Area<'a> {
    pub(crate) name: &'a str,
    pub(crate) rows: Vec<&'a Row>,
}

/// One behaviour of the reference system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) status: Status,
    test: Option<Tests>,
    pub(crate) note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Tests {
    One(String),
    Many(Vec<String>),
}

/// How far a behaviour is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// It works, and tests show it.
    Proven,
    /// Tests show a part; the note says what is missing.
    Partial,
    /// Nothing is shown yet.
    Planned,
    /// Deliberately not as the reference does it; the note says how and why, and tests show it.
    Different,
    /// It has no meaning here; the note says why.
    NotApplicable,
}

impl Status {
    pub(crate) const ALL: [Self; 5] =
        [Self::Proven, Self::Partial, Self::Planned, Self::Different, Self::NotApplicable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Partial => "partial",
            Self::Planned => "planned",
            Self::Different => "different",
            Self::NotApplicable => "not applicable",
        }
    }

    fn needs_test(self) -> bool {
        matches!(self, Self::Proven | Self::Partial | Self::Different)
    }

    fn needs_note(self) -> bool {
        matches!(self, Self::Partial | Self::Different | Self::NotApplicable)
    }
}

impl Row {
    pub(crate) fn tests(&self) -> impl Iterator<Item = &str> {
        let tests = match &self.test {
            None => &[],
            Some(Tests::One(test)) => std::slice::from_ref(test),
            Some(Tests::Many(tests)) => &tests[..],
        };
        tests.iter().map(String::as_str)
    }

    fn complaint(&self) -> Option<String> {
        let length = self.text.chars().count();
        let tested = self.tests().next().is_some();
        let why = if length == 0 || length > LONGEST_TEXT {
            format!("its text has {length} characters; 1 to {LONGEST_TEXT} are good")
        } else if self.status.needs_test() && !tested {
            format!("is {} but names no test", self.status.name())
        } else if tested && !self.status.needs_test() {
            format!("names a test but is {}", self.status.name())
        } else if self.status.needs_note() && self.note.is_none() {
            format!("is {}: a note must say why", self.status.name())
        } else {
            return None;
        };
        Some(format!("{}: {why}", self.id))
    }
}

impl Table {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.row
    }

    pub(crate) fn count(&self, status: Status) -> usize {
        self.row.iter().filter(|row| row.status == status).count()
    }

    /// The areas in their order, each with its rows in theirs.
    pub(crate) fn areas(&self) -> Vec<Area<'_>> {
        let mut areas: Vec<Area<'_>> =
            self.area.iter().map(|raw| Area { name: &raw.name, rows: Vec::new() }).collect();
        for row in &self.row {
            if let Some(index) = self.area_of(row) {
                areas[index].rows.push(row);
            }
        }
        areas
    }

    /// The area with the longest prefix of the row's id.
    fn area_of(&self, row: &Row) -> Option<usize> {
        let prefixes = self
            .area
            .iter()
            .enumerate()
            .flat_map(|(index, area)| area.prefixes.iter().map(move |prefix| (index, prefix)));
        let fitting = prefixes.filter(|(_, prefix)| row.id.starts_with(prefix.as_str()));
        fitting.max_by_key(|(_, prefix)| prefix.len()).map(|(index, _)| index)
    }

    /// What is wrong with the rows themselves.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut complaints = Vec::new();
        for row in &self.row {
            if !seen.insert(row.id.as_str()) {
                complaints.push(format!("{}: stands there twice", row.id));
            }
            if self.area_of(row).is_none() {
                complaints.push(format!("{}: belongs to no area", row.id));
            }
            complaints.extend(row.complaint());
        }
        complaints
    }
}

impl Area<'_> {
    pub(crate) fn count(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREAS: &str = "[[area]]\nname = \"One\"\nprefixes = [\"A\"]\n[[area]]\nname = \"Two\"\nprefixes = [\"A-1\", \"B\"]\n";

    fn table(rows: &str) -> Table {
        Table::parse(&format!("{AREAS}{rows}")).expect("a table")
    }

    fn row(id: &str, rest: &str) -> String {
        format!("[[row]]\nid = \"{id}\"\ntext = \"T\"\n{rest}\n")
    }

    #[test]
    fn rows_find_their_area() {
        let rows = ["A-01", "A-11", "B-01"].map(|id| row(id, "status = \"planned\"")).concat();
        let table = table(&rows);
        let areas: Vec<_> = table.areas().iter().map(|area| area.rows.len()).collect();
        assert_eq!(areas, [1, 2]);
        assert_eq!(table.complaints(), Vec::<String>::new());
    }

    #[test]
    fn unsound_rows_are_complaints() {
        for bad in [
            row("A-1", "status = \"proven\""),
            row("A-1", "status = \"partial\"\ntest = \"t\""),
            row("A-1", "status = \"different\"\nnote = \"n\""),
            row("A-1", "status = \"planned\"\ntest = \"t\""),
            row("A-1", "status = \"not-applicable\""),
            row("C-1", "status = \"planned\""),
            row("A-1", "status = \"planned\"")
                .replace("\"T\"", &format!("\"{}\"", "x".repeat(LONGEST_TEXT + 1))),
            format!("{0}{0}", row("A-1", "status = \"planned\"")),
        ] {
            assert_eq!(table(&bad).complaints().len(), 1, "{bad}");
        }
        for good in [
            row("A-1", "status = \"proven\"\ntest = [\"t\", \"u\"]"),
            row("A-1", "status = \"partial\"\ntest = \"t\"\nnote = \"n\""),
            row("A-1", "status = \"not-applicable\"\nnote = \"n\""),
        ] {
            assert_eq!(table(&good).complaints(), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn unknown_words_are_errors() {
        assert!(Table::parse(&format!("{AREAS}{}", row("A-1", "status = \"done\""))).is_err());
        assert!(
            Table::parse(&format!("{AREAS}{}", row("A-1", "status = \"planned\"\ntests = \"t\""))).is_err()
        );
    }
}
