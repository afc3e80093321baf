//! The admin interface, where its options say (ADM-01, NET-02).

use std::net::SocketAddr;

use tourbillon_server::config::{Options, SecretText};

use crate::harness::{Client, Where, ask, start, start_at};

fn enabled(options: &mut Options) {
    options.admin.enabled = true;
    options.admin.password = SecretText::new("open sesame");
    options.admin.secret = SecretText::new("a secret");
}

const FORM: &str = "Host: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";

async fn token(at: SocketAddr) -> String {
    let head = format!("POST /admin/auth HTTP/1.1\r\n{FORM}");
    let answer = ask(at, &head, "password=open+sesame").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.split('"').nth(3).expect("a token").to_owned()
}

#[tokio::test]
async fn an_operator_logs_in_and_commands() {
    let server = start(enabled).await;
    let mut client = Client::subscribed(server.external, "news").await;
    let token = token(server.external).await;
    let head = format!("POST /admin/api HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\r\n");
    let publish = r#"{"method":"publish","params":{"channel":"news","data":{"by":"admin"}}}"#;
    let explain = r#"{"method":"explain","params":{"channel":"news","user":"ada"}}"#;
    let answer = server.ask(&head, &format!("{publish}\n{explain}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(client.text().await.contains(r#"{"by":"admin"}"#));
    assert!(
        answer.body.lines().nth(1).is_some_and(|reply| reply.contains(r#""allowed":true"#)),
        "{answer:?}"
    );
    let nobody = server.ask("POST /admin/api HTTP/1.1\r\nHost: x\r\n", publish).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(server.get("/").await.status, 200);
    // What is not the interface's stays what it was.
    assert_eq!((server.get("/health").await.status, server.get("/none").await.status), (200, 404));
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn the_admin_interface_is_where_its_options_say() {
    let server = start(|_| {}).await;
    for path in ["/", "/admin/init", "/admin/ui/app.js"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    server.end().await;
    for external in [false, true] {
        let server = start_at(Where::Internal, |options| {
            enabled(options);
            options.admin.external = external;
            "/ops".clone_into(&mut options.admin.handler_prefix);
        })
        .await;
        let get = |at: SocketAddr| ask(at, "GET /ops/admin/init HTTP/1.1\r\nHost: x\r\n", "");
        let internal = server.internal.expect("a port of its own");
        assert_eq!(get(internal).await.status, 200);
        assert_eq!(get(server.external).await.status, if external { 200 } else { 404 });
        server.end().await;
    }
}

/// Without the API over HTTP there is still what the page needs.
#[tokio::test]
async fn the_admin_interface_needs_no_http_api() {
    let server = start(|options| {
        options.admin.enabled = true;
        options.admin.insecure = true;
        options.http_api.disabled = true;
    })
    .await;
    let answer = server.ask("POST /admin/api HTTP/1.1\r\nHost: localhost\r\n", r#"{"method":"info"}"#).await;
    assert!(answer.status == 200 && answer.body.contains(r#""nodes""#), "{answer:?}");
    server.end().await;
}

/// ADM-10. Behind a proxy, all clients have one peer.
#[tokio::test]
async fn tries_of_a_password_are_counted_by_the_address_that_a_trusted_proxy_names() {
    for (trusted, expected) in [(None, [400, 400, 400, 429, 400]), (Some("none"), [429; 5])] {
        let server = start(|options| {
            enabled(options);
            options.client.rate_limit.ip_connect.trusted_proxies =
                trusted.into_iter().map(str::to_owned).collect();
        })
        .await;
        let login = async |forwarded: &str| {
            let head = format!("POST /admin/auth HTTP/1.1\r\n{FORM}{forwarded}");
            server.ask(&head, "password=x").await.status
        };
        for _ in 0..5 {
            assert_eq!(login("X-Forwarded-For: 203.0.113.1\r\n").await, 400);
        }
        let statuses = [
            login("X-Forwarded-For: 203.0.113.2\r\n").await,
            login("X-Real-IP: 203.0.113.3\r\n").await,
            // The proxy itself.
            login("").await,
            // What stands before the last that is not trusted, the client may have written.
            login("X-Forwarded-For: 198.51.100.7, 203.0.113.1\r\n").await,
            login("X-Forwarded-For: 203.0.113.1, 203.0.113.4\r\n").await,
        ];
        assert_eq!(statuses, expected, "{trusted:?}");
        server.end().await;
    }
}

/// ADM-10.
#[tokio::test]
async fn tries_of_a_password_are_counted_by_address() {
    let server = start(enabled).await;
    let head = format!("POST /admin/auth HTTP/1.1\r\n{FORM}");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(server.ask(&head, "password=x").await.status);
    }
    assert_eq!(statuses, [400, 400, 400, 400, 400, 429]);
    server.end().await;
}
