//! Tokens as a decorator.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures_util::future::Either;
use http::{HeaderMap, HeaderName};
use tourbillon_auth::{Capability, Overrides, SubscribeClaims, SubscriptionClaims, TokenError, Verifier};
use tourbillon_node::{
    Client, ClientRights, ConnectDecision, ConnectRequest, Hooks, RefreshDecision, RefreshRequest, Refusal,
    SubRefreshRequest, SubscribeDecision, SubscribeRequest, SubscriptionOptions, TokenMark,
};
use tourbillon_types::{Channel, ClientId, Disconnect, ReplyError, UserId};

use crate::forward::forward;
use crate::ladder::{Asked, Attributes, SubscribeQuery, TokenCheck};
use crate::namespaced::{client_refreshes, settle};
use crate::{Caps, Live, Namespaces, Patterns, Rule, Verdict};

/// How clients say who they are. The options of `client`, under their names.
#[derive(Debug)]
pub struct TokensConfig {
    /// Checks connection tokens: `client.token`.
    pub token: Verifier,
    /// Checks subscription tokens: `client.subscription_token` where it is enabled (KEY-08). `None`: `token` does.
    pub subscription_token: Option<Verifier>,
    /// Clients without a token may connect, without a name (MODE-02).
    pub allow_anonymous_connect_without_token: bool,
    /// Tokens without a user are refused with 3507 (AUTH-01).
    pub disallow_anonymous_connection_tokens: bool,
    /// The header of the HTTP request that names the user of a client without other credentials (MODE-01).
    /// Whatever stands before the server must set or strip it.
    pub user_id_http_header: Option<HeaderName>,
    /// Whether the inner hooks decide about clients without a token, as a connect proxy does (AUTH-13, MODE-05). Those
    /// that they leave [undecided](ConnectDecision::undecided) are clients without credentials.
    pub ask_inner: bool,
    /// Whether the inner hooks decide how long connections go on, as a refresh proxy does: clients do not refresh then,
    /// with a token or without one (LIFE-03).
    pub inner_refreshes: bool,
    /// Users get a channel of their own as they connect (LIFE-10).
    pub personal_channel: Option<PersonalChannel>,
}

/// The channel that every user with a name is subscribed to by the server: the options of
/// `client.subscribe_to_user_personal_channel`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonalChannel {
    /// The channel's namespace; empty for none. It must exist, or nobody with a name gets in.
    pub namespace: String,
    /// A new connection of a user ends the older ones with 3504.
    pub single_connection: bool,
}

impl TokensConfig {
    /// Clients need a token; everything else is off.
    #[must_use]
    pub const fn new(token: Verifier) -> Self {
        Self {
            token,
            subscription_token: None,
            allow_anonymous_connect_without_token: false,
            disallow_anonymous_connection_tokens: false,
            user_id_http_header: None,
            ask_inner: false,
            inner_refreshes: false,
            personal_channel: None,
        }
    }
}

/// Decides who connects, by tokens and what may stand for them, and about subscriptions that come with a token.
/// Leaves the rest to `H`.
#[derive(Clone, Debug)]
pub struct Tokens<H> {
    config: Live<TokensConfig>,
    namespaces: Live<Namespaces>,
    patterns: Patterns,
    inner: H,
}

impl<H> Tokens<H> {
    /// Puts tokens before `inner`. The namespaces are those that `inner` decides by.
    pub fn new(
        config: impl Into<Live<TokensConfig>>,
        namespaces: impl Into<Live<Namespaces>>,
        inner: H,
    ) -> Self {
        Self { config: config.into(), namespaces: namespaces.into(), patterns: Patterns::default(), inner }
    }

    fn refuse(&self, refusal: impl Into<Refusal>, reason: &dyn fmt::Display) -> Refusal {
        self.namespaces.with(|namespaces| namespaces.refuse(refusal, reason))
    }

    /// An expired token ends what it was to prolong (CMD-14; not as HID-53 has it for subscriptions), any other is
    /// a reason to disconnect.
    fn refuse_refresh(&self, client: &Client, error: TokenError) -> Result<RefreshDecision, Refusal> {
        tracing::debug!(client = %client.id, why = %error, "refresh refused");
        match error {
            TokenError::Expired => {
                let mut decision = RefreshDecision::default();
                decision.expired = true;
                Ok(decision)
            }
            TokenError::Invalid(reason) => Err(self.refuse(Disconnect::INVALID_TOKEN, &reason)),
            TokenError::KeysUnavailable(reason) => Err(self.refuse(ReplyError::INTERNAL, &reason)),
        }
    }

    /// Checks a subscription token, with keys that may have to be fetched.
    async fn verify_subscribe(&self, token: &str, unix_seconds: i64) -> Result<SubscribeClaims, TokenError> {
        let loading = self.config.with(|config| config.for_subscriptions().load_keys(token, unix_seconds));
        if let Some(loading) = loading {
            loading.await;
        }
        self.config.with(|config| config.for_subscriptions().verify_subscribe(token, unix_seconds))
    }
}

impl<H: Hooks> Hooks for Tokens<H> {
    #[expect(clippy::manual_async_fn, reason = "the future of an async fn has room for the request twice")]
    fn connect(
        &self,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<ConnectDecision, Refusal>> + Send {
        async move {
            let config = self.config.load();
            let mut decision = if request.token.is_empty() && config.ask_inner {
                let lone = Lone::new(&config, &request);
                let mut decision = self.inner.connect(request).await?;
                let namespaces = self.namespaces.load();
                if decision.undecided {
                    decision = lone.admit(&config, &namespaces)?;
                } else {
                    grant_personal(&config, &namespaces, &mut decision)?;
                }
                decision
            } else {
                if let Some(loading) = config.token.load_keys(&request.token, request.unix_seconds) {
                    loading.await;
                }
                admit(&config, &self.namespaces.load(), &self.patterns, &request)?
            };
            decision.client_side_refresh &= !config.inner_refreshes;
            Ok(decision)
        }
    }

    // Not an async fn: its future would have room for the request and for the one inside.
    fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> impl Future<Output = Result<SubscribeDecision, Refusal>> + Send {
        if request.token.is_empty() {
            return Either::Left(self.inner.subscribe(request));
        }
        Either::Right(async move {
            let asked = Asked::from(&request);
            let SubscribeRequest { client, channel, token, kind, unix_seconds, .. } = request;
            let claims = self.verify_subscribe(&token, unix_seconds).await;
            let token = match &claims {
                Ok(claims) => TokenCheck::compare(claims, &channel, &client.user, client.id.text().as_str()),
                Err(error) => {
                    tracing::debug!(client = %client.id, %channel, why = %error, "subscription token refused");
                    TokenCheck::from(*error)
                }
            };
            let query = SubscribeQuery {
                channel: &channel,
                user: &client.user,
                attributes: Attributes::from(&*client),
                kind,
                token,
            };
            let decision = self.namespaces.with(|namespaces| namespaces.check_subscribe(&query));
            settle(&self.namespaces, "subscribe", decision, &client, &channel)?;
            let mut granted = SubscribeDecision::default();
            granted.client_side_refresh = client_refreshes(&self.namespaces, &channel);
            if let Ok(claims) = claims {
                granted.token = TokenMark::new(claims.token_id.as_deref(), claims.issued_at);
                granted.options = self.namespaces.with(|namespaces| {
                    let attributes = Attributes::from(&*client).with_allow(claims.allow);
                    options(namespaces, &channel, &client.user, attributes, asked, claims.subscription)
                })?;
                granted.options.expire_at = claims.expire_at;
            }
            Ok(granted)
        })
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        if request.token.is_empty() {
            return self.inner.refresh(request).await;
        }
        let config = self.config.load();
        if let Some(loading) = config.token.load_keys(&request.token, request.unix_seconds) {
            loading.await;
        }
        let claims = match config.token.verify_connect(&request.token, request.unix_seconds) {
            Ok(claims) => claims,
            Err(error) => return self.refuse_refresh(&request.client, error),
        };
        if claims.user != request.client.user {
            let why = "the token is for another user";
            tracing::debug!(client = %request.client.id, why, "refresh refused");
            return Err(self.refuse(Disconnect::INVALID_TOKEN, &why));
        }
        let insecure = self.namespaces.with(Namespaces::is_insecure);
        let mut decision = RefreshDecision::until(claims.expire_at.filter(|_| !insecure));
        decision.token = renewed(claims.token_id.as_deref(), claims.issued_at);
        decision.info = (!claims.info.is_empty()).then_some(claims.info);
        let had = request.client.terms.rights().and_then(ClientRights::get::<Caps>).is_some();
        let caps =
            self.namespaces.with(|namespaces| caps(namespaces, &self.patterns, &claims.capabilities))?;
        // A token without capabilities takes away those of the one before.
        decision.rights = caps.or_else(|| had.then(Caps::default)).map(ClientRights::new);
        Ok(decision)
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        if request.token.is_empty() {
            return self.inner.sub_refresh(request).await;
        }
        let SubRefreshRequest { client, channel, token, unix_seconds, .. } = request;
        let claims = match self.verify_subscribe(&token, unix_seconds).await {
            Ok(claims) => claims,
            Err(error) => return self.refuse_refresh(&client, error),
        };
        let check = TokenCheck::compare(&claims, &channel, &client.user, client.id.text().as_str());
        if check != TokenCheck::Genuine {
            tracing::debug!(client = %client.id, %channel, why = ?check, "refresh refused");
            return Err(self.refuse(Disconnect::INVALID_TOKEN, &check.why()));
        }
        let mut decision = RefreshDecision::until(claims.expire_at);
        decision.token = renewed(claims.token_id.as_deref(), claims.issued_at);
        decision.server_tags_filter = claims.subscription.tags_filter;
        decision.info = Some(claims.subscription.info).filter(|info| !info.is_empty());
        decision.allow = Some(claims.allow);
        Ok(decision)
    }

    forward!(inner: history presence publish map_publish map_remove track rpc message cache_empty channel_options command erred stays subscription_stays tick notified welcome answered unsubscribed disconnected);
}

/// What a new token says of itself, which replaces what the last one said, if it says nothing, too.
fn renewed(id: Option<&str>, issued_at: Option<i64>) -> Option<Box<TokenMark>> {
    Some(TokenMark::new(id, issued_at).unwrap_or_default())
}

/// Decides about a connection. The first that applies: token, anonymous or insecure, header (MODE-01..06).
fn admit(
    config: &TokensConfig,
    namespaces: &Namespaces,
    patterns: &Patterns,
    request: &ConnectRequest,
) -> Result<ConnectDecision, Refusal> {
    if request.token.is_empty() {
        return Lone::new(config, request).admit(config, namespaces);
    }
    let mut decision = by_token(config, namespaces, patterns, request)?;
    grant_personal(config, namespaces, &mut decision)?;
    grant_requested(namespaces, &request.channels, &mut decision)?;
    Ok(decision)
}

/// Somebody without a token.
struct Lone {
    client: ClientId,
    /// The user that a header names.
    user: Option<UserId>,
    channels: Vec<Channel>,
}

impl Lone {
    fn new(config: &TokensConfig, request: &ConnectRequest) -> Self {
        let ConnectRequest { client, channels, headers, .. } = request;
        Self { client: *client, user: config.user_of(headers), channels: channels.clone() }
    }

    fn admit(self, config: &TokensConfig, namespaces: &Namespaces) -> Result<ConnectDecision, Refusal> {
        if config.allow_anonymous_connect_without_token || namespaces.is_insecure() {
            let mut decision = ConnectDecision::new(UserId::anonymous());
            grant_personal(config, namespaces, &mut decision)?;
            grant_requested(namespaces, &self.channels, &mut decision)?;
            return Ok(decision);
        }
        if let Some(user) = self.user {
            let mut decision = ConnectDecision::new(user);
            grant_personal(config, namespaces, &mut decision)?;
            return Ok(decision);
        }
        let why = "no credentials";
        tracing::debug!(client = %self.client, "connection refused: {why}");
        Err(namespaces.refuse(Disconnect::BAD_REQUEST, &why))
    }
}

fn by_token(
    config: &TokensConfig,
    namespaces: &Namespaces,
    patterns: &Patterns,
    request: &ConnectRequest,
) -> Result<ConnectDecision, Refusal> {
    let claims = config.token.verify_connect(&request.token, request.unix_seconds).map_err(|error| {
        tracing::debug!(client = %request.client, why = %error, "connection refused");
        match error {
            TokenError::Expired => ReplyError::TOKEN_EXPIRED.into(),
            TokenError::Invalid(reason) => namespaces.refuse(Disconnect::INVALID_TOKEN, &reason),
            // Not the client's fault: it may try again, which 3500 would forbid.
            TokenError::KeysUnavailable(reason) => namespaces.refuse(ReplyError::INTERNAL, &reason),
        }
    })?;
    if claims.user.is_anonymous() && config.disallow_anonymous_connection_tokens {
        let why = "the token names no user";
        tracing::debug!(client = %request.client, "connection refused: {why}");
        return Err(namespaces.refuse(Disconnect::PERMISSION_DENIED, &why));
    }
    let rights = caps(namespaces, patterns, &claims.capabilities)?.map(ClientRights::new);
    let user = claims.user;
    // An unknown channel is not skipped in silence: the application would wait for what cannot come (HID-56).
    let subscribe = |(channel, claims): (Channel, SubscriptionClaims)| {
        let options = options(namespaces, &channel, &user, Attributes::default(), Asked::default(), claims)?;
        Ok((channel, options))
    };
    let subscriptions = claims.subscriptions.into_iter().map(subscribe).collect::<Result<_, ReplyError>>()?;
    let mut decision = ConnectDecision::new(user);
    decision.expire_at = claims.expire_at.filter(|_| !namespaces.is_insecure());
    decision.info = claims.info;
    decision.meta = claims.meta;
    decision.token = TokenMark::new(claims.token_id.as_deref(), claims.issued_at);
    decision.labels = (!claims.labels.is_empty()).then(|| Arc::new(claims.labels));
    decision.rights = rights;
    decision.subscriptions = subscriptions;
    Ok(decision)
}

/// Adds the user's own channel, if there is to be one (LIFE-10). It is as its namespace says, whatever else does.
fn grant_personal(
    config: &TokensConfig,
    namespaces: &Namespaces,
    decision: &mut ConnectDecision,
) -> Result<(), ReplyError> {
    let Some(personal) = config.personal_channel.as_ref().filter(|_| !decision.user.is_anonymous()) else {
        return Ok(());
    };
    let channel = namespaces.personal_channel(&personal.namespace, &decision.user);
    let (asked, token) = (Asked::default(), Overrides::default());
    let attributes = Attributes::default();
    let options = namespaces.subscription_options(&channel, &decision.user, attributes, asked, token)?;
    decision.subscriptions.retain(|(other, _)| *other != channel);
    decision.subscriptions.push((channel, options));
    decision.single_connection = personal.single_connection;
    Ok(())
}

/// The capabilities that a token claims, if it claims any. One that cannot be read is a token that cannot.
fn caps(
    namespaces: &Namespaces,
    patterns: &Patterns,
    claims: &[Capability],
) -> Result<Option<Caps>, Refusal> {
    if claims.is_empty() {
        return Ok(None);
    }
    let caps = Caps::new(claims, patterns);
    caps.map(Some).map_err(|error| {
        tracing::debug!(why = %error, "a token's capabilities cannot be read");
        namespaces.refuse(Disconnect::INVALID_TOKEN, &error)
    })
}

/// Adds the channels that a client asks for as it connects, if it could have subscribed to them by itself and
/// without a token; others are passed over (LIFE-11).
fn grant_requested(
    namespaces: &Namespaces,
    requested: &[Channel],
    decision: &mut ConnectDecision,
) -> Result<(), Refusal> {
    if requested.is_empty() {
        return Ok(());
    }
    let mut granted: HashSet<Channel> =
        decision.subscriptions.iter().map(|(channel, _)| channel.clone()).collect();
    for channel in requested {
        if channel.is_empty() || namespaces.find(channel).is_err() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let attributes = Attributes {
            capabilities: decision.rights.as_ref().and_then(ClientRights::get),
            meta: Some(&decision.meta),
            labels: decision.labels.as_deref(),
            ..Attributes::default()
        };
        let user = &decision.user;
        let query = SubscribeQuery { channel, user, attributes, kind: 0, token: TokenCheck::Absent };
        let checked = namespaces.check_subscribe(&query);
        let asks = checked.deciding().is_some_and(|step| step.rule.asks());
        if checked.is_allowed() && !asks && granted.insert(channel.clone()) {
            let (asked, token) = (Asked::default(), Overrides::default());
            let mut options = namespaces.subscription_options(channel, user, attributes, asked, token)?;
            options.revocable = *checked.verdict() == Verdict::Allowed(Rule::Capabilities);
            decision.subscriptions.push((channel.clone(), options));
        }
    }
    Ok(())
}

impl TokensConfig {
    /// Goes on with the key sets that the verifiers of another configuration have fetched (KEY-09).
    pub fn take_over(&self, old: &Self) {
        self.token.take_over(&old.token);
        if let (Some(own), Some(old)) = (&self.subscription_token, &old.subscription_token) {
            own.take_over(old);
        }
    }

    /// Checks subscription tokens.
    #[must_use]
    pub fn for_subscriptions(&self) -> &Verifier {
        self.subscription_token.as_ref().unwrap_or(&self.token)
    }

    /// The user that a header names: its first value, unless empty or no text.
    fn user_of(&self, headers: &HeaderMap) -> Option<UserId> {
        let value = headers.get(self.user_id_http_header.as_ref()?)?;
        let user = std::str::from_utf8(value.as_bytes()).ok()?;
        (!user.is_empty()).then(|| UserId::from(user))
    }
}

/// How the subscription of a token behaves.
fn options(
    namespaces: &Namespaces,
    channel: &str,
    user: &str,
    attributes: Attributes<'_>,
    asked: Asked,
    claims: SubscriptionClaims,
) -> Result<SubscriptionOptions, ReplyError> {
    let mut options = namespaces.subscription_options(channel, user, attributes, asked, claims.overrides)?;
    options.info = claims.info;
    options.data = claims.data;
    options.server_tags_filter = claims.tags_filter;
    Ok(options)
}
