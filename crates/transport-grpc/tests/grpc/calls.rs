//! What a client of tonic's gets (UNI-07).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use tonic::{Code, Request};
use tourbillon_protocol::{
    Commands, Envelope, Limits, Push as Pushed, PushEvent, Request as Asked, encode_ping, encode_publication,
    encode_push,
};
use tourbillon_transport::{
    Held, Message, MessageQueue, PingMode, Received, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_grpc::{GrpcConfig, GrpcTransport, GrpcWriter, UniStreamService};
use tourbillon_types::{Direction, Disconnect, Encoding, Payload, Publication};
use tower_service::Service;

use crate::support::{Server, ToTest, block_on, consume, service};
use crate::unistream::{ConnectRequest, SubscribeRequest};

async fn write(writer: &mut GrpcWriter, messages: &[Vec<u8>]) {
    let mut queue = MessageQueue::new();
    for message in messages {
        queue.push(Message::new(message));
    }
    poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
}

fn publication(data: &str) -> Vec<u8> {
    let publication = Publication { data: Payload::from(data.as_bytes().to_vec()), ..Publication::default() };
    encode_publication(Encoding::Protobuf, Envelope::Push, "news", 0, &publication).expect("encoded")
}

fn push(event: PushEvent) -> Vec<u8> {
    encode_push(Encoding::Protobuf, Envelope::Push, &Pushed { channel: None, id: 0, event }).expect("encoded")
}

#[test]
fn a_call_is_a_connection_to_a_listener() {
    block_on(async {
        let mut server = Server::start(GrpcConfig::default()).await;
        let mut request = Request::new(ConnectRequest {
            token: "a".repeat(1_000),
            data: vec![0, 255].into(),
            name: "tonic".to_owned(),
            version: "1".to_owned(),
            subs: [("news".to_owned(), SubscribeRequest { recover: true, epoch: "e".to_owned(), offset: 7 })]
                .into(),
            headers: [("authorization".to_owned(), "b".to_owned())].into(),
        });
        request.metadata_mut().insert("x-test", "c".parse().expect("a value"));
        let call = consume(server.address, request).await;
        let _stream = call.expect("a stream");
        let (transport, context) = server.accept().await;
        assert_eq!(context.headers["x-test"], "c");
        let info = transport.info();
        assert_eq!(
            (info.name, info.encoding, info.ping),
            ("uni_grpc", Encoding::Protobuf, PingMode::Protocol)
        );
        assert_eq!(info.direction, Direction::Unidirectional);
        assert!(info.suppressed.is_empty() && !info.emulation && !info.connect_errors && info.peer.is_some());
        let (mut reader, _writer) = transport.split();
        let Received::Message(frame) = reader.recv().await.expect("a command") else { panic!("no message") };
        let mut commands = Commands::new(Encoding::Protobuf, frame);
        let command = commands.next_command(&Limits::default()).expect("one").expect("a sound one");
        let Asked::Connect(connect) = command.request else { panic!("{command:?}") };
        assert_eq!((connect.token.len(), connect.name.as_str()), (1_000, "tonic"));
        assert_eq!(connect.headers, [("authorization".to_owned(), "b".to_owned())]);
        let [(channel, subscribe)] = &connect.subs[..] else { panic!("{connect:?}") };
        assert_eq!((channel.as_str(), subscribe.recover, subscribe.position.offset), ("news", true, 7));
    });
}

#[test]
fn pushes_arrive_as_they_were_encoded_to_the_end() {
    block_on(async {
        let mut server = Server::start(GrpcConfig::default()).await;
        let call = consume(server.address, Request::new(ConnectRequest::default())).await;
        let mut stream = call.expect("a stream").into_inner();
        let (_reader, mut writer) = server.accept().await.0.split();
        let large = "x".repeat(100_000);
        let ping = encode_ping(Encoding::Protobuf, Envelope::Push);
        write(&mut writer, &[publication("1"), ping.to_vec(), publication(&large), publication("2")]).await;
        for expected in [Some("1"), None, Some(&large), Some("2")] {
            let push = stream.message().await.expect("a message").expect("not the end");
            let data = push.r#pub.map(|publication| publication.data);
            assert_eq!(data.as_deref(), expected.map(str::as_bytes));
            assert_eq!(push.channel, if expected.is_some() { "news" } else { "" });
        }
        write(&mut writer, &[push(PushEvent::Disconnect(Disconnect::SHUTDOWN))]).await;
        poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("closed");
        let told = stream.message().await.expect("a message").expect("not the end");
        let told = told.disconnect.expect("a disconnect");
        assert_eq!((told.code, told.reason.as_str()), (3001, "shutdown"));
        assert_eq!(stream.message().await.expect("status 0"), None);
    });
}

async fn ended(transport: GrpcTransport) {
    let (mut reader, _writer) = transport.split();
    assert!(matches!(reader.recv().await, Ok(Received::Message(_))));
    assert_eq!(reader.recv().await.expect("the end"), Received::End);
}

#[test]
fn a_client_that_goes_ends_its_connection() {
    block_on(async {
        let mut server = Server::start(GrpcConfig::default()).await;
        let stream =
            consume(server.address, Request::new(ConnectRequest::default())).await.expect("a stream");
        let (transport, _) = server.accept().await;
        drop(stream);
        ended(transport).await;
    });
}

/// The deadline that a call comes with ends it at the server, too.
#[test]
fn a_call_ends_at_its_deadline() {
    block_on(async {
        let mut server = Server::start(GrpcConfig::default()).await;
        let mut request = Request::new(ConnectRequest::default());
        request.set_timeout(Duration::from_millis(200));
        let mut stream = consume(server.address, request).await.expect("a stream").into_inner();
        let (transport, _) = server.accept().await;
        ended(transport).await;
        let status = stream.message().await.expect_err("too late");
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    });
}

/// Whoever reads nothing makes the writer wait, and gets all of it when he reads.
#[test]
fn a_client_that_does_not_read_makes_the_writer_wait() {
    block_on(async {
        let mut server = Server::start(GrpcConfig::default()).await;
        let call = consume(server.address, Request::new(ConnectRequest::default())).await;
        let mut stream = call.expect("a stream").into_inner();
        let (_reader, mut writer) = server.accept().await.0.split();
        let large = "x".repeat(10_000);
        let mut queue = MessageQueue::new();
        for _ in 0..500 {
            queue.push(Message::new(publication(&large)));
        }
        let mut writing = Box::pin(poll_fn(|cx| writer.poll_write(cx, &mut queue)));
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut writing).await;
        assert!(waits.is_err(), "nobody takes 5 MB that nobody reads");
        for _ in 0..500 {
            let read = async { stream.message().await.expect("a message").expect("not the end") };
            let push = tokio::select! {
                push = read => push,
                written = &mut writing => {
                    written.expect("written");
                    break;
                }
            };
            assert_eq!(push.r#pub.expect("a publication").data.len(), large.len());
        }
    });
}

/// What is to last as long as the connection is handed on, where the server put it among the call's extensions.
#[test]
fn what_a_call_holds_its_connection_holds() {
    block_on(async {
        let (mut service, mut accepted) = service(GrpcConfig::default());
        let place = Arc::new(());
        let call = http::Request::post(UniStreamService::<ToTest>::PATH)
            .header("content-type", "application/grpc")
            .extension(Held::new(place.clone()))
            .body(Body::from(Bytes::from_static(&[0; 5])))
            .expect("a call");
        let answer = service.call(call).await.expect("an answer");
        let (transport, context) = accepted.recv().await.expect("a connection");
        drop(answer);
        assert_eq!(Arc::strong_count(&place), 2, "the connection is there still");
        drop((transport, context));
        assert_eq!(Arc::strong_count(&place), 1);
    });
}
