//! Replies to messages.

use tourbillon_node::{Member, NodeInfo, Page, Published};
use tourbillon_types::{ClientInfo, Publication};

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
            // No message asks for these within another.
            Ok(ApiReply::Explain(_) | ApiReply::Batch(_)) => {
                Self { error: Some(ApiError::INTERNAL.into()), ..none }
            }
        }
    }
}

/// What is counted in memory fits.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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
