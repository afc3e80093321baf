//! Every example is run as its reader would run it.

#![allow(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on a free port and waits until it says where it listens.
fn serve(program: &str) -> (Running, SocketAddr) {
    serve_with(program, &[])
}

/// The same with more arguments.
fn serve_with(program: &str, more: &[&str]) -> (Running, SocketAddr) {
    let mut command = Command::new(program);
    let mut child =
        command.arg("127.0.0.1:0").args(more).stdout(Stdio::piped()).spawn().expect("the example starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let running = Running(child);
    let line = stdout.lines().next().expect("it says something").expect("text");
    let address = line.strip_prefix("listening on ").expect("an address").parse().expect("an address");
    (running, address)
}

fn connect(address: SocketAddr) -> (TcpStream, BufReader<TcpStream>) {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let reader = BufReader::new(stream.try_clone().expect("cloned"));
    (stream, reader)
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer in time");
    line.trim_end().to_owned()
}

#[test]
fn custom_transport() {
    let (_running, address) = serve(env!("CARGO_BIN_EXE_custom_transport"));
    let (mut stream, mut reader) = connect(address);
    stream
        .write_all(b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"chat\"}}\n")
        .expect("sent");
    assert!(line(&mut reader).starts_with(r#"{"id":1,"connect":{"client":""#));
    assert_eq!(line(&mut reader), r#"{"id":2,"subscribe":{}}"#);

    let (mut other, mut others) = connect(address);
    other
        .write_all(b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"publish\":{\"channel\":\"chat\",\"data\":{\"text\":\"hello\"}}}\n")
        .expect("sent");
    let push = line(&mut reader);
    assert!(
        push.starts_with(r#"{"push":{"channel":"chat","pub":{"data":{"text":"hello"},"info":"#),
        "{push}"
    );
    line(&mut others);
    assert_eq!(line(&mut others), r#"{"id":2,"publish":{}}"#);

    other.write_all(b"nonsense\n").expect("sent");
    assert_eq!(line(&mut others), r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#);
}

#[test]
fn codec_only() {
    let output = Command::new(env!("CARGO_BIN_EXE_codec_only")).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("command 1 is a connect"), "{text}");
    assert!(text.contains(r#"JSON      {"id":2,"subscribe":{}}"#), "{text}");
    assert!(text.contains("Protobuf  [04, 08, 02, 32, 00]"), "{text}");
    assert!(text.contains("a list is refused"), "{text}");
}

#[test]
fn embed_axum() {
    let (_running, address) = serve(env!("CARGO_BIN_EXE_embed_axum"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let scenario = async {
        let mut socket = websocket::connect(address).await;
        socket.send(r#"{"id":1,"connect":{"token":"secret:ann"}}"#).await;
        assert!(socket.recv().await.starts_with(r#"{"id":1,"connect":"#));
        socket.send(r#"{"id":2,"subscribe":{"channel":"orders"}}"#).await;
        assert_eq!(socket.recv().await, r#"{"id":2,"subscribe":{}}"#);
        socket.send(r#"{"id":3,"rpc":{"method":"whoami"}}"#).await;
        assert_eq!(socket.recv().await, r#"{"id":3,"rpc":{"data":{"user":"ann"}}}"#);
        websocket::post(address, "/orders", r#"{"item":"tea"}"#).await;
        assert_eq!(socket.recv().await, r#"{"push":{"channel":"orders","pub":{"data":{"item":"tea"}}}}"#);

        let mut refused = websocket::connect(address).await;
        refused.send(r#"{"id":1,"connect":{"token":"wrong"}}"#).await;
        assert_eq!(refused.recv().await, "closed 3500");
    };
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(30), scenario).await.expect("in time") });
}

/// Runs a scenario that has to end in time.
fn within_time(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(30), scenario).await.expect("in time") });
}

#[test]
fn custom_broker() {
    let free = || std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    // Both at once, so that they are two; and gone before the example has them.
    let [one, other] = [free(), free()].map(|socket| socket.local_addr().expect("an address").to_string());
    let program = env!("CARGO_BIN_EXE_custom_broker");
    let (_first, first) = serve_with(program, &[&one, &other]);
    let (_second, second) = serve_with(program, &[&other, &one]);
    within_time(async {
        let mut clients = [websocket::connect(first).await, websocket::connect(second).await];
        for client in &mut clients {
            client.send(r#"{"id":1,"connect":{}}"#).await;
            assert!(client.recv().await.starts_with(r#"{"id":1,"connect":"#));
            client.send(r#"{"id":2,"subscribe":{"channel":"chat"}}"#).await;
            assert_eq!(client.recv().await, r#"{"id":2,"subscribe":{}}"#);
        }
        let [mut here, mut there] = clients;
        here.send(r#"{"id":3,"publish":{"channel":"chat","data":{"a":"\u00e9 1"}}}"#).await;
        let push = r#"{"push":{"channel":"chat","pub":{"data":{"a":"\u00e9 1"}}}}"#;
        assert_eq!(there.recv().await, push, "over the broker, byte for byte");
        let both = [here.recv().await, here.recv().await];
        assert!(
            both.contains(&push.to_owned()) && both.contains(&r#"{"id":3,"publish":{}}"#.to_owned()),
            "{both:?}"
        );
        let large = "x".repeat(60_000);
        here.send(&format!(r#"{{"id":4,"publish":{{"channel":"chat","data":"{large}"}}}}"#)).await;
        assert!(here.recv().await.starts_with(r#"{"id":4,"error":{"code":1"#), "too large for a packet");
        // Who is no peer is not listened to.
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        stranger.send_to(br#"{"channel":"chat","data":"planted"}"#, &other).expect("sent");
        here.send(r#"{"id":5,"publish":{"channel":"chat","data":2}}"#).await;
        assert_eq!(there.recv().await, r#"{"push":{"channel":"chat","pub":{"data":2}}}"#);
    });
}

#[test]
fn auth_rule() {
    let (_running, address) = serve(env!("CARGO_BIN_EXE_auth_rule"));
    within_time(async {
        let room = async |body| websocket::request("PUT", address, "/rooms/tea", body).await;
        room(r#"{"speaker":"ann","members":["ann","ben"]}"#).await;
        let mut sockets = Vec::new();
        for name in ["ann", "ben", "eve"] {
            let mut socket = websocket::connect(address).await;
            socket.send(&format!(r#"{{"id":1,"connect":{{"token":"secret:{name}"}}}}"#)).await;
            assert!(socket.recv().await.starts_with(r#"{"id":1,"connect":"#));
            socket.send(r#"{"id":2,"subscribe":{"channel":"room:tea"}}"#).await;
            sockets.push(socket);
        }
        let [ann, ben, eve] = &mut sockets[..] else { panic!("three") };
        let refused = |id| format!(r#"{{"id":{id},"error":{{"code":103,"message":"permission denied"}}}}"#);
        for member in [&mut *ann, &mut *ben] {
            assert_eq!(member.recv().await, r#"{"id":2,"subscribe":{}}"#);
        }
        assert_eq!(eve.recv().await, refused(2));
        let publish = r#"{"id":3,"publish":{"channel":"room:tea","data":"hello"}}"#;
        ben.send(publish).await;
        assert_eq!(ben.recv().await, refused(3));
        ann.send(publish).await;
        assert!(ben.recv().await.starts_with(r#"{"push":{"channel":"room:tea","pub":{"data":"hello""#));
        room(r#"{"speaker":"eve","members":["ann","eve"]}"#).await;
        let gone =
            r#"{"push":{"channel":"room:tea","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#;
        assert_eq!(ben.recv().await, gone);
        eve.send(r#"{"id":4,"subscribe":{"channel":"room:tea"}}"#).await;
        assert_eq!(eve.recv().await, r#"{"id":4,"subscribe":{}}"#);
        eve.send(r#"{"id":5,"subscribe":{"channel":"room:none"}}"#).await;
        assert_eq!(eve.recv().await, refused(5));
    });
}

/// A client by another hand: fastwebsockets' and hyper's.
mod websocket {
    use std::net::SocketAddr;

    use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, handshake};
    use http_body_util::{Empty, Full};
    use hyper::body::Bytes;
    use hyper::upgrade::Upgraded;
    use hyper::{Request, StatusCode};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpStream;

    pub(crate) struct Socket(FragmentCollector<TokioIo<Upgraded>>);

    struct Spawn;

    impl<F> hyper::rt::Executor<F> for Spawn
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        fn execute(&self, future: F) {
            tokio::spawn(future);
        }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Socket {
        let stream = TcpStream::connect(address).await.expect("connected");
        let request = Request::get(format!("http://{address}/connection/websocket"))
            .header("host", address.to_string())
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-key", handshake::generate_key())
            .header("sec-websocket-version", "13")
            .body(Empty::<Bytes>::new())
            .expect("a request");
        let (socket, _) = handshake::client(&Spawn, request, stream).await.expect("upgraded");
        Socket(FragmentCollector::new(socket))
    }

    impl Socket {
        pub(crate) async fn send(&mut self, text: &str) {
            self.0.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await.expect("sent");
        }

        pub(crate) async fn recv(&mut self) -> String {
            let frame = self.0.read_frame().await.expect("a frame");
            match frame.opcode {
                OpCode::Close => {
                    format!("closed {}", u16::from_be_bytes([frame.payload[0], frame.payload[1]]))
                }
                _ => String::from_utf8(frame.payload.to_vec()).expect("text"),
            }
        }
    }

    pub(crate) async fn post(address: SocketAddr, path: &str, body: &'static str) {
        request("POST", address, path, body).await;
    }

    pub(crate) async fn request(method: &str, address: SocketAddr, path: &str, body: &'static str) {
        let stream = TcpStream::connect(address).await.expect("connected");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
}
