//! HTTP/2: what is spoken, and what is done to who speaks it badly (NET-06, HTTP-02).

use crate::certificates::{Authority, Speaking};
use crate::frames::*;
use crate::harness::{KEY, Server, Where, ask, start, start_at};

/// A server that speaks HTTP/2 in cleartext to clients, and has its API there too.
async fn start_h2c() -> Server {
    start_at(Where::Internal, |options| {
        options.http_server.h2c_external = true;
        "1".clone_into(&mut options.http_server.internal_port);
        options.http_api.external = true;
        options.http_stream.enabled = true;
        options.sse.enabled = true;
    })
    .await
}

#[tokio::test]
async fn http2_is_chosen_by_alpn() {
    let authority = Authority::new("root");
    let server = start(|options| authority.issue("localhost").on(options)).await;
    for (protocols, chosen) in [
        ([b"h2".as_slice(), b"http/1.1"].as_slice(), Some(b"h2".as_slice())),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let speaking = Speaking { protocols, ..Speaking::trusting(&authority) };
        let stream = speaking.connect(server.external).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            let mut raw = Raw::over(stream).await;
            raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &begin("GET", "/health"))).await;
            assert_eq!(raw.until(|seen| !seen.complete.is_empty()).await.answers, [(1, 200)]);
        } else {
            let answer = crate::harness::ask_over(stream, "GET /health HTTP/1.1\r\nHost: x\r\n", "").await;
            assert_eq!(answer.status, 200);
        }
    }
    // Nothing else is spoken.
    let speaking = Speaking { protocols: &[b"h3"], ..Speaking::trusting(&authority) };
    assert!(speaking.connect(server.external).await.is_err());
    server.end().await;
}

#[tokio::test]
async fn without_tls_clients_have_both_and_the_internal_port_has_not() {
    let server = start_h2c().await;
    let mut raw = Raw::new(server.external).await;
    raw.send(&get(1)).await;
    assert_eq!(raw.until(|seen| !seen.complete.is_empty()).await.answers, [(1, 404)]);
    assert_eq!(server.get("/nothing").await.status, 404);
    let mut client = crate::harness::Client::connected(server.external).await;
    client.subscribe("a").await;
    drop(client);
    let internal = server.internal.expect("a second port");
    raw = Raw::new(internal).await;
    assert!(raw.until(|seen| seen.ended).await.answers.is_empty());
    drop(raw);
    assert_eq!(ask(internal, "GET /health HTTP/1.1\r\nHost: x\r\n", "").await.status, 200);
    server.end().await;
    let plain = start(|_| {}).await;
    assert!(Raw::new(plain.external).await.until_heard().await.ended);
    plain.end().await;
}

/// The API, the endpoints of streams and emulation, all at once in one connection.
#[tokio::test]
async fn every_endpoint_is_there() {
    let server = start_h2c().await;
    let mut raw = Raw::new(server.external).await;
    let post = |stream: u32, path: &str, more: &[(&str, &str)], body: &str| {
        let block = [begin("POST", path), fields(more)].concat();
        [frame(HEADERS, END_HEADERS, stream, &block), frame(DATA, END_STREAM, stream, body.as_bytes())]
            .concat()
    };
    raw.send(&post(1, "/api/info", &[("x-api-key", KEY)], "{}")).await;
    raw.send(&post(3, "/connection/http_stream", &[], r#"{"id":1,"connect":{}}"#)).await;
    let node = server.node.id();
    let emulated = format!(r#"{{"session":"x","node":"{node}","data":"{{}}"}}"#);
    raw.send(&post(5, "/emulation", &[], &emulated)).await;
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 7, &begin("GET", "/connection/websocket"))).await;
    let sse = begin("GET", "/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D");
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 9, &sse)).await;
    let seen = raw.until(|seen| seen.answers.len() == 5 && seen.complete.len() == 3).await;
    let mut answers = seen.answers.clone();
    answers.sort_unstable();
    assert_eq!(answers, [(1, 200), (3, 200), (5, 204), (7, 400), (9, 200)]);
    // Those that last go on: what is published comes in both.
    while server.node.connections() < 2 {
        tokio::task::yield_now().await;
    }
    drop(raw);
    server.end().await;
}

/// RFC 8441: one connection, several WebSockets and another request.
#[tokio::test]
async fn websockets_share_a_connection() {
    let server = start_h2c().await;
    let mut raw = Raw::new(server.external).await;
    let connect = fields(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/connection/websocket"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    ]);
    let command = br#"{"id":1,"connect":{}}"#;
    let text = [&[0x81, 0x80 | u8::try_from(command.len()).expect("short"), 0, 0, 0, 0], command.as_slice()];
    for stream in [1, 3] {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &connect)).await;
        raw.until(|seen| seen.answers.contains(&(stream, 200))).await;
        let before = raw.seen.body.len();
        raw.send(&frame(DATA, 0, stream, &text.concat())).await;
        let seen = raw.until(|seen| seen.body.len() > before + 20).await;
        assert!(seen.takes_connect && seen.body[before] == 0x81, "{seen:?}");
        assert!(String::from_utf8_lossy(&seen.body[before..]).contains(r#""connect":{"#), "{seen:?}");
    }
    assert_eq!(server.node.connections(), 2);
    raw.send(&get(5)).await;
    raw.until(|seen| seen.complete.contains(&5)).await;
    // One that is taken back is over, and the other is not.
    raw.send(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await;
    while server.node.connections() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(!raw.until_heard().await.ended);
    drop(raw);
    server.end().await;
}

/// What comes of a case.
enum Outcome {
    /// The connection ends; if it says why, by one of these.
    Ends(&'static [u32]),
    /// Stream 1 is reset by one of these, or the connection ends so, or the request is answered by 400.
    Refused(&'static [u32]),
    /// Stream 1 is answered.
    Answered(u16),
    /// The connection goes on.
    Goes,
}

use Outcome::{Answered, Ends, Goes, Refused};

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat())
}

fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn head(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// Frames on their own, and settings.
fn cases_of_frames() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let any = begin("GET", "/nothing");
    let (protocol, size) = (&[PROTOCOL_ERROR], &[FRAME_SIZE_ERROR, PROTOCOL_ERROR]);
    vec![
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), Ends(protocol)),
        ("SETTINGS of five bytes", frame(SETTINGS, 0, 0, &[0; 5]), Ends(size)),
        ("an acknowledgement with content", frame(SETTINGS, ACK, 0, &[0; 6]), Ends(size)),
        ("ENABLE_PUSH of two", setting(2, 2), Ends(protocol)),
        ("a window above the largest", setting(4, 1 << 31), Ends(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR])),
        ("MAX_FRAME_SIZE below the least", setting(5, 16_383), Ends(protocol)),
        ("MAX_FRAME_SIZE above the largest", setting(5, 1 << 24), Ends(protocol)),
        ("a setting that is unknown", setting(0xfe, 7), Goes),
        ("an acknowledgement of nothing", frame(SETTINGS, ACK, 0, &[]), Goes),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), Ends(protocol)),
        ("PING of seven bytes", frame(PING, 0, 0, &[0; 7]), Ends(size)),
        ("PONG of nothing", frame(PING, ACK, 0, &[7; 8]), Goes),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Ends(protocol)),
        ("WINDOW_UPDATE of nothing", window(0, 0), Ends(protocol)),
        (
            "WINDOW_UPDATE beyond the largest",
            [window(0, (1 << 31) - 1), window(0, (1 << 31) - 1)].concat(),
            Ends(&[FLOW_CONTROL_ERROR]),
        ),
        ("WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Ends(size)),
        ("WINDOW_UPDATE of nothing on a stream", [post(1, &[]), window(1, 0)].concat(), Refused(protocol)),
        (
            "WINDOW_UPDATE beyond the largest on a stream",
            [post(1, &[]), window(1, (1 << 31) - 1)].concat(),
            Refused(&[FLOW_CONTROL_ERROR]),
        ),
        ("WINDOW_UPDATE on a stream that is not there", window(1, 1), Ends(protocol)),
        ("DATA on no stream", frame(DATA, 0, 0, b"x"), Ends(protocol)),
        (
            "DATA on a stream that is not there",
            frame(DATA, 0, 1, b"x"),
            Ends(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "DATA whose padding is longer than it",
            [post(1, &[]), frame(DATA, PADDED, 1, &[9, 1])].concat(),
            Ends(protocol),
        ),
        ("HEADERS on no stream", head(WHOLE, 0, &any), Ends(protocol)),
        ("HEADERS on a stream of the server's", head(WHOLE, 2, &any), Ends(protocol)),
        ("a stream below another", [get(5), get(3)].concat(), Ends(protocol)),
        ("HEADERS whose padding is longer than they", head(WHOLE | PADDED, 1, &[99, 0, 0]), Ends(protocol)),
        ("RST_STREAM on no stream", frame(RST_STREAM, 0, 0, &[0; 4]), Ends(protocol)),
        ("RST_STREAM on a stream that is not there", frame(RST_STREAM, 0, 1, &[0; 4]), Ends(protocol)),
        ("RST_STREAM of three bytes", [post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), Ends(size)),
        ("PRIORITY on no stream", frame(PRIORITY, 0, 0, &[0; 5]), Ends(protocol)),
        ("PRIORITY of four bytes", frame(PRIORITY, 0, 1, &[0; 4]), Ends(size)),
        ("PRIORITY of an idle stream", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7]), Goes),
        ("PUSH_PROMISE of a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), Ends(protocol)),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &any), Ends(protocol)),
        (
            "CONTINUATION on another stream",
            [head(END_STREAM, 1, &any), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            Ends(protocol),
        ),
        ("DATA within a head", [head(0, 1, &any), frame(DATA, END_STREAM, 1, &[])].concat(), Ends(protocol)),
        (
            "an unknown frame within a head",
            [head(0, 1, &any), frame(0xfe, 0, 1, &[])].concat(),
            Ends(protocol),
        ),
        ("an unknown frame", frame(0xfe, 0xff, 7, b"anything"), Goes),
        ("a frame above the largest", frame(DATA, 0, 1, &[0; 16_385]), Ends(size)),
        ("a reserved bit", head(WHOLE, 1 | 1 << 31, &any), Answered(404)),
    ]
}

/// Requests and their heads.
fn cases_of_requests() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let any = begin("GET", "/nothing");
    let with = |more: &[(&str, &str)]| head(WHOLE, 1, &[any.clone(), fields(more)].concat());
    let of = |list: &[(&str, &str)]| head(WHOLE, 1, &fields(list));
    let body = |flags: u8, body: &[u8]| frame(DATA, flags, 1, body);
    let protocol = &[PROTOCOL_ERROR];
    // The HTTP library says the one where the RFC says the other.
    let compression = &[COMPRESSION_ERROR, PROTOCOL_ERROR];
    let (method, scheme, path) = ((":method", "GET"), (":scheme", "http"), (":path", "/nothing"));
    vec![
        ("a request", get(1), Answered(404)),
        (
            "a head in pieces",
            [
                head(END_STREAM, 1, &any[..9]),
                frame(CONTINUATION, 0, 1, &any[9..20]),
                frame(CONTINUATION, END_HEADERS, 1, &any[20..]),
            ]
            .concat(),
            Answered(404),
        ),
        (
            "a head with a priority and padding",
            head(WHOLE | WITH_PRIORITY | PADDED, 1, &[&[2, 0, 0, 0, 0, 7], any.as_slice(), &[0, 0]].concat()),
            Answered(404),
        ),
        (
            "a body with padding",
            [post(1, &[]), body(END_STREAM | PADDED, &[3, b'{', b'}', 0, 0, 0])].concat(),
            Answered(200),
        ),
        (
            "a body and trailers",
            [post(1, &[]), body(0, b"{}"), head(WHOLE, 1, &fields(&[("x-end", "1")]))].concat(),
            Answered(200),
        ),
        ("TE of trailers", with(&[("te", "trailers")]), Answered(404)),
        ("an index that is none", head(WHOLE, 1, &[0xff, 0xff, 0x7f]), Ends(compression)),
        ("the index zero", head(WHOLE, 1, &[0x80]), Ends(compression)),
        (
            "a table above the largest",
            head(WHOLE, 1, &[&[0x3f, 0xe2, 0x1f], any.as_slice()].concat()),
            Ends(compression),
        ),
        ("half a field", head(WHOLE, 1, &[any.as_slice(), &[0, 9, b'x']].concat()), Ends(compression)),
        (
            "text that is not compressed as it says",
            head(WHOLE, 1, &[any.as_slice(), &[0, 0x84, 0xff, 0xff, 0xff, 0xff]].concat()),
            Ends(compression),
        ),
        ("a name in capitals", with(&[("X-Name", "1")]), Refused(protocol)),
        ("a name with a space", with(&[("x name", "1")]), Refused(protocol)),
        ("a value with a line break", with(&[("x-name", "1\r\nx: 2")]), Refused(protocol)),
        ("a field of HTTP/1.1", with(&[("connection", "close")]), Refused(protocol)),
        ("another", with(&[("transfer-encoding", "chunked")]), Refused(protocol)),
        ("TE of anything else", with(&[("te", "gzip")]), Refused(protocol)),
        ("a pseudo-field after others", of(&[method, scheme, ("x-name", "1"), path]), Refused(protocol)),
        ("an unknown pseudo-field", of(&[method, scheme, path, (":other", "1")]), Refused(protocol)),
        ("a pseudo-field of answers", of(&[method, scheme, path, (":status", "200")]), Refused(protocol)),
        ("two paths", of(&[method, scheme, path, path]), Refused(protocol)),
        ("two methods", of(&[method, method, scheme, path]), Refused(protocol)),
        ("no method", of(&[scheme, path]), Refused(protocol)),
        ("no scheme", of(&[method, path]), Refused(protocol)),
        // The HTTP library takes it for the root.
        ("no path", of(&[method, scheme]), Answered(404)),
        ("an empty path", of(&[method, scheme, (":path", "")]), Refused(protocol)),
        ("CONNECT to nowhere", of(&[(":method", "CONNECT"), (":authority", "localhost:1")]), Answered(404)),
    ]
}

/// Bodies, and what comes after them.
fn cases_of_bodies() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let any = begin("GET", "/nothing");
    let with = |more: &[(&str, &str)]| head(WHOLE, 1, &[any.clone(), fields(more)].concat());
    let body = |flags: u8, body: &[u8]| frame(DATA, flags, 1, body);
    let (protocol, closed) = (&[PROTOCOL_ERROR], &[STREAM_CLOSED, PROTOCOL_ERROR]);
    let method = (":method", "GET");
    vec![
        (
            "a body shorter than it says",
            [post(1, &[("content-length", "9")]), body(END_STREAM, b"{}")].concat(),
            Refused(protocol),
        ),
        (
            "a body longer than it says",
            [post(1, &[("content-length", "1")]), body(END_STREAM, b"{}")].concat(),
            Refused(protocol),
        ),
        ("no body where one is said to be", with(&[("content-length", "2")]), Refused(protocol)),
        (
            "two lengths",
            [post(1, &[("content-length", "2"), ("content-length", "3")]), body(END_STREAM, b"{}")].concat(),
            Refused(protocol),
        ),
        (
            "a length that is none",
            [post(1, &[("content-length", "two")]), body(END_STREAM, b"{}")].concat(),
            Refused(protocol),
        ),
        // The HTTP library drops it, and nothing reads trailers.
        (
            "a pseudo-field in trailers",
            [post(1, &[]), body(0, b"{}"), head(WHOLE, 1, &fields(&[method]))].concat(),
            Answered(200),
        ),
        (
            "trailers that are not the end",
            [post(1, &[]), head(END_HEADERS, 1, &fields(&[("x-end", "1")]))].concat(),
            Refused(protocol),
        ),
        ("a body after the end", [get(1), body(END_STREAM, b"x")].concat(), Refused(closed)),
        (
            "trailers after the end",
            [get(1), head(WHOLE, 1, &fields(&[("x-end", "1")]))].concat(),
            Refused(closed),
        ),
        (
            "a body after a reset",
            [post(1, &[]), frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()), body(0, b"x")].concat(),
            Goes,
        ),
        (
            "a body beyond the window",
            [post(1, &[]), body(0, &[b' '; 16_384]).repeat(9)].concat(),
            Refused(&[FLOW_CONTROL_ERROR]),
        ),
    ]
}

#[tokio::test]
async fn conformance() {
    let server = start_h2c().await;
    let cases = cases_of_frames().into_iter().chain(cases_of_requests()).chain(cases_of_bodies());
    let mut wrong = Vec::new();
    for (name, bytes, outcome) in cases {
        let mut raw = Raw::new(server.external).await;
        raw.send(&bytes).await;
        let is_answered = |seen: &Seen| seen.answers.iter().any(|(stream, _)| *stream == 1);
        let good = match outcome {
            Ends(codes) => {
                let seen = raw.until(|seen| seen.ended).await;
                seen.goaway.is_none_or(|code| codes.contains(&code))
            }
            Refused(codes) => {
                let seen = raw
                    .until(|seen| is_answered(seen) || seen.resets.iter().any(|(stream, _)| *stream == 1))
                    .await;
                match seen.resets.first() {
                    Some((_, code)) => codes.contains(code),
                    None if seen.ended => seen.goaway.is_none_or(|code| codes.contains(&code)),
                    None => {
                        seen.answers == [(1, 400)]
                            || seen.answers == [(1, 404)] && name.contains("after the end")
                    }
                }
            }
            Answered(status) => raw.until(is_answered).await.answers == [(1, status)],
            Goes => {
                let seen = raw.until_heard().await;
                !seen.ended && seen.goaway.is_none()
            }
        };
        if !good {
            wrong.push((name, raw.seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.end().await;
}

#[tokio::test]
async fn what_begins_otherwise_is_refused() {
    let server = start_h2c().await;
    for begun in [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n".to_vec(),
        [PREFACE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
    ] {
        let mut raw = Raw::silent(server.external).await;
        raw.send(&begun).await;
        let seen = raw.until(|seen| seen.ended).await;
        assert!(seen.answers.is_empty(), "{begun:?}: {seen:?}");
    }
    server.end().await;
}
