//! NATS as the broker: `broker.nats` (NATS-01 to NATS-06).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};
use tourbillon::nats::{NatsConfig, NatsServer, NatsTls, RawMode};

use crate::check::Checker;
use crate::client_tls::ClientTls;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{ChannelRules, Options, options};
use crate::secret::SecretText;

const PATH: &str = "broker.nats";

/// Where NATS is if nothing else is said.
const URL: &str = "nats://localhost:4222";

options! {
    /// `broker.nats`.
    BrokerNats {
        /// Where it is: `nats://host:port` or `tls://host:port`, with a user and a password or a token before the host where
        /// that is needed; several with commas between them. Empty for `nats://localhost:4222`.
        url: SecretText = SecretText::default(),
        /// What the names of subjects begin with.
        prefix: String = "centrifugo".to_owned(),
        /// Time for a connection to come about.
        dial_timeout: GoDuration = GoDuration::from_secs(1),
        /// Time to wait for a server that takes nothing of what it is sent.
        write_timeout: GoDuration = GoDuration::from_secs(1),
        /// TLS.
        tls: ClientTls = ClientTls::default(),
        /// Clients may subscribe to channels with `*` and `>`, for what NATS makes of them.
        allow_wildcards: bool = false,
        /// Publications are bare data.
        raw_mode: RawModeOptions = RawModeOptions::default(),
    }
}

options! {
    /// `broker.nats.raw_mode`.
    RawModeOptions {
        /// Publications are bare data, which programs that know nothing of channels can publish and read. There are no joins
        /// and leaves then.
        enabled: bool = false,
        /// What the names of subjects begin with instead of `broker.nats.prefix`.
        prefix: String = String::new(),
        /// What stands in subjects for parts of channels' names: an object of texts.
        channel_replacements: Replacements = Replacements::default(),
    }
}

/// Texts that stand for others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Replacements(BTreeMap<String, String>);

impl Serialize for Replacements {
    /// JSON in a text: the schema of the options is made of their defaults, where an object would be a group.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = if self.0.is_empty() { Ok(String::new()) } else { serde_json::to_string(&self.0) };
        serializer.serialize_str(&text.map_err(S::Error::custom)?)
    }
}

/// How NATS is used; `None` with an error.
pub(crate) fn config(check: &mut Checker, options: &Options) -> Option<NatsConfig> {
    let nats = &options.broker.nats;
    let url = if nats.url.is_empty() { URL } else { nats.url.expose() };
    let servers = check.ok(&format!("{PATH}.url"), NatsServer::list(url));
    prefix(check, &format!("{PATH}.prefix"), &nats.prefix);
    let dial_timeout = check.duration(&format!("{PATH}.dial_timeout"), nats.dial_timeout);
    let write_timeout = check.duration(&format!("{PATH}.write_timeout"), nats.write_timeout);
    let tls = nats.tls.config_for_name(check, &format!("{PATH}.tls"));
    let raw = raw_mode(check, &nats.raw_mode);
    no_streams(check, options);
    let mut config = NatsConfig::at(URL).ok()?;
    config.servers = servers?;
    config.prefix.clone_from(&nats.prefix);
    config.dial_timeout = dial_timeout;
    config.write_timeout = write_timeout;
    config.tls = tls.map(|config| NatsTls { config: Arc::new(config) });
    config.allow_wildcards = nats.allow_wildcards;
    config.raw = raw;
    Some(config)
}

/// The beginning of subjects, which must make sense to NATS.
fn prefix(check: &mut Checker, path: &str, prefix: &str) {
    let odd = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"*>".contains(&byte);
    if prefix.bytes().any(odd) || prefix.starts_with('.') || prefix.contains("..") {
        check.error(path, format!("{prefix:?} cannot be the beginning of a subject"));
    }
}

fn raw_mode(check: &mut Checker, options: &RawModeOptions) -> Option<RawMode> {
    let path = format!("{PATH}.raw_mode");
    prefix(check, &format!("{path}.prefix"), &options.prefix);
    let Replacements(pairs) = &options.channel_replacements;
    let odd = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"*>".contains(&byte);
    for (from, to) in pairs {
        if from.is_empty() || to.bytes().any(odd) {
            let message = format!("{to:?} cannot stand for {from:?} in a subject");
            check.error(&format!("{path}.channel_replacements"), message);
        }
    }
    if !options.enabled {
        return None;
    }
    let mut raw = RawMode::default();
    raw.prefix.clone_from(&options.prefix);
    raw.replacements = pairs.iter().map(|(from, to)| (from.clone(), to.clone())).collect();
    Some(raw)
}

/// The rules of channels, with their paths.
pub(crate) fn rules(options: &Options) -> impl Iterator<Item = (String, &ChannelRules)> {
    let channel = &options.channel;
    let of_namespaces = channel.namespaces.iter().enumerate();
    let of_namespaces = of_namespaces.map(|(at, it)| (format!("channel.namespaces[{at}]"), &it.rules));
    std::iter::once(("channel.without_namespace".to_owned(), &channel.without_namespace)).chain(of_namespaces)
}

/// What needs a stream, NATS does not have.
fn no_streams(check: &mut Checker, options: &Options) {
    for (path, rules) in rules(options) {
        if rules.history_size > 0 && rules.history_ttl != GoDuration::ZERO {
            check
                .error(&format!("{path}.history_size"), "needs a broker that keeps streams: NATS keeps none");
        }
    }
}

/// What of it is allowed and may surprise; only where it is the broker.
pub(crate) fn warnings(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let nats = &options.broker.nats;
    if nats.raw_mode.enabled && rules(options).any(|(_, rules)| rules.join_leave) {
        warnings
            .push(format!("{PATH}.raw_mode: joins and leaves are not told, as publications are bare data"));
    }
    if nats.tls.enabled && nats.tls.insecure_skip_verify {
        warnings.push(format!(
            "{PATH}.tls.insecure_skip_verify: whoever is between can read and change everything"
        ));
    }
    warnings
}
