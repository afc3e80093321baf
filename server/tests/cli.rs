//! What the commands other than serving do, by the binary itself.

#![allow(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};
use tourbillon_server::cli::Cli;

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
        assert_eq!(secrets.count(), 3, "{text}");
        // 16 bytes are 22.
        assert_eq!(text.split(|c| !is_letter(c)).filter(|word| word.len() == 22).count(), 1, "{text}");
        let loaded = Cli::parse_from(["tourbillon", "-c", path.to_str().expect("text")]).serve.load();
        let admin = loaded.expect("sound options").options.admin;
        assert!(!admin.enabled && !admin.password.is_empty() && !admin.secret.is_empty(), "{text}");
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
fn cli_05_a_configuration_with_every_default_is_written_once() {
    let place = Place::new("defaultconfig");
    for name in ["config.json", "config.yaml", "config.yml", "config.toml"] {
        let (success, printed, stderr) = place.run(&["defaultconfig", "-d", "-c", name], &[]);
        assert!(success && !place.0.join(name).exists(), "{stderr}");
        assert_eq!(
            place.run(&["defaultconfig", "--config", name], &[]),
            (true, String::new(), String::new())
        );
        let path = place.0.join(name);
        assert_eq!(std::fs::read_to_string(&path).expect("text"), printed);
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600, "{name}");
        assert!(printed.contains("channel_position_check_delay") && printed.contains("40s"), "{printed}");
        assert_eq!(place.run(&["checkconfig", "-s", "-c", name], &[]), (true, String::new(), String::new()));
        let (success, _, stderr) = place.run(&["defaultconfig", "-c", name], &[]);
        assert!(!success && stderr.contains(name), "{stderr}");
    }
    place.write("base.yaml", "client: {channel_limit: 7}\nuser_block: {storage_type: disk}\n");
    let (success, _, stderr) = place.run(&["defaultconfig", "-d", "-b", "base.yaml"], &[]);
    assert!(!success && stderr.contains("user_block.storage_type"), "{stderr}");
    place.write("base.yaml", "client: {channel_limit: 7, token: {hmac_secret_key: planted}}\n");
    let (_, printed, _) = place.run(&["defaultconfig", "-d", "-b", "base.yaml", "-c", "x.json"], &[]);
    let tree: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&tree["client"]["channel_limit"], &tree["http_server"]["port"]), (&json!(7), &json!(8000)));
    assert_eq!(tree["client"]["token"]["hmac_secret_key"], "planted");
    assert!(!place.run(&["defaultconfig", "-d", "-c", "config.ini"], &[]).0);
}

#[test]
fn cli_06_every_variable_is_printed() {
    let place = Place::new("defaultenv");
    let (success, all, stderr) = place.run(&["defaultenv"], &[]);
    assert!(success, "{stderr}");
    assert!(all.lines().any(|line| line == "CENTRIFUGO_CLIENT_CHANNEL_LIMIT=128"), "{all}");
    assert!(all.lines().any(|line| line == "CENTRIFUGO_LOG_LEVEL=\"info\""), "{all}");
    let mut sorted: Vec<&str> = all.lines().collect();
    sorted.sort_by_key(|line| line.split('=').next());
    assert!(all.lines().eq(sorted));
    place.write("config.json", "{}");
    place.write(".env", &all);
    assert_eq!(place.run(&["checkconfig"], &[]), (true, String::new(), String::new()));
    place.write(".env", "");
    place.write(
        "base.json",
        r#"{"client":{"channel_limit":7},"proxies":[{"name":"a-b","endpoint":"http://a"}]}"#,
    );
    let (_, set, _) = place.run(&["defaultenv", "-b", "base.json", "--base-non-zero-only"], &[]);
    let expected = "CENTRIFUGO_CLIENT_CHANNEL_LIMIT=7\nCENTRIFUGO_PROXIES=\"a-b\"\nCENTRIFUGO_PROXIES_A_B_ENDPOINT=\"http://a\"\n";
    assert_eq!(set, expected);
    let (_, all, _) = place.run(&["defaultenv", "--base", "base.json"], &[]);
    assert!(
        all.contains("CENTRIFUGO_CLIENT_CHANNEL_LIMIT=7\n")
            && all.contains("CENTRIFUGO_PROXIES_A_B_TIMEOUT=\"1s\"\n"),
        "{all}"
    );
}

/// A command that serves until the test ends, and where it says that it does.
struct Serving(Child, String);

impl Serving {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tourbillon"));
        let mut child =
            command.current_dir(&place.0).args(arguments).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("serving on http://").expect("an address").to_owned();
        Self(child, address)
    }

    /// The head and the body of what is answered.
    fn ask(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.1).expect("a connection");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn cli_07_every_option_is_explained() {
    let place = Place::new("configdoc");
    let (success, all, _) = place.run(&["configdoc", "-m"], &[]);
    assert!(
        success && all.starts_with("# Options\n") && all.contains("\n## Elements of `proxies`\n"),
        "{all}"
    );
    assert!(all.contains("| `client.channel_limit` | `128` | `CENTRIFUGO_CLIENT_CHANNEL_LIMIT` | The most channels of a connection. |"));
    let (_, proxies, _) = place.run(&["configdoc", "--markdown", "--section", "proxies", "-l", "2"], &[]);
    assert!(proxies.starts_with("### Options\n") && proxies.contains("\n#### Elements of"), "{proxies}");
    let rows = proxies.lines().filter(|line| line.starts_with("| `"));
    assert!(rows.clone().count() > 10 && rows.clone().all(|row| row.starts_with("| `proxies")), "{proxies}");
    let (success, _, stderr) = place.run(&["configdoc", "-m", "-s", "nonsense"], &[]);
    assert!(!success && stderr.contains("no option begins with \"nonsense\""), "{stderr}");
    let page = Serving::start(&place, &["configdoc", "-p", "0", "-s", "client"]);
    let (head, body) = page.ask("GET", "/");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/html"), "{head}");
    assert!(body.contains(
        "<tr id=\"client.channel_limit\"><td><code>client.channel_limit</code></td><td><code>128</code></td>"
    ));
    assert!(!body.contains("id=\"log.level\"") && !body.contains('`') && !body.contains("<NAME>"), "{body}");
    assert!(page.1.starts_with("127.0.0.1:"), "{}", page.1);
}

#[test]
fn cli_11_the_files_of_a_directory_are_served() {
    let place = Place::new("serve");
    std::fs::create_dir_all(place.0.join("www/a b/c")).expect("made");
    place.write("www/index.html", "<p>first");
    place.write("www/a b/x&y.js", "let x;");
    place.write("www/.hidden", "planted");
    place.write("secret", "planted");
    place.write("www/large.txt", &"0123456789".repeat(50_000));
    let server = Serving::start(&place, &["serve", "-d", "www", "-p", "0"]);
    assert!(server.1.starts_with("127.0.0.1:"), "{}", server.1);
    let status =
        |method: &str, path: &str| server.ask(method, path).0.split(' ').nth(1).expect("a status").to_owned();
    let (head, body) = server.ask("GET", "/");
    assert!(head.contains("text/html") && body == "<p>first", "{head}");
    let (head, body) = server.ask("GET", "/a%20b/x&y.js");
    assert!(head.contains("text/javascript") && body == "let x;", "{head}");
    let (head, body) = server.ask("GET", "/large.txt");
    assert!(head.contains("content-length: 500000") && body == "0123456789".repeat(50_000), "{head}");
    let (head, body) = server.ask("HEAD", "/large.txt");
    assert!(head.contains("content-length: 500000") && body.is_empty(), "{head}");
    let (_, list) = server.ask("GET", "/a%20b/");
    assert!(list.contains("<a href=\"./c/\">c/</a>\n<a href=\"./x%26y%2Ejs\">x&amp;y.js</a>\n"), "{list}");
    let (head, _) = server.ask("GET", "/a%20b");
    assert!(head.starts_with("HTTP/1.1 301") && head.contains("location: /a%20b/\r\n"), "{head}");
    for path in ["/../secret", "/%2e%2e/secret", "/.hidden", "/none", "/none/", "/%ff"] {
        assert_eq!(status("GET", path), "404", "{path}");
    }
    assert_eq!(status("POST", "/"), "405");
    let (success, _, stderr) = place.run(&["serve", "-d", "none"], &[]);
    assert!(!success && stderr.contains("none is not a directory"), "{stderr}");
}

/// What people take pieces from has to start.
#[test]
fn the_example_of_a_configuration_is_right() {
    let place = Place::new("example");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/server.yaml");
    assert_eq!(place.run(&["checkconfig", "-c", example], &[]), (true, String::new(), String::new()));
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

/// A file of streams that cannot be used is named, with what is wrong with it.
#[test]
fn a_file_of_streams_that_cannot_be_used_is_fatal() {
    let place = Place::new("streams");
    place.write("garbage", &"garbage".repeat(1000));
    for (file, told) in [
        ("no/such/streams", "No such file or directory"),
        ("garbage", "the file of streams cannot be used: "),
        (".", "Is a directory"),
    ] {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port().to_string();
        drop(free);
        let persistence = json!({ "enabled": true, "path": file });
        place.write("config.json", &json!({"broker":{"memory":{"persistence":persistence}}}).to_string());
        let output = place.output(&["-a", "127.0.0.1", "-p", &port], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let begin = format!("error: broker.memory.persistence.path: {file}: ");
        assert!(stderr.contains(&begin) && stderr.contains(told), "{stderr}");
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
    let (_, _, stderr) = place.run(&["--health.enabled=false", "--engine.type=radish"], &[]);
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
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<_> = lines.filter(|line| line["limit"].is_u64()).collect();
        assert_eq!((&lines[0]["before"], &lines[0]["limit"]), (&before.into(), &limit.into()), "{log}");
        assert_eq!((&lines[1]["level"], &lines[1]["limit"]), (&"warn".into(), &limit.into()), "{log}");
    }
}

/// CLI-01.
#[test]
fn every_flag_sets_its_option() {
    let place = Place::new("flags");
    place.write("config.json", r#"{"http_server":{"port":1,"address":"::"}}"#);
    let file = place.0.join("config.json");
    let flags = [
        ("http_server.address", json!("127.0.0.1")),
        ("http_server.port", json!(9000)),
        ("http_server.internal_address", json!("127.0.0.2")),
        ("http_server.internal_port", json!("9001")),
        ("pid_file", json!("pid")),
        ("engine.type", json!("redis")),
        ("broker.enabled", json!(true)),
        ("broker.type", json!("nats")),
        ("presence_manager.enabled", json!(true)),
        ("presence_manager.type", json!("redis")),
        ("map_broker.type", json!("redis")),
        ("log.level", json!("warn")),
        ("log.file", json!("log")),
        ("debug.enabled", json!(true)),
        ("admin.enabled", json!(true)),
        ("admin.external", json!(true)),
        ("admin.insecure", json!(true)),
        ("client.insecure", json!(true)),
        ("http_api.insecure", json!(true)),
        ("http_api.external", json!(true)),
        ("prometheus.enabled", json!(true)),
        ("swagger.enabled", json!(true)),
        ("health.enabled", json!(true)),
        ("uni_websocket.enabled", json!(true)),
        ("uni_sse.enabled", json!(true)),
        ("uni_http_stream.enabled", json!(true)),
        ("sse.enabled", json!(true)),
        ("http_stream.enabled", json!(true)),
        ("init.enabled", json!(true)),
        ("grpc_api.enabled", json!(true)),
        ("grpc_api.port", json!(9002)),
        ("uni_grpc.enabled", json!(true)),
        ("uni_grpc.port", json!(9003)),
    ];
    let command = Cli::command();
    let known = command
        .get_arguments()
        .filter_map(|flag| flag.get_long())
        .filter(|name| !["config", "dev", "allow-unknown-options"].contains(name));
    assert!(
        known.eq(flags.iter().map(|(option, _)| *option)),
        "a flag without a test, or the other way round"
    );
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut arguments = vec!["tourbillon".to_owned(), format!("--config={}", file.display())];
    arguments.extend(flags.iter().map(|(option, value)| format!("--{option}={}", text(value))));
    let loaded = Cli::parse_from(arguments).serve.load().expect("sound options");
    let options = serde_json::to_value(&loaded.options).expect("JSON");
    for (option, value) in flags {
        assert_eq!(options.pointer(&format!("/{}", option.replace('.', "/"))), Some(&value), "{option}");
    }
    let file = file.to_str().expect("text");
    let short = Cli::parse_from(["tourbillon", "-c", file, "-a", "127.0.0.3", "-p", "9002"]);
    let server = short.serve.load().expect("sound options").options.http_server;
    assert_eq!((server.address.as_str(), server.port), ("127.0.0.3", 9002));
}

/// A server that runs until it is told to stop.
struct Running {
    child: Child,
    /// Its standard error, a line each.
    log: Receiver<String>,
    port: u16,
}

impl Running {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_tourbillon")), port, place, arguments)
    }

    fn start_by(mut command: Command, port: u16, place: &Place, arguments: &[&str]) -> Self {
        command.current_dir(&place.0).env_clear().args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().expect("it runs");
        let stderr = BufReader::new(child.stderr.take().expect("its standard error"));
        let (sender, log) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, log, port }
    }

    /// The next line of the log that has this text.
    fn line(&self, text: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(60)).expect("a line");
            if line.contains(text) {
                return serde_json::from_str(&line).expect("JSON");
            }
        }
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()]);
        assert!(kill.status().expect("it runs").success());
    }

    /// The status and the body of an API call.
    fn api(&self, method: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let length = body.len();
        write!(
            stream,
            "POST /api/{method} HTTP/1.1\r\nHost: x\r\nX-API-Key: key\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).expect("a status").to_owned(), body.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CONF-10, HID-107: what can change is read again, and a file that is wrong changes nothing. CLI-12: a graceful stop
/// ends with 0, and takes the file with the process id along (LIM-01).
#[test]
fn signals_reload_and_stop() {
    let place = Place::new("signals");
    let configure = |name: &str| {
        let tree = json!({
            "channel": {"namespaces": [{"name": name}]}, "http_api": {"key": "key"}, "pid_file": "pid",
        });
        place.write("config.json", &tree.to_string());
    };
    configure("old");
    let mut server = Running::start(&place, &[]);
    let serving = server.line("serving");
    assert_eq!(
        (&serving["level"], &serving["pid"]),
        (&json!("info"), &json!(server.child.id())),
        "{serving}"
    );
    assert!(serving["time"].is_string() && serving["version"].is_string(), "{serving}");
    let pid = std::fs::read_to_string(place.0.join("pid")).expect("a file with the process id");
    assert_eq!(pid, format!("{}\n", server.child.id()));
    // A second one by mistake, which cannot start, leaves the file to the one that runs.
    let (success, _, told) = place.run(&["-a", "127.0.0.1", "-p", &server.port.to_string()], &[]);
    assert!(!success && told.contains("listening on"), "{told}");
    assert_eq!(std::fs::read_to_string(place.0.join("pid")).expect("the file"), pid);
    let exists = |server: &Running, name: &str| {
        let (status, body) = server.api("publish", &format!(r#"{{"channel":"{name}:a","data":1}}"#));
        assert_eq!(status, "200", "{body}");
        !body.contains(r#""code":102"#)
    };
    assert!(exists(&server, "old") && !exists(&server, "new"));
    place.write("config.json", r#"{"nonsense":1,"channel":{"namespaces":[{"name":"new"}]}}"#);
    server.signal("HUP");
    assert!(server.line("not reloaded")["message"].to_string().contains("nonsense: no such option"));
    assert!(exists(&server, "old") && !exists(&server, "new"));
    configure("new");
    server.signal("HUP");
    server.line("are reloaded");
    assert!(!exists(&server, "old") && exists(&server, "new"));
    server.signal("TERM");
    server.line("stopping");
    assert_eq!(server.child.wait().expect("it ends").code(), Some(0));
    assert!(!place.0.join("pid").exists());
}

/// OBS-07: as much as the level says, into the file where there is one.
#[test]
fn the_level_and_the_file_of_the_log_are_kept() {
    let place = Place::new("log");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut lines = Vec::new();
    for level in ["none", "error", "warn", "info", "debug", "trace", "nonsense"] {
        let log = format!("{level}.log");
        // Nothing is configured, which is worth warnings, and the port is taken.
        let output =
            place.output(&["-a", "127.0.0.1", "-p", &port, "--log.level", level, "--log.file", &log], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with("error: listening on") && stderr.lines().count() == 1, "{stderr}");
        let log = std::fs::read_to_string(place.0.join(log)).expect("a file");
        let levels =
            log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["level"].clone());
        let mut levels: Vec<String> = levels.map(|level| level.as_str().expect("text").to_owned()).collect();
        levels.sort();
        levels.dedup();
        lines.push(levels.join(" "));
    }
    assert_eq!(lines, ["", "", "warn", "warn", "debug warn", "debug warn", "warn"]);
}

/// OBS-07: for people on a terminal; `script` is one.
#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_the_log_is_for_people() {
    let place = Place::new("terminal");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let arguments = ["-a", "127.0.0.1", "-p", &port, "--log.level", "warn"];
    // Without a terminal: the same in JSON.
    let output = place.output(&arguments, &[]);
    let lines = String::from_utf8(output.stderr).expect("text");
    let told = lines.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).expect("a line");
    let message = told["message"].as_str().expect("text");
    let command = [&[env!("CARGO_BIN_EXE_tourbillon")][..], &arguments].concat().join(" ");
    let mut script = Command::new("script");
    let output =
        script.current_dir(&place.0).args(["-qec", &command, "/dev/null"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find(|line| line.contains(message)).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("WARN") && line.starts_with("\u{1b}["), "{line:?}");
    assert!(!text.lines().any(|line| line.starts_with('{')), "{text}");
}

/// A control group whose processes may use one processor; gone with the value. `None` where none can be made.
#[cfg(target_os = "linux")]
struct OneProcessor(PathBuf);

#[cfg(target_os = "linux")]
impl OneProcessor {
    fn new() -> Option<Self> {
        let name = format!("tourbillon-test-{}", std::process::id());
        for (root, file, quota) in [
            ("/sys/fs/cgroup", "cpu.max", "100000 100000"),
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "100000"),
        ] {
            let path = PathBuf::from(root).join(&name);
            if std::fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            // Where it is no file of a group, it is not to become one.
            let set = std::fs::OpenOptions::new().write(true).open(group.0.join(file));
            if set.and_then(|mut file| file.write_all(quota.as_bytes())).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

#[cfg(target_os = "linux")]
impl Drop for OneProcessor {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// LIM-18: as many threads work as the quota of a container has processors.
#[test]
#[cfg(target_os = "linux")]
fn the_quota_of_a_container_is_kept() {
    let workers = |server: &Running| server.line("serving")["workers"].as_u64().expect("a number");
    let place = Place::new("quota");
    let processors = std::thread::available_parallelism().expect("a number").get();
    let free = workers(&Running::start(&place, &[]));
    assert_eq!(usize::try_from(free), Ok(processors));
    let Some(group) = OneProcessor::new() else {
        eprintln!("skipped: no control group with a quota can be made here");
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let mut command = Command::new("sh");
    let procs = group.0.join("cgroup.procs");
    command.args(["-c", "echo $$ > \"$0\" && exec \"$@\"", &procs.display().to_string()]);
    command.arg(env!("CARGO_BIN_EXE_tourbillon"));
    let held = Running::start_by(command, port.expect("a free port").port(), &place, &[]);
    assert_eq!(workers(&held), 1, "of {processors}");
    drop(held);
}

const RULES: &str = r#"{"client":{"token":{"hmac_secret_key":"planted secret","user_id_claim":"uid"}},
    "channel":{"namespaces":[{"name":"open","allow_subscribe_for_client":true,"allow_publish_for_subscriber":true}]}}"#;

#[test]
fn cli_08_09_10_tokens_are_made_and_checked() {
    let place = Place::new("tokens");
    place.write("config.json", RULES);
    let (success, token, stderr) = place.run(&["gentoken", "-u", "anna", "-q"], &[]);
    assert!(success && token.split('.').count() == 3 && !token.contains('\n'), "{token} {stderr}");
    let (success, stdout, stderr) = place.run(&["checktoken", &token], &[]);
    assert!(success && stdout.starts_with("valid token for user \"anna\"\n"), "{stdout} {stderr}");
    assert!(stdout.contains("\"uid\":\"anna\"") && stdout.contains("\"alg\":\"HS256\""), "{stdout}");
    let week = stdout.contains("\"exp\":") && stdout.contains("\"iat\":");
    assert!(week, "{stdout}");

    let (_, stdout, _) = place.run(&["gentoken", "--ttl", "-1"], &[]);
    assert!(stdout.starts_with("HMAC SHA-256 JWT for an anonymous user that does not expire:\n"), "{stdout}");
    let (success, stdout, _) = place.run(&["checktoken", stdout.lines().nth(1).expect("a token")], &[]);
    assert!(success && !stdout.contains("\"exp\""), "{stdout}");

    let arguments = ["gensubtoken", "-u", "anna", "-s", "open:x", "-t", "60", "-q"];
    let (_, token, _) = place.run(&arguments, &[]);
    let (success, stdout, _) = place.run(&["checksubtoken", &token], &[]);
    assert!(success, "{stdout}");
    assert!(
        stdout.starts_with("valid subscription token for user \"anna\" and channel \"open:x\"\n"),
        "{stdout}"
    );
    // It is no connection token, and the other way round.
    let (success, stdout, stderr) = place.run(&["checktoken", &token], &[]);
    assert!(!success && stdout.is_empty());
    assert!(stderr.starts_with("error: invalid token: a connection token must not have"), "{stderr}");
    // With another key it is none, even where signatures go unchecked.
    let own = [
        ("CENTRIFUGO_CLIENT_SUBSCRIPTION_TOKEN_ENABLED", "true"),
        ("CENTRIFUGO_CLIENT_SUBSCRIPTION_TOKEN_HMAC_SECRET_KEY", "another"),
        ("CENTRIFUGO_CLIENT_INSECURE_SKIP_TOKEN_SIGNATURE_VERIFY", "true"),
    ];
    let (success, _, stderr) = place.run(&["checksubtoken", &token], &own);
    assert!(!success && stderr.starts_with("error: invalid token: wrong signature"), "{stderr}");
    assert!(!stderr.contains("planted"));
    let (_, token, _) = place.run(&arguments, &own);
    assert!(place.run(&["checksubtoken", &token], &own).0);
    let (success, _, stderr) = place.run(&["gentoken"], &[("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", "")]);
    assert!(success || stderr.contains("client.token.hmac_secret_key is not set"), "{stderr}");
}

#[test]
fn explain_tells_every_rule_and_the_verdict() {
    let place = Place::new("explain");
    place.write("config.json", RULES);
    let explain = |arguments: &[&str]| {
        let (success, stdout, stderr) = place.run(&[&["explain"], arguments].concat(), &[]);
        assert!(success, "{stderr}");
        assert!(!stdout.contains("planted"), "{stdout}");
        stdout
    };
    assert_eq!(
        explain(&["--channel", "open:x", "--user", "anna"]),
        "namespace: open\nnamespace: satisfied (the namespace exists)\n\
         channel_regex: satisfied (the channel's name is valid)\ntoken: silent (no token came with the request)\n\
         allow_subscribe_for_client: allows (the option is on)\nverdict: allowed by allow_subscribe_for_client\n"
    );
    let anonymous = explain(&["--channel", "open:x"]);
    assert!(anonymous.contains("allow_subscribe_for_client: silent (the user is anonymous"), "{anonymous}");
    assert!(anonymous.contains("verdict: refused: permission denied (103)"), "{anonymous}");
    let publish = ["--channel", "open:x", "--user", "anna", "--action", "publish"];
    assert!(
        explain(&publish).contains("allow_publish_for_subscriber: silent (the client is not subscribed)")
    );
    assert!(
        explain(&[&publish[..], &["--subscribed"]].concat())
            .ends_with("allowed by allow_publish_for_subscriber\n")
    );
    let presence = explain(&["--channel", "open:x", "--user", "anna", "--action", "presence"]);
    assert!(
        presence.contains("presence: refuses (the channel has none)\nverdict: refused: not available (108)"),
        "{presence}"
    );
    assert!(explain(&["--channel", "other:x"]).contains("verdict: refused: unknown channel (102)"));

    let (_, token, _) = place.run(&["gensubtoken", "-u", "anna", "-s", "$open:x", "-q"], &[]);
    let good = explain(&["--channel", "$open:x", "--user", "anna", "--token", &token]);
    assert!(good.contains("claims: {") && good.ends_with("verdict: allowed by token\n"), "{good}");
    let other = explain(&["--channel", "$open:x", "--user", "ben", "--token", &token]);
    assert!(other.contains("token: refuses (the token is for another user)"), "{other}");
    assert!(other.contains("verdict: disconnected: invalid token (3500)"), "{other}");
    let broken = explain(&["--channel", "$open:x", "--user", "anna", "--token", &format!("{token}A")]);
    assert!(broken.contains("token: invalid token: "), "{broken}");
}

/// Answers requests for a key set, one after the other, until the test ends; and says where.
fn key_set_server(body: String) -> std::net::SocketAddr {
    use std::io::{Read, Write};

    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 1_024];
            let read = stream.read(&mut request).expect("a request");
            assert!(request[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).expect("is written");
        }
    });
    address
}

/// A key set and a token, made by PyJWT.
const KEY_SET: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"TDFwFDMgT5dJEdknZmHnbHVsMQ2A55Xp8qiYntzkdlU","y":"2NLsz7YNEdkYhu2ZOPV2c0ZRh--YwpZbGjn8S9W8suU","kid":"a","use":"sig"}]}"#;
const KEY_SET_TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm5hIiwiaXNzIjoiMSJ9.sBfhUShzzEEp3hsqq4kV7zaj4A3aUbFF_8hhDlDV-F3ymn3qIeMaPg53GVVhL0Ko5u-FRXftfBjd1kiTep4W1Q";

#[test]
fn key_05_a_configured_key_set_is_fetched() {
    let place = Place::new("jwks");
    let address = key_set_server(KEY_SET.to_owned());
    let config = |more: &str| {
        format!(
            r#"{{"client":{{"token":{{"jwks_public_endpoint":"http://{address}/keys","hmac_secret_key":"unused"{more}}}}}}}"#
        )
    };
    place.write("config.json", &config(""));
    let (success, stdout, stderr) = place.run(&["checktoken", KEY_SET_TOKEN], &[]);
    assert!(success && stdout.starts_with("valid token for user \"anna\"\n"), "{stdout} {stderr}");
    let (success, _, stderr) = place.run(&["checktoken", &format!("{KEY_SET_TOKEN}AA")], &[]);
    assert!(!success && stderr.starts_with("error: invalid token: wrong signature"), "{stderr}");
    // Keys besides are not used: this one is signed with the secret.
    let (_, hmac, _) = place.run(&["gentoken", "-q"], &[]);
    let (success, _, stderr) = place.run(&["checktoken", &hmac], &[]);
    assert!(!success && stderr.contains("the header needs `kid`"), "{stderr}");
    // A host that a token names must not be in a private network.
    let open = r#","issuer_regex":"^(?P<host>.*)$","insecure_skip_jwks_endpoint_safety_check":true"#;
    let text = config(open).replace("127.0.0.1", "127.0.0.{{host}}");
    place.write("config.json", &text);
    let (success, _, stderr) = place.run(&["checktoken", KEY_SET_TOKEN], &[]);
    assert!(
        !success && stderr.starts_with("error: no keys: the key set's address is in a private network"),
        "{stderr}"
    );
}
