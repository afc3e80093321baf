//! One key set.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::FetchError;
use crate::{Algorithm, Key};

/// Some write padding, which has no place here (RFC 7515 section 2).
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// More keys than anybody has; each costs memory.
const MAX_KEYS: usize = 256;

/// The keys that can be used.
pub(super) struct KeySet(Vec<Named>);

struct Named {
    id: String,
    /// The one algorithm that the set allows, if it says so.
    algorithm: Option<Algorithm>,
    key: Key,
}

impl Named {
    fn serves(&self, id: &str, algorithm: Algorithm) -> bool {
        self.id == id
            && self.key.serves(algorithm)
            && self.algorithm.is_none_or(|declared| declared == algorithm)
    }
}

#[derive(Deserialize)]
struct RawSet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. A key that is not for signatures, has no name, or is of a kind that is not known here is passed
    /// over, as RFC 7517 section 5 has it: one odd key does not take the others away.
    pub(super) fn parse(json: &[u8]) -> Result<Self, FetchError> {
        let set: RawSet<'_> = serde_json::from_slice(json).map_err(|_| FetchError::NotASet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(FetchError::TooLarge);
        }
        let keys: Vec<Named> = set.keys.into_iter().filter_map(|key| named(key.get())).collect();
        if keys.is_empty() { Err(FetchError::NoKeys) } else { Ok(Self(keys)) }
    }

    pub(super) fn has(&self, id: &str, algorithm: Algorithm) -> bool {
        self.0.iter().any(|named| named.serves(id, algorithm))
    }

    pub(super) fn find(&self, id: &str, algorithm: Algorithm) -> Vec<Key> {
        self.0.iter().filter(|named| named.serves(id, algorithm)).map(|named| named.key.clone()).collect()
    }
}

fn named(json: &str) -> Option<Named> {
    let raw: RawKey = serde_json::from_str(json).ok()?;
    let for_signatures = raw.usage.as_deref().is_none_or(|usage| usage == "sig")
        && raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !for_signatures || raw.kid.is_empty() {
        return None;
    }
    // A key for an algorithm that is not known here is good for none.
    let algorithm = match raw.alg.as_deref() {
        None | Some("") => None,
        Some(name) => Some(Algorithm::from_name(name)?),
    };
    let key = key(&raw)?;
    if algorithm.is_some_and(|algorithm| !key.serves(algorithm)) {
        return None;
    }
    Some(Named { id: raw.kid, algorithm, key })
}

fn key(raw: &RawKey) -> Option<Key> {
    let bytes = |text: &Option<String>| BASE64URL.decode(text.as_deref()?).ok();
    match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", _) => Key::rsa_components(&bytes(&raw.n)?, &bytes(&raw.e)?).ok(),
        ("EC", Some(curve)) => {
            let (algorithm, size) = match curve {
                "P-256" => (Algorithm::Es256, 32_usize),
                "P-384" => (Algorithm::Es384, 48),
                "P-521" => (Algorithm::Es512, 66),
                _ => return None,
            };
            let mut point = vec![4];
            for number in [bytes(&raw.x)?, bytes(&raw.y)?] {
                // Some leave zeros in front away, against RFC 7518 section 6.2.1.2.
                let missing = size.checked_sub(number.len()).filter(|missing| *missing < size)?;
                point.resize(point.len() + missing, 0);
                point.extend(number);
            }
            Key::point(algorithm, &point).ok()
        }
        ("OKP", Some("Ed25519")) => {
            let point = bytes(&raw.x)?;
            // Anything longer would be read as another form.
            (point.len() == 32).then(|| Key::point(Algorithm::EdDsa, &point).ok()).flatten()
        }
        _ => None,
    }
}
