//! What a backend is asked about.

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::proto;

/// What a backend is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Event {
    /// Somebody wants to connect (PRX-20).
    Connect,
    /// A connection is about to expire (PRX-21).
    Refresh,
    /// A client wants a channel (PRX-30).
    Subscribe,
    /// A client wants a channel whose publications the backend streams (PRX-50).
    SubscribeStream,
    /// A client wants to publish (PRX-31).
    Publish,
    /// A subscription is about to expire (PRX-32).
    SubRefresh,
    /// A client wants to set a key of a keyed channel (PRX-33).
    MapPublish,
    /// A client wants to remove a key of a keyed channel (PRX-34).
    MapRemove,
    /// A client calls (PRX-40).
    Rpc,
    /// A channel that gives its latest publication to whoever comes has none (PRX-36).
    CacheEmpty,
    /// The node wants to know what keys of a polled channel hold (PRX-35).
    SharedPollRefresh,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Refresh,
        Self::Subscribe,
        Self::SubscribeStream,
        Self::Publish,
        Self::SubRefresh,
        Self::MapPublish,
        Self::MapRemove,
        Self::Rpc,
        Self::CacheEmpty,
        Self::SharedPollRefresh,
    ];

    /// Its name in options and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Subscribe => "subscribe",
            Self::SubscribeStream => "subscribe_stream",
            Self::Publish => "publish",
            Self::SubRefresh => "sub_refresh",
            Self::MapPublish => "map_publish",
            Self::MapRemove => "map_remove",
            Self::Rpc => "rpc",
            Self::CacheEmpty => "cache_empty",
            Self::SharedPollRefresh => "shared_poll_refresh",
        }
    }
}

/// A question as a message, with the form of its answer.
pub(crate) trait Question: Message + Serialize + 'static {
    type Answer: Reply;
    const EVENT: Event;
    /// The path of the GRPC method.
    const PATH: &'static str;
}

/// An answer: what refuses, or a result.
pub(crate) trait Reply: Message + DeserializeOwned + Default + 'static {
    type Result;

    fn refusing(error: Option<proto::Error>, disconnect: Option<proto::Disconnect>) -> Self;
    fn take(self) -> Envelope<Self::Result>;
}

/// What every answer consists of (PRX-14).
#[derive(Debug)]
pub(crate) struct Envelope<R> {
    pub(crate) result: Option<R>,
    pub(crate) error: Option<proto::Error>,
    pub(crate) disconnect: Option<proto::Disconnect>,
}

macro_rules! questions {
    ($($event:ident $method:literal $request:ident $response:ident $result:ident;)*) => {
        $(
            impl Question for proto::$request {
                type Answer = proto::$response;
                const EVENT: Event = Event::$event;
                const PATH: &'static str =
                    concat!("/centrifugal.centrifugo.proxy.CentrifugoProxy/", $method);
            }

            impl Reply for proto::$response {
                type Result = proto::$result;

                fn refusing(error: Option<proto::Error>, disconnect: Option<proto::Disconnect>) -> Self {
                    Self { result: None, error, disconnect }
                }

                fn take(self) -> Envelope<Self::Result> {
                    let Self { result, error, disconnect } = self;
                    Envelope { result, error, disconnect }
                }
            }
        )*
    };
}

questions! {
    Connect "Connect" ConnectRequest ConnectResponse ConnectResult;
    Refresh "Refresh" RefreshRequest RefreshResponse RefreshResult;
    Subscribe "Subscribe" SubscribeRequest SubscribeResponse SubscribeResult;
    Publish "Publish" PublishRequest PublishResponse PublishResult;
    SubRefresh "SubRefresh" SubRefreshRequest SubRefreshResponse SubRefreshResult;
    MapPublish "MapPublish" MapPublishRequest MapPublishResponse MapPublishResult;
    MapRemove "MapRemove" MapRemoveRequest MapRemoveResponse MapRemoveResult;
    Rpc "RPC" RpcRequest RpcResponse RpcResult;
}

impl Question for proto::NotifyCacheEmptyRequest {
    type Answer = proto::NotifyCacheEmptyResponse;
    const EVENT: Event = Event::CacheEmpty;
    const PATH: &'static str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/NotifyCacheEmpty";
}

impl Reply for proto::NotifyCacheEmptyResponse {
    type Result = proto::NotifyCacheEmptyResult;

    /// It cannot refuse: a status that means to is a call that failed.
    fn refusing(_: Option<proto::Error>, _: Option<proto::Disconnect>) -> Self {
        Self::default()
    }

    fn take(self) -> Envelope<Self::Result> {
        Envelope { result: self.result, error: None, disconnect: None }
    }
}

impl Question for proto::SharedPollRefreshRequest {
    type Answer = proto::SharedPollRefreshResponse;
    const EVENT: Event = Event::SharedPollRefresh;
    const PATH: &'static str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/SharedPollRefresh";
}

impl Reply for proto::SharedPollRefreshResponse {
    type Result = proto::SharedPollRefreshResult;

    /// A status that means something to clients is a call that failed all the same (PRX-03).
    fn refusing(_: Option<proto::Error>, _: Option<proto::Disconnect>) -> Self {
        let error = proto::Error { code: 100, message: String::new(), temporary: true };
        Self { result: None, error: Some(error) }
    }

    fn take(self) -> Envelope<Self::Result> {
        Envelope { result: self.result, error: self.error, disconnect: None }
    }
}
