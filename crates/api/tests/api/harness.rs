//! A node with an API in front, and clients of it that speak JSON over memory.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tourbillon_api::{ApiService, HttpApi, HttpApiConfig};
use tourbillon_broker::{Engine, MapPolicy, MapStream};
use tourbillon_broker_memory::{MemoryEngine, MemoryMaps};
use tourbillon_node::hooks::{PollMode, PollRules};
use tourbillon_node::{
    ChannelOptions, ConnectDecision, ConnectRequest, DataFormat, HistoryPolicy, Hooks, MapRules, Node,
    NodeConfig, PublishDecision, PublishRequest, Refusal, SubscribeDecision, SubscribeRequest,
    SubscriptionKind,
};
use tourbillon_transport::memory::{MemoryPeer, Sent, pair};
use tourbillon_transport::{Accept, ConnContext, TransportInfo};
use tourbillon_types::{Disconnect, Encoding, ReplyError, UserId};
use tower_service::Service;

pub(crate) const KEY: &str = "key/of+the=tests";

/// The token is the user's name. Namespaces are named after the format that they take; `nowhere:` does not exist.
struct Names;

impl Hooks for Names {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Ok(ConnectDecision::new(UserId::from(request.token)))
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        Ok(decision)
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        let mut options = ChannelOptions::default();
        options.data_format = match channel.split_once(':').map(|(namespace, _)| namespace) {
            None => DataFormat::NonEmpty,
            Some("json") => DataFormat::Json,
            Some("object") => DataFormat::JsonObject,
            Some("binary") => DataFormat::Binary,
            Some("kept") => {
                options.history = Some(HistoryPolicy {
                    size: 5,
                    ttl: Duration::from_secs(60),
                    meta_ttl: Duration::from_secs(600),
                });
                options.presence = true;
                options.allow_delta = true;
                DataFormat::Binary
            }
            Some("map") => {
                options.kind = SubscriptionKind::Map;
                let stream = MapStream { size: 5, ..MapStream::default() };
                let policy = MapPolicy::recoverable(Duration::from_secs(600), stream);
                options.map = Some(MapRules::new(policy));
                DataFormat::JsonObject
            }
            Some("ephemeral") => {
                options.kind = SubscriptionKind::MapUsers;
                options.map = Some(MapRules::new(MapPolicy::ephemeral(Duration::from_secs(600))));
                DataFormat::NonEmpty
            }
            Some(polled @ ("poll" | "direct")) => {
                options.kind = SubscriptionKind::SharedPoll;
                options.poll = Some(PollRules {
                    mode: PollMode::Versioned,
                    publish_enabled: polled == "direct",
                    ..PollRules::default()
                });
                DataFormat::NonEmpty
            }
            Some(_) => return Err(ReplyError::UNKNOWN_CHANNEL),
        };
        Ok(options)
    }
}

pub(crate) struct Test {
    pub(crate) node: Node,
    pub(crate) api: HttpApi,
}

/// A response, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.text).expect("JSON")
    }
}

pub(crate) fn start() -> Test {
    start_with(|config| KEY.clone_into(&mut config.key))
}

/// The same with a service that is made more of.
pub(crate) fn start_with_service(more: impl FnOnce(ApiService) -> ApiService) -> Test {
    start_as(|config| KEY.clone_into(&mut config.key), more)
}

pub(crate) fn start_with(change: impl FnOnce(&mut HttpApiConfig)) -> Test {
    start_as(change, |service| service)
}

/// The same on an engine of the test's own.
pub(crate) fn start_on(engine: impl Into<Engine>) -> Test {
    build(engine, |config| KEY.clone_into(&mut config.key), |service| service)
}

fn start_as(change: impl FnOnce(&mut HttpApiConfig), more: impl FnOnce(ApiService) -> ApiService) -> Test {
    build(Engine::new(MemoryEngine::default()).with_maps(MemoryMaps::default()), change, more)
}

fn build(
    engine: impl Into<Engine>,
    change: impl FnOnce(&mut HttpApiConfig),
    more: impl FnOnce(ApiService) -> ApiService,
) -> Test {
    let mut node = NodeConfig::default();
    "test".clone_into(&mut node.name);
    "1.2.3".clone_into(&mut node.version);
    let (node, driver) =
        Node::builder(engine).hooks(Names).config(node).build().expect("a valid configuration");
    tokio::spawn(driver);
    let mut config = HttpApiConfig::default();
    change(&mut config);
    Test { api: HttpApi::new(more(ApiService::new(node.clone())), config), node }
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(path).header("x-api-key", KEY)
}

impl Test {
    pub(crate) async fn send(&self, request: Request<impl Into<Bytes>>) -> Answer {
        let request = request.map(|body| Full::new(body.into()));
        let response = self.api.clone().call(request).await.expect("the front does not fail");
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body in memory").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("answers are text");
        Answer { status: head.status, headers: head.headers, text }
    }

    /// Calls a method with a body that need not be JSON.
    pub(crate) async fn raw(&self, method: &str, body: impl Into<Bytes>) -> Answer {
        self.send(post(&format!("/api/{method}")).body(body).expect("a request")).await
    }

    /// Calls a method: the response's body.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.raw(method, params.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// Calls a method that fails: the error's code.
    pub(crate) async fn error(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params).await;
        answer["error"]["code"].clone()
    }

    /// Calls a method that succeeds without a result to speak of.
    pub(crate) async fn done(&self, method: &str, params: Value) {
        assert_eq!(self.call(method, params).await, json!({"result": {}}));
    }

    /// The same with a body as it is.
    pub(crate) async fn done_raw(&self, method: &str, body: &str) {
        let answer = self.raw(method, body.to_owned()).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, r#"{"result":{}}"#));
    }

    /// A client of this user that is subscribed to these channels.
    pub(crate) async fn client(&self, user: &str, channels: &[&str]) -> Client {
        let mut info = TransportInfo::new("memory", Encoding::Json);
        // Only then are clients told their session's secret.
        info.emulation = true;
        let (transport, peer) = pair(info, 1 << 20);
        self.node.accept(transport, ConnContext::default());
        let mut client = Client { peer, id: String::new(), session: String::new() };
        let reply = client.call(&format!(r#"{{"id":1,"connect":{{"token":"{user}"}}}}"#)).await;
        client.id = reply["connect"]["client"].as_str().expect("an identifier").to_owned();
        client.session = reply["connect"]["session"].as_str().expect("a secret").to_owned();
        for channel in channels {
            let reply = client.call(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#)).await;
            assert!(reply["subscribe"].is_object(), "{reply}");
        }
        client
    }

    /// Ends the node and checks that it leaves nothing behind.
    pub(crate) async fn end(self) {
        self.node.shutdown().await;
        assert_eq!(self.node.stats(), Default::default(), "something is left of the connections");
    }
}

pub(crate) struct Client {
    peer: MemoryPeer,
    pub(crate) id: String,
    pub(crate) session: String,
}

impl Client {
    pub(crate) async fn call(&mut self, command: &str) -> Value {
        self.peer.send(command.to_owned());
        self.message().await
    }

    async fn next(&mut self) -> Sent {
        tokio::time::timeout(Duration::from_secs(600), self.peer.recv()).await.expect("something happens")
    }

    /// The next message as the text that it is; pings are answered.
    pub(crate) async fn text(&mut self) -> String {
        for _ in 0..50 {
            match self.next().await {
                Sent::Message(message) if &message[..] == b"{}" => self.peer.send("{}".to_owned()),
                Sent::Message(message) => return String::from_utf8(message.to_vec()).expect("text"),
                Sent::Ping => self.peer.pong(),
                Sent::Closed(why) => panic!("closed: {why}"),
            }
        }
        panic!("nothing but pings comes");
    }

    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// What a push holds, which must come next.
    pub(crate) async fn push(&mut self) -> Value {
        self.message().await["push"].clone()
    }

    pub(crate) async fn closed(&mut self) -> Disconnect {
        match self.next().await {
            Sent::Closed(why) => why,
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Nothing came, and the connection is alive: what is asked now is answered next.
    pub(crate) async fn silence(&mut self) {
        let reply = self.call(r#"{"id":99,"rpc":{"method":"none"}}"#).await;
        assert_eq!(reply["id"], 99, "{reply}");
    }
}
