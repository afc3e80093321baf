//! Several commands in one request (API-33).

use serde_json::{Value, json};

use crate::harness::start;

#[tokio::test(start_paused = true)]
async fn replies_are_in_the_order_of_commands() {
    let test = start();
    let mut client = test.client("ann", &["a"]).await;
    for parallel in [false, true] {
        let commands = json!([
            {"publish": {"channel": "a", "data": 1}},
            {"broadcast": {"channels": ["a", "nowhere:b"], "data": 2}},
            {"subscribe": {"user": "nobody", "channel": "a"}},
            {"unsubscribe": {"user": "nobody", "channel": "a"}},
            {"disconnect": {"user": "nobody"}},
            {"refresh": {"user": "nobody"}},
            {"channels": {}},
            {"publish": {"channel": "", "data": 3}},
        ]);
        let answer = test.call("batch", json!({"commands": commands, "parallel": parallel})).await;
        assert_eq!(
            answer,
            json!({"replies": [
                {"publish": {}},
                {"broadcast": {"responses": [
                    {"result": {}},
                    {"error": {"code": 102, "message": "unknown channel"}},
                ]}},
                {"subscribe": {}},
                {"unsubscribe": {}},
                {"disconnect": {}},
                {"refresh": {}},
                {"channels": {"channels": {"a": {"num_clients": 1}}}},
                {"error": {"code": 107, "message": "channel is required"}},
            ]})
        );
        for data in [1, 2] {
            assert_eq!(client.push().await["pub"]["data"], data);
        }
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_parallel_commands_follow_one_another() {
    let test = start();
    let mut client = test.client("ann", &["a"]).await;
    let commands: Vec<Value> = (0..2000).map(|at| json!({"publish": {"channel": "a", "data": at}})).collect();
    let answer = test.call("batch", json!({ "commands": commands })).await;
    assert_eq!(answer["replies"].as_array().map(Vec::len), Some(2000));
    for at in 0..2000 {
        assert_eq!(client.push().await["pub"]["data"], at);
    }
    test.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_fails_by_itself() {
    let test = start();
    let body = r#"{"commands":[
        null, {}, [], 1, "publish", [{"publish":{}}],
        {"unheard_of":{}}, {"map_publishes":{"channel":"a"}}, {"batch":{"commands":[]}}, {"publish":null},
        {"publish":[]}, {"publish":1}, {"publish":{"channel":1}}, {"publish":{"channel":"a","channel":"b"}},
        {"publish":{"channel":"a","data":1}}
    ]}"#;
    let answer = test.raw("batch", body).await.json();
    let codes: Vec<&Value> =
        answer["replies"].as_array().expect("replies").iter().map(|reply| &reply["error"]["code"]).collect();
    let (bad, unknown, none) = (json!(107), json!(104), Value::Null);
    let expected = [
        &bad, &unknown, &bad, &bad, &bad, &bad, &unknown, &unknown, &unknown, &unknown, &bad, &bad, &bad,
        &bad, &none,
    ];
    assert_eq!(codes, expected, "{answer}");
}

/// A command with several methods counts as one of them, always the same.
#[tokio::test]
async fn of_several_methods_in_a_command_the_first_of_the_list_counts() {
    let test = start();
    let both = json!({"channels": {}, "publish": {"channel": "a", "data": 1}});
    let answer = test.call("batch", json!({"commands": [both]})).await;
    assert_eq!(answer, json!({"replies": [{"publish": {}}]}));
}

#[tokio::test]
async fn more_commands_than_run_at_once_are_all_answered() {
    let test = start();
    let commands: Vec<Value> = (0..3000).map(|_| json!({"rpc": {"method": "none"}})).collect();
    let answer = test.call("batch", json!({"commands": commands, "parallel": true})).await;
    let replies = answer["replies"].as_array().expect("replies");
    assert_eq!(replies.len(), 3000);
    assert!(replies.iter().all(|reply| reply["error"]["code"] == 104));
}
