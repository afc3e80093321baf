//! Getting certificates, and getting them again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_util::sync::CancellationToken;
use tourbillon::types::SystemClock;

use super::certificates::Certificates;
use super::http::Client;
use super::store::Store;
use crate::config::AcmeConfig;
use tourbillon_tls::rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use tourbillon_tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tourbillon_tls::rustls::sign::CertifiedKey;
use tourbillon_tls::{TlsError, Validity, certified_key, roots};

/// Time for one certificate, from the order to the chain.
const TIMEOUT: Duration = Duration::from_secs(300);

/// After a failure, the next try is made after this long, and then after twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// So often at least it is looked whether a certificate is due.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// A certificate of a year is renewed a month before its end, one of less in its last third.
const BEFORE_THE_END: i64 = 30 * 24 * 3600;

/// Gets certificates as long as it runs.
#[derive(Debug)]
pub(crate) struct Acme {
    config: AcmeConfig,
    certificates: Arc<Certificates>,
    store: Store,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum IssueError {
    #[error(transparent)]
    Acme(#[from] Error),
    #[error("TLS towards the authority: {0}")]
    Client(#[from] tourbillon_tls::rustls::Error),
    #[error("what was issued cannot be used: {0}")]
    Issued(#[from] TlsError),
    #[error("the certificate of the challenge: {0}")]
    Challenge(#[from] rcgen::Error),
    #[error("the authority offers no {0:?} challenge")]
    NotOffered(ChallengeType),
    #[error("the authority is not convinced that this is the host")]
    Refused,
    #[error("it took longer than {} s", TIMEOUT.as_secs())]
    Late,
}

impl Acme {
    /// Takes what is in the cache.
    pub(crate) fn new(config: AcmeConfig) -> Self {
        let certificates = Arc::new(Certificates::new(config.hosts.clone(), config.server_name.clone()));
        let store = Store::new(config.cache_dir.clone());
        for host in &config.hosts {
            let Some(pem) = store.certificate(host) else { continue };
            match certified_key(&pem, &pem) {
                Ok(key) => certificates.show(host, Arc::new(key)),
                Err(error) => tracing::warn!(host, %error, "a kept certificate is not used"),
            }
        }
        Self { config, certificates, store }
    }

    pub(crate) const fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Where the authority asks over HTTP, if it does.
    pub(crate) const fn http(&self) -> Option<SocketAddr> {
        self.config.http
    }

    /// Gets what is missing or due, until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            let mut retry = FIRST_RETRY;
            loop {
                let wait = if self.issue_due().await {
                    retry = FIRST_RETRY;
                    LOOK_EVERY
                } else {
                    let wait = retry;
                    retry = (retry * 2).min(LONGEST_RETRY);
                    wait
                };
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    /// Whether all went well.
    async fn issue_due(&self) -> bool {
        let mut well = true;
        for host in &self.config.hosts {
            let now = SystemClock::unix_millis() / 1_000;
            if self.certificates.shown(host).is_some_and(|key| !is_due(&key, now)) {
                continue;
            }
            let issued = tokio::time::timeout(TIMEOUT, self.issue(host)).await;
            match issued.unwrap_or(Err(IssueError::Late)) {
                Ok(()) => tracing::info!(host, "a certificate is issued"),
                Err(error) => {
                    tracing::error!(host, %error, "a certificate is not issued; it will be tried again");
                    well = false;
                }
            }
        }
        well
    }

    async fn issue(&self, host: &str) -> Result<(), IssueError> {
        let account = self.account().await?;
        let identifiers = [Identifier::Dns(host.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut answering = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(IssueError::Refused),
            }
            let kind =
                if self.config.http.is_some() { ChallengeType::Http01 } else { ChallengeType::TlsAlpn01 };
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(IssueError::NotOffered(kind));
            };
            let authorization = challenge.key_authorization();
            answering.push(if self.config.http.is_some() {
                self.certificates.answer_over_http(&challenge.token, authorization.as_str())
            } else {
                let key = Arc::new(challenge_key(host, authorization.digest().as_ref())?);
                self.certificates.answer_over_tls(host, key)
            });
            challenge.set_ready().await?;
        }
        let patience = RetryPolicy::new().timeout(TIMEOUT);
        if order.poll_ready(&patience).await? != OrderStatus::Ready {
            return Err(IssueError::Refused);
        }
        drop(answering);
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patience).await?;
        let pem = format!("{key}{chain}");
        let issued = certified_key(pem.as_bytes(), pem.as_bytes())?;
        self.store.keep_certificate(host, &pem);
        self.certificates.show(host, Arc::new(issued));
        Ok(())
    }

    /// The account that was kept, or a new one.
    async fn account(&self) -> Result<Account, IssueError> {
        let roots =
            self.config.directory_ca.as_deref().map(|pem| roots("directory_ca_pem", pem)).transpose()?;
        let client = Client::new(roots)?;
        let builder = || Account::builder_with_http(Box::new(client.clone()));
        // Accounts belong to an authority.
        let kept = self.store.account().and_then(|kept| serde_json::from_slice::<Kept>(&kept).ok());
        if let Some(kept) = kept.filter(|kept| kept.authority == self.config.directory_url) {
            match builder().from_credentials(kept.credentials).await {
                Ok(account) => return Ok(account),
                Err(error) => tracing::warn!(%error, "the kept account is not used"),
            }
        }
        let contact = self.config.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let authority = self.config.directory_url.clone();
        let (account, credentials) = builder().create(&wanted, authority.clone(), None).await?;
        if let Ok(text) = serde_json::to_vec(&Kept { authority, credentials }) {
            self.store.keep_account(&text);
        }
        Ok(account)
    }
}

/// An account as it is kept.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    authority: String,
    credentials: AccountCredentials,
}

/// Whether a certificate is to be got anew. `now` is in seconds since 1970 UTC.
fn is_due(key: &CertifiedKey, now: i64) -> bool {
    let Some(Validity { from, to }) = key.cert.first().and_then(|certificate| Validity::of(certificate))
    else {
        return true;
    };
    now >= to - BEFORE_THE_END.min((to - from) / 3)
}

/// The certificate by which an authority is answered over TLS (RFC 8737 section 3).
fn challenge_key(host: &str, digest: &[u8]) -> Result<CertifiedKey, IssueError> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(CertifiedKey::new(vec![certificate.der().clone()], any_ecdsa_type(&key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_before_its_end() {
        let day = 24 * 3600;
        for (days, due_after) in [(365, 335), (90, 60), (6, 4)] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = params.not_before + Duration::from_secs(days * 24 * 3600);
            let certificate = params.self_signed(&key).expect("a certificate");
            let key = certified_key(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
            let key = key.expect("a pair");
            let begin = 1_767_225_600;
            assert!(!is_due(&key, begin + due_after * day - 1), "{days} days");
            assert!(is_due(&key, begin + due_after * day), "{days} days");
        }
    }
}
