//! Blocking users and revoking tokens by the API (PRO-34..36): what reaches whoever does it.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tourbillon_api::{ApiError, Revoke};
use tourbillon_node::BoxFuture;
use tourbillon_types::{Channel, UserId};

use crate::harness::{start, start_with_service};

#[derive(Debug, Default)]
struct Noted(Mutex<Vec<String>>);

impl Noted {
    fn note(&self, text: String) -> BoxFuture<'_, Result<(), ApiError>> {
        self.0.lock().push(text);
        Box::pin(async { Ok(()) })
    }
}

impl Revoke for Noted {
    fn block_user(&self, user: UserId, expire_at: Option<i64>) -> BoxFuture<'_, Result<(), ApiError>> {
        self.note(format!("block {user} {expire_at:?}"))
    }

    fn unblock_user(&self, user: UserId) -> BoxFuture<'_, Result<(), ApiError>> {
        self.note(format!("unblock {user}"))
    }

    fn revoke_token(&self, id: String, expire_at: Option<i64>) -> BoxFuture<'_, Result<(), ApiError>> {
        self.note(format!("revoke {id} {expire_at:?}"))
    }

    fn invalidate_user_tokens(
        &self,
        user: UserId,
        channel: Option<Channel>,
        issued_before: Option<i64>,
        expire_at: Option<i64>,
    ) -> BoxFuture<'_, Result<(), ApiError>> {
        let channel = channel.map(|channel| format!(" for {channel}")).unwrap_or_default();
        self.note(format!("invalidate {user}{channel} {issued_before:?} {expire_at:?}"))
    }
}

#[tokio::test(start_paused = true)]
async fn pro_34_to_36_the_methods_take_what_the_paid_edition_takes() {
    let noted = Arc::new(Noted::default());
    let test = start_with_service(|service| service.with_revocations(noted.clone()));
    test.done("block_user", json!({"user": "ann", "expire_at": 7})).await;
    test.done("block_user", json!({"user": "ann", "expire_at": 0})).await;
    test.done("unblock_user", json!({"user": "ann"})).await;
    test.done("revoke_token", json!({"uid": "t", "expire_at": 8})).await;
    test.done("invalidate_user_tokens", json!({"user": "ann", "issued_before": 5, "expire_at": 9})).await;
    test.done("invalidate_user_tokens", json!({"user": "ann", "channel": ""})).await;
    test.done("invalidate_user_tokens", json!({"user": "ann", "channel": "a:b", "issued_before": 6})).await;
    let batch = json!({"commands": [{"block_user": {"user": "bob"}}, {"revoke_token": {"uid": "u"}}]});
    let replies = test.call("batch", batch).await;
    assert_eq!(replies, json!({"replies": [{"block_user": {}}, {"revoke_token": {}}]}));
    let expected = [
        "block ann Some(7)",
        "block ann None",
        "unblock ann",
        "revoke t Some(8)",
        "invalidate ann Some(5) Some(9)",
        "invalidate ann None None",
        "invalidate ann for a:b Some(6) None",
        "block bob None",
        "revoke u None",
    ];
    assert_eq!(*noted.0.lock(), expected);
    for (method, params, code) in [
        ("block_user", json!({}), 107),
        ("unblock_user", json!({"user": ""}), 107),
        ("revoke_token", json!({"user": "ann"}), 107),
        ("invalidate_user_tokens", json!({"issued_before": 5}), 107),
        ("invalidate_user_tokens", json!({"channel": "a"}), 107),
    ] {
        assert_eq!(test.error(method, params).await, code, "{method}");
    }
    for body in [r#"{"user":1}"#, r#"{"user":"a","expire_at":"soon"}"#, "[]"] {
        assert_eq!(test.raw("block_user", body).await.status, 400, "{body}");
    }
    assert_eq!(noted.0.lock().len(), expected.len());
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_anybody_who_revokes_the_methods_are_not_available() {
    let test = start();
    for (method, params) in [
        ("block_user", json!({"user": "ann"})),
        ("unblock_user", json!({"user": "ann"})),
        ("revoke_token", json!({"uid": "t"})),
        ("invalidate_user_tokens", json!({"user": "ann"})),
    ] {
        assert_eq!(test.error(method, params).await, 108, "{method}");
    }
    test.end().await;
}
