//! The service as a program that embeds it sees it.

#![allow(clippy::expect_used, reason = "a test stops at what it did not expect")]

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tourbillon_admin::{AdminConfig, AdminService};
use tourbillon_api::ApiService;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{AllowAll, Node};
use tower_service::Service;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn service(change: impl FnOnce(&mut AdminConfig)) -> AdminService {
    let (node, driver) =
        Node::builder(MemoryEngine::default()).hooks(AllowAll).build().expect("a valid configuration");
    tokio::spawn(driver);
    let mut config = AdminConfig::default();
    "open sesame".clone_into(&mut config.password);
    "a secret".clone_into(&mut config.secret);
    change(&mut config);
    AdminService::new(ApiService::new(node), config, "1").expect("randomness")
}

async fn ask(
    service: &AdminService,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let (status, body, _) = respond(service, (method, path), headers, body).await;
    (status, body)
}

async fn respond(
    service: &AdminService,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, http::HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
    request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 1], 1)));
    let answer: Response<Full<Bytes>> = service.clone().call(request).await.expect("an answer");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("whole").to_bytes();
    (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned(), head.headers)
}

async fn token(service: &AdminService) -> String {
    let (status, body) = ask(service, ("POST", "/admin/auth"), &[FORM], "password=open+sesame").await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    format!("token {}", body["token"].as_str().expect("a token"))
}

/// ADM-02, ADM-03, ADM-04, HID-106.
#[tokio::test]
async fn a_password_is_traded_for_a_token() {
    let service = service(|_| {});
    let init = ("GET", "/admin/init");
    let state = |authenticated| json!({"insecure": false, "edition": "oss", "authenticated": authenticated});
    let told = |(status, body): (u16, String)| {
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")
    };
    assert_eq!(told(ask(&service, init, &[], "").await), state(false));
    for wrong in ["password=wrong", "password=", "pass=open+sesame", "", "password=open+sesam"] {
        let answer = ask(&service, ("POST", "/admin/auth"), &[FORM], wrong).await;
        // The tries of the address are not used up: the right one gives them back.
        assert_eq!(answer, (400, "the password is wrong\n".to_owned()), "{wrong}");
        if wrong.is_empty() {
            token(&service).await;
        }
    }
    let good = token(&service).await;
    assert_eq!(told(ask(&service, init, &[("authorization", &good)], "").await), state(true));
    for bad in ["token", "token x", &good.replace("token", "Bearer"), &format!("{good}x")] {
        assert_eq!(told(ask(&service, init, &[("authorization", bad)], "").await), state(false), "{bad}");
    }
    let in_query = format!("/admin/init?token={}", good.trim_start_matches("token "));
    assert_eq!(told(ask(&service, ("GET", &in_query), &[], "").await), state(false));
}

#[tokio::test]
async fn forms_in_parts_are_taken_and_large_ones_are_not() {
    let service = service(|_| {});
    let part = "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nopen sesame\r\n--B--\r\n";
    let multipart = [("content-type", "multipart/form-data; boundary=B")];
    assert_eq!(ask(&service, ("POST", "/admin/auth"), &multipart, part).await.0, 200);
    let large = format!("password={}", "x".repeat(1024 * 1024));
    assert_eq!(ask(&service, ("POST", "/admin/auth"), &[FORM], &large).await.0, 413);
    let (status, _, headers) = respond(&service, ("GET", "/admin/auth"), &[], "").await;
    assert_eq!((status, headers.get("allow").map(|allow| allow.as_bytes())), (405, Some(&b"POST"[..])));
}

/// ADM-10.
#[tokio::test]
async fn an_address_has_five_tries() {
    let service = service(|_| {});
    for _ in 0..5 {
        assert_eq!(ask(&service, ("POST", "/admin/auth"), &[FORM], "password=x").await.0, 400);
    }
    let (status, _, headers) =
        respond(&service, ("POST", "/admin/auth"), &[FORM], "password=open+sesame").await;
    assert_eq!(status, 429, "the right one neither");
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn without_password_or_secret_nobody_logs_in() {
    for (password, secret) in [("", "secret"), ("password", "")] {
        let service = service(|config| {
            password.clone_into(&mut config.password);
            secret.clone_into(&mut config.secret);
        });
        let body = format!("password={password}");
        let (status, text) = ask(&service, ("POST", "/admin/auth"), &[FORM], &body).await;
        assert!(status == 400 && text.contains("needed"), "{status} {text}");
        let forged = [("authorization", "token 99999999999.AAAA")];
        assert_eq!(ask(&service, ("POST", "/admin/api"), &forged, "{}").await.0, 401);
    }
}

/// ADM-05, API-02.
#[tokio::test]
async fn commands_follow_each_other_and_need_a_token() {
    let service = service(|_| {});
    let token = token(&service).await;
    let headers = [("authorization", token.as_str())];
    let api = ("POST", "/admin/api");
    let info = r#"{"method":"info","params":{}}"#;
    assert_eq!(ask(&service, api, &[], info).await.0, 401);
    let stream = format!(
        "{info}\n{}{}{}{}{}",
        r#"{"id":7,"method":0,"params":{"channel":"news","data":{}}}"#,
        r#"{"id":8,"params":{"channel":"news","data":1}}"#,
        r#"{"id":9,"method":"none"}"#,
        r#"{"id":10,"method":"publish","params":{"channel":1}}"#,
        r#"{"id":11,"method":9}"#,
    );
    let (status, body) = ask(&service, api, &headers, &stream).await;
    let replies: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("a reply")).collect();
    assert_eq!((status, replies.len()), (200, 6), "{body}");
    assert!(replies[0]["result"]["nodes"].is_array() && replies[0]["id"].is_null());
    let ids: Vec<_> = replies.iter().map(|reply| reply["id"].as_u64().unwrap_or_default()).collect();
    assert_eq!(ids, [0, 7, 8, 9, 10, 11]);
    let codes: Vec<_> =
        replies.iter().map(|reply| reply["error"]["code"].as_u64().unwrap_or_default()).collect();
    assert_eq!(codes, [0, 0, 0, 104, 107, 0], "{body}");
    for broken in ["", "  ", "{", "[]", "{}x", r#"{"method":[]}"#, "\u{feff}{}"] {
        assert_eq!(ask(&service, api, &headers, broken).await.0, 400, "{broken}");
    }
    let elsewhere = [("authorization", token.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(ask(&service, api, &elsewhere, info).await.0, 403);
}

#[tokio::test]
async fn an_insecure_one_asks_for_no_token_but_answers_no_other_site() {
    let service = service(|config| config.insecure = true);
    let info = r#"{"method":"info"}"#;
    let host = ("host", "10.0.0.5:8000");
    for (headers, status) in [
        (vec![host], 200),
        (vec![host, ("sec-fetch-site", "same-origin")], 200),
        (vec![host, ("sec-fetch-site", "none")], 200),
        (vec![("sec-fetch-site", "same-site")], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        // Over plain HTTP browsers tell the page's origin alone.
        (vec![host, ("origin", "http://10.0.0.5:8000")], 200),
        (vec![host, ("origin", "http://10.0.0.5")], 403),
        (vec![host, ("origin", "http://elsewhere.example")], 403),
        (vec![host, ("origin", "null")], 403),
        (vec![("origin", "http://10.0.0.5:8000")], 403),
        // A proxy in front may have a host of its own: what the browser says of the site is enough.
        (vec![host, ("origin", "https://admin.example"), ("sec-fetch-site", "same-origin")], 200),
    ] {
        assert_eq!(ask(&service, ("POST", "/admin/api"), &headers, info).await.0, status, "{headers:?}");
    }
    let (_, init) = ask(&service, ("GET", "/admin/init"), &[], "").await;
    assert!(init.contains(r#""insecure":true"#), "{init}");
}

/// A name of a stranger that leads to this machine makes its page the same site to a browser, and the host gives it away.
#[tokio::test]
async fn an_insecure_one_answers_no_name_that_somebody_may_have_led_here() {
    let service = service(|config| config.insecure = true);
    let info = r#"{"method":"info"}"#;
    for (host, status) in [
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8000", 200),
        ("192.0.2.7", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("rebound.example:8000", 403),
        ("localhost.rebound.example", 403),
        ("127.0.0.1.rebound.example:80", 403),
        ("[::1].rebound.example", 403),
        ("[rebound.example]", 403),
        ("", 403),
    ] {
        let headers = [("host", host), ("sec-fetch-site", "same-origin")];
        assert_eq!(ask(&service, ("POST", "/admin/api"), &headers, info).await.0, status, "{host}");
    }
    assert_eq!(ask(&service, ("POST", "/admin/api"), &[], info).await.0, 403);
    assert_eq!(ask(&service, ("POST", "http://127.0.0.1:8000/admin/api"), &[], info).await.0, 200);
    // Whoever has a token is nobody's page.
    let token = token(&self::service(|_| {})).await;
    let headers = [("host", "admin.example"), ("authorization", token.as_str())];
    assert_eq!(ask(&service, ("POST", "/admin/api"), &headers, info).await.0, 200);
}

/// ADM-06.
#[tokio::test]
async fn the_page_is_embedded_and_takes_nothing_from_elsewhere() {
    let service = service(|config| "/ops".clone_into(&mut config.prefix));
    let (status, _, headers) = respond(&service, ("GET", "/ops"), &[], "").await;
    assert_eq!((status, headers["location"].as_bytes()), (308, &b"/ops/"[..]));
    let (status, page, headers) = respond(&service, ("GET", "/ops/"), &[], "").await;
    assert!(status == 200 && page.contains("<title>Tourbillon admin</title>"));
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    // What the page names is there, and nothing names another host.
    for part in page.split(['"', '\'']).filter(|part| part.starts_with("admin/")) {
        let (status, text) = ask(&service, ("GET", &format!("/ops/{part}")), &[], "").await;
        assert_eq!(status, 200, "{part}");
        let own = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains("http://") && !own.contains("https://"), "{part}");
        assert!(service.owns(&format!("/ops/{part}")));
        for import in text.split('"').filter(|part| part.starts_with("./")) {
            let path = format!("/ops/admin/ui/{}", import.trim_start_matches("./"));
            assert_eq!(ask(&service, ("GET", &path), &[], "").await.0, 200, "{path}");
        }
    }
    assert!(!service.owns("/") && !service.owns("/ops/none") && !service.owns("/opsx/"));
    assert_eq!(ask(&service, ("GET", "/ops/none"), &[], "").await.0, 404);
    assert_eq!(ask(&service, ("POST", "/ops/"), &[], "").await.0, 405);
    let (_, document) = ask(&service, ("GET", "/ops/admin/ui/openapi.json"), &[], "").await;
    assert!(document.contains(r#""/publish""#));
}

#[tokio::test]
async fn a_directory_is_served_instead() {
    let directory = std::env::temp_dir().join(format!("tourbillon-admin-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("static")).expect("a directory");
    std::fs::write(directory.join("index.html"), "mine").expect("a file");
    std::fs::write(directory.join("static/app.js"), "1").expect("a file");
    let service = service(|config| config.web_path = Some(directory.clone()));
    let (status, page, headers) = respond(&service, ("GET", "/"), &[], "").await;
    assert_eq!((status, page.as_str()), (200, "mine"));
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let (status, _, headers) = respond(&service, ("GET", "/static/app.js"), &[], "").await;
    assert_eq!((status, headers["content-type"].as_bytes()), (200, &b"text/javascript; charset=utf-8"[..]));
    for path in ["/none", "/static", "/../etc/passwd", "/%2e%2e/Cargo.toml", "/admin/ui/app.js"] {
        assert_eq!(ask(&service, ("GET", path), &[], "").await.0, 404, "{path}");
    }
    assert_eq!(ask(&service, ("GET", "/admin/init"), &[], "").await.0, 200, "what is asked stays");
    std::fs::remove_dir_all(directory).expect("removed");
}

#[tokio::test]
async fn nothing_secret_is_in_debug_output() {
    let service = service(|_| {});
    let text = format!("{service:?}");
    assert!(!text.contains("sesame") && !text.contains("a secret"), "{text}");
}
