//! Requests of a client that come to another node than its stream (EMU-08, EMU-09).

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tourbillon_broker::{ControlBus, Engine};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{AllowAll, Node};
use tourbillon_transport_http::{EmulationService, HttpBody, HttpConfig, StreamService};
use tourbillon_types::{NodeId, SessionId};
use tower_service::Service;

use crate::support::block_on;

fn node_on(bus: &ControlBus) -> Node {
    let engine = Engine::new(MemoryEngine::default()).with_control(bus.join());
    let (node, driver) = Node::builder(engine).hooks(AllowAll).build().expect("a node");
    tokio::spawn(driver);
    node
}

async fn post<S>(service: &mut S, body: impl Into<Bytes>) -> Response<HttpBody>
where
    S: Service<Request<Full<Bytes>>, Response = Response<HttpBody>>,
{
    let request = Request::post("/").body(Full::new(body.into())).expect("a request");
    service.call(request).await.unwrap_or_else(|_| panic!("services answer everything"))
}

/// The next line of a stream.
async fn line(body: &mut HttpBody) -> Value {
    let frame = body.frame().await.expect("a frame").expect("no failure").into_data().expect("data");
    serde_json::from_slice(&frame).expect("one line of JSON")
}

#[test]
fn an_emulation_request_may_come_to_any_node() {
    block_on(async {
        let bus = ControlBus::default();
        let [here, there] = [node_on(&bus), node_on(&bus)];
        while there.nodes().await.len() < 2 {
            tokio::task::yield_now().await;
        }
        let mut streams = StreamService::http_stream(here.clone(), HttpConfig::default());
        let mut stream = post(&mut streams, r#"{"id":1,"connect":{}}"#).await.into_body();
        let connect = line(&mut stream).await["connect"].take();
        assert_eq!(connect["node"], here.id().to_string());

        let mut emulation = EmulationService::new(there.clone(), HttpConfig::default());
        let request = |node: &Value, session: &Value| {
            let data = r#"{"id":2,"subscribe":{"channel":"news"}}"#;
            json!({ "node": node, "session": session, "data": data }).to_string()
        };
        let sent = post(&mut emulation, request(&connect["node"], &connect["session"])).await;
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
        let subscribed = line(&mut stream).await;
        assert_eq!((&subscribed["id"], subscribed["subscribe"].is_object()), (&json!(2), true));

        let stranger = json!(SessionId::random().text().as_str());
        let sent = post(&mut emulation, request(&connect["node"], &stranger)).await;
        assert_eq!(sent.status(), StatusCode::NO_CONTENT, "as in Centrifugo, HID-87");
        let nowhere = json!(NodeId::random().to_string());
        let sent = post(&mut emulation, request(&nowhere, &connect["session"])).await;
        assert_eq!(sent.status(), StatusCode::NOT_FOUND);

        let gone = connect["node"].clone();
        here.shutdown().await;
        while there.nodes().await.len() > 1 {
            tokio::task::yield_now().await;
        }
        let sent = post(&mut emulation, request(&gone, &connect["session"])).await;
        assert_eq!(sent.status(), StatusCode::NOT_FOUND);
        there.shutdown().await;
    });
}
