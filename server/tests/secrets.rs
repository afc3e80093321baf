//! Secrets and payloads are not told: the binary at its most talkative, with a secret of its own in every place that
//! takes one, and everything done to it that a client or a backend can do (issue 5).

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tourbillon::auth::{ConnectToken, Secret, Signer, SubscribeToken};
use tourbillon::types::Payload;
use tourbillon_server::config::secret_options;

/// Ends a test that would wait for ever.
const LONG: Duration = Duration::from_secs(60);

/// What no log may have. Each is planted somewhere, and starts so that it is found in whatever is around it.
const MARK: &str = "planted";

fn planted(place: &str) -> String {
    format!("{MARK}-{place}-0123456789abcdef0123456789abcdef")
}

/// Sets an option of a configuration, unless it has it already.
fn plant(config: &mut serde_json::Value, path: &str, value: serde_json::Value) {
    let place = path.split('.').fold(config, |value, name| &mut value[name]);
    if place.is_null() {
        *place = value;
    }
}

/// The binary, serving, and what it says.
struct Server {
    child: Child,
    address: SocketAddr,
    said: Receiver<String>,
    directory: PathBuf,
}

/// A port that is free. 0 would not do: it means the default, like any option that is zero (CONF-09).
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port().to_string()
}

/// Sends every line of an output on.
fn listen(output: impl Read + Send + 'static, lines: std::sync::mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

impl Server {
    /// Starts it; and its address, once it has said so.
    fn start(name: &str, config: &str) -> (Self, Vec<String>) {
        let directory =
            std::env::temp_dir().join(format!("tourbillon-secrets-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("made");
        std::fs::write(directory.join("config.json"), config).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tourbillon"))
            .current_dir(&directory)
            .env_clear()
            .env("CENTRIFUGO_CLIENT_SUBSCRIPTION_TOKEN_HMAC_PREVIOUS_SECRET_KEY", planted("variable"))
            .args(["-a", "127.0.0.1", "-p", &free_port()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let (lines, said) = channel();
        listen(child.stdout.take().expect("piped"), lines.clone());
        listen(child.stderr.take().expect("piped"), lines);
        let mut before = Vec::new();
        let address = loop {
            let line = said.recv_timeout(LONG);
            let line = line.unwrap_or_else(|error| panic!("it does not serve, {error}: {before:#?}"));
            let port = line.split("external").nth(1).and_then(|rest| {
                let digits = rest.split("127.0.0.1:").nth(1)?;
                digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
            });
            before.push(line);
            if let Some(port) = port {
                break SocketAddr::from(([127, 0, 0, 1], port));
            }
        };
        (Self { child, address, said, directory }, before)
    }

    /// Sends a request and gives all that comes back.
    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("set");
        let length = body.len();
        let request = format!("{head}Host: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Begins a request whose answer goes on, and gives it up once this has come.
    fn stream(&self, head: &str, body: &str, until: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("set");
        let length = body.len();
        let request = format!("{head}Host: x\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains(until) {
            let read = stream.read(&mut part).expect("something comes");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..read]);
        }
        (stream, String::from_utf8_lossy(&answer).into_owned())
    }

    /// A WebSocket that sends these commands, one after the other's answer, and goes.
    fn websocket(&self, query: &str, headers: &str, commands: &[String]) -> String {
        let head = format!(
            "GET /connection/websocket{query} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}"
        );
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream.write_all(format!("{head}Host: x\r\n\r\n").as_bytes()).expect("sent");
        let mut all = String::new();
        let mut part = [0; 65_536];
        let read = stream.read(&mut part).expect("an answer");
        all.push_str(&String::from_utf8_lossy(&part[..read]));
        for command in commands {
            let length = u16::try_from(command.len()).expect("short");
            let mut frame = vec![0x81, 0xfe];
            match u8::try_from(length).ok().filter(|length| *length < 126) {
                Some(length) => frame[1] = 0x80 | length,
                None => frame.extend_from_slice(&length.to_be_bytes()),
            }
            frame.extend_from_slice(&[0; 4]);
            frame.extend_from_slice(command.as_bytes());
            if stream.write_all(&frame).is_err() {
                break;
            }
            let Ok(read) = stream.read(&mut part) else { break };
            all.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        let _ = stream.shutdown(Shutdown::Both);
        all
    }

    /// Ends it, and gives what it said.
    fn end(mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().expect("told");
        assert!(killed.success());
        assert!(self.child.wait().expect("it ends").success());
        let _ = std::fs::remove_dir_all(&self.directory);
        self.said.iter().collect()
    }
}

/// A backend that answers every question by a secret that makes no sense, and where it is.
fn backend() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut part = [0; 65_536];
            let _ = stream.read(&mut part);
            let body = format!("{{\"error\":{{\"code\":\"{}\"}}}}", planted("answer"));
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
            let _ =
                stream.write_all(format!("{head}Set-Cookie: {}\r\n\r\n{body}", planted("set")).as_bytes());
        }
    });
    address
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn told_nothing(lines: &[String], secrets: &[String]) {
    for line in lines {
        for secret in secrets {
            assert!(!line.contains(secret.as_str()), "{secret} is in: {line}");
        }
        assert!(!line.contains(MARK), "a secret is in: {line}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one server, and everything that can be done to it")]
fn secrets_tokens_and_payloads_are_in_no_log() {
    let backend = backend();
    let proxy = |enabled: bool, scheme: &str| {
        let mut proxy = serde_json::json!({
            "endpoint": format!("{scheme}://ann:{}@{backend}/{}", planted("password"), planted("path")),
            "http_headers": ["cookie", "x-api-key"], "emulated_headers": ["x"], "include_connection_meta": true,
            "http": {"static_headers": {"x-static": planted("static-header")}},
            "grpc": {
                "static_metadata": {"x-static": planted("static-metadata")},
                "credentials_key": "x-key", "credentials_value": planted("credentials"),
            },
        });
        if enabled {
            proxy["enabled"] = true.into();
        }
        if scheme == "grpc" {
            proxy["endpoint"] = format!("grpc://{backend}").into();
        }
        proxy
    };
    let mut config = serde_json::json!({
        "log": {"level": "trace"},
        "rpc": {"proxy": proxy(false, "http"), "without_namespace": {"proxy_enabled": true}},
        "client": {
            "proxy": {"connect": proxy(true, "http")},
            "allowed_origins": ["https://good.example"],
            "token": {
                "hmac_secret_key": planted("token-key"), "hmac_previous_secret_key": planted("previous-key"),
            },
            "subscription_token": {"enabled": true, "hmac_secret_key": planted("subscription-key")},
            "rate_limit": {
                "client_command": {"enabled": true, "rpc": {
                    "enabled": true, "buckets": [{"interval": "1h", "rate": 1}],
                }},
                "client_error": {"enabled": true, "total": {
                    "enabled": true, "buckets": [{"interval": "1h", "rate": 9}],
                }},
            },
        },
        "channel": {"proxy": {"publish": proxy(false, "grpc")}, "namespaces": [
            {"name": "asked", "publish_proxy_enabled": true},
        ], "without_namespace": {
            "allow_subscribe_for_client": true, "allow_publish_for_client": true,
            "history_size": 5, "history_ttl": "60s", "presence": true,
        }},
        "http_api": {"key": planted("api-key")},
        "http_stream": {"enabled": true}, "sse": {"enabled": true},
        "uni_http_stream": {"enabled": true}, "uni_sse": {"enabled": true}, "init": {"enabled": true},
        "health": {"enabled": true},
    });
    // Those above are used below; the others are there, whatever they are for.
    for path in secret_options() {
        let is_map = [".static_headers", ".static_metadata"].iter().any(|name| path.ends_with(name));
        let secret = planted(&path);
        plant(
            &mut config,
            &path,
            if is_map { serde_json::json!({ "x-static": secret }) } else { secret.into() },
        );
    }
    let (server, mut said) = Server::start("told", &config.to_string());
    let token = |key: &str, expires_at, id: &str| {
        let info = Payload::from(format!("\"{}\"", planted("info")).into_bytes());
        let more = vec![
            ("info".to_owned(), info),
            ("meta".to_owned(), Payload::from(format!("{{\"a\":\"{}\"}}", planted("meta")).into_bytes())),
            ("jti".to_owned(), Payload::from(format!("\"{id}\"").into_bytes())),
        ];
        let token = ConnectToken { user: "ann".to_owned(), expires_at, more, ..ConnectToken::default() };
        Signer::hs256(&Secret::from(key)).sign_connect(&token).expect("signed")
    };
    let good = token(&planted("token-key"), None, &planted("jti"));
    let expired = token(&planted("token-key"), Some(1), "a");
    let forged = token(&planted("wrong-key"), None, "b");
    let subscription = {
        let (user, channel) = ("ann".to_owned(), "$private".to_owned());
        let token = SubscribeToken { user, channel, ..SubscribeToken::default() };
        Signer::hs256(&Secret::from(planted("subscription-key").as_str()))
            .sign_subscribe(&token)
            .expect("signed")
    };
    let signature = |token: &str| token.rsplit('.').next().expect("a signature").to_owned();
    let mut secrets: Vec<String> =
        [&good, &expired, &forged, &subscription].map(|token| signature(token)).into();
    let noise = format!(
        "X-API-Key: {}\r\nAuthorization: Bearer {}\r\nCookie: session={}\r\n",
        planted("header"),
        planted("bearer"),
        planted("cookie")
    );
    let query = format!("?api_key={}&token={}", planted("query"), planted("query-token"));
    let data = |place: &str| format!("{{\"a\":\"{}\"}}", planted(place));
    let connect = |token: &str| {
        let (data, headers) = (data("connect-data"), planted("emulated-header"));
        format!(r#"{{"id":1,"connect":{{"token":"{token}","data":{data},"headers":{{"x":"{headers}"}}}}}}"#)
    };
    let commands = [
        connect(&good),
        format!(r#"{{"id":2,"subscribe":{{"channel":"$private","token":"{subscription}"}}}}"#),
        format!(r#"{{"id":4,"subscribe":{{"channel":"a","data":{}}}}}"#, data("subscribe-data")),
        format!(r#"{{"id":5,"publish":{{"channel":"a","data":{}}}}}"#, data("publication")),
        format!(r#"{{"id":6,"rpc":{{"method":"m","data":{}}}}}"#, data("rpc")),
        format!(r#"{{"id":9,"publish":{{"channel":"asked:a","data":{}}}}}"#, data("asked-publication")),
        format!(r#"{{"id":7,"rpc":{{"method":"m","data":{}}}}}"#, data("limited-rpc")),
        format!(r#"{{"id":8,"refresh":{{"token":"{}"}}}}"#, planted("refresh-token")),
    ];
    let answers = server.websocket(&query, &noise, &commands);
    assert!(
        answers.contains(r#""id":1,"connect""#) && answers.contains(r#""id":2,"subscribe""#),
        "{answers}"
    );
    assert!(answers.contains(r#""code":111"#) && answers.contains(r#""id":5,"publish""#), "{answers}");
    let refused = [
        connect(&good),
        format!(r#"{{"id":3,"subscribe":{{"channel":"$other","token":"{}"}}}}"#, planted("subscribe-token")),
    ];
    server.websocket("", "", &refused);
    // Refused, malformed, and from a page that is not allowed.
    for token in [expired.as_str(), forged.as_str(), &planted("no-token"), ""] {
        server.websocket("", "", &[connect(token)]);
    }
    server.websocket("", "", &[format!("{{\"id\":1,\"connect\":{{\"token\":\"{}\"", planted("broken"))]);
    server.websocket("", "", &[connect(&good), format!("{} {{", planted("garbage"))]);
    server.websocket(&query, &format!("Origin: https://bad.example\r\n{noise}"), &[]);
    for (path, end) in [("/connection/http_stream", "\n"), ("/connection/sse", "\n\n")] {
        let (stream, answer) = server.stream(
            &format!("POST {path}{query} HTTP/1.1\r\n{noise}"),
            &connect(&good),
            "\"session\":\"",
        );
        assert!(answer.contains("200 OK") && answer.contains(end), "{answer}");
        let field = |name: &str| {
            let rest = answer.split(&format!("\"{name}\":\"")).nth(1).expect("a field");
            rest.split('"').next().expect("a value").to_owned()
        };
        secrets.push(field("session"));
        let body = serde_json::json!({
            "node": field("node"), "session": field("session"),
            "data": format!(r#"{{"id":2,"publish":{{"channel":"a","data":{}}}}}"#, data("emulated")),
        });
        assert!(server.ask("POST /emulation HTTP/1.1\r\n", &body.to_string()).contains(" 204 "));
        drop(stream);
        for token in [expired.as_str(), forged.as_str()] {
            let head = format!("POST {path} HTTP/1.1\r\n{noise}");
            server.stream(&head, &connect(token), "code");
        }
        server.ask(&format!("POST {path} HTTP/1.1\r\n"), &planted("no-command"));
    }
    for path in ["/connection/uni_http_stream", "/connection/uni_sse"] {
        let body = |token: &str| format!(r#"{{"token":"{token}","data":{}}}"#, data("uni-data"));
        let head = format!("POST {path}{query} HTTP/1.1\r\n{noise}");
        let (stream, answer) = server.stream(&head, &body(&good), "\"session\":\"");
        let rest = answer.split("\"session\":\"").nth(1).expect("a session");
        secrets.push(rest.split('"').next().expect("a value").to_owned());
        drop(stream);
        server.stream(&head, &body(&forged), "3500");
        server.ask(&head, &planted("no-request"));
    }
    let cf_connect = connect(&good).replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    server.stream(&format!("GET /connection/sse?cf_connect={cf_connect} HTTP/1.1\r\n"), "", "\"session\":\"");
    server.ask(&format!("GET /connection/init{query} HTTP/1.1\r\n{noise}"), "");
    server.ask(&format!("GET /health{query} HTTP/1.1\r\n{noise}"), "");
    server.ask(&format!("GET /nowhere{query} HTTP/1.1\r\n{noise}"), "");
    server.ask(&format!("{} nonsense\r\n", planted("request-line")), "");
    // The API, with the key in each of its places, with a wrong one, and with commands that fail.
    let key = planted("api-key");
    let publish = format!(r#"{{"channel":"a","data":{},"tags":{{"t":"{}"}}}}"#, data("api"), planted("tag"));
    for (head, status) in [
        (format!("POST /api/publish HTTP/1.1\r\nX-API-Key: {key}\r\n"), "200"),
        (format!("POST /api/publish HTTP/1.1\r\nAuthorization: apikey {key}\r\n"), "200"),
        (format!("POST /api/publish?api_key={key} HTTP/1.1\r\n"), "200"),
        (format!("POST /api/publish HTTP/1.1\r\n{noise}"), "401"),
        (format!("POST /api/publish{query} HTTP/1.1\r\n"), "401"),
    ] {
        let answer = server.ask(&head, &publish);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let uid = format!(r#"{{"uid":"{}"}}"#, planted("jti"));
    for (method, body) in [
        ("publish", format!(r#"{{"channel":"none:a","data":{}}}"#, data("unknown"))),
        ("publish", planted("no-json")),
        ("broadcast", format!(r#"{{"channels":["a","none:b"],"data":{}}}"#, data("broadcast"))),
        ("subscribe", format!(r#"{{"user":"ann","channel":"a","data":{}}}"#, data("server-data"))),
        ("refresh", format!(r#"{{"user":"ann","info":{}}}"#, data("server-info"))),
        ("disconnect", r#"{"user":"ann","session":"00000000-0000-4000-8000-000000000000"}"#.to_owned()),
        ("history", r#"{"channel":"a","limit":-1}"#.to_owned()),
        ("presence", r#"{"channel":"a"}"#.to_owned()),
        ("revoke_token", uid),
        ("block_user", r#"{"user":"eve"}"#.to_owned()),
        ("rpc", format!(r#"{{"method":"m","params":{}}}"#, data("api-rpc"))),
        ("nothing", data("no-method")),
    ] {
        server.ask(&format!("POST /api/{method} HTTP/1.1\r\nX-API-Key: {key}\r\n"), &body);
    }
    // Whose token is revoked is refused now.
    assert!(server.websocket("", "", &[connect(&good)]).contains(r#""code":109"#));
    said.extend(server.end());
    let all = said.join("\n");
    for expected in [r#""level":"debug""#, "HTTP request", "connection refused", "refused"] {
        assert!(all.contains(expected), "it says much, but not {expected}: {all}");
    }
    told_nothing(&said, &secrets);
}

/// What is wrong with a secret is said without it.
#[test]
fn mistakes_in_secrets_are_told_without_them() {
    let directory = std::env::temp_dir().join(format!("tourbillon-secrets-{}-wrong", std::process::id()));
    std::fs::create_dir_all(&directory).expect("made");
    let list = || serde_json::json!([planted("list")]);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", planted("pem"));
    let mut configs = Vec::new();
    for path in secret_options() {
        // Where an object of texts belongs, one of other values does not.
        let object = if path.contains(".static_") {
            serde_json::json!({"a": [planted("object")]})
        } else {
            serde_json::json!({"a": planted("object")})
        };
        for wrong in [list(), object] {
            let mut config = serde_json::json!({});
            plant(&mut config, &path, wrong);
            configs.push(config);
        }
        // What the secret is for is on, and there is another mistake.
        let mut config = serde_json::json!({"shutdown": {"timeout": "-1s"}});
        let is_map = [".static_headers", ".static_metadata"].iter().any(|name| path.ends_with(name));
        let secret = planted(&path);
        plant(
            &mut config,
            &path,
            if is_map { serde_json::json!({ "x-static": secret }) } else { secret.into() },
        );
        if let Some((group, _)) = path.rsplit_once('.')
            && group != "client.token"
            && group != "http_api"
        {
            plant(&mut config, &format!("{group}.enabled"), true.into());
        }
        configs.push(config);
    }
    assert!(configs.len() > 20, "{configs:?}");
    let jwks = |endpoint: &str| {
        let provider = serde_json::json!({"name": "a", "enabled": true, "endpoint": endpoint});
        serde_json::json!({"client": {"token": {"jwks": {"enabled": true, "providers": [provider]}}}})
    };
    configs.extend([
        jwks(&format!("ftp://user:{}@issuer.example/keys", planted("jwks"))),
        jwks(&format!("https://user:{}@:99999/keys", planted("jwks"))),
        serde_json::json!({"client": {"token": {"rsa_public_key": pem}}}),
        serde_json::json!({"client": {"token": {"ecdsa_public_key": pem}}}),
        serde_json::json!({"admin": {
            "enabled": true, "password": planted("admin"), "secret": planted("admin"), "handler_prefix": "none",
        }}),
        serde_json::json!({"http_server": {"tls": {"enabled": true, "key_pem": planted("tls")}}}),
        serde_json::json!({"engine": {"type": "redis", "redis": {
            "password": planted("redis"), "address": format!("redis://user:{}@:99999", planted("address")),
        }}}),
        serde_json::json!({"token_hmac_secret_key": planted("old-name")}),
    ]);
    for config in configs {
        std::fs::write(directory.join("config.json"), config.to_string()).expect("written");
        for arguments in [&["checkconfig"][..], &["-a", "127.0.0.1", "-p", "0"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_tourbillon"))
                .current_dir(&directory)
                .env_clear()
                .args(arguments)
                .output()
                .expect("it runs");
            let said =
                [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            assert!(!output.status.success(), "{config}: {said:?}");
            told_nothing(&said, &[]);
        }
    }
    let _ = std::fs::remove_dir_all(&directory);
}

/// The listener goes on when the system has no more descriptors, and serves again once there are some.
#[test]
#[cfg(target_os = "linux")]
fn a_listener_outlives_a_lack_of_descriptors() {
    let directory = std::env::temp_dir().join(format!("tourbillon-secrets-{}-files", std::process::id()));
    std::fs::create_dir_all(&directory).expect("made");
    std::fs::write(directory.join("config.json"), r#"{"health":{"enabled":true},"log":{"level":"info"}}"#)
        .expect("written");
    let script =
        format!("ulimit -n 40; exec {} -a 127.0.0.1 -p {}", env!("CARGO_BIN_EXE_tourbillon"), free_port());
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let (lines, said) = channel();
    listen(child.stdout.take().expect("piped"), lines.clone());
    listen(child.stderr.take().expect("piped"), lines);
    let wait_for = |text: &str| loop {
        let line = said.recv_timeout(LONG).expect("it says so");
        if line.contains(text) {
            return line;
        }
    };
    let serving = wait_for("external");
    let port = serving.split("127.0.0.1:").nth(1).expect("an address");
    let port: u16 =
        port.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok()).expect("a port");
    let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], port)), said, directory };
    let held: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(server.address).expect("the system takes it")).collect();
    loop {
        let line = server.said.recv_timeout(LONG).expect("it says so");
        if line.contains("connections cannot be accepted") {
            break;
        }
    }
    assert!(server.child.try_wait().expect("known").is_none(), "it runs");
    drop(held);
    assert!(server.ask("GET /health HTTP/1.1\r\n", "").contains("200 OK"));
    server.end();
}
