//! How the generated messages are JSON.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What is null is empty, as backends in many languages write it.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What is an object is no list of its fields, as serde would have it: an empty one would allow things.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Option::<Box<RawValue>>::deserialize(deserializer)?;
    value.map(|value| from_object(value.get().as_bytes())).transpose().map_err(D::Error::custom)
}

/// Reads an object.
pub(crate) fn from_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde_json::Error::custom("is no object"));
    }
    serde_json::from_slice(text)
}

/// What is empty is left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bytes that are a JSON value, which is passed through as it is.
pub(crate) mod raw {
    use bytes::Bytes;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue =
            serde_json::from_slice(bytes).map_err(|_| S::Error::custom("data that is not JSON"))?;
        value.serialize(serializer)
    }

    /// Null is no value.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let value = Option::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(value.map(|value| Bytes::from(String::from(Box::<str>::from(value)))).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::from_object;
    use crate::proto::{ConnectResponse, PublishRequest, SubscribeResponse};

    #[test]
    fn what_is_empty_is_left_out_but_for_who_asks() {
        let request = PublishRequest { channel: "news".to_owned(), ..PublishRequest::default() };
        assert_eq!(
            serde_json::to_string(&request).expect("JSON"),
            r#"{"client":"","transport":"","protocol":"","encoding":"","user":"","channel":"news"}"#
        );
    }

    #[test]
    fn data_passes_through_as_it_is() {
        let data = Bytes::from_static(br#"{"a": [1.50,  "x"]}"#);
        let request = PublishRequest { data: data.clone(), ..PublishRequest::default() };
        let text = serde_json::to_string(&request).expect("JSON");
        assert!(text.ends_with(r#","data":{"a": [1.50,  "x"]}}"#), "{text}");
        let read: PublishRequest = serde_json::from_str(&text).expect("reads back");
        assert_eq!(read.data, data);
    }

    #[test]
    fn data_that_is_not_json_cannot_be_written() {
        for wrong in [&b"\xff\x00"[..], b"{", b"1 2"] {
            let request = PublishRequest { data: Bytes::copy_from_slice(wrong), ..PublishRequest::default() };
            assert!(serde_json::to_string(&request).is_err());
        }
    }

    #[test]
    fn null_is_nothing_and_unknown_fields_are_passed_over() {
        let text = r#"{"error":null,"future":{"x":1},"disconnect":null,
            "result":{"user":null,"expire_at":null,"info":null,"channels":null,"subs":null,"labels":null,"more":[]}}"#;
        let response: ConnectResponse = serde_json::from_str(text).expect("is read");
        assert_eq!(response.error, None);
        assert_eq!(response.disconnect, None);
        assert_eq!(response.result, Some(crate::proto::ConnectResult::default()));
    }

    #[test]
    fn overrides_are_objects_with_a_value() {
        let text =
            r#"{"result":{"override":{"presence":{"value":true},"join_leave":{},"force_recovery":null}}}"#;
        let response: SubscribeResponse = serde_json::from_str(text).expect("is read");
        let options = response.result.and_then(|result| result.r#override).expect("there");
        assert_eq!(options.presence.map(|value| value.value), Some(true));
        assert_eq!(options.join_leave.map(|value| value.value), Some(false));
        assert_eq!(options.force_recovery, None);
    }

    #[test]
    fn another_shape_is_an_error() {
        for wrong in [
            "",
            "[]",
            "null",
            "{} {}",
            r#"{"result":[]}"#,
            r#"{"result":"x"}"#,
            r#"{"error":{"code":"x"}}"#,
            r#"{"disconnect":[]}"#,
        ] {
            assert!(from_object::<ConnectResponse>(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
