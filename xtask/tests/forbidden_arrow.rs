//! `cargo xtask tidy` fails on a workspace with a forbidden arrow, as cargo itself describes it.

#![expect(clippy::expect_used, reason = "a test that cannot prepare its workspace has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A workspace in the temporary directory, gone with the value.
struct Workspace(PathBuf);

impl Workspace {
    fn new(name: &str, arrows: &[(&str, &[&str])]) -> Self {
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        write(&root.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n");
        for (name, dependencies) in arrows {
            let mut manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\n");
            for dependency in *dependencies {
                manifest.push_str(&format!("{dependency} = {{ path = \"../{dependency}\" }}\n"));
            }
            write(&root.join(format!("crates/{name}/Cargo.toml")), &manifest);
            write(&root.join(format!("crates/{name}/src/lib.rs")), "//! Nothing.\n");
        }
        Self(root)
    }

    fn tidy(&self) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["tidy", "--only", "arrows", "--root"])
            .arg(&self.0)
            .output()
            .expect("xtask runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What stays behind is in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, text).expect("a file");
}

#[test]
fn a_forbidden_arrow_fails() {
    let arrows: &[(&str, &[&str])] =
        &[("tourbillon-types", &["tourbillon-protocol"]), ("tourbillon-protocol", &[])];
    let (good, complaint) = Workspace::new("forbidden", arrows).tidy();
    assert!(!good);
    assert!(complaint.contains("tourbillon-types: must not depend on tourbillon-protocol"), "{complaint}");
}

#[test]
fn an_allowed_arrow_passes() {
    let arrows: &[(&str, &[&str])] =
        &[("tourbillon-types", &[]), ("tourbillon-protocol", &["tourbillon-types"])];
    let (good, complaint) = Workspace::new("allowed", arrows).tidy();
    assert!(good, "{complaint}");
}

#[test]
fn a_crate_outside_the_table_fails() {
    let (good, complaint) = Workspace::new("unknown", &[("tourbillon-surprise", &[])]).tidy();
    assert!(!good);
    assert!(complaint.contains("tourbillon-surprise: is not in the table"), "{complaint}");
}
