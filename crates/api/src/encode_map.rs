//! What keyed channels hold, as JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use tourbillon_node::{MapChanged, Page};
use tourbillon_types::{MapPage, Publication, StreamPosition, Tags};

use crate::encode_channel::{Data, is_zero};

#[derive(Serialize)]
pub(crate) struct WireChanged<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    epoch: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    suppressed: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    suppress_reason: &'static str,
}

impl<'a> From<&'a MapChanged> for WireChanged<'a> {
    fn from(changed: &'a MapChanged) -> Self {
        Self {
            offset: changed.position.offset,
            epoch: changed.position.epoch.as_str(),
            suppressed: changed.suppressed.is_some(),
            suppress_reason: changed.suppressed.map_or("", |why| why.as_str()),
        }
    }
}

/// A page of the state or of the stream, which has no cursor.
#[derive(Serialize)]
pub(crate) struct WireEntries<'a> {
    entries: Vec<WireEntry<'a>>,
    offset: u64,
    epoch: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cursor: &'a str,
}

impl<'a> WireEntries<'a> {
    fn new(
        entries: impl Iterator<Item = &'a Publication>,
        position: &'a StreamPosition,
        cursor: &'a str,
    ) -> Self {
        let entries = entries.map(WireEntry::from).collect();
        Self { entries, offset: position.offset, epoch: position.epoch.as_str(), cursor }
    }
}

impl<'a> From<&'a MapPage> for WireEntries<'a> {
    fn from(page: &'a MapPage) -> Self {
        Self::new(page.entries.iter().map(|entry| &**entry), &page.position, &page.cursor)
    }
}

impl<'a> From<&'a Page> for WireEntries<'a> {
    fn from(page: &'a Page) -> Self {
        Self::new(page.publications.iter().map(|change| &**change), &page.position, "")
    }
}

#[derive(Serialize)]
struct WireEntry<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Tags>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    score: i64,
    #[serde(skip_serializing_if = "is_false")]
    removed: bool,
    #[serde(skip_serializing_if = "is_nothing")]
    time: i64,
}

impl<'a> From<&'a Publication> for WireEntry<'a> {
    fn from(publication: &'a Publication) -> Self {
        let Data { json, base64 } = Data::from(&publication.data);
        Self {
            key: publication.key.as_deref().unwrap_or_default(),
            data: json,
            b64data: base64,
            tags: publication.tags.as_deref(),
            offset: publication.offset,
            score: publication.score,
            removed: publication.removed,
            time: publication.time,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WireMapStats {
    pub(crate) num_keys: usize,
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn is_nothing(number: &i64) -> bool {
    *number == 0
}
