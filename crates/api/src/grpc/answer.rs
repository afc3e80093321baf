//! Replies to messages.

use tourbillon_node::{MapChanged, Member, NodeInfo, Page, Published};
use tourbillon_types::{ClientInfo, Publication, StreamPosition};

use super::{Outcome, wire};
use crate::command::{ApiError, ApiReply};

impl From<ApiError> for wire::Error {
    fn from(error: ApiError) -> Self {
        Self { code: error.code, message: error.message.into_owned() }
    }
}

impl From<Outcome> for wire::Reply {
    fn from(outcome: Outcome) -> Self {
        let none = Self::default();
        match outcome {
            Err(error) => Self { error: Some(error.into()), ..none },
            Ok(ApiReply::Publish(published)) => Self { publish: Some(published.into()), ..none },
            Ok(ApiReply::Broadcast(outcomes)) => {
                let responses = outcomes.into_iter().map(wire::PublishResponse::from).collect();
                Self { broadcast: Some(wire::BroadcastResult { responses }), ..none }
            }
            Ok(ApiReply::Subscribe) => Self { subscribe: Some(wire::SubscribeResult {}), ..none },
            Ok(ApiReply::Unsubscribe) => Self { unsubscribe: Some(wire::UnsubscribeResult {}), ..none },
            Ok(ApiReply::Disconnect) => Self { disconnect: Some(wire::DisconnectResult {}), ..none },
            Ok(ApiReply::Refresh) => Self { refresh: Some(wire::RefreshResult {}), ..none },
            Ok(ApiReply::Info(nodes)) => {
                let nodes = nodes.iter().map(wire::NodeResult::from).collect();
                Self { info: Some(wire::InfoResult { nodes }), ..none }
            }
            Ok(ApiReply::Channels(counts)) => {
                let channels = counts
                    .into_iter()
                    .map(|(channel, clients)| {
                        (channel.as_str().to_owned(), wire::ChannelInfo { num_clients: number(clients) })
                    })
                    .collect();
                Self { channels: Some(wire::ChannelsResult { channels }), ..none }
            }
            Ok(ApiReply::History(page)) => Self { history: Some(page.into()), ..none },
            Ok(ApiReply::HistoryRemove) => {
                Self { history_remove: Some(wire::HistoryRemoveResult {}), ..none }
            }
            Ok(ApiReply::Presence(members)) => {
                let presence = members.iter().map(member).collect();
                Self { presence: Some(wire::PresenceResult { presence }), ..none }
            }
            Ok(ApiReply::PresenceStats(stats)) => {
                let (num_clients, num_users) = (number(stats.clients), number(stats.users));
                Self { presence_stats: Some(wire::PresenceStatsResult { num_clients, num_users }), ..none }
            }
            Ok(ApiReply::BlockUser) => Self { block_user: Some(wire::BlockUserResult {}), ..none },
            Ok(ApiReply::UnblockUser) => Self { unblock_user: Some(wire::UnblockUserResult {}), ..none },
            Ok(ApiReply::RevokeToken) => Self { revoke_token: Some(wire::RevokeTokenResult {}), ..none },
            Ok(ApiReply::InvalidateUserTokens) => {
                Self { invalidate_user_tokens: Some(wire::InvalidateUserTokensResult {}), ..none }
            }
            Ok(keyed) => of_keyed(keyed),
        }
    }
}

/// What is told of channels with keys.
fn of_keyed(reply: ApiReply) -> wire::Reply {
    let none = wire::Reply::default();
    match reply {
        ApiReply::MapPublish(changed) => {
            let MapChanged { position, suppressed, .. } = changed;
            let (offset, epoch) = place(&position);
            let suppress_reason = suppressed.map_or("", |why| why.as_str()).to_owned();
            let suppressed = suppressed.is_some();
            let result = wire::MapPublishResult { offset, epoch, suppressed, suppress_reason };
            wire::Reply { map_publish: Some(result), ..none }
        }
        ApiReply::MapRemove(changed) => {
            let MapChanged { position, suppressed, .. } = changed;
            let (offset, epoch) = place(&position);
            let suppress_reason = suppressed.map_or("", |why| why.as_str()).to_owned();
            let suppressed = suppressed.is_some();
            let result = wire::MapRemoveResult { offset, epoch, suppressed, suppress_reason };
            wire::Reply { map_remove: Some(result), ..none }
        }
        ApiReply::MapReadState(page) => {
            let entries = page.entries.iter().map(|entry| (&**entry).into()).collect();
            let (offset, epoch) = place(&page.position);
            let result = wire::MapReadStateResult { entries, offset, epoch, cursor: page.cursor };
            wire::Reply { map_read_state: Some(result), ..none }
        }
        ApiReply::MapReadStream(page) => {
            let entries = page.publications.iter().map(|change| (&**change).into()).collect();
            let (offset, epoch) = place(&page.position);
            wire::Reply {
                map_read_stream: Some(wire::MapReadStreamResult { entries, offset, epoch }),
                ..none
            }
        }
        ApiReply::MapStats(stats) => {
            let num_keys = i32::try_from(stats.keys).unwrap_or(i32::MAX);
            wire::Reply { map_stats: Some(wire::MapStatsResult { num_keys }), ..none }
        }
        ApiReply::MapClear => wire::Reply { map_clear: Some(wire::MapClearResult {}), ..none },
        ApiReply::SharedPollPublish => {
            wire::Reply { shared_poll_publish: Some(wire::SharedPollPublishResult {}), ..none }
        }
        // No message asks for the rest within another.
        _ => wire::Reply { error: Some(ApiError::INTERNAL.into()), ..none },
    }
}

/// What is counted in memory fits.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn place(position: &StreamPosition) -> (u64, String) {
    (position.offset, position.epoch.as_str().to_owned())
}

impl From<&Publication> for wire::MapEntry {
    fn from(publication: &Publication) -> Self {
        Self {
            key: publication.key.as_deref().unwrap_or_default().to_owned(),
            data: publication.data.bytes().clone(),
            tags: publication.tags.as_deref().cloned().unwrap_or_default(),
            offset: publication.offset,
            score: publication.score,
            removed: publication.removed,
            time: publication.time,
        }
    }
}

impl From<Published> for wire::PublishResult {
    fn from(published: Published) -> Self {
        Self { offset: published.position.offset, epoch: published.position.epoch.as_str().to_owned() }
    }
}

impl From<Result<Published, ApiError>> for wire::PublishResponse {
    fn from(outcome: Result<Published, ApiError>) -> Self {
        match outcome {
            Ok(published) => Self { error: None, result: Some(published.into()) },
            Err(error) => Self { error: Some(error.into()), result: None },
        }
    }
}

impl From<&NodeInfo> for wire::NodeResult {
    fn from(info: &NodeInfo) -> Self {
        let metrics = info.metrics.as_deref().map(|metrics| wire::Metrics {
            interval: metrics.interval.as_secs_f64(),
            items: metrics.items.clone().into_iter().collect(),
        });
        Self {
            uid: info.id.to_string(),
            name: info.name.clone(),
            version: info.version.clone(),
            num_clients: number(info.stats.clients),
            num_users: number(info.stats.users),
            num_channels: number(info.stats.channels),
            uptime: u32::try_from(info.uptime.as_secs()).unwrap_or(u32::MAX),
            metrics,
            num_subs: number(info.stats.subscriptions),
        }
    }
}

impl From<Page> for wire::HistoryResult {
    fn from(page: Page) -> Self {
        Self {
            publications: page.publications.iter().map(|publication| (&**publication).into()).collect(),
            epoch: page.position.epoch.as_str().to_owned(),
            offset: page.position.offset,
        }
    }
}

impl From<&Publication> for wire::Publication {
    fn from(publication: &Publication) -> Self {
        Self {
            data: publication.data.bytes().clone(),
            info: publication.info.as_deref().map(wire::ClientInfo::from),
            offset: publication.offset,
            tags: publication.tags.as_deref().cloned().unwrap_or_default(),
        }
    }
}

impl From<&ClientInfo> for wire::ClientInfo {
    fn from(info: &ClientInfo) -> Self {
        Self {
            user: info.user.to_string(),
            client: info.client.map(|client| client.to_string()).unwrap_or_default(),
            conn_info: info.connection.bytes().clone(),
            chan_info: info.channel.bytes().clone(),
        }
    }
}

fn member((client, info): &Member) -> (String, wire::ClientInfo) {
    (client.to_string(), wire::ClientInfo::from(&**info))
}
