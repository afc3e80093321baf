//! Who may do what in which channel.
//!
//! * [`Namespaces`] knows the rules of every channel: it is made of a [`NamespacesConfig`], checked once.
//! * [`Namespaces::check_subscribe`], [`Namespaces::check_publish`], [`Namespaces::check_map_change`],
//!   [`Namespaces::check_presence`] and [`Namespaces::check_history`] decide about one request, as pure functions. Their
//!   [`Decision`] carries every rule that was looked at with its outcome, so it can say why.
//! * [`explain`](explain()) says for a tool or an API what would be decided, by which rules.
//! * [`Namespaced`] and [`Tokens`] are decorators of [`Hooks`](tourbillon_node::Hooks) that ask them. They compose:
//!   `Tokens<Namespaced<Inner>>`, where `Inner` is the application, or [`DenyAll`] where there is none.
//! * [`Revoked`] refuses blocked users and revoked tokens, and [`Limits`] whoever does too much:
//!   `Limits<Revoked<Tokens<Namespaced<Inner>>>>`.
//!
//! What is in force can be replaced while connections go on: see [`Live`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use tourbillon_access::{
//!     ChannelConfig, DenyAll, NamespaceConfig, Namespaced, Namespaces, NamespacesConfig, Tokens, TokensConfig,
//! };
//! use tourbillon_auth::{Verifier, VerifierConfig};
//!
//! let news = NamespaceConfig {
//!     name: "news".to_owned(),
//!     channel: ChannelConfig { allow_subscribe_for_client: true, ..ChannelConfig::default() },
//!     ..NamespaceConfig::default()
//! };
//! let config = NamespacesConfig { namespaces: vec![news], ..NamespacesConfig::default() };
//! let namespaces = Arc::new(Namespaces::new(&config)?);
//! let hmac_secret_key = "a long random text".into();
//! let verifier = Verifier::new(VerifierConfig { hmac_secret_key, ..VerifierConfig::default() })?;
//! // What `NodeBuilder::hooks` takes.
//! let hooks =
//!     Tokens::new(TokensConfig::new(verifier), namespaces.clone(), Namespaced::new(namespaces, DenyAll));
//! # drop(hooks);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod caps;
mod config;
mod decision;
mod deny;
mod explain;
mod expression;
mod forward;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod grammar;
mod ladder;
mod limits;
mod live;
mod maps;
mod namespaced;
mod namespaces;
mod polled;
mod recent;
mod revocations;
mod revoked;
mod route;
mod stored;
mod tokens;
mod told;

pub use caps::{Caps, Patterns};
pub use config::{
    ChannelConfig, ChannelProxies, ConfigError, ConfigProblem, NamespaceConfig, NamespacesConfig,
};
pub use decision::{Decision, Outcome, Rule, Step, Verdict};
pub use deny::DenyAll;
pub use explain::{Action, ExplainQuery, Explanation, TokenReport, explain};
pub use expression::{Expression, ExpressionError};
pub use grammar::{Grammar, Name};
pub use ladder::{Asked, Attributes, Features, PublishQuery, ReadQuery, SubscribeQuery, TokenCheck};
pub use limits::{
    Bucket, BucketProblem, Buckets, CommandBuckets, CommandLimits, ErrorLimits, Limits, LimitsConfig,
    LimitsError, Operation, RateLimiter, SharedBucket, SharedBuckets, SharedBucketsError,
};
pub use live::Live;
pub use maps::{ClientKey, MapAccess, MapChange, MapChangeQuery, MapConfig};
pub use namespaced::Namespaced;
pub use namespaces::{ChannelRules, Namespaces, Resolved};
pub use polled::{PollConfig, TrackQuery};
pub use revocations::{
    BoxFuture, Change, MemoryRevocations, Revocation, RevocationError, RevocationKind, Revocations, Stamp,
    TokenUse,
};
pub use revoked::Revoked;
pub use stored::{Kept, RevocationStore, StoreVersion, StoredRevocations};
pub use tokens::{PersonalChannel, Tokens, TokensConfig};
pub use told::{REVOCATIONS, notices};
