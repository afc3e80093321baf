//! A rule of one's own about who may do what: rooms that have members, and one of them who speaks.
//!
//! ```text
//! cargo run -p tourbillon-examples --bin auth_rule
//! curl -X PUT localhost:8084/rooms/tea -H 'content-type: application/json' -d '{"speaker":"ann","members":["ann","ben"]}'
//! ```
//!
//! Clients connect to `ws://localhost:8084/connection/websocket` with the token `secret:<name>`. Members of a room subscribe
//! to `room:tea`, and its speaker publishes there. When a room changes, those who are members no more are unsubscribed at
//! once, and its speaker is asked for again with each publication. Everything else is refused: that is what `Hooks` does
//! about whatever a rule does not mention.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::put;
use axum::{Json, Router};
use parking_lot::RwLock;
use serde::Deserialize;
use tourbillon::memory::MemoryEngine;
use tourbillon::websocket::{WebSocketConfig, WebSocketService};
use tourbillon::{
    Channel, ConnectDecision, ConnectRequest, Disconnect, Hooks, Node, PublishDecision, PublishRequest,
    Refusal, ReplyError, SubscribeDecision, SubscribeRequest, Target, Unsubscribe, UserId,
};

/// What channels of rooms begin with.
const PREFIX: &str = "room:";

#[derive(Deserialize)]
struct Room {
    speaker: String,
    members: BTreeSet<String>,
}

/// The rooms there are. A program would ask its database.
#[derive(Clone, Default)]
struct Rooms(Arc<RwLock<HashMap<String, Room>>>);

impl Rooms {
    /// Whether something is true of the room that a channel belongs to.
    fn about(&self, channel: &Channel, is_so: impl FnOnce(&Room) -> bool) -> bool {
        let Some(name) = channel.as_str().strip_prefix(PREFIX) else { return false };
        let rooms = self.0.read();
        rooms.get(name).is_some_and(is_so)
    }

    /// Changes a room, and tells who was a member before.
    fn put(&self, name: String, room: Room) -> BTreeSet<String> {
        let mut rooms = self.0.write();
        rooms.insert(name, room).map(|before| before.members).unwrap_or_default()
    }
}

impl Hooks for Rooms {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        match request.token.strip_prefix("secret:") {
            Some(name) => Ok(ConnectDecision::new(UserId::from(name))),
            None => Err(Disconnect::INVALID_TOKEN.into()),
        }
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let user = request.client.user.as_str();
        if self.about(&request.channel, |room| room.members.contains(user)) {
            return Ok(SubscribeDecision::default());
        }
        Err(ReplyError::PERMISSION_DENIED.into())
    }

    async fn publish(&self, request: PublishRequest) -> Result<PublishDecision, Refusal> {
        let user = request.client.user.as_str();
        if request.subscribed && self.about(&request.channel, |room| room.speaker == user) {
            return Ok(PublishDecision::default());
        }
        Err(ReplyError::PERMISSION_DENIED.into())
    }
}

async fn put_room(
    State((node, rooms)): State<(Node, Rooms)>,
    Path(name): Path<String>,
    Json(room): Json<Room>,
) -> StatusCode {
    let channel = Channel::from(format!("{PREFIX}{name}"));
    let members = room.members.clone();
    // First the rule, so that nobody comes back by the old one.
    let before = rooms.put(name, room);
    for gone in before.difference(&members) {
        if node
            .unsubscribe(&Target::user(UserId::from(gone.as_str())), channel.clone(), Unsubscribe::SERVER)
            .await
            .is_err()
        {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    StatusCode::CREATED
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rooms = Rooms::default();
    let (node, driver) = Node::builder(MemoryEngine::default()).hooks(rooms.clone()).build()?;
    tokio::spawn(driver);

    let websocket = WebSocketService::new(node.clone(), WebSocketConfig::default());
    let app = Router::new()
        .route("/rooms/{name}", put(put_room))
        .route_service("/connection/websocket", websocket)
        .with_state((node.clone(), rooms));
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8084".to_owned());
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
