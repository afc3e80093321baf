//! What ports speak, of settings, and what of it can change while the server runs.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::acme::{self, Acme};
use crate::config::{PortSettings, TlsSettings};
use crate::listen::Speaks;
use tourbillon_tls::{Tls, TlsConfig, TlsError};

/// Protocols over TLS, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The same where an authority asks by one of them.
const WITH_CHALLENGES: [&[u8]; 3] = [b"h2", b"http/1.1", acme::PROTOCOL];

/// All that GRPC is spoken over.
const GRPC: [&[u8]; 1] = [b"h2"];

/// What is spoken at the ports of a server.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) external: Speaks,
    pub(crate) internal: Speaks,
    pub(crate) uni_grpc: Option<Tls>,
    pub(crate) grpc_api: Option<Tls>,
    pub(crate) tls: TlsHandles,
    pub(crate) acme: Option<Acme>,
    /// Where an authority asks over HTTP.
    pub(crate) challenges: Option<SocketAddr>,
}

/// TLS that can be loaded again. One handle where both ports have the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsHandles {
    external: Option<Tls>,
    internal: Option<Tls>,
    uni_grpc: Option<Tls>,
    grpc_api: Option<Tls>,
}

impl Ports {
    /// Loads certificates.
    pub(crate) fn new(settings: &PortSettings) -> Result<Self, TlsError> {
        let acme = [&settings.external_tls, &settings.internal_tls].into_iter().find_map(|tls| match tls {
            Some(TlsSettings::Acme(config)) => Some(Acme::new(config.clone())),
            _ => None,
        });
        let challenges = acme.as_ref().and_then(Acme::http);
        let load = |settings: &TlsSettings| load(settings, acme.as_ref());
        let external = settings.external_tls.as_ref().map(load).transpose()?;
        let internal = if settings.internal_tls == settings.external_tls {
            external.clone()
        } else {
            settings.internal_tls.as_ref().map(load).transpose()?
        };
        let grpc = |config: &Option<TlsConfig>| {
            config.as_ref().map(|config| Tls::new(config.clone(), &GRPC)).transpose()
        };
        let (uni_grpc, grpc_api) = (grpc(&settings.uni_grpc_tls)?, grpc(&settings.grpc_api_tls)?);
        Ok(Self {
            external: Speaks {
                tls: external.clone(),
                h2c: settings.h2c_external,
                proxied: settings.proxy_protocol.clone(),
            },
            internal: Speaks { tls: internal.clone(), ..Speaks::default() },
            uni_grpc: uni_grpc.clone(),
            grpc_api: grpc_api.clone(),
            tls: TlsHandles { external, internal, uni_grpc, grpc_api },
            acme,
            challenges,
        })
    }
}

fn load(settings: &TlsSettings, acme: Option<&Acme>) -> Result<Tls, TlsError> {
    match (settings, acme) {
        (TlsSettings::Loaded(config), _) => Tls::new(config.clone(), &PROTOCOLS),
        (TlsSettings::Acme(_), Some(acme)) => {
            let protocols: &[&[u8]] = if acme.http().is_some() { &PROTOCOLS } else { &WITH_CHALLENGES };
            Tls::from_resolver(Arc::clone(acme.certificates()) as _, protocols)
        }
        (TlsSettings::Acme(_), None) => Err(TlsError {
            option: "tls_autocert",
            problem: "there is nothing that gets certificates".to_owned(),
        }),
    }
}

impl TlsHandles {
    /// All of them, each once.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Tls> {
        let other = self
            .internal
            .as_ref()
            .filter(|internal| self.external.as_ref().is_none_or(|external| !external.is_same(internal)));
        self.external.iter().chain(other).chain(&self.uni_grpc).chain(&self.grpc_api)
    }

    /// Loads certificates again, from where other settings say.
    pub(crate) fn reload(&self, settings: &PortSettings) {
        let uni_grpc = settings.uni_grpc_tls.clone().map(TlsSettings::Loaded);
        let grpc_api = settings.grpc_api_tls.clone().map(TlsSettings::Loaded);
        for (name, tls, settings) in [
            ("external", &self.external, &settings.external_tls),
            ("internal", &self.internal, &settings.internal_tls),
            ("uni_grpc", &self.uni_grpc, &uni_grpc),
            ("grpc_api", &self.grpc_api, &grpc_api),
        ] {
            match (tls, settings) {
                (Some(tls), Some(TlsSettings::Loaded(config))) => {
                    if let Err(error) = tls.reload(Some(config.clone())) {
                        tracing::error!(port = name, %error, "TLS certificates are not reloaded");
                    }
                }
                (Some(_), Some(TlsSettings::Acme(_))) | (None, None) => {}
                _ => tracing::warn!(port = name, "switching TLS on or off needs a restart"),
            }
        }
    }
}
