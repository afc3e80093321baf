//! What Prometheus is told (OBS-01, OBS-02, OBS-12), and that each number moves when what it counts happens.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tourbillon_server::config::Options;

use crate::harness::{Client, KEY, Server, Where, all, ask, start, start_at};

fn enabled(options: &mut Options) {
    options.prometheus.enabled = true;
}

/// What is told, by name and labels.
struct Told {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Told {
    async fn of(server: &Server) -> Self {
        let answer = server.get("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        Self::parse(answer.body)
    }

    fn parse(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        Self { values: values.collect(), text }
    }

    /// 0 for what has not happened.
    fn get(&self, name: &str) -> f64 {
        self.values.get(&format!("centrifugo_{name}")).copied().unwrap_or_default()
    }

    #[track_caller]
    fn is(&self, name: &str, value: f64) {
        assert_eq!(self.get(name), value, "{name} in\n{}", self.text);
    }
}

#[tokio::test]
async fn what_happens_is_told_to_prometheus() {
    let server = start(|options| {
        enabled(options);
        options.prometheus.recovered_publications_histogram = true;
        options.client.connection_limit = 3;
        let rules = &mut options.channel.without_namespace;
        rules.history_size = 10;
        rules.history_ttl = tourbillon_server::config::GoDuration::from_secs(60);
        rules.force_recovery = true;
        rules.presence = true;
        rules.join_leave = true;
        rules.force_push_join_leave = true;
        rules.allow_history_for_subscriber = true;
        rules.allow_history_for_anonymous = true;
    })
    .await;
    let before = Told::of(&server).await;
    before.is("node_num_clients", 0.0);
    before.is("node_num_nodes", 1.0);
    before.is("node_client_connection_limit", 0.0);

    let mut client = Client::subscribed(server.external, "news").await;
    // Its own joining.
    assert!(client.text().await.contains("join"));
    assert_eq!(server.api("publish", r#"{"channel":"news","data":{}}"#).await.status, 200);
    client.text().await;
    let again = r#"{"channel":"news","data":{},"idempotency_key":"k"}"#;
    for _ in 0..2 {
        assert_eq!(server.api("publish", again).await.status, 200);
    }
    client.text().await;
    assert!(client.call(r#"{"id":3,"history":{"channel":"news","limit":5}}"#).await.contains("history"));
    assert!(client.call(r#"{"id":4,"rpc":{"method":"none"}}"#).await.contains("error"));
    let refused = server.api("publish", r#"{"channel":"none:such","data":{}}"#).await;
    assert!(refused.body.contains("102"), "{refused:?}");

    let mut second = Client::connected(server.external).await;
    let recover = r#"{"id":2,"subscribe":{"channel":"news","recover":true,"offset":1,"epoch":"EPOCH"}}"#;
    let epoch = server.api("history", r#"{"channel":"news"}"#).await.body;
    let epoch = epoch.split(r#""epoch":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("an epoch");
    assert!(second.call(&recover.replace("EPOCH", epoch)).await.contains(r#""recovered":true"#));
    let _third = Client::connected(server.external).await;
    assert_eq!(Client::upgrade(server.external, "").await.err(), Some(503));

    let told = Told::of(&server).await;
    for (name, value) in [
        ("node_num_clients", 3.0),
        ("node_num_users", 1.0),
        ("node_num_subscriptions", 2.0),
        ("node_num_channels", 1.0),
        (r#"node_build{version="VERSION"}"#, 1.0),
        (r#"node_messages_sent_count{type="publication"}"#, 3.0),
        (r#"node_messages_received_count{type="publication"}"#, 2.0),
        (r#"node_messages_received_count{type="join"}"#, 2.0),
        (r#"node_action_count{action="add_client"}"#, 3.0),
        (r#"node_action_count{action="add_subscription"}"#, 2.0),
        (r#"node_action_count{action="add_presence"}"#, 2.0),
        (r#"node_action_count{action="history"}"#, 2.0),
        (r#"node_action_count{action="history_recover"}"#, 1.0),
        ("node_client_connection_limit", 1.0),
        (r#"broker_publish_suppressed_count{reason="idempotency"}"#, 1.0),
        (r#"node_broadcast_duration_seconds_count{type="publication"}"#, 2.0),
        (r#"node_broadcast_duration_seconds_count{type="join"}"#, 2.0),
        (r#"node_broadcast_duration_seconds_bucket{type="publication",le="10"}"#, 2.0),
        ("node_pub_sub_lag_seconds_count", 2.0),
        (r#"client_command_duration_seconds_count{method="connect"}"#, 3.0),
        (r#"client_command_duration_seconds_count{method="subscribe"}"#, 2.0),
        (r#"client_command_duration_seconds_histogram_count{method="history"}"#, 1.0),
        (r#"client_command_duration_seconds_histogram_bucket{method="rpc",le="+Inf"}"#, 1.0),
        (r#"client_num_reply_errors{code="108",method="rpc"}"#, 1.0),
        (r#"client_recover{has_recovered_publications="yes",recovered="yes"}"#, 1.0),
        ("client_recovered_publications_count", 1.0),
        (r#"client_recovered_publications_bucket{le="0"}"#, 0.0),
        (r#"client_recovered_publications_bucket{le="1"}"#, 1.0),
        (
            r#"client_connections_accepted{client_name="unnamed",client_version="unversioned",transport="websocket"}"#,
            3.0,
        ),
        (
            r#"client_connections_inflight{client_name="unnamed",client_version="unversioned",transport="websocket"}"#,
            3.0,
        ),
        (r#"client_subscriptions_accepted{client_name="unnamed"}"#, 2.0),
        (r#"transport_messages_sent{frame_type="push_publication",transport="websocket"}"#, 2.0),
        (r#"transport_messages_received{frame_type="connect",transport="websocket"}"#, 3.0),
        (r#"api_command_errors_total{error="102",method="publish",protocol="http"}"#, 1.0),
        (r#"api_command_duration_seconds_count{method="publish",protocol="http"}"#, 4.0),
        (r#"api_command_duration_seconds_histogram_bucket{method="history",protocol="http",le="10"}"#, 1.0),
    ] {
        told.is(&name.replace("VERSION", &server.node.config().version), value);
    }
    let half = told.get(r#"client_command_duration_seconds{method="subscribe",quantile="0.5"}"#);
    assert!(half > 0.0 && half < 60.0, "{half}");
    let sum = told.get(r#"client_command_duration_seconds_sum{method="connect"}"#);
    assert!(sum > 0.0, "a command takes time: {sum}");
    let sizes = r#"transport_messages_received_size{frame_type="connect",transport="websocket"}"#;
    told.is(sizes, 3.0 * r#"{"id":1,"connect":{}}"#.len() as f64);
    // The histogram of the summary, and each family once.
    let heads: Vec<_> = told.text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert!(heads.contains(&"# TYPE centrifugo_client_command_duration_seconds summary"));
    assert!(heads.contains(&"# TYPE centrifugo_client_command_duration_seconds_histogram histogram"));
    assert_eq!(heads.iter().collect::<std::collections::BTreeSet<_>>().len(), heads.len());
    drop((client, second, _third));
    server.end().await;
}

#[tokio::test]
async fn pings_and_disconnects_are_measured() {
    let server = start(|options| {
        enabled(options);
        options.client.ping_interval = tourbillon_server::config::GoDuration::from_secs(1);
        options.client.pong_timeout = tourbillon_server::config::GoDuration::from_secs(0);
    })
    .await;
    let mut client = Client::connected(server.external).await;
    assert_eq!(client.text().await, "{}", "a ping");
    client.send("{}").await;
    // An answer shows that the pong has been read.
    assert!(client.call(r#"{"id":5,"rpc":{"method":"none"}}"#).await.contains("error"));
    let count = r#"client_ping_pong_duration_seconds_count{transport="websocket"}"#;
    Told::of(&server).await.is(count, 1.0);
    assert_eq!(server.api("disconnect", r#"{"user":""}"#).await.status, 200);
    client.rest().await;
    let told = Told::of(&server).await;
    told.is(r#"client_num_server_disconnects{code="3503"}"#, 1.0);
    told.is(r#"transport_outgoing_close_count{code="3503",transport="websocket"}"#, 1.0);
    server.end().await;
}

#[tokio::test]
async fn metrics_are_on_the_internal_port_and_off_by_default() {
    let server = start(|_| {}).await;
    assert_eq!(server.get("/metrics").await.status, 404);
    assert_eq!(server.node.distributions(), [], "nothing is measured for nobody");
    server.end().await;
    let server = start_at(Where::Internal, |options| {
        enabled(options);
        "/numbers/".clone_into(&mut options.prometheus.handler_prefix);
    })
    .await;
    let internal = server.internal.expect("a port of its own");
    let get = |at: SocketAddr| ask(at, "GET /numbers HTTP/1.1\r\nHost: x\r\n", "");
    assert_eq!((get(internal).await.status, get(server.external).await.status), (200, 404));
    let posted = ask(internal, "POST /numbers HTTP/1.1\r\nHost: x\r\n", "").await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    server.end().await;
}

/// MET-11.
#[tokio::test]
async fn http_requests_are_counted_by_endpoint() {
    let server = start(|options| {
        enabled(options);
        options.prometheus.instrument_http_handlers = true;
    })
    .await;
    for (path, times) in [("/health", 2), ("/made/up", 1), ("/connection/websocket", 1)] {
        for _ in 0..times {
            server.get(path).await;
        }
    }
    server.api("info", "{}").await;
    server.api("made_up", "{}").await;
    // What needs no HTTP library is counted as well.
    let head = format!("POST /api/info?x HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    let request = format!(
        "{head}Content-Length: 2\r\n\r\n{{}}{head}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    all(&mut stream).await;
    let _client = Client::connected(server.external).await;
    let told = Told::of(&server).await;
    let is = |path, method, status, value| {
        let labels = format!(r#"{{method="{method}",path="{path}",status="{status}"}}"#);
        told.is(&format!("node_incoming_http_requests_total{labels}"), value);
    };
    is("/health", "GET", 200, 2.0);
    is("other", "GET", 404, 1.0);
    is("/api/info", "POST", 200, 3.0);
    is("/api", "POST", 404, 1.0);
    is("/connection/websocket", "GET", 101, 1.0);
    is("/connection/websocket", "GET", 426, 1.0);
    drop(_client);
    server.end().await;
}

#[tokio::test]
async fn a_process_tells_of_itself() {
    let server = start(enabled).await;
    let told = Told::of(&server).await;
    let process = |name: &str| told.values.get(&format!("process_{name}")).copied().unwrap_or_default();
    if cfg!(target_os = "linux") {
        assert!(process("resident_memory_bytes") > 1e6, "{}", told.text);
        assert!(process("open_fds") > 3.0 && process("max_fds") >= process("open_fds"));
        assert!(told.values.contains_key("process_cpu_seconds_total") && process("threads") >= 1.0);
        let now = tourbillon::types::SystemClock::unix_millis() as f64 / 1000.0;
        let started = process("start_time_seconds");
        assert!(started > now - 86_400.0 && started <= now + 1.0, "{started} {now}");
    }
    server.end().await;
}

/// OBS-02. Each family is behind its length, which takes one byte or two here.
#[tokio::test]
async fn native_histograms_are_told_in_protobuf() {
    let server = start(|options| {
        enabled(options);
        options.prometheus.native_histograms = true;
    })
    .await;
    let _client = Client::connected(server.external).await;
    let told = Told::of(&server).await;
    told.is(r#"client_command_duration_seconds_histogram_bucket{method="connect",le="+Inf"}"#, 1.0);
    assert!(!told.text.contains("quantile="), "no summaries");
    assert!(!told.text.contains(r#"le="0.1""#), "no classic buckets");
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.3\r\n";
    let answer = server.ask(head, "").await;
    let content_type = answer.header("content-type").unwrap_or_default();
    assert!(content_type.starts_with("application/vnd.google.protobuf"), "{content_type}");
    assert!(answer.body.contains("centrifugo_client_command_duration_seconds_histogram"));
    drop(_client);
    server.end().await;
}

/// The words of the people who read it.
#[tokio::test]
async fn promtool_reads_what_is_told() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("SKIPPED: promtool is not installed (Debian: prometheus)");
        return;
    }
    let server = start(|options| {
        enabled(options);
        options.prometheus.instrument_http_handlers = true;
        options.prometheus.recovered_publications_histogram = true;
    })
    .await;
    let _client = Client::subscribed(server.external, "news").await;
    server.api("publish", r#"{"channel":"news","data":{}}"#).await;
    let told = Told::of(&server).await;
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    check.stdin.take().expect("piped").write_all(told.text.as_bytes()).expect("written");
    let output = check.wait_with_output().expect("it ends");
    let problems =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    // The names are Centrifugo's: what they should be called is not ours to say.
    let names = [
        "_count",
        "_total",
        "non-histogram and non-summary",
        "counter metrics should have",
        "should not include type",
    ];
    let faults: Vec<_> =
        problems.lines().filter(|line| !names.iter().any(|name| line.contains(name))).collect();
    assert!(faults.is_empty(), "{problems}\n{}", told.text);
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 3), "it cannot be read: {problems}");
    drop(_client);
    server.end().await;
}

/// Whoever scrapes all the time takes nothing from clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapes_do_not_disturb_deliveries() {
    const PUBLICATIONS: usize = 500;
    let server = start(enabled).await;
    let mut client = Client::subscribed(server.external, "news").await;
    let at = server.external;
    let scrapes = tokio::spawn(async move {
        for _ in 0..50 {
            let answer = ask(at, "GET /metrics HTTP/1.1\r\nHost: x\r\n", "").await;
            assert_eq!(answer.status, 200);
        }
    });
    let reads = tokio::spawn(async move {
        for number in 0..PUBLICATIONS {
            let text = client.text().await;
            assert!(text.contains(&format!(r#""data":{number}}}"#)), "{number}: {text}");
        }
        client
    });
    for number in 0..PUBLICATIONS {
        let published = server.api("publish", &format!(r#"{{"channel":"news","data":{number}}}"#)).await;
        assert_eq!(published.status, 200);
    }
    let client = reads.await.expect("all in order");
    scrapes.await.expect("all answered");
    let told = Told::of(&server).await;
    told.is(r#"transport_messages_sent{frame_type="push_publication",transport="websocket"}"#, 500.0);
    drop(client);
    server.end().await;
}
