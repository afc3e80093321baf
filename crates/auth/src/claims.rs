//! What tokens claim.

use std::sync::Arc;

use tourbillon_types::{Channel, Payload, Permissions, TagMatcher, Tags, UserId};

/// What a genuine connection token claims.
///
/// Values come as the application wrote them: whether a channel exists is for others to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectClaims {
    /// Who connects, from `sub` or the configured claim (AUTH-01, AUTH-02). Anonymous when absent or empty.
    pub user: UserId,
    /// When the connection expires, seconds since 1970 UTC: `expire_at` if there is one, else `exp` (AUTH-10).
    /// `None` for never. May be past, if `expire_at` says so.
    pub expire_at: Option<i64>,
    /// When the token was issued (`iat`).
    pub issued_at: Option<i64>,
    /// The token's own identifier (`jti`).
    pub token_id: Option<String>,
    /// What is told of the connection to others: `b64info`, else `info` (AUTH-06).
    pub info: Payload,
    /// A JSON object that the server keeps (AUTH-09).
    pub meta: Payload,
    /// The channels that the server subscribes the connection to: `subs`, else `channels` (AUTH-07, AUTH-08).
    /// In the token's order, each once.
    pub subscriptions: Vec<(Channel, SubscriptionClaims)>,
    /// What the connection may do (`caps`, PRO-40).
    pub capabilities: Vec<Capability>,
    /// Its labels (`labels` and `labels_from_claim`, PRO-44).
    pub labels: Tags,
}

/// An element of `caps`: what may be done in some channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// The channels, or what stands for them.
    pub channels: Vec<String>,
    /// How these are read.
    pub matching: Matching,
    /// What may be done there.
    pub allow: Permissions,
}

/// How the channels of a [`Capability`] are read (`match`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Matching {
    /// They are names.
    #[default]
    Exact,
    /// `*` stands for any text.
    Wildcard,
    /// They are regular expressions, unanchored.
    Regex,
}

/// What a genuine subscription token claims.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeClaims {
    /// Who may subscribe (SUBT-11); anonymous when absent or empty.
    pub user: UserId,
    /// To which channel (SUBT-10). Not empty.
    pub channel: Channel,
    /// With which connection only (SUBT-12): the identifier as the token has it. `None` for any.
    pub client: Option<String>,
    /// When the subscription expires, seconds since 1970 UTC: `expire_at` if there is one, else `exp`.
    /// `None` for never. May be past, if `expire_at` says so.
    pub expire_at: Option<i64>,
    /// When the token was issued (`iat`).
    pub issued_at: Option<i64>,
    /// The token's own identifier (`jti`).
    pub token_id: Option<String>,
    /// Info, data and overrides of the subscription (SUBT-13).
    pub subscription: SubscriptionClaims,
    /// What the subscription lets its client do in the channel besides (`allow`, PRO-41).
    pub allow: Permissions,
}

/// What a token says about one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionClaims {
    /// What is told of the subscriber to others in the channel: `b64info`, else `info`.
    pub info: Payload,
    /// Data for the subscriber: `b64data`, else `data`.
    pub data: Payload,
    /// Options of the channel that this subscription has otherwise.
    pub overrides: Overrides,
    /// Which publications the subscriber is let have (`server_tags_filter`, TF-04); `None` for all.
    pub tags_filter: Option<Arc<TagMatcher>>,
}

/// Options of a channel that a token sets for one subscription (`override`). `None` leaves the channel's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// `presence`.
    pub presence: Option<bool>,
    /// `join_leave`.
    pub join_leave: Option<bool>,
    /// `force_push_join_leave`.
    pub force_push_join_leave: Option<bool>,
    /// `force_positioning`.
    pub force_positioning: Option<bool>,
    /// `force_recovery`.
    pub force_recovery: Option<bool>,
}
