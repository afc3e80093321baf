//! From messages to commands.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tourbillon_api::ApiCommand;
use tourbillon_api::command::{Broadcast, Content, Publish};
use tourbillon_types::{Channel, Payload, Tags};

/// The commands that a consumer takes (CONS-03). They answer nothing that anybody would wait for.
const METHODS: [&str; 7] =
    ["publish", "broadcast", "subscribe", "unsubscribe", "disconnect", "history_remove", "refresh"];

/// The longest name of a method that is repeated in a log.
const NAME: usize = 32;

/// What a source has for somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What the source calls it, for logs.
    pub id: String,
    /// How often it has been delivered, with this time, as far as the source knows. At least one.
    pub deliveries: u32,
    /// Its content.
    pub body: Bytes,
    /// What is said beside it: headers, or fields. Of several with one name the first counts.
    pub attributes: Vec<(String, String)>,
}

impl fmt::Debug for Message {
    /// Without what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("size", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Message {
    /// An attribute that is there and not empty. None has an empty name.
    fn attribute(&self, name: &str) -> Option<&str> {
        let is_it = |(given, _): &&(String, String)| given == name && !name.is_empty();
        self.attributes.iter().find(is_it).map(|(_, text)| text.as_str()).filter(|text| !text.is_empty())
    }
}

/// What messages of a source are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Commands (CONS-02). Where a message has the attribute of this name, that is the method, and the body is what the method
    /// takes. Otherwise the body is `{"method": .., "payload": ..}`, whose payload may be a text with JSON in it.
    Commands {
        /// The attribute's name; empty for none.
        method: String,
    },
    /// The data of publications (CONS-05).
    Publications(PublicationAttributes),
}

/// What the attributes of messages are called that are data of publications. An empty name is that of no attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicationAttributes {
    /// Where it is published, with commas between channels.
    pub channels: String,
    /// The idempotency key.
    pub idempotency_key: String,
    /// Whether deltas are made: a truth value as Go reads it.
    pub delta: String,
    /// The version, a number.
    pub version: String,
    /// The epoch of the version.
    pub version_epoch: String,
    /// What the names of attributes begin with that are tags.
    pub tags_prefix: String,
}

impl Default for PublicationAttributes {
    fn default() -> Self {
        let name = |end: &str| format!("centrifugo-{end}");
        Self {
            channels: name("channels"),
            idempotency_key: name("idempotency-key"),
            delta: name("delta"),
            version: name("version"),
            version_epoch: name("version-epoch"),
            tags_prefix: name("tag-"),
        }
    }
}

/// Why a message is no command: it is as good as done, since it never will be one. Nothing of the message is in it but
/// names of methods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Skip {
    /// The body says neither method nor payload.
    #[error("it is no JSON object with \"method\" and \"payload\"")]
    Envelope,
    /// No method that a consumer takes.
    #[error("consumers have no method {0:?}")]
    Method(String),
    /// The payload is not what the method takes.
    #[error("its payload is not what {method} takes{place}")]
    Payload {
        /// The method.
        method: String,
        /// Where it is wrong, with what leads to it.
        place: String,
    },
    /// No attribute that says where.
    #[error("it has no channels")]
    Channels,
    /// An attribute that cannot be read.
    #[error("its {0} cannot be read")]
    Attribute(&'static str),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl Mode {
    /// What a message asks for.
    ///
    /// # Errors
    ///
    /// Why it asks for nothing.
    pub fn command(&self, message: &Message) -> Result<ApiCommand, Skip> {
        match self {
            Self::Commands { method } => match message.attribute(method) {
                Some(method) => read(method, &message.body),
                None => enveloped(&message.body),
            },
            Self::Publications(names) => publication(names, message),
        }
    }
}

fn read(method: &str, body: &Bytes) -> Result<ApiCommand, Skip> {
    if !METHODS.contains(&method) {
        return Err(Skip::Method(method.chars().take(NAME).collect()));
    }
    ApiCommand::read(method, body).map_err(|error| {
        let place = error.place().map(|place| format!(" ({place})")).unwrap_or_default();
        Skip::Payload { method: method.to_owned(), place }
    })
}

fn enveloped(body: &Bytes) -> Result<ApiCommand, Skip> {
    let text = std::str::from_utf8(body).map_err(|_| Skip::Envelope)?;
    // Serde would take a list for an object, member by member.
    if !text.trim_start().starts_with('{') {
        return Err(Skip::Envelope);
    }
    let Envelope { method, payload } = serde_json::from_str(text).map_err(|_| Skip::Envelope)?;
    let payload = payload.map_or("", RawValue::get);
    if payload.starts_with('"') {
        let inner: String = serde_json::from_str(payload).map_err(|_| Skip::Envelope)?;
        return read(&method, &Bytes::from(inner));
    }
    read(&method, &Bytes::copy_from_slice(payload.as_bytes()))
}

fn publication(names: &PublicationAttributes, message: &Message) -> Result<ApiCommand, Skip> {
    let text = |name: &str| message.attribute(name).map(str::to_owned).unwrap_or_default();
    let channels = message.attribute(&names.channels).ok_or(Skip::Channels)?;
    let mut content = Content::default();
    content.delta = match message.attribute(&names.delta) {
        Some(delta) => truth(delta).ok_or(Skip::Attribute("delta"))?,
        None => false,
    };
    content.version = match message.attribute(&names.version) {
        Some(version) => version.parse().map_err(|_| Skip::Attribute("version"))?,
        None => 0,
    };
    content.idempotency_key = text(&names.idempotency_key);
    content.version_epoch = text(&names.version_epoch);
    let mut tags = Tags::new();
    for (name, value) in message.attributes.iter().filter(|_| !names.tags_prefix.is_empty()) {
        if let Some(tag) = name.strip_prefix(&names.tags_prefix) {
            tags.entry(tag.to_owned()).or_insert_with(|| value.clone());
        }
    }
    content.tags = (!tags.is_empty()).then(|| Arc::new(tags));
    content.data = Payload::from(message.body.clone());
    Ok(if channels.contains(',') {
        let channels = channels.split(',').map(Channel::from).collect();
        ApiCommand::Broadcast(Broadcast { channels, content })
    } else {
        ApiCommand::Publish(Publish { channel: Channel::from(channels), content })
    })
}

/// A truth value as Go reads it.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str, attributes: &[(&str, &str)]) -> Message {
        let attributes = attributes.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let body = Bytes::copy_from_slice(body.as_bytes());
        Message { id: "1".to_owned(), deliveries: 1, body, attributes: attributes.collect() }
    }

    fn command(body: &str, attributes: &[(&str, &str)]) -> Result<ApiCommand, Skip> {
        Mode::Commands { method: "centrifugo-method".to_owned() }.command(&message(body, attributes))
    }

    fn published(command: Result<ApiCommand, Skip>) -> (String, Content) {
        match command {
            Ok(ApiCommand::Publish(Publish { channel, content })) => (channel.as_str().to_owned(), content),
            other => panic!("no publication: {other:?}"),
        }
    }

    #[test]
    fn cons_02_a_message_is_an_envelope_or_a_payload_whose_method_a_header_names() {
        let payload = r#"{"channel":"news","data":{"n": 1}}"#;
        let text = serde_json::to_string(payload).expect("JSON");
        for (body, attributes) in [
            (format!(r#" {{"method":"publish","payload":{payload}}}"#), &[][..]),
            (format!(r#"{{"payload":{text},"method":"p\u0075blish","more":1}}"#), &[]),
            (payload.to_owned(), &[("centrifugo-method", "publish")]),
            (format!(r#"{{"method":"publish","payload":{payload}}}"#), &[("centrifugo-method", "")]),
        ] {
            let (channel, content) = published(command(&body, attributes));
            assert_eq!(
                (channel.as_str(), &content.data.bytes()[..]),
                ("news", &br#"{"n": 1}"#[..]),
                "{body}"
            );
        }
    }

    #[test]
    fn cons_02_what_is_no_message_is_skipped_without_a_word_of_it() {
        for body in ["", "[]", r#"["publish",{}]"#, "secret", r#"{"method":7}"#, "\u{0}", r#""{}""#] {
            assert_eq!(command(body, &[]).err(), Some(Skip::Envelope), "{body}");
        }
        let told = |body: &str| command(body, &[]).expect_err(body).to_string();
        assert_eq!(told("{}"), r#"consumers have no method """#);
        for payload in
            ["null", "7", "[]", r#""secret""#, r#"{"channel":["secret"]}"#, r#"{"b64data":"secret!"}"#]
        {
            let told = told(&format!(r#"{{"method":"publish","payload":{payload}}}"#));
            assert!(told.starts_with("its payload is not what publish takes"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
        let told = told(r#"{"method":"publish","payload":{"channel":["secret"]}}"#);
        assert_eq!(told, "its payload is not what publish takes (line 1 column 11)");
    }

    #[test]
    fn cons_03_seven_methods_are_taken_and_no_others() {
        for method in METHODS {
            assert!(command("{}", &[("centrifugo-method", method)]).is_ok(), "{method}");
        }
        for method in
            ["presence", "history", "rpc", "info", "batch", "map_publish", "block_user", "Publish", "x"]
        {
            let skipped = command("{}", &[("centrifugo-method", method)]).err();
            assert_eq!(skipped, Some(Skip::Method(method.to_owned())));
        }
        let long = "x".repeat(1_000);
        let skipped = command("{}", &[("centrifugo-method", &long)]).err();
        assert_eq!(skipped, Some(Skip::Method("x".repeat(NAME))));
    }

    fn data(body: &str, attributes: &[(&str, &str)]) -> Result<ApiCommand, Skip> {
        Mode::Publications(PublicationAttributes::default()).command(&message(body, attributes))
    }

    #[test]
    fn cons_05_a_message_may_be_data_that_its_headers_say_the_rest_of() {
        let (channel, content) = published(data(
            "anything",
            &[
                ("centrifugo-channels", "news"),
                ("centrifugo-idempotency-key", "k"),
                ("centrifugo-delta", "T"),
                ("centrifugo-version", "18446744073709551615"),
                ("centrifugo-version-epoch", "e"),
                ("centrifugo-tag-a", "1"),
                ("centrifugo-tag-b", ""),
                ("centrifugo-tag-a", "2"),
                ("other", "3"),
            ],
        ));
        assert_eq!((channel.as_str(), &content.data.bytes()[..]), ("news", &b"anything"[..]));
        assert_eq!((content.idempotency_key.as_str(), content.delta), ("k", true));
        assert_eq!((content.version, content.version_epoch.as_str()), (u64::MAX, "e"));
        let tags = [("a", "1"), ("b", "")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(content.tags.as_deref(), Some(&Tags::from(tags)));

        let several = data("x", &[("centrifugo-channels", "a,b,c")]);
        let Ok(ApiCommand::Broadcast(Broadcast { channels, content })) = several else {
            panic!("{several:?}")
        };
        assert_eq!(channels, ["a", "b", "c"].map(Channel::from));
        assert_eq!((content.delta, content.version, content.tags), (false, 0, None));
    }

    #[test]
    fn cons_05_data_without_channels_or_with_broken_headers_is_skipped() {
        for channels in [&[][..], &[("centrifugo-channels", "")]] {
            assert_eq!(data("x", channels).err(), Some(Skip::Channels));
        }
        for (name, text, what) in [
            ("centrifugo-delta", "yes", "delta"),
            ("centrifugo-version", "-1", "version"),
            ("centrifugo-version", "1.5", "version"),
        ] {
            let skipped = data("x", &[("centrifugo-channels", "a"), (name, text)]).err();
            assert_eq!(skipped, Some(Skip::Attribute(what)));
        }
    }

    #[test]
    fn an_attribute_without_a_name_is_none() {
        let mut names = PublicationAttributes::default();
        names.tags_prefix.clear();
        names.version.clear();
        let given = [("centrifugo-channels", "a"), ("", "7"), ("x", "y")];
        let (_, content) = published(Mode::Publications(names).command(&message("x", &given)));
        assert_eq!((content.version, content.tags), (0, None));
        let mode = Mode::Commands { method: String::new() };
        let skipped = mode.command(&message("{}", &[("", "publish")])).err();
        assert_eq!(skipped, Some(Skip::Method(String::new())));
    }
}
