//! How the server's end of a connection closes, and what it owes the peer until then.

use std::future::poll_fn;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tourbillon_transport::{MessageQueue, Received, Transport, TransportReader, TransportWriter};
use tourbillon_transport_websocket::{
    UpgradedRead, UpgradedWrite, WebSocketConfig, WebSocketReader, WebSocketWriter,
};
use tourbillon_types::Disconnect;

use crate::support::{Server, block_on, frame, next_frame, open};

const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

async fn connected() -> (WebSocketReader<UpgradedRead>, WebSocketWriter<UpgradedWrite>, TcpStream) {
    let mut server = Server::start(WebSocketConfig::default()).await;
    let (_, stream) = open(server.address, "", "").await;
    let (reader, writer) = server.accept().await.0.split();
    (reader, writer, stream)
}

async fn close(writer: &mut impl TransportWriter, why: &Disconnect) {
    poll_fn(|cx| writer.poll_close(cx, why)).await.expect("close");
}

#[test]
fn the_close_frame_carries_code_and_reason() {
    block_on(async {
        for why in [Disconnect::BAD_REQUEST, Disconnect::FORCE_DISCONNECT, Disconnect::SHUTDOWN] {
            let (_reader, mut writer, mut stream) = connected().await;
            close(&mut writer, &why).await;
            let code = u16::try_from(why.code).expect("a close code");
            let payload = [&code.to_be_bytes()[..], why.reason.as_bytes()].concat();
            assert_eq!(next_frame(&mut stream).await, Some((CLOSE, payload)));
            assert_eq!(next_frame(&mut stream).await, None);
        }
    });
}

#[test]
fn code_3501_is_a_bad_request() {
    block_on(async {
        let (_reader, mut writer, mut stream) = connected().await;
        close(&mut writer, &Disconnect::BAD_REQUEST).await;
        assert_eq!(next_frame(&mut stream).await, Some((CLOSE, b"\x0d\xadbad request".to_vec())));
    });
}

#[test]
fn code_3000_is_never_written() {
    block_on(async {
        assert_eq!(Disconnect::CONNECTION_CLOSED.code, 3000);
        let (_reader, mut writer, mut stream) = connected().await;
        close(&mut writer, &Disconnect::CONNECTION_CLOSED).await;
        assert_eq!(next_frame(&mut stream).await, None);
    });
}

#[test]
fn the_answer_to_a_close_is_its_code_whatever_the_server_wants() {
    block_on(async {
        let (mut reader, mut writer, mut stream) = connected().await;
        stream.write_all(&frame(CLOSE, b"\x03\xe9going")).await.expect("send");
        let end = poll_fn(|cx| reader.poll_recv(cx)).await;
        assert_eq!(end.ok(), Some(Received::End));
        close(&mut writer, &Disconnect::BAD_REQUEST).await;
        assert_eq!(next_frame(&mut stream).await, Some((CLOSE, b"\x03\xe9".to_vec())));
        assert_eq!(next_frame(&mut stream).await, None);
    });
}

#[test]
fn the_peers_answer_to_a_close_can_be_awaited() {
    block_on(async {
        let (mut reader, mut writer, mut stream) = connected().await;
        close(&mut writer, &Disconnect::BAD_REQUEST).await;
        let (_, payload) = next_frame(&mut stream).await.expect("the close");
        stream.write_all(&frame(CLOSE, &payload[..2])).await.expect("send");
        let end = poll_fn(|cx| reader.poll_recv(cx)).await;
        assert_eq!(end.ok(), Some(Received::End));
    });
}

#[test]
fn only_the_last_sixteen_pings_are_answered_when_nothing_can_be_written() {
    block_on(async {
        let (mut reader, mut writer, mut stream) = connected().await;
        let pings: Vec<u8> = (0..40).flat_map(|number| frame(PING, &[number])).collect();
        stream.write_all(&pings).await.expect("send");
        for _ in 0..40 {
            let received = poll_fn(|cx| reader.poll_recv(cx)).await;
            assert_eq!(received.ok(), Some(Received::WantsWrite));
        }
        poll_fn(|cx| writer.poll_write(cx, &mut MessageQueue::new())).await.expect("write");
        for number in 24..40 {
            assert_eq!(next_frame(&mut stream).await, Some((PONG, vec![number])));
        }
        close(&mut writer, &Disconnect::CONNECTION_CLOSED).await;
        assert_eq!(next_frame(&mut stream).await, None);
    });
}

#[test]
fn a_ping_is_answered_before_the_close() {
    block_on(async {
        let (mut reader, mut writer, mut stream) = connected().await;
        stream.write_all(&frame(PING, b"last")).await.expect("send");
        let received = poll_fn(|cx| reader.poll_recv(cx)).await;
        assert_eq!(received.ok(), Some(Received::WantsWrite));
        close(&mut writer, &Disconnect::BAD_REQUEST).await;
        assert_eq!(next_frame(&mut stream).await, Some((PONG, b"last".to_vec())));
        assert_eq!(next_frame(&mut stream).await.map(|frame| frame.0), Some(CLOSE));
    });
}

#[test]
fn the_servers_own_ping_is_an_empty_frame_and_its_pong_is_told() {
    block_on(async {
        let (mut reader, mut writer, mut stream) = connected().await;
        writer.ping();
        poll_fn(|cx| writer.poll_write(cx, &mut MessageQueue::new())).await.expect("write");
        assert_eq!(next_frame(&mut stream).await, Some((PING, Vec::new())));
        stream.write_all(&frame(PONG, b"")).await.expect("send");
        let received = poll_fn(|cx| reader.poll_recv(cx)).await;
        assert_eq!(received.ok(), Some(Received::Pong));
    });
}
