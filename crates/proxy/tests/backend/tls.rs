//! Backends with TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tourbillon_hooks::{Hooks as _, Refusal, RpcRequest};
use tourbillon_proxy::{EndpointConfig, proto};
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::pki_types::PrivateKeyDer;
use tourbillon_tls::rustls::server::WebPkiClientVerifier;
use tourbillon_tls::rustls::{RootCertStore, ServerConfig};
use tourbillon_types::{Payload, ReplyError};

use super::grpc::serve;
use super::harness::{client, hooks};

struct Identity {
    pem: String,
    key_pem: String,
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
}

fn identity(name: &str) -> Identity {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    Identity { pem: cert.pem(), key_pem: signing_key.serialize_pem(), cert, key: signing_key }
}

fn acceptor(server: &Identity, client: Option<&Identity>, alpn: &[u8]) -> TlsAcceptor {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::Pkcs8(server.key.serialize_der().into());
    let mut config = builder.with_single_cert(vec![server.cert.der().clone()], key).expect("an identity");
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn backend(acceptor: TlsAcceptor, grpc: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (tell, _) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                if grpc {
                    let result = proto::RpcResult { data: Bytes::from_static(b"7"), ..Default::default() };
                    let answer = proto::RpcResponse { result: Some(result), ..Default::default() };
                    return serve(stream, Arc::new(move |_| Ok(answer.clone())), tell).await;
                }
                let service = service_fn(|_: Request<Incoming>| async {
                    let body = Full::new(Bytes::from_static(br#"{"result":{"data":7}}"#));
                    Ok::<_, std::convert::Infallible>(Response::new(body))
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let scheme = if grpc { "grpc" } else { "https" };
    format!("{scheme}://localhost:{port}")
}

async fn rpc(config: &EndpointConfig) -> Result<Payload, Refusal> {
    let (hooks, _) = hooks(config);
    hooks.rpc(RpcRequest::new(client(), "x", Payload::empty())).await.map(|decision| decision.data)
}

#[tokio::test]
async fn net_04_the_backend_proves_who_it_is_and_so_do_we() {
    for grpc in [false, true] {
        let (server, own) = (identity("backend.internal"), identity("tourbillon"));
        let alpn: &[u8] = if grpc { b"h2" } else { b"http/1.1" };
        let address = backend(acceptor(&server, Some(&own), alpn), grpc).await;
        let asked = async |tls: TlsClient<'_>, server_name: &str| {
            let mut config = EndpointConfig::new("backend", &address);
            let (tls, name) = (tls.config().expect("TLS"), server_name.to_owned());
            if grpc {
                (config.grpc.tls, config.grpc.server_name) = (Some(tls), name);
            } else {
                (config.http.tls, config.http.server_name) = (Some(tls), name);
            }
            rpc(&config).await
        };
        let full =
            TlsClient { cert: &own.pem, key: &own.key_pem, server_ca: &server.pem, ..TlsClient::default() };
        let refused = Err(Refusal::from(ReplyError::INTERNAL));
        assert_eq!(asked(full, "backend.internal").await, Ok(Payload::from("7")));
        assert_eq!(asked(full, "").await, refused, "the certificate is for another name");
        let unknown = TlsClient { server_ca: "", ..full };
        assert_eq!(asked(unknown, "backend.internal").await, refused, "nobody vouches for it");
        let blind = TlsClient { insecure_skip_verify: true, ..unknown };
        assert_eq!(asked(blind, "").await, Ok(Payload::from("7")));
        let nameless = TlsClient { cert: "", key: "", ..full };
        assert_eq!(asked(nameless, "backend.internal").await, refused, "it wants to know who we are");
        let config = EndpointConfig::new("backend", &address);
        assert_eq!(rpc(&config).await, refused, "by default whom browsers trust, or no TLS at all");
    }
}
