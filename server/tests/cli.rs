//! What the commands other than serving do, by the binary itself.

#![allow(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory of its own for each test, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tourbillon-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }

    /// Runs the binary here, with no variables but the given ones.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tourbillon"));
        command.current_dir(&self.0).env_clear().envs(variables.iter().copied()).args(arguments);
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (status.success(), text(stdout), text(stderr))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn cli_02_the_version_is_printed() {
    let (success, stdout, _) = Place::new("version").run(&["version"], &[]);
    assert!(success);
    assert_eq!(stdout, format!("Tourbillon v{}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn cli_03_a_generated_configuration_is_sound_private_and_never_overwritten() {
    let place = Place::new("genconfig");
    let mut seen = Vec::new();
    for name in ["config.json", "config.yaml", "config.yml", "config.toml"] {
        assert!(place.run(&["genconfig", "-c", name], &[]).0, "{name}");
        let path = place.0.join(name);
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600, "{name}");
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(!seen.contains(&text), "keys are fresh");
        let (success, _, stderr) = place.run(&["genconfig", "-c", name], &[]);
        assert!(!success && stderr.contains(name), "{stderr}");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), text);
        assert_eq!(place.run(&["checkconfig", "-c", name], &[]), (true, String::new(), String::new()));
        seen.push(text);
    }
    assert!(!place.run(&["genconfig", "-c", "config.ini"], &[]).0);
    assert!(!place.0.join("config.ini").exists());
}

#[test]
fn cli_04_checkconfig_says_what_is_wrong() {
    let place = Place::new("checkconfig");
    let (success, _, stderr) = place.run(&["checkconfig"], &[]);
    assert!(!success && stderr.contains("config.json"), "{stderr}");
    place.write("config.json", r#"{"nonsense":1,"client":{"insecure":2}}"#);
    let (success, stdout, stderr) = place.run(&["checkconfig"], &[]);
    assert_eq!((success, stdout.as_str()), (false, ""));
    assert!(stderr.contains("nonsense") && stderr.contains("client.insecure"), "{stderr}");
    place.write("config.json", "{}");
    assert_eq!(place.run(&["checkconfig"], &[]), (true, String::new(), String::new()));
    assert!(!place.run(&["checkconfig"], &[("CENTRIFUGO_NONSENSE", "1")]).0);
}

/// CONF-05, CLI-12.
#[test]
fn dotenv_is_read_does_not_win_and_must_be_sound() {
    let place = Place::new("dotenv");
    place.write("config.json", "{}");
    place.write(".env", "# comment\nexport CENTRIFUGO_CLIENT_INSECURE='perhaps'\n");
    let (success, _, stderr) = place.run(&["checkconfig"], &[]);
    assert!(!success && stderr.contains("perhaps"), "{stderr}");
    assert!(place.run(&["checkconfig"], &[("CENTRIFUGO_CLIENT_INSECURE", "true")]).0);
    place.write(".env", "CENTRIFUGO_CLIENT_INSECURE=true\nnonsense\n");
    for arguments in [&["checkconfig"][..], &[]] {
        let (success, _, stderr) = place.run(arguments, &[]);
        assert!(!success && stderr.contains("line 2 is not NAME=text"), "{stderr}");
    }
}
