//! Real-time updates inside an axum service: no second server, no second port.
//!
//! ```text
//! cargo run -p tourbillon-examples --bin embed_axum
//! curl -X POST localhost:8080/orders -H 'content-type: application/json' -d '{"item":"tea"}'
//! ```
//!
//! Any Centrifugo SDK connects to `ws://localhost:8080/connection/websocket` with the token `secret:<name>`,
//! subscribes to `orders`, and sees each order as it is posted.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tourbillon::memory::MemoryEngine;
use tourbillon::websocket::{WebSocketConfig, WebSocketService};
use tourbillon::{
    Channel, ConnectDecision, ConnectRequest, Disconnect, Hooks, Node, Payload, Refusal, ReplyError,
    RpcDecision, RpcRequest, SubscribeDecision, SubscribeRequest, UserId,
};

/// Who may do what: the whole of the program's rules.
struct Shop;

impl Hooks for Shop {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        match request.token.strip_prefix("secret:") {
            Some(name) => Ok(ConnectDecision::new(UserId::from(name))),
            None => Err(Disconnect::INVALID_TOKEN.into()),
        }
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        match request.channel.as_str() {
            "orders" => Ok(SubscribeDecision::default()),
            _ => Err(ReplyError::PERMISSION_DENIED.into()),
        }
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        match request.method.as_str() {
            "whoami" => Ok(RpcDecision { data: json_payload(&json!({ "user": &*request.client.user })) }),
            _ => Err(ReplyError::METHOD_NOT_FOUND.into()),
        }
    }
}

fn json_payload(value: &Value) -> Payload {
    Payload::from_json(value.to_string().into())
}

async fn create_order(State(node): State<Node>, Json(order): Json<Value>) -> StatusCode {
    let published = node.publish(Channel::from("orders"), json_payload(&order), Default::default()).await;
    if published.is_ok() { StatusCode::CREATED } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (node, driver) = Node::builder(MemoryEngine::default()).hooks(Shop).build()?;
    tokio::spawn(driver);

    let app = Router::new()
        .route("/orders", post(create_order))
        .route_service(
            "/connection/websocket",
            WebSocketService::new(node.clone(), WebSocketConfig::default()),
        )
        .with_state(node.clone());

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            node.shutdown().await;
        })
        .await?;
    Ok(())
}
