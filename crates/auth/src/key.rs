//! Keys, and where they come from.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use crate::{Algorithm, Secret, VerifierConfig};

/// A key that signatures are checked with. It serves the algorithms of its kind only, whatever a token says.
#[derive(Clone)]
pub struct Key(Kind);

#[derive(Clone)]
enum Kind {
    Hmac(DecodingKey),
}

impl Key {
    /// A secret for HS256, HS384 and HS512. `None` for the empty secret, which anybody could sign with.
    #[must_use]
    pub fn hmac(secret: &Secret) -> Option<Self> {
        (!secret.is_empty()).then(|| Self(Kind::Hmac(DecodingKey::from_secret(secret.expose().as_bytes()))))
    }

    /// Whether the key may be used with an algorithm.
    #[must_use]
    pub const fn serves(&self, algorithm: Algorithm) -> bool {
        match (&self.0, algorithm) {
            (Kind::Hmac(_), Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512) => true,
        }
    }

    /// Whether this key made the signature, by an algorithm that it serves. HMACs are compared in constant time.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.serves(algorithm) {
            return false;
        }
        let Kind::Hmac(key) = &self.0;
        // Named rather than looked up, so that another crate's features or provider change nothing here.
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm.to_jsonwebtoken(), key)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Hmac(_) => f.write_str("Key(HMAC)"),
        }
    }
}

/// Which keys a token asks for. Nothing in it is trustworthy: the signature is not checked yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KeyQuery<'a> {
    /// The algorithm that the header names.
    pub algorithm: Algorithm,
    /// The key identifier that the header names (`kid`).
    pub key_id: Option<&'a str>,
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl<'a> KeyQuery<'a> {
    /// A query.
    #[must_use]
    pub const fn new(algorithm: Algorithm, key_id: Option<&'a str>, unix_seconds: i64) -> Self {
        Self { algorithm, key_id, unix_seconds }
    }
}

/// Where keys come from.
///
/// A source answers at once, from memory. One that fetches keys answers from its cache and fetches beside.
/// It should return only keys that [serve](Key::serves) the algorithm; others are ignored. A source that returns
/// a key for an identifier that the key does not have lets its holder sign in another's name.
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// The keys that may have signed such a token, the likeliest first.
    fn candidates(&self, query: &KeyQuery<'_>) -> Vec<Arc<Key>>;
}

/// The keys of a configuration. They have no identifiers: `kid` is ignored.
#[derive(Clone, Debug, Default)]
pub struct StaticKeys {
    hmac: Option<Arc<Key>>,
    previous_hmac: Option<Arc<Key>>,
    /// 0 or less for no end.
    previous_valid_until: i64,
}

impl StaticKeys {
    /// The keys of a configuration.
    #[must_use]
    pub fn new(config: &VerifierConfig) -> Self {
        Self {
            hmac: Key::hmac(&config.hmac_secret_key).map(Arc::new),
            previous_hmac: Key::hmac(&config.hmac_previous_secret_key).map(Arc::new),
            previous_valid_until: config.hmac_previous_secret_key_valid_until,
        }
    }
}

impl KeySource for StaticKeys {
    fn candidates(&self, query: &KeyQuery<'_>) -> Vec<Arc<Key>> {
        let previous_is_valid =
            self.previous_valid_until <= 0 || query.unix_seconds <= self.previous_valid_until;
        let previous = self.previous_hmac.as_ref().filter(|_| previous_is_valid);
        self.hmac.iter().chain(previous).filter(|key| key.serves(query.algorithm)).cloned().collect()
    }
}
