//! The hooks that ask.

use std::future::ready;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue};
use tourbillon_broker::Published;
use tourbillon_hooks::{
    ChannelOptions, Client, ClientRights, ConnectDecision, ConnectRequest, Hooks, MapPublishDecision,
    MapPublishRequest, MapRemoveDecision, MapRemoveRequest, PublishDecision, PublishRequest, RefreshDecision,
    RefreshRequest, Refusal, RpcDecision, RpcRequest, SubRefreshRequest, SubscribeDecision, SubscribeRequest,
    SubscriptionSource,
};
use tourbillon_types::{Channel, Disconnect, Encoding, Payload, Permissions, ReplyError, Tags, Text};

use crate::answers::{self, Unfit};
use crate::event::{Envelope, Event, Question, Reply};
use crate::headers::{Origin, UNI_GRPC};
use crate::stream::{Open, Streams};
use crate::{CallError, Endpoint, maps, proto};

/// Which backend is asked about what, and how channels behave. Asked for every question: it must be quick.
pub trait Rules: Send + Sync + 'static {
    /// The backend that decides about an event. `subject` is the channel, the method of a call, or empty. `None`: there
    /// is none.
    ///
    /// # Errors
    ///
    /// What the client is told instead, such as 104 for an unknown method.
    fn endpoint(&self, event: Event, subject: &str) -> Result<Option<Arc<Endpoint>>, Refusal>;

    /// What a channel has for all, which the answer of a backend changes.
    ///
    /// # Errors
    ///
    /// 102 for a channel of an unknown namespace.
    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError>;

    /// What capabilities of a connection come to that the backend gives it (PRO-40). Default: they mean nothing.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn rights(&self, capabilities: Vec<Capability>) -> Result<Option<ClientRights>, Refusal> {
        let _ = capabilities;
        Ok(None)
    }

    /// Whether what clients publish into a streamed channel goes to its stream (PRX-51). Default: no.
    fn is_bidirectional(&self, channel: &str) -> bool {
        let _ = channel;
        false
    }
}

/// What a connection may do in some channels, as a backend says it (PRO-40).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// The channels, or what stands for them.
    pub channels: Vec<String>,
    /// How these are read: empty, `wildcard` or `regex`; not checked.
    pub matching: String,
    /// What may be done there.
    pub allow: Permissions,
}

/// How long what could not be refreshed goes on, in seconds (HID-54).
const EXTENDED: i64 = 60;

/// [`Hooks`] that ask backends. See the [crate](crate).
#[derive(Clone, Debug)]
pub struct ProxyHooks<R> {
    rules: R,
    ping: Option<Text>,
    streams: Streams,
}

impl<R: Rules> ProxyHooks<R> {
    /// Asks whom the rules name.
    #[must_use]
    pub fn new(rules: R) -> Self {
        Self { rules, ping: None, streams: Streams::default() }
    }

    /// Answers calls of this method by nothing, without asking anybody (PRX-41).
    #[must_use]
    pub fn with_ping(mut self, method: impl Into<Text>) -> Self {
        self.ping = Some(method.into());
        self
    }

    fn endpoint(&self, event: Event, subject: &str, none: Refusal) -> Result<Arc<Endpoint>, Refusal> {
        self.rules.endpoint(event, subject)?.ok_or(none)
    }

    /// Has a backend stream what a client gets in a channel (PRX-50).
    async fn stream(
        &self,
        endpoint: &Endpoint,
        request: SubscribeRequest,
    ) -> Result<SubscribeDecision, Refusal> {
        let (client, channel) = (request.client.clone(), request.channel.clone());
        let bidirectional = self.rules.is_bidirectional(&channel);
        let question = subscribe_question(endpoint, request);
        let place = (client.id, &channel, bidirectional);
        let opened = self.streams.open(endpoint, question, origin(&client), place).await;
        let Open { answer, source } = opened.map_err(CallError::to_reply_error)?;
        let result = answer.take().open()?;
        let base = self.rules.channel_options(&channel)?;
        let mut decision = taken(endpoint, Event::SubscribeStream, answers::stream(result, &base))?;
        decision.source = Some(SubscriptionSource::new(source));
        Ok(decision)
    }

    /// Whether somebody is asked about this.
    fn asks(&self, event: Event, subject: &str) -> bool {
        matches!(self.rules.endpoint(event, subject), Ok(Some(_)))
    }
}

type Result_<Q> = Result<Option<<<Q as Question>::Answer as Reply>::Result>, Refusal>;

/// Asks about something a client wants to do.
async fn ask<Q: Question>(endpoint: &Endpoint, question: Q, client: &Client) -> Result_<Q> {
    open(endpoint.ask(question, Some(origin(client))).await)
}

fn open<T>(answer: Result<Envelope<T>, CallError>) -> Result<Option<T>, Refusal> {
    answer.map_err(CallError::to_reply_error)?.open()
}

fn origin(client: &Client) -> Origin<'_> {
    Origin {
        transport: &client.headers,
        is_grpc: client.transport == UNI_GRPC,
        emulated: &client.emulated_headers,
    }
}

/// What an answer comes to. One that makes no sense is the backend's fault.
fn taken<T>(endpoint: &Endpoint, event: Event, answer: Result<T, Unfit>) -> Result<T, Refusal> {
    answer.map_err(|unfit| match unfit {
        Unfit::Refused(refusal) => refusal,
        Unfit::Nonsense(error) => {
            tracing::warn!(proxy = endpoint.name(), event = event.name(), %error, "a proxy's answer makes no sense");
            ReplyError::INTERNAL.into()
        }
    })
}

const fn protocol(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "json",
        Encoding::Protobuf => "protobuf",
    }
}

/// Data as it is, or in base64 (PRX-09).
fn data(endpoint: &Endpoint, data: Payload) -> (Bytes, String) {
    if endpoint.binary {
        (Bytes::new(), base64::engine::general_purpose::STANDARD.encode(data.bytes()))
    } else {
        (data.into_bytes(), String::new())
    }
}

const fn encoding(endpoint: &Endpoint) -> &'static str {
    if endpoint.binary { "binary" } else { "json" }
}

fn meta(endpoint: &Endpoint, client: &Client) -> Bytes {
    if endpoint.with_meta { client.meta.bytes().clone() } else { Bytes::new() }
}

fn labels(client: &Client) -> Tags {
    client.terms.labels().cloned().unwrap_or_default()
}

/// A question with what every one says of who asks (PRX-13).
macro_rules! question {
    ($kind:ident of $client:expr, $endpoint:expr; $($field:ident $(: $value:expr)?),*) => {
        proto::$kind {
            client: $client.id.to_string(),
            transport: $client.transport.to_owned(),
            protocol: protocol($client.encoding).to_owned(),
            encoding: encoding($endpoint).to_owned(),
            user: $client.user.to_string(),
            meta: meta($endpoint, $client),
            labels: labels($client),
            $($field $(: $value)?,)*
        }
    };
}

/// Those headers that a client has put into its connect command which are listed, as far as they can be headers. How many
/// others there are, the client decides: a map of all may have no room for them.
fn emulated(listed: &[HeaderName], headers: &[(String, String)]) -> HeaderMap {
    let one = |(name, value): &(String, String)| {
        let name = listed.iter().find(|listed| listed.as_str().eq_ignore_ascii_case(name))?;
        Some((name.clone(), HeaderValue::try_from(value).ok()?))
    };
    headers.iter().filter_map(one).collect()
}

pub(crate) fn subscribe_question(endpoint: &Endpoint, request: SubscribeRequest) -> proto::SubscribeRequest {
    let SubscribeRequest { client, channel, token, data: given, .. } = request;
    let (data, b64data) = data(endpoint, given);
    question!(SubscribeRequest of &client, endpoint; channel: channel.to_string(), token, data, b64data)
}

impl<R: Rules> ProxyHooks<R> {
    async fn ask_connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let endpoint = self.endpoint(Event::Connect, "", Disconnect::BAD_REQUEST.into())?;
        let emulated = emulated(endpoint.emulated_headers(), &request.emulated_headers);
        let (data, b64data) = data(&endpoint, request.data);
        let question = proto::ConnectRequest {
            client: request.client.to_string(),
            transport: request.transport.to_owned(),
            protocol: protocol(request.encoding).to_owned(),
            encoding: encoding(&endpoint).to_owned(),
            data,
            b64data,
            name: request.name.to_string(),
            version: request.version.to_string(),
            channels: request.channels.iter().map(Channel::to_string).collect(),
        };
        let is_grpc = request.transport == UNI_GRPC;
        let origin = Origin { transport: &request.headers, is_grpc, emulated: &emulated };
        let result = open(endpoint.ask(question, Some(origin)).await)?;
        let mut decision = taken(&endpoint, Event::Connect, answers::connect(result, &self.rules))?;
        decision.client_side_refresh = !self.asks(Event::Refresh, "");
        Ok(decision)
    }

    async fn ask_subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let channel = request.channel.clone();
        let Some(endpoint) = self.rules.endpoint(Event::Subscribe, &channel)? else {
            let denied = ReplyError::PERMISSION_DENIED.into();
            let endpoint = self.endpoint(Event::SubscribeStream, &channel, denied)?;
            return self.stream(&endpoint, request).await;
        };
        let client = request.client.clone();
        let result = ask(&endpoint, subscribe_question(&endpoint, request), &client).await?;
        let base = self.rules.channel_options(&channel)?;
        let mut decision = taken(&endpoint, Event::Subscribe, answers::subscribe(result, &base))?;
        decision.client_side_refresh = !self.asks(Event::SubRefresh, &channel);
        Ok(decision)
    }

    async fn ask_publish(&self, request: PublishRequest) -> Result<PublishDecision, Refusal> {
        let Some(endpoint) = self.rules.endpoint(Event::Publish, &request.channel)? else {
            let denied = ReplyError::PERMISSION_DENIED.into();
            let endpoint = self.endpoint(Event::SubscribeStream, &request.channel, denied)?;
            self.streams.publish(request, endpoint.timeout()).await?;
            return Ok(PublishDecision::Done(Published::default()));
        };
        let PublishRequest { client, channel, data: given, .. } = request;
        let (data, b64data) = data(&endpoint, given);
        let question = question!(
            PublishRequest of &client, &endpoint; channel: channel.to_string(), data, b64data);
        let result = ask(&endpoint, question, &client).await?;
        let base = self.rules.channel_options(&channel)?;
        taken(&endpoint, Event::Publish, answers::publish(result, &base))
    }

    async fn ask_map_publish(&self, request: MapPublishRequest) -> Result<MapPublishDecision, Refusal> {
        let MapPublishRequest { client, channel, key, data: given, .. } = request;
        let denied = ReplyError::PERMISSION_DENIED.into();
        let endpoint = self.endpoint(Event::MapPublish, &channel, denied)?;
        let (data, b64data) = data(&endpoint, given);
        let question = question!(MapPublishRequest of &client, &endpoint;
            channel: channel.to_string(), key: key.to_string(), data, b64data);
        let result = ask(&endpoint, question, &client).await?;
        taken(&endpoint, Event::MapPublish, maps::publish(result))
    }

    async fn ask_map_remove(&self, request: MapRemoveRequest) -> Result<MapRemoveDecision, Refusal> {
        let MapRemoveRequest { client, channel, key, .. } = request;
        let denied = ReplyError::PERMISSION_DENIED.into();
        let endpoint = self.endpoint(Event::MapRemove, &channel, denied)?;
        let question = question!(MapRemoveRequest of &client, &endpoint;
            channel: channel.to_string(), key: key.to_string());
        let result = ask(&endpoint, question, &client).await?;
        taken(&endpoint, Event::MapRemove, maps::remove(result))
    }

    async fn ask_rpc(&self, endpoint: Arc<Endpoint>, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        let RpcRequest { client, method, data: given } = request;
        let (data, b64data) = data(&endpoint, given);
        let question = question!(RpcRequest of &client, &endpoint; method: method.to_string(), data, b64data);
        let result = ask(&endpoint, question, &client).await?;
        taken(&endpoint, Event::Rpc, answers::rpc(result))
    }

    async fn ask_refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        let RefreshRequest { client, unix_seconds, .. } = request;
        let endpoint = self.endpoint(Event::Refresh, "", ReplyError::NOT_AVAILABLE.into())?;
        let question = question!(RefreshRequest of &client, &endpoint; );
        let Ok(answer) = endpoint.ask(question, Some(origin(&client))).await else {
            return Ok(extended(unix_seconds));
        };
        let decision = answers::refresh(answer.result, &self.rules);
        Ok(taken(&endpoint, Event::Refresh, decision).unwrap_or_else(|_| extended(unix_seconds)))
    }

    async fn ask_sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        let SubRefreshRequest { client, channel, unix_seconds, .. } = request;
        let endpoint = self.endpoint(Event::SubRefresh, &channel, ReplyError::NOT_AVAILABLE.into())?;
        let question = question!(SubRefreshRequest of &client, &endpoint; channel: channel.to_string());
        let Ok(answer) = endpoint.ask(question, Some(origin(&client))).await else {
            return Ok(extended(unix_seconds));
        };
        let decision = answers::sub_refresh(answer.result);
        Ok(taken(&endpoint, Event::SubRefresh, decision).unwrap_or_else(|_| extended(unix_seconds)))
    }
}

/// Futures on the heap: whoever decorates these hooks has room for them in its own, whether they are asked or not.
impl<R: Rules> Hooks for ProxyHooks<R> {
    fn connect(
        &self,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<ConnectDecision, Refusal>> + Send {
        Box::pin(self.ask_connect(request))
    }

    fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> impl Future<Output = Result<SubscribeDecision, Refusal>> + Send {
        Box::pin(self.ask_subscribe(request))
    }

    fn publish(
        &self,
        request: PublishRequest,
    ) -> impl Future<Output = Result<PublishDecision, Refusal>> + Send {
        Box::pin(self.ask_publish(request))
    }

    fn map_publish(
        &self,
        request: MapPublishRequest,
    ) -> impl Future<Output = Result<MapPublishDecision, Refusal>> + Send {
        Box::pin(self.ask_map_publish(request))
    }

    fn map_remove(
        &self,
        request: MapRemoveRequest,
    ) -> impl Future<Output = Result<MapRemoveDecision, Refusal>> + Send {
        Box::pin(self.ask_map_remove(request))
    }

    fn refresh(
        &self,
        request: RefreshRequest,
    ) -> impl Future<Output = Result<RefreshDecision, Refusal>> + Send {
        Box::pin(self.ask_refresh(request))
    }

    fn sub_refresh(
        &self,
        request: SubRefreshRequest,
    ) -> impl Future<Output = Result<RefreshDecision, Refusal>> + Send {
        Box::pin(self.ask_sub_refresh(request))
    }

    /// What needs no backend is answered at once.
    fn rpc(&self, request: RpcRequest) -> impl Future<Output = Result<RpcDecision, Refusal>> + Send {
        if self.ping.as_ref() == Some(&request.method) {
            return Either::Left(ready(Ok(RpcDecision::default())));
        }
        match self.rules.endpoint(Event::Rpc, &request.method) {
            Ok(Some(endpoint)) => Either::Right(Box::pin(self.ask_rpc(endpoint, request))),
            Ok(None) => Either::Left(ready(Err(ReplyError::NOT_AVAILABLE.into()))),
            Err(refusal) => Either::Left(ready(Err(refusal))),
        }
    }

    async fn cache_empty(&self, channel: &Channel) -> Result<bool, Refusal> {
        let Some(endpoint) = self.rules.endpoint(Event::CacheEmpty, channel)? else { return Ok(false) };
        let question = proto::NotifyCacheEmptyRequest { channel: channel.to_string() };
        let answer = open(endpoint.ask(question, None).await)?;
        // Without a result nobody has said anything.
        Ok(answer.ok_or(ReplyError::INTERNAL)?.populated)
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        self.rules.channel_options(channel)
    }
}

/// A backend that is in trouble ends nothing: it is asked again in a minute.
const fn extended(unix_seconds: i64) -> RefreshDecision {
    RefreshDecision::until(Some(unix_seconds + EXTENDED))
}
