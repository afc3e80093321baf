//! The service inside other people's servers.

use std::future::poll_fn;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::Request;
use tourbillon_transport::{Message, MessageQueue, Transport, TransportWriter};
use tourbillon_transport_grpc::{GrpcConfig, UniStreamService};

use crate::support::{ToTest, block_on, consume, service};
use crate::unistream::ConnectRequest;

/// A router is what a tonic server is made of, too.
#[test]
fn in_an_axum_router() {
    block_on(async {
        let (service, mut accepted): (UniStreamService<ToTest>, mpsc::UnboundedReceiver<_>) =
            service(GrpcConfig::default());
        let app = axum::Router::new().route_service(UniStreamService::<ToTest>::PATH, service);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let call = consume(address, Request::new(ConnectRequest::default())).await;
        let mut stream = call.expect("a stream").into_inner();
        let (transport, _) = accepted.recv().await.expect("a connection");
        let (_reader, mut writer) = transport.split();
        let mut queue = MessageQueue::new();
        queue.push(Message::new([0]));
        poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
        assert!(stream.message().await.expect("a message").is_some());
    });
}
