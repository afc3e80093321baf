//! How much room the disk of the build has left.
//!
//! A disk that is full ends a linker with a bus error, and a test with whatever its program does then. So a run that
//! failed says how the disk was.

use std::path::Path;

use crate::command::Command;

/// Below this, a step that failed may well have failed for the lack of it: what linking a dozen tests takes.
const SCARCE: u64 = 1 << 30;

/// Bytes that are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room(u64);

impl Room {
    /// Of the disk that holds `folder`, or, before the first build, of the one that will. `None` where `df` does not
    /// tell.
    pub(super) fn at(root: &Path, folder: &Path) -> Option<Self> {
        let there = folder.ancestors().find(|folder| folder.exists())?;
        let said = Command::new(root, "df --output=avail --block-size=1")
            .argument(there.to_string_lossy())
            .capture();
        Self::parse(&said.ok()?)
    }

    /// Of what `df` prints: a heading, and the figure.
    fn parse(said: &str) -> Option<Self> {
        said.lines().nth(1)?.trim().parse().ok().map(Self)
    }

    /// What to say of a failed run, if the disk may be the reason.
    pub(super) fn full(self) -> Option<String> {
        (self.0 < SCARCE).then(|| {
            format!(
                "the disk of the build is full: {} left (CONTRIBUTING.md says what it takes)",
                self.shown()
            )
        })
    }

    pub(super) fn shown(self) -> String {
        let tenths = self.0 / ((1 << 30) / 10);
        format!("{}.{} GiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_df_prints_is_read() {
        assert_eq!(Room::parse("      Avail\n 4724464026\n").map(Room::shown).as_deref(), Some("4.4 GiB"));
        assert_eq!(Room::parse("df: no such file"), None);
        assert_eq!(Room::parse(""), None);
    }

    #[test]
    fn only_a_disk_with_little_left_is_to_blame() {
        assert_eq!(Room(SCARCE).full(), None);
        assert!(
            Room(300 << 20).full().is_some_and(|said| said.contains("0.2 GiB left")),
            "0.29 is shown as 0.2"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above() {
        let root = Path::new("/");
        assert!(Room::at(root, &std::env::temp_dir().join("no/such/folder")).is_some());
    }
}
