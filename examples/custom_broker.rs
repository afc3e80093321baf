//! A broker of one's own: publications go from process to process in UDP packets.
//!
//! ```text
//! cargo run -p tourbillon-examples --bin custom_broker -- 127.0.0.1:8082 127.0.0.1:9001 127.0.0.1:9002
//! cargo run -p tourbillon-examples --bin custom_broker -- 127.0.0.1:8083 127.0.0.1:9002 127.0.0.1:9001
//! ```
//!
//! The addresses are those of the clients, of this process for others, and of the others. Clients connect to
//! `ws://localhost:8082/connection/websocket` and `ws://localhost:8083/connection/websocket`, and those of one process see
//! what those of the other publish. A packet may be lost, and nobody is told: a broker that keeps nothing promises no more,
//! and says so by its `capabilities`. A node that is asked for history then answers that there is none.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::{TcpListener, UdpSocket};
use tourbillon::websocket::{WebSocketConfig, WebSocketService};
use tourbillon::{AllowAll, Node};
use tourbillon_broker::{Broker, BrokerError, Capabilities, EventSink, Publish, Published, Stop};
use tourbillon_types::{Channel, Payload, Publication};

/// The largest packet, in bytes.
const LARGEST: usize = 60_000;

/// What is in a packet. The data is that of the publisher, byte for byte.
#[derive(Serialize, Deserialize)]
struct Packet<'a> {
    channel: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Sends what is published to every peer.
#[derive(Debug)]
struct Packets {
    socket: UdpSocket,
    peers: Vec<SocketAddr>,
    /// The node's ear. It is there before anything is published.
    events: OnceLock<EventSink>,
}

impl Packets {
    fn deliver(&self, channel: &Channel, data: Payload) {
        if let Some(events) = self.events.get() {
            events.publication(channel, Arc::new(Publication { data, ..Publication::default() }));
        }
    }
}

impl Broker for Packets {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.multi_node = true;
        capabilities
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        if publish.options.history.is_some() {
            return Err(BrokerError::unsupported("history"));
        }
        let data = serde_json::from_slice(publish.data.bytes())
            .map_err(|error| BrokerError::invalid("only JSON is carried").caused_by(error))?;
        let packet = serde_json::to_vec(&Packet { channel: publish.channel.as_str(), data })
            .map_err(|error| BrokerError::internal("a packet cannot be written").caused_by(error))?;
        if packet.len() > LARGEST {
            return Err(BrokerError::invalid("too large for a packet"));
        }
        for peer in &self.peers {
            self.socket
                .send_to(&packet, peer)
                .await
                .map_err(|error| BrokerError::unavailable("a packet cannot be sent").caused_by(error))?;
        }
        self.deliver(&publish.channel, publish.data);
        Ok(Published::default())
    }

    /// Every packet comes to everybody: the node itself knows who wants it.
    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // A broker has one node.
        let _ = self.events.set(events);
    }

    async fn run(&self, mut stop: Stop) -> Result<(), BrokerError> {
        let mut buffer = vec![0; LARGEST];
        loop {
            let received = tokio::select! {
                () = &mut stop => return Ok(()),
                received = self.socket.recv_from(&mut buffer) => received,
            };
            // What a peer is not there to take comes back as an error of the next call.
            let Ok((length, from)) = received else { continue };
            let packet = buffer.get(..length).unwrap_or_default();
            // Anybody can send packets; only those of peers are for us.
            if let (true, Ok(Packet { channel, data })) =
                (self.peers.contains(&from), serde_json::from_slice(packet))
            {
                self.deliver(&Channel::from(channel), Payload::from_json(data.get().to_owned().into()));
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let for_clients = addresses.next().unwrap_or_else(|| "127.0.0.1:8082".to_owned());
    let for_peers = addresses.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let peers = addresses.map(|peer| peer.parse()).collect::<Result<_, _>>()?;

    let socket = UdpSocket::bind(for_peers).await?;
    let broker = Packets { socket, peers, events: OnceLock::new() };
    let (node, driver) = Node::builder(broker).hooks(AllowAll).build()?;
    tokio::spawn(driver);

    let websocket = WebSocketService::new(node.clone(), WebSocketConfig::default());
    let app = Router::new().route_service("/connection/websocket", websocket);
    let listener = TcpListener::bind(for_clients).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            node.shutdown().await;
        })
        .await?;
    Ok(())
}
