//! What was loaded, in use.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::load::{Loaded, TlsConfig, TlsError, TlsVersion, provider};
use crate::rustls::ServerConfig;
use crate::rustls::crypto::aws_lc_rs::Ticketer;
use crate::rustls::server::danger::ClientCertVerifier;
use crate::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use crate::rustls::sign::CertifiedKey;
use crate::validity::Validity;

/// So often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The TLS of a listener. Clones are handles to the same.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    certificates: Arc<dyn ResolvesServerCert>,
    /// What the certificate is loaded from, where it comes from files or options.
    loaded: Option<Reloading>,
    versions: TlsVersion,
    clients: RwLock<Option<Arc<dyn ClientCertVerifier>>>,
    /// What listeners over TCP use, with the protocols they speak.
    config: RwLock<Arc<ServerConfig>>,
    protocols: Vec<Vec<u8>>,
}

struct Reloading {
    current: Arc<Current>,
    /// Where from, and what the files looked like then.
    source: Mutex<(TlsConfig, Vec<Seen>)>,
}

/// A file as it was when it was read.
type Seen = (PathBuf, Option<(SystemTime, u64)>);

/// The certificate that is shown to whoever comes next.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.0.certificates).finish_non_exhaustive()
    }
}

impl Tls {
    /// Loads what the options say. `protocols` are offered by ALPN, best first.
    ///
    /// # Errors
    ///
    /// What is missing, unreadable or does not fit together.
    pub fn new(source: TlsConfig, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        // Before they are read: a change meanwhile is seen.
        let seen = look(&source);
        let Loaded { key, clients } = source.load()?;
        tell(&key);
        let current = Arc::new(Current(RwLock::new(key)));
        let versions = source.min_version;
        let certificates: Arc<dyn ResolvesServerCert> = Arc::clone(&current) as _;
        let loaded = Some(Reloading { current, source: Mutex::new((source, seen)) });
        Self::build(certificates, loaded, versions, clients, protocols)
    }

    /// TLS whose certificates come from elsewhere.
    pub fn from_resolver(
        certificates: Arc<dyn ResolvesServerCert>,
        protocols: &[&[u8]],
    ) -> Result<Self, TlsError> {
        Self::build(certificates, None, TlsVersion::default(), None, protocols)
    }

    fn build(
        certificates: Arc<dyn ResolvesServerCert>,
        loaded: Option<Reloading>,
        versions: TlsVersion,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        protocols: &[&[u8]],
    ) -> Result<Self, TlsError> {
        let config = config(&certificates, versions, clients.clone(), protocols)?;
        Ok(Self(Arc::new(Shared {
            certificates,
            loaded,
            versions,
            clients: RwLock::new(clients),
            config: RwLock::new(Arc::new(config)),
            protocols: protocols.iter().map(|protocol| protocol.to_vec()).collect(),
        })))
    }

    /// The configuration for the next connection over TCP. Ask for each: one with other roots of clients replaces it.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config.read())
    }

    /// Whether this and another are handles to the same.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Loads everything again, from `source` where one is given. What is wrong with it leaves all as it was.
    ///
    /// # Errors
    ///
    /// What is missing, unreadable or does not fit together.
    pub fn reload(&self, source: Option<TlsConfig>) -> Result<(), TlsError> {
        let Some(Reloading { current, source: place }) = &self.0.loaded else { return Ok(()) };
        let source = source.unwrap_or_else(|| place.lock().0.clone());
        let seen = look(&source);
        // Even where it is wrong: once is enough to say so, until it changes.
        place.lock().1.clone_from(&seen);
        let Loaded { key, clients } = source.load()?;
        if self.0.clients.read().is_some() || clients.is_some() {
            // With new keys of tickets, so that nobody returns whom the new roots would not let in.
            let protocols: Vec<&[u8]> = self.0.protocols.iter().map(Vec::as_slice).collect();
            let fresh = config(&self.0.certificates, self.0.versions, clients.clone(), &protocols)?;
            *self.0.clients.write() = clients;
            *self.0.config.write() = Arc::new(fresh);
        }
        tell(&key);
        *current.0.write() = key;
        *place.lock() = (source, seen);
        Ok(())
    }

    /// Loads everything again if a file is not what it was when it was read. Whether it was loaded.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let Some(Reloading { source, .. }) = &self.0.loaded else { return Ok(false) };
        let unchanged = {
            let (source, seen) = &*source.lock();
            look(source) == *seen
        };
        if unchanged {
            return Ok(false);
        }
        self.reload(None).map(|()| true)
    }

    /// Looks after the files until `stop` is cancelled.
    pub async fn watch(self, stop: CancellationToken) {
        if self.0.loaded.is_none() {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            match self.reload_if_changed() {
                Ok(false) => {}
                Ok(true) => tracing::info!("TLS certificates are reloaded: a file has changed"),
                Err(error) => tracing::error!(%error, "a changed TLS certificate is not taken"),
            }
        }
    }
}

fn look(source: &TlsConfig) -> Vec<Seen> {
    let seen = |path: PathBuf| {
        let about = std::fs::metadata(&path).ok();
        let state = about.and_then(|about| Some((about.modified().ok()?, about.len())));
        (path, state)
    };
    source.files().map(seen).collect()
}

/// Says until when a certificate is good.
fn tell(key: &CertifiedKey) {
    let end = key.cert.first().and_then(|certificate| Validity::of(certificate)).map(|validity| validity.to);
    let now = tourbillon_types::SystemClock::unix_millis() / 1_000;
    match end {
        Some(end) if end <= now => tracing::warn!(not_after = end, "the TLS certificate has expired"),
        end => tracing::info!(not_after = end, "TLS certificate"),
    }
}

fn config(
    certificates: &Arc<dyn ResolvesServerCert>,
    versions: TlsVersion,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let wrong = |error: crate::rustls::Error| TlsError { option: "tls", problem: error.to_string() };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions.allowed())
        .map_err(wrong)?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Sessions are resumed by tickets, which clients keep: nothing is stored for those who left.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(wrong)?;
    // One is what a client needs that comes again.
    config.send_tls13_tickets = 1;
    Ok(config)
}
