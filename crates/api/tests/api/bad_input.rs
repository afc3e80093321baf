//! Bodies that are not what a method takes: each has its exact answer, and none does harm.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Test, start};

const METHODS: [&str; 14] = [
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "info",
    "channels",
    "rpc",
    "batch",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
];

async fn is_malformed(test: &Test, method: &str, body: impl Into<bytes::Bytes>) {
    let answer = test.raw(method, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert!(answer.text.len() > 5, "{method}: {answer:?}");
}

#[tokio::test]
async fn no_object_is_no_command() {
    let test = start();
    for method in METHODS {
        for body in [
            "", " ", "null", "[]", "[{}]", "1", "true", "\"{}\"", "{", "}", "{}}", "{} {}", "{]", "{\"a\"}",
            "nul", "{'a':1}",
        ] {
            is_malformed(&test, method, body).await;
        }
    }
}

#[tokio::test]
async fn text_that_is_no_utf8_is_refused_wherever_it_stands() {
    let test = start();
    for method in METHODS {
        for body in [
            &b"\xff"[..],
            b"{\"channel\":\"\xff\",\"data\":1}",
            b"{\"channel\":\"a\",\"data\":\"\xc3\"}",
            b"{\"unheard_of\":\"\xed\xa0\x80\"}",
            b"{\"\xff\":1}",
        ] {
            is_malformed(&test, method, body).await;
        }
    }
}

#[tokio::test]
async fn an_empty_object_has_the_defaults() {
    let test = start();
    for (method, code) in [
        ("publish", 107),
        ("broadcast", 107),
        ("subscribe", 107),
        ("rpc", 107),
        ("presence", 107),
        ("presence_stats", 107),
        ("history", 107),
        ("history_remove", 107),
    ] {
        assert_eq!(test.error(method, json!({})).await, code, "{method}");
    }
    for method in ["unsubscribe", "disconnect", "refresh"] {
        test.done(method, json!({})).await;
    }
    assert_eq!(test.call("batch", json!({})).await, json!({"replies": []}));
    assert_eq!(test.call("channels", json!({})).await, json!({"result": {"channels": {}}}));
}

#[tokio::test]
async fn members_of_other_types_are_refused() {
    let test = start();
    for (method, body) in [
        ("publish", r#"{"channel":1,"data":1}"#),
        ("publish", r#"{"channel":["a"],"data":1}"#),
        ("publish", r#"{"channel":"a","data":1,"tags":{"a":1}}"#),
        ("publish", r#"{"channel":"a","data":1,"tags":["a"]}"#),
        ("publish", r#"{"channel":"a","data":1,"b64data":1}"#),
        ("publish", r#"{"channel":"a","data":1,"skip_history":"yes"}"#),
        ("publish", r#"{"channel":"a","data":}"#),
        ("publish", r#"{"channel":"a","data":{"a":1,}}"#),
        ("publish", r#"{"channel":"a","b64data":"not base64"}"#),
        ("publish", r#"{"channel":"a","b64data":"YQ"}"#),
        ("broadcast", r#"{"channels":"a","data":1}"#),
        ("broadcast", r#"{"channels":[1],"data":1}"#),
        ("broadcast", r#"{"channels":[null],"data":1}"#),
        ("subscribe", r#"{"user":1,"channel":"a"}"#),
        ("disconnect", r#"{"user":"a","whitelist":"b"}"#),
        ("disconnect", r#"{"user":"a","disconnect":1}"#),
        ("disconnect", r#"{"user":"a","disconnect":{"code":"4000"}}"#),
        ("refresh", r#"{"user":"a","expire_at":"tomorrow"}"#),
        ("refresh", r#"{"user":"a","expired":1}"#),
        ("channels", r#"{"pattern":1}"#),
        ("batch", r#"{"commands":{}}"#),
        ("batch", r#"{"commands":1}"#),
        ("batch", r#"{"parallel":1}"#),
    ] {
        is_malformed(&test, method, body).await;
    }
}

#[tokio::test]
async fn numbers_that_no_number_type_holds_are_refused() {
    let test = start();
    for number in ["18446744073709551616", "-1", "1.5", "1e400", "99999999999999999999999999999999"] {
        is_malformed(&test, "publish", format!(r#"{{"channel":"a","data":1,"version":{number}}}"#)).await;
        is_malformed(&test, "disconnect", format!(r#"{{"disconnect":{{"code":{number}}}}}"#)).await;
    }
    for number in ["9223372036854775808", "1.5", "1e400"] {
        is_malformed(&test, "refresh", format!(r#"{{"user":"a","expire_at":{number}}}"#)).await;
    }
    // In the data it is the application's, and passes.
    let mut client = test.client("ann", &["a"]).await;
    test.done_raw("publish", r#"{"channel":"a","data":[1e400,18446744073709551616]}"#).await;
    assert_eq!(
        client.text().await,
        r#"{"push":{"channel":"a","pub":{"data":[1e400,18446744073709551616]}}}"#
    );
}

#[tokio::test]
async fn a_member_given_twice_is_refused() {
    let test = start();
    is_malformed(&test, "publish", r#"{"channel":"a","channel":"b","data":1}"#).await;
    is_malformed(&test, "publish", r#"{"channel":"a","data":1,"data":2}"#).await;
    is_malformed(&test, "refresh", r#"{"user":"a","user":"b"}"#).await;
    is_malformed(&test, "batch", r#"{"commands":[],"commands":[]}"#).await;
    // In the data it is the application's, and passes.
    test.done_raw("publish", r#"{"channel":"a","data":{"a":1,"a":2}}"#).await;
}

#[tokio::test]
async fn nesting_costs_nothing_where_it_is_passed_over_and_is_refused_where_it_is_read() {
    let test = start();
    let deep =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for depth in [10, 200, 100_000] {
        let data = deep("[", "]", depth);
        test.done_raw("publish", &format!(r#"{{"channel":"a","data":{data}}}"#)).await;
        test.done_raw("publish", &format!(r#"{{"channel":"a","data":1,"unheard_of":{data}}}"#)).await;
        let data = deep(r#"{"a":"#, "}", depth);
        test.done_raw("publish", &format!(r#"{{"channel":"object:a","data":{data}}}"#)).await;
    }
    for method in METHODS {
        is_malformed(&test, method, "[".repeat(100_000)).await;
        is_malformed(&test, method, "{\"a\":".repeat(100_000)).await;
    }
    let tags = deep(r#"{"a":"#, "}", 100_000);
    is_malformed(&test, "publish", format!(r#"{{"channel":"a","data":1,"tags":{tags}}}"#)).await;
}

#[tokio::test]
async fn null_is_as_if_absent_but_in_data() {
    let test = start();
    assert_eq!(test.error("publish", json!({"channel": null, "data": 1})).await, 107);
    test.done("unsubscribe", json!({"user": null, "channel": null, "client": null, "session": null})).await;
    test.done("disconnect", json!({"user": null, "whitelist": null, "disconnect": null, "all_users": null}))
        .await;
    test.done("refresh", json!({"user": "a", "info": null, "label_filter": null, "expire_at": null})).await;
    test.done(
        "subscribe",
        json!({"user": "a", "channel": "a", "override": null, "recover_since": null, "label_filter": null}),
    )
    .await;
    assert_eq!(test.call("batch", json!({"commands": null, "parallel": null})).await, json!({"replies": []}));
    let mut client = test.client("ann", &["a"]).await;
    test.done("publish", json!({"channel": "a", "data": null, "tags": null, "b64data": null})).await;
    assert_eq!(client.text().await, r#"{"push":{"channel":"a","pub":{"data":null}}}"#);
}

#[tokio::test]
async fn members_that_are_not_known_are_passed_over() {
    let test = start();
    test.done("publish", json!({"channel": "a", "data": 1, "unheard_of": {"of": [1, null]}})).await;
    assert_eq!(test.call("channels", json!({"unheard_of": 1})).await, json!({"result": {"channels": {}}}));
}

/// What is asked for and not there yet is refused by name, never passed over.
#[tokio::test]
async fn what_is_not_there_yet_is_refused_by_name() {
    let test = start();
    let cases = [
        ("publish", json!({"channel": "a", "data": 1, "version": 1}), "version"),
        ("publish", json!({"channel": "a", "data": 1, "version_epoch": "e"}), "version"),
        ("presence", json!({"channel": "a"}), "not available"),
        ("presence_stats", json!({"channel": "a"}), "not available"),
        ("history", json!({"channel": "a", "limit": 10}), "not available"),
        ("history_remove", json!({"channel": "a"}), "not available"),
    ];
    for (method, params, named) in cases {
        let answer = test.call(method, params).await;
        assert_eq!(answer["error"]["code"], 108, "{method}: {answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(named), "{method}: {message}");
    }
    // What is off where it could be asked for asks for nothing.
    test.done(
        "publish",
        json!({"channel": "a", "data": 1, "delta": false, "version": 0, "skip_history": true}),
    )
    .await;
    test.done("subscribe", json!({"user": "a", "channel": "a", "override": {"presence": {"value": false}}}))
        .await;
    test.done("disconnect", json!({"user": "a", "all_users": false})).await;
}

/// It leaves connections out: whoever cannot be understood reaches nobody.
#[tokio::test]
async fn filters_of_labels_that_are_none_are_refused() {
    let test = start();
    for method in ["subscribe", "unsubscribe", "disconnect", "refresh"] {
        for filter in [json!({}), json!({"op": "and"}), json!({"key": "a", "cmp": "odd", "val": "1"})] {
            let params = json!({"user": "a", "channel": "a", "label_filter": filter});
            let answer = test.raw(method, params.to_string()).await;
            assert_eq!(answer.status, 400, "{method}: {answer:?}");
            assert!(answer.text.contains("label_filter"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn channels_are_checked_before_features_are_missed() {
    let test = start();
    for method in ["presence", "presence_stats", "history", "history_remove"] {
        assert_eq!(test.error(method, json!({"channel": "nowhere:a"})).await, 102, "{method}");
        assert_eq!(test.error(method, json!({"channel": ""})).await, 107, "{method}");
    }
}
