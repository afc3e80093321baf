//! What cargo says about the workspace.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::command::Command;

/// The answer of `cargo metadata --no-deps`, as far as it is of use here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: String,
}

/// One crate of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
}

/// One entry of a crate's dependency tables.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for `[dependencies]`, else `dev` or `build`.
    #[serde(default)]
    pub(crate) kind: Option<String>,
}

impl Metadata {
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let text = Command::new(root, "cargo metadata --no-deps --format-version 1").capture()?;
        Self::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("cargo metadata is not understood: {error}"))
    }
}

/// The names of all packages that `cargo tree` lists for the given options, each once.
pub(crate) fn tree_names(root: &Path, options: &str) -> Result<Vec<String>, String> {
    let command = Command::new(root, &format!("cargo tree --quiet --prefix none {options}"));
    Ok(names_of(&command.capture()?))
}

fn names_of(listing: &str) -> Vec<String> {
    let mut names: Vec<String> =
        listing.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_a_listing() {
        let listing = "own v0.1.0 (/x)\nbytes v1.11.0\n\nbytes v1.11.0 (*)\n";
        assert_eq!(names_of(listing), ["bytes", "own"]);
    }

    #[test]
    fn metadata_is_read() {
        let text = r#"{"packages":[{"name":"a","features":{"f":[]},"dependencies":[{"name":"b","kind":"dev"},
            {"name":"c","kind":null}]}],"target_directory":"/t","workspace_root":"/"}"#;
        let metadata = Metadata::parse(text).expect("metadata");
        let [package] = &metadata.packages[..] else { panic!("one package") };
        assert_eq!(package.dependencies[0].kind.as_deref(), Some("dev"));
        assert_eq!(package.dependencies[1].kind, None);
        assert!(Metadata::parse("{}").is_err());
    }
}
