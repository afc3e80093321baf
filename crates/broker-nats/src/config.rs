//! How NATS is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_tls::rustls::ClientConfig;

use crate::address::{AddressError, NatsServer};

/// How NATS is used. Defaults are Centrifugo's (`broker.nats.*`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NatsConfig {
    /// The servers: one is connected to, the others are for when it is gone.
    pub servers: Vec<NatsServer>,
    /// What the names of subjects begin with. Default `centrifugo`.
    pub prefix: String,
    /// Time for a connection to come about. Default 1 s.
    pub dial_timeout: Duration,
    /// Time to wait for a server that takes nothing of what it is sent. Default 1 s.
    pub write_timeout: Duration,
    /// TLS. Without it, servers that insist on it must have certificates that browsers trust.
    pub tls: Option<NatsTls>,
    /// Takes subscriptions to channels with `*` or `>` for what NATS makes of them. Default no.
    pub allow_wildcards: bool,
    /// Publications are bare data. Default: they are what other nodes read.
    pub raw: Option<RawMode>,
}

impl NatsConfig {
    /// The defaults with these servers, as [`NatsServer::list`] reads them.
    ///
    /// # Errors
    ///
    /// What is wrong with the addresses.
    pub fn at(servers: &str) -> Result<Self, AddressError> {
        Ok(Self {
            servers: NatsServer::list(servers)?,
            prefix: "centrifugo".to_owned(),
            dial_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(1),
            tls: None,
            allow_wildcards: false,
            raw: None,
        })
    }
}

/// How servers are made sure of.
#[derive(Clone)]
pub struct NatsTls {
    /// Whom to trust, under which name, and what to show.
    pub config: Arc<ClientConfig>,
}

impl fmt::Debug for NatsTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsTls").finish_non_exhaustive()
    }
}

/// Publications are bare data (NATS-05), so that programs that know nothing of channels can publish and listen. There are
/// no joins and leaves then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawMode {
    /// What the names of subjects begin with instead. Default nothing.
    pub prefix: String,
    /// What stands in subjects for parts of channels' names.
    pub replacements: Vec<(String, String)>,
}
