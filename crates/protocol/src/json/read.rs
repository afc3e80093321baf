//! What reading any JSON message needs: parsing with borrowed payloads, objects that are objects, and `null`s.
//!
//! Keys are compared exactly. A key that is not ours is skipped; one of ours that comes twice is an error, because a
//! message must not mean different things to different readers. In maps of the application (`subs`, `headers`,
//! `tags`) the last of equal keys counts, as in Protobuf.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use tourbillon_types::{Epoch, Payload, StreamPosition, Text};

use crate::DecodeError;

/// Parses one message. UTF-8 is checked once for all of it, so that nothing inside needs to be checked again.
pub(super) fn parse<'de, T: Deserialize<'de>>(bytes: &'de Bytes) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| DecodeError::Json { reason: "not UTF-8", at: error.valid_up_to() + 1 })?;
    serde_json::from_str::<Object<T>>(text).map(|Object(message)| message).map_err(|error| {
        // The parser's own text may quote what it read, which can be a token: it goes no further.
        let reason = match error.classify() {
            Category::Syntax | Category::Io => "malformed",
            Category::Data => "not of the expected shape",
            Category::Eof => "unexpected end",
        };
        DecodeError::Json { reason, at: error.column() }
    })
}

/// The value as a part of the message's own memory.
pub(super) fn payload(message: &Bytes, raw: Option<&RawValue>) -> Payload {
    raw.map_or_else(Payload::empty, |raw| Payload::from_json(message.slice_ref(raw.get().as_bytes())))
}

/// For payloads, where `null` is a value like any other and not an absence.
pub(super) fn raw<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A field that is zero when it is absent or `null`.
#[derive(Default)]
pub(super) struct Nullable<T>(pub(super) T);

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| Self(value.unwrap_or_default()))
    }
}

/// A short text, empty when it is absent or `null`, read without a copy on the heap.
#[derive(Default)]
pub(super) struct WireText(pub(super) Text);

impl<'de> Deserialize<'de> for WireText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Characters;

        impl<'de> Visitor<'de> for Characters {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::from(text))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Text, E> {
                Ok(Text::new())
            }

            fn visit_none<E: serde::de::Error>(self) -> Result<Text, E> {
                Ok(Text::new())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
                deserializer.deserialize_str(self)
            }
        }

        deserializer.deserialize_option(Characters).map(Self)
    }
}

pub(super) fn position(offset: u64, epoch: &str) -> StreamPosition {
    StreamPosition { offset, epoch: Epoch::from(epoch) }
}

/// A message, which is an object: what serde derives would take an array of the fields too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// A message without fields that we know.
#[derive(Default, Deserialize)]
pub(super) struct WireEmpty {}
