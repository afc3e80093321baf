//! Who is in which channel (RED-14 to RED-16).

use std::collections::HashSet;
use std::sync::Arc;

use fred::types::Value;
use tourbillon_broker::{BrokerError, Member, PresenceStats};
use tourbillon_protocol::stored::{decode_info, encode_info};
use tourbillon_types::{Channel, ClientId, ClientInfo, UserId};

use crate::client::{bytes, number, parts, run};
use crate::config::PresenceConfig;
use crate::scripts::{PRESENCE, PRESENCE_ADD, PRESENCE_REMOVE, PRESENCE_STATS};
use crate::shard::{Shard, Shards};

/// Keeps presence in the shards.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) shards: Shards,
    pub(crate) config: PresenceConfig,
}

impl Keeper {
    pub(crate) async fn add(
        &self,
        channel: &Channel,
        client: ClientId,
        info: &ClientInfo,
    ) -> Result<(), BrokerError> {
        let shard = self.shards.of(channel)?;
        let args = vec![
            client.to_string().into(),
            Value::Bytes(encode_info(info).into()),
            info.user.as_str().into(),
            self.config.ttl.as_secs().max(1).to_string().into(),
            flag(self.config.user_mapping),
            flag(self.config.hash_field_ttl),
        ];
        run(&shard.commands, &PRESENCE_ADD, keys(shard, channel), args).await?;
        Ok(())
    }

    pub(crate) async fn remove(
        &self,
        channel: &Channel,
        client: ClientId,
        user: &UserId,
    ) -> Result<(), BrokerError> {
        let shard = self.shards.of(channel)?;
        let args = vec![
            client.to_string().into(),
            user.as_str().into(),
            flag(self.config.user_mapping),
            flag(self.config.hash_field_ttl),
        ];
        run(&shard.commands, &PRESENCE_REMOVE, keys(shard, channel), args).await?;
        Ok(())
    }

    pub(crate) async fn list(&self, channel: &Channel) -> Result<Vec<Member>, BrokerError> {
        let shard = self.shards.of(channel)?;
        let mut keys = keys(shard, channel);
        keys.truncate(2);
        let answer = run(&shard.commands, &PRESENCE, keys, vec![flag(self.config.hash_field_ttl)]).await?;
        let Value::Array(listed) = answer else {
            return Err(BrokerError::internal("Redis answered something else than who is there"));
        };
        let mut members = Vec::with_capacity(listed.len() / 2);
        let mut listed = listed.into_iter();
        while let (Some(client), Some(info)) = (listed.next(), listed.next()) {
            // Only nodes write here. Of what is none of ours nothing can be told.
            let client = client.as_str().and_then(|text| text.parse().ok());
            let info = bytes(info).and_then(|bytes| decode_info(bytes).ok());
            match (client, info) {
                (Some(client), Some(info)) => members.push((client, Arc::new(info))),
                _ => tracing::warn!(channel = channel.as_str(), "presence in Redis is damaged"),
            }
        }
        Ok(members)
    }

    pub(crate) async fn stats(&self, channel: &Channel) -> Result<PresenceStats, BrokerError> {
        if !self.config.user_mapping {
            let members = self.list(channel).await?;
            let users: HashSet<_> = members.iter().map(|(_, info)| info.user.as_str()).collect();
            return Ok(PresenceStats { clients: members.len(), users: users.len() });
        }
        let shard = self.shards.of(channel)?;
        let args = vec![flag(self.config.hash_field_ttl)];
        let answer = run(&shard.commands, &PRESENCE_STATS, keys(shard, channel), args).await?;
        let [clients, users] = parts(answer)?;
        let count = |value: &Value| number(value).map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(PresenceStats { clients: count(&clients)?, users: count(&users)? })
    }
}

fn keys(shard: &Shard, channel: &Channel) -> Vec<String> {
    ["data", "expire", "user.clients", "user.expire"]
        .map(|kind| shard.keys.of(&format!("presence.{kind}"), channel))
        .into()
}

fn flag(is_set: bool) -> Value {
    Value::from_static_str(if is_set { "1" } else { "0" })
}
