//! What a verifier is made of.

use crate::{PatternError, Secret};

/// What a [`Verifier`](crate::Verifier) is made of: the options of `client.token` and
/// `client.subscription_token`, under their names. Empty texts mean "not set", as in Centrifugo.
///
/// Without any key every token is invalid.
#[derive(Clone, Debug)]
pub struct VerifierConfig {
    /// The key of HS256, HS384 and HS512 (KEY-01).
    pub hmac_secret_key: Secret,
    /// The key before the current one, accepted besides it while keys are exchanged (KEY-02).
    pub hmac_previous_secret_key: Secret,
    /// The last second, since 1970 UTC, at which the previous key is accepted; 0 or less for no end (KEY-02).
    pub hmac_previous_secret_key_valid_until: i64,
    /// What `aud` must contain (AUTH-04).
    pub audience: String,
    /// What one element of `aud` must match, unanchored (AUTH-04). Excludes `audience`.
    pub audience_regex: String,
    /// What `iss` must be (AUTH-05).
    pub issuer: String,
    /// What `iss` must match, unanchored (AUTH-05). Excludes `issuer`.
    pub issuer_regex: String,
    /// The claim that names the user instead of `sub` (AUTH-02): letters and underscores.
    pub user_id_claim: String,
    /// Whether signatures go unchecked (MODE-04): for development only.
    pub insecure_skip_signature_verify: bool,
    /// The longest token, in bytes. Default 65,536.
    pub max_token_length: usize,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            hmac_secret_key: Secret::default(),
            hmac_previous_secret_key: Secret::default(),
            hmac_previous_secret_key_valid_until: 0,
            audience: String::new(),
            audience_regex: String::new(),
            issuer: String::new(),
            issuer_regex: String::new(),
            user_id_claim: String::new(),
            insecure_skip_signature_verify: false,
            max_token_length: 65_536,
        }
    }
}

/// An option that cannot be used. The caller knows where the options stand and puts that before `option`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {problem}")]
pub struct ConfigError {
    /// The name of the option, relative to `client.token` or `client.subscription_token`.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: ConfigProblem,
}

/// What is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// Two options that exclude each other are set.
    #[error("cannot be used together with `{0}`")]
    Excludes(&'static str),
    /// A claim's name has other characters than letters and underscores.
    #[error("must match ^[a-zA-Z_]+$")]
    ClaimName,
    /// A regular expression does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}
