//! From the bytes of a token's claims to typed values.
//!
//! Claims are split once into names and raw values; a repeated claim is refused, since two readers could then
//! read two things. `null` is the same as no claim.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tourbillon_types::{Channel, FilterLimits, Payload, Permissions, TagFilter, TagMatcher, Tags, UserId};

use crate::{
    Capability, ConnectClaims, InvalidToken, Matching, Overrides, SubscribeClaims, SubscriptionClaims,
};

/// The claims of a token, their values unread.
#[derive(Default)]
pub(crate) struct RawClaims<'a> {
    known: Known<'a>,
    /// The name and value of the user, where it is not `sub`.
    user: Option<Option<&'a RawValue>>,
}

macro_rules! known_claims {
    ($($field:ident = $name:literal),* $(,)?) => {
        #[derive(Default)]
        struct Known<'a> {
            $($field: Option<&'a RawValue>,)*
        }

        impl<'a> Known<'a> {
            fn put(&mut self, name: &str, value: &'a RawValue) -> Result<(), InvalidToken> {
                match name {
                    $($name => put(&mut self.$field, value, $name),)*
                    _ => Ok(()),
                }
            }
        }
    };
}

known_claims! {
    sub = "sub", exp = "exp", nbf = "nbf", iat = "iat", jti = "jti", aud = "aud", iss = "iss",
    info = "info", b64info = "b64info", data = "data", b64data = "b64data", overrides = "override",
    channels = "channels", subs = "subs", meta = "meta", expire_at = "expire_at",
    channel = "channel", client = "client", caps = "caps", labels = "labels", allow = "allow",
    server_tags_filter = "server_tags_filter",
}

fn put<'a>(
    place: &mut Option<&'a RawValue>,
    value: &'a RawValue,
    name: &'static str,
) -> Result<(), InvalidToken> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidToken::Repeated(name)),
    }
}

impl<'a> RawClaims<'a> {
    pub(crate) fn parse(payload: &'a [u8], user_id_claim: Option<&str>) -> Result<Self, InvalidToken> {
        let Entries(entries) = serde_json::from_slice(payload).map_err(|_| InvalidToken::NotAnObject)?;
        let mut claims = Self { user: user_id_claim.map(|_| None), ..Self::default() };
        for (name, value) in entries {
            if let (Some(place), Some(claim)) = (&mut claims.user, user_id_claim)
                && name == claim
            {
                put(place, value, USER_ID_CLAIM)?;
            }
            claims.known.put(&name, value)?;
        }
        Ok(claims)
    }

    /// AUTH-11. The empty text counts as absent, as it does in Centrifugo.
    pub(crate) fn check_no_channel(&self) -> Result<(), InvalidToken> {
        let channel = text(self.known.channel, "channel")?;
        if channel.is_some_and(|channel| !channel.is_empty()) {
            return Err(InvalidToken::ChannelInConnectionToken);
        }
        Ok(())
    }

    pub(crate) fn audience(&self) -> Result<Vec<Cow<'a, str>>, InvalidToken> {
        match present(self.known.aud) {
            None => Ok(Vec::new()),
            Some(json) if json.starts_with('"') => Ok(vec![parse::<Text<'a>>(json, "aud")?.0]),
            Some(json) => Ok(parse::<Vec<Text<'a>>>(json, "aud")?.into_iter().map(|Text(one)| one).collect()),
        }
    }

    pub(crate) fn issuer(&self) -> Result<Option<Cow<'a, str>>, InvalidToken> {
        text(self.known.iss, "iss")
    }

    pub(crate) fn window(&self) -> Result<Window, InvalidToken> {
        Ok(Window {
            expires: seconds(self.known.exp, "exp")?.map(|exp| exp.floor),
            not_before: seconds(self.known.nbf, "nbf")?.map(|nbf| nbf.ceil),
        })
    }

    pub(crate) fn connect_claims(&self, window: Window) -> Result<ConnectClaims, InvalidToken> {
        Ok(ConnectClaims {
            user: self.user()?,
            expire_at: self.expire_at(window)?,
            issued_at: self.issued_at()?,
            token_id: self.token_id()?,
            info: payload(self.known.info, text(self.known.b64info, "b64info")?, "b64info")?,
            meta: self.meta()?,
            subscriptions: self.subscriptions()?,
            capabilities: self.capabilities()?,
            labels: self.labels()?,
        })
    }

    pub(crate) fn subscribe_claims(&self, window: Window) -> Result<SubscribeClaims, InvalidToken> {
        let known = &self.known;
        let channel = text(known.channel, "channel")?.filter(|channel| !channel.is_empty());
        let client = text(known.client, "client")?.filter(|client| !client.is_empty());
        let overrides = present(known.overrides).map(|json| parse(json, "override")).transpose()?;
        let subscription = RawSubscription {
            info: known.info,
            b64info: text(known.b64info, "b64info")?.map(Text),
            data: known.data,
            b64data: text(known.b64data, "b64data")?.map(Text),
            overrides,
            server_tags_filter: known.server_tags_filter,
        };
        Ok(SubscribeClaims {
            user: self.user()?,
            channel: Channel::from(&*channel.ok_or(InvalidToken::NoChannel)?),
            client: client.map(Cow::into_owned),
            expire_at: self.expire_at(window)?,
            issued_at: self.issued_at()?,
            token_id: self.token_id()?,
            subscription: subscription.typed()?,
            allow: self.allow()?,
        })
    }

    fn user(&self) -> Result<UserId, InvalidToken> {
        let Some(value) = self.user else {
            return Ok(UserId::from(&*text(self.known.sub, "sub")?.unwrap_or_default()));
        };
        match present(value) {
            // Many applications number their users; Centrifugo takes such a claim as it is written.
            Some(json) if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                Ok(UserId::from(json))
            }
            _ => Ok(UserId::from(&*text(value, USER_ID_CLAIM)?.unwrap_or_default())),
        }
    }

    fn expire_at(&self, window: Window) -> Result<Option<i64>, InvalidToken> {
        Ok(match seconds(self.known.expire_at, "expire_at")? {
            None => window.expires,
            Some(at) => (at.ceil > 0).then_some(at.floor),
        })
    }

    pub(crate) fn issued_at(&self) -> Result<Option<i64>, InvalidToken> {
        Ok(seconds(self.known.iat, "iat")?.map(|iat| iat.floor))
    }

    fn token_id(&self) -> Result<Option<String>, InvalidToken> {
        Ok(text(self.known.jti, "jti")?.map(Cow::into_owned))
    }

    fn meta(&self) -> Result<Payload, InvalidToken> {
        match present(self.known.meta) {
            None => Ok(Payload::empty()),
            Some(json) if json.starts_with('{') => Ok(json_payload(json)),
            Some(_) => Err(InvalidToken::Claim("meta")),
        }
    }

    /// PRO-40. A word that is not known is refused: it was meant to allow something.
    fn capabilities(&self) -> Result<Vec<Capability>, InvalidToken> {
        let Some(json) = present(self.known.caps) else { return Ok(Vec::new()) };
        let wrong = InvalidToken::Claim("caps");
        let capability = |raw: &RawValue| {
            // Serde would take a list for the object's values in order.
            if !raw.get().starts_with('{') {
                return Err(wrong);
            }
            let RawCapability { channels, matching, allow } = parse(raw.get(), "caps")?;
            let matching = match matching.as_ref().map_or("", |Text(name)| name) {
                "" => Matching::Exact,
                "wildcard" => Matching::Wildcard,
                "regex" => Matching::Regex,
                _ => return Err(wrong),
            };
            Ok(Capability {
                channels: channels
                    .unwrap_or_default()
                    .into_iter()
                    .map(|Text(name)| name.into_owned())
                    .collect(),
                matching,
                allow: permissions(&allow.unwrap_or_default()).ok_or(wrong)?,
            })
        };
        parse::<Vec<&RawValue>>(json, "caps")?.into_iter().map(capability).collect()
    }

    /// PRO-41.
    fn allow(&self) -> Result<Permissions, InvalidToken> {
        let Some(json) = present(self.known.allow) else { return Ok(Permissions::NONE) };
        permissions(&parse::<Vec<Text<'_>>>(json, "allow")?).ok_or(InvalidToken::Claim("allow"))
    }

    /// PRO-44.
    fn labels(&self) -> Result<Tags, InvalidToken> {
        present(self.known.labels).map_or(Ok(Tags::new()), |json| parse(json, "labels"))
    }

    fn subscriptions(&self) -> Result<Vec<(Channel, SubscriptionClaims)>, InvalidToken> {
        let entries = match present(self.known.subs) {
            None => Vec::new(),
            Some(json) => parse::<Entries<'a>>(json, "subs")?.0,
        };
        if entries.is_empty() {
            return self.channels();
        }
        let mut seen = HashSet::with_capacity(entries.len());
        let mut subscriptions = Vec::with_capacity(entries.len());
        for (channel, value) in &entries {
            if channel.is_empty() {
                return Err(InvalidToken::Claim("subs"));
            }
            if !seen.insert(&**channel) {
                return Err(InvalidToken::Repeated("subs"));
            }
            let raw = match present(Some(*value)) {
                None => RawSubscription::default(),
                Some(json) if json.starts_with('{') => parse(json, "subs")?,
                Some(_) => return Err(InvalidToken::Claim("subs")),
            };
            subscriptions.push((Channel::from(&**channel), raw.typed()?));
        }
        Ok(subscriptions)
    }

    /// AUTH-07: only where there are no `subs`.
    fn channels(&self) -> Result<Vec<(Channel, SubscriptionClaims)>, InvalidToken> {
        let Some(json) = present(self.known.channels) else { return Ok(Vec::new()) };
        let mut names = parse::<Vec<Text<'a>>>(json, "channels")?;
        let mut seen = HashSet::with_capacity(names.len());
        names.retain(|Text(name)| seen.insert(name.clone()));
        if names.iter().any(|Text(name)| name.is_empty()) {
            return Err(InvalidToken::Claim("channels"));
        }
        Ok(names
            .into_iter()
            .map(|Text(name)| (Channel::from(&*name), SubscriptionClaims::default()))
            .collect())
    }
}

/// What errors call the claim of `user_id_claim`, whose name belongs to the operator.
const USER_ID_CLAIM: &str = "user_id_claim";

/// When a token may be used.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    expires: Option<i64>,
    not_before: Option<i64>,
}

impl Window {
    pub(crate) fn contains(self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires) && self.not_before.is_none_or(|from| from <= now)
    }
}

/// An object's members, in order, repeats included.
pub(crate) struct Entries<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            entries.push((name, value));
        }
        Ok(Entries(entries))
    }
}

/// A text, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An element of `subs`, or what a subscription token has of it.
#[derive(Default, serde::Deserialize)]
struct RawSubscription<'a> {
    #[serde(borrow, default)]
    info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    b64info: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    b64data: Option<Text<'a>>,
    #[serde(default, rename = "override")]
    overrides: Option<RawOverrides>,
    #[serde(borrow, default)]
    server_tags_filter: Option<&'a RawValue>,
}

impl RawSubscription<'_> {
    fn typed(self) -> Result<SubscriptionClaims, InvalidToken> {
        Ok(SubscriptionClaims {
            info: payload(self.info, self.b64info.map(|Text(text)| text), "b64info")?,
            data: payload(self.data, self.b64data.map(|Text(text)| text), "b64data")?,
            overrides: self.overrides.map(RawOverrides::typed).unwrap_or_default(),
            tags_filter: present(self.server_tags_filter).map(tags_filter).transpose()?,
        })
    }
}

/// TF-04. A filter that is not valid is refused: it was meant to hide something.
fn tags_filter(json: &str) -> Result<Arc<TagMatcher>, InvalidToken> {
    let wrong = InvalidToken::Claim("server_tags_filter");
    let filter: TagFilter = parse(json, "server_tags_filter")?;
    TagMatcher::new(&filter, FilterLimits::default()).map(Arc::new).map_err(|_| wrong)
}

/// An element of `caps`.
#[derive(serde::Deserialize)]
struct RawCapability<'a> {
    #[serde(borrow, default)]
    channels: Option<Vec<Text<'a>>>,
    #[serde(borrow, default, rename = "match")]
    matching: Option<Text<'a>>,
    #[serde(borrow, default)]
    allow: Option<Vec<Text<'a>>>,
}

fn permissions(names: &[Text<'_>]) -> Option<Permissions> {
    names.iter().map(|Text(name)| Permissions::named(name)).collect()
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RawOverrides {
    presence: Option<Switch>,
    join_leave: Option<Switch>,
    force_push_join_leave: Option<Switch>,
    force_positioning: Option<Switch>,
    force_recovery: Option<Switch>,
}

/// `{"value": true}`; without a value it means false.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Switch {
    value: Option<bool>,
}

impl RawOverrides {
    fn typed(self) -> Overrides {
        let on = |switch: Option<Switch>| switch.map(|switch| switch.value.unwrap_or_default());
        Overrides {
            presence: on(self.presence),
            join_leave: on(self.join_leave),
            force_push_join_leave: on(self.force_push_join_leave),
            force_positioning: on(self.force_positioning),
            force_recovery: on(self.force_recovery),
        }
    }
}

/// The JSON text of a value that is there and not null.
fn present(value: Option<&RawValue>) -> Option<&str> {
    value.map(RawValue::get).filter(|json| *json != "null")
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str, name: &'static str) -> Result<T, InvalidToken> {
    serde_json::from_str(json).map_err(|_| InvalidToken::Claim(name))
}

fn text<'a>(value: Option<&'a RawValue>, name: &'static str) -> Result<Option<Cow<'a, str>>, InvalidToken> {
    present(value).map(|json| parse(json, name).map(|Text(text)| text)).transpose()
}

/// A value as it is written, or what its base64 form stands for, which wins unless empty (AUTH-06).
fn payload(
    value: Option<&RawValue>,
    base64: Option<Cow<'_, str>>,
    name: &'static str,
) -> Result<Payload, InvalidToken> {
    match base64.filter(|base64| !base64.is_empty()) {
        Some(base64) => {
            let bytes = STANDARD.decode(&*base64).map_err(|_| InvalidToken::Claim(name))?;
            Ok(Payload::from(bytes))
        }
        None => Ok(present(value).map(json_payload).unwrap_or_default()),
    }
}

fn json_payload(json: &str) -> Payload {
    Payload::from_json(Bytes::copy_from_slice(json.as_bytes()))
}

/// A point in time, in whole seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seconds {
    floor: i64,
    ceil: i64,
}

/// A NumericDate (RFC 7519 section 2): any JSON number, also quoted, as Centrifugo takes it. What lies beyond the
/// range of `i64` is its end.
fn seconds(value: Option<&RawValue>, name: &'static str) -> Result<Option<Seconds>, InvalidToken> {
    let Some(json) = present(value) else { return Ok(None) };
    let quoted = json.starts_with('"').then(|| parse::<Text<'_>>(json, name)).transpose()?;
    let number = quoted.as_ref().map_or(json, |Text(text)| &**text);
    number_to_seconds(number).map(Some).ok_or(InvalidToken::Claim(name))
}

fn number_to_seconds(number: &str) -> Option<Seconds> {
    // Of what Rust reads as a float, JSON knows only this; neither names of numbers nor a leading plus.
    let is_number = number.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if !is_number {
        return None;
    }
    if let Ok(whole) = number.parse::<i64>() {
        return Some(Seconds { floor: whole, ceil: whole });
    }
    let float = number.parse::<f64>().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer saturates, which is what is wanted"
    )]
    Some(Seconds { floor: float.floor() as i64, ceil: float.ceil() as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_points_in_time() {
        for (number, floor, ceil) in [
            ("0", 0, 0),
            ("1700000000", 1_700_000_000, 1_700_000_000),
            ("1700000000.5", 1_700_000_000, 1_700_000_001),
            ("-1.5", -2, -1),
            ("1e18", 1_000_000_000_000_000_000, 1_000_000_000_000_000_000),
            ("1e300", i64::MAX, i64::MAX),
            ("1e999", i64::MAX, i64::MAX),
            ("-1e999", i64::MIN, i64::MIN),
            ("9223372036854775807", i64::MAX, i64::MAX),
            ("99999999999999999999999999", i64::MAX, i64::MAX),
            ("1e-400", 0, 0),
        ] {
            assert_eq!(number_to_seconds(number), Some(Seconds { floor, ceil }), "{number}");
        }
        for other in ["", "nan", "inf", "infinity", "+1", "0x10", "1_000", " 1", "1 ", "e5", "--1", "true"] {
            assert_eq!(number_to_seconds(other), None, "{other}");
        }
    }
}
