//! The compact form of a signed token (RFC 7515 section 7.1).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::{Algorithm, InvalidToken};

/// A token taken apart. Nothing in it is trustworthy.
pub(crate) struct Compact<'a> {
    /// What is signed: the first two parts with their dot.
    pub(crate) message: &'a [u8],
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken::Malformed)?;
        // A further dot is no base64url character, so more than three parts fail here.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed);
        Ok(Self {
            message: message.as_bytes(),
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    pub(crate) fn header(&self) -> Result<Header, InvalidToken> {
        // Serde would take a list for the object's values in order.
        if self.header.trim_ascii_start().first() != Some(&b'{') {
            return Err(InvalidToken::Header);
        }
        serde_json::from_slice(&self.header).map_err(|_| InvalidToken::Header)
    }
}

/// What matters of a token's header. Keys and addresses of keys in it (`jwk`, `jku`, `x5c`, `x5u`) are ignored.
#[derive(Deserialize)]
pub(crate) struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "there_is")]
    crit: bool,
}

/// Takes any value, null too.
fn there_is<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Header {
    pub(crate) fn algorithm(&self) -> Result<Algorithm, InvalidToken> {
        if self.crit {
            return Err(InvalidToken::CriticalHeader);
        }
        Algorithm::from_name(&self.alg).ok_or(InvalidToken::UnsupportedAlgorithm)
    }

    pub(crate) fn name(&self) -> &str {
        &self.alg
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

/// What is written in a token. Nothing in it is trustworthy: no signature was checked.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unverified {
    /// The name of the algorithm that it says it was signed by.
    pub algorithm: String,
    /// The key that it says it was signed with.
    pub key_id: Option<String>,
    /// The header as it is written, JSON.
    pub header: Vec<u8>,
    /// The claims as they are written; JSON, unless somebody made something else.
    pub claims: Vec<u8>,
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Takes a token apart without checking anything but its form. For tools that show its holder what is in it.
///
/// # Errors
///
/// It is not a token in compact form, or its header is not one.
pub fn unverified(token: &str) -> Result<Unverified, InvalidToken> {
    let compact = Compact::parse(token)?;
    let header = compact.header()?;
    Ok(Unverified {
        algorithm: header.name().to_owned(),
        key_id: header.key_id().map(str::to_owned),
        header: compact.header,
        claims: compact.payload,
    })
}
