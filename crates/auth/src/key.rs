//! Keys, and where they come from.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, hmac};

use crate::jwks::JwksKeys;
use crate::{Algorithm, ConfigError, ConfigProblem, Family, Secret, TokenError, VerifierConfig, pem};

/// A key that signatures are checked with. It serves the algorithms of its kind only, whatever a token says: a
/// public key is never a secret for HMACs, and a key on a curve serves the one algorithm of that curve.
///
/// Everything that can be computed before a token comes is computed when the key is made. Clones share it.
#[derive(Clone)]
pub struct Key(Arc<Kind>);

enum Kind {
    Hmac(Box<[(Algorithm, hmac::Key); 3]>),
    Public { family: Family, parsed: Vec<(Algorithm, ParsedPublicKey)> },
}

/// Why a text is no key that can be used. Carries nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not PEM.
    #[error("not a key in PEM form, which begins with -----BEGIN PUBLIC KEY-----")]
    NotPem,
    /// The text is a private key.
    #[error("a private key, where a public key is wanted")]
    Private,
    /// The text is something else in PEM form.
    #[error("neither a public key nor a certificate")]
    Label,
    /// What the text holds is no key, or of a kind that is not supported.
    #[error("not a key of a supported kind")]
    Malformed,
    /// It is a good key, of another kind than is wanted here.
    #[error("a key of another kind")]
    Kind,
    /// An RSA key that is too easy to break, or too expensive to use.
    #[error("RSA keys must have 2048 to 8192 bits")]
    RsaSize,
}

const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
];

/// Signatures of these are `r` and `s` side by side (RFC 7518 section 3.4), not in DER.
const CURVES: [(Algorithm, &dyn VerificationAlgorithm); 4] = [
    (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED),
    (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED),
    (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED),
    (Algorithm::EdDsa, &ED25519),
];

impl Key {
    /// A secret for HS256, HS384 and HS512. `None` for the empty secret, which anybody could sign with.
    #[must_use]
    pub fn hmac(secret: &Secret) -> Option<Self> {
        let secret = secret.expose().as_bytes();
        let key = |hash| hmac::Key::new(hash, secret);
        (!secret.is_empty()).then(|| {
            Self(Arc::new(Kind::Hmac(Box::new([
                (Algorithm::Hs256, key(hmac::HMAC_SHA256)),
                (Algorithm::Hs384, key(hmac::HMAC_SHA384)),
                (Algorithm::Hs512, key(hmac::HMAC_SHA512)),
            ]))))
        })
    }

    /// A public key or the one in a certificate, in PEM form: RSA, P-256, P-384, P-521 or Ed25519 (KEY-03, KEY-04).
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem::public_key(pem)?;
        for (algorithm, parameters) in CURVES {
            if let Ok(parsed) = ParsedPublicKey::new(parameters, &der) {
                return Ok(Self::curve(algorithm, parsed));
            }
        }
        let (_, first) = RSA[0];
        let key = ParsedPublicKey::new(first, &der).map_err(|_| KeyError::Malformed)?;
        Self::rsa(&key)
    }

    /// An RSA key of its modulus and exponent, big-endian (RFC 7518 section 6.3.1).
    pub(crate) fn rsa_components(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (_, first) = RSA[0];
        let key = RsaPublicKeyComponents { n: trim(n), e: trim(e) }
            .to_parsed_public_key(first)
            .map_err(|_| KeyError::Malformed)?;
        Self::rsa(&key)
    }

    fn rsa(key: &ParsedPublicKey) -> Result<Self, KeyError> {
        // In one form, whichever it was written in.
        let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::Malformed)?;
        let der = der.as_ref();
        let key = PublicEncryptingKey::from_der(der).map_err(|_| KeyError::RsaSize)?;
        if !(2048..=8192).contains(&key.key_size_bits()) {
            return Err(KeyError::RsaSize);
        }
        let parsed = RSA.iter().map(|(algorithm, parameters)| {
            ParsedPublicKey::new(*parameters, der).map(|key| (*algorithm, key))
        });
        let parsed = parsed.collect::<Result<_, _>>().map_err(|_| KeyError::Malformed)?;
        Ok(Self(Arc::new(Kind::Public { family: Family::Rsa, parsed })))
    }

    /// The key of an algorithm on a curve: a point in its uncompressed form, or the 32 bytes of Ed25519.
    pub(crate) fn point(algorithm: Algorithm, point: &[u8]) -> Result<Self, KeyError> {
        let curve = CURVES.iter().find(|(curve, _)| *curve == algorithm);
        let (_, parameters) = curve.ok_or(KeyError::Kind)?;
        let parsed = ParsedPublicKey::new(*parameters, point).map_err(|_| KeyError::Malformed)?;
        Ok(Self::curve(algorithm, parsed))
    }

    fn curve(algorithm: Algorithm, parsed: ParsedPublicKey) -> Self {
        Self(Arc::new(Kind::Public { family: algorithm.family(), parsed: vec![(algorithm, parsed)] }))
    }

    /// The kind of key.
    #[must_use]
    pub fn family(&self) -> Family {
        match &*self.0 {
            Kind::Hmac(_) => Family::Hmac,
            Kind::Public { family, .. } => *family,
        }
    }

    /// Whether the key may be used with an algorithm.
    #[must_use]
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        match &*self.0 {
            Kind::Hmac(_) => algorithm.family() == Family::Hmac,
            Kind::Public { parsed, .. } => parsed.iter().any(|(served, _)| *served == algorithm),
        }
    }

    /// Whether this key made the signature, by an algorithm that it serves. HMACs are compared in constant time.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &*self.0 {
            Kind::Hmac(keys) => keys.iter().any(|(served, key)| {
                *served == algorithm
                    && constant_time::verify_slices_are_equal(hmac::sign(key, message).as_ref(), signature)
                        .is_ok()
            }),
            Kind::Public { parsed, .. } => parsed
                .iter()
                .any(|(served, key)| *served == algorithm && key.verify_sig(message, signature).is_ok()),
        }
    }
}

/// Numbers in key sets may have leading zeros, against the rules.
fn trim(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.family())
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
    /// Who the claims say issued it (`iss`), for a source that [asks](KeySource::remote).
    pub issuer: Option<&'a str>,
    /// Whom the claims say it is for (`aud`), for a source that [asks](KeySource::remote).
    pub audience: &'a [Cow<'a, str>],
    /// When the claims say it was issued (`iat`), seconds since 1970 UTC, for a source that [asks](KeySource::remote).
    pub issued_at: Option<i64>,
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl<'a> KeyQuery<'a> {
    /// A query that tells nothing of the claims.
    #[must_use]
    pub const fn new(algorithm: Algorithm, key_id: Option<&'a str>, unix_seconds: i64) -> Self {
        Self { algorithm, key_id, issuer: None, audience: &[], issued_at: None, unix_seconds }
    }
}

/// Keys on their way: when it is done, the source answers better, or knows that it cannot.
///
/// Nothing moves while nobody polls it. Dropping it is harmless; the next who asks goes on where it stopped.
pub type Loading = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where keys come from.
///
/// A source answers at once, from memory. One that fetches keys says so by [`remote`](Self::remote).
/// It should return only keys that [serve](Key::serves) the algorithm; others are ignored. A source that returns
/// a key for an identifier that the key does not have lets its holder sign in another's name.
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// The keys that may have signed such a token, the likeliest first.
    ///
    /// # Errors
    ///
    /// Why there can be none; an empty list says as much as [`InvalidToken::NoKey`](crate::InvalidToken::NoKey).
    fn candidates(&self, query: &KeyQuery<'_>) -> Result<Vec<Key>, TokenError>;

    /// The source as one that fetches keys, if it does. Issuer and audience of a token are then read before its
    /// signature is checked, since they may say where its keys are.
    fn remote(&self) -> Option<&dyn RemoteKeys> {
        None
    }
}

/// A source that fetches keys.
pub trait RemoteKeys: KeySource {
    /// What to wait for before asking for candidates; `None` where waiting would change nothing.
    fn load(&self, query: &KeyQuery<'_>) -> Option<Loading>;

    /// The key sets that the source holds, if it does, for another to go on with.
    fn key_sets(&self) -> Option<&JwksKeys> {
        None
    }
}

/// The keys of a configuration. They have no identifiers: `kid` is ignored.
#[derive(Clone, Debug, Default)]
pub struct StaticKeys {
    keys: Vec<Key>,
    previous_hmac: Option<Key>,
    /// 0 or less for no end.
    previous_valid_until: i64,
}

impl StaticKeys {
    /// The keys of a configuration.
    ///
    /// # Errors
    ///
    /// A PEM text that is no key of the kind that its option asks for.
    pub fn new(config: &VerifierConfig) -> Result<Self, ConfigError> {
        let public = |option: &'static str, pem: &str, family: Family| {
            if pem.trim().is_empty() {
                return Ok(None);
            }
            let key = Key::from_pem(pem);
            let key = key.and_then(|key| if key.family() == family { Ok(key) } else { Err(KeyError::Kind) });
            key.map(Some)
                .map_err(|error| ConfigError { option: option.into(), problem: ConfigProblem::Key(error) })
        };
        let keys = [
            Key::hmac(&config.hmac_secret_key),
            public("rsa_public_key", &config.rsa_public_key, Family::Rsa)?,
            public("ecdsa_public_key", &config.ecdsa_public_key, Family::Ec)?,
        ];
        Ok(Self {
            keys: keys.into_iter().flatten().collect(),
            previous_hmac: Key::hmac(&config.hmac_previous_secret_key),
            previous_valid_until: config.hmac_previous_secret_key_valid_until,
        })
    }
}

impl KeySource for StaticKeys {
    fn candidates(&self, query: &KeyQuery<'_>) -> Result<Vec<Key>, TokenError> {
        let previous_is_valid =
            self.previous_valid_until <= 0 || query.unix_seconds <= self.previous_valid_until;
        let previous = self.previous_hmac.as_ref().filter(|_| previous_is_valid);
        Ok(self.keys.iter().chain(previous).filter(|key| key.serves(query.algorithm)).cloned().collect())
    }
}
