//! WebSockets to clients that only listen, in bytes (UNI-01..04).

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tourbillon_transport::{
    Message, MessageQueue, PingMode, Received, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_websocket::{
    Compression, UniWebSocketConfig, UniWebSocketTransport, UpgradedWrite, WebSocketWriter,
};
use tourbillon_types::{Direction, Disconnect, Encoding, PushKinds};

use crate::support::{Server, block_on, frame, handshake, next_frame, open, request};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

async fn connected(config: UniWebSocketConfig, query: &str) -> (UniWebSocketTransport, TcpStream) {
    let mut server = Server::uni(config).await;
    let (_, stream) = open(server.address, query, "").await;
    (server.accept().await.0, stream)
}

async fn write(writer: &mut WebSocketWriter<UpgradedWrite>, messages: &[&str]) {
    let mut queue = MessageQueue::new();
    for message in messages {
        queue.push(Message::new(message.as_bytes()));
    }
    poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
}

#[test]
fn what_a_transport_to_listeners_is() {
    block_on(async {
        let mut config = UniWebSocketConfig::default();
        config.write_timeout = Some(Duration::from_millis(250));
        let mut server = Server::uni(config).await;
        // There is nothing to negotiate: JSON it is, without a subprotocol.
        let (answer, stream) =
            open(server.address, "?format=protobuf", "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n").await;
        assert_eq!(answer.header("sec-websocket-protocol"), None);
        let (transport, _) = server.accept().await;
        let info = transport.info();
        assert_eq!(
            (info.name, info.encoding, info.ping),
            ("uni_websocket", Encoding::Json, PingMode::Native)
        );
        assert_eq!(info.direction, Direction::Unidirectional);
        assert!(info.suppressed.is_empty() && !info.emulation && !info.connect_errors);
        assert_eq!(info.write_timeout, Some(Duration::from_millis(250)));
        assert_eq!(info.peer, stream.local_addr().ok());
        let mut config = UniWebSocketConfig::default();
        config.disable_disconnect_push = true;
        assert_eq!(connected(config, "").await.0.info().suppressed, PushKinds::DISCONNECT);
    });
}

/// UNI-02.
#[test]
fn the_connect_request_is_in_the_query_or_the_first_message() {
    const COMMAND: &[u8] = br#"{"id":1,"connect":{"token":"a b"}}"#;
    const EMPTY: &[u8] = br#"{"id":1,"connect":{}}"#;
    block_on(async {
        for (query, first, command) in [
            ("?cf_connect=%7B%22token%22:%22a+b%22%7D", None, COMMAND),
            ("?x=y&cf_connect=null", None, EMPTY),
            ("", Some(r#"{"token":"a b"}"#), COMMAND),
            ("?cf_connect=", Some("null"), EMPTY),
        ] {
            let (transport, mut stream) = connected(UniWebSocketConfig::default(), query).await;
            let (mut reader, _writer) = transport.split();
            if let Some(first) = first {
                stream.write_all(&frame(TEXT, first.as_bytes())).await.expect("sent");
            }
            let received = reader.recv().await.expect("a command");
            assert_eq!(received, Received::Message(command.into()), "{query} {first:?}");
            // What the client says after it is nothing to anybody; its frames are.
            for later in [&b"{}"[..], b"nonsense", br#"{"id":2,"rpc":{}}"#] {
                stream.write_all(&frame(TEXT, later)).await.expect("sent");
            }
            stream.write_all(&frame(PONG, b"")).await.expect("sent");
            assert_eq!(reader.recv().await.expect("a pong"), Received::Pong);
            stream.write_all(&frame(PING, b"")).await.expect("sent");
            assert_eq!(reader.recv().await.expect("a ping"), Received::WantsWrite);
            stream.write_all(&frame(CLOSE, b"")).await.expect("sent");
            assert_eq!(reader.recv().await.expect("the end"), Received::End);
        }
    });
}

/// UNI-02.
#[test]
fn what_is_no_connect_request_is_refused() {
    block_on(async {
        let server = Server::uni(UniWebSocketConfig::default()).await;
        for query in
            ["?cf_connect=%7B", "?cf_connect=5", "?cf_connect=%zz", "?cf_connect=%7B%22token%22:5%7D"]
        {
            let (answer, _) = request(server.address, &handshake(query, "")).await;
            assert_eq!(answer.status, 400, "{query}");
        }
        for first in ["", "{", "[]", r#"{"token":5}"#, r#"{"id":1,"connect":{},"token":5}"#] {
            let (transport, mut stream) = connected(UniWebSocketConfig::default(), "").await;
            let (mut reader, mut writer) = transport.split();
            stream.write_all(&frame(TEXT, first.as_bytes())).await.expect("sent");
            let error = reader.recv().await.expect_err("no connect request");
            assert_eq!(error.disconnect(), Disconnect::BAD_REQUEST, "{first}");
            poll_fn(|cx| writer.poll_close(cx, &error.disconnect())).await.expect("closed");
            assert_eq!(next_frame(&mut stream).await, Some((CLOSE, b"\x0d\xadbad request".to_vec())));
            // The rest of what it says is discarded.
            stream.write_all(&frame(TEXT, b"null")).await.expect("sent");
            stream.shutdown().await.expect("ended");
            assert_eq!(reader.recv().await.expect("the end"), Received::End);
        }
    });
}

/// UNI-04.
#[test]
fn messages_that_wait_together_are_lines_of_one_frame_on_request() {
    block_on(async {
        let (transport, mut stream) = connected(UniWebSocketConfig::default(), "").await;
        let (_reader, mut writer) = transport.split();
        write(&mut writer, &["1", "2"]).await;
        assert_eq!(next_frame(&mut stream).await, Some((TEXT, b"1".to_vec())), "not without a request");
        assert_eq!(next_frame(&mut stream).await, Some((TEXT, b"2".to_vec())));

        let mut config = UniWebSocketConfig::default();
        config.join_push_messages = true;
        let (transport, mut stream) = connected(config.clone(), "").await;
        let (_reader, mut writer) = transport.split();
        write(&mut writer, &["1"]).await;
        write(&mut writer, &["2", "{}", "3"]).await;
        assert_eq!(next_frame(&mut stream).await, Some((TEXT, b"1".to_vec())));
        assert_eq!(next_frame(&mut stream).await, Some((TEXT, b"2\n{}\n3".to_vec())));
        // A frame has a bound, which a single message may exceed.
        let large = "x".repeat(40_000);
        let larger = "y".repeat(100_000);
        write(&mut writer, &[&large, "1", &large, &larger, "2", "3"]).await;
        for expected in [format!("{large}\n1"), large.clone(), larger, "2\n3".to_owned()] {
            let (first, payload) = next_frame(&mut stream).await.expect("a frame");
            assert_eq!((first, payload.len()), (TEXT, expected.len()));
            assert_eq!(payload, expected.as_bytes());
        }

        config.websocket.compression = Some(Compression::default());
        let mut server = Server::uni(config).await;
        let (answer, mut stream) =
            open(server.address, "", "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
        assert!(answer.header("sec-websocket-extensions").is_some());
        let (_reader, mut writer) = server.accept().await.0.split();
        write(&mut writer, &["{\"a\":1}", "{\"a\":1}"]).await;
        let (first, payload) = next_frame(&mut stream).await.expect("a frame");
        assert_eq!(first, TEXT | 0x40, "compressed");
        let mut inflated = Vec::with_capacity(100);
        let mut inflate = flate2::Decompress::new(false);
        inflate.decompress_vec(&payload, &mut inflated, flate2::FlushDecompress::Sync).expect("DEFLATE");
        assert_eq!(inflated, b"{\"a\":1}\n{\"a\":1}");
    });
}

/// UNI-04.
#[test]
fn a_connection_ends_without_a_close_frame_on_request() {
    block_on(async {
        for silent in [false, true] {
            let mut config = UniWebSocketConfig::default();
            config.disable_closing_handshake = silent;
            let (transport, mut stream) = connected(config.clone(), "").await;
            let (_reader, mut writer) = transport.split();
            poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("closed");
            let expected = (!silent).then(|| (CLOSE, b"\x0b\xb9shutdown".to_vec()));
            assert_eq!(next_frame(&mut stream).await, expected);
            // A client that closes itself gets its answer either way (RFC 6455 section 5.5.1).
            let (transport, mut stream) = connected(config, "").await;
            let (mut reader, mut writer) = transport.split();
            stream.write_all(&frame(CLOSE, b"\x03\xe8")).await.expect("sent");
            assert_eq!(reader.recv().await.expect("the end"), Received::End);
            poll_fn(|cx| writer.poll_close(cx, &Disconnect::CONNECTION_CLOSED)).await.expect("closed");
            assert_eq!(next_frame(&mut stream).await, Some((CLOSE, b"\x03\xe8".to_vec())));
        }
    });
}
