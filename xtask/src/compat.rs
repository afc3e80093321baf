//! What of the reference system's behaviour is proven here, and by which test.
//!
//! `tests/compatibility.toml` has a row for every behaviour that is known; COMPATIBILITY.md is written from it. A
//! row counts as proven when it names tests, and naming a test that does not exist is an error.

mod page;
mod proof;
mod table;

use std::path::Path;

use self::table::{Status, Table};
use crate::tree::Tree;
use crate::{Options, Verdict};

pub(crate) const TABLE: &str = "tests/compatibility.toml";
const PAGE: &str = "COMPATIBILITY.md";

pub(crate) fn command(root: &Path, options: &Options) -> Result<Verdict, String> {
    let tree = Tree::load(root)?;
    if options.has("--check") {
        let complaints = complaints(root, &tree)?;
        for complaint in &complaints {
            eprintln!("{TABLE}: {complaint}");
        }
        return Ok(if complaints.is_empty() { Verdict::Good } else { Verdict::Bad });
    }
    let table = load(root)?;
    let complaints = unsound(&table, &tree);
    for complaint in &complaints {
        eprintln!("{TABLE}: {complaint}");
    }
    std::fs::write(root.join(PAGE), page::render(&table)).map_err(|error| format!("{PAGE}: {error}"))?;
    for area in table.areas() {
        println!("{:4} of {:4}  {}", area.count(Status::Proven), area.rows.len(), area.name);
    }
    println!("{} rows proven of {} rows known", table.count(Status::Proven), table.rows().len());
    Ok(if complaints.is_empty() { Verdict::Good } else { Verdict::Bad })
}

/// What is wrong with the table, its proofs or its page.
pub(crate) fn complaints(root: &Path, tree: &Tree) -> Result<Vec<String>, String> {
    let table = load(root)?;
    let mut complaints = unsound(&table, tree);
    if std::fs::read_to_string(root.join(PAGE)).unwrap_or_default() != page::render(&table) {
        complaints.push(format!("{PAGE} is stale: run `cargo xtask compat`"));
    }
    Ok(complaints)
}

fn load(root: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(root.join(TABLE)).map_err(|error| format!("{TABLE}: {error}"))?;
    Table::parse(&text).map_err(|error| format!("{TABLE}: {error}"))
}

fn unsound(table: &Table, tree: &Tree) -> Vec<String> {
    let mut complaints = table.complaints();
    for row in table.rows() {
        let missing = row.tests().filter_map(|test| proof::missing(tree, test));
        complaints.extend(missing.map(|why| format!("{}: {why}", row.id)));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;

    const GOOD: &str = "[[area]]\nname = \"A\"\nprefixes = [\"A\"]\n\
        [[row]]\nid = \"A-01\"\ntext = \"Something.\"\nstatus = \"proven\"\ntest = \"a/tests/b.rs::c\"\n";

    #[test]
    fn a_proof_that_does_not_exist_is_a_complaint() {
        let table = Table::parse(GOOD).expect("a table");
        let there = tree(&[("a/tests/b.rs", "#[test]\nfn c() {}")]);
        assert_eq!(unsound(&table, &there), Vec::<String>::new());
        assert_eq!(unsound(&table, &tree(&[])).len(), 1);
    }

    #[test]
    fn a_stale_page_is_a_complaint() {
        let root = std::env::temp_dir().join(format!("xtask-compat-{}", std::process::id()));
        std::fs::create_dir_all(root.join("tests")).expect("a directory");
        std::fs::write(root.join(TABLE), GOOD.replace("proven", "planned").replace("test =", "note ="))
            .expect("a file");
        let complaints = || complaints(&root, &tree(&[])).expect("a table");
        assert_eq!(complaints().len(), 1);
        assert_eq!(command(&root, &Options::default()), Ok(Verdict::Good));
        assert_eq!(complaints(), Vec::<String>::new());
        std::fs::write(root.join(PAGE), "old").expect("a file");
        assert_eq!(complaints().len(), 1);
        std::fs::remove_dir_all(&root).expect("cleaned up");
    }
}
