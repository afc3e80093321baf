//! Checks tokens.

use std::fmt;
use std::sync::Arc;

use crate::decode::{RawClaims, Window};
use crate::key::{KeyQuery, KeySource, Loading, RemoteKeys, StaticKeys};
use crate::mapping::Mappings;
use crate::token::Compact;
use crate::{
    ConfigError, ConfigProblem, ConnectClaims, InvalidToken, JwksConfig, JwksFetch, JwksKeys, Key, Pattern,
    SubscribeClaims, TokenError, VerifierConfig,
};

/// Checks tokens. Made once, shared, never changed: new keys make a new verifier.
pub struct Verifier {
    keys: Arc<dyn KeySource>,
    audience: Option<Rule>,
    issuer: Option<Rule>,
    user_id_claim: Option<Box<str>>,
    meta: Mappings,
    labels: Mappings,
    skip_signature: bool,
    max_token_length: usize,
}

/// What a claim must be.
#[derive(Debug)]
enum Rule {
    Exactly(Box<str>),
    Matches(Pattern),
}

impl Rule {
    fn allows(&self, value: &str) -> bool {
        match self {
            Self::Exactly(text) => **text == *value,
            Self::Matches(pattern) => pattern.is_match(value),
        }
    }
}

impl Verifier {
    /// A verifier with the keys of its configuration.
    ///
    /// # Errors
    ///
    /// Options that exclude each other or cannot be read.
    pub fn new(config: VerifierConfig) -> Result<Self, ConfigError> {
        let keys = Arc::new(StaticKeys::new(&config)?);
        Self::with_keys(config, keys)
    }

    /// A verifier with keys from key sets; those of the configuration are ignored (KEY-05). Wait for
    /// [`load_keys`](Self::load_keys) before each check.
    ///
    /// # Errors
    ///
    /// Options that exclude each other or cannot be read; addresses that a token could turn elsewhere.
    pub fn with_jwks(
        config: VerifierConfig,
        jwks: JwksConfig,
        fetch: Arc<dyn JwksFetch>,
    ) -> Result<Self, ConfigError> {
        let keys = Arc::new(JwksKeys::new(jwks, &config, fetch)?);
        Self::with_keys(config, keys)
    }

    /// A verifier with keys from elsewhere; those of the configuration are ignored.
    ///
    /// # Errors
    ///
    /// Options that exclude each other or cannot be read.
    pub fn with_keys(config: VerifierConfig, keys: Arc<dyn KeySource>) -> Result<Self, ConfigError> {
        let claim = config.user_id_claim;
        if !claim.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            return Err(ConfigError { option: "user_id_claim".into(), problem: ConfigProblem::ClaimName });
        }
        Ok(Self {
            keys,
            meta: Mappings::new("meta_from_claim", &config.meta_from_claim)?,
            labels: Mappings::new("labels_from_claim", &config.labels_from_claim)?,
            audience: rule(config.audience, &config.audience_regex, ["audience", "audience_regex"])?,
            issuer: rule(config.issuer, &config.issuer_regex, ["issuer", "issuer_regex"])?,
            user_id_claim: (!claim.is_empty()).then(|| claim.into()),
            skip_signature: config.insecure_skip_signature_verify,
            max_token_length: config.max_token_length,
        })
    }

    /// Checks a connection token and says what it claims (AUTH-01..11).
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] for a genuine token whose time is over or has not come, [`TokenError::Invalid`] for
    /// any other; [`TokenError::KeysUnavailable`] where keys cannot be fetched. Any text is a legal argument.
    pub fn verify_connect(&self, token: &str, now_unix_seconds: i64) -> Result<ConnectClaims, TokenError> {
        let compact = self.authenticate(token, now_unix_seconds)?;
        let raw = self.read(&compact)?;
        raw.check_no_channel()?;
        let window = self.admit(&raw, now_unix_seconds)?;
        let mut claims = raw.connect_claims(window)?;
        let (meta, labels) = self.mappings(&compact, now_unix_seconds)?;
        claims.meta = meta.extend_meta(claims.meta, &compact.payload)?;
        labels.extend_labels(&mut claims.labels, &compact.payload)?;
        Ok(claims)
    }

    /// Checks a subscription token and says what it claims (SUBT-10..13). Whether user, channel and client are
    /// those of the request is for the caller to compare.
    ///
    /// # Errors
    ///
    /// As [`verify_connect`](Self::verify_connect).
    pub fn verify_subscribe(
        &self,
        token: &str,
        now_unix_seconds: i64,
    ) -> Result<SubscribeClaims, TokenError> {
        let compact = self.authenticate(token, now_unix_seconds)?;
        let raw = self.read(&compact)?;
        let window = self.admit(&raw, now_unix_seconds)?;
        Ok(raw.subscribe_claims(window)?)
    }

    /// What to wait for before checking this token: keys that are fetched. `None` where they are at hand, or
    /// waiting would not help. Whatever comes of it, the check says so.
    ///
    /// ```
    /// # async fn check(verifier: tourbillon_auth::Verifier, token: &str, now: i64) {
    /// if let Some(loading) = verifier.load_keys(token, now) {
    ///     loading.await;
    /// }
    /// let claims = verifier.verify_connect(token, now);
    /// # }
    /// ```
    #[must_use]
    pub fn load_keys(&self, token: &str, now_unix_seconds: i64) -> Option<Loading> {
        let remote = self.keys.remote().filter(|_| !self.skip_signature)?;
        let compact = self.take_apart(token).ok()?;
        self.query(&compact, now_unix_seconds, |query| Ok(remote.load(query))).ok()?
    }

    /// Goes on with the keys that another verifier has fetched, as far as they are from the same addresses (KEY-09).
    pub fn take_over(&self, old: &Self) {
        let sets = |verifier: &Self| verifier.keys.remote().and_then(RemoteKeys::key_sets).cloned();
        if let (Some(own), Some(old)) = (sets(self), sets(old)) {
            own.take_over(&old);
        }
    }

    /// The key sets that it has keys from, if it has. For who watches over their age.
    #[must_use]
    pub fn key_sets(&self) -> Option<&JwksKeys> {
        self.keys.remote().and_then(RemoteKeys::key_sets)
    }

    fn take_apart<'a>(&self, token: &'a str) -> Result<Compact<'a>, InvalidToken> {
        if token.len() > self.max_token_length {
            return Err(InvalidToken::TooLong);
        }
        Compact::parse(token)
    }

    /// Asks for keys with what a token says about itself.
    fn query<R>(
        &self,
        compact: &Compact<'_>,
        now: i64,
        ask: impl FnOnce(&KeyQuery<'_>) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        let header = compact.header()?;
        let mut query = KeyQuery::new(header.algorithm()?, header.key_id(), now);
        if self.keys.remote().is_none() {
            return ask(&query);
        }
        let raw = self.read(compact)?;
        let (issuer, audience) = (raw.issuer()?, raw.audience()?);
        query.issued_at = raw.issued_at()?;
        query.issuer = issuer.as_deref();
        query.audience = &audience;
        ask(&query)
    }

    /// Takes a token apart and checks who signed it.
    fn authenticate<'a>(&self, token: &'a str, now: i64) -> Result<Compact<'a>, TokenError> {
        let compact = self.take_apart(token)?;
        if self.skip_signature {
            compact.header()?;
            return Ok(compact);
        }
        self.query(&compact, now, |query| {
            let candidates = self.keys.candidates(query)?;
            if candidates.is_empty() {
                return Err(InvalidToken::NoKey.into());
            }
            let signed = |key: &Key| key.verify(query.algorithm, compact.message, &compact.signature);
            if candidates.iter().any(signed) { Ok(()) } else { Err(InvalidToken::Signature.into()) }
        })?;
        Ok(compact)
    }

    /// What a token's claims are turned into: as whoever has its keys says, else as all have it. Meta of a provider is
    /// its own affair, labels are taken from all where it names none (PRO-46).
    fn mappings(&self, compact: &Compact<'_>, now: i64) -> Result<(&Mappings, &Mappings), TokenError> {
        let sets = self.keys.remote().and_then(RemoteKeys::key_sets).filter(|sets| sets.is_for_issuers());
        let Some(sets) = sets else { return Ok((&self.meta, &self.labels)) };
        self.query(compact, now, |query| {
            let (meta, labels) = sets.mappings(query)?;
            Ok((meta, if labels.is_empty() { &self.labels } else { labels }))
        })
    }

    fn read<'a>(&self, compact: &'a Compact<'_>) -> Result<RawClaims<'a>, InvalidToken> {
        RawClaims::parse(&compact.payload, self.user_id_claim.as_deref())
    }

    /// Checks audience, issuer and time.
    fn admit(&self, raw: &RawClaims<'_>, now: i64) -> Result<Window, TokenError> {
        let audience = raw.audience()?;
        if let Some(rule) = &self.audience
            && !audience.iter().any(|one| rule.allows(one))
        {
            return Err(InvalidToken::Audience.into());
        }
        let issuer = raw.issuer()?;
        if let Some(rule) = &self.issuer
            && !rule.allows(issuer.as_deref().unwrap_or_default())
        {
            return Err(InvalidToken::Issuer.into());
        }
        let window = raw.window()?;
        if window.contains(now) { Ok(window) } else { Err(TokenError::Expired) }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys)
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .field("user_id_claim", &self.user_id_claim)
            .field("skip_signature", &self.skip_signature)
            .finish_non_exhaustive()
    }
}

fn rule(exact: String, regex: &str, options: [&'static str; 2]) -> Result<Option<Rule>, ConfigError> {
    let [exact_option, regex_option] = options;
    match (exact.is_empty(), regex.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(Rule::Exactly(exact.into()))),
        (true, false) => match Pattern::new(regex) {
            Ok(pattern) => Ok(Some(Rule::Matches(pattern))),
            Err(error) => Err(ConfigError { option: regex_option.into(), problem: error.into() }),
        },
        (false, false) => {
            Err(ConfigError { option: exact_option.into(), problem: ConfigProblem::Excludes(regex_option) })
        }
    }
}
