//! How tokens are checked: keys, key sets and what becomes of claims.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use http::HeaderName;
use tourbillon::auth::{
    ClaimMapping, FetchError, HttpJwksFetch, JwksConfig, JwksFetch, JwksProvider, Secret, Verifier,
    VerifierConfig,
};
use tourbillon_access::TokensConfig;

use crate::check::Checker;
use crate::client_tls;
use crate::model::{self, KeyValue, Options, SubscriptionToken, Token};
use tourbillon_tls::TlsClient;

/// The two kinds of tokens are checked by the same options.
fn token_of(subscription: &SubscriptionToken) -> Token {
    Token {
        hmac_secret_key: subscription.hmac_secret_key.clone(),
        hmac_previous_secret_key: subscription.hmac_previous_secret_key.clone(),
        hmac_previous_secret_key_valid_until: subscription.hmac_previous_secret_key_valid_until,
        rsa_public_key: subscription.rsa_public_key.clone(),
        ecdsa_public_key: subscription.ecdsa_public_key.clone(),
        jwks_public_endpoint: subscription.jwks_public_endpoint.clone(),
        audience: subscription.audience.clone(),
        audience_regex: subscription.audience_regex.clone(),
        issuer: subscription.issuer.clone(),
        issuer_regex: subscription.issuer_regex.clone(),
        user_id_claim: subscription.user_id_claim.clone(),
        meta_from_claim: Vec::new(),
        labels_from_claim: Vec::new(),
        jwks: subscription.jwks.clone(),
        insecure_skip_jwks_endpoint_safety_check: subscription.insecure_skip_jwks_endpoint_safety_check,
    }
}

fn verifier(check: &mut Checker, path: &str, token: &Token, skip_signature: bool) -> Option<Verifier> {
    let config = VerifierConfig {
        hmac_secret_key: Secret::from(token.hmac_secret_key.expose()),
        hmac_previous_secret_key: Secret::from(token.hmac_previous_secret_key.expose()),
        hmac_previous_secret_key_valid_until: token.hmac_previous_secret_key_valid_until,
        rsa_public_key: token.rsa_public_key.clone(),
        ecdsa_public_key: token.ecdsa_public_key.clone(),
        audience: token.audience.clone(),
        audience_regex: token.audience_regex.clone(),
        issuer: token.issuer.clone(),
        issuer_regex: token.issuer_regex.clone(),
        user_id_claim: token.user_id_claim.clone(),
        meta_from_claim: mappings(&token.meta_from_claim),
        labels_from_claim: mappings(&token.labels_from_claim),
        insecure_skip_signature_verify: skip_signature,
        ..VerifierConfig::default()
    };
    if token.jwks.enabled {
        return by_providers(check, path, token, config);
    }
    let made = if token.jwks_public_endpoint.is_empty() {
        Verifier::new(config)
    } else {
        let fetch = check.ok(&format!("{path}.jwks_public_endpoint"), jwks_fetch(token))?;
        Verifier::with_jwks(config, jwks(token), Arc::new(fetch))
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
fn by_providers(check: &mut Checker, path: &str, token: &Token, config: VerifierConfig) -> Option<Verifier> {
    if !token.jwks_public_endpoint.is_empty() {
        check.error(&format!("{path}.jwks.enabled"), "cannot be used together with `jwks_public_endpoint`");
        return None;
    }
    let list = format!("{path}.jwks.providers");
    let mut providers: Vec<(JwksProvider, &model::JwksProvider)> = Vec::new();
    for (at, one) in token.jwks.providers.iter().enumerate() {
        let at = format!("{list}[{at}]");
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if one.name.len() < 2 || !one.name.bytes().all(is_letter) {
            check.error(&format!("{at}.name"), format!("{:?} must match ^[a-zA-Z0-9_]{{2,}}$", one.name));
        }
        if token.jwks.providers.iter().filter(|other| other.name == one.name).count() > 1 {
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
        let provider = JwksProvider {
            option: format!("{}.endpoint", at.strip_prefix(path).unwrap_or(&at).trim_start_matches('.'))
                .into(),
            endpoint: one.endpoint.clone(),
            issuer: one.issuer.clone(),
            audience: one.audience.clone(),
            meta_from_claim: mappings(&one.meta_from_claim),
            labels_from_claim: mappings(&one.labels_from_claim),
            fetch: own_fetch(check, &at, one, allow_private(token)),
        };
        providers.push((provider, one));
    }
    if providers.is_empty() {
        check.error(&list, "none is enabled");
    }
    let fetch = check.ok(&list, jwks_fetch(token))?;
    let jwks = JwksConfig {
        providers: providers.into_iter().map(|(provider, _)| provider).collect(),
        insecure_skip_endpoint_safety_check: token.insecure_skip_jwks_endpoint_safety_check,
        ..JwksConfig::default()
    };
    match Verifier::with_jwks(config, jwks, Arc::new(fetch)) {
        Ok(verifier) => Some(verifier),
        Err(error) => {
            check.error(&format!("{path}.{}", error.option), error.problem.to_string());
            None
        }
    }
}

/// One set, whose keys replace those of other options (KEY-05).
fn jwks(token: &Token) -> JwksConfig {
    let provider = JwksProvider {
        option: "jwks_public_endpoint".into(),
        endpoint: token.jwks_public_endpoint.clone(),
        ..JwksProvider::default()
    };
    JwksConfig {
        providers: vec![provider],
        insecure_skip_endpoint_safety_check: token.insecure_skip_jwks_endpoint_safety_check,
        ..JwksConfig::default()
    }
}

fn jwks_fetch(token: &Token) -> Result<HttpJwksFetch, FetchError> {
    Ok(HttpJwksFetch::new()?.allow_private_addresses(allow_private(token)))
}

/// A host that the operator wrote, alone or in a list, may be in a private network; one that tokens name may not.
fn allow_private(token: &Token) -> bool {
    let by_token = token.insecure_skip_jwks_endpoint_safety_check
        && (token.jwks_public_endpoint.contains("{{")
            || token.jwks.providers.iter().any(|provider| provider.endpoint.contains("{{")));
    !by_token
}

/// Fetching over TLS of a provider's own.
fn own_fetch(
    check: &mut Checker,
    path: &str,
    provider: &model::JwksProvider,
    allow_private: bool,
) -> Option<Arc<dyn JwksFetch>> {
    let options = &provider.tls;
    if !options.enabled {
        return None;
    }
    if !provider.endpoint.to_ascii_lowercase().starts_with("https://") {
        check.error(&format!("{path}.tls.enabled"), "its endpoint must begin with https://");
    }
    let terms = TlsClient {
        cert: &options.cert_pem,
        key: options.key_pem.expose(),
        server_ca: &options.server_ca_pem,
        insecure_skip_verify: options.insecure_skip_verify,
    };
    let path = format!("{path}.tls");
    let config = client_tls::config(check, &path, &terms, None)?;
    let made = HttpJwksFetch::with_tls(Arc::new(config))
        .allow_private_addresses(allow_private)
        .identified(BuildHasherDefault::<DefaultHasher>::default().hash_one((options, allow_private)));
    let made = match options.server_name.as_str() {
        "" => made,
        name => made.server_name(client_tls::server_name(check, &path, name)?),
    };
    Some(Arc::new(made))
}

pub(crate) fn tokens(check: &mut Checker, options: &Options) -> Option<TokensConfig> {
    let client = &options.client;
    let skip = client.insecure_skip_token_signature_verify;
    let subscription = &client.subscription_token;
    let token = verifier(check, "client.token", &client.token, skip);
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
        Some(verifier(check, "client.subscription_token", &token_of(subscription), skip)?)
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
