//! What one node has connections of the others told (CTL-05). Unlike Centrifugo's, it says all that it says to connections
//! of its own (HID-86), and waits until they have been told.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tourbillon_hooks::{RecoveryMode, RefreshDecision, SubscriptionOptions};
use tourbillon_types::{
    Channel, ClientId, Disconnect, Epoch, FilterLimits, MapPresence, Payload, Permissions, SessionId,
    StreamPosition, TagFilter, TagMatcher, Unsubscribe, UserId,
};

use crate::control;

/// The question whether an [`Order`] was carried out.
pub const ORDER: &str = "order";

/// Which connections are meant: those of a user, or one of them, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The user; the empty one means connections without a name, not all (HID-71).
    pub user: UserId,
    /// The connections of all users, whatever `user` is (PRO-51).
    pub all_users: bool,
    /// Only this connection.
    pub client: Option<ClientId>,
    /// Only the connection with this secret.
    pub session: Option<SessionId>,
    /// Only connections whose labels it matches (PRO-51).
    pub labels: Option<Arc<TagMatcher>>,
}

impl Target {
    /// All connections of a user.
    #[must_use]
    pub const fn user(user: UserId) -> Self {
        Self { user, all_users: false, client: None, session: None, labels: None }
    }

    /// All connections there are.
    #[must_use]
    pub const fn everybody() -> Self {
        Self { user: UserId::anonymous(), all_users: true, client: None, session: None, labels: None }
    }
}

/// Something that connections are to be told.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which connections.
    pub target: Target,
    /// But not these.
    pub except: Vec<ClientId>,
    /// What.
    pub what: Wanted,
}

/// What is wanted of a connection.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// That it is subscribed to a channel (API-22).
    Subscribe {
        /// The channel.
        channel: Channel,
        /// How the subscription behaves.
        options: Box<SubscriptionOptions>,
    },
    /// That a subscription of it ends (API-23).
    Unsubscribe {
        /// The channel.
        channel: Channel,
        /// Why.
        why: Unsubscribe,
    },
    /// That it ends (API-24).
    Disconnect(Disconnect),
    /// That it expires at another time (API-25). Of the decision, `expired`, `expire_at` and `info` count.
    Refresh(Box<RefreshDecision>),
    /// That it sends its client data that belongs to no channel (PUSH-05).
    Message(Payload),
    /// That it asks whether it may stay.
    Recheck,
}

impl Order {
    /// The data of the question.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        use control::order::What as Wire;
        let what = match &self.what {
            Wanted::Subscribe { channel, options } => Wire::Subscribe(subscribe(channel, options)),
            Wanted::Unsubscribe { channel, why } => Wire::Unsubscribe(control::Unsubscribe {
                channel: channel.as_str().to_owned(),
                why: Some(control::End { code: why.code, reason: why.reason.clone().into_owned() }),
            }),
            Wanted::Disconnect(why) => {
                Wire::Disconnect(control::End { code: why.code, reason: why.reason.clone().into_owned() })
            }
            Wanted::Refresh(decision) => Wire::Refresh(control::Refresh {
                expired: decision.expired,
                expire_at: decision.expire_at,
                info: decision.info.as_ref().map(|info| info.bytes().clone()),
            }),
            Wanted::Message(data) => Wire::Message(data.bytes().clone()),
            Wanted::Recheck => Wire::Recheck(control::Recheck {}),
        };
        let target = Some(target(&self.target, &self.except));
        control::Order { target, what: Some(what) }.encode_to_vec().into()
    }

    /// Reads such data; `None` if it is none, or has something that this release cannot hold to.
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        use control::order::What as Wire;
        let control::Order { target, what } = control::Order::decode(bytes).ok()?;
        let (target, except) = read_target(target?)?;
        let what = match what? {
            Wire::Subscribe(subscribe) => read_subscribe(subscribe)?,
            Wire::Unsubscribe(control::Unsubscribe { channel, why }) => {
                let control::End { code, reason } = why?;
                let why = Unsubscribe { code, reason: Cow::Owned(reason) };
                Wanted::Unsubscribe { channel: Channel::from(channel), why }
            }
            Wire::Disconnect(control::End { code, reason }) => {
                Wanted::Disconnect(Disconnect { code, reason: Cow::Owned(reason) })
            }
            Wire::Refresh(control::Refresh { expired, expire_at, info }) => {
                let mut decision = RefreshDecision::until(expire_at);
                decision.expired = expired;
                decision.info = info.map(Payload::new);
                Wanted::Refresh(Box::new(decision))
            }
            Wire::Message(data) => Wanted::Message(Payload::new(data)),
            Wire::Recheck(control::Recheck {}) => Wanted::Recheck,
        };
        Some(Self { target, except, what })
    }
}

fn target(target: &Target, except: &[ClientId]) -> control::Target {
    control::Target {
        all_users: target.all_users,
        user: target.user.as_str().to_owned(),
        client: target.client.map(|client| client.to_string()).unwrap_or_default(),
        session: target.session.map(|session| session.text().as_str().to_owned()).unwrap_or_default(),
        labels: target.labels.as_deref().map(|labels| filter(labels.to_filter())),
        except: except.iter().map(ToString::to_string).collect(),
    }
}

fn read_target(wire: control::Target) -> Option<(Target, Vec<ClientId>)> {
    let one = |text: String| (!text.is_empty()).then_some(text);
    let target = Target {
        user: UserId::from(wire.user),
        all_users: wire.all_users,
        client: one(wire.client).map(|client| client.parse()).transpose().ok()?,
        session: one(wire.session).map(|session| session.parse()).transpose().ok()?,
        labels: wire.labels.map(matcher).transpose().ok()?,
    };
    let except = wire.except.iter().map(|client| client.parse()).collect::<Result<_, _>>().ok()?;
    Some((target, except))
}

fn filter(from: TagFilter) -> control::Filter {
    let TagFilter { op, key, cmp, val, vals, nodes } = from;
    control::Filter { op, key, cmp, val, vals, nodes: nodes.into_iter().map(filter).collect() }
}

fn unfiltered(from: control::Filter) -> TagFilter {
    let control::Filter { op, key, cmp, val, vals, nodes } = from;
    TagFilter { op, key, cmp, val, vals, nodes: nodes.into_iter().map(unfiltered).collect() }
}

/// An error where it is none that can be evaluated: what it leaves out must stay out.
fn matcher(from: control::Filter) -> Result<Arc<TagMatcher>, tourbillon_types::FilterError> {
    TagMatcher::new(&unfiltered(from), FilterLimits::default()).map(Arc::new)
}

fn subscribe(channel: &Channel, options: &SubscriptionOptions) -> control::Subscribe {
    let position = |since: &StreamPosition| control::Position {
        offset: since.offset,
        epoch: since.epoch.as_str().to_owned(),
    };
    let presence = |of: fn(&MapPresence) -> Option<&Channel>| {
        let channel = options.map_presence.as_deref().and_then(of);
        channel.map(|channel| channel.as_str().to_owned()).unwrap_or_default()
    };
    control::Subscribe {
        channel: channel.as_str().to_owned(),
        expire_at: options.expire_at,
        info: options.info.bytes().clone(),
        data: options.data.bytes().clone(),
        positioned: options.positioned,
        recoverable: options.recoverable,
        cache: options.recovery_mode == RecoveryMode::Cache,
        auto_cache_recover: options.auto_cache_recover,
        presence: options.presence,
        join_leave: options.join_leave,
        push_join_leave: options.push_join_leave,
        recover_since: options.recover_since.as_ref().map(position),
        allow_delta: options.allow_delta,
        allow_tags_filter: options.allow_tags_filter,
        server_tags_filter: options.server_tags_filter.as_deref().map(|server| filter(server.to_filter())),
        allow_channel_compaction: options.allow_channel_compaction,
        keep_latest_publication: options.keep_latest_publication,
        publish_debounce: u64::try_from(options.publish_debounce.as_millis()).unwrap_or(u64::MAX),
        allow: options.allow.bits().into(),
        revocable: options.revocable,
        map_clients: presence(|presence| presence.clients.as_ref()),
        map_users: presence(|presence| presence.users.as_ref()),
        remove_client_on_unsubscribe: options.remove_client_on_unsubscribe,
    }
}

fn read_subscribe(wire: control::Subscribe) -> Option<Wanted> {
    let mut options = Box::<SubscriptionOptions>::default();
    options.expire_at = wire.expire_at;
    options.info = Payload::new(wire.info);
    options.data = Payload::new(wire.data);
    options.positioned = wire.positioned;
    options.recoverable = wire.recoverable;
    options.recovery_mode = if wire.cache { RecoveryMode::Cache } else { RecoveryMode::Stream };
    options.auto_cache_recover = wire.auto_cache_recover;
    options.presence = wire.presence;
    options.join_leave = wire.join_leave;
    options.push_join_leave = wire.push_join_leave;
    options.recover_since = wire
        .recover_since
        .map(|since| StreamPosition { offset: since.offset, epoch: Epoch::from(since.epoch.as_str()) });
    options.allow_delta = wire.allow_delta;
    options.allow_tags_filter = wire.allow_tags_filter;
    options.server_tags_filter = wire.server_tags_filter.map(matcher).transpose().ok()?;
    options.allow_channel_compaction = wire.allow_channel_compaction;
    options.keep_latest_publication = wire.keep_latest_publication;
    options.publish_debounce = Duration::from_millis(wire.publish_debounce);
    options.allow = Permissions::from_bits(u8::try_from(wire.allow & 0xff).unwrap_or_default());
    options.revocable = wire.revocable;
    let presence = |name: String| (!name.is_empty()).then(|| Channel::from(name));
    let presence = MapPresence { clients: presence(wire.map_clients), users: presence(wire.map_users) };
    options.map_presence = (presence != MapPresence::default()).then(|| Box::new(presence));
    options.remove_client_on_unsubscribe = wire.remove_client_on_unsubscribe;
    Some(Wanted::Subscribe { channel: Channel::from(wire.channel), options })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(target: Target, what: Wanted) -> Order {
        let except = vec![ClientId::from_random([3; 16])];
        Order::decode(Order { target, except, what }.encode()).expect("understood")
    }

    fn some_filter() -> Arc<TagMatcher> {
        let leaf = |key: &str, cmp: &str, val: &str| TagFilter {
            key: key.to_owned(),
            cmp: cmp.to_owned(),
            val: val.to_owned(),
            ..TagFilter::default()
        };
        let nodes = vec![leaf("region", "eq", "eu"), leaf("build", "lt", "300.5")];
        let filter = TagFilter { op: "or".to_owned(), nodes, ..TagFilter::default() };
        Arc::new(TagMatcher::new(&filter, FilterLimits::default()).expect("sound"))
    }

    /// Nothing of it is as by default.
    fn options() -> SubscriptionOptions {
        let mut options = SubscriptionOptions::default();
        options.expire_at = Some(-7);
        options.info = "{\"a\":1}".into();
        options.data = "[]".into();
        options.positioned = true;
        options.recoverable = true;
        options.recovery_mode = RecoveryMode::Cache;
        options.auto_cache_recover = true;
        options.presence = true;
        options.join_leave = true;
        options.push_join_leave = true;
        options.recover_since = Some(StreamPosition { offset: 9, epoch: Epoch::from("xyz") });
        options.allow_delta = true;
        options.allow_tags_filter = true;
        options.server_tags_filter = Some(some_filter());
        options.allow_channel_compaction = true;
        options.keep_latest_publication = true;
        options.publish_debounce = Duration::from_millis(250);
        options.allow = Permissions::PUBLISH | Permissions::HISTORY;
        options.revocable = true;
        let (clients, users) = (Some(Channel::from("c:a")), Some(Channel::from("u:a")));
        options.map_presence = Some(Box::new(MapPresence { clients, users }));
        options.remove_client_on_unsubscribe = true;
        options
    }

    #[test]
    fn whom_it_is_for_is_heard() {
        let mut target = Target::user(UserId::from("ann"));
        target.client = Some(ClientId::from_random([1; 16]));
        target.session = Some(SessionId::from_random([2; 16]));
        target.labels = Some(some_filter());
        for target in [target, Target::everybody(), Target::user(UserId::anonymous())] {
            let order = round_trip(target.clone(), Wanted::Recheck);
            assert_eq!((order.target, order.except), (target, vec![ClientId::from_random([3; 16])]));
        }
    }

    #[test]
    fn what_is_wanted_is_heard() {
        let everybody = Target::everybody;
        let (channel, why) = (Channel::from("a:b"), Unsubscribe::SERVER);
        let heard =
            round_trip(everybody(), Wanted::Unsubscribe { channel: channel.clone(), why: why.clone() });
        assert!(matches!(heard.what, Wanted::Unsubscribe { channel: c, why: w } if c == channel && w == why));
        let heard = round_trip(everybody(), Wanted::Disconnect(Disconnect::FORCE_DISCONNECT));
        assert!(matches!(heard.what, Wanted::Disconnect(why) if why == Disconnect::FORCE_DISCONNECT));
        let (mut decision, mut expired) = (RefreshDecision::until(Some(5)), RefreshDecision::until(None));
        decision.info = Some("1".into());
        expired.expired = true;
        for decision in [expired, decision] {
            let heard = round_trip(everybody(), Wanted::Refresh(Box::new(decision.clone())));
            assert!(matches!(heard.what, Wanted::Refresh(heard) if *heard == decision));
        }
        let heard = round_trip(everybody(), Wanted::Message("{}".into()));
        assert!(matches!(heard.what, Wanted::Message(data) if data == Payload::from("{}")));
        assert!(matches!(round_trip(everybody(), Wanted::Recheck).what, Wanted::Recheck));
    }

    /// HID-86.
    #[test]
    fn a_subscription_behaves_the_same_on_every_node() {
        let (channel, options) = (Channel::from("a"), Box::new(options()));
        // A new option has to be carried, too, and to be in `options` above.
        let (default, ours) = (SubscriptionOptions::default(), format!("{options:#?}"));
        let fields = |text: &str| -> Vec<String> {
            let of_the_struct = |line: &&str| line.starts_with("    ") && !line.starts_with("     ");
            text.lines().filter(of_the_struct).filter(|line| line.contains(": ")).map(str::to_owned).collect()
        };
        for (default, ours) in fields(&format!("{default:#?}")).iter().zip(fields(&ours)) {
            assert_ne!(*default, ours, "it is as by default");
        }
        let subscribe = Wanted::Subscribe { channel: channel.clone(), options: options.clone() };
        let Wanted::Subscribe { channel: c, options: o } = round_trip(Target::everybody(), subscribe).what
        else {
            panic!("it is something else");
        };
        assert_eq!((c, o), (channel, options));
    }

    #[test]
    fn what_cannot_be_held_to_is_not_understood() {
        let bad =
            control::Filter { cmp: "odd".to_owned(), key: "a".to_owned(), ..control::Filter::default() };
        let target = control::Target { labels: Some(bad.clone()), ..control::Target::default() };
        let recheck = control::order::What::Recheck(control::Recheck {});
        let order = |target, what| control::Order { target: Some(target), what: Some(what) }.encode_to_vec();
        assert!(Order::decode(order(target, recheck.clone()).into()).is_none());
        let subscribe = control::Subscribe { server_tags_filter: Some(bad), ..control::Subscribe::default() };
        let subscribe = control::order::What::Subscribe(subscribe);
        assert!(Order::decode(order(control::Target::default(), subscribe).into()).is_none());
        let target = control::Target { client: "none".to_owned(), ..control::Target::default() };
        assert!(Order::decode(order(target, recheck.clone()).into()).is_none());
        assert!(
            Order::decode(control::Order { target: None, what: Some(recheck) }.encode_to_vec().into())
                .is_none()
        );
        assert!(Order::decode(Bytes::new()).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _ = Order::decode(Bytes::from(bytes));
        }
    }
}
