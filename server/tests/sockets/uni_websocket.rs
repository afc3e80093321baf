//! WebSockets that go one way, through the whole server (UNI-02..04, UNI-10, UNI-11).

use std::time::Duration;

use tourbillon_server::config::model::{DisconnectTransform, ToldDisconnect};
use tourbillon_server::config::{GoDuration, Options};

use crate::harness::{Client, start};

const PATH: &str = "/connection/uni_websocket";
const PING: u8 = 9;

fn enabled(options: &mut Options) {
    options.uni_websocket.enabled = true;
}

/// A field of a push whose value is a text.
fn field<'a>(push: &'a str, name: &str) -> &'a str {
    let (_, rest) = push.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name}: {push}"));
    rest.split('"').next().expect("a value")
}

#[tokio::test]
async fn a_listener_gets_what_the_server_gives_to_the_end() {
    let server = start(enabled).await;
    for (query, first) in
        [("", Some("{}")), ("", Some("null")), ("?cf_connect=%7B%22name%22%3A%22x%22%7D", None)]
    {
        let target = format!("{PATH}{query}");
        let mut client = Client::upgrade_at(server.external, &target, "").await.expect("an upgrade");
        if let Some(first) = first {
            client.send(first).await;
        }
        let connected = client.text().await;
        assert!(connected.starts_with(r#"{"connect":{"client":""#), "{connected}");
        assert!(connected.contains(r#""ping":25"#), "{connected}");
        assert!(!connected.contains("pong") && !connected.contains("node"), "{connected}");
        let id = field(&connected, "client");
        assert_ne!(field(&connected, "session"), id);
        // Whatever it says now is nothing to the server.
        client.send("nonsense").await;
        client.send(r#"{"id":2,"subscribe":{"channel":"a"}}"#).await;
        let subscribe = format!(r#"{{"user":"","client":"{id}","channel":"b"}}"#);
        assert_eq!(server.api("subscribe", &subscribe).await.status, 200);
        assert_eq!(client.text().await, r#"{"channel":"b","subscribe":{}}"#);
        server.api("publish", r#"{"channel":"b","data":1}"#).await;
        assert_eq!(client.text().await, r#"{"channel":"b","pub":{"data":1}}"#);
        server.api("disconnect", &format!(r#"{{"user":"","client":"{id}"}}"#)).await;
        let told = client.text().await;
        assert!(told.starts_with(r#"{"disconnect":{"code":3503,"#), "{told}");
        assert_eq!(client.closed().await, (3503, "force disconnect".to_owned()));
    }
    server.end().await;
}

/// A ticket stands for the connect request that was put down for it, once.
#[tokio::test]
async fn an_address_with_a_ticket_needs_hold_no_token() {
    let server = start(|options| {
        enabled(options);
        options.ticket.enabled = true;
    })
    .await;
    let head = "POST /connection/ticket HTTP/1.1\r\nHost: localhost\r\n";
    let put_down = async |body: &str| {
        let answer = server.ask(head, body).await;
        assert_eq!(answer.status, 200);
        format!("{PATH}?ticket={}", field(&answer.body, "ticket"))
    };
    let target = put_down(r#"{"name":"x"}"#).await;
    let mut client = Client::upgrade_at(server.external, &target, "").await.expect("an upgrade");
    assert!(client.text().await.starts_with(r#"{"connect":{"client":""#));
    let status = async |target: String| {
        let refused = Client::upgrade_at(server.external, &target, "").await;
        refused.err().map(|refused| refused.status)
    };
    assert_eq!(status(target).await, Some(403), "once");
    assert_eq!(
        status(put_down("{").await).await,
        Some(400),
        "what is put down is looked at when it is picked up"
    );
    server.end().await;
    let server = start(enabled).await;
    let mut client =
        Client::upgrade_at(server.external, &format!("{PATH}?ticket=a"), "").await.expect("an upgrade");
    client.send("{}").await;
    assert!(client.text().await.starts_with(r#"{"connect":"#), "it is off, and means nothing");
    server.end().await;
}

#[tokio::test]
async fn what_is_no_connect_request_is_told_so() {
    let server = start(enabled).await;
    let refused = Client::upgrade_at(server.external, &format!("{PATH}?cf_connect=%7B"), "").await;
    assert_eq!(refused.err().map(|refused| refused.status), Some(400));
    let mut client = Client::upgrade_at(server.external, PATH, "").await.expect("an upgrade");
    client.send("{").await;
    assert!(client.text().await.starts_with(r#"{"disconnect":{"code":3501,"#));
    assert_eq!(client.closed().await, (3501, "bad request".to_owned()));
    server.end().await;
    let server = start(|_| {}).await;
    let refused = Client::upgrade_at(server.external, PATH, "").await;
    assert_eq!(refused.err().map(|refused| refused.status), Some(404), "it is off");
    server.end().await;
}

/// UNI-03: frames that are to be answered, and beside them messages that are not.
#[tokio::test(start_paused = true)]
async fn a_listener_is_pinged_in_both_ways_and_answers_frames() {
    for interval in [true, false] {
        let server = start(|options| {
            enabled(options);
            if !interval {
                options.client.ping_interval = GoDuration::from_secs(-1);
            }
        })
        .await;
        let mut client = Client::upgrade_at(server.external, PATH, "").await.expect("an upgrade");
        client.send("{}").await;
        let connected = client.text().await;
        assert_eq!(connected.contains(r#""ping":25"#), interval, "{connected}");
        for answered in [true, true, false] {
            // The frame goes out first: it waits for nothing.
            assert_eq!(client.frame().await, (PING, Vec::new()));
            if interval {
                assert_eq!(client.text().await, "{}");
            }
            if answered {
                client.pong().await;
            }
        }
        let told = client.text().await;
        assert!(told.starts_with(r#"{"disconnect":{"code":3012,"#), "{told}");
        assert_eq!(client.closed().await.0, 3012);
        server.end().await;
    }
}

/// UNI-04, UNI-08.
#[tokio::test(start_paused = true)]
async fn options_change_how_it_ends() {
    let server = start(|options| {
        enabled(options);
        options.uni_websocket.disable_disconnect_push = true;
        options.uni_websocket.message_size_limit = 100;
        options.client.allow_anonymous_connect_without_token = false;
        let option = &mut options.client.connect_code_to_unidirectional_disconnect;
        option.enabled = true;
        let to = ToldDisconnect { code: 4103, reason: "who are you?".to_owned() };
        option.transforms = vec![DisconnectTransform { code: 103, to }];
    })
    .await;
    let mut client = Client::upgrade_at(server.external, PATH, "").await.expect("an upgrade");
    client.send("{}").await;
    let (code, _) = client.closed().await;
    assert!((3500..4500).contains(&code), "{code}: and nothing before it");
    let mut client = Client::upgrade_at(server.external, PATH, "").await.expect("an upgrade");
    client.send(&format!(r#"{{"name":"{}"}}"#, "x".repeat(100))).await;
    assert_eq!(client.closed().await.0, 1009, "too large");
    server.end().await;
    let server = start(|options| {
        enabled(options);
        options.uni_websocket.disable_disconnect_push = true;
        options.uni_websocket.disable_closing_handshake = true;
    })
    .await;
    let mut client = Client::upgrade_at(server.external, PATH, "").await.expect("an upgrade");
    client.send("{}").await;
    assert!(client.text().await.starts_with(r#"{"connect""#));
    server.api("disconnect", r#"{"user":""}"#).await;
    assert_eq!(client.rest().await, b"", "nothing but the end");
    server.end().await;
}

/// A client that says nothing has as long as any other.
#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_connect_is_stale() {
    let server = start(enabled).await;
    let mut client = Client::upgrade_at(server.external, PATH, "").await.expect("an upgrade");
    let began = tokio::time::Instant::now();
    assert!(client.text().await.starts_with(r#"{"disconnect":{"code":3502,"#));
    assert_eq!(client.closed().await.0, 3502);
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    server.end().await;
}
