//! From options to keys and certificates.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::pem::{self, PemError};
use crate::rustls::crypto::{CryptoProvider, aws_lc_rs as provided};
use crate::rustls::pki_types::pem::PemObject;
use crate::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use crate::rustls::server::WebPkiClientVerifier;
use crate::rustls::server::danger::ClientCertVerifier;
use crate::rustls::sign::CertifiedKey;
use crate::rustls::{self, RootCertStore, SupportedProtocolVersion};
use crate::validity::Validity;

/// What a listener's TLS is made of. The first three are PEM, base64 of it or paths of files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate and those between it and its root.
    pub cert: String,
    /// Its private key. Never shown.
    pub key: String,
    /// Roots of clients' certificates; with them, clients need one. Empty for none.
    pub client_ca: String,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").field("min_version", &self.min_version).finish_non_exhaustive()
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2, and what is newer.
    #[default]
    Tls12,
    /// 1.3 alone.
    Tls13,
}

impl TlsVersion {
    pub(crate) fn allowed(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => NEWEST,
        }
    }
}

/// Why TLS cannot be set up, and which of its options is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The option's name, below that of the whole.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl TlsError {
    pub(crate) fn new(option: &'static str, problem: impl fmt::Display) -> Self {
        Self { option, problem: problem.to_string() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.problem)
    }
}

impl std::error::Error for TlsError {}

/// What was loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(provided::default_provider())
}

impl TlsConfig {
    /// Loads everything, without a use for it yet: whether it is sound.
    ///
    /// # Errors
    ///
    /// What is missing, unreadable or does not fit together.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    pub(crate) fn load(&self) -> Result<Loaded, TlsError> {
        let cert = block("cert_pem", &self.cert)?;
        let key = block("key_pem", &self.key)?;
        let key = certified_key(&cert, &key)?;
        let clients = (!self.client_ca.is_empty()).then(|| self.clients()).transpose()?;
        Ok(Loaded { key: Arc::new(key), clients })
    }

    fn clients(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let roots = roots("client_ca_pem", &self.client_ca)?;
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::new("client_ca_pem", error))
    }

    /// The files that are read.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.cert, &self.key, &self.client_ca]
            .into_iter()
            .filter_map(|value| pem::file(value).map(PathBuf::from))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// Roots that are PEM, base64 of it or a file.
pub fn roots(option: &'static str, value: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(option, &block(option, value)?)? {
        roots.add(root).map_err(|error| TlsError::new(option, error))?;
    }
    Ok(roots)
}

/// A certificate and those above it, and its key.
pub(crate) fn identity(
    cert: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates("cert_pem", &block("cert_pem", cert)?)?;
    Ok((chain, private_key(&block("key_pem", key)?)?))
}

/// The longest that a certificate may be good which a page names by its hash (W3C WebTransport section 5.5), in seconds.
const SHORT_LIVED: i64 = 14 * 24 * 3600;

/// The SHA-256 of a certificate in hexadecimal digits, where browsers take it for a certificate that nobody vouches for.
pub fn short_lived_hash(cert: &str) -> Option<String> {
    let chain = certificates("cert_pem", &block("cert_pem", cert).ok()?).ok()?;
    let certificate = chain.first()?;
    let validity = Validity::of(certificate)?;
    let digest = || digest::digest(&digest::SHA256, certificate);
    (validity.to - validity.from <= SHORT_LIVED)
        .then(|| digest().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn block(option: &'static str, value: &str) -> Result<Vec<u8>, TlsError> {
    if value.is_empty() {
        return Err(TlsError::new(option, "must be set"));
    }
    pem::read(value).map_err(|error: PemError| TlsError::new(option, error))
}

fn certificates(option: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| TlsError::new(option, error))?;
    if found.is_empty() { Err(TlsError::new(option, "there is no certificate in it")) } else { Ok(found) }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| TlsError::new("key_pem", "there is no private key in it that can be read"))
}

/// A certificate chain and its key, which must belong together.
pub fn certified_key(cert: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("cert_pem", cert)?;
    let key = private_key(key)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::new("key_pem", "is not the key of cert_pem"),
        error => TlsError::new("cert_pem", error),
    })
}
