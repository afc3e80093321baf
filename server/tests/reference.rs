//! The reference of options is that of this version.

use std::collections::BTreeSet;

use expect_test::expect_file;
use tourbillon_server::config::reference;

#[test]
fn the_reference_is_fresh() {
    expect_file!["../OPTIONS.md"].assert_eq(&reference());
}

#[test]
fn every_option_has_a_variable_of_its_own() {
    let reference = reference();
    let rows: Vec<&str> = reference.lines().filter(|line| line.starts_with("| `")).collect();
    let variables: BTreeSet<&str> = rows.iter().filter_map(|row| row.rsplit('`').nth(1)).collect();
    assert!(rows.len() > 50, "{}", rows.len());
    assert_eq!(variables.len(), rows.len());
}
