//! The permission ladders (PERM-01 to PERM-08): rules in a fixed order, of which the first that speaks decides.

use tourbillon_auth::{FetchError, InvalidToken, Overrides, SubscribeClaims, TokenError};
use tourbillon_node::{Client, ClientRights, Refusal, SubscribeRequest, SubscriptionKind};
use tourbillon_types::{Disconnect, Payload, Permissions, ReplyError, Tags};

use crate::caps::Caps;
use crate::decision::{Decision, Rule, Trail};
use crate::expression::{Expression, Facts};
use crate::namespaces::{ChannelRules, Namespaces, Resolved};

/// What is known of who asks besides the name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// What the connection's token lets it do (PRO-40).
    pub capabilities: Option<&'a Caps>,
    /// What the subscription lets the client do (PRO-41).
    pub allow: Permissions,
    /// What the application keeps about the connection: a JSON object.
    pub meta: Option<&'a Payload>,
    /// The connection's labels (PRO-44).
    pub labels: Option<&'a Tags>,
}

impl<'a> From<&'a Client> for Attributes<'a> {
    fn from(client: &'a Client) -> Self {
        Self {
            capabilities: client.terms.rights().and_then(ClientRights::get),
            allow: Permissions::NONE,
            meta: Some(&*client.meta),
            labels: client.terms.labels(),
        }
    }
}

impl Attributes<'_> {
    /// The same, subscribed with these permissions.
    #[must_use]
    pub const fn with_allow(mut self, allow: Permissions) -> Self {
        self.allow = allow;
        self
    }
}

/// A client wants to subscribe.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeQuery<'a> {
    /// To which channel.
    pub channel: &'a str,
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// What else is known of it.
    pub attributes: Attributes<'a>,
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
    /// What else is known of it.
    pub attributes: Attributes<'a>,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What.
    pub data: &'a Payload,
}

/// A client wants to know who is in a channel, or what was published there.
#[derive(Clone, Copy, Debug)]
pub struct ReadQuery<'a> {
    /// Which channel.
    pub channel: &'a str,
    /// The user; empty for the anonymous one.
    pub user: &'a str,
    /// What else is known of it.
    pub attributes: Attributes<'a>,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
}

/// What a client asks for as it subscribes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// To know its position in the stream.
    pub positioned: bool,
    /// To catch up on what it missed.
    pub recoverable: bool,
    /// To be told who comes and goes.
    pub join_leave: bool,
}

impl From<&SubscribeRequest> for Asked {
    fn from(request: &SubscribeRequest) -> Self {
        let SubscribeRequest { positioned, recoverable, join_leave, .. } = *request;
        Self { positioned, recoverable, join_leave }
    }
}

/// What a subscription gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Features {
    /// It is seen by those who ask who is there.
    pub presence: bool,
    /// Its coming and going is told to others.
    pub join_leave: bool,
    /// It is told who comes and goes.
    pub push_join_leave: bool,
    /// It knows its position in the stream.
    pub positioned: bool,
    /// It can catch up on what it missed.
    pub recoverable: bool,
}

/// Who asks about a channel.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) channel: &'a str,
    pub(crate) user: &'a str,
    pub(crate) attributes: Attributes<'a>,
    subscribed: bool,
}

impl<'a> Asking<'a> {
    pub(crate) const fn new(
        channel: &'a str,
        user: &'a str,
        attributes: Attributes<'a>,
        subscribed: bool,
    ) -> Self {
        Self { channel, user, attributes, subscribed }
    }
}

/// What can be read of a channel.
#[derive(Clone, Copy)]
enum Content {
    Presence,
    History,
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
    /// Whether it is genuine cannot be said: its keys could not be fetched.
    Unavailable(FetchError),
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

    /// What came of it, in words.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Absent => "no token came with the request",
            Self::Genuine => "the token allows it",
            Self::Expired => "the token's time is over, or has not come",
            Self::Invalid(_) => "the token is not genuine",
            Self::Unavailable(_) => "the token's keys cannot be fetched",
            Self::OtherChannel => "the token is for another channel",
            Self::OtherUser => "the token is for another user",
            Self::OtherClient => "the token is for another client",
        }
    }
}

impl From<TokenError> for TokenCheck {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::Expired,
            TokenError::Invalid(reason) => Self::Invalid(reason),
            TokenError::KeysUnavailable(reason) => Self::Unavailable(reason),
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
        if let Err(error) = channel.rules.kind.check(query.kind) {
            let why = match channel.rules.kind {
                SubscriptionKind::Stream => "the channel has streams only",
                _ => "the channel has another type of subscriptions",
            };
            return Err(trail.refuses(Rule::SubscriptionType, why, error));
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
        if self.by_capabilities(query.channel, &query.attributes, Permissions::SUBSCRIBE, trail) {
            return Ok(Rule::Capabilities);
        }
        let users = channel.name.users.filter(|_| channel.rules.allow_user_limited_channels);
        if let Some(users) = users {
            if self.grammar().lists(users, query.user) {
                return Ok(trail.allows(Rule::UserLimited, "the channel's name lists the user"));
            }
            trail.silent(Rule::UserLimited, "the channel's name does not list the user");
        } else {
            // A user-limited channel skips what stands here (HID-84).
            let rules = channel.rules;
            if rules.proxies.subscribe.is_some() {
                return Ok(trail.asks(Rule::SubscribeProxy));
            }
            if rules.proxies.subscribe_stream.is_some() {
                return Ok(trail.asks(Rule::SubscribeStreamProxy));
            }
            let [client, anonymous] = [rules.allow_subscribe_for_client, rules.allow_subscribe_for_anonymous];
            if by_option(Rule::AllowSubscribeForClient, client, anonymous, query.user, trail) {
                return Ok(Rule::AllowSubscribeForClient);
            }
            let who = Asking::new(query.channel, query.user, query.attributes, false);
            if self.by_expression(Rule::SubscribeCel, rules.subscribe_cel.as_ref(), who, trail) {
                return Ok(Rule::SubscribeCel);
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
        if rules.proxies.publish.is_some() {
            return Ok(trail.asks(Rule::PublishProxy));
        }
        if rules.proxies.subscribe_stream.is_some() {
            if rules.proxies.bidirectional {
                return Ok(trail.asks(Rule::SubscribeStreamProxy));
            }
            let why = "the channel's publications come from a stream alone";
            return Err(trail.refuses(Rule::SubscribeStreamProxy, why, ReplyError::NOT_AVAILABLE));
        }
        let anonymous = rules.allow_publish_for_anonymous;
        let client = rules.allow_publish_for_client;
        if by_option(Rule::AllowPublishForClient, client, anonymous, query.user, trail) {
            return Ok(Rule::AllowPublishForClient);
        }
        let rule = Rule::AllowPublishForSubscriber;
        let subscriber = rules.allow_publish_for_subscriber;
        if while_subscribed(rule, subscriber, anonymous, query.user, query.subscribed, trail) {
            return Ok(rule);
        }
        let who = Asking::new(query.channel, query.user, query.attributes, query.subscribed);
        let cel = (Rule::PublishCel, rules.publish_cel.as_ref());
        self.by_attributes(who, Permissions::PUBLISH, cel, trail).map_or_else(|| self.otherwise(trail), Ok)
    }

    /// Decides whether a client may ask who is in a channel, and how many (PERM-03).
    #[must_use]
    pub fn check_presence(&self, query: &ReadQuery<'_>) -> Decision {
        Decision::make(|trail| self.read(query, Content::Presence, trail))
    }

    /// Decides whether a client may ask for past publications (PERM-04).
    #[must_use]
    pub fn check_history(&self, query: &ReadQuery<'_>) -> Decision {
        Decision::make(|trail| self.read(query, Content::History, trail))
    }

    fn read(&self, query: &ReadQuery<'_>, content: Content, trail: &mut Trail) -> Result<Rule, Refusal> {
        let Resolved { rules, .. } = self.enter(query.channel, trail)?;
        let (rule, there) = match content {
            Content::Presence => (Rule::Presence, rules.presence),
            Content::History => (Rule::History, rules.history),
        };
        if !there {
            return Err(trail.refuses(rule, "the channel has none", ReplyError::NOT_AVAILABLE));
        }
        trail.satisfied(rule, "the channel has it");
        let who = Asking::new(query.channel, query.user, query.attributes, query.subscribed);
        match self.may_read(rules, content, who, trail) {
            Some(rule) => Ok(rule),
            None => self.otherwise(trail),
        }
    }

    /// The option that lets a user read, if one does. Insecure mode is not asked.
    fn may_read(
        &self,
        rules: &ChannelRules,
        content: Content,
        who: Asking<'_>,
        trail: &mut Trail,
    ) -> Option<Rule> {
        let Asking { user, subscribed, .. } = who;
        let (wanted, cel) = match content {
            Content::Presence => (Permissions::PRESENCE, (Rule::PresenceCel, rules.presence_cel.as_ref())),
            Content::History => (Permissions::HISTORY, (Rule::HistoryCel, rules.history_cel.as_ref())),
        };
        let (by_client, client, by_subscriber, subscriber, anonymous) = match content {
            Content::Presence => (
                Rule::AllowPresenceForClient,
                rules.allow_presence_for_client,
                Rule::AllowPresenceForSubscriber,
                rules.allow_presence_for_subscriber,
                rules.allow_presence_for_anonymous,
            ),
            Content::History => (
                Rule::AllowHistoryForClient,
                rules.allow_history_for_client,
                Rule::AllowHistoryForSubscriber,
                rules.allow_history_for_subscriber,
                rules.allow_history_for_anonymous,
            ),
        };
        if by_option(by_client, client, anonymous, user, trail) {
            return Some(by_client);
        }
        if while_subscribed(by_subscriber, subscriber, anonymous, user, subscribed, trail) {
            return Some(by_subscriber);
        }
        self.by_attributes(who, wanted, cel, trail)
    }

    /// What lets a client do something that the options of the namespace do not: capabilities of its connection or of
    /// its subscription, or an expression. Rules that are not there are not noted.
    pub(crate) fn by_attributes(
        &self,
        who: Asking<'_>,
        wanted: Permissions,
        (rule, expression): (Rule, Option<&Expression>),
        trail: &mut Trail,
    ) -> Option<Rule> {
        if self.by_capabilities(who.channel, &who.attributes, wanted, trail) {
            return Some(Rule::Capabilities);
        }
        if who.subscribed && !who.attributes.allow.is_empty() {
            if who.attributes.allow.has(wanted) {
                return Some(trail.allows(Rule::SubscriptionAllow, "the subscription allows it"));
            }
            trail.silent(Rule::SubscriptionAllow, "the subscription does not allow it");
        }
        self.by_expression(rule, expression, who, trail).then_some(rule)
    }

    fn by_capabilities(
        &self,
        channel: &str,
        attributes: &Attributes<'_>,
        wanted: Permissions,
        trail: &mut Trail,
    ) -> bool {
        let Some(caps) = attributes.capabilities else { return false };
        let allows = caps.allow(channel, wanted);
        if allows {
            trail.allows(Rule::Capabilities, "the connection's token allows it");
        } else {
            trail.silent(Rule::Capabilities, "the connection's token does not allow it");
        }
        allows
    }

    fn by_expression(
        &self,
        rule: Rule,
        expression: Option<&Expression>,
        who: Asking<'_>,
        trail: &mut Trail,
    ) -> bool {
        let Some(expression) = expression else { return false };
        let Asking { channel, user, attributes, subscribed } = who;
        let facts = Facts {
            subscribed,
            user,
            channel,
            meta: attributes.meta,
            labels: attributes.labels,
            vars: self.variables(channel),
        };
        match expression.holds(facts) {
            Ok(true) => {
                trail.allows(rule, "the expression is true");
                return true;
            }
            Ok(false) => trail.silent(rule, "the expression is not true"),
            Err(why) => trail.failed(rule, why),
        }
        false
    }

    /// What a subscription that is granted gets: what the channel has for all, or its token in place of that
    /// (SUBT-15), and what it asks for, as far as it may (PERM-05).
    ///
    /// # Errors
    ///
    /// 102 where the channel's namespace is unknown (CH-03).
    pub fn features(
        &self,
        channel: &str,
        user: &str,
        attributes: Attributes<'_>,
        asked: Asked,
        token: Overrides,
    ) -> Result<Features, ReplyError> {
        let who = Asking::new(channel, user, attributes, true);
        Ok(self.features_by(self.find(channel)?.rules, who, asked, token))
    }

    /// The same by the channel's rules.
    pub(crate) fn features_by(
        &self,
        rules: &ChannelRules,
        who: Asking<'_>,
        asked: Asked,
        token: Overrides,
    ) -> Features {
        let may = |content| {
            // It is not noted: nothing is refused, the subscription only gets less.
            let mut trail = Trail::default();
            self.is_insecure() || self.may_read(rules, content, who, &mut trail).is_some()
        };
        Features {
            presence: token.presence.unwrap_or(rules.presence),
            join_leave: token.join_leave.unwrap_or(rules.join_leave),
            push_join_leave: token.force_push_join_leave.unwrap_or(rules.force_push_join_leave)
                || (asked.join_leave && rules.join_leave && may(Content::Presence)),
            positioned: token.force_positioning.unwrap_or(rules.force_positioning)
                || (asked.positioned && (rules.allow_positioning || may(Content::History))),
            recoverable: token.force_recovery.unwrap_or(rules.force_recovery)
                || (asked.recoverable && (rules.allow_recovery || may(Content::History))),
        }
    }

    /// What every ladder begins with: the channel is one that there can be.
    pub(crate) fn enter<'a>(&'a self, channel: &'a str, trail: &mut Trail) -> Result<Resolved<'a>, Refusal> {
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
    pub(crate) fn otherwise(&self, trail: &mut Trail) -> Result<Rule, Refusal> {
        if self.is_insecure() {
            return Ok(trail.allows(Rule::Insecure, "insecure mode allows what no rule refuses"));
        }
        Err(trail.refuses(Rule::Otherwise, "no rule allows it", ReplyError::PERMISSION_DENIED))
    }
}

/// A token decides where there is one: nothing else is looked at (HID-52, HID-84).
fn by_token(token: TokenCheck, trail: &mut Trail) -> Option<Result<Rule, Refusal>> {
    let refusal: Refusal = match token {
        TokenCheck::Absent => {
            trail.silent(Rule::Token, token.why());
            return None;
        }
        TokenCheck::Genuine => return Some(Ok(trail.allows(Rule::Token, token.why()))),
        TokenCheck::Expired => ReplyError::TOKEN_EXPIRED.into(),
        TokenCheck::Invalid(_) => ReplyError::PERMISSION_DENIED.into(),
        TokenCheck::Unavailable(_) => ReplyError::INTERNAL.into(),
        TokenCheck::OtherChannel | TokenCheck::OtherUser | TokenCheck::OtherClient => {
            Disconnect::INVALID_TOKEN.into()
        }
    };
    Some(Err(trail.refuses(Rule::Token, token.why(), refusal)))
}

/// Whether an option allows users something, with the one that extends it to the anonymous user.
pub(crate) fn by_option(rule: Rule, enabled: bool, anonymous: bool, user: &str, trail: &mut Trail) -> bool {
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

/// The same for an option that holds for subscribers only.
pub(crate) fn while_subscribed(
    rule: Rule,
    enabled: bool,
    anonymous: bool,
    user: &str,
    subscribed: bool,
    trail: &mut Trail,
) -> bool {
    if enabled && !subscribed {
        trail.silent(rule, "the client is not subscribed");
        return false;
    }
    by_option(rule, enabled, anonymous, user, trail)
}
