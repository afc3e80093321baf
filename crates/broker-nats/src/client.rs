//! A client of NATS that comes back for as long as it is wanted.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use tourbillon_broker::{BrokerError, Stop};
use tourbillon_types::Channel;

use crate::address::NatsServer;
use crate::config::NatsConfig;
use crate::dial::{Broken, Dial, Dialled};
use crate::wire::{Message, Said, Say, read};

/// Bytes that may wait to be written before publishers wait with them.
const ROOM: usize = 1024 * 1024;

/// A buffer above this is not kept for the next time.
const KEPT: usize = 256 * 1024;

/// How much is read at once.
const READ: usize = 32 * 1024;

/// Time between two tries to connect: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Time between questions whether the server is there.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Time for a server to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most servers that are kept in mind; others tell of themselves.
const SERVERS: usize = 64;

/// What messages are for, by the names under which they are subscribed to.
pub(crate) trait Receive: Send + Sync + 'static {
    /// The subject of a name.
    fn subject(&self, name: &str) -> String;

    /// A message of this subject, because of the subscription by this name.
    fn message(&self, name: &Channel, subject: &Bytes, payload: Bytes);

    /// Messages may have been lost: there was a connection, and now there is another one.
    fn back(&self);
}

/// A client. Without a connection it sends nothing and keeps nothing to be sent.
pub(crate) struct Client<R> {
    servers: Mutex<Vec<NatsServer>>,
    config: NatsConfig,
    echo: bool,
    receive: R,
    state: Mutex<State>,
    /// There is something to be written.
    written: Notify,
    /// There is room again, or no connection any more.
    room: Notify,
    /// There is a connection.
    up: Notify,
}

#[derive(Default)]
struct State {
    line: Option<Line>,
    /// Numbers of subscriptions by name, and the other way round.
    numbers: HashMap<Channel, u64>,
    names: HashMap<u64, Channel>,
    last: u64,
}

/// A connection, seen by those who send.
struct Line {
    out: BytesMut,
    /// Who waits for an answer to a ping, in order.
    pings: VecDeque<oneshot::Sender<()>>,
    max_payload: usize,
}

impl Line {
    fn ping(&mut self) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        self.out.ping();
        self.pings.push_back(answer);
        answered
    }
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("servers", &self.config.servers).finish_non_exhaustive()
    }
}

const NO_CONNECTION: BrokerError = BrokerError::unavailable("NATS is not connected");

impl<R: Receive> Client<R> {
    pub(crate) fn new(config: NatsConfig, echo: bool, receive: R) -> Self {
        Self {
            servers: Mutex::new(config.servers.clone()),
            config,
            echo,
            receive,
            state: Mutex::default(),
            written: Notify::new(),
            room: Notify::new(),
            up: Notify::new(),
        }
    }

    pub(crate) const fn receive(&self) -> &R {
        &self.receive
    }

    /// Sends a message if there is room for it; `None` if there is none now.
    pub(crate) fn try_publish(&self, subject: &str, payload: &[u8]) -> Option<Result<(), BrokerError>> {
        let mut state = self.state.lock();
        let Some(line) = &mut state.line else { return Some(Err(NO_CONNECTION)) };
        if payload.len() > line.max_payload {
            return Some(Err(BrokerError::invalid("the message is larger than NATS takes (max_payload)")));
        }
        if line.out.len() >= ROOM {
            return None;
        }
        line.out.publish(subject, payload);
        drop(state);
        self.written.notify_one();
        Some(Ok(()))
    }

    /// Sends a message, and waits for room if there is none.
    pub(crate) async fn publish(&self, subject: &str, payload: &[u8]) -> Result<(), BrokerError> {
        let sent = async {
            loop {
                let mut room = pin!(self.room.notified());
                room.as_mut().enable();
                if let Some(result) = self.try_publish(subject, payload) {
                    return result;
                }
                room.await;
            }
        };
        let limit = self.config.write_timeout;
        timeout(limit, sent).await.unwrap_or_else(|_| Err(BrokerError::unavailable("NATS takes nothing")))
    }

    /// Has messages of these names come from when this returns. The names' subjects must be sound.
    pub(crate) async fn subscribe(&self, names: &[Channel]) -> Result<(), BrokerError> {
        let mut fresh = Fresh { client: self, names: Vec::new() };
        let answered = {
            let mut state = self.state.lock();
            let State { line, numbers, names: by_number, last } = &mut *state;
            let line = line.as_mut().ok_or(NO_CONNECTION)?;
            for name in names {
                if numbers.contains_key(name) {
                    continue;
                }
                *last += 1;
                numbers.insert(name.clone(), *last);
                by_number.insert(*last, name.clone());
                line.out.subscribe(&self.receive.subject(name), *last);
                fresh.names.push(name.clone());
            }
            line.ping()
        };
        self.written.notify_one();
        // What is answered after it has been read after it.
        match timeout(PATIENCE, answered).await {
            Ok(Ok(())) => {
                fresh.names.clear();
                Ok(())
            }
            Ok(Err(_)) => Err(NO_CONNECTION),
            Err(_) => Err(BrokerError::unavailable("NATS does not answer")),
        }
    }

    /// Ends the delivery of these names' messages, at once.
    pub(crate) fn unsubscribe(&self, names: &[Channel]) {
        let mut state = self.state.lock();
        let State { line, numbers, names: by_number, .. } = &mut *state;
        for name in names {
            let Some(number) = numbers.remove(name) else { continue };
            by_number.remove(&number);
            if let Some(line) = line {
                line.out.unsubscribe(number);
            }
        }
        drop(state);
        self.written.notify_one();
    }

    /// Wants messages of this name whenever there is a connection. For before the first one.
    pub(crate) fn want(&self, name: Channel) {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        state.names.insert(number, name.clone());
        state.numbers.insert(name, number);
    }

    /// Returns once there is a connection whose server has read all subscriptions.
    pub(crate) async fn connected(&self) {
        loop {
            let mut up = pin!(self.up.notified());
            up.as_mut().enable();
            let answered = self.state.lock().line.as_mut().map(Line::ping);
            let Some(answered) = answered else {
                up.await;
                continue;
            };
            self.written.notify_one();
            if answered.await.is_ok() {
                return;
            }
        }
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
            let dial = Dial {
                server: &server,
                tls: self.config.tls.as_ref(),
                echo: self.echo,
                limit: self.config.dial_timeout,
            };
            let dialled = tokio::select! {
                biased;
                () = &mut stop => return,
                dialled = dial.dial() => dialled,
            };
            match dialled {
                Ok(dialled) => {
                    tracing::info!(%server, version = %dialled.info.version, "connected to NATS");
                    let Some(error) = self.talk(dialled, &server, was_up, &mut stop).await else { return };
                    tracing::error!(%server, %error, "the connection to NATS is lost");
                    (was_up, pause) = (true, PAUSES.0);
                }
                Err(error) => tracing::error!(%server, %error, "no connection to NATS"),
            }
            tries = tries.wrapping_add(1);
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Uses a connection until it ends; `None` if it ended because of `stop`.
    async fn talk(
        &self,
        dialled: Dialled,
        server: &NatsServer,
        was_up: bool,
        stop: &mut Stop,
    ) -> Option<Broken> {
        let Dialled { stream, mut buffer, info } = dialled;
        self.keep_in_mind(server, &info.connect_urls);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut out = BytesMut::new();
        {
            let mut state = self.state.lock();
            for (number, name) in &state.names {
                out.subscribe(&self.receive.subject(name), *number);
            }
            state.line = Some(Line { out, pings: VecDeque::new(), max_payload: info.max_payload });
        }
        if was_up {
            self.receive.back();
        }
        self.written.notify_one();
        self.up.notify_waiters();
        let _down = Down(self);
        let mut piece = BytesMut::new();
        // In turn: none of them may keep the others from what they have to do.
        let error = tokio::select! {
            () = stop => None,
            error = self.listen(&mut reader, &mut buffer, server) => Some(error),
            error = self.write(&mut writer, &mut piece) => Some(error),
            error = self.look_after() => Some(error),
        };
        if error.is_none() {
            // What was said before the stop is still said.
            if let Some(line) = self.state.lock().line.take() {
                piece.unsplit(line.out);
            }
            let _ = timeout(self.config.write_timeout, async {
                writer.write_all(&piece).await?;
                writer.shutdown().await
            })
            .await;
        }
        error
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

    /// Takes what comes.
    async fn listen(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        buffer: &mut BytesMut,
        server: &NatsServer,
    ) -> Broken {
        loop {
            loop {
                match read(buffer) {
                    Ok(Some(said)) => self.said(said, server),
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
            buffer.reserve(READ);
            match reader.read_buf(buffer).await {
                Ok(0) => return Broken::Closed,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
    }

    fn said(&self, said: Said, server: &NatsServer) {
        match said {
            Said::Message(Message { subscription, subject, payload }) => {
                // Not under the lock: whoever receives may take locks of its own.
                let name = self.state.lock().names.get(&subscription).cloned();
                if let Some(name) = name {
                    self.receive.message(&name, &subject, payload);
                }
            }
            Said::Ping => {
                if let Some(line) = &mut self.state.lock().line {
                    line.out.pong();
                }
                self.written.notify_one();
            }
            Said::Pong => {
                let waiting = self.state.lock().line.as_mut().and_then(|line| line.pings.pop_front());
                if let Some(waiting) = waiting {
                    let _ = waiting.send(());
                }
            }
            Said::Info(info) => {
                self.keep_in_mind(server, &info.connect_urls);
                if let Some(line) = &mut self.state.lock().line {
                    line.max_payload = info.max_payload;
                }
            }
            Said::Error(error) => tracing::error!(%server, error, "NATS says that something is wrong"),
            Said::Ok => {}
        }
    }

    /// Writes what there is to be written. What is half written when this is given up is in `piece`.
    async fn write(&self, writer: &mut (impl AsyncWrite + Unpin), piece: &mut BytesMut) -> Broken {
        let limit = self.config.write_timeout;
        loop {
            if piece.is_empty() {
                if piece.capacity() > KEPT {
                    *piece = BytesMut::new();
                }
                if let Some(line) = &mut self.state.lock().line {
                    std::mem::swap(&mut line.out, piece);
                }
                if piece.is_empty() {
                    self.written.notified().await;
                    continue;
                }
                self.room.notify_waiters();
            }
            let written = async {
                let length = writer.write_buf(piece).await?;
                if piece.is_empty() {
                    writer.flush().await?;
                }
                Ok::<_, std::io::Error>(length)
            };
            match timeout(limit, written).await {
                Ok(Ok(0)) => return Broken::Closed,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return Broken::Slow(limit),
            }
        }
    }

    /// Asks now and then whether the server is there.
    async fn look_after(&self) -> Broken {
        loop {
            sleep(HEARTBEAT).await;
            let answered = self.state.lock().line.as_mut().map(Line::ping);
            self.written.notify_one();
            let Some(answered) = answered else { return Broken::Closed };
            if !matches!(timeout(PATIENCE, answered).await, Ok(Ok(()))) {
                return Broken::Slow(PATIENCE);
            }
        }
    }
}

/// Takes the connection away from those who send, however it ended.
struct Down<'a, R>(&'a Client<R>);

impl<R> Drop for Down<'_, R> {
    fn drop(&mut self) {
        self.0.state.lock().line = None;
        self.0.room.notify_waiters();
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
