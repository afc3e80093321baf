//! Key sets that are fetched over TLS of a provider's own (PRO-46).

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tourbillon_server::config::SecretText;
use tourbillon_server::config::model::{ClientTls, JwksProvider};

use crate::certificates::{Authority, Issued};
use crate::harness::{Client, start};

/// What the provider's certificate is for; nobody finds it by this name.
const NAME: &str = "keys.example";

struct Signer(Ed25519KeyPair);

impl Signer {
    fn set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#)
    }

    fn token(&self) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message =
            format!("{}.{}", part(r#"{"alg":"EdDSA","kid":"k"}"#), part(r#"{"sub":"42","iss":"a"}"#));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes())))
    }
}

/// A provider whose certificate is of `authority`. It answers only whom `clients` certified, if that is given.
async fn provider(authority: &Authority, clients: Option<&Authority>, set: String) -> SocketAddr {
    let Issued { cert, key } = authority.issue(NAME);
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<_, _>>().expect("a chain");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let builder = ServerConfig::builder();
    let builder = match clients {
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).expect("a root"))
                .expect("added");
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier"),
            )
        }
        None => builder.with_no_client_auth(),
    };
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).expect("sound")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// What becomes of a token of the provider's.
async fn connect(address: SocketAddr, signer: &Signer, tls: ClientTls) -> Result<(), String> {
    let server = start(|options| {
        options.client.token.jwks.enabled = true;
        options.client.token.jwks.providers = vec![JwksProvider {
            name: "internal".to_owned(),
            enabled: true,
            endpoint: format!("https://{address}/keys"),
            issuer: "a".to_owned(),
            tls,
            ..JwksProvider::default()
        }];
    })
    .await;
    let mut client = Client::upgrade(server.external, "").await.expect("upgrades");
    client.send(&format!(r#"{{"id":1,"connect":{{"token":"{}"}}}}"#, signer.token())).await;
    let (opcode, frame) = client.frame().await;
    let frame = String::from_utf8_lossy(&frame).into_owned();
    drop(client);
    server.end().await;
    if opcode == 1 && frame.contains(r#""client":"#) { Ok(()) } else { Err(frame) }
}

#[tokio::test]
async fn pro_46_a_provider_has_tls_of_its_own() {
    let (authority, stranger, ours) = (Authority::new("a"), Authority::new("b"), Authority::new("c"));
    let signer = Signer(Ed25519KeyPair::generate().expect("a key"));
    let address = provider(&authority, None, signer.set()).await;
    let tls = |ca: &str, name: &str| ClientTls {
        enabled: true,
        server_ca_pem: ca.to_owned(),
        server_name: name.to_owned(),
        ..ClientTls::default()
    };
    let good = tls(&authority.pem(), NAME);
    assert_eq!(connect(address, &signer, good.clone()).await, Ok(()));
    // Switched off, it does not count; nor is this somebody whom everybody trusts.
    assert!(connect(address, &signer, ClientTls { enabled: false, ..good.clone() }).await.is_err());
    assert!(connect(address, &signer, tls("", NAME)).await.is_err());
    assert!(connect(address, &signer, tls(&stranger.pem(), NAME)).await.is_err());
    // The address is not what the certificate is for.
    assert!(connect(address, &signer, tls(&authority.pem(), "")).await.is_err());
    let anybody = ClientTls { insecure_skip_verify: true, ..tls("", "") };
    assert_eq!(connect(address, &signer, anybody).await, Ok(()));

    let address = provider(&authority, Some(&ours), signer.set()).await;
    assert!(connect(address, &signer, good.clone()).await.is_err());
    let Issued { cert, key } = ours.issue("tourbillon");
    let known = ClientTls { cert_pem: cert, key_pem: SecretText::new(key), ..good };
    assert_eq!(connect(address, &signer, known).await, Ok(()));
}
