//! What was decided, and why.

use std::fmt;

use smallvec::SmallVec;
use tourbillon_node::Refusal;
use tourbillon_types::Disconnect;

/// A rule that a decision may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The channel's namespace exists (CH-03).
    Namespace,
    /// The channel's name is ASCII, or matches `channel_regex` (CH-02, CH-06).
    ChannelName,
    /// The channel has subscriptions of the kind that is asked for (OPT-22).
    SubscriptionType,
    /// The application signed the keys (PERM-07).
    TrackSignature,
    /// A channel with the private prefix needs a token (CH-04).
    PrivatePrefix,
    /// A subscription token decides (SUBT-10..13).
    Token,
    /// What the connection's token lets it do (`caps`, PRO-40).
    Capabilities,
    /// What the subscription lets the client do (`allow`, PRO-41).
    SubscriptionAllow,
    /// `subscribe_cel` (PRO-42).
    SubscribeCel,
    /// `publish_cel` (PRO-42).
    PublishCel,
    /// `presence_cel` (PRO-42).
    PresenceCel,
    /// `history_cel` (PRO-42).
    HistoryCel,
    /// The channel's name lists its users (`allow_user_limited_channels`, CH-05).
    UserLimited,
    /// `subscribe_proxy_enabled`: a backend decides (OPT-20).
    SubscribeProxy,
    /// `subscribe_stream_proxy_enabled`: a backend decides, and has the publications (OPT-21).
    SubscribeStreamProxy,
    /// `publish_proxy_enabled`: a backend decides (OPT-20).
    PublishProxy,
    /// `map.publish_proxy_enabled`: a backend decides (MAP-09).
    MapPublishProxy,
    /// `map.remove_proxy_enabled`: a backend decides (MAP-09).
    MapRemoveProxy,
    /// The key that a client changes is there (`map.client_key`, MAP-07).
    MapClientKey,
    /// `map.allow_publish_for_client`, with `map.allow_publish_for_anonymous` (MAP-08).
    MapAllowPublishForClient,
    /// `map.allow_publish_for_subscriber`, with `map.allow_publish_for_anonymous` (MAP-08).
    MapAllowPublishForSubscriber,
    /// `map.allow_remove_for_client`, with `map.allow_remove_for_anonymous` (MAP-08).
    MapAllowRemoveForClient,
    /// `map.allow_remove_for_subscriber`, with `map.allow_remove_for_anonymous` (MAP-08).
    MapAllowRemoveForSubscriber,
    /// `allow_subscribe_for_client`, with `allow_subscribe_for_anonymous` (OPT-13).
    AllowSubscribeForClient,
    /// The data has the channel's format (`publication_data_format`, OPT-19).
    DataFormat,
    /// `allow_publish_for_client`, with `allow_publish_for_anonymous` (OPT-14).
    AllowPublishForClient,
    /// `allow_publish_for_subscriber`, with `allow_publish_for_anonymous` (OPT-14).
    AllowPublishForSubscriber,
    /// Who is in the channel is known at all (`presence`, OPT-01).
    Presence,
    /// `allow_presence_for_client`, with `allow_presence_for_anonymous` (OPT-15).
    AllowPresenceForClient,
    /// `allow_presence_for_subscriber`, with `allow_presence_for_anonymous` (OPT-15).
    AllowPresenceForSubscriber,
    /// Publications are kept at all (`history_size` and `history_ttl`, OPT-04).
    History,
    /// `allow_history_for_client`, with `allow_history_for_anonymous` (OPT-16).
    AllowHistoryForClient,
    /// `allow_history_for_subscriber`, with `allow_history_for_anonymous` (OPT-16).
    AllowHistoryForSubscriber,
    /// `client.insecure` (MODE-03, HID-61).
    Insecure,
    /// What no rule allows is refused.
    Otherwise,
}

impl Rule {
    /// The rule's name, which is that of the option where one option stands for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::ChannelName => "channel_regex",
            Self::SubscriptionType => "subscription_type",
            Self::TrackSignature => "track_signature",
            Self::PrivatePrefix => "private_prefix",
            Self::Token => "token",
            Self::Capabilities => "caps",
            Self::SubscriptionAllow => "allow",
            Self::SubscribeCel => "subscribe_cel",
            Self::PublishCel => "publish_cel",
            Self::PresenceCel => "presence_cel",
            Self::HistoryCel => "history_cel",
            Self::UserLimited => "allow_user_limited_channels",
            Self::SubscribeProxy => "subscribe_proxy_enabled",
            Self::SubscribeStreamProxy => "subscribe_stream_proxy_enabled",
            Self::PublishProxy => "publish_proxy_enabled",
            Self::MapPublishProxy => "map.publish_proxy_enabled",
            Self::MapRemoveProxy => "map.remove_proxy_enabled",
            Self::MapClientKey => "map.client_key",
            Self::MapAllowPublishForClient => "map.allow_publish_for_client",
            Self::MapAllowPublishForSubscriber => "map.allow_publish_for_subscriber",
            Self::MapAllowRemoveForClient => "map.allow_remove_for_client",
            Self::MapAllowRemoveForSubscriber => "map.allow_remove_for_subscriber",
            Self::AllowSubscribeForClient => "allow_subscribe_for_client",
            Self::DataFormat => "publication_data_format",
            Self::AllowPublishForClient => "allow_publish_for_client",
            Self::AllowPublishForSubscriber => "allow_publish_for_subscriber",
            Self::Presence => "presence",
            Self::AllowPresenceForClient => "allow_presence_for_client",
            Self::AllowPresenceForSubscriber => "allow_presence_for_subscriber",
            Self::History => "history_size",
            Self::AllowHistoryForClient => "allow_history_for_client",
            Self::AllowHistoryForSubscriber => "allow_history_for_subscriber",
            Self::Insecure => "client.insecure",
            Self::Otherwise => "otherwise",
        }
    }

    /// Whether a request that it allows is not decided yet: somebody else is asked.
    #[must_use]
    pub const fn asks(self) -> bool {
        matches!(
            self,
            Self::SubscribeProxy
                | Self::SubscribeStreamProxy
                | Self::PublishProxy
                | Self::MapPublishProxy
                | Self::MapRemoveProxy
        )
    }
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has nothing to say here, or its condition is not met: the next rule is looked at.
    Silent,
    /// It demands something, which is given: the next rule is looked at.
    Satisfied,
    /// It allows the request: no other rule matters.
    Allows,
    /// It leaves the request to a backend: no other rule matters.
    Asks,
    /// It refuses the request: no other rule matters.
    Refuses,
}

impl Outcome {
    /// The outcome's name, as a verb.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Satisfied => "satisfied",
            Self::Allows => "allows",
            Self::Asks => "asks",
            Self::Refuses => "refuses",
        }
    }
}

/// A rule that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, in words.
    pub why: &'static str,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.rule.name(), self.outcome.name(), self.why)
    }
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// This rule allows it, or [asks](Rule::asks) somebody else.
    Allowed(Rule),
    /// An error reply or a disconnect answers it.
    Refused(Refusal),
}

/// What was decided, and every rule that was looked at on the way, in order. The last one decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    verdict: Verdict,
    steps: Steps,
    detail: Option<Box<str>>,
}

/// The longest ladder has nine rules.
type Steps = SmallVec<[Step; 9]>;

impl Decision {
    /// Decides by a function that notes its rules.
    pub(crate) fn make(decide: impl FnOnce(&mut Trail) -> Result<Rule, Refusal>) -> Self {
        let mut trail = Trail::default();
        let verdict = match decide(&mut trail) {
            Ok(rule) => Verdict::Allowed(rule),
            Err(refusal) => Verdict::Refused(refusal),
        };
        Self { verdict, steps: trail.steps, detail: trail.detail }
    }

    /// How the request ends.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The rules that were looked at.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Why an expression of a rule could not be evaluated, if one could not.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The rule that decided.
    #[must_use]
    pub fn deciding(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// Whether the request is allowed, as far as it is decided here.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed(_))
    }

    /// The rule that allows the request, or what answers it.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn into_result(self) -> Result<Rule, Refusal> {
        match self.verdict {
            Verdict::Allowed(rule) => Ok(rule),
            Verdict::Refused(refusal) => Err(refusal),
        }
    }
}

/// The refusal with a reason in its text. The code stays: clients must not match on texts.
pub(crate) fn with_reason(refusal: Refusal, reason: &dyn fmt::Display) -> Refusal {
    match refusal {
        Refusal::Error(error) => {
            let message = format!("{}: {reason}", error.message);
            error.with_message(message).into()
        }
        Refusal::Disconnect(disconnect) => {
            let mut text = format!("{}: {reason}", disconnect.reason);
            let ends = (0..=Disconnect::MAX_REASON).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(ends.unwrap_or_default());
            Disconnect::custom(disconnect.code, text).into()
        }
    }
}

/// Notes rules while a decision is made.
#[derive(Default)]
pub(crate) struct Trail {
    steps: Steps,
    detail: Option<Box<str>>,
}

impl Trail {
    fn note(&mut self, rule: Rule, outcome: Outcome, why: &'static str) {
        self.steps.push(Step { rule, outcome, why });
    }

    pub(crate) fn silent(&mut self, rule: Rule, why: &'static str) {
        self.note(rule, Outcome::Silent, why);
    }

    /// Notes why an expression cannot be evaluated.
    pub(crate) fn failed(&mut self, rule: Rule, why: String) {
        self.silent(rule, "the expression cannot be evaluated");
        self.detail = Some(why.into());
    }

    pub(crate) fn satisfied(&mut self, rule: Rule, why: &'static str) {
        self.note(rule, Outcome::Satisfied, why);
    }

    pub(crate) fn allows(&mut self, rule: Rule, why: &'static str) -> Rule {
        self.note(rule, Outcome::Allows, why);
        rule
    }

    /// Leaves the decision to a backend.
    pub(crate) fn asks(&mut self, rule: Rule) -> Rule {
        self.note(rule, Outcome::Asks, "the application's backend decides");
        rule
    }

    pub(crate) fn refuses(&mut self, rule: Rule, why: &'static str, refusal: impl Into<Refusal>) -> Refusal {
        self.note(rule, Outcome::Refuses, why);
        refusal.into()
    }
}
