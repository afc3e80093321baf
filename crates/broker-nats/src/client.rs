//! A client of NATS that comes back for as long as it is wanted.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::AbortHandle;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tourbillon_broker::{BrokerError, Stop};
use tourbillon_types::Channel;

use crate::address::NatsServer;
use crate::config::NatsConfig;
use crate::line::{Broken, Ears, Heard, Line, NO_CONNECTION, Outgoing, ear};

/// Time between two tries to connect: at first, and at most. Up to half of it is left out, by chance.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Time for a server to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time in which a new connection must have all subscriptions.
const RESTORED: Duration = Duration::from_secs(30);

/// The most servers that are kept in mind; others tell of themselves.
const SERVERS: usize = 64;

/// What messages are for, by the names under which they are subscribed to.
pub(crate) trait Receive: Send + Sync + 'static {
    /// The subject of a name.
    fn subject(&self, name: &str) -> String;

    /// A message, because of the subscription by this name.
    fn message(&self, name: &Channel, message: async_nats::Message);

    /// Messages may have been lost: there was a connection, and now there is another one, or too many came at once.
    fn lost(&self);
}

/// A client. Without a connection it sends nothing and keeps nothing to be sent.
pub(crate) struct Client<R> {
    servers: Mutex<Vec<NatsServer>>,
    config: NatsConfig,
    receive: R,
    state: Mutex<State>,
    /// Whoever subscribes has it, so that a name that is there is one that the server is told of already.
    turn: tokio::sync::Mutex<()>,
    /// There is a connection.
    up: Notify,
}

#[derive(Default)]
struct State {
    line: Option<Arc<Line>>,
    /// What is subscribed to, and what ends its messages.
    names: HashMap<Channel, AbortHandle>,
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("servers", &self.config.servers).finish_non_exhaustive()
    }
}

impl<R: Receive> Client<R> {
    pub(crate) fn new(config: NatsConfig, receive: R) -> Self {
        Self {
            servers: Mutex::new(config.servers.clone()),
            config,
            receive,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            up: Notify::new(),
        }
    }

    pub(crate) const fn receive(&self) -> &R {
        &self.receive
    }

    fn line(&self) -> Result<Arc<Line>, BrokerError> {
        let line = self.state.lock().line.clone();
        line.filter(|line| line.is_up()).ok_or(NO_CONNECTION)
    }

    /// Sends a message if there is room for it; `None` if there is none now.
    pub(crate) fn try_publish(&self, message: Outgoing) -> Option<Result<(), BrokerError>> {
        match self.line() {
            Ok(line) => line.try_publish(message),
            Err(error) => Some(Err(error)),
        }
    }

    /// Sends a message, and waits for room if there is none.
    pub(crate) async fn publish(&self, message: Outgoing) -> Result<(), BrokerError> {
        self.line()?.publish(message, self.config.write_timeout).await
    }

    /// Has messages of these names come from when this returns. The names' subjects must be sound.
    pub(crate) async fn subscribe(&self, names: &[Channel]) -> Result<(), BrokerError> {
        let line = self.line()?;
        let mut fresh = Fresh { client: self, names: Vec::new() };
        let subscribed = async {
            self.ask_for(&line, names, &mut fresh).await?;
            // What comes back after it has been read after it.
            line.barrier().await
        };
        match timeout(PATIENCE, subscribed).await {
            Ok(Ok(())) => {
                fresh.names.clear();
                Ok(())
            }
            Ok(Err(_)) => Err(NO_CONNECTION),
            Err(_) => Err(BrokerError::unavailable("NATS does not answer")),
        }
    }

    async fn ask_for(&self, line: &Line, names: &[Channel], fresh: &mut Fresh<'_, R>) -> Result<(), Broken> {
        let _turn = self.turn.lock().await;
        for name in names {
            if self.state.lock().names.contains_key(name) {
                continue;
            }
            let (ear, handle) = ear(Some(name.clone()), line.subscribe(self.receive.subject(name)).await?);
            self.state.lock().names.insert(name.clone(), handle);
            fresh.names.push(name.clone());
            line.listen_to(ear).await?;
        }
        Ok(())
    }

    /// Ends the delivery of these names' messages, at once.
    pub(crate) fn unsubscribe(&self, names: &[Channel]) {
        let mut state = self.state.lock();
        for name in names {
            if let Some(handle) = state.names.remove(name) {
                handle.abort();
            }
        }
    }

    /// Wants messages of this name whenever there is a connection. For before the first one.
    pub(crate) fn want(&self, name: Channel) {
        self.state.lock().names.insert(name, AbortHandle::new_pair().0);
    }

    /// Returns once there is a connection whose server has read all subscriptions.
    pub(crate) async fn connected(&self) {
        loop {
            let mut up = pin!(self.up.notified());
            up.as_mut().enable();
            if self.line().is_ok() {
                return;
            }
            up.await;
        }
    }

    /// Whether messages go out and come back.
    pub(crate) async fn ready(&self) -> Result<(), BrokerError> {
        self.line()?.barrier().await.map_err(|_| NO_CONNECTION)
    }

    /// Connects, and connects again, until `stop` resolves.
    pub(crate) async fn run(&self, mut stop: Stop) {
        let (mut pause, mut tries) = (PAUSES.0, 0_usize);
        let mut was_up = false;
        loop {
            let server = {
                let servers = self.servers.lock();
                servers.get(tries % servers.len().max(1)).cloned()
            };
            let Some(server) = server else {
                tracing::error!("there is no NATS server to connect to");
                return stop.await;
            };
            let connected = tokio::select! {
                biased;
                () = &mut stop => return,
                connected = self.connect(&server) => connected,
            };
            match connected {
                Ok((line, ears)) => {
                    tracing::info!(%server, version = %line.version(), "connected to NATS");
                    self.keep_in_mind(&server, &line.others());
                    if was_up {
                        self.receive.lost();
                    }
                    let Some(error) = self.talk(line.into(), ears, &mut stop).await else { return };
                    tracing::error!(%server, %error, "the connection to NATS is lost");
                    (was_up, pause) = (true, PAUSES.0);
                }
                Err(error) => tracing::error!(%server, %error, "no connection to NATS"),
            }
            tries = tries.wrapping_add(1);
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = sleep(jittered(pause)) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// A connection whose server has read all subscriptions.
    async fn connect(&self, server: &NatsServer) -> Result<(Line, Ears), Broken> {
        let (line, mut ears) = Line::connect(server, &self.config).await?;
        let restored = timeout(RESTORED, self.restore(&line, &mut ears)).await;
        restored.unwrap_or(Err(Broken::Slow(RESTORED)))?;
        Ok((line, ears))
    }

    async fn restore(&self, line: &Line, ears: &mut Ears) -> Result<(), Broken> {
        let _turn = self.turn.lock().await;
        let names: Vec<Channel> = self.state.lock().names.keys().cloned().collect();
        for name in names {
            let subscriber = line.subscribe(self.receive.subject(&name)).await?;
            let (ear, handle) = ear(Some(name.clone()), subscriber);
            // Somebody may not want it any more.
            if let Some(old) = self.state.lock().names.get_mut(&name) {
                *old = handle;
                ears.listen_to(ear);
            }
        }
        let mut barrier = pin!(line.barrier());
        loop {
            tokio::select! {
                done = &mut barrier => return done,
                heard = ears.next(line) => self.heard(heard?),
            }
        }
    }

    fn heard(&self, heard: Heard) {
        match heard {
            Heard::Message(name, message) => self.receive.message(&name, message),
            Heard::Dropped => {
                tracing::warn!("messages of NATS were dropped: too many wait");
                self.receive.lost();
            }
        }
    }

    /// Uses a connection until it ends; `None` if it ended because of `stop`.
    async fn talk(&self, line: Arc<Line>, mut ears: Ears, stop: &mut Stop) -> Option<Broken> {
        self.state.lock().line = Some(line.clone());
        let down = Down(self);
        self.up.notify_waiters();
        let mut listening = pin!(async {
            loop {
                match ears.next(&line).await {
                    Ok(heard) => self.heard(heard),
                    Err(error) => return error,
                }
            }
        });
        tokio::select! {
            error = &mut listening => return Some(error),
            () = stop => {}
        }
        drop(down);
        // What was said before the stop is still said.
        tokio::select! {
            _ = listening => {}
            _ = timeout(self.config.write_timeout, line.barrier()) => {}
        }
        None
    }

    /// Others of the server's cluster, for when it is gone.
    fn keep_in_mind(&self, server: &NatsServer, places: &[String]) {
        let mut servers = self.servers.lock();
        for told in places.iter().filter_map(|place| server.told(place)) {
            if servers.len() < SERVERS && !servers.iter().any(|known| known.is_at(&told)) {
                servers.push(told);
            }
        }
    }
}

/// The pause without a part of it: those who lost the same server do not come back together.
fn jittered(pause: Duration) -> Duration {
    let chance = u32::try_from(RandomState::new().hash_one(pause) % 500).unwrap_or(0);
    pause - pause * chance / 1000
}

/// Takes the connection away from those who send, however it ended.
struct Down<'a, R>(&'a Client<R>);

impl<R> Drop for Down<'_, R> {
    fn drop(&mut self) {
        self.0.state.lock().line = None;
    }
}

/// Names whose subscription is not known to be there: taken back unless it turns out to be.
struct Fresh<'a, R: Receive> {
    client: &'a Client<R>,
    names: Vec<Channel>,
}

impl<R: Receive> Drop for Fresh<'_, R> {
    fn drop(&mut self) {
        if !self.names.is_empty() {
            self.client.unsubscribe(&self.names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_cut_by_up_to_half_and_by_chance() {
        let cut: Vec<_> = (0..100).map(|_| jittered(PAUSES.1)).collect();
        assert!(cut.iter().all(|pause| (PAUSES.1 / 2..=PAUSES.1).contains(pause)));
        assert!(cut.iter().any(|pause| *pause != cut[0]));
    }
}
