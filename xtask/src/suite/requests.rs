//! A server that is asked so many times under a tool that counts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To publish, through the API and over one connection.
    Publish,
    /// To connect with a token over WebSocket, and to subscribe.
    Connect,
    /// To answer a call, over one WebSocket. That nobody has such a method is an answer, too.
    Rpc,
}

const KEY: &str = "key";
const SECRET: &str = "secret";

/// Of `user`, signed with [`SECRET`], for ever.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyIn0.8jV\
    jALlPRYpE03sMD8kuqG9D4RSih5NjiISNZ-wO3oY";

/// Runs the server under a tool, asks it, and yields what the tool says. On one thread, so that the same is counted in
/// every run.
pub(super) fn under(
    tool: &str,
    binary: &Path,
    folder: &Path,
    kind: Kind,
    count: u32,
) -> Result<String, String> {
    let text = |error: std::io::Error| format!("the server under `{tool}`: {error}");
    // Free a moment ago.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = free.map_err(text)?.port();
    let config = folder.join("counts.json");
    let options = serde_json::json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "http_api": { "key": KEY },
        "client": { "token": { "hmac_secret_key": SECRET } },
        "channel": { "without_namespace": { "allow_subscribe_for_client": true } },
    });
    std::fs::write(&config, options.to_string()).map_err(text)?;
    let mut words = tool.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg(binary).arg("-c").arg(&config).env("TOKIO_WORKER_THREADS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(text)?;
    let asked = serving(&mut child).and_then(|pid| {
        let asked = ask(port, kind, count).map_err(|error| format!("the server answers badly: {error}"));
        // What it does at its end is the same in every run.
        let ended = Command::new("kill").arg(pid.to_string()).status();
        if !ended.is_ok_and(|status| status.success()) {
            return Err("the server cannot be told to end".to_owned());
        }
        asked
    });
    if asked.is_err() {
        let _ = child.kill();
    }
    let mut told = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut told).map_err(text)?;
    }
    let status = child.wait().map_err(text)?;
    asked?;
    if status.success() { Ok(told) } else { Err(format!("the server under `{tool}` ends with {status}")) }
}

/// Waits until a server says that it serves, and yields its process.
fn serving(child: &mut Child) -> Result<u64, String> {
    let Some(stderr) = child.stderr.take() else { return Err("the server has no log".to_owned()) };
    let mut log = BufReader::new(stderr);
    let mut line = String::new();
    let pid = loop {
        line.clear();
        match log.read_line(&mut line) {
            Ok(0) | Err(_) => return Err("the server does not start".to_owned()),
            Ok(_) => {}
        }
        if line.contains("serving")
            && let Some(pid) = pid(&line)
        {
            break pid;
        }
    };
    // Whoever logs into a closed pipe fails.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Ok(pid)
}

/// The process of a line of the log.
fn pid(line: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get("pid").or_else(|| line.get("fields")?.get("pid"))?.as_u64()
}

const HANDSHAKE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUser-Agent: counts\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A WebSocket whose client is accepted.
fn accepted(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = connected(port)?;
    exchange(&mut stream, HANDSHAKE.as_bytes(), "\r\n\r\n")?;
    let connect = framed(&format!(r#"{{"id":1,"connect":{{"token":"{TOKEN}"}}}}"#));
    exchange(&mut stream, &connect, r#"{"id":1,"connect":"#)?;
    Ok(stream)
}

fn ask(port: u16, kind: Kind, count: u32) -> std::io::Result<()> {
    match kind {
        Kind::Publish => {
            let body = format!(r#"{{"channel":"news","data":{{"text":"{}"}}}}"#, "x".repeat(100));
            let request = format!(
                "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nUser-Agent: counts\r\nAccept: */*\r\n\
                 X-API-Key: {KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut stream = connected(port)?;
            for _ in 0..count {
                exchange(&mut stream, request.as_bytes(), r#"{"result":{}}"#)?;
            }
        }
        Kind::Connect => {
            let subscribe = framed(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
            // They stay until all are there.
            let mut streams = Vec::new();
            for _ in 0..count {
                let mut stream = accepted(port)?;
                exchange(&mut stream, &subscribe, r#"{"id":2,"subscribe":"#)?;
                streams.push(stream);
            }
        }
        Kind::Rpc => {
            let call =
                framed(&format!(r#"{{"id":2,"rpc":{{"method":"echo","data":"{}"}}}}"#, "x".repeat(64)));
            let mut stream = accepted(port)?;
            for _ in 0..count {
                exchange(&mut stream, &call, r#"{"id":2,"error":"#)?;
            }
        }
    }
    Ok(())
}

fn connected(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends and reads until this comes.
fn exchange(stream: &mut TcpStream, sent: &[u8], end: &str) -> std::io::Result<()> {
    stream.write_all(sent)?;
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    while !all.windows(end.len()).any(|window| window == end.as_bytes()) {
        let read = stream.read(&mut chunk)?;
        all.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 {
            let told = String::from_utf8_lossy(&all);
            return Err(std::io::Error::other(format!("no {end} in {told:?}")));
        }
    }
    Ok(())
}

/// A masked text frame of up to 65,535 bytes; a mask of zeros changes nothing.
fn framed(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut frame = if length < 126 { vec![0x81, 0x80 | low] } else { vec![0x81, 0x80 | 126, high, low] };
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_in_the_log() {
        assert_eq!(pid(r#"{"level":"info","pid":12,"message":"serving"}"#), Some(12));
        assert_eq!(pid(r#"{"fields":{"pid":12}}"#), Some(12));
        assert_eq!(pid("serving"), None);
    }

    #[test]
    fn frames_have_their_length() {
        assert_eq!(framed("{}"), [0x81, 0x82, 0, 0, 0, 0, b'{', b'}']);
        assert_eq!(framed(&"x".repeat(300))[..8], [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
    }
}
