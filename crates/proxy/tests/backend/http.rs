//! Backends over HTTP.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tourbillon_hooks::{
    ConnectRequest, Hooks as _, MapPublishDecision, MapPublishRequest, MapRemoveDecision, MapRemoveRequest,
    PublishDecision, PublishRequest, RefreshRequest, Refusal, RpcRequest, SubRefreshRequest,
    SubscribeRequest,
};
use tourbillon_proxy::{EndpointConfig, Event, StatusTransform};
use tourbillon_types::{Channel, ClientId, Disconnect, Encoding, Payload, ReplyError, UserId};

use super::harness::{HttpBackend, client, hooks, said};

fn internal() -> Refusal {
    ReplyError::INTERNAL.into()
}

async fn rpc(config: &EndpointConfig, data: &'static str) -> Result<Payload, Refusal> {
    let (hooks, _) = hooks(config);
    let request = RpcRequest::new(client(), "getUser", Payload::from(data));
    hooks.rpc(request).await.map(|decision| decision.data)
}

#[tokio::test]
async fn prx_13_prx_20_the_backend_learns_who_wants_to_connect() {
    let mut backend = HttpBackend::saying(200, r#"{"result":{"user":"ann","data":{"x":1}}}"#).await;
    let mut config = backend.config();
    config.http_headers = vec![http::header::COOKIE];
    config.emulated_headers = vec![http::header::AUTHORIZATION];
    let (hooks, _) = hooks(&config);
    let mut request = ConnectRequest::new(ClientId::random(), "websocket");
    let id = request.client.to_string();
    request.headers.insert(http::header::COOKIE, HeaderValue::from_static("a=1"));
    request.headers.insert(http::header::USER_AGENT, HeaderValue::from_static("not told"));
    request.emulated_headers = vec![
        ("Authorization".to_owned(), "Bearer x".to_owned()),
        ("Cookie".to_owned(), "not told".to_owned()),
        ("bad name".to_owned(), "x".to_owned()),
    ];
    // More than a map of headers has room for.
    request.emulated_headers.extend((0..40_000).map(|number| (format!("x-{number}"), String::new())));
    request.data = Payload::from(r#"{"from":"client"}"#);
    request.name = "js".into();
    request.channels = vec![Channel::from("wanted")];
    request.encoding = Encoding::Protobuf;
    let decision = hooks.connect(request).await.expect("accepted");
    assert_eq!((decision.user, decision.data), (UserId::from("ann"), Payload::from(r#"{"x":1}"#)));
    assert!(!decision.client_side_refresh, "LIFE-03: the backend refreshes");

    let asked = backend.asked().await;
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/events"));
    assert_eq!(
        asked.body,
        json!({"client": id, "transport": "websocket", "protocol": "protobuf", "encoding": "json",
               "data": {"from": "client"}, "name": "js", "channels": ["wanted"]})
    );
    assert_eq!(asked.headers[http::header::CONTENT_TYPE], "application/json");
    assert_eq!(asked.headers[http::header::COOKIE], "a=1");
    assert_eq!(asked.headers[http::header::AUTHORIZATION], "Bearer x");
    assert!(!asked.headers.contains_key(http::header::USER_AGENT));
}

#[tokio::test]
async fn prx_30_prx_10_the_backend_learns_who_wants_a_channel() {
    let mut backend = HttpBackend::saying(200, "{}").await;
    let mut config = backend.config();
    config.include_connection_meta = true;
    config.http_headers = vec![http::header::COOKIE];
    let (hooks, _) = hooks(&config);
    let mut client = (*client()).clone();
    client.meta = Payload::from(r#"{"m":1}"#).into();
    let mut request = SubscribeRequest::new(client.into(), Channel::from("news"));
    request.data = Payload::from("[1]");
    hooks.subscribe(request).await.expect("allowed");
    let asked = backend.asked().await;
    assert_eq!(asked.headers[http::header::COOKIE], "session=1");
    assert_eq!((&asked.body["user"], &asked.body["channel"]), (&json!("ann"), &json!("news")));
    assert_eq!((&asked.body["meta"], &asked.body["data"]), (&json!({"m": 1}), &json!([1])));
}

#[tokio::test]
async fn prx_09_data_that_is_not_json_goes_in_base64() {
    let mut backend = HttpBackend::saying(200, r#"{"result":{"b64data":"AQI="}}"#).await;
    let mut config = backend.config();
    config.binary_encoding = true;
    assert_eq!(rpc(&config, "\u{1}not json").await, Ok(Payload::from(vec![1, 2])));
    let asked = backend.asked().await;
    assert_eq!(asked.body["encoding"], "binary");
    assert_eq!((&asked.body["b64data"], asked.body.get("data")), (&json!("AW5vdCBqc29u"), None));
    assert_eq!(asked.body["method"], "getUser");
}

#[tokio::test]
async fn data_that_is_not_json_is_the_clients_fault_otherwise() {
    let mut backend = HttpBackend::saying(200, "{}").await;
    assert_eq!(rpc(&backend.config(), "not json").await, Err(ReplyError::BAD_REQUEST.into()));
    assert!(backend.asked.try_recv().is_err(), "nobody was asked");
}

#[tokio::test]
async fn prx_31_hid_83_what_is_published_the_backend_says() {
    let backend = HttpBackend::saying(200, r#"{"result":{"data":{"censored":true}}}"#).await;
    let (hooks, _) = hooks(&backend.config());
    let request = PublishRequest::new(client(), Channel::from("x"), Payload::from("{}"), false);
    let decision = hooks.publish(request).await.expect("allowed");
    let PublishDecision::Publish { data: Some(data), as_is: true, .. } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(data, Payload::from(r#"{"censored":true}"#));
}

#[tokio::test]
async fn prx_14_errors_and_disconnects_reach_the_client() {
    let error = r#"{"error":{"code":403,"message":"no","temporary":true}}"#;
    let backend = HttpBackend::saying(200, error).await;
    assert_eq!(rpc(&backend.config(), "{}").await, Err(ReplyError::custom(403, "no", true).into()));
    let backend = HttpBackend::saying(200, r#"{"disconnect":{"code":4500,"reason":"out"}}"#).await;
    assert_eq!(rpc(&backend.config(), "{}").await, Err(Disconnect::custom(4500, "out").into()));
}

#[tokio::test]
async fn prx_03_hid_85_other_statuses_are_errors_unless_they_are_transformed() {
    for status in [201, 204, 301, 307, 400, 404, 500, 503] {
        let backend = HttpBackend::saying(status, r#"{"result":{}}"#).await;
        assert_eq!(rpc(&backend.config(), "{}").await, Err(internal()), "{status}");
        let mut config = backend.config();
        let to = |to: Refusal| StatusTransform { status, to };
        let error = ReplyError::custom(404, "not found", false);
        let disconnect = Disconnect::custom(4404, "gone");
        config.http.status_transforms = vec![
            StatusTransform { status: 599, to: internal() },
            to(error.clone().into()),
            to(disconnect.clone().into()),
        ];
        assert_eq!(rpc(&config, "{}").await, Err(error.into()), "{status}: the first one counts");
        config.http.status_transforms.remove(1);
        assert_eq!(rpc(&config, "{}").await, Err(disconnect.into()), "{status}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut elsewhere = HttpBackend::saying(200, r#"{"result":{"data":1}}"#).await;
    let location = format!("http://{}/", elsewhere.address);
    let backend = HttpBackend::start(move |_| {
        let location = location.clone();
        Box::pin(async move {
            let mut response = said(307, "").await;
            response.headers_mut().insert("location", location.parse().expect("a header"));
            response
        })
    })
    .await;
    assert_eq!(rpc(&backend.config(), "{}").await, Err(internal()));
    assert!(elsewhere.connections.try_recv().is_err(), "nobody came");
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_errors() {
    for wrong in ["", "nonsense", "[]", r#"{"result":[]}"#, r#"{"result":{"data":1}} x"#, "\u{feff}{}"] {
        let backend = HttpBackend::saying(200, wrong).await;
        assert_eq!(rpc(&backend.config(), "{}").await, Err(internal()), "{wrong:?}");
    }
    let backend = HttpBackend::saying(200, r#"{"result":{"b64data":"?"}}"#).await;
    assert_eq!(rpc(&backend.config(), "{}").await, Err(internal()));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error() {
    let body = format!(r#"{{"result":{{"data":"{}"}}}}"#, "x".repeat(1000));
    let backend = HttpBackend::saying(200, body.clone()).await;
    let mut config = backend.config();
    config.max_answer = body.len();
    assert_eq!(rpc(&config, "{}").await.map(|data| data.len()), Ok(1002));
    config.max_answer -= 1;
    assert_eq!(rpc(&config, "{}").await, Err(internal()));
}

#[tokio::test]
async fn prx_02_a_backend_that_says_nothing_is_given_up() {
    let mut backend = HttpBackend::start(|_| Box::pin(pending())).await;
    let mut config = backend.config();
    config.timeout = Duration::from_millis(50);
    let (hooks, endpoint) = hooks(&config);
    let request = RpcRequest::new(client(), "x", Payload::from("{}"));
    assert_eq!(hooks.rpc(request).await, Err(internal()));
    backend.asked().await;
    let stats = endpoint.stats();
    assert_eq!(stats.len(), 1);
    assert_eq!((stats[0].event, stats[0].protocol, &*stats[0].name), (Event::Rpc, "http", "backend"));
    assert_eq!((stats[0].calls, stats[0].errors, stats[0].inflight), (1, 1, 0));
}

#[tokio::test]
async fn prx_15_prx_16_a_call_that_nobody_waits_for_any_more_is_not_counted() {
    let mut backend = HttpBackend::start(|_| Box::pin(pending())).await;
    let mut config = backend.config();
    config.timeout = Duration::from_secs(3600);
    let (hooks, endpoint) = hooks(&config);
    let mut call = Box::pin(hooks.rpc(RpcRequest::new(client(), "x", Payload::from("{}"))));
    tokio::select! {
        _ = &mut call => panic!("answered"),
        _ = backend.asked() => {}
    }
    assert_eq!((endpoint.stats()[0].calls, endpoint.stats()[0].inflight), (0, 1));
    drop(call);
    assert_eq!((endpoint.stats()[0].calls, endpoint.stats()[0].errors), (0, 0));
    assert_eq!(endpoint.stats()[0].inflight, 0);
}

#[tokio::test]
async fn backends_that_are_away_or_break_off_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let config = EndpointConfig::new("backend", format!("http://{address}/"));
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "nonsense\r\n\r\n"] {
        let breaks = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut some = [0; 16];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        };
        let (answered, ()) = tokio::join!(rpc(&config, "{}"), breaks);
        assert_eq!(answered, Err(internal()), "{answer:?}");
    }
    drop(listener);
    assert_eq!(rpc(&config, "{}").await, Err(internal()), "nobody listens");
    let unknown = EndpointConfig::new("backend", "http://backend.invalid/");
    assert_eq!(rpc(&unknown, "{}").await, Err(internal()));
}

#[tokio::test]
async fn connections_are_used_again() {
    let mut backend = HttpBackend::saying(200, r#"{"result":{"data":1}}"#).await;
    let (hooks, endpoint) = hooks(&backend.config());
    for _ in 0..10 {
        let request = RpcRequest::new(client(), "x", Payload::empty());
        assert_eq!(hooks.rpc(request).await.expect("an answer").data, Payload::from("1"));
    }
    backend.connections.recv().await.expect("one came");
    assert!(backend.connections.try_recv().is_err(), "and no other");
    assert_eq!((endpoint.stats()[0].calls, endpoint.stats()[0].errors), (10, 0));
}

#[tokio::test]
async fn prx_07_static_headers_and_credentials_of_the_address_are_sent() {
    let mut backend = HttpBackend::saying(200, "{}").await;
    let mut config = EndpointConfig::new("backend", format!("http://ann:secret@{}/x", backend.address));
    config.http.static_headers = vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("always"))];
    rpc(&config, "{}").await.expect("an answer");
    let asked = backend.asked().await;
    assert_eq!((&asked.headers["x-key"], &*asked.path), (&HeaderValue::from_static("always"), "/x"));
    assert_eq!(asked.headers["authorization"], "Basic YW5uOnNlY3JldA==");
    assert!(!format!("{config:?}").contains("secret"));
}

#[tokio::test]
async fn prx_21_prx_32_hid_54_a_refresh_that_fails_extends() {
    let now = 1_700_000_000;
    let refreshes = async |config: &EndpointConfig| {
        let (hooks, _) = hooks(config);
        let connection = hooks.refresh(RefreshRequest::new(client(), String::new(), now)).await;
        let channel = Channel::from("x");
        let request = SubRefreshRequest::new(client(), channel, String::new(), now);
        let subscription = hooks.sub_refresh(request).await;
        let ends = |decision: Result<tourbillon_hooks::RefreshDecision, Refusal>| {
            let decision = decision.expect("never refused");
            (decision.expired, decision.expire_at)
        };
        (ends(connection), ends(subscription))
    };
    for (status, body, expected) in [
        (500, "{}", (false, Some(now + 60))),
        (200, "nonsense", (false, Some(now + 60))),
        (200, r#"{"result":{"b64info":"?"}}"#, (false, Some(now + 60))),
        (200, r#"{"result":{"expire_at":1800000000}}"#, (false, Some(1_800_000_000))),
        (200, r#"{"result":{"expired":true}}"#, (true, None)),
        (200, r#"{"error":{"code":1},"disconnect":{"code":4000}}"#, (true, None)),
        (200, r#"{"error":{"code":1},"result":{"expire_at":5}}"#, (false, Some(5))),
    ] {
        let backend = HttpBackend::saying(status, body).await;
        assert_eq!(refreshes(&backend.config()).await, (expected, expected), "{body}");
    }
}

#[tokio::test]
async fn prx_36_a_backend_may_fill_an_empty_cache() {
    for (body, expected) in [
        (r#"{"result":{"populated":true}}"#, Ok(true)),
        (r#"{"result":{}}"#, Ok(false)),
        ("{}", Err(internal())),
    ] {
        let mut backend = HttpBackend::saying(200, body).await;
        let (hooks, _) = hooks(&backend.config());
        assert_eq!(hooks.cache_empty(&Channel::from("x")).await, expected, "{body}");
        assert_eq!(backend.asked().await.body, json!({"channel": "x"}));
        assert_eq!(hooks.cache_empty(&Channel::from("nobody")).await, Ok(false));
    }
}

#[tokio::test]
async fn prx_33_prx_34_the_backend_decides_about_keys() {
    let mut backend = HttpBackend::saying(200, r#"{"result":{"key":"theirs"}}"#).await;
    let (hooks, _) = hooks(&backend.config());
    let (channel, none) = (Channel::from("map:x"), Arc::from(""));
    let request = MapPublishRequest::new(client(), channel.clone(), none, Payload::from("{}"), true);
    let decision = hooks.map_publish(request).await.expect("allowed");
    let MapPublishDecision::Publish { key: Some(key), data: None, .. } = decision else {
        panic!("{decision:?}")
    };
    let asked = backend.asked().await.body;
    assert_eq!((&*key, &asked["channel"], asked.get("key")), ("theirs", &json!("map:x"), None));
    let request = MapRemoveRequest::new(client(), channel, Arc::from("ours"), true);
    let decision = hooks.map_remove(request).await.expect("allowed");
    let MapRemoveDecision::Remove { key: Some(key), .. } = decision else { panic!("{decision:?}") };
    let asked = backend.asked().await.body;
    assert_eq!((&*key, &asked["key"], &asked["user"]), ("theirs", &json!("ours"), &json!("ann")));
}

#[tokio::test]
async fn prx_41_a_ping_asks_nobody() {
    let mut backend = HttpBackend::saying(500, "").await;
    let (hooks, _) = hooks(&backend.config());
    let hooks = hooks.with_ping("ping");
    let ping = RpcRequest::new(client(), "ping", Payload::from("{}"));
    assert_eq!(hooks.rpc(ping).await.expect("an answer").data, Payload::empty());
    assert!(backend.asked.try_recv().is_err());
}

#[tokio::test]
async fn what_nobody_is_asked_about_is_refused() {
    let backend = HttpBackend::saying(200, "{}").await;
    let (hooks, _) = hooks(&backend.config());
    let channel = Channel::from("nobody");
    let denied: Refusal = ReplyError::PERMISSION_DENIED.into();
    let subscribe = SubscribeRequest::new(client(), channel.clone());
    assert_eq!(hooks.subscribe(subscribe).await.map(drop), Err(denied.clone()));
    let publish = PublishRequest::new(client(), channel.clone(), Payload::empty(), false);
    assert_eq!(hooks.publish(publish).await.map(drop), Err(denied));
    let missing: Refusal = ReplyError::NOT_AVAILABLE.into();
    let rpc = RpcRequest::new(client(), "nobody", Payload::empty());
    assert_eq!(hooks.rpc(rpc).await.map(drop), Err(missing.clone()));
    let refresh = SubRefreshRequest::new(client(), channel, String::new(), 0);
    assert_eq!(hooks.sub_refresh(refresh).await.map(drop), Err(missing));
}
