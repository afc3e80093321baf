//! What a backend makes of keys that clients want to set or remove (PRX-33, PRX-34).

use std::sync::Arc;

use tourbillon_broker::MapPublishOptions;
use tourbillon_hooks::{MapPublishDecision, MapRemoveDecision};
use tourbillon_types::KeyMode;

use crate::answers::{Nonsense, Unfit, either};
use crate::proto;

/// A key that is set. Ranks and data for the stream alone are not looked at: no channel has them.
pub(crate) fn publish(result: Option<proto::MapPublishResult>) -> Result<MapPublishDecision, Unfit> {
    let Some(result) = result else { return Ok(MapPublishDecision::default()) };
    let data = either("b64data", result.data, &result.b64data)?;
    let mut options = MapPublishOptions::default();
    options.tags = (!result.tags.is_empty()).then(|| Arc::new(result.tags));
    options.idempotency_key = result.idempotency_key;
    options.delta = result.delta;
    options.version = result.version;
    options.version_epoch = result.version_epoch;
    options.mode = match result.key_mode.as_str() {
        "" | "replace" => KeyMode::Replace,
        "if_new" => KeyMode::IfNew,
        "if_exists" => KeyMode::IfExists,
        _ => return Err(Unfit::Nonsense(Nonsense::KeyMode)),
    };
    Ok(MapPublishDecision::Publish {
        key: key(&result.key),
        data: (!data.is_empty()).then_some(data),
        options: Box::new(options),
    })
}

/// A key that is removed.
pub(crate) fn remove(result: Option<proto::MapRemoveResult>) -> Result<MapRemoveDecision, Unfit> {
    let Some(result) = result else { return Ok(MapRemoveDecision::default()) };
    let mut decision = MapRemoveDecision::default();
    if let MapRemoveDecision::Remove { key: other, options } = &mut decision {
        *other = key(&result.key);
        options.tags = (!result.tags.is_empty()).then(|| Arc::new(result.tags));
        options.idempotency_key = result.idempotency_key;
    }
    Ok(decision)
}

/// An empty one leaves that of the client.
fn key(key: &str) -> Option<Arc<str>> {
    (!key.is_empty()).then(|| Arc::from(key))
}

#[cfg(test)]
mod tests {
    use tourbillon_types::{Payload, Tags};

    use super::*;

    fn result<R: serde::de::DeserializeOwned>(text: &str) -> Option<R> {
        Some(serde_json::from_str(text).expect("an answer"))
    }

    #[test]
    fn prx_33_a_key_is_set_as_the_backend_wants_it() {
        let text = r#"{"key":"k","data":{"n":1},"tags":{"a":"b"},"key_mode":"if_new","idempotency_key":"i",
            "delta":true,"version":7,"version_epoch":"e","score":1,"stream_data":2}"#;
        let MapPublishDecision::Publish { key, data, options } = publish(result(text)).expect("allowed")
        else {
            panic!("is set")
        };
        assert_eq!((key.as_deref(), data), (Some("k"), Some(Payload::from(r#"{"n":1}"#))));
        assert_eq!((options.mode, options.delta, options.version), (KeyMode::IfNew, true, 7));
        assert_eq!((&*options.idempotency_key, &*options.version_epoch), ("i", "e"));
        assert_eq!(options.tags.as_deref(), Some(&Tags::from([("a".to_owned(), "b".to_owned())])));
        for text in ["{}", r#"{"key_mode":"replace"}"#] {
            assert_eq!(publish(result(text)), Ok(MapPublishDecision::default()), "what the client has");
        }
        assert_eq!(publish(None), Ok(MapPublishDecision::default()));
        assert_eq!(publish(result(r#"{"key_mode":"x"}"#)), Err(Unfit::Nonsense(Nonsense::KeyMode)));
    }

    #[test]
    fn prx_34_a_key_is_removed_as_the_backend_wants_it() {
        assert_eq!(remove(None), Ok(MapRemoveDecision::default()));
        let text = r#"{"key":"k","tags":{"a":"b"},"idempotency_key":"i"}"#;
        let MapRemoveDecision::Remove { key, options } = remove(result(text)).expect("allowed") else {
            panic!("is removed")
        };
        assert_eq!((key.as_deref(), &*options.idempotency_key), (Some("k"), "i"));
        assert!(options.tags.is_some());
    }
}
