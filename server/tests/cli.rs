//! What the commands other than serving do, by the binary itself.

#![allow(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::net::TcpListener;
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
    fn output(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tourbillon"));
        command.current_dir(&self.0).env_clear().envs(variables.iter().copied()).args(arguments);
        command.output().expect("it runs")
    }

    /// Whether it succeeded, and what it wrote.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
        let Output { status, stdout, stderr } = self.output(arguments, variables);
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
        // 64 bytes are 86 letters of Base64.
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let secrets = text.split(|c| !is_letter(c)).filter(|word| word.len() == 86);
        assert_eq!(secrets.count(), 2, "{text}");
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
    place.write("config.json", r#"{"nonsense":1}"#);
    for (arguments, success) in [
        (&["checkconfig", "--strict"][..], false),
        (&["checkconfig", "-s", "-c", "config.json"], false),
        (&["checkconfig", "--allow-unknown-options"], true),
        (&["checkconfig", "--allow-unknown-options", "--strict"], false),
    ] {
        assert_eq!(place.run(arguments, &[]).0, success, "{arguments:?}");
    }
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

/// CLI-12: whatever is fatal ends with 1, and says what it is. CONF-11.
#[test]
fn what_is_fatal_ends_with_an_error() {
    let place = Place::new("fatal");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for (file, told) in [
        (r#"{"client":{"ping_interval":"1s"}}"#, "client.ping_interval"),
        (r#"{"nonsense":1}"#, "nonsense: no such option"),
        ("{}", "listening on 127.0.0.1:"),
        (r#"{"log":{"file":"no/such/directory"}}"#, "log.file"),
    ] {
        place.write("config.json", file);
        let output = place.output(&["-a", "127.0.0.1", "-p", &port], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
}

/// CLI-01: a switch can be switched off too, and wins over the file.
#[test]
fn switches_take_a_value() {
    let place = Place::new("switches");
    place.write(
        "config.json",
        r#"{"client":{"insecure":true},"health":{"enabled":true,"handler_prefix":"x"}}"#,
    );
    let (_, _, stderr) = place.run(&["--client.insecure=perhaps"], &[]);
    assert!(stderr.contains("--client.insecure: \"perhaps\" is neither true nor false"), "{stderr}");
    for on in ["--health.enabled", "--health.enabled=true"] {
        assert!(place.run(&[on], &[]).2.contains("health.handler_prefix"), "{on}");
    }
    let (_, _, stderr) = place.run(&["--health.enabled=false", "--engine.type=redis"], &[]);
    assert!(stderr.contains("engine.type") && !stderr.contains("health.handler_prefix"), "{stderr}");
}

/// As many file descriptors as the system allows are taken, and few are told of.
#[test]
fn the_limit_of_file_descriptors_is_raised() {
    let place = Place::new("descriptors");
    place.write("config.json", r#"{"log":{"level":"debug"}}"#);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for (limits, before, limit) in [("ulimit -n 200; ulimit -Sn 100", 100, 200), ("ulimit -n 150", 150, 150)]
    {
        let script = format!("{limits}; exec \"$0\" -a 127.0.0.1 -p {port}");
        let mut command = Command::new("sh");
        command.current_dir(&place.0).env_clear().args(["-c", &script, env!("CARGO_BIN_EXE_tourbillon")]);
        let output = command.output().expect("it runs");
        let log = String::from_utf8(output.stderr).expect("text");
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let lines: Vec<_> = lines.filter(|line| line["limit"].is_u64()).collect();
        assert_eq!((&lines[0]["before"], &lines[0]["limit"]), (&before.into(), &limit.into()), "{log}");
        assert_eq!((&lines[1]["level"], &lines[1]["limit"]), (&"warn".into(), &limit.into()), "{log}");
    }
}
