//! Who may call, and how the answer says that it went wrong.

use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use tower_service::Service;

use crate::harness::{KEY, Test, post, start, start_with};

/// The status of an `info` call with these headers and this query.
async fn status(test: &Test, headers: &[(&str, &str)], query: &str) -> u16 {
    let mut request = Request::post(format!("/api/info{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    test.send(request.body("{}").expect("a request")).await.status.as_u16()
}

#[tokio::test]
async fn the_key_comes_in_a_header_a_scheme_or_the_query() {
    let test = start();
    let by_scheme = format!("apikey {KEY}");
    let loudly = format!("APIKey {KEY}");
    let bearer = format!("Bearer {KEY}");
    let longer = format!("{KEY}x");
    let query = "?api_key=key%2Fof%2Bthe%3Dtests";
    for (headers, query, expected) in [
        (&[("x-api-key", KEY)][..], "", 200),
        (&[("authorization", &by_scheme)], "", 200),
        (&[("authorization", &loudly)], "", 200),
        (&[], query, 200),
        (&[], "?other=1&api_key=key%2Fof%2Bthe%3Dtests", 200),
        // A wrong header is not made good by the other one, but by the query (HID-81).
        (&[("x-api-key", "wrong"), ("authorization", &by_scheme)], "", 401),
        (&[("x-api-key", "wrong")], query, 200),
        (&[("x-api-key", ""), ("authorization", &by_scheme)], "", 401),
        (&[], "", 401),
        (&[("x-api-key", "")], "", 401),
        (&[("x-api-key", &KEY[1..])], "", 401),
        (&[("x-api-key", &longer)], "", 401),
        (&[("authorization", KEY)], "", 401),
        (&[("authorization", &bearer)], "", 401),
        (&[("authorization", "apikey")], "", 401),
        (&[], "?api_key=", 401),
        (&[], "?api_key=wrong", 401),
        (&[], "?xapi_key=key%2Fof%2Bthe%3Dtests", 401),
    ] {
        assert_eq!(status(&test, headers, query).await, expected, "{headers:?} {query:?}");
    }
}

#[tokio::test]
async fn api_02_commands_follow_each_other_at_the_path_itself() {
    let test = start();
    let mut client = test.client("anna", &["news"]).await;
    let stream = r#"{"id":7,"method":0,"params":{"channel":"news","data":{"n":1}}}
        {"id":8,"params":{"channel":"news","data":{"n":2}}}{"id":9,"method":"none"}{"method":"info"}"#;
    for path in ["/api", "/api/"] {
        let answer = test.send(post(path).body(stream).expect("a request")).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (StatusCode::OK, &"application/json".parse().expect("a value"))
        );
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines.len(), 4, "{answer:?}");
        assert_eq!((lines[0], lines[1]), (r#"{"id":7,"result":{}}"#, r#"{"id":8,"result":{}}"#));
        assert!(lines[2].starts_with(r#"{"id":9,"error":{"code":104"#), "{answer:?}");
        assert!(lines[3].starts_with(r#"{"result":{"nodes":"#), "{answer:?}");
        for n in [1, 2] {
            assert_eq!(client.push().await["pub"]["data"]["n"], n);
        }
    }
    for (key, body, status) in [(KEY, "", 400), (KEY, "[]", 400), (KEY, "{}x", 400), ("wrong", stream, 401)] {
        let request = Request::post("/api").header("x-api-key", key).body(body).expect("a request");
        assert_eq!(test.send(request).await.status.as_u16(), status, "{body}");
    }
    let get = Request::get("/api").header("x-api-key", KEY).body("").expect("a request");
    assert_eq!(test.send(get).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn without_a_configured_key_nobody_gets_in() {
    let test = start_with(|_| {});
    for key in ["", "anything"] {
        assert_eq!(status(&test, &[("x-api-key", key)], "").await, 401);
    }
    assert_eq!(status(&test, &[], "?api_key=").await, 401);
    assert_eq!(status(&test, &[("authorization", "apikey ")], "").await, 401);
}

#[tokio::test]
async fn insecure_takes_everybody() {
    let test = start_with(|config| config.insecure = true);
    assert_eq!(status(&test, &[], "").await, 200);
    assert_eq!(status(&test, &[("x-api-key", "wrong")], "").await, 200);
}

#[tokio::test]
async fn only_post_is_taken_and_says_so_before_it_asks_for_a_key() {
    let test = start();
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let request = Request::builder().method(method).uri("/api/info").body("").expect("a request");
        let answer = test.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers["allow"], "POST");
    }
}

#[tokio::test]
async fn what_is_no_method_is_not_found_with_or_without_a_key() {
    let test = start();
    for path in [
        "/api/nothing",
        "/api/publish/",
        "/api/publish/x",
        "/api//publish",
        "/api/Publish",
        "/publish",
        "/other/publish",
        // Methods of features and editions that are not here have no route (API-41).
        "/api/map_publishes",
        "/api/map_read",
        "/api/connections",
        "/api/user_block",
        "/api/send_push_notification",
    ] {
        assert_eq!(test.send(post(path).body("{}").expect("a request")).await.status, 404, "{path}");
        assert_eq!(test.send(Request::post(path).body("{}").expect("a request")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_prefix_is_configurable() {
    for (prefix, path) in
        [("/v1/api", "/v1/api/info"), ("/v1/api/", "/v1/api/info"), ("/", "/info"), ("", "/info")]
    {
        let test = start_with(|config| {
            config.insecure = true;
            prefix.clone_into(&mut config.prefix);
        });
        assert_eq!(test.send(Request::post(path).body("{}").expect("a request")).await.status, 200, "{path}");
        assert_eq!(test.send(post("/api/info").body("{}").expect("a request")).await.status, 404);
    }
}

/// API-05, HID-80.
#[tokio::test]
async fn errors_are_told_in_the_body_or_by_status() {
    let request = |headers: &[(&str, &str)], method: &str, params: serde_json::Value| {
        let mut request = post(&format!("/api/{method}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(params.to_string()).expect("a request")
    };
    let asked = [("x-centrifugo-error-mode", "transport")];
    let cases = [
        (
            "publish",
            json!({"channel": "nowhere:a", "data": 1}),
            404,
            json!({"code": 102, "message": "unknown channel"}),
        ),
        ("rpc", json!({"method": "none"}), 404, json!({"code": 104, "message": "not found"})),
        (
            "publish",
            json!({"channel": "", "data": 1}),
            400,
            json!({"code": 107, "message": "channel is required"}),
        ),
        ("presence", json!({"channel": "a"}), 400, json!({"code": 108, "message": "not available"})),
    ];
    let plain = start();
    let always = start_with(|config| {
        KEY.clone_into(&mut config.key);
        config.transport_errors = true;
    });
    for (method, params, status, error) in cases {
        let answer = plain.send(request(&[], method, params.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "error": error })));
        let by_other =
            plain.send(request(&[("x-centrifugo-error-mode", "other")], method, params.clone())).await;
        assert_eq!(by_other.status, 200);
        for answer in [
            plain.send(request(&asked, method, params.clone())).await,
            always.send(request(&[], method, params.clone())).await,
        ] {
            assert_eq!((answer.status.as_u16(), answer.json()), (status, error.clone()));
        }
        // A batch tells of each command by itself, whatever was asked for.
        let batch = json!({ "commands": [{ method: params }] });
        let answer = always.send(request(&asked, "batch", batch)).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"replies": [{ "error": error }]})));
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let body = r#"{"channel":"a","data":"0123456789"}"#;
    for (limit, status) in [(body.len(), 200), (body.len() - 1, 413)] {
        let test = start_with(|config| {
            config.insecure = true;
            config.body_limit = limit;
        });
        assert_eq!(test.raw("publish", body).await.status.as_u16(), status);
    }
}

/// API-06: what does not arrive whole is told apart from what is too large, also where no length is told.
#[tokio::test]
async fn a_body_in_parts_is_bounded_and_one_that_breaks_off_is_a_failure() {
    type Part = Result<Frame<Bytes>, std::io::Error>;

    let test = start_with(|config| {
        config.insecure = true;
        config.body_limit = 40;
    });
    let part = |text: &'static str| -> Part { Ok(Frame::data(Bytes::from_static(text.as_bytes()))) };
    let status = async |parts: Vec<Part>| {
        let body = StreamBody::new(stream::iter(parts));
        let request = Request::post("/api/publish").body(body).expect("a request");
        test.api.clone().call(request).await.expect("the front does not fail").status().as_u16()
    };
    assert_eq!(status(vec![part(r#"{"channel":"#), part(r#""a","data":1}"#)]).await, 200);
    assert_eq!(status((0..10).map(|_| part("0123456789")).collect()).await, 413);
    assert_eq!(status(vec![part("{"), Err(std::io::ErrorKind::ConnectionReset.into())]).await, 500);
}

#[test]
fn the_key_is_in_no_debug_output() {
    let mut config = tourbillon_api::HttpApiConfig::default();
    "secret".clone_into(&mut config.key);
    assert!(!format!("{config:?}").contains("secret"));
}
