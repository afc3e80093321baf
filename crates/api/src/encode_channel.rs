//! What channels keep, as JSON: publications and members.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use tourbillon_node::{DataFormat, Member, Page};
use tourbillon_types::{ClientInfo, Payload, Publication, Tags};

/// A payload: as it is where it is JSON, and in base64 where it is not, as JSON cannot carry it otherwise.
pub(crate) struct Data<'a> {
    pub(crate) json: Option<&'a RawValue>,
    pub(crate) base64: Option<String>,
}

impl<'a> From<&'a Payload> for Data<'a> {
    fn from(payload: &'a Payload) -> Self {
        if payload.is_empty() {
            return Self { json: None, base64: None };
        }
        let is_json = payload.is_known_json() || DataFormat::Json.accepts(payload);
        let text = std::str::from_utf8(payload.bytes()).ok().filter(|_| is_json);
        match text.and_then(|text| serde_json::from_str(text).ok()) {
            Some(json) => Self { json: Some(json), base64: None },
            None => Self { json: None, base64: Some(STANDARD.encode(payload.bytes())) },
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WireHistory<'a> {
    publications: Vec<WirePublication<'a>>,
    epoch: &'a str,
    offset: u64,
}

impl<'a> From<&'a Page> for WireHistory<'a> {
    fn from(page: &'a Page) -> Self {
        Self {
            publications: page.publications.iter().map(|publication| (&**publication).into()).collect(),
            epoch: page.position.epoch.as_str(),
            offset: page.position.offset,
        }
    }
}

#[derive(Serialize)]
struct WirePublication<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<WireInfo<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Tags>,
}

impl<'a> From<&'a Publication> for WirePublication<'a> {
    fn from(publication: &'a Publication) -> Self {
        let Data { json, base64 } = Data::from(&publication.data);
        Self {
            data: json,
            b64data: base64,
            info: publication.info.as_deref().map(WireInfo::from),
            offset: publication.offset,
            tags: publication.tags.as_deref(),
        }
    }
}

pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct WireInfo<'a> {
    user: &'a str,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64conn_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chan_info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64chan_info: Option<String>,
}

impl<'a> From<&'a ClientInfo> for WireInfo<'a> {
    fn from(info: &'a ClientInfo) -> Self {
        let (connection, channel) = (Data::from(&info.connection), Data::from(&info.channel));
        Self {
            user: &info.user,
            client: info.client.map(|client| client.to_string()).unwrap_or_default(),
            conn_info: connection.json,
            b64conn_info: connection.base64,
            chan_info: channel.json,
            b64chan_info: channel.base64,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WirePresence<'a> {
    pub(crate) presence: Members<'a>,
}

pub(crate) struct Members<'a>(pub(crate) &'a [Member]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (client, info) in self.0 {
            map.serialize_entry(&client.to_string(), &WireInfo::from(&**info))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
pub(crate) struct WirePresenceStats {
    pub(crate) num_clients: usize,
    pub(crate) num_users: usize,
}
