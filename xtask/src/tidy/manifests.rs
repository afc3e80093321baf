//! What manifests and lock files say.

use toml::{Table, Value};

use super::{Finding, Findings};
use crate::tree::{File, Tree};

/// What every crate takes from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "repository", "publish"];

const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// The fuzz targets are a workspace of their own, because they need a nightly compiler.
const OTHER_WORKSPACES: &[&str] = &["fuzz/"];

/// Crates with lints of their own: examples are there to be copied, without attributes that only matter here.
const OWN_LINTS: &[&str] = &["examples/Cargo.toml"];

/// Where locked packages may come from.
const CARGO_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";
const NPM_SOURCE: &str = "https://registry.npmjs.org/";

pub(super) fn check(tree: &Tree) -> Findings {
    let crates = tree.files().filter(|file| file.path.ends_with("/Cargo.toml"));
    let crates = crates.filter(|file| !OTHER_WORKSPACES.iter().any(|other| file.path.starts_with(other)));
    crates.flat_map(manifest).collect()
}

fn manifest(file: &File) -> Findings {
    let table: Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Finding::new(&file.path, format!("is no TOML: {error}"))],
    };
    let package = table.get("package");
    let mut findings: Findings = INHERITED
        .iter()
        .filter(|key| !package.and_then(|package| package.get(**key)).is_some_and(inherits))
        .map(|key| Finding::new(&file.path, format!("must say `{key}.workspace = true`")))
        .collect();
    if package.and_then(|package| package.get("description")).is_none() {
        findings.push(Finding::new(&file.path, "has no description"));
    }
    if !table.get("lints").is_some_and(inherits) && !OWN_LINTS.contains(&file.path.as_str()) {
        findings.push(Finding::new(&file.path, "must inherit the lints: `[lints] workspace = true`"));
    }
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([&table]);
    let dependencies = tables.flat_map(|table| DEPENDENCY_TABLES.iter().filter_map(|name| table.get(*name)));
    for (name, dependency) in dependencies.filter_map(Value::as_table).flatten() {
        if !inherits(dependency) {
            findings.push(Finding::new(
                &file.path,
                format!("must take {name} from the workspace's dependencies"),
            ));
        }
    }
    findings
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A lock file remembers where its writer fetched from; a mirror that only one machine reaches must not get in.
pub(super) fn registries(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.files() {
        let wrong = |line: &str| match file.path.rsplit('/').next() {
            Some("Cargo.lock") => line.starts_with("source = ") && !line.contains(CARGO_SOURCE),
            Some("package-lock.json" | "npm-shrinkwrap.json") => {
                line.starts_with("\"resolved\":") && line.contains("://") && !line.contains(NPM_SOURCE)
            }
            Some(".npmrc") => line.starts_with("registry") || line.contains(":registry"),
            Some("config.toml") if file.path.contains(".cargo/") => {
                line.starts_with("[source")
                    || line.starts_with("[registries")
                    || line.contains("replace-with")
            }
            _ => false,
        };
        let lines = file.text.lines().enumerate().filter(|(_, line)| wrong(line.trim_start()));
        findings.extend(lines.map(|(number, _)| {
            Finding::at(&file.path, number + 1, "names another source than the public registry")
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;

    const GOOD: &str = "[package]\nname = \"a\"\ndescription = \"A.\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\nrepository.workspace = true\npublish.workspace = true\n\
        [dependencies]\nbytes.workspace = true\nx = { workspace = true, features = [\"f\"] }\n\
        [target.'cfg(unix)'.dev-dependencies]\ny.workspace = true\n[lints]\nworkspace = true\n";

    fn count(manifest: &str) -> usize {
        check(&tree(&[
            ("crates/a/Cargo.toml", manifest),
            ("Cargo.toml", "[workspace]"),
            ("fuzz/Cargo.toml", ""),
        ]))
        .len()
    }

    #[test]
    fn a_manifest_that_inherits_is_good() {
        assert_eq!(count(GOOD), 0);
    }

    #[test]
    fn each_departure_is_found() {
        for key in INHERITED {
            assert_eq!(count(&GOOD.replace(&format!("\n{key}.workspace = true\n"), "\n")), 1, "{key}");
        }
        assert_eq!(count(&GOOD.replace("edition.workspace = true", "edition = \"2021\"")), 1);
        assert_eq!(count(&GOOD.replace("[lints]\nworkspace = true", "[lints.clippy]\nall = \"allow\"")), 1);
        assert_eq!(count(&GOOD.replace("bytes.workspace = true", "bytes = \"1\"")), 1);
        assert_eq!(count(&GOOD.replace("\ny.workspace = true", "\ny = { path = \"../y\" }")), 1);
        assert_eq!(count(&GOOD.replace("description = \"A.\"\n", "")), 1);
        assert_eq!(count("[[["), 1);
    }

    #[test]
    fn another_registry_is_found() {
        let good = tree(&[
            ("Cargo.lock", &format!("source = \"{CARGO_SOURCE}\"\n")),
            ("tests/sdk/package-lock.json", &format!("  \"resolved\": \"{NPM_SOURCE}ws/-/ws-8.0.0.tgz\",\n")),
            (".cargo/config.toml", "[alias]\n"),
            (".npmrc", "fund=false\n"),
        ]);
        assert_eq!(registries(&good), Vec::new());
        for (path, text) in [
            ("Cargo.lock", "source = \"registry+https://mirror.example/index\"\n"),
            ("Cargo.lock", "source = \"git+https://github.com/a/b#c\"\n"),
            ("tests/sdk/package-lock.json", "\"resolved\": \"http://mirror.example/ws.tgz\",\n"),
            (".npmrc", "registry=http://mirror.example\n"),
            (".cargo/config.toml", "[source.crates-io]\n"),
        ] {
            assert_eq!(registries(&tree(&[(path, text)])).len(), 1, "{text}");
        }
    }
}
