//! Configurations, requests and an application that notes what it is asked.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::Value;
use tourbillon_access::{
    ChannelConfig, Decision, NamespaceConfig, Namespaced, Namespaces, NamespacesConfig, Tokens, TokensConfig,
    Verdict,
};
use tourbillon_auth::{
    ConnectToken, Secret, Signer, SubscribeToken, TrackKeysConfig, Verifier, VerifierConfig,
};
use tourbillon_node::{
    ChannelOptions, Client, ConnectDecision, ConnectRequest, HistoryRequest, Hooks, MapPublishDecision,
    MapPublishRequest, MapRemoveDecision, MapRemoveRequest, MessageRequest, PresenceRequest, PublishDecision,
    PublishRequest, RefreshDecision, RefreshRequest, Refusal, RpcDecision, RpcRequest, SubRefreshRequest,
    SubscribeDecision, SubscribeRequest,
};
use tourbillon_types::{Channel, ClientId, Disconnect, Payload, ReplyError, Unsubscribe, UserId};

pub(crate) const KEY: &str = "a key for tests";
pub(crate) const NOW: i64 = 1_700_000_000;

/// How a request ends, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Allowed,
    Error(u32),
    Disconnect(u32),
}

pub(crate) fn end<T>(result: &Result<T, Refusal>) -> End {
    match result {
        Ok(_) => End::Allowed,
        Err(Refusal::Error(error)) => End::Error(error.code.0),
        Err(Refusal::Disconnect(disconnect)) => End::Disconnect(disconnect.code),
    }
}

pub(crate) fn decided(decision: &Decision) -> End {
    match decision.verdict() {
        Verdict::Allowed(_) => End::Allowed,
        Verdict::Refused(refusal) => end::<()>(&Err(refusal.clone())),
        other => panic!("a new verdict: {other:?}"),
    }
}

/// Rules that hold with and without the namespace `ns`.
pub(crate) fn config(set: impl FnOnce(&mut ChannelConfig)) -> NamespacesConfig {
    let mut channel = ChannelConfig::default();
    set(&mut channel);
    let namespace =
        NamespaceConfig { name: "ns".to_owned(), pattern: String::new(), channel: channel.clone() };
    NamespacesConfig {
        without_namespace: channel,
        namespaces: vec![namespace],
        shared_poll: TrackKeysConfig { hmac_secret_key: "keys".into(), ..TrackKeysConfig::default() },
        ..NamespacesConfig::default()
    }
}

pub(crate) fn namespaces(set: impl FnOnce(&mut ChannelConfig)) -> Namespaces {
    Namespaces::new(&config(set)).expect("the rules are sound")
}

pub(crate) fn insecure(set: impl FnOnce(&mut ChannelConfig)) -> Namespaces {
    Namespaces::new(&NamespacesConfig { insecure: true, ..config(set) }).expect("the rules are sound")
}

pub(crate) fn verifier(key: &str) -> Verifier {
    let config = VerifierConfig { hmac_secret_key: Secret::from(key), ..VerifierConfig::default() };
    Verifier::new(config).expect("the configuration is sound")
}

pub(crate) fn tokens_config() -> TokensConfig {
    TokensConfig::new(verifier(KEY))
}

fn more(claims: &Value) -> Vec<(String, Payload)> {
    let claims = claims.as_object().expect("claims are an object");
    claims.iter().map(|(name, value)| (name.clone(), Payload::from(value.to_string().into_bytes()))).collect()
}

/// A connection token, with further claims.
pub(crate) fn connect_token(user: &str, expires_at: Option<i64>, claims: Value) -> String {
    let token = ConnectToken { user: user.to_owned(), expires_at, more: more(&claims), ..Default::default() };
    Signer::hs256(&Secret::from(KEY)).sign_connect(&token).expect("signs")
}

/// A subscription token, with further claims, signed with a key.
pub(crate) fn subscribe_token(key: &str, user: &str, channel: &str, claims: Value) -> String {
    let (user, channel) = (user.to_owned(), channel.to_owned());
    let token = SubscribeToken { user, channel, more: more(&claims), ..Default::default() };
    Signer::hs256(&Secret::from(key)).sign_subscribe(&token).expect("signs")
}

pub(crate) fn client(user: &str) -> Arc<Client> {
    Arc::new(Client::new(ClientId::random(), UserId::from(user), "test"))
}

pub(crate) fn connect_request(token: &str) -> ConnectRequest {
    let mut request = ConnectRequest::new(ClientId::random(), "test");
    request.token = token.to_owned();
    request.unix_seconds = NOW;
    request
}

pub(crate) fn subscribe_request(client: &Arc<Client>, channel: &str, token: &str) -> SubscribeRequest {
    let mut request = SubscribeRequest::new(client.clone(), Channel::from(channel));
    request.token = token.to_owned();
    request.unix_seconds = NOW;
    request
}

/// The answer of a hook that does not wait.
pub(crate) fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("access waits for nobody")
}

/// An application that allows everything and notes what it is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<&'static str>>>);

impl Asked {
    pub(crate) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock())
    }

    fn note(&self, question: &'static str) {
        self.0.lock().push(question);
    }
}

impl Hooks for Asked {
    async fn connect(&self, _: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        self.note("connect");
        Ok(ConnectDecision::new(UserId::from("asked")))
    }

    async fn subscribe(&self, _: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        self.note("subscribe");
        Ok(SubscribeDecision::default())
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        self.note("publish");
        Ok(PublishDecision::default())
    }

    async fn map_publish(&self, _: MapPublishRequest) -> Result<MapPublishDecision, Refusal> {
        self.note("map_publish");
        Ok(MapPublishDecision::Done)
    }

    async fn map_remove(&self, _: MapRemoveRequest) -> Result<MapRemoveDecision, Refusal> {
        self.note("map_remove");
        Ok(MapRemoveDecision::Done)
    }

    async fn history(&self, _: HistoryRequest) -> Result<(), Refusal> {
        self.note("history");
        Ok(())
    }

    async fn presence(&self, _: PresenceRequest) -> Result<(), Refusal> {
        self.note("presence");
        Ok(())
    }

    async fn rpc(&self, _: RpcRequest) -> Result<RpcDecision, Refusal> {
        self.note("rpc");
        Ok(RpcDecision::default())
    }

    async fn message(&self, _: MessageRequest) -> Result<(), Disconnect> {
        self.note("message");
        Ok(())
    }

    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        self.note("refresh");
        Ok(RefreshDecision::default())
    }

    async fn sub_refresh(&self, _: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        self.note("sub_refresh");
        Ok(RefreshDecision::default())
    }

    async fn cache_empty(&self, _: &Channel) -> Result<bool, Refusal> {
        self.note("cache_empty");
        Ok(true)
    }

    fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
        self.note("channel_options");
        Ok(ChannelOptions::default())
    }

    async fn unsubscribed(&self, _: &Client, _: &Channel, _: &Unsubscribe) {
        self.note("unsubscribed");
    }

    async fn disconnected(&self, _: &Client, _: &Disconnect) {
        self.note("disconnected");
    }
}

/// The chain that a server makes, and its application.
pub(crate) fn chain(tokens: TokensConfig, namespaces: Namespaces) -> (Tokens<Namespaced<Asked>>, Asked) {
    let asked = Asked::default();
    let namespaces = Arc::new(namespaces);
    let inner = Namespaced::new(namespaces.clone(), asked.clone());
    (Tokens::new(tokens, namespaces, inner), asked)
}
