//! The OpenAPI document against what is answered (PUBS-07).

use serde_json::{Value, json};
use tourbillon_api::openapi;

use crate::harness::start;

/// Everything in an answer that the document does not tell of.
fn untold(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let place = format!("{path}.{name}");
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (Value::Null, Value::Null) => found.push(place),
                    (Value::Null, each) => untold(member, each, &place, found),
                    (known, _) if *known == json!({}) || known.get("type").is_none() => {}
                    (known, _) => untold(member, known, &place, found),
                }
            }
        }
        Value::Array(list) => {
            list.iter().for_each(|element| untold(element, &schema["items"], &format!("{path}[]"), found));
        }
        _ => {
            let kind = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                _ => "integer",
            };
            let told = schema["type"].as_str().unwrap_or("none");
            if told != kind && !(told == "number" && kind == "integer") {
                found.push(format!("{path}: {kind} for {told}"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_as_the_document_says() {
    let document: Value = serde_json::from_str(&openapi("/api", "1")).expect("JSON");
    let test = start();
    let _clients = [test.client("ann", &["a"]).await, test.client("bob", &["kept:a", "a"]).await];
    let mut answered = 0;
    for (method, body) in [
        ("publish", json!({"channel": "kept:a", "data": {"a": 1}, "tags": {"a": "b"}})),
        ("publish", json!({"channel": "nowhere:a", "data": 1})),
        ("broadcast", json!({"channels": ["a", "kept:a", "nowhere:a"], "data": 1})),
        ("info", json!({})),
        ("channels", json!({})),
        ("history", json!({"channel": "kept:a", "limit": 10})),
        ("presence", json!({"channel": "kept:a"})),
        ("presence_stats", json!({"channel": "kept:a"})),
        ("map_publish", json!({"channel": "map:a", "key": "k", "data": 1, "tags": {"a": "b"}})),
        ("map_publish", json!({"channel": "map:a", "key": "k", "data": 1, "key_mode": "if_new"})),
        ("map_publish", json!({"channel": "map:a", "key": "l", "b64data": "/wA="})),
        ("map_read_state", json!({"channel": "map:a", "limit": 1})),
        ("map_remove", json!({"channel": "map:a", "key": "k"})),
        ("map_read_stream", json!({"channel": "map:a", "limit": 10})),
        ("map_stats", json!({"channel": "map:a"})),
        ("shared_poll_publish", json!({"channel": "direct:a", "key": "k", "version": 1, "data": 1})),
        ("explain", json!({"action": "publish", "channel": "a"})),
        ("disconnect", json!({"user": "eve"})),
    ] {
        let answer = test.call(method, body).await;
        let operation = &document["paths"][&format!("/{method}")]["post"];
        let mut schema = operation["responses"]["200"]["content"]["application/json"]["schema"].clone();
        schema["properties"]["error"] = document["components"]["schemas"]["Error"].clone();
        let mut found = Vec::new();
        untold(&answer, &schema, method, &mut found);
        assert_eq!(found, [""; 0], "{answer}");
        answered += usize::from(answer["result"].is_object());
    }
    assert!(answered >= 7, "{answered}");
    test.end().await;
}
