//! JSON to commands.
//!
//! Fields that are not known are ignored, so that newer client libraries work. A field that is known and asks for
//! something that this server does not do yet is refused, never ignored.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tourbillon_node::{HistoryQuery, Target};
use tourbillon_types::{
    Channel, Disconnect, Epoch, FilterLimits, Payload, StreamPosition, TagFilter, TagMatcher, Tags, UserId,
};

use crate::command::{
    ApiCommand, ApiError, Batch, BlockUser, Broadcast, Channels, Content, DisconnectUser, History,
    InvalidateUserTokens, Overrides, Publish, Refresh, RevokeToken, Rpc, Subscribe, Unsubscribe,
};
use crate::decode_map::{
    WireMapPublish, WireMapReadState, WireMapReadStream, WireMapRemove, WireSharedPollPublish,
};
use crate::explain::WireExplain;
use crate::method::Method;
use crate::service::absent;

/// Bytes that are no command of the named method (API-06). The text is for who sent them: parts of them may be in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub(crate) String);

impl DecodeError {
    /// Where it went wrong, for logs: `line 1 column 7`. `None` where that is not known.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.0.rsplit_once(" at ").map(|(_, place)| place).filter(|place| {
            let is_word = |word: &str| word == "line" || word == "column" || word.parse::<u64>().is_ok();
            place.split(' ').all(is_word)
        })
    }
}

impl ApiCommand {
    /// Reads a command as it is over HTTP: the name of the method, and the JSON of the body.
    ///
    /// # Errors
    ///
    /// A body that is not what the method takes, or a method that there is none of.
    pub fn read(method: &str, body: &Bytes) -> Result<Self, DecodeError> {
        let method = Method::named(method).ok_or_else(|| DecodeError("no such method".to_owned()))?;
        decode(method, body)
    }
}

/// Reads the body of a call.
pub(crate) fn decode(method: Method, body: &Bytes) -> Result<ApiCommand, DecodeError> {
    match method {
        Method::Publish => parse::<WirePublish<'_>>(body)?.into_publish(body),
        Method::Broadcast => parse::<WirePublish<'_>>(body)?.into_broadcast(body),
        Method::Subscribe => parse::<WireSubscribe<'_>>(body)?.into_command(body),
        Method::Unsubscribe => parse::<WireUnsubscribe>(body)?.into_command(),
        Method::Disconnect => parse::<WireDisconnect>(body)?.into_command(),
        Method::Refresh => parse::<WireRefresh<'_>>(body)?.into_command(body),
        Method::Info => parse::<WireNothing>(body).map(|_| ApiCommand::Info),
        Method::Channels => {
            let pattern = parse::<WireChannels>(body)?.pattern.unwrap_or_default();
            Ok(ApiCommand::Channels(Channels { pattern }))
        }
        Method::Rpc => {
            Ok(ApiCommand::Rpc(Rpc { method: parse::<WireRpc>(body)?.method.unwrap_or_default() }))
        }
        Method::Batch => batch(body),
        Method::Explain => parse::<WireExplain<'_>>(body)?.into_command(body),
        Method::BlockUser | Method::UnblockUser | Method::RevokeToken | Method::InvalidateUserTokens => {
            Ok(parse::<WireRevocation>(body)?.into_command(method))
        }
        Method::MapPublish => parse::<WireMapPublish<'_>>(body)?.into_command(body),
        Method::MapRemove => Ok(parse::<WireMapRemove>(body)?.into_command()),
        Method::MapReadState => Ok(parse::<WireMapReadState>(body)?.into_command()),
        Method::MapReadStream => Ok(parse::<WireMapReadStream>(body)?.into_command()),
        Method::MapStats => channel(body).map(ApiCommand::MapStats),
        Method::MapClear => channel(body).map(ApiCommand::MapClear),
        Method::SharedPollPublish => parse::<WireSharedPollPublish<'_>>(body)?.into_command(body),
        Method::History => Ok(parse::<WireHistory>(body)?.into_command()),
        Method::HistoryRemove => channel(body).map(ApiCommand::HistoryRemove),
        Method::Presence => channel(body).map(ApiCommand::Presence),
        Method::PresenceStats => channel(body).map(ApiCommand::PresenceStats),
    }
}

fn channel(body: &Bytes) -> Result<Channel, DecodeError> {
    Ok(Channel::from(parse::<WireChannel>(body)?.channel.unwrap_or_default()))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|error| DecodeError(error.to_string()))?;
    // Serde would take a list for an object, member by member.
    if !is_object(text) {
        return Err(DecodeError("the body must be a JSON object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| DecodeError(error.to_string()))
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn batch(body: &Bytes) -> Result<ApiCommand, DecodeError> {
    let wire: WireBatch<'_> = parse(body)?;
    let commands = wire.commands.unwrap_or_default().into_iter();
    Ok(ApiCommand::Batch(Batch {
        commands: commands.map(|command| batch_command(body, command)).collect(),
        parallel: wire.parallel.unwrap_or_default(),
    }))
}

/// One command of a batch: an object with one member, named like its method.
fn batch_command(body: &Bytes, raw: &RawValue) -> Result<ApiCommand, ApiError> {
    let bad = |what: &str| ApiError::BAD_REQUEST.with_message(what.to_owned());
    if !is_object(raw.get()) {
        return Err(bad("a command must be a JSON object"));
    }
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| bad(&error.to_string()))?;
    let given = |method: Method| members.get(method.name()).filter(|params| params.get() != "null");
    let Some((method, params)) =
        Method::IN_BATCH.into_iter().find_map(|method| Some((method, *given(method)?)))
    else {
        return Err(ApiError::NOT_FOUND);
    };
    let params = body.slice_ref(params.get().as_bytes());
    decode(method, &params).map_err(|error| bad(&format!("{}: {error}", method.name())))
}

/// An object, and nothing that serde would take for one, such as a list.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[derive(Deserialize)]
struct WireNothing {}

#[derive(Deserialize)]
struct WireRpc {
    #[serde(default)]
    method: Option<String>,
}

#[derive(Deserialize)]
struct WireChannel {
    #[serde(default)]
    channel: Option<String>,
}

#[derive(Deserialize)]
struct WireHistory {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    limit: Option<i32>,
    #[serde(default)]
    since: Option<Object<WirePosition>>,
    #[serde(default)]
    reverse: Option<bool>,
}

#[derive(Deserialize)]
struct WirePosition {
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    epoch: Option<String>,
}

impl From<WirePosition> for StreamPosition {
    fn from(wire: WirePosition) -> Self {
        let epoch = Epoch::from(wire.epoch.unwrap_or_default().as_str());
        Self { offset: wire.offset.unwrap_or_default(), epoch }
    }
}

impl WireHistory {
    fn into_command(self) -> ApiCommand {
        let since = self.since.map(|Object(since)| StreamPosition::from(since));
        let (limit, reverse) = (self.limit.unwrap_or_default(), self.reverse.unwrap_or_default());
        let channel = Channel::from(self.channel.unwrap_or_default());
        ApiCommand::History(History { channel, query: HistoryQuery::of_api(since, limit, reverse) })
    }
}

#[derive(Deserialize)]
struct WireBatch<'a> {
    #[serde(borrow, default)]
    commands: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    parallel: Option<bool>,
}

/// A member that is `null` is there: it is the JSON value `null`.
pub(crate) fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The data of a command: JSON as it is, or anything in base64, which wins (HID-12).
pub(crate) fn payload(
    body: &Bytes,
    name: &str,
    raw: Option<&RawValue>,
    base64: Option<&str>,
) -> Result<Payload, DecodeError> {
    if let Some(base64) = base64.filter(|base64| !base64.is_empty()) {
        let decoded = STANDARD.decode(base64);
        return decoded
            .map(Payload::from)
            .map_err(|error| DecodeError(format!("b64{name}: not base64: {error}")));
    }
    Ok(raw.map_or_else(Payload::empty, |raw| Payload::from_json(body.slice_ref(raw.get().as_bytes()))))
}

/// A command that asks for something that is not there yet.
pub(crate) fn unavailable(field: &'static str) -> ApiCommand {
    ApiCommand::Refused(absent(field))
}

/// What `publish` and `broadcast` take; they differ in `channel` and `channels`.
#[derive(Deserialize)]
struct WirePublish<'a> {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    skip_history: Option<bool>,
    #[serde(default)]
    tags: Option<Tags>,
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    delta: Option<bool>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    version_epoch: Option<String>,
}

impl WirePublish<'_> {
    fn content(&mut self, body: &Bytes) -> Result<Content, DecodeError> {
        Ok(Content {
            data: payload(body, "data", self.data, self.b64data.as_deref())?,
            skip_history: self.skip_history.unwrap_or_default(),
            tags: self.tags.take().filter(|tags| !tags.is_empty()).map(Arc::new),
            idempotency_key: self.idempotency_key.take().unwrap_or_default(),
            delta: self.delta.unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            version_epoch: self.version_epoch.take().unwrap_or_default(),
        })
    }

    fn into_publish(mut self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        let content = self.content(body)?;
        Ok(ApiCommand::Publish(Publish { channel: Channel::from(self.channel.unwrap_or_default()), content }))
    }

    fn into_broadcast(mut self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        let content = self.content(body)?;
        let channels = self.channels.unwrap_or_default().into_iter().map(Channel::from).collect();
        Ok(ApiCommand::Broadcast(Broadcast { channels, content }))
    }
}

/// Whose connections are meant. An identifier that nothing can have means nobody's.
pub(crate) fn target(
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
    label_filter: Option<&TagFilter>,
    all_users: Option<bool>,
) -> Result<Target, DecodeError> {
    let user = user.unwrap_or_default();
    // Who names a user means that one (PRO-51).
    let mut target = if all_users.unwrap_or_default() && user.is_empty() {
        Target::everybody()
    } else {
        Target::user(UserId::from(user))
    };
    target.labels = label_filter.map(|filter| matcher("label_filter", filter)).transpose()?;
    if let Some(client) = client.filter(|client| !client.is_empty()) {
        let Ok(client) = client.parse() else { return Ok(nobody()) };
        target.client = Some(client);
    }
    if let Some(session) = session.filter(|session| !session.is_empty()) {
        let Ok(session) = session.parse() else { return Ok(nobody()) };
        target.session = Some(session);
    }
    Ok(target)
}

/// An identifier that is none of ours names no connection; the call succeeds on none, as in the original.
fn nobody() -> Target {
    let mut target = Target::user(UserId::anonymous());
    target.client = Some(tourbillon_types::ClientId::from_random([0; 16]));
    target
}

#[derive(Deserialize)]
struct WireSubscribe<'a> {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    session: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    #[serde(default)]
    b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    expire_at: Option<i64>,
    #[serde(default)]
    recover_since: Option<Object<WirePosition>>,
    #[serde(default)]
    server_tags_filter: Option<TagFilter>,
    #[serde(rename = "override", default)]
    overrides: Option<Object<WireOverride>>,
    #[serde(default)]
    label_filter: Option<TagFilter>,
    #[serde(default)]
    all_users: Option<bool>,
}

#[derive(Deserialize)]
struct WireOverride {
    #[serde(default)]
    presence: Option<Object<WireBool>>,
    #[serde(default)]
    join_leave: Option<Object<WireBool>>,
    #[serde(default)]
    force_recovery: Option<Object<WireBool>>,
    #[serde(default)]
    force_positioning: Option<Object<WireBool>>,
    #[serde(default)]
    force_push_join_leave: Option<Object<WireBool>>,
}

#[derive(Deserialize)]
struct WireBool {
    #[serde(default)]
    value: Option<bool>,
}

impl From<WireOverride> for Overrides {
    fn from(wire: WireOverride) -> Self {
        let value =
            |switch: Option<Object<WireBool>>| switch.map(|Object(switch)| switch.value.unwrap_or_default());
        Self {
            presence: value(wire.presence),
            join_leave: value(wire.join_leave),
            force_push_join_leave: value(wire.force_push_join_leave),
            force_recovery: value(wire.force_recovery),
            force_positioning: value(wire.force_positioning),
        }
    }
}

impl WireSubscribe<'_> {
    fn into_command(self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        Ok(ApiCommand::Subscribe(Box::new(Subscribe {
            target: target(self.user, self.client, self.session, self.label_filter.as_ref(), self.all_users)?,
            channel: Channel::from(self.channel.unwrap_or_default()),
            info: payload(body, "info", self.info, self.b64info.as_deref())?,
            data: payload(body, "data", self.data, self.b64data.as_deref())?,
            expire_at: self.expire_at.filter(|at| *at != 0),
            server_tags_filter: self
                .server_tags_filter
                .as_ref()
                .map(|filter| matcher("server_tags_filter", filter))
                .transpose()?,
            recover_since: self.recover_since.map(|Object(since)| StreamPosition::from(since)),
            overrides: self.overrides.map(|Object(overrides)| Overrides::from(overrides)).unwrap_or_default(),
        })))
    }
}

/// It leaves something out, so one that is not valid is never passed over.
fn matcher(member: &str, filter: &TagFilter) -> Result<Arc<TagMatcher>, DecodeError> {
    let matcher = TagMatcher::new(filter, FilterLimits::default());
    matcher.map(Arc::new).map_err(|error| DecodeError(format!("{member}: {error}")))
}

#[derive(Deserialize)]
struct WireUnsubscribe {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    label_filter: Option<TagFilter>,
    #[serde(default)]
    all_users: Option<bool>,
}

impl WireUnsubscribe {
    fn into_command(self) -> Result<ApiCommand, DecodeError> {
        Ok(ApiCommand::Unsubscribe(Unsubscribe {
            target: target(self.user, self.client, self.session, self.label_filter.as_ref(), self.all_users)?,
            channel: Channel::from(self.channel.unwrap_or_default()),
        }))
    }
}

#[derive(Deserialize)]
struct WireDisconnect {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    whitelist: Option<Vec<String>>,
    #[serde(default)]
    disconnect: Option<Object<WireReason>>,
    #[serde(default)]
    label_filter: Option<TagFilter>,
    #[serde(default)]
    all_users: Option<bool>,
}

/// Why connections end, if clients can be told so.
pub(crate) fn reason(code: u32, reason: String) -> Result<Disconnect, ApiError> {
    if (3000..=4999).contains(&code) && reason.len() <= Disconnect::MAX_REASON {
        return Ok(Disconnect::custom(code, reason));
    }
    let message = "disconnect: the code must be 3000 to 4999 and the reason at most 123 bytes";
    Err(ApiError::BAD_REQUEST.with_message(message))
}

#[derive(Deserialize)]
struct WireReason {
    #[serde(default)]
    code: Option<u32>,
    #[serde(default)]
    reason: Option<String>,
}

impl WireDisconnect {
    fn into_command(self) -> Result<ApiCommand, DecodeError> {
        let why = match self.disconnect {
            None => Disconnect::FORCE_DISCONNECT,
            Some(Object(WireReason { code, reason: text })) => {
                match reason(code.unwrap_or_default(), text.unwrap_or_default()) {
                    Ok(why) => why,
                    Err(error) => return Ok(ApiCommand::Refused(error)),
                }
            }
        };
        let whitelist = self.whitelist.unwrap_or_default();
        Ok(ApiCommand::Disconnect(DisconnectUser {
            target: target(self.user, self.client, self.session, self.label_filter.as_ref(), self.all_users)?,
            why,
            whitelist: whitelist.iter().filter_map(|client| client.parse().ok()).collect(),
        }))
    }
}

#[derive(Deserialize)]
struct WireRefresh<'a> {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    expired: Option<bool>,
    #[serde(default)]
    expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    #[serde(default)]
    label_filter: Option<TagFilter>,
    #[serde(default)]
    all_users: Option<bool>,
}

impl WireRefresh<'_> {
    fn into_command(self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        Ok(ApiCommand::Refresh(Refresh {
            target: target(self.user, self.client, self.session, self.label_filter.as_ref(), self.all_users)?,
            expired: self.expired.unwrap_or_default(),
            expire_at: self.expire_at.filter(|at| *at != 0),
            info: self.info.map(|info| Payload::from_json(body.slice_ref(info.get().as_bytes()))),
        }))
    }
}

#[derive(Deserialize)]
struct WireChannels {
    #[serde(default)]
    pattern: Option<String>,
}

/// What the methods about users and tokens take; they differ in what they look at.
#[derive(Deserialize)]
struct WireRevocation {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    expire_at: Option<i64>,
    #[serde(default)]
    issued_before: Option<i64>,
    #[serde(default)]
    channel: Option<String>,
}

impl WireRevocation {
    fn into_command(self, method: Method) -> ApiCommand {
        let user = UserId::from(self.user.unwrap_or_default());
        let expire_at = self.expire_at.filter(|at| *at != 0);
        match method {
            Method::BlockUser => ApiCommand::BlockUser(BlockUser { user, expire_at }),
            Method::UnblockUser => ApiCommand::UnblockUser(user),
            Method::RevokeToken => {
                ApiCommand::RevokeToken(RevokeToken { uid: self.uid.unwrap_or_default(), expire_at })
            }
            _ => ApiCommand::InvalidateUserTokens(InvalidateUserTokens {
                user,
                channel: self.channel.filter(|channel| !channel.is_empty()).map(Channel::from),
                issued_before: self.issued_before.filter(|at| *at != 0),
                expire_at,
            }),
        }
    }
}

/// The members that the decoder knows of what a method takes.
#[cfg(test)]
pub(crate) fn fields(method: Method) -> &'static [&'static str] {
    use serde::de::Error as _;

    /// Notes which members a type asks for, and ends there.
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(Self::Error::custom("noted"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn of<'a, T: Deserialize<'a>>() -> &'static [&'static str] {
        let mut fields: &[&str] = &["nothing was asked for"];
        let _ = T::deserialize(Asked(&mut fields));
        fields
    }

    match method {
        Method::Publish | Method::Broadcast => of::<WirePublish<'_>>(),
        Method::Subscribe => of::<WireSubscribe<'_>>(),
        Method::Unsubscribe => of::<WireUnsubscribe>(),
        Method::Disconnect => of::<WireDisconnect>(),
        Method::Refresh => of::<WireRefresh<'_>>(),
        Method::Info => of::<WireNothing>(),
        Method::Channels => of::<WireChannels>(),
        Method::Rpc => of::<WireRpc>(),
        Method::Batch => of::<WireBatch<'_>>(),
        Method::Explain => of::<WireExplain<'_>>(),
        Method::BlockUser | Method::UnblockUser | Method::RevokeToken | Method::InvalidateUserTokens => {
            of::<WireRevocation>()
        }
        Method::History => of::<WireHistory>(),
        Method::MapPublish => of::<WireMapPublish<'_>>(),
        Method::MapRemove => of::<WireMapRemove>(),
        Method::MapReadState => of::<WireMapReadState>(),
        Method::MapReadStream => of::<WireMapReadStream>(),
        Method::SharedPollPublish => of::<WireSharedPollPublish<'_>>(),
        Method::HistoryRemove
        | Method::Presence
        | Method::PresenceStats
        | Method::MapStats
        | Method::MapClear => of::<WireChannel>(),
    }
}
