//! permessage-deflate over real sockets.

use std::future::poll_fn;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tourbillon_transport::{Message, MessageQueue, Transport, TransportWriter};
use tourbillon_transport_websocket::{Compression, WebSocketConfig};

use crate::support::{Server, block_on, frame, next_frame, open};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const DEFLATED_TEXT: u8 = 0xc1;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

fn config(compression: Compression) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.compression = Some(compression);
    config
}

pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 100);
    let mut state = Compress::new(flate2::Compression::best(), false);
    state.compress_vec(bytes, &mut out, FlushCompress::Sync).expect("compress");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "room enough");
    out.truncate(out.len() - 4);
    out
}

pub(crate) fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    let bytes = [bytes, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false).decompress_vec(&bytes, &mut out, FlushDecompress::Sync).expect("inflate");
    out
}

async fn exchange(stream: &mut TcpStream, sent: &[u8]) -> (u8, Vec<u8>) {
    stream.write_all(sent).await.expect("send");
    next_frame(stream).await.expect("an answer")
}

#[test]
fn messages_come_back_compressed() {
    block_on(async {
        let address = Server::start(config(Compression::default())).await.echo();
        let (_, mut stream) = open(address, "", OFFER).await;
        let text = r#"{"text":"again and again and again and again"}"#.repeat(20);
        // Compressed, plain, and compressed in fragments: a client may do as it likes.
        let packed = deflated(text.as_bytes());
        let (begin, rest) = packed.split_at(5);
        for sent in [
            frame(DEFLATED_TEXT, &packed),
            frame(TEXT, text.as_bytes()),
            [frame(0x41, begin), frame(0x00, b""), frame(0x80, rest)].concat(),
        ] {
            let (first, payload) = exchange(&mut stream, &sent).await;
            assert_eq!(first, DEFLATED_TEXT);
            assert!(payload.len() < text.len() / 4);
            assert_eq!(inflated(&payload), text.as_bytes());
        }
        let (first, payload) = exchange(&mut stream, &frame(DEFLATED_TEXT, &deflated(b""))).await;
        // An empty message is not longer than the smallest that is compressed.
        assert_eq!((first, &payload[..]), (TEXT, &b""[..]));
    });
}

#[test]
fn short_messages_stay_as_they_are() {
    block_on(async {
        let mut compression = Compression::default();
        compression.min_size = 10;
        let address = Server::start(config(compression)).await.echo();
        let (_, mut stream) = open(address, "", OFFER).await;
        assert_eq!(exchange(&mut stream, &frame(TEXT, b"0123456789")).await, (TEXT, b"0123456789".to_vec()));
        assert_eq!(exchange(&mut stream, &frame(TEXT, b"0123456789a")).await.0, DEFLATED_TEXT);
        let (_, mut plain) = open(address, "", "").await;
        assert_eq!(exchange(&mut plain, &frame(TEXT, b"0123456789a")).await.0, TEXT);
    });
}

#[test]
fn a_client_with_a_small_window_gets_large_messages_plain() {
    block_on(async {
        let address = Server::start(config(Compression::default())).await.echo();
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
        let (_, mut stream) = open(address, "", offer).await;
        assert_eq!(exchange(&mut stream, &frame(TEXT, &[b'x'; 512])).await.0, DEFLATED_TEXT);
        assert_eq!(exchange(&mut stream, &frame(TEXT, &[b'x'; 513])).await, (TEXT, vec![b'x'; 513]));
    });
}

#[test]
fn a_publication_is_compressed_once() {
    block_on(async {
        let mut server = Server::start(config(Compression::default())).await;
        let message = Message::new(*b"the same for all of them, all of them, all of them");
        for number in 0..3 {
            let (_, mut stream) = open(server.address, "", OFFER).await;
            let (_reader, mut writer) = server.accept().await.0.split();
            let mut queue = MessageQueue::new();
            queue.push(message.clone());
            poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("write");
            let (first, payload) = next_frame(&mut stream).await.expect("a frame");
            assert_eq!(first, DEFLATED_TEXT);
            let shared = message
                .derived(Compression::default().level, |_| unreachable!("made by connection {number}"));
            assert_eq!(payload, shared);
        }
    });
}

#[test]
fn a_bomb_is_refused() {
    block_on(async {
        // 60 KB on the wire would be 60 MB.
        let bomb = deflated(&vec![0; 60_000_000]);
        assert!(bomb.len() < 65_536, "{}", bomb.len());
        let address = Server::start(config(Compression::default())).await.echo();
        let (_, mut stream) = open(address, "", OFFER).await;
        assert_eq!(exchange(&mut stream, &frame(0xc2, &bomb)).await, (CLOSE, vec![0x03, 0xf1]));
    });
}

#[test]
fn broken_compression_is_refused() {
    block_on(async {
        let address = Server::start(config(Compression::default())).await.echo();
        let cut = deflated(&[b'a', b'b', b'c'].repeat(50));
        for (name, sent, code) in [
            ("not deflate", frame(DEFLATED_TEXT, &[0xff; 20]), 1007_u16),
            ("cut", frame(DEFLATED_TEXT, &cut[..cut.len() - 2]), 1007),
            ("text that is not UTF-8", frame(DEFLATED_TEXT, &deflated(b"\xff")), 1007),
            ("a compressed ping", frame(0xc9, b""), 1002),
            ("a continuation marked so", [frame(0x41, b""), frame(0xc0, b"")].concat(), 1002),
        ] {
            let (_, mut stream) = open(address, "", OFFER).await;
            assert_eq!(exchange(&mut stream, &sent).await, (CLOSE, code.to_be_bytes().to_vec()), "{name}");
        }
    });
}
