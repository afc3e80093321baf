//! What a verifier is made of.

use std::borrow::Cow;

use crate::key::KeyError;
use crate::{ClaimMapping, PatternError, Secret};

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
    /// The key of RS256, RS384, RS512, PS256, PS384 and PS512: a public key or certificate in PEM form (KEY-03).
    pub rsa_public_key: String,
    /// The key of ES256, ES384 or ES512, as its curve has it: a public key or certificate in PEM form (KEY-04).
    pub ecdsa_public_key: String,
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
    /// Claims of connection tokens that get into the meta object (PRO-45).
    pub meta_from_claim: Vec<ClaimMapping>,
    /// Claims of connection tokens that become labels (PRO-44).
    pub labels_from_claim: Vec<ClaimMapping>,
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
            rsa_public_key: String::new(),
            ecdsa_public_key: String::new(),
            audience: String::new(),
            audience_regex: String::new(),
            issuer: String::new(),
            issuer_regex: String::new(),
            user_id_claim: String::new(),
            meta_from_claim: Vec::new(),
            labels_from_claim: Vec::new(),
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
    pub option: Cow<'static, str>,
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
    /// A text is no key of the kind that is wanted.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An address of a key set that cannot be one.
    #[error("not an http or https address of a key set")]
    Address,
    /// An address with a user or password in it, which would get into logs of whoever is on the way.
    #[error("an address of a key set must not hold a user or password")]
    Credentials,
    /// An address with a placeholder that no regular expression fills.
    #[error("the placeholder `{{{{{0}}}}}` is no named group of `issuer_regex` or `audience_regex`")]
    UnknownPlaceholder(String),
    /// What fills a placeholder is not an alternation of fixed texts, so that a token could name the place of its
    /// own key (KEY-07).
    #[error(
        "the group `{group}` of `{regex}` fills a placeholder, so it must list fixed texts, as in (?P<{group}>one|two)"
    )]
    OpenPlaceholder {
        /// The group.
        group: String,
        /// The option with the regular expression.
        regex: &'static str,
    },
    /// A regular expression has classes of characters, although addresses are made with its groups (KEY-07).
    #[error("character classes are not allowed where groups fill placeholders of an address")]
    CharacterClass,
    /// The name that a claim gets has other characters than allowed.
    #[error("key {0:?} must match ^[A-Za-z_][A-Za-z0-9_]*$")]
    MappingKey(String),
    /// Two claims get the same name.
    #[error("key {0:?} is there twice")]
    MappingTwice(String),
    /// What leads to no claim.
    #[error("value {0:?} must be names joined by dots; one of @#[]{{}}*?!| needs a backslash before it")]
    MappingPath(String),
    /// Something that must be there is not.
    #[error("must not be empty")]
    Empty,
    /// A regular expression does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}
