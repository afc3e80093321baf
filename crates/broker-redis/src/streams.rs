//! Publishing, and the streams that keep what was published.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tourbillon_broker::{
    BrokerError, HistoryPolicy, HistoryQuery, Page, Publish, PublishOptions, Published, Suppressed,
};
use tourbillon_protocol::stored::encode_publication;
use tourbillon_types::{Channel, Epoch, Publication, StreamPosition};

use crate::client::{bytes, command, number, parts, run, text};
use crate::payload;
use crate::scripts::{HISTORY_LIST, HISTORY_STREAM, PUBLISH_LIST, PUBLISH_ONCE, PUBLISH_STREAM};
use crate::shard::{Shard, Shards};

/// The command that hands messages on.
const PUBLISH: &str = "PUBLISH";

/// Publishes to the shards, and reads their streams.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) shards: Shards,
    /// Streams are lists (RED-10).
    pub(crate) lists: bool,
}

impl Streams {
    /// See [`Broker::publish`](tourbillon_broker::Broker::publish); `time` is the publication's.
    pub(crate) async fn publish(&self, publish: Publish, time: i64) -> Result<Published, BrokerError> {
        let Publish { channel, data, options } = publish;
        self.check(&options)?;
        let shard = self.shards.of(&channel)?;
        let publication = Publication {
            data,
            info: options.info.clone(),
            tags: options.tags.clone(),
            time,
            // With a stream the message says it, without one the publication itself.
            delta: options.delta && options.history.is_none(),
            ..Publication::default()
        };
        let publication = Value::Bytes(encode_publication(&publication).into());
        let pubsub = shard.keys.pubsub(&channel);
        match &options.history {
            Some(policy) => self.append(shard, &channel, &options, policy, (publication, pubsub)).await,
            None if options.idempotency_key.is_empty() => {
                command(&shard.commands, PUBLISH, pubsub, vec![publication]).await?;
                Ok(Published::default())
            }
            None => {
                let key = shard.keys.result(&channel, &options.idempotency_key);
                let args = vec![publication, pubsub.into(), result_ttl(&options), PUBLISH.into()];
                published(run(&shard.commands, &PUBLISH_ONCE, vec![key], args).await?)
            }
        }
    }

    fn check(&self, options: &PublishOptions) -> Result<(), BrokerError> {
        if options.history.is_some_and(|policy| !policy.keeps()) {
            return Err(BrokerError::invalid("history needs a size and a time"));
        }
        if options.version != 0 && options.history.is_none() {
            return Err(BrokerError::unsupported("versions need history"));
        }
        if options.version != 0 && self.lists {
            return Err(BrokerError::unsupported("versions need streams, and these are lists"));
        }
        Ok(())
    }

    async fn append(
        &self,
        shard: &Shard,
        channel: &str,
        options: &PublishOptions,
        policy: &HistoryPolicy,
        (publication, pubsub): (Value, String),
    ) -> Result<Published, BrokerError> {
        let [stream, meta] = self.keys(shard, channel);
        // A name that is of the same node even where there is no key.
        let keys = vec![stream, meta, shard.keys.result(channel, &options.idempotency_key)];
        let args = vec![
            publication,
            policy.size.to_string().into(),
            millis(policy.ttl),
            pubsub.into(),
            millis(policy.meta_ttl),
            Epoch::random().as_str().into(),
            result_ttl(options),
            flag(options.delta),
            options.version.to_string().into(),
            options.version_epoch.as_str().into(),
            PUBLISH.into(),
        ];
        let script = if self.lists { &PUBLISH_LIST } else { &PUBLISH_STREAM };
        published(run(&shard.commands, script, keys, args).await?)
    }

    fn keys(&self, shard: &Shard, channel: &str) -> [String; 2] {
        let (entries, meta) = if self.lists { ("list", "list.meta") } else { ("stream", "stream.meta") };
        [shard.keys.of(entries, channel), shard.keys.of(meta, channel)]
    }

    /// See [`History::history`](tourbillon_broker::History::history).
    pub(crate) async fn history(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Result<Page, BrokerError> {
        if self.lists {
            return self.history_of_list(channel, query, meta_ttl).await;
        }
        let shard = self.shards.of(channel)?;
        let from = query.since.as_ref().map(|since| {
            if query.reverse { since.offset.saturating_sub(1) } else { since.offset.saturating_add(1) }
        });
        let args = vec![
            from.map(|offset| offset.to_string()).unwrap_or_default().into(),
            query.limit.map(|limit| limit.to_string()).unwrap_or_default().into(),
            flag(query.reverse),
            millis(meta_ttl),
            Epoch::random().as_str().into(),
        ];
        let keys = self.keys(shard, channel).into();
        let (position, entries) = page(run(&shard.commands, &HISTORY_STREAM, keys, args).await?)?;
        if is_of_another_epoch(query, &position) {
            return Ok(Page { publications: Vec::new(), position });
        }
        let publications =
            entries.into_iter().map(|it| entry(it, &position.epoch)).collect::<Result<_, _>>()?;
        Ok(Page { publications, position })
    }

    async fn history_of_list(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Result<Page, BrokerError> {
        if query.reverse {
            return Err(BrokerError::unsupported("lists are not read in reverse"));
        }
        let shard = self.shards.of(channel)?;
        let wanted = flag(query.limit != Some(0));
        let args = vec![wanted, millis(meta_ttl), Epoch::random().as_str().into()];
        let keys = self.keys(shard, channel).into();
        let (position, entries) = page(run(&shard.commands, &HISTORY_LIST, keys, args).await?)?;
        if is_of_another_epoch(query, &position) {
            return Ok(Page { publications: Vec::new(), position });
        }
        let since = query.since.as_ref().map_or(0, |since| since.offset);
        let mut publications = Vec::new();
        for entry in entries.into_iter().rev() {
            let entry = bytes(entry).ok_or(BrokerError::internal("an entry of a list is no text"))?;
            let publication = payload::parse_entry(&entry).map_err(damaged)?;
            // An entry of an epoch before may have outlived its meta data.
            if publication.offset > since && publication.epoch == position.epoch {
                publications.push(Arc::new(publication));
            }
        }
        publications.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(Page { publications, position })
    }

    /// See [`History::remove_history`](tourbillon_broker::History::remove_history).
    pub(crate) async fn remove(&self, channel: &Channel) -> Result<(), BrokerError> {
        let shard = self.shards.of(channel)?;
        let [stream, _] = self.keys(shard, channel);
        command(&shard.commands, "DEL", stream, Vec::new()).await?;
        Ok(())
    }

    /// Hands on what is no publication.
    pub(crate) async fn hand_on(&self, channel: &Channel, message: Vec<u8>) -> Result<(), BrokerError> {
        let shard = self.shards.of(channel)?;
        let message = vec![Value::Bytes(message.into())];
        command(&shard.commands, PUBLISH, shard.keys.pubsub(channel), message).await?;
        Ok(())
    }
}

/// Lifetimes as scripts take them. What lives for less than a millisecond lives for one; 0 is for ever.
pub(crate) fn millis(lifetime: Duration) -> Value {
    let millis = lifetime.as_millis().max(u128::from(!lifetime.is_zero()));
    // Redis has no more.
    millis.min(1 << 53).to_string().into()
}

pub(crate) fn flag(is_set: bool) -> Value {
    Value::from_static_str(if is_set { "1" } else { "0" })
}

/// How long an idempotency key is remembered; 0 where there is none.
fn result_ttl(options: &PublishOptions) -> Value {
    if options.idempotency_key.is_empty() {
        return flag(false);
    }
    let ttl = options.idempotency_ttl.unwrap_or(PublishOptions::IDEMPOTENCY_TTL);
    millis(ttl.max(Duration::from_millis(1)))
}

fn published(answer: Value) -> Result<Published, BrokerError> {
    let [offset, epoch, why] = parts(answer)?;
    let suppressed = match number(&why)? {
        0 => None,
        1 => Some(Suppressed::Idempotency),
        _ => Some(Suppressed::Version),
    };
    Ok(Published { position: position(&offset, &epoch)?, suppressed })
}

pub(crate) fn position(offset: &Value, epoch: &Value) -> Result<StreamPosition, BrokerError> {
    Ok(StreamPosition { offset: number(offset)?, epoch: Epoch::from(text(epoch)?.as_str()) })
}

pub(crate) fn page(answer: Value) -> Result<(StreamPosition, Vec<Value>), BrokerError> {
    let [offset, epoch, entries] = parts(answer)?;
    let Value::Array(entries) = entries else {
        return Err(BrokerError::internal("Redis answered something else than entries"));
    };
    Ok((position(&offset, &epoch)?, entries))
}

pub(crate) fn is_of_another_epoch(query: &HistoryQuery, position: &StreamPosition) -> bool {
    query.check_epoch(position).is_err()
}

/// An entry of a stream: its id begins with the offset (HID-90), and `d` is the publication.
pub(crate) fn entry(entry: Value, epoch: &Epoch) -> Result<Arc<Publication>, BrokerError> {
    let [id, fields] = parts(entry)?;
    let id = text(&id)?;
    let offset = id.split_once('-').and_then(|(offset, _)| offset.parse().ok());
    let offset = offset.ok_or(BrokerError::internal("an entry of a stream without an offset"))?;
    let Value::Array(fields) = fields else {
        return Err(BrokerError::internal("an entry of a stream without fields"));
    };
    let publication = payload::publication(field(fields, "d")?).map_err(damaged)?.publication;
    Ok(Arc::new(Publication { offset, epoch: epoch.clone(), delta: false, ..publication }))
}

fn field(fields: Vec<Value>, name: &str) -> Result<Bytes, BrokerError> {
    let mut fields = fields.into_iter();
    while let (Some(key), Some(value)) = (fields.next(), fields.next()) {
        if key.as_str().is_some_and(|key| key == name)
            && let Some(value) = bytes(value)
        {
            return Ok(value);
        }
    }
    Err(BrokerError::internal("an entry of a stream without a publication"))
}

pub(crate) fn damaged(what: payload::Damaged) -> BrokerError {
    BrokerError::internal("what is kept is damaged").caused_by(what)
}
