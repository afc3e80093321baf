//! What is asked for is carried out, and answered in messages.

use serde_json::json;

use crate::support::{Api, block_on, start};
use crate::wire::*;

fn publish(channel: &str, data: &str) -> PublishRequest {
    PublishRequest {
        channel: channel.to_owned(),
        data: data.as_bytes().to_vec().into(),
        ..PublishRequest::default()
    }
}

async fn published(api: &Api, request: PublishRequest) -> PublishResult {
    let PublishResponse { error, result } = api.call("Publish", request).await;
    assert_eq!(error, None);
    result.expect("a result")
}

#[test]
fn publications_reach_subscribers_and_are_kept_with_all_they_have() {
    block_on(async {
        let api = start(|_| {}).await;
        let mut client = api.test.client("u", &["kept:a"]).await;
        let mut first = publish("kept:a", r#"{"n":1}"#);
        first.tags.insert("k".to_owned(), "v".to_owned());
        let position = published(&api, first).await;
        assert_eq!(position.offset, 1);
        assert!(!position.epoch.is_empty());
        let mut push = client.push().await;
        assert_eq!(push["pub"]["data"], json!({"n":1}));
        assert_eq!(push["pub"]["tags"].take(), json!({"k":"v"}));
        let encoded = PublishRequest { b64data: "eyJuIjoyfQ==".to_owned(), ..publish("kept:a", "ignored") };
        let keyed = PublishRequest { idempotency_key: "once".to_owned(), ..encoded };
        assert_eq!(published(&api, keyed.clone()).await.offset, 2);
        assert_eq!(published(&api, keyed).await.offset, 2, "the same key again");
        let versioned = |version| PublishRequest { version, ..publish("kept:a", "3") };
        assert_eq!(published(&api, versioned(7)).await.offset, 3);
        assert_eq!(published(&api, versioned(7)).await.offset, 3, "no newer version");
        let skipped = PublishRequest { skip_history: true, ..publish("kept:a", "4") };
        assert_eq!(published(&api, skipped).await.offset, 0);
        let broadcast = BroadcastRequest {
            channels: ["kept:a", "nowhere:a", "b"].map(str::to_owned).to_vec(),
            data: b"5".to_vec().into(),
            ..BroadcastRequest::default()
        };
        let answer: BroadcastResponse = api.call("Broadcast", broadcast).await;
        let responses = answer.result.expect("a result").responses;
        let told: Vec<_> = responses
            .iter()
            .map(|response| {
                (response.result.as_ref().map(|it| it.offset), response.error.as_ref().map(|it| it.code))
            })
            .collect();
        assert_eq!(told, [(Some(4), None), (None, Some(102)), (Some(0), None)]);

        let asked =
            |limit, reverse| HistoryRequest { channel: "kept:a".to_owned(), limit, since: None, reverse };
        let history: HistoryResponse = api.call("History", asked(-1, false)).await;
        let page = history.result.expect("a result");
        assert_eq!((page.offset, &page.epoch), (4, &position.epoch));
        let data: Vec<_> = page.publications.iter().map(|it| (it.offset, it.data.as_ref())).collect();
        assert_eq!(data, [(1, &br#"{"n":1}"#[..]), (2, br#"{"n":2}"#), (3, b"3"), (4, b"5")]);
        assert_eq!(page.publications[0].tags["k"], "v");
        let history: HistoryResponse = api.call("History", asked(1, true)).await;
        assert_eq!(history.result.expect("a result").publications[0].offset, 4);
        let since = StreamPosition { offset: 2, epoch: position.epoch.clone() };
        let after = HistoryRequest { since: Some(since), ..asked(1, false) };
        let history: HistoryResponse = api.call("History", after).await;
        assert_eq!(history.result.expect("a result").publications[0].offset, 3);
        let history: HistoryResponse = api.call("History", asked(0, false)).await;
        let page = history.result.expect("a result");
        assert_eq!((page.offset, page.publications.len()), (4, 0));
        let removed = HistoryRemoveRequest { channel: "kept:a".to_owned() };
        let answer: HistoryRemoveResponse = api.call("HistoryRemove", removed).await;
        assert_eq!(answer.result, Some(HistoryRemoveResult {}));
        let history: HistoryResponse = api.call("History", asked(-1, false)).await;
        assert_eq!(history.result.expect("a result").publications, []);
    });
}

#[test]
fn connections_are_subscribed_refreshed_and_disconnected() {
    block_on(async {
        let api = start(|_| {}).await;
        let (mut client, mut other) = (api.test.client("u", &[]).await, api.test.client("u", &[]).await);
        let subscribe = SubscribeRequest {
            channel: "kept:a".to_owned(),
            user: "u".to_owned(),
            client: client.id.clone(),
            info: br#"{"i":1}"#.to_vec().into(),
            b64data: "eyJkIjoxfQ==".to_owned(),
            r#override: Some(SubscribeOptionOverride {
                force_recovery: Some(BoolValue { value: true }),
                ..SubscribeOptionOverride::default()
            }),
            ..SubscribeRequest::default()
        };
        let answer: SubscribeResponse = api.call("Subscribe", subscribe.clone()).await;
        assert_eq!((answer.error, answer.result), (None, Some(SubscribeResult {})));
        let push = client.push().await;
        assert_eq!((&push["channel"], &push["subscribe"]["data"]), (&json!("kept:a"), &json!({"d":1})));
        assert_eq!(push["subscribe"]["recoverable"], json!(true), "{push}");

        let presence = PresenceRequest { channel: "kept:a".to_owned() };
        let answer: PresenceResponse = api.call("Presence", presence).await;
        let members = answer.result.expect("a result").presence;
        let member = &members[&client.id];
        assert_eq!((member.user.as_str(), member.client == client.id), ("u", true));
        assert_eq!((members.len(), member.chan_info.as_ref()), (1, &br#"{"i":1}"#[..]));
        let stats = PresenceStatsRequest { channel: "kept:a".to_owned() };
        let answer: PresenceStatsResponse = api.call("PresenceStats", stats).await;
        assert_eq!(answer.result, Some(PresenceStatsResult { num_clients: 1, num_users: 1 }));
        let answer: ChannelsResponse =
            api.call("Channels", ChannelsRequest { pattern: "kept:*".to_owned() }).await;
        let channels = answer.result.expect("a result").channels;
        assert_eq!(
            channels.into_iter().collect::<Vec<_>>(),
            [("kept:a".to_owned(), ChannelInfo { num_clients: 1 })]
        );
        let answer: InfoResponse = api.call("Info", InfoRequest {}).await;
        let node = answer.result.expect("a result").nodes.pop().expect("a node");
        assert_eq!((node.name.as_str(), node.version.as_str(), node.num_clients), ("test", "1.2.3", 2));
        assert_eq!((node.num_channels, node.num_subs, node.num_users), (1, 1, 1));

        // Nothing of what cannot be is somebody's.
        let nobody = SubscribeRequest { client: "no identifier".to_owned(), ..subscribe.clone() };
        let answer: SubscribeResponse = api.call("Subscribe", nobody).await;
        assert_eq!(answer.error, None);
        other.silence().await;
        let unsubscribe = UnsubscribeRequest {
            channel: "kept:a".to_owned(),
            user: "u".to_owned(),
            ..UnsubscribeRequest::default()
        };
        let answer: UnsubscribeResponse = api.call("Unsubscribe", unsubscribe).await;
        assert_eq!(answer.result, Some(UnsubscribeResult {}));
        for client in [&mut client, &mut other] {
            assert_eq!(client.push().await["unsubscribe"]["code"], 2000);
        }
        let refresh = RefreshRequest {
            user: "u".to_owned(),
            client: client.id.clone(),
            expired: true,
            ..RefreshRequest::default()
        };
        let answer: RefreshResponse = api.call("Refresh", refresh).await;
        assert_eq!(answer.result, Some(RefreshResult {}));
        assert_eq!(client.closed().await.code, 3005);
        let disconnect = DisconnectRequest {
            user: "u".to_owned(),
            disconnect: Some(Disconnect { code: 4001, reason: "why".to_owned() }),
            session: other.session.clone(),
            ..DisconnectRequest::default()
        };
        let answer: DisconnectResponse = api.call("Disconnect", disconnect.clone()).await;
        assert_eq!(answer.result, Some(DisconnectResult {}));
        assert_eq!(other.closed().await.code, 4001);
        let odd = DisconnectRequest {
            disconnect: Some(Disconnect { code: 1, reason: String::new() }),
            ..disconnect
        };
        let answer: DisconnectResponse = api.call("Disconnect", odd).await;
        assert_eq!(answer.error.map(|error| error.code), Some(107));
        let mut everybody = [api.test.client("v", &[]).await, api.test.client("w", &[]).await];
        // Nobody has this label.
        let filter = FilterNode {
            key: "k".to_owned(),
            cmp: "eq".to_owned(),
            val: "v".to_owned(),
            ..FilterNode::default()
        };
        let some =
            DisconnectRequest { label_filter: Some(filter), all_users: true, ..DisconnectRequest::default() };
        let answer: DisconnectResponse = api.call("Disconnect", some.clone()).await;
        assert_eq!(answer.error, None);
        everybody[0].silence().await;
        let all = DisconnectRequest { label_filter: None, ..some };
        let answer: DisconnectResponse = api.call("Disconnect", all).await;
        assert_eq!(answer.error, None);
        for client in &mut everybody {
            assert_eq!(client.closed().await.code, 3503);
        }
    });
}

#[test]
fn what_fails_is_told_in_the_message() {
    block_on(async {
        let api = start(|_| {}).await;
        let code = |error: Option<Error>| error.map(|error| error.code);
        let answer: PublishResponse = api.call("Publish", publish("nowhere:a", "1")).await;
        assert_eq!((code(answer.error), answer.result), (Some(102), None));
        let answer: PublishResponse = api.call("Publish", publish("", "1")).await;
        assert_eq!(code(answer.error), Some(107));
        let answer: PublishResponse = api.call("Publish", publish("json:a", "{")).await;
        assert_eq!(code(answer.error), Some(107), "data that the channel does not take");
        let broken = PublishRequest { b64data: "*".to_owned(), ..publish("a", "1") };
        let answer: PublishResponse = api.call("Publish", broken).await;
        assert_eq!(code(answer.error), Some(107));
        let answer: RpcResponse =
            api.call("RPC", RpcRequest { method: "none".to_owned(), ..RpcRequest::default() }).await;
        assert_eq!(code(answer.error), Some(104));
        let filter = FilterNode { op: "xor".to_owned(), ..FilterNode::default() };
        let labelled = DisconnectRequest { label_filter: Some(filter), ..DisconnectRequest::default() };
        let answer: DisconnectResponse = api.call("Disconnect", labelled).await;
        assert_eq!(code(answer.error), Some(107), "a filter that is none");
        // Nothing keeps revocations here.
        let user = || "u".to_owned();
        let answer: BlockUserResponse =
            api.call("BlockUser", BlockUserRequest { user: user(), expire_at: 0 }).await;
        assert_eq!(code(answer.error), Some(108));
        let answer: UnblockUserResponse = api.call("UnblockUser", UnblockUserRequest { user: user() }).await;
        assert_eq!(code(answer.error), Some(108));
        let answer: RevokeTokenResponse = api.call("RevokeToken", RevokeTokenRequest::default()).await;
        assert_eq!(code(answer.error), Some(107), "no uid");
        let invalidate =
            InvalidateUserTokensRequest { user: user(), ..InvalidateUserTokensRequest::default() };
        let answer: InvalidateUserTokensResponse = api.call("InvalidateUserTokens", invalidate).await;
        assert_eq!(code(answer.error), Some(108));
    });
}

#[test]
fn a_batch_is_answered_command_by_command() {
    block_on(async {
        let api = start(|config| config.transport_errors = true).await;
        let commands = vec![
            Command { publish: Some(publish("kept:b", "1")), ..Command::default() },
            Command { publish: Some(publish("nowhere:b", "1")), ..Command::default() },
            Command {
                history: Some(HistoryRequest {
                    channel: "kept:b".to_owned(),
                    limit: 5,
                    ..HistoryRequest::default()
                }),
                ..Command::default()
            },
            Command::default(),
        ];
        for parallel in [false, true] {
            let answer: BatchResponse =
                api.call("Batch", BatchRequest { commands: commands.clone(), parallel }).await;
            let [one, two, three, four] = &answer.replies[..] else { panic!("{answer:?}") };
            assert!(one.publish.as_ref().is_some_and(|it| it.offset > 0) && one.error.is_none());
            assert_eq!(two.error.as_ref().map(|error| error.code), Some(102));
            assert!(three.history.is_some());
            assert_eq!(
                four.error.as_ref().map(|error| error.code),
                Some(104),
                "a command of no kind we have"
            );
        }
    });
}

/// API-34 to API-39.
#[test]
fn keyed_channels_are_changed_and_read() {
    block_on(async {
        let api = start(|_| {}).await;
        let publish = |key: &str, data: &str, key_mode: &str| MapPublishRequest {
            channel: "map:a".to_owned(),
            key: key.to_owned(),
            data: data.as_bytes().to_vec().into(),
            key_mode: key_mode.to_owned(),
            ..MapPublishRequest::default()
        };
        let mut first = publish("k", "1", "");
        first.tags.insert("t".to_owned(), "v".to_owned());
        let answer: MapPublishResponse = api.call("MapPublish", first).await;
        let place = answer.result.expect("a result");
        assert_eq!((place.offset, place.suppressed), (1, false));
        let answer: MapPublishResponse = api.call("MapPublish", publish("k", "2", "if_new")).await;
        let told = answer.result.expect("a result");
        assert_eq!((told.suppressed, told.suppress_reason.is_empty()), (true, false), "{told:?}");
        let encoded = MapPublishRequest { b64data: "Mw==".to_owned(), ..publish("l", "", "") };
        let answer: MapPublishResponse = api.call("MapPublish", encoded).await;
        assert_eq!(answer.error, None);
        for odd in [
            publish("k", "1", "sometimes"),
            publish("", "1", ""),
            MapPublishRequest { b64data: "*".to_owned(), ..publish("k", "", "") },
        ] {
            let answer: MapPublishResponse = api.call("MapPublish", odd).await;
            assert_eq!(answer.error.map(|error| error.code), Some(107));
        }
        let scored = MapPublishRequest { score: 1, ..publish("k", "1", "") };
        let answer: MapPublishResponse = api.call("MapPublish", scored).await;
        assert_eq!(answer.error.map(|error| error.code), Some(108));

        let channel = || "map:a".to_owned();
        let asked = MapReadStateRequest { channel: channel(), limit: 10, ..MapReadStateRequest::default() };
        let answer: MapReadStateResponse = api.call("MapReadState", asked.clone()).await;
        let page = answer.result.expect("a result");
        let mut entries: Vec<_> =
            page.entries.iter().map(|it| (it.key.as_str(), it.data.as_ref(), it.offset)).collect();
        entries.sort_unstable();
        assert_eq!(entries, [("k", &b"1"[..], 1), ("l", b"3", 2)]);
        assert_eq!((page.offset, &page.epoch), (2, &place.epoch));
        let of_key = MapReadStateRequest { key: "k".to_owned(), ..asked.clone() };
        let answer: MapReadStateResponse = api.call("MapReadState", of_key).await;
        let page = answer.result.expect("a result");
        assert_eq!((page.entries.len(), page.entries[0].tags["t"].as_str()), (1, "v"));
        let other = MapReadStateRequest { revision_offset: 1, revision_epoch: "other".to_owned(), ..asked };
        let answer: MapReadStateResponse = api.call("MapReadState", other).await;
        assert_eq!(answer.error.map(|error| error.code), Some(112));
        let stats = MapStatsRequest { channel: channel() };
        let answer: MapStatsResponse = api.call("MapStats", stats.clone()).await;
        assert_eq!(answer.result, Some(MapStatsResult { num_keys: 2 }));

        let remove =
            MapRemoveRequest { channel: channel(), key: "k".to_owned(), idempotency_key: String::new() };
        let answer: MapRemoveResponse = api.call("MapRemove", remove).await;
        assert_eq!(answer.result.expect("a result").offset, 3);
        let since = MapReadStreamRequest {
            channel: channel(),
            since_offset: 1,
            since_epoch: place.epoch,
            limit: 10,
            reverse: false,
        };
        let answer: MapReadStreamResponse = api.call("MapReadStream", since).await;
        let page = answer.result.expect("a result");
        let changes: Vec<_> =
            page.entries.iter().map(|it| (it.key.as_str(), it.removed, it.offset)).collect();
        assert_eq!(changes, [("l", false, 2), ("k", true, 3)]);
        let answer: MapClearResponse = api.call("MapClear", MapClearRequest { channel: channel() }).await;
        assert_eq!(answer.result, Some(MapClearResult {}));
        let command = Command { map_stats: Some(stats), ..Command::default() };
        let batch = BatchRequest { commands: vec![command], parallel: false };
        let mut answer: BatchResponse = api.call("Batch", batch).await;
        let reply = answer.replies.pop().expect("a reply");
        assert_eq!(reply.map_stats, Some(MapStatsResult { num_keys: 0 }));
    });
}

#[test]
fn api_40_values_of_polled_channels_are_published() {
    block_on(async {
        let api = start(|_| {}).await;
        let value = |channel: &str| SharedPollPublishRequest {
            channel: channel.to_owned(),
            key: "k".to_owned(),
            data: "1".into(),
            version: 1,
            ..SharedPollPublishRequest::default()
        };
        let answer: SharedPollPublishResponse = api.call("SharedPollPublish", value("direct:a")).await;
        assert_eq!((answer.result, answer.error), (Some(SharedPollPublishResult {}), None));
        let without = SharedPollPublishRequest { version: 0, ..value("direct:a") };
        for (asked, code) in
            [(value("a"), 107), (without, 107), (value("poll:a"), 108), (value("nowhere:a"), 102)]
        {
            let answer: SharedPollPublishResponse = api.call("SharedPollPublish", asked).await;
            assert_eq!(answer.error.map(|error| error.code), Some(code));
        }
        let command = Command { shared_poll_publish: Some(value("direct:a")), ..Command::default() };
        let batch = BatchRequest { commands: vec![command], parallel: false };
        let mut answer: BatchResponse = api.call("Batch", batch).await;
        let reply = answer.replies.pop().expect("a reply");
        assert_eq!(reply.shared_poll_publish, Some(SharedPollPublishResult {}));
    });
}
