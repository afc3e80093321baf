//! How tokens are checked: keys, key sets and what becomes of claims.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use tourbillon::auth::{
    self, ClaimMapping, FetchError, HttpJwksFetch, JwksConfig, JwksFetch, Secret, Verifier, VerifierConfig,
};
use tourbillon_access::TokensConfig;

use crate::check::Checker;
use crate::client_tls::{self, ClientTls};
use crate::describe::{Describe, Texts, path_of};
use crate::model::{Options, options};
use crate::secret::SecretText;

/// How tokens of a kind are checked: what both have, and more.
macro_rules! token_options {
    ($(#[$doc:meta])* $name:ident { $($more:tt)* }) => {
        options! {
            $(#[$doc])*
            $name {
                /// The key of HS256, HS384 and HS512.
                hmac_secret_key: SecretText = SecretText::default(),
                /// The key before the current one.
                hmac_previous_secret_key: SecretText = SecretText::default(),
                /// Until when the previous key is accepted, seconds since 1970 UTC; 0 for ever.
                hmac_previous_secret_key_valid_until: i64 = 0,
                /// The key of RS256, RS384, RS512, PS256, PS384 and PS512: a public key or certificate in PEM form.
                rsa_public_key: String = String::new(),
                /// The key of ES256, ES384 or ES512: a public key or certificate in PEM form.
                ecdsa_public_key: String = String::new(),
                /// The address of a key set, which replaces all keys above. `{{name}}` is a group of a regex below.
                jwks_public_endpoint: String = String::new(),
                /// What `aud` must contain.
                audience: String = String::new(),
                /// What `aud` must match.
                audience_regex: String = String::new(),
                /// What `iss` must be.
                issuer: String = String::new(),
                /// What `iss` must match.
                issuer_regex: String = String::new(),
                /// The claim that names the user, instead of `sub`.
                user_id_claim: String = String::new(),
                /// Several key sets.
                jwks: Jwks = Jwks::default(),
                /// Any group may fill a placeholder of the key set's address: whoever makes tokens says where keys are.
                insecure_skip_jwks_endpoint_safety_check: bool = false,
                $($more)*
            }
        }

        impl $name {
            /// How these tokens are checked, without what becomes of claims.
            fn terms(&self, insecure_skip_signature_verify: bool) -> Terms<'_> {
                let config = VerifierConfig {
                    hmac_secret_key: Secret::from(self.hmac_secret_key.expose()),
                    hmac_previous_secret_key: Secret::from(self.hmac_previous_secret_key.expose()),
                    hmac_previous_secret_key_valid_until: self.hmac_previous_secret_key_valid_until,
                    rsa_public_key: self.rsa_public_key.clone(),
                    ecdsa_public_key: self.ecdsa_public_key.clone(),
                    audience: self.audience.clone(),
                    audience_regex: self.audience_regex.clone(),
                    issuer: self.issuer.clone(),
                    issuer_regex: self.issuer_regex.clone(),
                    user_id_claim: self.user_id_claim.clone(),
                    insecure_skip_signature_verify,
                    ..VerifierConfig::default()
                };
                Terms {
                    config,
                    endpoint: &self.jwks_public_endpoint,
                    jwks: &self.jwks,
                    skip_safety_check: self.insecure_skip_jwks_endpoint_safety_check,
                }
            }
        }
    };
}

token_options! {
    /// `client.token`.
    Token {
        /// Claims that get into the meta object: objects of `key`, the name there, and `value`, the path of the claim.
        meta_from_claim: Vec<KeyValue> = Vec::new(),
        /// Claims that become labels: objects of `key`, the label, and `value`, the path of the claim.
        labels_from_claim: Vec<KeyValue> = Vec::new(),
    }
}

impl Token {
    /// Whether keys come from sets.
    pub(crate) fn has_sets(&self) -> bool {
        self.jwks.enabled || !self.jwks_public_endpoint.is_empty()
    }

    /// Whether a key is written here.
    pub(crate) fn has_key(&self) -> bool {
        let Self { hmac_secret_key, rsa_public_key, ecdsa_public_key, .. } = self;
        !(hmac_secret_key.is_empty() && rsa_public_key.is_empty() && ecdsa_public_key.is_empty())
    }
}

token_options! {
    /// `client.subscription_token`.
    SubscriptionToken {
        /// Subscription tokens have keys of their own.
        enabled: bool = false,
    }
}

/// An element of `meta_from_claim` or `labels_from_claim`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyValue {
    /// What it becomes.
    pub key: String,
    /// Where it is.
    pub value: String,
}

options! {
    /// `jwks`.
    Jwks {
        /// Keys come from the sets of these providers, and from nowhere else.
        enabled: bool = false,
        /// Who has key sets. The issuer of a token says whose it is, and its audience where several have the same issuer.
        providers: Vec<JwksProvider> = Vec::new(),
    }
}

options! {
    /// An element of `jwks.providers`.
    JwksProvider {
        /// The provider's name: at least two letters, digits or `_`.
        name: String = String::new(),
        /// Whether it counts.
        enabled: bool = false,
        /// The address of the set.
        endpoint: String = String::new(),
        /// What `iss` is.
        issuer: String = String::new(),
        /// What `aud` contains.
        audience: String = String::new(),
        /// Claims that get into the meta object, for connection tokens: objects of `key`, the name there, and `value`, the path
        /// of the claim.
        meta_from_claim: Vec<KeyValue> = Vec::new(),
        /// Claims that become labels, likewise.
        labels_from_claim: Vec<KeyValue> = Vec::new(),
        /// TLS towards the endpoint.
        tls: ClientTls = ClientTls::default(),
    }
}

/// How tokens of a kind are checked.
struct Terms<'a> {
    config: VerifierConfig,
    endpoint: &'a str,
    jwks: &'a Jwks,
    skip_safety_check: bool,
}

fn verifier(check: &mut Checker, path: &str, terms: Terms<'_>) -> Option<Verifier> {
    if terms.jwks.enabled {
        return by_providers(check, path, terms);
    }
    let made = if terms.endpoint.is_empty() {
        Verifier::new(terms.config)
    } else {
        let fetch = check.ok(&format!("{path}.jwks_public_endpoint"), jwks_fetch(&terms))?;
        let jwks = jwks(&terms);
        Verifier::with_jwks(terms.config, jwks, Arc::new(fetch))
    };
    match made {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            check.error(&format!("{path}.{}", error.option), error.problem.to_string());
            None
        }
    }
}

fn mappings(entries: &[KeyValue]) -> Vec<ClaimMapping> {
    let mapping = |entry: &KeyValue| ClaimMapping { key: entry.key.clone(), value: entry.value.clone() };
    entries.iter().map(mapping).collect()
}

/// Keys of several sets (PRO-46).
fn by_providers(check: &mut Checker, path: &str, terms: Terms<'_>) -> Option<Verifier> {
    if !terms.endpoint.is_empty() {
        check.error(&format!("{path}.jwks.enabled"), "cannot be used together with `jwks_public_endpoint`");
        return None;
    }
    let list = format!("{path}.jwks.providers");
    let mut providers: Vec<(auth::JwksProvider, &JwksProvider)> = Vec::new();
    for (at, one) in terms.jwks.providers.iter().enumerate() {
        let at = format!("{list}[{at}]");
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if one.name.len() < 2 || !one.name.bytes().all(is_letter) {
            check.error(&format!("{at}.name"), format!("{:?} must match ^[a-zA-Z0-9_]{{2,}}$", one.name));
        }
        if terms.jwks.providers.iter().filter(|other| other.name == one.name).count() > 1 {
            check.error(&format!("{at}.name"), format!("there is another provider {:?}", one.name));
        }
        if !one.enabled {
            continue;
        }
        for (option, value) in [("endpoint", &one.endpoint), ("issuer", &one.issuer)] {
            if value.is_empty() {
                check.error(&format!("{at}.{option}"), "must not be empty");
            }
        }
        let of_issuer = providers.iter().filter(|(_, other)| other.issuer == one.issuer);
        if of_issuer.clone().any(|(_, other)| other.audience.is_empty() || one.audience.is_empty()) {
            check.error(&format!("{at}.audience"), "must not be empty where providers have the same issuer");
        } else if of_issuer.clone().any(|(_, other)| other.audience == one.audience) {
            check.error(&format!("{at}.audience"), "another provider has the same issuer and audience");
        }
        let provider = auth::JwksProvider {
            option: format!("{}.endpoint", at.strip_prefix(path).unwrap_or(&at).trim_start_matches('.'))
                .into(),
            endpoint: one.endpoint.clone(),
            issuer: one.issuer.clone(),
            audience: one.audience.clone(),
            meta_from_claim: mappings(&one.meta_from_claim),
            labels_from_claim: mappings(&one.labels_from_claim),
            fetch: own_fetch(check, &at, one, allow_private(&terms)),
        };
        providers.push((provider, one));
    }
    if providers.is_empty() {
        check.error(&list, "none is enabled");
    }
    let fetch = check.ok(&list, jwks_fetch(&terms))?;
    let jwks = JwksConfig {
        providers: providers.into_iter().map(|(provider, _)| provider).collect(),
        insecure_skip_endpoint_safety_check: terms.skip_safety_check,
        ..JwksConfig::default()
    };
    match Verifier::with_jwks(terms.config, jwks, Arc::new(fetch)) {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            check.error(&format!("{path}.{}", error.option), error.problem.to_string());
            None
        }
    }
}

/// One set, whose keys replace those of other options (KEY-05).
fn jwks(terms: &Terms<'_>) -> JwksConfig {
    let provider = auth::JwksProvider {
        option: "jwks_public_endpoint".into(),
        endpoint: terms.endpoint.to_owned(),
        ..auth::JwksProvider::default()
    };
    JwksConfig {
        providers: vec![provider],
        insecure_skip_endpoint_safety_check: terms.skip_safety_check,
        ..JwksConfig::default()
    }
}

fn jwks_fetch(terms: &Terms<'_>) -> Result<HttpJwksFetch, FetchError> {
    Ok(HttpJwksFetch::new()?.allow_private_addresses(allow_private(terms)))
}

/// A host that the operator wrote, alone or in a list, may be in a private network; one that tokens name may not.
fn allow_private(terms: &Terms<'_>) -> bool {
    let by_token = terms.skip_safety_check
        && (terms.endpoint.contains("{{")
            || terms.jwks.providers.iter().any(|provider| provider.endpoint.contains("{{")));
    !by_token
}

/// Fetching over TLS of a provider's own.
fn own_fetch(
    check: &mut Checker,
    path: &str,
    provider: &JwksProvider,
    allow_private: bool,
) -> Option<Arc<dyn JwksFetch>> {
    let options = &provider.tls;
    if !options.enabled {
        return None;
    }
    if !provider.endpoint.to_ascii_lowercase().starts_with("https://") {
        check.error(&format!("{path}.tls.enabled"), "its endpoint must begin with https://");
    }
    let path = format!("{path}.tls");
    let config = options.config(check, &path)?;
    let made = HttpJwksFetch::with_tls(Arc::new(config))
        .allow_private_addresses(allow_private)
        .identified(BuildHasherDefault::<DefaultHasher>::default().hash_one((options, allow_private)));
    let made = match options.name() {
        None => made,
        Some(name) => made.server_name(client_tls::server_name(check, &path, name)?),
    };
    Some(Arc::new(made))
}

pub(crate) fn tokens(check: &mut Checker, options: &Options) -> Option<TokensConfig> {
    let client = &options.client;
    let skip = client.insecure_skip_token_signature_verify;
    let subscription = &client.subscription_token;
    let mut terms = client.token.terms(skip);
    terms.config.meta_from_claim = mappings(&client.token.meta_from_claim);
    terms.config.labels_from_claim = mappings(&client.token.labels_from_claim);
    let token = verifier(check, "client.token", terms);
    for (at, provider) in subscription.jwks.providers.iter().enumerate() {
        let path = format!("client.subscription_token.jwks.providers[{at}]");
        for (option, list) in [
            ("meta_from_claim", &provider.meta_from_claim),
            ("labels_from_claim", &provider.labels_from_claim),
        ] {
            if !list.is_empty() {
                check.error(&format!("{path}.{option}"), "subscription tokens have neither meta nor labels");
            }
        }
    }
    let subscription_token = if subscription.enabled {
        Some(verifier(check, "client.subscription_token", subscription.terms(skip))?)
    } else {
        None
    };
    let header = match client.user_id_http_header.as_str() {
        "" => None,
        name => Some(check.ok("client.user_id_http_header", name.parse::<HeaderName>())?),
    };
    let mut tokens = TokensConfig::new(token?);
    tokens.subscription_token = subscription_token;
    tokens.allow_anonymous_connect_without_token = client.allow_anonymous_connect_without_token;
    tokens.disallow_anonymous_connection_tokens = client.disallow_anonymous_connection_tokens;
    tokens.user_id_http_header = header;
    Some(tokens)
}
