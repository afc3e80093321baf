//! One connection to a server, from the first word to the last.
//!
//! The library would come back by itself and then send what had been waiting, minutes later. Here what cannot be sent now
//! fails now, so a client of the library is for one connection: when that is gone it gets in nowhere any more and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{
    Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event, PublishErrorKind, Statistics,
    Subscriber,
};
use bytes::Bytes;
use futures_util::stream::{AbortHandle, Abortable, Repeat, SelectAll, Zip, repeat};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::timeout;
use tourbillon_broker::BrokerError;
use tourbillon_tls::TlsClient;
use tourbillon_types::Channel;

use crate::address::{NatsServer, Shows};
use crate::config::NatsConfig;

/// After this time without a word the library asks whether the server is there, and after three times that it is gone.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// Bytes that may wait for the library before publishers wait with them. It bounds only how many messages wait.
const ROOM: u64 = 1024 * 1024;

/// Subscriptions that wait to be listened to.
const FRESH: usize = 256;

/// What the library has to tell; each is reason enough to look how things are.
const EVENTS: usize = 64;

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Library(Box<dyn std::error::Error + Send + Sync>),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server takes nothing")]
    Stuck,
    #[error("it took longer than {0:?}")]
    Slow(Duration),
}

impl Broken {
    fn by(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Library(Box::new(error))
    }
}

pub(crate) const NO_CONNECTION: BrokerError = BrokerError::unavailable("NATS is not connected");

/// What comes of one subscription; without a name, what this node says to itself.
type Ear = Zip<Repeat<Option<Channel>>, Abortable<Subscriber>>;

/// What comes of a subscription until it is aborted.
pub(crate) fn ear(name: Option<Channel>, subscriber: Subscriber) -> (Ear, AbortHandle) {
    let (handle, registration) = AbortHandle::new_pair();
    (repeat(name).zip(Abortable::new(subscriber, registration)), handle)
}

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    /// Where the sender can be answered.
    pub(crate) reply: Option<String>,
    pub(crate) payload: Bytes,
}

/// A connection, seen by those who send.
pub(crate) struct Line {
    client: Client,
    /// A subject of which only this connection gets messages: its own.
    inbox: String,
    /// Bytes that the library was given to send, and what it did with them.
    given: AtomicU64,
    statistics: Arc<Statistics>,
    asked: AtomicU64,
    /// The highest number that has come back.
    answered: watch::Receiver<u64>,
    fresh: mpsc::Sender<Ear>,
    stuck: Notify,
}

/// A connection, seen by the one who listens.
pub(crate) struct Ears {
    messages: SelectAll<Ear>,
    answers: watch::Sender<u64>,
    fresh: mpsc::Receiver<Ear>,
    events: mpsc::Receiver<Event>,
}

/// What is heard.
pub(crate) enum Heard {
    Message(Channel, async_nats::Message),
    /// Messages came faster than they were taken, and some were dropped.
    Dropped,
}

impl Line {
    /// Connects, and asks to be let in.
    pub(crate) async fn connect(server: &NatsServer, config: &NatsConfig) -> Result<(Self, Ears), Broken> {
        let (tell, events) = mpsc::channel(EVENTS);
        let tls = match &config.tls {
            Some(tls) => tls.config.as_ref().clone(),
            None => TlsClient::default().config().map_err(Broken::by)?,
        };
        let used = Arc::new(AtomicBool::new(false));
        let options = let_in_once(server.shows.clone(), used.clone())
            .max_reconnects(1)
            .ignore_discovered_servers()
            .name("tourbillon")
            .require_tls(config.tls.is_some() || server.tls)
            .tls_client_config(tls)
            .connection_timeout(config.dial_timeout)
            .ping_interval(HEARTBEAT)
            // Where nodes may publish and listen anyway.
            .custom_inbox_prefix(format!("{}.node", config.prefix))
            .event_callback(move |event| {
                let _ = tell.try_send(event);
                std::future::ready(())
            });
        let address = server.address().map_err(Broken::by)?;
        let client = timeout(config.dial_timeout, options.connect(address)).await;
        let client =
            client.map_err(|_| Broken::Slow(config.dial_timeout))?.map_err(|error| match error.kind() {
                ConnectErrorKind::TimedOut => Broken::Slow(config.dial_timeout),
                _ => Broken::by(error),
            })?;
        used.store(true, Ordering::Relaxed);
        let (answers, answered) = watch::channel(0);
        let (fresh, fresh_ears) = mpsc::channel(FRESH);
        let line = Self {
            inbox: client.new_inbox(),
            given: AtomicU64::new(0),
            statistics: client.statistics(),
            client,
            asked: AtomicU64::new(0),
            answered,
            fresh,
            stuck: Notify::new(),
        };
        let mut ears = Ears { messages: SelectAll::new(), answers, fresh: fresh_ears, events };
        ears.messages.push(ear(None, line.subscribe(line.inbox.clone()).await?).0);
        Ok((line, ears))
    }

    pub(crate) fn version(&self) -> String {
        self.client.server_info().version
    }

    /// Where others of the server's cluster are.
    pub(crate) fn others(&self) -> Vec<String> {
        self.client.server_info().connect_urls
    }

    /// Whether the connection is there, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Sends a message if there is room for it; `None` if there is none now.
    pub(crate) fn try_publish(&self, message: Outgoing) -> Option<Result<(), BrokerError>> {
        if self.is_full() {
            return None;
        }
        // Whether there is room has nothing to do with how much the caller's task has done.
        unconstrained(self.send(message)).now_or_never()
    }

    /// Sends a message, and waits for room if there is none. Without room for so long, the connection is given up.
    pub(crate) async fn publish(&self, message: Outgoing, limit: Duration) -> Result<(), BrokerError> {
        let sent = async {
            if self.is_full() {
                self.client.flush().await.map_err(|_| NO_CONNECTION)?;
            }
            self.send(message).await
        };
        timeout(limit, sent).await.unwrap_or_else(|_| {
            self.stuck.notify_one();
            Err(BrokerError::unavailable("NATS takes nothing"))
        })
    }

    fn is_full(&self) -> bool {
        let taken = self.statistics.out_bytes.load(Ordering::Relaxed);
        self.given.load(Ordering::Relaxed).saturating_sub(taken) >= ROOM
    }

    async fn send(&self, Outgoing { subject, reply, payload }: Outgoing) -> Result<(), BrokerError> {
        // As the library counts.
        let length = subject.len() + reply.as_ref().map_or(0, String::len) + payload.len();
        let sent = match reply {
            None => self.client.publish(subject, payload).await,
            Some(reply) => self.client.publish_with_reply(subject, reply, payload).await,
        };
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                BrokerError::invalid("the message is larger than NATS takes (max_payload)")
            }
            PublishErrorKind::InvalidSubject => BrokerError::invalid("NATS has no such subject"),
            PublishErrorKind::Send => NO_CONNECTION,
        })?;
        self.given.fetch_add(u64::try_from(length).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// A subscription, of which the server is told soon.
    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, Broken> {
        self.client.subscribe(subject).await.map_err(Broken::by)
    }

    /// Has a subscription listened to.
    pub(crate) async fn listen_to(&self, ear: Ear) -> Result<(), Broken> {
        self.fresh.send(ear).await.map_err(|_| Broken::Closed)
    }

    /// Returns once the server has done all that it was told before. Somebody has to listen meanwhile.
    pub(crate) async fn barrier(&self) -> Result<(), Broken> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        let question = Outgoing { subject: self.inbox.clone(), reply: None, payload };
        self.send(question).await.map_err(Broken::by)?;
        // A higher number was asked for later, so what was told before this one was told before that, too.
        let mut answered = self.answered.clone();
        answered.wait_for(|answered| *answered >= number).await.map(drop).map_err(|_| Broken::Closed)
    }
}

/// Options that show a server who connects, but not once they are used: what waits in the client of a connection that is
/// gone goes nowhere.
fn let_in_once(shows: Shows, used: Arc<AtomicBool>) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |_| {
        let mut auth = Auth::new();
        match shows.clone() {
            Shows::Nothing => {}
            Shows::Token(token) => auth.token = Some(token),
            Shows::Password { user, password } => {
                (auth.username, auth.password) = (Some(user), Some(password));
            }
        }
        let gone = used.load(Ordering::Relaxed);
        std::future::ready(if gone { Err(AuthError::new("the connection is over")) } else { Ok(auth) })
    })
}

impl Ears {
    pub(crate) fn listen_to(&mut self, ear: Ear) {
        self.messages.push(ear);
    }

    /// What comes next, or why nothing comes any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, line: &Line) -> Result<Heard, Broken> {
        loop {
            tokio::select! {
                Some((name, message)) = self.messages.next() => match name {
                    Some(name) => return Ok(Heard::Message(name, message)),
                    None => self.answered(&message.payload),
                },
                Some(ear) = self.fresh.recv() => self.messages.push(ear),
                event = self.events.recv() => match event {
                    Some(Event::SlowConsumer(_)) => {
                        // What else has been told covers what was dropped until now.
                        while let Ok(Event::SlowConsumer(_)) = self.events.try_recv() {}
                        return if line.is_up() { Ok(Heard::Dropped) } else { Err(Broken::Closed) };
                    }
                    Some(Event::ServerError(error)) => tracing::error!(%error, "NATS says that something is wrong"),
                    Some(_) if line.is_up() => {}
                    Some(_) | None => return Err(Broken::Closed),
                },
                () = line.stuck.notified() => return Err(Broken::Stuck),
            }
        }
    }

    fn answered(&self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return };
        self.answers.send_if_modified(|answered| {
            let higher = number > *answered;
            *answered = number.max(*answered);
            higher
        });
    }
}
