//! Why somebody may do something, or may not: asked here, answered by who decides (`POST /api/explain`, ours).

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
use tourbillon_types::{Channel, Payload, UserId};

use crate::command::{ApiCommand, ApiError};
use crate::decode::{DecodeError, payload, present};

/// Would this be allowed?
#[derive(Clone)]
#[non_exhaustive]
pub struct Explain {
    /// What the client wants, such as `subscribe`.
    pub action: String,
    /// Of which channel.
    pub channel: Channel,
    /// Who; anonymous without a name.
    pub user: UserId,
    /// The client is subscribed to the channel.
    pub subscribed: bool,
    /// The subscription token that comes with the request; empty without one. Never logged.
    pub token: String,
    /// The connection token that the client connected with; empty without one. Never logged.
    pub connection_token: String,
    /// What would be published.
    pub data: Payload,
}

impl Default for Explain {
    fn default() -> Self {
        Self {
            action: String::new(),
            channel: Channel::from(""),
            user: UserId::anonymous(),
            subscribed: false,
            token: String::new(),
            connection_token: String::new(),
            data: Payload::empty(),
        }
    }
}

impl fmt::Debug for Explain {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explain")
            .field("action", &self.action)
            .field("channel", &self.channel)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What would be decided, and why.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// The channel's namespace; empty for channels without one.
    pub namespace: String,
    /// Whether it would be allowed.
    pub allowed: bool,
    /// How it would end, in words.
    pub verdict: String,
    /// The code of the error or disconnect; 0 where it is allowed.
    pub code: u32,
    /// Every rule that was looked at, in order; the last one decided.
    pub rules: Vec<ExplainedRule>,
    /// The subscription token, if one came.
    pub token: Option<ExplainedToken>,
    /// The connection token, if one came.
    pub connection_token: Option<ExplainedToken>,
}

/// A rule that was looked at.
#[derive(Clone, Debug)]
pub struct ExplainedRule {
    /// Its name, which is that of the option where one stands for it.
    pub rule: &'static str,
    /// What came of it: `silent`, `satisfied`, `allows` or `refuses`.
    pub outcome: &'static str,
    /// Why, in words.
    pub why: String,
}

/// A token, and whether it counts.
#[derive(Clone, Default)]
pub struct ExplainedToken {
    /// Its claims, if it can be taken apart. They go to whoever asks, who has the token anyway.
    pub claims: Option<Box<RawValue>>,
    /// What is wrong with it, if something is.
    pub problem: Option<String>,
}

impl fmt::Debug for ExplainedToken {
    /// Without what the application wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExplainedToken").field("problem", &self.problem).finish_non_exhaustive()
    }
}

/// Whoever decides about requests and can say why. A node does not know: it asks its hooks, which are the program's.
pub trait Explains: Send + Sync + 'static {
    /// Says what would be decided now.
    ///
    /// # Errors
    ///
    /// 107 for an action that is not known.
    fn explain(&self, query: Explain) -> BoxFuture<'_, Result<Explanation, ApiError>>;
}

/// The body of a call.
#[derive(Deserialize)]
pub(crate) struct WireExplain<'a> {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    subscribed: Option<bool>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    connection_token: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
}

impl WireExplain<'_> {
    pub(crate) fn into_command(self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        // Nothing in particular would be published, if nothing is said.
        let data = match (self.data, self.b64data.as_deref()) {
            (None, None) => Payload::from("{}"),
            (data, base64) => payload(body, "data", data, base64)?,
        };
        Ok(ApiCommand::Explain(Box::new(Explain {
            action: self.action.unwrap_or_default(),
            channel: Channel::from(self.channel.unwrap_or_default()),
            user: UserId::from(self.user.unwrap_or_default()),
            subscribed: self.subscribed.unwrap_or_default(),
            token: self.token.unwrap_or_default(),
            connection_token: self.connection_token.unwrap_or_default(),
            data,
        })))
    }
}
