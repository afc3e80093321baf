//! `explain`, which is ours.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, ready};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tourbillon_api::{
    ApiError, ApiService, Explain, ExplainedRule, ExplainedToken, Explains, Explanation, HttpApi,
    HttpApiConfig,
};

use crate::harness::{KEY, start};

/// Says back what it was asked.
struct Echo;

impl Explains for Echo {
    fn explain(&self, query: Explain) -> BoxFuture<'_, Result<Explanation, ApiError>> {
        let token = |token: String| ExplainedToken {
            claims: RawValue::from_string(token).ok(),
            problem: Some("none".to_owned()),
        };
        let why = format!("{} {} {} {:?}", query.user, query.action, query.subscribed, query.data.bytes());
        ready(Ok(Explanation {
            namespace: query.channel.to_string(),
            allowed: query.subscribed,
            verdict: "so it is".to_owned(),
            code: if query.subscribed { 0 } else { 103 },
            rules: vec![ExplainedRule { rule: "a", outcome: "allows", why }],
            token: (!query.token.is_empty()).then(|| token(query.token)),
            connection_token: (!query.connection_token.is_empty()).then(|| token(query.connection_token)),
        }))
        .boxed()
    }
}

#[tokio::test]
async fn the_question_is_handed_on_and_the_answer_told() {
    let mut test = start();
    assert_eq!(test.error("explain", json!({"channel": "x"})).await, 108, "nobody explains");
    let mut config = HttpApiConfig::default();
    KEY.clone_into(&mut config.key);
    test.api = HttpApi::new(ApiService::new(test.node.clone()).with_explanations(Arc::new(Echo)), config);
    let asked = json!({
        "channel": "x", "user": "anna", "action": "publish", "subscribed": true, "data": {"a": 1},
        "token": "{\"sub\":\"anna\"}", "connection_token": "{",
    });
    let why = "anna publish true b\"{\\\"a\\\":1}\"";
    assert_eq!(
        test.call("explain", asked).await["result"],
        json!({
            "namespace": "x", "allowed": true, "verdict": "so it is",
            "rules": [{"rule": "a", "outcome": "allows", "why": why}],
            "token": {"claims": {"sub": "anna"}, "problem": "none"},
            "connection_token": {"problem": "none"},
        })
    );
    let refused = test.call("explain", json!({"channel": "x", "b64data": "AA=="})).await["result"].clone();
    assert_eq!((&refused["allowed"], &refused["code"]), (&Value::from(false), &Value::from(103)));
    assert_eq!(test.error("explain", json!({})).await, 107);
    assert_eq!(test.raw("explain", "[]").await.status, 400);
    // No batch has it: its answer is for people.
    let batch = test.call("batch", json!({"commands": [{"explain": {"channel": "x"}}]})).await;
    assert_eq!(batch["replies"][0]["error"]["code"], 104);
}
