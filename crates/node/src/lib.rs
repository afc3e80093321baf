//! The node of a Tourbillon server: it takes connections of any transport, runs the client protocol on them, and
//! carries publications from a broker to whoever is subscribed.
//!
//! * [`Node`] is the handle: publish, subscribe, disconnect, inspect, shut down. It implements
//!   [`Accept`](tourbillon_transport::Accept) for every transport.
//! * [`Hooks`] is what the embedding program decides.
//! * [`NodeConfig`] holds limits and times.
//!
//! A node names no transport, no broker product and no token format.
//!
//! ```
//! use tourbillon_broker_memory::MemoryEngine;
//! use tourbillon_node::{ConnectDecision, ConnectRequest, Hooks, Node, Refusal};
//! use tourbillon_types::{Disconnect, UserId};
//!
//! struct MyHooks;
//!
//! impl Hooks for MyHooks {
//!     async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
//!         match request.token.as_str() {
//!             "open sesame" => Ok(ConnectDecision::new(UserId::from("ali"))),
//!             _ => Err(Disconnect::INVALID_TOKEN.into()),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (node, driver) = Node::builder(MemoryEngine::default()).hooks(MyHooks).build()?;
//! tokio::spawn(driver);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod attachment;
mod boot;
mod calls;
mod checks;
mod clock;
mod close;
mod cluster;
mod config;
mod conn;
mod driver;
mod emulation;
mod flush;
mod fresh;
mod interest;
mod maps;
mod members;
mod node;
mod polls;
mod queries;
mod ready;
mod registry;
mod server_api;
mod shared;
mod sources;
mod timeouts;
mod underway;
mod wheel;

pub use config::NodeConfig;
pub use node::{BuildError, Node, NodeBuilder, NodeDriver};
pub use ready::{Part, Unready};
pub use server_api::PublishError;
pub use tourbillon_broker::{
    BoxFuture, HistoryPolicy, HistoryQuery, MapChanged, MapPublishOptions, MapStats, MapSuppressed, Member,
    Page, PresenceStats, PublishOptions, Published, Suppressed,
};
pub use tourbillon_control::{ChannelPattern, NodeInfo, PatternError, Stats, Target};
pub use tourbillon_hooks::{
    self as hooks, AllowAll, Batching, ChannelOptions, Client, ClientCommand, ClientRights, ClientTerms,
    ConnectDecision, ConnectRequest, DataFormat, HistoryRequest, Hooks, KeptHeaders, MapPublishDecision,
    MapPublishRequest, MapRemoveDecision, MapRemoveOptions, MapRemoveRequest, MapRules, MessageRequest,
    Noticed, OverflowPolicy, PresenceRequest, PublishDecision, PublishRequest, RecoveryMode, RefreshDecision,
    RefreshRequest, Refusal, Rights, RpcDecision, RpcRequest, Source, SubRefreshRequest, SubscribeDecision,
    SubscribeRequest, SubscriptionKind, SubscriptionOptions, SubscriptionSource, TokenMark, TrackDecision,
    TrackRequest,
};
pub use tourbillon_metrics::{
    Distribution, DistributionFamily, Family, Form, Histogram, Labels, Measures, NodeMetrics, Sample,
    SampleKind, Shape, Timings, Unit, prometheus,
};
pub use tourbillon_shared_poll::{
    self as shared_poll, Backend, BackendError, DynBackend, Update as SharedPollUpdate,
};
