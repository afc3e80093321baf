//! Certificates for tests, and clients that know them.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tourbillon_server::config::model::Tls;
use tourbillon_server::config::{Options, SecretText};

/// What issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A public key of P-256.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for the key in a request (RFC 2986), in PEM.
    pub(crate) fn certify(&self, host: &str, request: &[u8]) -> String {
        // What comes before the point of a key of P-256 (RFC 5480).
        const CURVE: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
        let at = request.windows(CURVE.len()).position(|window| window == CURVE).expect("a key of P-256");
        let point = request[at + CURVE.len()..][..65].to_vec();
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.signed_by(&Point(point), &self.0).expect("a certificate").pem()
    }

    pub(crate) fn issue(&self, host: &str) -> Issued {
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Issued {
    pub(crate) fn options(&self) -> Tls {
        Tls {
            enabled: true,
            cert_pem: self.cert.clone(),
            key_pem: SecretText::new(&self.key),
            ..Tls::default()
        }
    }

    pub(crate) fn on(&self, options: &mut Options) {
        options.http_server.tls = self.options();
    }
}

/// How a client speaks TLS.
pub(crate) struct Speaking<'a> {
    pub(crate) trusts: &'a Authority,
    pub(crate) shows: Option<&'a Issued>,
    pub(crate) protocols: &'a [&'a [u8]],
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Speaking<'a> {
    pub(crate) fn trusting(trusts: &'a Authority) -> Self {
        Self { trusts, shows: None, protocols: &[], versions: tokio_rustls::rustls::ALL_VERSIONS }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root = self.trusts.pem();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let cert = CertificateDer::from_pem_slice(shown.cert.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![cert], key).expect("a pair")
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        connect(address, Arc::new(self.config())).await
    }
}

/// Connects to a server that must be `localhost`.
pub(crate) async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    speak(TcpStream::connect(address).await?, config).await
}

/// The same over a connection that is there.
pub(crate) async fn speak(
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(config).connect(name, stream).await
}
