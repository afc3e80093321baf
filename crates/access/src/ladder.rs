//! The permission ladders (features.md 4.3): rules in a fixed order, of which the first that speaks decides.

use tourbillon_auth::{InvalidToken, SubscribeClaims, TokenError};
use tourbillon_node::Refusal;
use tourbillon_types::{Disconnect, Payload, ReplyError};

use crate::decision::{Decision, Rule, Trail};
use crate::namespaces::{Namespaces, Resolved};

/// A client wants to subscribe.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeQuery<'a> {
    /// To which channel.
    pub channel: &'a str,
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// The kind of subscription (SUBT-01..05); 0 for a stream.
    pub kind: i32,
    /// What came of its token.
    pub token: TokenCheck,
}

/// A client wants to publish.
#[derive(Clone, Copy, Debug)]
pub struct PublishQuery<'a> {
    /// Into which channel.
    pub channel: &'a str,
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What.
    pub data: &'a Payload,
}

/// What came of a subscription token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCheck {
    /// There is none.
    Absent,
    /// It is genuine and for this request.
    Genuine,
    /// It is genuine, but not at this time.
    Expired,
    /// It is not genuine.
    Invalid(InvalidToken),
    /// It is genuine, but for another channel (SUBT-10).
    OtherChannel,
    /// It is genuine, but for another user (SUBT-11).
    OtherUser,
    /// It is genuine, but for another connection (SUBT-12).
    OtherClient,
}

impl TokenCheck {
    /// Compares what a genuine token claims with the request that it came with.
    #[must_use]
    pub fn compare(claims: &SubscribeClaims, channel: &str, user: &str, client: &str) -> Self {
        if *claims.channel != *channel {
            Self::OtherChannel
        } else if *claims.user != *user {
            Self::OtherUser
        } else if claims.client.as_deref().is_some_and(|only| only != client) {
            Self::OtherClient
        } else {
            Self::Genuine
        }
    }
}

impl From<TokenError> for TokenCheck {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::Expired,
            TokenError::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

impl Namespaces {
    /// Decides whether a client may subscribe (PERM-01).
    #[must_use]
    pub fn check_subscribe(&self, query: &SubscribeQuery<'_>) -> Decision {
        Decision::make(|trail| self.subscribe(query, trail))
    }

    /// Decides whether a client may publish (PERM-02).
    #[must_use]
    pub fn check_publish(&self, query: &PublishQuery<'_>) -> Decision {
        Decision::make(|trail| self.publish(query, trail))
    }

    fn subscribe(&self, query: &SubscribeQuery<'_>, trail: &mut Trail) -> Result<Rule, Refusal> {
        let channel = self.enter(query.channel, trail)?;
        if query.kind != 0 {
            let why = "the channel has streams only";
            return Err(trail.refuses(Rule::SubscriptionType, why, ReplyError::PERMISSION_DENIED));
        }
        if channel.name.private {
            if query.token == TokenCheck::Absent {
                let why = "a private channel needs a token";
                return Err(trail.refuses(Rule::PrivatePrefix, why, ReplyError::PERMISSION_DENIED));
            }
            trail.satisfied(Rule::PrivatePrefix, "a token came with the request");
        }
        if let Some(verdict) = by_token(query.token, trail) {
            return verdict;
        }
        let users = channel.name.users.filter(|_| channel.rules.allow_user_limited_channels);
        if let Some(users) = users {
            if self.grammar().lists(users, query.user) {
                return Ok(trail.allows(Rule::UserLimited, "the channel's name lists the user"));
            }
            trail.silent(Rule::UserLimited, "the channel's name does not list the user");
        } else {
            // A user-limited channel skips what stands here: a later issue asks proxies at this place.
            let rules = channel.rules;
            let [client, anonymous] = [rules.allow_subscribe_for_client, rules.allow_subscribe_for_anonymous];
            if by_option(Rule::AllowSubscribeForClient, client, anonymous, query.user, trail) {
                return Ok(Rule::AllowSubscribeForClient);
            }
        }
        self.otherwise(trail)
    }

    fn publish(&self, query: &PublishQuery<'_>, trail: &mut Trail) -> Result<Rule, Refusal> {
        let Resolved { rules, .. } = self.enter(query.channel, trail)?;
        if !rules.data_format.accepts(query.data) {
            let why = "the data does not have the channel's format";
            return Err(trail.refuses(Rule::DataFormat, why, ReplyError::BAD_REQUEST));
        }
        trail.satisfied(Rule::DataFormat, "the data has the channel's format");
        // A later issue asks proxies at this place.
        let anonymous = rules.allow_publish_for_anonymous;
        let client = rules.allow_publish_for_client;
        if by_option(Rule::AllowPublishForClient, client, anonymous, query.user, trail) {
            return Ok(Rule::AllowPublishForClient);
        }
        let subscriber = rules.allow_publish_for_subscriber;
        if subscriber && !query.subscribed {
            trail.silent(Rule::AllowPublishForSubscriber, "the client is not subscribed");
        } else if by_option(Rule::AllowPublishForSubscriber, subscriber, anonymous, query.user, trail) {
            return Ok(Rule::AllowPublishForSubscriber);
        }
        self.otherwise(trail)
    }

    /// What every ladder begins with: the channel is one that there can be.
    fn enter<'a>(&'a self, channel: &'a str, trail: &mut Trail) -> Result<Resolved<'a>, Refusal> {
        let resolved = match self.find(channel) {
            Ok(resolved) => resolved,
            Err(error) => return Err(trail.refuses(Rule::Namespace, "there is no such namespace", error)),
        };
        trail.satisfied(Rule::Namespace, "the namespace exists");
        if !resolved.has_valid_name(channel) {
            let why = match resolved.rules.channel_regex {
                Some(_) => "the channel's name does not match channel_regex",
                None => "the channel's name is not ASCII, and there is no channel_regex",
            };
            return Err(trail.refuses(Rule::ChannelName, why, ReplyError::BAD_REQUEST));
        }
        trail.satisfied(Rule::ChannelName, "the channel's name is valid");
        Ok(resolved)
    }

    /// What every ladder ends with. `client.insecure` replaces the last refusal only (HID-61).
    fn otherwise(&self, trail: &mut Trail) -> Result<Rule, Refusal> {
        if self.is_insecure() {
            return Ok(trail.allows(Rule::Insecure, "insecure mode allows what no rule refuses"));
        }
        Err(trail.refuses(Rule::Otherwise, "no rule allows it", ReplyError::PERMISSION_DENIED))
    }
}

/// A token decides where there is one: nothing else is looked at (HID-52, HID-84).
fn by_token(token: TokenCheck, trail: &mut Trail) -> Option<Result<Rule, Refusal>> {
    let (why, refusal): (_, Refusal) = match token {
        TokenCheck::Absent => {
            trail.silent(Rule::Token, "no token came with the request");
            return None;
        }
        TokenCheck::Genuine => return Some(Ok(trail.allows(Rule::Token, "the token allows it"))),
        TokenCheck::Expired => {
            ("the token's time is over, or has not come", ReplyError::TOKEN_EXPIRED.into())
        }
        TokenCheck::Invalid(_) => ("the token is not genuine", ReplyError::PERMISSION_DENIED.into()),
        TokenCheck::OtherChannel => ("the token is for another channel", Disconnect::INVALID_TOKEN.into()),
        TokenCheck::OtherUser => ("the token is for another user", Disconnect::INVALID_TOKEN.into()),
        TokenCheck::OtherClient => ("the token is for another client", Disconnect::INVALID_TOKEN.into()),
    };
    Some(Err(trail.refuses(Rule::Token, why, refusal)))
}

/// Whether an option allows users something, with the one that extends it to the anonymous user.
fn by_option(rule: Rule, enabled: bool, anonymous: bool, user: &str, trail: &mut Trail) -> bool {
    if !enabled {
        trail.silent(rule, "the option is off");
    } else if user.is_empty() && !anonymous {
        trail.silent(rule, "the user is anonymous, for whom the option is off");
    } else {
        trail.allows(rule, "the option is on");
        return true;
    }
    false
}
