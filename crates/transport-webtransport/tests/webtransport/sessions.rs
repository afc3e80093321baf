//! How sessions begin and end (WT-01..04).

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tourbillon_transport::{
    Message, MessageQueue, OriginPolicy, Received, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_webtransport::{ServeError, WebTransportConfig};
use tourbillon_types::{Disconnect, Encoding};
use wtransport::error::{ConnectingError, ConnectionError};

use crate::support::{Server, block_on, client, request};

const PATH: &str = "/connection/webtransport";

/// The code and the reason that the server ends a session with.
async fn end_of(session: &wtransport::Connection) -> (u64, Vec<u8>) {
    match session.accept_uni().await {
        Err(ConnectionError::ApplicationClosed(close)) => {
            (close.code().into_inner(), close.reason().to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_is_a_connection_with_the_encoding_that_it_asks_for() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        for (query, encoding, sent, expected) in [
            ("", Encoding::Json, &b"{\"id\":1}\n{}\n"[..], [&b"{\"id\":1}"[..], b"{}"]),
            ("?cf_protocol=protobuf", Encoding::Protobuf, b"\x01x\x02yz", [b"\x01x", b"\x02yz"]),
        ] {
            let endpoint = client();
            let options = request(server.url(&format!("{PATH}{query}")));
            let session = endpoint.connect(options.build()).await.expect("a session");
            let (mut send, mut recv) = session.open_bi().await.expect("a stream").await.expect("a stream");
            send.write_all(sent).await.expect("sent");
            let (transport, context) = server.accept().await;
            assert_eq!(context.headers["x-mine"], "1");
            let info = transport.info().clone();
            assert_eq!((info.name, info.encoding), ("webtransport", encoding));
            assert!(info.suppressed.is_empty() && !info.emulation && info.peer.is_some());
            assert_eq!(info.write_timeout, Some(Duration::from_secs(1)));
            let (mut reader, mut writer) = transport.split();
            for message in expected {
                let received = reader.recv().await.expect("a message");
                assert_eq!(received, Received::Message(message.to_vec().into()));
            }
            let mut queue = MessageQueue::new();
            for message in [&b"\x01a"[..], b"\x02bc"] {
                queue.push(Message::new(message));
            }
            poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
            let expected: &[u8] =
                if encoding == Encoding::Json { b"\x01a\n\x02bc\n" } else { b"\x01a\x02bc" };
            let mut seen = vec![0; expected.len()];
            recv.read_exact(&mut seen).await.expect("received");
            assert_eq!(seen, expected);
        }
    });
}

#[test]
fn what_may_not_connect_is_refused() {
    block_on(async {
        let mut config = WebTransportConfig::default();
        config.origins = OriginPolicy::patterns(["https://ours.example"]).expect("a pattern");
        let mut server = Server::start(config);
        let endpoint = client();
        let connect = async |path: &str, origin: Option<&str>| {
            let mut options = request(server.url(path));
            if let Some(origin) = origin {
                options = options.add_header("origin", origin);
            }
            endpoint.connect(options.build()).await
        };
        let refused = |result| matches!(result, Err(ConnectingError::SessionRejected));
        assert!(refused(connect("/elsewhere", None).await));
        assert!(refused(connect(PATH, Some("https://theirs.example")).await));
        assert!(connect(PATH, Some("https://ours.example")).await.is_ok());
        assert!(connect(PATH, None).await.is_ok(), "no page");
        assert!(server.has_accepted_nothing(), "there is no stream yet");
    });
}

#[test]
fn the_end_of_a_session_tells_code_and_reason_after_its_stream() {
    block_on(async {
        let mut config = WebTransportConfig::default();
        config.close_delay = Duration::from_millis(50);
        let mut server = Server::start(config);
        let endpoint = client();
        let session = endpoint.connect(request(server.url(PATH)).build()).await.expect("a session");
        let (_send, mut recv) = session.open_bi().await.expect("a stream").await.expect("a stream");
        let (transport, _) = server.accept().await;
        let (_reader, mut writer) = transport.split();
        let mut queue = MessageQueue::new();
        queue.push(Message::new("{\"push\":{}}"));
        poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
        let why = Disconnect::custom(4501, "enough");
        poll_fn(|cx| writer.poll_close(cx, &why)).await.expect("closed");
        let mut seen = Vec::new();
        let mut piece = [0; 64];
        while let Ok(Some(length)) = recv.read(&mut piece).await {
            seen.extend_from_slice(&piece[..length]);
        }
        assert_eq!(seen, b"{\"push\":{}}\n");
        assert_eq!(end_of(&session).await, (4501, b"enough".to_vec()));
    });
}

#[test]
fn a_session_without_a_stream_is_ended() {
    block_on(async {
        let mut config = WebTransportConfig::default();
        config.stream_timeout = Duration::from_millis(50);
        let mut server = Server::start(config);
        let endpoint = client();
        let session = endpoint.connect(request(server.url(PATH)).build()).await.expect("a session");
        assert_eq!(end_of(&session).await.0, u64::from(Disconnect::STALE.code));
        assert!(server.has_accepted_nothing());
    });
}

/// A session that ends takes its connection with it though its stream does not.
#[test]
fn the_end_of_the_session_is_the_end_of_its_stream() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let endpoint = client();
        let session = endpoint.connect(request(server.url(PATH)).build()).await.expect("a session");
        let _stream = session.open_bi().await.expect("a stream").await.expect("a stream");
        let (transport, _) = server.accept().await;
        let (mut reader, _writer) = transport.split();
        session.close(7_u32.into(), b"");
        assert_eq!(reader.recv().await.ok(), Some(Received::End));
    });
}

/// A client that opens streams again and again for which there is no use is not served for ever.
#[test]
fn streams_that_nobody_needs_are_counted() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let endpoint = client();
        let session = endpoint.connect(request(server.url(PATH)).build()).await.expect("a session");
        let _first = session.open_bi().await.expect("a stream").await.expect("a stream");
        for _ in 0..2_000 {
            let Ok(opening) = session.open_bi().await else { break };
            let Ok((mut send, _)) = opening.await else { break };
            if send.write_all(b"x").await.is_err() {
                continue;
            }
        }
        assert!(matches!(server.ended.recv().await, Some(Err(ServeError::Strays))));
    });
}

/// A session has a place from its request to the end of its connection, and one more until it opens its stream.
#[test]
fn a_session_keeps_the_place_that_it_was_given() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let endpoint = client();
        let session = endpoint.connect(request(server.url(PATH)).build()).await.expect("a session");
        assert_eq!(server.door.places(), [1, 1]);
        let _stream = session.open_bi().await.expect("a stream").await.expect("a stream");
        let (transport, mut context) = server.accept().await;
        assert_eq!(server.door.places(), [1, 0]);
        context.held = None;
        assert_eq!(server.door.places(), [0, 0]);
        server.door.shut.store(true, Ordering::Relaxed);
        let refused = endpoint.connect(request(server.url(PATH)).build()).await;
        assert!(matches!(refused, Err(ConnectingError::SessionRejected)));
        drop(transport);
    });
}

/// When the server stops, a session that is under way comes to its end, and its connection with it.
#[test]
fn a_stop_lets_sessions_end() {
    block_on(async {
        let mut config = WebTransportConfig::default();
        config.close_delay = Duration::from_millis(50);
        let mut server = Server::start(config);
        let endpoint = client();
        let session = endpoint.connect(request(server.url(PATH)).build()).await.expect("a session");
        let (_send, mut recv) = session.open_bi().await.expect("a stream").await.expect("a stream");
        let (transport, _) = server.accept().await;
        let (_reader, mut writer) = transport.split();
        server.stop.send_replace(true);
        let mut queue = MessageQueue::new();
        queue.push(Message::new("{}"));
        poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
        let mut seen = [0; 3];
        recv.read_exact(&mut seen).await.expect("received");
        assert!(server.ended.try_recv().is_err(), "the connection lasts as long as its session");
        poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("closed");
        assert_eq!(end_of(&session).await.0, u64::from(Disconnect::SHUTDOWN.code));
        assert!(server.ended.recv().await.is_some());
    });
}
