//! Streams that have the socket for themselves.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tourbillon_transport::{
    Message, MessageQueue, Received, Run, Transport, TransportError, TransportReader, TransportWriter,
};
use tourbillon_transport_http::{HttpConfig, HttpReader, HttpWriter};
use tourbillon_types::Disconnect;

use crate::support::{Server, block_on, block_on_paused, get, post, send};

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

/// Sends a request as it is, and yields what came with the stream.
async fn open(server: &mut Server, request: impl AsRef<[u8]>) -> (TcpStream, HttpReader, HttpWriter) {
    let mut stream = TcpStream::connect(server.address).await.expect("connect");
    stream.write_all(request.as_ref()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let (transport, _) = server.accept().await;
    let (mut reader, writer) = transport.split();
    assert!(matches!(reader.recv().await, Ok(Received::Message(_))));
    if head.windows(12).any(|window| window == b"event-stream") {
        // So that what comes before the first message does not wait for one.
        assert!(matches!(reader.recv().await, Ok(Received::WantsWrite)));
    }
    (stream, reader, writer)
}

fn queue(messages: &[&str]) -> MessageQueue {
    let mut queue = MessageQueue::new();
    for message in messages {
        queue.push(Message::new(message.as_bytes()));
    }
    queue
}

async fn write(writer: &mut HttpWriter, mut queue: MessageQueue) {
    poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
    assert!(queue.is_empty());
}

/// Brings a stream to its end.
async fn end(reader: HttpReader, mut writer: HttpWriter) {
    poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("an end");
    drop(reader);
}

async fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("all");
    String::from_utf8(rest).expect("text")
}

/// EMU-02, EMU-04, HID-01: to the byte, for clients that know chunks and for those that do not.
#[test]
fn what_goes_over_the_wire() {
    block_on(async {
        for hidden in [false, true] {
            let mut server = Server::lending(HttpConfig::default(), hidden).await;
            let old = |request: Vec<u8>| {
                String::from_utf8(request).expect("text").replace("HTTP/1.1", "HTTP/1.0").into_bytes()
            };
            for (request, whole) in [
                (
                    post("/connection/http_stream", "", "{}"),
                    "9\r\n{\"id\":1}\n\r\n3\r\n{}\n\r\nc\r\n{\"push\":{}}\n\r\n0\r\n\r\n",
                ),
                (
                    get("/connection/sse?cf_connect=%7B%7D", "").into(),
                    "2\r\n\r\n\r\n10\r\ndata: {\"id\":1}\n\n\r\na\r\ndata: {}\n\n\r\n13\r\ndata: {\"push\":{}}\n\n\
                     \r\n0\r\n\r\n",
                ),
                (
                    post("/connection/http_stream", OCTETS, "\x00"),
                    "8\r\n{\"id\":1}\r\n2\r\n{}\r\nb\r\n{\"push\":{}}\r\n0\r\n\r\n",
                ),
                (old(post("/connection/http_stream", "", "{}")), "{\"id\":1}\n{}\n{\"push\":{}}\n"),
                (
                    old(get("/connection/uni_sse", "").into()),
                    "\r\ndata: {\"id\":1}\n\ndata: {}\n\ndata: {\"push\":{}}\n\n",
                ),
            ] {
                let (stream, reader, mut writer) = open(&mut server, request).await;
                let run = Run::new(Message::new(*b"{}"));
                let mut messages = queue(&["{\"id\":1}"]);
                messages.push_run(run.clone());
                run.append(Message::new(*b"{\"push\":{}}")).expect("open");
                write(&mut writer, messages).await;
                end(reader, writer).await;
                assert_eq!(rest(stream).await, whole);
            }
        }
    });
}

#[test]
fn the_head_says_what_follows() {
    block_on(async {
        let mut server = Server::lending(HttpConfig::default(), false).await;
        let answer = send(server.address, post("/connection/http_stream", "", "{}")).await;
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, Some("chunked")));
        assert!(answer.header("date").is_some() && answer.header("content-length").is_none());
        drop(server.accept().await);
        let request = b"POST /connection/http_stream HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}";
        let answer = send(server.address, request).await;
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, None));
        assert!(answer.header("content-length").is_none());
    });
}

/// A connection that had other requests before may have a stream too. What comes behind it is not answered.
#[test]
fn a_stream_is_the_last_answer_of_its_connection() {
    block_on(async {
        let mut server = Server::lending(HttpConfig::default(), false).await;
        let requests = [
            get("/connection/init", "").into_bytes(),
            post("/connection/http_stream", "", "{}"),
            get("/connection/init", "").into_bytes(),
        ];
        let mut stream = TcpStream::connect(server.address).await.expect("connect");
        stream.write_all(&requests.concat()).await.expect("sent");
        let (transport, _) = server.accept().await;
        let (mut reader, mut writer) = transport.split();
        assert!(matches!(reader.recv().await, Ok(Received::Message(_))));
        stream.write_all(&requests[2]).await.expect("sent");
        write(&mut writer, queue(&["{}"])).await;
        end(reader, writer).await;
        let all = rest(stream).await;
        let (first, second) = all.split_once("{}HTTP/1.1 200 OK\r\n").expect("two answers");
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
        assert!(second.ends_with("\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n"), "{all}");
    });
}

/// It would be read for nothing, for as long as the client likes.
#[test]
fn a_client_that_goes_on_asking_is_left() {
    block_on(async {
        let mut server = Server::lending(HttpConfig::default(), false).await;
        let (mut stream, mut reader, _writer) =
            open(&mut server, post("/connection/http_stream", "", "{}")).await;
        tokio::spawn(async move { while stream.write_all(&[b'x'; 1024]).await.is_ok() {} });
        assert!(matches!(reader.recv().await, Err(TransportError::Protocol(_))));
    });
}

#[test]
fn a_client_that_leaves_is_noticed() {
    block_on(async {
        for hidden in [false, true] {
            let mut server = Server::lending(HttpConfig::default(), hidden).await;
            let (stream, mut reader, mut writer) =
                open(&mut server, post("/connection/http_stream", "", "{}")).await;
            drop(stream);
            assert!(matches!(reader.recv().await, Ok(Received::End)));
            // The system takes what is written until the peer has said that nobody is there.
            let failed = async {
                loop {
                    let mut queue = queue(&["{}"]);
                    if poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            };
            failed.await;
        }
    });
}

/// EMU-10: as over HTTP, the end keeps back so that what was said before it is looked at; but not from who is gone.
#[test]
fn the_end_waits_for_clients_that_stay() {
    block_on_paused(async {
        for leaves in [false, true] {
            let mut server = Server::lending(HttpConfig::default(), false).await;
            let (stream, mut reader, mut writer) =
                open(&mut server, post("/connection/http_stream", "", "{}")).await;
            write(&mut writer, queue(&["{}"])).await;
            let said = Instant::now();
            if leaves {
                drop(stream);
                // Without having read all: the system tells of that, too.
                assert!(matches!(reader.recv().await, Ok(Received::End) | Err(TransportError::Io(_))));
                poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("an end");
                assert!(said.elapsed() < Duration::from_millis(500), "{:?}", said.elapsed());
            } else {
                end(reader, writer).await;
                assert!(said.elapsed() >= Duration::from_millis(500), "{:?}", said.elapsed());
                assert_eq!(rest(stream).await, "3\r\n{}\n\r\n0\r\n\r\n");
            }
        }
    });
}

/// Neither of what is written in part, nor of the order.
#[test]
fn nothing_is_lost_behind_a_client_that_reads_slowly() {
    block_on(async {
        let mut server = Server::lending(HttpConfig::default(), false).await;
        let (mut stream, reader, mut writer) =
            open(&mut server, get("/connection/sse?cf_connect=%7B%7D", "")).await;
        let shared: Vec<Message> =
            (0..40).map(|number| Message::new(format!("{number}:{}", "x".repeat(number * 997)))).collect();
        let shared = Arc::new(shared);
        let sent = shared.clone();
        let writing = tokio::spawn(async move {
            for round in 0..200 {
                let mut messages = MessageQueue::new();
                for message in sent.iter().take(1 + round % 40) {
                    messages.push(message.clone());
                }
                write(&mut writer, messages).await;
            }
            end(reader, writer).await;
        });
        let mut seen = Vec::new();
        let mut some = vec![0; 7_001];
        loop {
            let length = stream.read(&mut some).await.expect("read");
            if length == 0 {
                break;
            }
            seen.extend_from_slice(&some[..length]);
            tokio::task::yield_now().await;
        }
        writing.await.expect("written");
        let mut expected = b"2\r\n\r\n\r\n".to_vec();
        for round in 0..200 {
            for message in shared.iter().take(1 + round % 40) {
                expected.extend_from_slice(format!("{:x}\r\ndata: ", message.len() + 8).as_bytes());
                expected.extend_from_slice(message.as_bytes());
                expected.extend_from_slice(b"\n\n\r\n");
            }
        }
        expected.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(seen.len(), expected.len());
        assert!(seen == expected);
    });
}
