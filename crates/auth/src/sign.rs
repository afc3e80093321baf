//! Makes tokens: for tools, tests and development servers.

use std::collections::BTreeMap;
use std::fmt;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::value::{RawValue, to_raw_value};
use tourbillon_types::Payload;

use crate::Secret;

/// Signs tokens with HS256 (CLI-08, CLI-09).
#[derive(Clone)]
pub struct Signer {
    key: EncodingKey,
    user_id_claim: Option<String>,
}

/// What a new connection token is to claim.
#[derive(Clone, Debug, Default)]
pub struct ConnectToken {
    /// Who connects; empty for the anonymous user.
    pub user: String,
    /// When the token was issued, seconds since 1970 UTC.
    pub issued_at: Option<i64>,
    /// When it expires, seconds since 1970 UTC; `None` for never.
    pub expires_at: Option<i64>,
    /// Further claims, such as `info` or `subs`, as JSON. They do not replace those above.
    pub more: Vec<(String, Payload)>,
}

/// What a new subscription token is to claim.
#[derive(Clone, Debug, Default)]
pub struct SubscribeToken {
    /// Who may subscribe; empty for the anonymous user.
    pub user: String,
    /// To which channel.
    pub channel: String,
    /// When the token was issued, seconds since 1970 UTC.
    pub issued_at: Option<i64>,
    /// When it expires, seconds since 1970 UTC; `None` for never.
    pub expires_at: Option<i64>,
    /// Further claims, such as `info` or `override`, as JSON. They do not replace those above.
    pub more: Vec<(String, Payload)>,
}

/// A token could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A further claim is not JSON.
    #[error("a claim is not JSON")]
    NotJson,
    /// The cryptographic library failed.
    #[error("the token could not be signed")]
    Failed,
}

/// Claims by name, as JSON.
type Claims = BTreeMap<String, Box<RawValue>>;

impl Signer {
    /// A signer with an HMAC key.
    #[must_use]
    pub fn hs256(secret: &Secret) -> Self {
        Self { key: EncodingKey::from_secret(secret.expose().as_bytes()), user_id_claim: None }
    }

    /// Names the user in this claim too (AUTH-02). Empty changes nothing.
    #[must_use]
    pub fn with_user_id_claim(mut self, claim: &str) -> Self {
        self.user_id_claim = (!claim.is_empty()).then(|| claim.to_owned());
        self
    }

    /// Makes a connection token.
    ///
    /// # Errors
    ///
    /// A further claim that is not JSON, or a failure of the cryptographic library.
    pub fn sign_connect(&self, token: &ConnectToken) -> Result<String, SignError> {
        let ConnectToken { user, issued_at, expires_at, more } = token;
        self.sign(&self.claims(more, user, *issued_at, *expires_at)?)
    }

    /// Makes a subscription token.
    ///
    /// # Errors
    ///
    /// A further claim that is not JSON, or a failure of the cryptographic library.
    pub fn sign_subscribe(&self, token: &SubscribeToken) -> Result<String, SignError> {
        let SubscribeToken { user, channel, issued_at, expires_at, more } = token;
        let mut claims = self.claims(more, user, *issued_at, *expires_at)?;
        claims.insert("channel".to_owned(), json(channel)?);
        self.sign(&claims)
    }

    /// Makes a token of claims as they are. For fuzzing, which wants them wrong.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn sign_json(&self, claims: &[u8]) -> Result<String, SignError> {
        let claims: Box<RawValue> = serde_json::from_slice(claims).map_err(|_| SignError::NotJson)?;
        let header = Header::new(jsonwebtoken::Algorithm::HS256);
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| SignError::Failed)
    }

    fn claims(
        &self,
        more: &[(String, Payload)],
        user: &str,
        issued_at: Option<i64>,
        expires_at: Option<i64>,
    ) -> Result<Claims, SignError> {
        let mut claims = Claims::new();
        for (name, value) in more {
            let value = serde_json::from_slice(value.as_ref()).map_err(|_| SignError::NotJson)?;
            claims.insert(name.clone(), value);
        }
        claims.insert("sub".to_owned(), json(user)?);
        if let Some(claim) = &self.user_id_claim {
            claims.insert(claim.clone(), json(user)?);
        }
        for (name, time) in [("iat", issued_at), ("exp", expires_at)] {
            if let Some(time) = time {
                claims.insert(name.to_owned(), json(&time)?);
            }
        }
        Ok(claims)
    }

    fn sign(&self, claims: &Claims) -> Result<String, SignError> {
        let header = Header::new(jsonwebtoken::Algorithm::HS256);
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_| SignError::Failed)
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, SignError> {
    to_raw_value(value).map_err(|_| SignError::NotJson)
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("user_id_claim", &self.user_id_claim).finish_non_exhaustive()
    }
}
