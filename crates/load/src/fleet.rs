//! Many clients on one thread: a poll loop that opens, feeds and drains connections.
//!
//! One reading buffer serves all of them; a connection keeps bytes only while a message is half read or a write is
//! half done. Time is read once per read, not per message.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frame::{self, Inflater, Opcode};
use crate::http;
use crate::unsent::Unsent;

/// A connection's number in its [`Fleet`]. Numbers of closed connections are used again.
pub type Id = usize;

/// What a connection speaks once TCP stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// WebSocket: the first bytes sent are the upgrade request, and messages are frames.
    WebSocket,
    /// HTTP/1.1: what is sent are whole requests, and messages are the bodies of answers with status 200.
    Http,
    /// HTTP/1.1: the first bytes sent are a request, whose answer has no end. Messages are its chunks, and there is
    /// nothing to be said any more.
    Stream,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The server closed it with a WebSocket close frame.
    #[error("closed by the server with code {code}: {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// The text beside it.
        reason: String,
    },
    /// The server closed the TCP connection.
    #[error("closed by the server without a close frame")]
    Eof,
    /// The server answered something else than expected.
    #[error("the server answered with {0}")]
    Status(String),
    /// Bytes that make no sense.
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
    /// The operating system said so.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Who takes what connections bring.
pub trait Handler {
    /// Bytes were read; what they hold follows. The moment to look at the clock.
    fn read(&mut self) {}
    /// The connection stands: TCP, and the upgrade where there is one. What is appended to `out` is sent as it is:
    /// frames, or an HTTP request.
    fn opened(&mut self, id: Id, out: &mut Vec<u8>);
    /// A whole message came. What is appended to `out` is sent to the same connection.
    fn message(&mut self, id: Id, message: &[u8], out: &mut Vec<u8>);
    /// The connection is gone.
    fn ended(&mut self, id: Id, why: Ended);
}

#[derive(Debug)]
enum Phase {
    /// TCP is being set up.
    Connecting,
    /// The upgrade was asked for.
    Upgrading,
    Open,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    phase: Phase,
    speaks: Speaks,
    /// What to send first.
    greeting: Vec<u8>,
    /// Bytes that the socket did not take yet.
    unsent: Unsent,
    /// A part of a message.
    partial: Vec<u8>,
}

/// The connections and the loop around them. Dropping it closes them all.
#[derive(Debug)]
pub struct Fleet {
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection>>,
    free: Vec<Id>,
    scratch: Vec<u8>,
    out: Vec<u8>,
    inflater: Inflater,
    received: u64,
}

/// Connections from one source address, far below the 28,000 ports that Linux has for it by default: the fuller they
/// are, the longer it looks for a free one. Ports of closed connections stay taken for a minute.
const PER_ADDRESS: usize = 5_000;

/// Source addresses in turn: 127.0.0.2 and following.
const ADDRESSES: usize = 250;

/// Connections that this process has opened to loopback.
static OPENED: AtomicUsize = AtomicUsize::new(0);

impl Fleet {
    /// An empty fleet.
    ///
    /// # Errors
    ///
    /// When the system has no poll instance left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            free: Vec::new(),
            scratch: vec![0; 256 << 10],
            out: Vec::new(),
            inflater: Inflater::default(),
            received: 0,
        })
    }

    /// How many connections there are, standing or not yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Starts a connection. `greeting` goes out when TCP stands. On loopback, source addresses change every 5,000
    /// connections so that ports do not run out.
    ///
    /// # Errors
    ///
    /// When the system refuses a socket: files, ports or memory are used up.
    pub fn open(&mut self, address: SocketAddr, speaks: Speaks, greeting: &[u8]) -> io::Result<Id> {
        let source = OPENED.fetch_add(1, Ordering::Relaxed) / PER_ADDRESS % ADDRESSES;
        let stream = connect(address, source)?;
        let id = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let mut connection = Connection {
            stream,
            phase: Phase::Connecting,
            speaks,
            greeting: greeting.to_vec(),
            unsent: Unsent::default(),
            partial: Vec::new(),
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.stream, Token(id), interest)?;
        if let Some(slot) = self.connections.get_mut(id) {
            *slot = Some(connection);
        }
        Ok(id)
    }

    /// Sends bytes as they are: frames, or an HTTP request. What the socket does not take now follows when it can.
    /// Does nothing when the connection is gone; a failing one is told of in the next turn.
    pub fn send(&mut self, id: Id, bytes: &[u8]) {
        if let Some(Some(connection)) = self.connections.get_mut(id) {
            // A failed write shows as a failed read at once.
            let _ = connection.send(bytes);
        }
    }

    /// Whether the connection still has bytes that its socket did not take.
    #[must_use]
    pub fn is_blocked(&self, id: Id) -> bool {
        self.connections
            .get(id)
            .and_then(Option::as_ref)
            .is_some_and(|connection| !connection.unsent.is_empty())
    }

    /// Closes the TCP connection without a farewell.
    pub fn close(&mut self, id: Id) {
        if let Some(slot) = self.connections.get_mut(id)
            && let Some(mut connection) = slot.take()
        {
            let _ = self.poll.registry().deregister(&mut connection.stream);
            self.free.push(id);
        }
    }

    /// Closes all.
    pub fn close_all(&mut self) {
        for id in 0..self.connections.len() {
            self.close(id);
        }
    }

    /// Waits for something to happen, at most `timeout`, and handles it. Returns how many events there were.
    ///
    /// # Errors
    ///
    /// When polling itself fails; what fails on a connection goes to [`Handler::ended`].
    pub fn turn(&mut self, timeout: Duration, handler: &mut impl Handler) -> io::Result<usize> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(1));
        let polled = match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        };
        let mut count = 0;
        if polled.is_ok() {
            for event in &events {
                count += 1;
                let id = event.token().0;
                if let Err(why) = self.handle(id, event.is_writable(), handler) {
                    self.close(id);
                    handler.ended(id, why);
                }
            }
        }
        self.events = events;
        polled.map(|()| count)
    }

    fn handle(&mut self, id: Id, writable: bool, handler: &mut impl Handler) -> Result<(), Ended> {
        let Self { connections, scratch, out, inflater, received, .. } = self;
        let Some(Some(connection)) = connections.get_mut(id) else { return Ok(()) };
        if matches!(connection.phase, Phase::Connecting) && !connection.established()? {
            return Ok(());
        }
        if matches!(connection.phase, Phase::Connecting) {
            let greeting = std::mem::take(&mut connection.greeting);
            connection.phase = match connection.speaks {
                Speaks::WebSocket | Speaks::Stream => Phase::Upgrading,
                Speaks::Http => Phase::Open,
            };
            connection.send(&greeting)?;
            if matches!(connection.phase, Phase::Open) {
                out.clear();
                handler.opened(id, out);
                connection.send(out)?;
            }
        } else if writable && !connection.unsent.is_empty() {
            connection.send(&[])?;
        }
        loop {
            let length = match connection.stream.read(scratch) {
                Ok(0) => return Err(Ended::Eof),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            *received += length as u64;
            handler.read();
            out.clear();
            let bytes = scratch.get(..length).unwrap_or_default();
            let taken = if connection.partial.is_empty() {
                connection.take(id, bytes, inflater, handler, out).map(|used| {
                    connection.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
                })
            } else {
                let mut joined = std::mem::take(&mut connection.partial);
                joined.extend_from_slice(bytes);
                connection.take(id, &joined, inflater, handler, out).map(|used| {
                    if used < joined.len() {
                        joined.drain(..used);
                        connection.partial = joined;
                    }
                })
            };
            if !out.is_empty() && connection.speaks != Speaks::Stream {
                connection.send(out)?;
            }
            taken?;
            if length < scratch.len() {
                // A short read means that the socket is drained; new bytes give a new event.
                return Ok(());
            }
        }
    }
}

impl Connection {
    /// Whether TCP stands by now.
    fn established(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.send(&mut self.stream, bytes)
    }

    /// Handles what can be handled in `bytes`, and returns how many that were.
    fn take(
        &mut self,
        id: Id,
        bytes: &[u8],
        inflater: &mut Inflater,
        handler: &mut impl Handler,
        out: &mut Vec<u8>,
    ) -> Result<usize, Ended> {
        let mut used = 0;
        if matches!(self.phase, Phase::Upgrading) {
            let Some(head) = http::head(bytes) else { return Ok(0) };
            let expected = if self.speaks == Speaks::Stream { 200 } else { 101 };
            if head.status != expected {
                return Err(Ended::Status(format!("status {} where {expected} was expected", head.status)));
            }
            used = head.length;
            self.phase = Phase::Open;
            handler.opened(id, out);
        }
        let rest = bytes.get(used..).unwrap_or_default();
        match self.speaks {
            Speaks::Stream => {
                let (taken, over) = http::chunks(rest, |chunk| handler.message(id, chunk, out));
                if over { Err(Ended::Eof) } else { Ok(used + taken) }
            }
            Speaks::Http => Ok(used + http::bodies(rest, |body| handler.message(id, body, out))?),
            Speaks::WebSocket => {
                let mut closed = None;
                let taken = frame::decode(rest, inflater, |opcode, payload| match opcode {
                    Opcode::Text | Opcode::Binary => handler.message(id, payload, out),
                    Opcode::Ping => frame::encode(Opcode::Pong, payload, out),
                    Opcode::Pong => {}
                    Opcode::Close => closed = Some(close_reason(payload)),
                });
                match closed {
                    Some(why) => Err(why),
                    None => Ok(used + taken?),
                }
            }
        }
    }
}

fn close_reason(payload: &[u8]) -> Ended {
    let (code, reason) = match payload {
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        _ => (1005, &[][..]),
    };
    Ended::Closed { code, reason: String::from_utf8_lossy(reason).into_owned() }
}

/// Starts a TCP connection; to loopback from 127.0.0.2 and following.
fn connect(address: SocketAddr, source: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let IpAddr::V4(to) = address.ip()
        && to.is_loopback()
    {
        let last = u8::try_from(source + 2).map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        // Which port is free is looked for when it is known where the connection goes to: ports of closed connections
        // to other servers do not count.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(StdStream::from(socket)))
}
