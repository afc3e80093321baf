//! The services inside other people's servers.

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tourbillon_transport::{
    Accept, ConnContext, Message, MessageQueue, Received, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_http::{HttpConfig, HttpTransport, StreamService};

use crate::support::{block_on, post, send};

/// Says hello to whoever comes, and tells when he leaves.
#[derive(Clone)]
struct Hello(mpsc::UnboundedSender<()>);

impl Accept<HttpTransport> for Hello {
    fn accept(&self, transport: HttpTransport, _: ConnContext) {
        let left = self.0.clone();
        tokio::spawn(async move {
            let (mut reader, mut writer) = transport.split();
            let mut queue = MessageQueue::new();
            queue.push(Message::new(*b"\"hello\""));
            std::future::poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
            while !matches!(reader.recv().await, Ok(Received::End)) {}
            let _ = left.send(());
        });
    }
}

#[test]
fn in_an_axum_router() {
    block_on(async {
        let (left, mut leaves) = mpsc::unbounded_channel();
        let service = StreamService::http_stream(Hello(left), HttpConfig::default());
        let app = axum::Router::new()
            .route("/orders", axum::routing::get(|| async { "none" }))
            .route_service("/stream", service);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut answer = send(address, post("/stream", "", "{}")).await;
        assert_eq!(answer.until(b"\n").await, Some(b"\"hello\"\n".to_vec()));
        drop(answer);
        leaves.recv().await.expect("he left");
        assert_eq!(send(address, "GET /orders HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    });
}

/// Many streams over one connection, each ended on its own.
#[test]
fn in_a_hyper_server_over_http_2() {
    block_on(async {
        let (left, mut leaves) = mpsc::unbounded_channel();
        let service = StreamService::uni_sse(Hello(left), HttpConfig::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let builder = auto::Builder::new(TokioExecutor::new());
                tokio::spawn(
                    async move { builder.serve_connection(TokioIo::new(stream), service).await.is_ok() },
                );
            }
        });
        let stream = TcpStream::connect(address).await.expect("connect");
        let (mut client, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..3 {
            let request =
                http::Request::get(format!("http://{address}/")).body(Full::<bytes::Bytes>::default());
            let mut answer = client.send_request(request.expect("a request")).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            assert!(answer.headers().get("connection").is_none(), "HTTP/2 has no such header");
            let mut seen = Vec::new();
            while !seen.ends_with(b"\n\n") {
                let frame = answer.frame().await.expect("a frame").expect("whole");
                seen.extend_from_slice(frame.data_ref().expect("data"));
            }
            assert_eq!(seen, b"\r\ndata: \"hello\"\n\n");
            answers.push(answer);
        }
        assert!(leaves.try_recv().is_err());
        for answer in answers {
            drop(answer);
            leaves.recv().await.expect("he left");
        }
    });
}
