//! Tokens as applications and attackers write them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod attacks;
mod claims;
mod jwks;
mod jwks_http;
mod keys;
mod properties;
mod public;
mod rules;
mod signing;
mod speed;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use tourbillon_auth::{
    ConnectClaims, InvalidToken, Secret, SubscribeClaims, TokenError, Verifier, VerifierConfig,
};

const KEY: &str = "a key for tests";
const NOW: i64 = 1_700_000_000;
const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of any header and payload, signed with any key.
fn forge(header: &str, payload: impl AsRef<[u8]>, algorithm: Algorithm, key: &str) -> String {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    let key = EncodingKey::from_secret(key.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("signs");
    format!("{message}.{signature}")
}

/// A genuine token with these claims.
fn token(payload: impl AsRef<[u8]>) -> String {
    forge(HS256, payload, Algorithm::HS256, KEY)
}

fn config() -> VerifierConfig {
    VerifierConfig { hmac_secret_key: Secret::from(KEY), ..VerifierConfig::default() }
}

fn verifier() -> Verifier {
    Verifier::new(config()).expect("the configuration is sound")
}

fn connect(payload: impl AsRef<[u8]>) -> Result<ConnectClaims, TokenError> {
    verifier().verify_connect(&token(payload), NOW)
}

fn subscribe(payload: impl AsRef<[u8]>) -> Result<SubscribeClaims, TokenError> {
    verifier().verify_subscribe(&token(payload), NOW)
}

#[track_caller]
fn accepted(payload: impl AsRef<[u8]>) -> ConnectClaims {
    connect(payload).expect("the token is accepted")
}

const fn invalid<T>(reason: InvalidToken) -> Result<T, TokenError> {
    Err(TokenError::Invalid(reason))
}
