//! The older form of the API: a stream of commands that name their methods (API-02, ADM-05).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::{ApiCommand, ApiError};
use crate::decode::decode;
use crate::encode::response;
use crate::method::Method;
use crate::service::ApiService;

/// The most commands of one stream.
const LIMIT: usize = 10_000;

/// Bytes that are no stream of commands. None of them was carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(String);

#[derive(Deserialize)]
struct WireCommand<'a> {
    #[serde(default)]
    id: u32,
    #[serde(default, borrow)]
    method: Option<Named<'a>>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named<'a> {
    Name(&'a str),
    Number(u32),
}

/// Methods by their numbers, which count from zero.
const NUMBERED: [Method; 13] = [
    Method::Publish,
    Method::Broadcast,
    Method::Unsubscribe,
    Method::Disconnect,
    Method::Presence,
    Method::PresenceStats,
    Method::History,
    Method::HistoryRemove,
    Method::Channels,
    Method::Info,
    Method::Rpc,
    Method::Subscribe,
    Method::Refresh,
];

impl Named<'_> {
    fn method(&self) -> Option<Method> {
        match self {
            Self::Name(name) => Method::named(name),
            Self::Number(number) => NUMBERED.get(usize::try_from(*number).ok()?).copied(),
        }
    }
}

impl<'a> WireCommand<'a> {
    /// Serde would take a list for an object, member by member.
    fn of(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        if raw.get().starts_with('{') {
            return serde_json::from_str(raw.get());
        }
        Err(serde::de::Error::custom("a command must be a JSON object"))
    }
}

impl WireCommand<'_> {
    fn read(&self, body: &Bytes) -> Result<ApiCommand, ApiError> {
        let method = self.method.as_ref().map_or(Some(Method::Publish), Named::method);
        let method = method.ok_or(ApiError::NOT_FOUND)?;
        let params = match self.params {
            Some(params) => body.slice_ref(params.get().as_bytes()),
            None => Bytes::from_static(b"{}"),
        };
        decode(method, &params).map_err(|error| ApiError::BAD_REQUEST.with_message(error.to_string()))
    }
}

impl ApiService {
    /// Carries out commands that follow each other as JSON objects with `id`, `method` (a name or a number; `publish`
    /// where there is none) and `params`, one after the other. Gives as many replies, each on a line of its own: that of
    /// the method, and the `id` where there was one.
    ///
    /// # Errors
    ///
    /// What is no such stream, or one of nothing or of more than ten thousand commands; nothing is carried out then. That
    /// parameters are not those of a method is the reply to that command.
    ///
    /// # Cancel safety
    ///
    /// What has been begun may take effect.
    pub async fn stream(&self, body: &Bytes) -> Result<Vec<u8>, StreamError> {
        let text = std::str::from_utf8(body).map_err(|error| StreamError(error.to_string()))?;
        let commands = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let commands = commands.take(LIMIT + 1).map(|command| WireCommand::of(command?));
        let commands = commands.collect::<Result<Vec<_>, _>>();
        let commands = commands.map_err(|error| StreamError(error.to_string()))?;
        if commands.is_empty() {
            return Err(StreamError("there is no command".to_owned()));
        }
        if commands.len() > LIMIT {
            return Err(StreamError(format!("there are more than {LIMIT} commands")));
        }
        let read: Vec<_> = commands.iter().map(|command| (command.id, command.read(body))).collect();
        let mut replies = Vec::new();
        for (id, command) in read {
            let outcome = match command {
                Ok(command) => self.execute(command).await,
                Err(error) => Err(error),
            };
            if !replies.is_empty() {
                replies.push(b'\n');
            }
            let reply = response(&outcome);
            match reply.strip_prefix(b"{") {
                Some(rest) if id > 0 => {
                    replies.extend_from_slice(format!(r#"{{"id":{id},"#).as_bytes());
                    replies.extend_from_slice(rest);
                }
                _ => replies.extend_from_slice(&reply),
            }
        }
        Ok(replies)
    }
}
