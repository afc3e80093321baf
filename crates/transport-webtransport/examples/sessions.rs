//! A node behind WebTransport, and clients that load it: what an idle session costs, and a delivery.
//!
//! `sessions serve 127.0.0.1:9443` prints the hash of its certificate, for `serverCertificateHashes` of a browser, and
//! publishes into the channel `news` what comes as lines on its input, with its memory and its time after each.
//! `sessions load 127.0.0.1:9443 1000` opens so many sessions subscribed to `news` and counts what arrives.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool for measuring by hand")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{AllowAll, Node};
use tourbillon_transport::OriginPolicy;
use tourbillon_transport_webtransport::{Admitted, Http3, RequestBody, WebTransportConfig, endpoint};
use tourbillon_types::{Channel, Payload};
use tower_service::Service;
use wtransport::Identity;
use wtransport::config::IpBindConfig;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address).await,
        ["load", address, count] => load(address, count.parse().expect("a number")).await,
        _ => println!("usage: sessions serve <address> | sessions load <address> <sessions>"),
    }
}

/// Finds nothing.
#[derive(Clone)]
struct Nothing;

impl Service<Request<RequestBody>> for Nothing {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        ready(Ok(answer))
    }
}

async fn serve(address: &str) {
    let identity = Identity::self_signed(["localhost", "127.0.0.1"]).expect("a certificate");
    let certificate = &identity.certificate_chain().as_slice()[0];
    println!("certificate {}", certificate.hash().fmt(wtransport::tls::Sha256DigestFmt::DottedHex));
    let key = PrivateKeyDer::try_from(identity.private_key().secret_der().to_vec()).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().to_vec().into()], key)
        .expect("a certificate with its key");
    let (node, driver) = Node::builder(MemoryEngine::default()).hooks(AllowAll).build().expect("a node");
    tokio::spawn(driver);
    let mut config = WebTransportConfig::default();
    config.origins = OriginPolicy::any();
    let http3 = Http3::new(node.clone(), Some(config));
    let endpoint = endpoint(UdpSocket::bind(address).expect("a port"), &tls).expect("an endpoint");
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let http3 = http3.clone();
            let never = std::future::pending();
            tokio::spawn(async move {
                http3.serve(incoming.accept()?, Nothing, |_| Ok(Admitted::default()), never).await
            });
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let published =
            node.publish(Channel::from("news"), Payload::from(line.into_bytes()), Default::default());
        published.await.expect("published");
        let stats = node.stats();
        println!("sessions {} memory {} KiB, time {} ticks", stats.clients, memory(), time());
    }
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").to_owned()
}

/// User and system time of this process, in ticks of a hundredth of a second.
fn time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

async fn load(address: &str, count: usize) {
    let config = wtransport::ClientConfig::builder()
        .with_bind_config(IpBindConfig::LocalV4)
        .with_no_cert_validation()
        .build();
    let endpoint = wtransport::Endpoint::client(config).expect("a client");
    let arrived = Arc::new(AtomicUsize::new(0));
    let url = format!("https://{address}/connection/webtransport");
    for _ in 0..count {
        let session = endpoint.connect(&url).await.expect("a session");
        let (mut send, mut recv) = session.open_bi().await.expect("a stream").await.expect("a stream");
        let commands = b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n";
        send.write_all(commands).await.expect("sent");
        let arrived = arrived.clone();
        tokio::spawn(async move {
            let _session = session;
            let mut piece = [0; 4096];
            while let Ok(Some(length)) = recv.read(&mut piece).await {
                let received = &piece[..length];
                let pushes = received.windows(5).filter(|window| window == b"\"pub\"").count();
                arrived.fetch_add(pushes, Ordering::Relaxed);
                if received.split(|&byte| byte == b'\n').any(|line| line == b"{}") {
                    let _ = send.write_all(b"{}\n").await;
                }
            }
        });
    }
    println!("{count} sessions are open");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        println!("{} publications have arrived", arrived.load(Ordering::Relaxed));
    }
}
