//! Subscribe, unsubscribe, disconnect and refresh: what they do to connections.

use serde_json::json;

use crate::harness::start;

#[tokio::test(start_paused = true)]
async fn subscribe_reaches_the_connections_of_the_user() {
    let test = start();
    let (mut one, mut two) = (test.client("ann", &[]).await, test.client("ann", &[]).await);
    let (mut other, mut nameless) = (test.client("bob", &[]).await, test.client("", &[]).await);
    test.done("subscribe", json!({"user": "ann", "channel": "a", "data": {"hello": 1}})).await;
    test.done("publish", json!({"channel": "a", "data": 1})).await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.push().await, json!({"channel": "a", "subscribe": {"data": {"hello": 1}}}));
        assert_eq!(client.push().await["pub"]["data"], 1);
    }
    other.silence().await;
    nameless.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn tf_04_subscribe_can_say_which_publications_the_subscriber_gets() {
    let test = start();
    let mut client = test.client("ann", &[]).await;
    let filter = json!({"op": "not", "nodes": [{"key": "team", "cmp": "eq", "val": "b"}]});
    test.done("subscribe", json!({"user": "ann", "channel": "a", "server_tags_filter": filter})).await;
    assert!(client.push().await["subscribe"].is_object());
    for (number, team) in [(1, "a"), (2, "b"), (3, "a")] {
        test.done("publish", json!({"channel": "a", "data": number, "tags": {"team": team}})).await;
    }
    for number in [1, 3] {
        assert_eq!(client.push().await["pub"]["data"], number);
    }
    // One that is wrong is never left out.
    for wrong in [json!({}), json!([]), json!({"key": "a", "cmp": "like", "val": "b"}), json!({"op": "and"})]
    {
        let subscribe = json!({"user": "ann", "channel": "c", "server_tags_filter": wrong});
        let answer = test.raw("subscribe", subscribe.to_string()).await;
        assert_eq!(answer.status, 400, "{subscribe}");
    }
    client.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn pro_51_commands_can_mean_all_users_and_those_with_some_labels() {
    let test = start();
    let (mut ann, mut nameless) = (test.client("ann", &[]).await, test.client("", &[]).await);
    test.done("subscribe", json!({"all_users": true, "channel": "a"})).await;
    for client in [&mut ann, &mut nameless] {
        assert_eq!(client.push().await["channel"], "a");
    }
    // Who names a user means that one.
    test.done("unsubscribe", json!({"user": "ann", "all_users": true, "channel": "a"})).await;
    assert_eq!(ann.push().await["unsubscribe"]["code"], 2000);
    let (with, without) =
        (json!({"key": "tier", "cmp": "ex"}), json!({"op": "not", "nodes": [{"key": "tier", "cmp": "ex"}]}));
    for method in ["subscribe", "unsubscribe", "disconnect", "refresh"] {
        let params = json!({"all_users": true, "channel": "b", "expired": true, "label_filter": with});
        test.done(method, params).await;
    }
    ann.silence().await;
    nameless.silence().await;
    test.done("refresh", json!({"user": "ann", "expired": true, "label_filter": without})).await;
    assert_eq!(ann.closed().await.code, 3005);
    test.done("disconnect", json!({"all_users": true, "label_filter": without})).await;
    assert_eq!(nameless.closed().await.code, 3503);
    test.end().await;
}

/// The empty user means connections without a name, never everybody (HID-71).
#[tokio::test(start_paused = true)]
async fn without_a_user_only_the_nameless_are_meant() {
    let test = start();
    let (mut named, mut nameless) = (test.client("ann", &["a"]).await, test.client("", &["a"]).await);
    test.done("subscribe", json!({"channel": "b"})).await;
    assert_eq!(nameless.push().await["channel"], "b");
    test.done("unsubscribe", json!({"user": "", "channel": "a"})).await;
    assert_eq!(nameless.push().await["unsubscribe"]["code"], 2000);
    test.done("disconnect", json!({})).await;
    assert_eq!(nameless.closed().await.code, 3503);
    named.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_can_be_meant() {
    let test = start();
    let (mut one, mut two) = (test.client("ann", &[]).await, test.client("ann", &[]).await);
    test.done("subscribe", json!({"user": "ann", "client": one.id, "channel": "a"})).await;
    assert_eq!(one.push().await["channel"], "a");
    two.silence().await;
    // The identifier of somebody else's connection, and ones that are none, mean nobody.
    for client in [one.id.as_str(), "00000000-0000-0000-0000-000000000000", "no identifier", "é"] {
        test.done("disconnect", json!({"user": "bob", "client": client})).await;
    }
    for nobody in
        [json!({"user": "ann", "client": "no identifier"}), json!({"user": "ann", "session": "none"})]
    {
        test.done("disconnect", nobody).await;
    }
    one.silence().await;
    two.silence().await;
    test.done("disconnect", json!({"user": "ann", "session": two.session})).await;
    assert_eq!(two.closed().await.code, 3503);
    one.silence().await;
    test.end().await;
}

/// HID-70: also those are told that are not subscribed; without a channel it is not all channels.
#[tokio::test(start_paused = true)]
async fn unsubscribe_tells_everybody_meant() {
    let test = start();
    let (mut one, mut two) = (test.client("ann", &["a", "b"]).await, test.client("ann", &[]).await);
    test.done("unsubscribe", json!({"user": "ann", "channel": "a"})).await;
    for client in [&mut one, &mut two] {
        let push = client.push().await;
        assert_eq!(push["channel"], "a");
        assert_eq!(push["unsubscribe"]["code"], 2000);
    }
    test.done("unsubscribe", json!({"user": "ann", "channel": ""})).await;
    for client in [&mut one, &mut two] {
        let push = client.push().await;
        assert_eq!(
            (&push["channel"], &push["unsubscribe"]["code"]),
            (&serde_json::Value::Null, &json!(2000))
        );
    }
    test.done("publish", json!({"channel": "a", "data": 1})).await;
    test.done("publish", json!({"channel": "b", "data": 2})).await;
    assert_eq!(one.push().await["pub"]["data"], 2);
    assert_eq!(test.error("unsubscribe", json!({"user": "ann", "channel": "nowhere:a"})).await, 102);
    test.end().await;
}

/// API-24, HID-71.
#[tokio::test(start_paused = true)]
async fn disconnect_says_why_and_spares_who_is_listed() {
    let test = start();
    let mut plain = test.client("plain", &[]).await;
    test.done("disconnect", json!({"user": "plain"})).await;
    let why = plain.closed().await;
    assert_eq!((why.code, why.reason.as_ref()), (3503, "force disconnect"));
    let (mut one, mut two) = (test.client("ann", &[]).await, test.client("ann", &[]).await);
    let why = json!({"code": 4321, "reason": "maintenance"});
    test.done(
        "disconnect",
        json!({"user": "ann", "whitelist": [one.id, "no identifier"], "disconnect": why}),
    )
    .await;
    let why = two.closed().await;
    assert_eq!((why.code, why.reason.as_ref()), (4321, "maintenance"));
    one.silence().await;
    test.end().await;
}

/// What no close frame can carry is refused rather than cut.
#[tokio::test(start_paused = true)]
async fn a_disconnect_that_cannot_be_sent_is_refused() {
    let test = start();
    let mut client = test.client("ann", &[]).await;
    for why in [
        json!({}),
        json!({"reason": "no code"}),
        json!({"code": 0}),
        json!({"code": 1000}),
        json!({"code": 2999}),
        json!({"code": 5000}),
        json!({"code": 4000, "reason": "x".repeat(124)}),
    ] {
        assert_eq!(test.error("disconnect", json!({"user": "ann", "disconnect": why})).await, 107, "{why}");
    }
    client.silence().await;
    let why = json!({"code": 4999, "reason": "x".repeat(123)});
    test.done("disconnect", json!({"user": "ann", "disconnect": why})).await;
    assert_eq!(client.closed().await.code, 4999);
    test.end().await;
}

/// API-25.
#[tokio::test(start_paused = true)]
async fn refresh_changes_the_info() {
    let test = start();
    let mut ann = test.client("ann", &[]).await;
    let mut bob = test.client("bob", &["a"]).await;
    let later = tourbillon_types::SystemClock::unix_millis() / 1000 + 3600;
    test.done("refresh", json!({"user": "ann", "info": {"name": "Ann"}, "expire_at": later})).await;
    assert_eq!(ann.push().await["refresh"]["expires"], true);
    let reply = ann.call(r#"{"id":9,"publish":{"channel":"a","data":1}}"#).await;
    assert!(reply["publish"].is_object(), "{reply}");
    assert_eq!(bob.push().await["pub"]["info"]["conn_info"], json!({"name": "Ann"}));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn refresh_moves_the_expiry() {
    let test = start();
    let mut client = test.client("ann", &[]).await;
    let now = tourbillon_types::SystemClock::unix_millis() / 1000;
    test.done("refresh", json!({"user": "ann", "expire_at": now + 3600})).await;
    let push = client.push().await;
    assert_eq!(push["refresh"]["expires"], true);
    let ttl = push["refresh"]["ttl"].as_u64().expect("seconds");
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    test.done("refresh", json!({"user": "ann", "expire_at": 0})).await;
    assert_eq!(client.push().await, json!({"refresh": {}}));
    test.done("refresh", json!({"user": "ann", "expired": true})).await;
    assert_eq!(client.closed().await.code, 3005);
    let mut client = test.client("ann", &[]).await;
    test.done("refresh", json!({"user": "ann", "expire_at": 1})).await;
    assert_eq!(client.closed().await.code, 3005);
    test.end().await;
}
