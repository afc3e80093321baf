//! TLS towards servers that are asked.

use std::fmt;
use std::sync::Arc;

use crate::load::{TlsError, identity, provider, roots};
use crate::rustls::client::WebPkiServerVerifier;
use crate::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use crate::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use crate::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use crate::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
    client::WantsClientCert,
};

/// How to be sure of a server, and to make it sure of us. What is PEM may be base64 of it or the path of a file, too.
#[derive(Clone, Copy, Default)]
pub struct TlsClient<'a> {
    /// Our own certificate and those between it and its root; empty for none.
    pub cert: &'a str,
    /// Its private key.
    pub key: &'a str,
    /// Roots of the server's certificate; empty for those that browsers trust.
    pub server_ca: &'a str,
    /// Any certificate will do.
    pub insecure_skip_verify: bool,
}

impl fmt::Debug for TlsClient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .finish_non_exhaustive()
    }
}

impl TlsClient<'_> {
    /// A client's side of TLS by these terms.
    ///
    /// # Errors
    ///
    /// What is missing, unreadable or does not fit together.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        self.with(None)
    }

    /// The same for servers whose certificates are for this name, whatever they are connected to by. Where a connection
    /// asks for a certificate by name (SNI), that is still the name it is made with.
    ///
    /// # Errors
    ///
    /// As [`config`](Self::config).
    pub fn config_for(&self, server: ServerName<'static>) -> Result<ClientConfig, TlsError> {
        self.with(Some(server))
    }

    fn with(&self, server: Option<ServerName<'static>>) -> Result<ClientConfig, TlsError> {
        let wrong = |error| TlsError::new("enabled", error);
        let builder = if self.insecure_skip_verify {
            let anybody = Arc::new(Anybody(provider()));
            builder().map_err(wrong)?.dangerous().with_custom_certificate_verifier(anybody)
        } else {
            let given = !self.server_ca.is_empty();
            let roots = given.then(|| roots("server_ca_pem", self.server_ca)).transpose()?;
            match server {
                None => trusting(roots).map_err(wrong)?,
                Some(name) => {
                    let roots = Arc::new(roots.unwrap_or_else(everybodys));
                    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
                    let inner = verifier.map_err(|error| TlsError::new("server_ca_pem", error))?;
                    let named = Arc::new(Named { name, inner });
                    builder().map_err(wrong)?.dangerous().with_custom_certificate_verifier(named)
                }
            }
        };
        if self.cert.is_empty() && self.key.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        let (chain, key) = identity(self.cert, self.key)?;
        builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::new("cert_pem", error))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

/// A client that trusts these roots, or those that browsers trust.
pub fn trusting(roots: Option<RootCertStore>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    Ok(builder()?.with_root_certificates(roots.unwrap_or_else(everybodys)))
}

fn everybodys() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Takes certificates of this name only.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner.verify_server_cert(cert, chain, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate, as long as its key is used.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
