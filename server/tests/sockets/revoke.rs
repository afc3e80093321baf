//! Blocking users and revoking tokens, from the API to the client (PRO-34..36).

use tourbillon::auth::{ConnectToken, Secret, Signer, SubscribeToken};
use tourbillon::types::Payload;
use tourbillon_server::config::SecretText;

use crate::harness::{Client, Server, start};

const TOKEN_KEY: &str = "a key of the tests, at least 32 bytes long";

fn token(user: &str, id: &str, issued_at: i64) -> String {
    let more = vec![
        ("jti".to_owned(), Payload::from(format!("\"{id}\"").into_bytes())),
        ("iat".to_owned(), Payload::from(issued_at.to_string().into_bytes())),
    ];
    let token = ConnectToken { user: user.to_owned(), more, ..ConnectToken::default() };
    Signer::hs256(&Secret::from(TOKEN_KEY)).sign_connect(&token).expect("signed")
}

/// A subscribe command with a token.
fn subscribe(id: u32, (user, channel): (&str, &str), token_id: &str, issued_at: i64) -> String {
    let more = vec![("jti".to_owned(), Payload::from(format!("\"{token_id}\"").into_bytes()))];
    let (user, name) = (user.to_owned(), channel.to_owned());
    let token =
        SubscribeToken { user, channel: name, issued_at: Some(issued_at), more, ..Default::default() };
    let token = Signer::hs256(&Secret::from(TOKEN_KEY)).sign_subscribe(&token).expect("signed");
    format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}","token":"{token}"}}}}"#)
}

async fn server() -> Server {
    start(|options| options.client.token.hmac_secret_key = SecretText::new(TOKEN_KEY)).await
}

/// A client that connects with a token, and what it is told.
async fn connect(server: &Server, token: &str) -> (Client, String) {
    let mut client = Client::upgrade(server.external, "").await.expect("an upgrade");
    client.send(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#)).await;
    let (opcode, payload) = client.frame().await;
    let told = match opcode {
        8 => format!("closed with {}", u16::from_be_bytes([payload[0], payload[1]])),
        _ => String::from_utf8(payload).expect("text"),
    };
    (client, told)
}

async fn done(server: &Server, method: &str, body: &str) {
    assert_eq!(server.api(method, body).await.body, r#"{"result":{}}"#, "{method} {body}");
}

#[tokio::test]
async fn pro_34_a_blocked_user_is_sent_away_and_kept_out_until_unblocked() {
    let server = server().await;
    let (ann, bob) = (token("ann", "a", 1), token("bob", "b", 1));
    let (mut first, told) = connect(&server, &ann).await;
    assert!(told.contains(r#""connect""#), "{told}");
    let (mut other, _) = connect(&server, &bob).await;
    done(&server, "block_user", r#"{"user":"ann"}"#).await;
    assert_eq!(first.closed().await, (3507, "permission denied".to_owned()));
    assert_eq!(connect(&server, &ann).await.1, "closed with 3507");
    assert!(other.call(r#"{"id":2,"subscribe":{"channel":"x"}}"#).await.contains("subscribe"));
    done(&server, "unblock_user", r#"{"user":"ann"}"#).await;
    assert!(connect(&server, &ann).await.1.contains(r#""connect""#));
    let over = server.api("block_user", r#"{"user":"ann","expire_at":1}"#).await;
    assert!(over.body.contains(r#""code":107"#), "{}", over.body);
    server.end().await;
}

#[tokio::test]
async fn pro_35_and_36_connections_by_revoked_tokens_end_and_their_tokens_are_of_no_use() {
    let server = server().await;
    let (mut stolen, _) = connect(&server, &token("ann", "stolen", 100)).await;
    let (mut old, _) = connect(&server, &token("ann", "old", 100)).await;
    let (mut new, _) = connect(&server, &token("ann", "new", 200)).await;
    let (mut other, _) = connect(&server, &token("bob", "other", 100)).await;
    done(&server, "revoke_token", r#"{"uid":"stolen","expire_at":99999999999}"#).await;
    assert_eq!(stolen.closed().await, (3014, "state invalidated".to_owned()));
    assert!(connect(&server, &token("ann", "stolen", 300)).await.1.contains(r#""code":109"#));
    done(&server, "invalidate_user_tokens", r#"{"user":"ann","issued_before":150}"#).await;
    assert_eq!(old.closed().await, (3014, "state invalidated".to_owned()));
    assert!(connect(&server, &token("ann", "old", 149)).await.1.contains(r#""code":109"#));
    assert!(connect(&server, &token("ann", "newer", 150)).await.1.contains(r#""connect""#));
    for client in [&mut new, &mut other] {
        assert!(client.call(r#"{"id":2,"subscribe":{"channel":"x"}}"#).await.contains("subscribe"));
    }
    // Without a time, everything until now.
    done(&server, "invalidate_user_tokens", r#"{"user":"bob"}"#).await;
    assert_eq!(other.closed().await.0, 3014);
    server.end().await;
}

#[tokio::test]
async fn pro_35_and_36_subscriptions_by_revoked_tokens_end_and_others_go_on() {
    const ENDED: &str =
        r#"{"push":{"channel":"a","unsubscribe":{"code":2502,"reason":"state invalidated"}}}"#;
    let server = server().await;
    let (mut old, _) = connect(&server, &token("ann", "old", 100)).await;
    let (mut new, _) = connect(&server, &token("ann", "new", 100)).await;
    let (mut bob, _) = connect(&server, &token("bob", "bob", 100)).await;
    assert!(old.call(&subscribe(2, ("ann", "a"), "1", 100)).await.contains("subscribe"));
    assert!(new.call(&subscribe(2, ("ann", "a"), "2", 200)).await.contains("subscribe"));
    assert!(new.call(&subscribe(3, ("ann", "b"), "3", 100)).await.contains("subscribe"));
    assert!(bob.call(&subscribe(2, ("bob", "a"), "4", 100)).await.contains("subscribe"));
    done(&server, "invalidate_user_tokens", r#"{"user":"ann","channel":"a","issued_before":150}"#).await;
    assert_eq!(old.text().await.trim(), ENDED);
    // Neither older ones of hers, nor for longer than it holds.
    assert!(old.call(&subscribe(3, ("ann", "a"), "5", 149)).await.contains(r#""code":109"#));
    assert!(old.call(&subscribe(4, ("ann", "a"), "6", 150)).await.contains("subscribe"));
    // One token alone.
    done(&server, "revoke_token", r#"{"uid":"2","expire_at":99999999999}"#).await;
    assert_eq!(new.text().await.trim(), ENDED);
    assert!(new.call(&subscribe(5, ("ann", "a"), "2", 300)).await.contains(r#""code":109"#));
    // All others are as they were: what comes next is what is published.
    for (client, channel) in [(&mut old, "a"), (&mut new, "b"), (&mut bob, "a")] {
        let published = format!(r#"{{"channel":"{channel}","data":1}}"#);
        assert!(server.api("publish", &published).await.body.contains("result"));
        let push = client.text().await;
        assert!(push.contains(&format!(r#""channel":"{channel}","pub""#)), "{push}");
    }
    server.end().await;
}
