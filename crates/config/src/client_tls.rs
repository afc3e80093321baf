//! TLS towards servers that are asked: Redis, NATS, backends and providers of keys.

use serde::{Deserialize, Serialize};
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::ClientConfig;
use tourbillon_tls::rustls::pki_types::ServerName;

use crate::check::Checker;
use crate::describe::{Describe, Texts, path_of};
use crate::model::options;
use crate::secret::SecretText;

options! {
    /// TLS towards a server.
    #[derive(PartialEq, Eq, Hash)]
    ClientTls {
        /// Whether the others count, which switches TLS on towards Redis, too; without them the server's certificate must be
        /// one that browsers trust.
        enabled: bool = false,
        /// Our own certificate and those between it and its root: PEM, base64 of it or a file.
        cert_pem: String = String::new(),
        /// Its private key, likewise.
        key_pem: SecretText = SecretText::default(),
        /// Roots of the server's certificate, likewise, instead of those that browsers trust.
        server_ca_pem: String = String::new(),
        /// Any certificate will do.
        insecure_skip_verify: bool = false,
        /// The name that the server must have, instead of the one that was connected to.
        server_name: String = String::new(),
    }
}

impl ClientTls {
    fn terms(&self) -> TlsClient<'_> {
        TlsClient {
            cert: &self.cert_pem,
            key: self.key_pem.expose(),
            server_ca: &self.server_ca_pem,
            insecure_skip_verify: self.insecure_skip_verify,
        }
    }

    /// Our side of it, whoever the server is; `None` where it is off, or with an error. `path` is that of the group.
    pub(crate) fn config(&self, check: &mut Checker, path: &str) -> Option<ClientConfig> {
        self.enabled.then(|| made(check, path, &self.terms(), None))?
    }

    /// The same for the server whose name it has to be, if one is said.
    pub(crate) fn config_for_name(&self, check: &mut Checker, path: &str) -> Option<ClientConfig> {
        if !self.enabled {
            return None;
        }
        let name = self.name();
        let name =
            name.map(|text| server_name(check, path, text)).map_or(Some(None), |name| name.map(Some))?;
        made(check, path, &self.terms(), name)
    }

    /// The name that the server must have, if one is said.
    pub(crate) fn name(&self) -> Option<&str> {
        Some(self.server_name.as_str()).filter(|name| !name.is_empty())
    }
}

/// Our side of TLS by these terms; `None` with an error.
fn made(
    check: &mut Checker,
    path: &str,
    terms: &TlsClient<'_>,
    name: Option<ServerName<'static>>,
) -> Option<ClientConfig> {
    let config = name.map_or_else(|| terms.config(), |name| terms.config_for(name));
    config.map_err(|error| check.error(&format!("{path}.{}", error.option), error.problem)).ok()
}

/// The name of a server; `None` with an error.
pub(crate) fn server_name(check: &mut Checker, path: &str, name: &str) -> Option<ServerName<'static>> {
    check.ok(&format!("{path}.server_name"), ServerName::try_from(name.to_owned()))
}
