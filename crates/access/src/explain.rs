//! Answers to "why was I refused?": what would be decided, by which rules, for tools and the server API.

use std::fmt;

use tourbillon_auth::{ConnectClaims, Unverified, unverified};
use tourbillon_node::Refusal;
use tourbillon_types::{Payload, Permissions};

use crate::decision::{Decision, Verdict};
use crate::ladder::{Attributes, PublishQuery, ReadQuery, SubscribeQuery, TokenCheck};
use crate::{Caps, Live, MapChange, MapChangeQuery, Namespaces, Patterns, TokensConfig};

/// What a client may want of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// To subscribe.
    #[default]
    Subscribe,
    /// To publish.
    Publish,
    /// To set a key.
    MapPublish,
    /// To remove a key.
    MapRemove,
    /// To know who is there.
    Presence,
    /// To know what was published.
    History,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Subscribe, Self::Publish, Self::MapPublish, Self::MapRemove, Self::Presence, Self::History];

    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::MapPublish => "map_publish",
            Self::MapRemove => "map_remove",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// Somebody wants something: would it be allowed?
#[derive(Clone, Default)]
pub struct ExplainQuery {
    /// What.
    pub action: Action,
    /// Of which channel.
    pub channel: String,
    /// Who; empty for the anonymous user.
    pub user: String,
    /// The client is subscribed to the channel. No matter to subscriptions.
    pub subscribed: bool,
    /// The subscription token that comes with the request; empty without one. Never logged.
    pub token: String,
    /// The connection token that the client connected with: what it may do, its meta object and its labels; empty
    /// without one. Never logged.
    pub connection_token: String,
    /// What would be published.
    pub data: Payload,
    /// The present, seconds since 1970 UTC.
    pub unix_seconds: i64,
}

impl fmt::Debug for ExplainQuery {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExplainQuery")
            .field("action", &self.action)
            .field("channel", &self.channel)
            .field("user", &self.user)
            .field("subscribed", &self.subscribed)
            .finish_non_exhaustive()
    }
}

/// What a token says, and whether that counts.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenReport {
    /// Its header, JSON; empty where the token cannot be taken apart.
    pub header: String,
    /// Its claims, JSON as they are written; empty where the token cannot be taken apart. They are for whoever has the
    /// token, who can read them anyway.
    pub claims: String,
    /// What is wrong with it, if something is.
    pub problem: Option<String>,
}

impl TokenReport {
    /// What is written in a token, without a check.
    #[must_use]
    pub fn unchecked(token: &str) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (header, claims) = match unverified(token) {
            Ok(Unverified { header, claims, .. }) => (text(&header), text(&claims)),
            Err(_) => Default::default(),
        };
        Self { header, claims, problem: None }
    }
}

impl fmt::Debug for TokenReport {
    /// Without what the application wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReport").field("problem", &self.problem).finish_non_exhaustive()
    }
}

impl fmt::Display for TokenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.header.is_empty() {
            writeln!(f, "header: {}\nclaims: {}", self.header, self.claims)?;
        }
        match &self.problem {
            Some(problem) => writeln!(f, "token: {problem}"),
            None => Ok(()),
        }
    }
}

/// What would be decided, and why. Its text is for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The name of the channel's namespace, as the channel's name has it; empty for channels without one. Whether it
    /// exists, the first rule says.
    pub namespace: String,
    /// What the variables of the channel's pattern stand for.
    pub variables: Vec<(String, String)>,
    /// The connection token, if one came.
    pub connection: Option<TokenReport>,
    /// The subscription token, if one came.
    pub token: Option<TokenReport>,
    /// Every rule that was looked at, and the verdict.
    pub decision: Decision,
}

impl Explanation {
    /// How the request would end, in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.decision.verdict() {
            Verdict::Allowed(rule) if rule.asks() => {
                format!("left to the application's backend by {}", rule.name())
            }
            Verdict::Allowed(rule) => format!("allowed by {}", rule.name()),
            Verdict::Refused(Refusal::Error(error)) => format!("refused: {error}"),
            Verdict::Refused(Refusal::Disconnect(disconnect)) => format!("disconnected: {disconnect}"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespace.is_empty() { "(none)" } else { &self.namespace };
        writeln!(f, "namespace: {namespace}")?;
        for (name, value) in &self.variables {
            writeln!(f, "variable {name}: {value}")?;
        }
        for token in [&self.connection, &self.token].into_iter().flatten() {
            token.fmt(f)?;
        }
        for step in self.decision.steps() {
            writeln!(f, "{step}")?;
        }
        if let Some(detail) = self.decision.detail() {
            writeln!(f, "expression: {detail}")?;
        }
        writeln!(f, "verdict: {}", self.verdict())
    }
}

/// Says what would be decided now. Nothing changes, and nobody is asked but for keys that a token needs.
///
/// # Cancel safety
///
/// Nothing changes.
pub async fn explain(
    namespaces: &Live<Namespaces>,
    tokens: &Live<TokensConfig>,
    query: &ExplainQuery,
) -> Explanation {
    let (check, allow, token) = check_token(tokens, query).await;
    let (claims, connection) = check_connection(tokens, query).await;
    let caps = claims.as_ref().map(|claims| Caps::new(&claims.capabilities, &Patterns::default()));
    let attributes = Attributes {
        capabilities: caps.as_ref().and_then(|caps| caps.as_ref().ok()),
        allow,
        meta: claims.as_ref().map(|claims| &claims.meta),
        labels: claims.as_ref().map(|claims| &claims.labels),
    };
    let ExplainQuery { action, channel, user, subscribed, data, .. } = query;
    let subscribed = *subscribed;
    namespaces.with(|rules| {
        let decision = match action {
            Action::Subscribe => {
                // Of the type that the channel has: nobody asks why another one is refused.
                let kind = rules.resolve(channel).1.map_or(0, |rules| rules.kind.number());
                rules.check_subscribe(&SubscribeQuery { channel, user, attributes, kind, token: check })
            }
            Action::MapPublish | Action::MapRemove => {
                let is_publish = *action == Action::MapPublish;
                let change = if is_publish { MapChange::Publish(data) } else { MapChange::Remove };
                rules.check_map_change(&MapChangeQuery { channel, user, attributes, subscribed, change })
            }
            Action::Publish => {
                rules.check_publish(&PublishQuery { channel, user, attributes, subscribed, data })
            }
            Action::Presence => rules.check_presence(&ReadQuery { channel, user, attributes, subscribed }),
            Action::History => rules.check_history(&ReadQuery { channel, user, attributes, subscribed }),
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Explanation {
            namespace: rules.resolve(channel).0.namespace.to_owned(),
            variables: rules.variables(channel).map(owned).collect(),
            connection,
            token,
            decision,
        }
    })
}

/// What the subscription token comes to, and what a subscription by it would allow.
async fn check_token(
    tokens: &Live<TokensConfig>,
    query: &ExplainQuery,
) -> (TokenCheck, Permissions, Option<TokenReport>) {
    let token = &query.token;
    if token.is_empty() {
        return (TokenCheck::Absent, Permissions::NONE, None);
    }
    let mut report = TokenReport::unchecked(token);
    let tokens = tokens.load();
    let verifier = tokens.for_subscriptions();
    if let Some(loading) = verifier.load_keys(token, query.unix_seconds) {
        loading.await;
    }
    let (check, allow) = match verifier.verify_subscribe(token, query.unix_seconds) {
        Ok(claims) => {
            // Which connection asks is not known here.
            let client = claims.client.clone().unwrap_or_default();
            (TokenCheck::compare(&claims, &query.channel, &query.user, &client), claims.allow)
        }
        Err(error) => {
            report.problem = Some(error.to_string());
            (TokenCheck::from(error), Permissions::NONE)
        }
    };
    if query.action == Action::Subscribe {
        return (check, allow, Some(report));
    }
    // Other requests come without a token, but what a subscription was made by counts for as long as it lasts.
    if !query.subscribed {
        report.problem = Some("only subscriptions look at one".to_owned());
    }
    let allow = if check == TokenCheck::Genuine { allow } else { Permissions::NONE };
    (TokenCheck::Absent, allow, Some(report))
}

/// What the connection token claims.
async fn check_connection(
    tokens: &Live<TokensConfig>,
    query: &ExplainQuery,
) -> (Option<ConnectClaims>, Option<TokenReport>) {
    let token = &query.connection_token;
    if token.is_empty() {
        return (None, None);
    }
    let mut report = TokenReport::unchecked(token);
    let tokens = tokens.load();
    if let Some(loading) = tokens.token.load_keys(token, query.unix_seconds) {
        loading.await;
    }
    match tokens.token.verify_connect(token, query.unix_seconds) {
        Ok(claims) => {
            if *claims.user != *query.user {
                report.problem = Some("the token is for another user".to_owned());
                return (None, Some(report));
            }
            if let Err(error) = Caps::new(&claims.capabilities, &Patterns::default()) {
                report.problem = Some(error.to_string());
            }
            (Some(claims), Some(report))
        }
        Err(error) => {
            report.problem = Some(error.to_string());
            (None, Some(report))
        }
    }
}
