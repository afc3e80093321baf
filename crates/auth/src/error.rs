//! Why a token is refused. No error carries a part of the token or of a key.

use crate::FetchError;

/// Why a token is refused.
///
/// What a client is told depends on the place, not on the reason within [`Invalid`](Self::Invalid): HID-52.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is genuine but its time is over, or has not come: `exp` is past or `nbf` is in the future.
    #[error("token expired")]
    Expired,
    /// The token is not genuine, or not one for this purpose.
    #[error("invalid token: {0}")]
    Invalid(#[from] InvalidToken),
    /// Whether the token is genuine cannot be said: its keys could not be fetched. Not the client's fault, who may
    /// try again.
    #[error("no keys: {0}")]
    KeysUnavailable(#[from] FetchError),
}

/// What is wrong with an invalid token. For operators; clients are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It is longer than [`VerifierConfig::max_token_length`](crate::VerifierConfig::max_token_length).
    #[error("longer than allowed")]
    TooLong,
    /// It is not three parts of unpadded base64url joined by dots.
    #[error("not a signed JWT in compact form")]
    Malformed,
    /// Its header is not a JSON object with a text `alg`.
    #[error("unreadable header")]
    Header,
    /// Its header demands an extension; none is supported (RFC 7515 section 4.1.11).
    #[error("critical header parameters are not supported")]
    CriticalHeader,
    /// Its algorithm is unknown, or `none`.
    #[error("unsupported algorithm")]
    UnsupportedAlgorithm,
    /// There is no key for its algorithm or key identifier.
    #[error("no key for this algorithm or key id")]
    NoKey,
    /// Its header names no key, but its keys come from a set (KEY-05).
    #[error("the header needs `kid`, since keys come from a key set")]
    NoKeyId,
    /// What it says of issuer or audience leads to no key set.
    #[error("no key set for this issuer and audience")]
    NoKeySet,
    /// No key signed it.
    #[error("wrong signature")]
    Signature,
    /// Its claims are not a JSON object.
    #[error("the claims are not a JSON object")]
    NotAnObject,
    /// A claim has the wrong type or form.
    #[error("claim `{0}` has the wrong form")]
    Claim(&'static str),
    /// A claim appears twice, so that two readers could read two things.
    #[error("claim `{0}` appears twice")]
    Repeated(&'static str),
    /// It is not meant for the configured audience (AUTH-04).
    #[error("audience does not match")]
    Audience,
    /// It is not from the configured issuer (AUTH-05).
    #[error("issuer does not match")]
    Issuer,
    /// It is a subscription token used to connect (AUTH-11, HID-51).
    #[error("a connection token must not have the claim `channel`")]
    ChannelInConnectionToken,
    /// It is used to subscribe but names no channel (SUBT-10).
    #[error("a subscription token needs the claim `channel`")]
    NoChannel,
}
