//! The floor: a server that does as little as a server of this protocol can.
//!
//! One thread, one poll instance, JSON only, no tokens, no limits, no timers. A publish is written as prepared bytes
//! with one `write` per subscriber; corked, the frames of one turn of the loop go out as one `write` per subscriber.
//! It is what others are measured by and nothing to be run for people.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use sha1::{Digest as _, Sha1};

use crate::http;
use crate::unsent::Unsent;

/// How the floor writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Each publication at once.
    Each,
    /// What came in one turn of the loop together.
    Corked,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    partial: Vec<u8>,
    unsent: Unsent,
    /// Whether the upgrade is done; a peer that asks for something else speaks HTTP.
    upgraded: bool,
    channels: Vec<usize>,
    /// Replies of this turn.
    replies: Vec<u8>,
}

#[derive(Debug, Default)]
struct Channel {
    subscribers: Vec<usize>,
    /// Frames of this turn, when corked.
    frames: Vec<u8>,
}

/// The server.
#[derive(Debug)]
pub struct Floor {
    poll: Poll,
    listener: TcpListener,
    writes: Writes,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    channels: Vec<Channel>,
    names: HashMap<Vec<u8>, usize>,
    /// Channels that have frames to be written.
    dirty: Vec<usize>,
    scratch: Vec<u8>,
}

const LISTENER: Token = Token(usize::MAX);

impl Floor {
    /// Listens.
    ///
    /// # Errors
    ///
    /// When the address is not free.
    pub fn bind(address: SocketAddr, writes: Writes) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            writes,
            peers: Vec::new(),
            free: Vec::new(),
            channels: Vec::new(),
            names: HashMap::new(),
            dirty: Vec::new(),
            scratch: vec![0; 256 << 10],
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until polling fails.
    ///
    /// # Errors
    ///
    /// When polling fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            self.turn(&mut events, None)?;
        }
    }

    fn turn(&mut self, events: &mut Events, timeout: Option<std::time::Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &*events {
            if event.token() == LISTENER {
                self.accept();
            } else if self.serve(event.token().0, event.is_writable()).is_err() {
                self.remove(event.token().0);
            }
        }
        self.uncork();
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let _ = stream.set_nodelay(true);
            let id = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(id), interest).is_err() {
                self.free.push(id);
                continue;
            }
            let peer = Peer {
                stream,
                partial: Vec::new(),
                unsent: Unsent::default(),
                upgraded: false,
                channels: Vec::new(),
                replies: Vec::new(),
            };
            if let Some(slot) = self.peers.get_mut(id) {
                *slot = Some(peer);
            }
        }
    }

    fn remove(&mut self, id: usize) {
        let Some(mut peer) = self.peers.get_mut(id).and_then(Option::take) else { return };
        let _ = self.poll.registry().deregister(&mut peer.stream);
        for channel in peer.channels {
            if let Some(channel) = self.channels.get_mut(channel) {
                channel.subscribers.retain(|subscriber| *subscriber != id);
            }
        }
        self.free.push(id);
    }

    fn serve(&mut self, id: usize, writable: bool) -> io::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let served = self.read(id, writable, &mut scratch);
        self.scratch = scratch;
        served
    }

    fn read(&mut self, id: usize, writable: bool, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let Some(Some(peer)) = self.peers.get_mut(id) else { return Ok(()) };
            if writable && !peer.unsent.is_empty() {
                peer.write(&[])?;
            }
            let length = match peer.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let bytes = scratch.get_mut(..length).unwrap_or_default();
            if peer.partial.is_empty() {
                let used = self.take(id, bytes)?;
                self.keep(id, bytes.get(used..).unwrap_or_default());
            } else {
                let mut joined = std::mem::take(&mut peer.partial);
                joined.extend_from_slice(bytes);
                let used = self.take(id, &mut joined)?;
                self.keep(id, joined.get(used..).unwrap_or_default());
            }
            if let Some(Some(peer)) = self.peers.get_mut(id)
                && !peer.replies.is_empty()
            {
                let replies = std::mem::take(&mut peer.replies);
                peer.write(&replies)?;
            }
            if length < scratch.len() {
                return Ok(());
            }
        }
    }

    fn keep(&mut self, id: usize, rest: &[u8]) {
        if let Some(Some(peer)) = self.peers.get_mut(id)
            && !rest.is_empty()
        {
            peer.partial.extend_from_slice(rest);
        }
    }

    /// Handles what is whole in `bytes`, and returns how much that was.
    fn take(&mut self, id: usize, bytes: &mut [u8]) -> io::Result<usize> {
        let upgraded = matches!(self.peers.get(id), Some(Some(Peer { upgraded: true, .. })));
        if !upgraded {
            return self.request(id, bytes);
        }
        let mut used = 0;
        while let Some((head, length, key)) = client_frame(bytes.get(used..).unwrap_or_default())? {
            let Some(payload) = bytes.get_mut(used + head..used + head + length) else { break };
            for (byte, mask) in payload.iter_mut().zip(key.iter().cycle()) {
                *byte ^= mask;
            }
            for command in payload.split(|byte| *byte == b'\n') {
                self.command(id, command);
            }
            used += head + length;
        }
        Ok(used)
    }

    /// An upgrade, or a publish of the HTTP API.
    fn request(&mut self, id: usize, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
        let text = bytes.get(..end).unwrap_or_default();
        if let Some(at) = memmem::find(text, b"Sec-WebSocket-Key: ") {
            let key = text
                .get(at + 19..)
                .unwrap_or_default()
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            let mut hash = Sha1::new();
            hash.update(key);
            hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            let accept = STANDARD.encode(hash.finalize());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            let Some(Some(peer)) = self.peers.get_mut(id) else { return Ok(0) };
            peer.upgraded = true;
            peer.write(answer.as_bytes())?;
            return Ok(end + 4);
        }
        // The same reader takes a request's length: only the first line differs.
        let body = http::head(bytes).map_or(0, |head| head.body);
        if bytes.len() < end + 4 + body {
            return Ok(0);
        }
        let body = bytes.get(end + 4..end + 4 + body).unwrap_or_default();
        let length = body.len();
        if let (Some(channel), Some(data)) = (value(body, b"\"channel\":\""), data(body)) {
            let (channel, data) = (channel.to_vec(), data.to_vec());
            self.publish(&channel, &data);
        }
        if let Some(Some(peer)) = self.peers.get_mut(id) {
            peer.replies.extend_from_slice(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"result\":{}}",
            );
        }
        Ok(end + 4 + length)
    }

    fn command(&mut self, id: usize, command: &[u8]) {
        let Some(number) = number(command) else { return };
        let mut reply = format!("{{\"id\":{number},").into_bytes();
        if memmem::find(command, b"\"publish\":").is_some() {
            if let (Some(channel), Some(data)) = (value(command, b"\"channel\":\""), data(command)) {
                self.publish(channel, data);
            }
            reply.extend_from_slice(b"\"publish\":{}}");
        } else if memmem::find(command, b"\"rpc\":").is_some() {
            reply.extend_from_slice(b"\"rpc\":{\"data\":");
            reply.extend_from_slice(data(command).unwrap_or(b"{}"));
            reply.extend_from_slice(b"}}");
        } else if memmem::find(command, b"\"subscribe\":").is_some() {
            let channel = value(command, b"\"channel\":\"").unwrap_or_default();
            self.subscribe(id, channel);
            reply.extend_from_slice(b"\"subscribe\":{}}");
        } else {
            reply.extend_from_slice(b"\"connect\":{\"client\":\"floor\",\"version\":\"floor\"}}");
        }
        if let Some(Some(peer)) = self.peers.get_mut(id) {
            server_frame(&reply, &mut peer.replies);
        }
    }

    fn subscribe(&mut self, id: usize, name: &[u8]) {
        let next = self.channels.len();
        let number = *self.names.entry(name.to_vec()).or_insert(next);
        if number == next {
            self.channels.push(Channel::default());
        }
        if let Some(channel) = self.channels.get_mut(number) {
            channel.subscribers.push(id);
        }
        if let Some(Some(peer)) = self.peers.get_mut(id) {
            peer.channels.push(number);
        }
    }

    fn publish(&mut self, name: &[u8], data: &[u8]) {
        let Some(number) = self.names.get(name).copied() else { return };
        let Some(channel) = self.channels.get_mut(number) else { return };
        let mut message = b"{\"push\":{\"channel\":\"".to_vec();
        message.extend_from_slice(name);
        message.extend_from_slice(b"\",\"pub\":{\"data\":");
        message.extend_from_slice(data);
        message.extend_from_slice(b"}}}");
        if channel.frames.is_empty() {
            self.dirty.push(number);
        }
        server_frame(&message, &mut channel.frames);
        if self.writes == Writes::Each {
            self.uncork();
        }
    }

    /// Writes what channels have collected.
    fn uncork(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            let Some(channel) = self.channels.get_mut(number) else { continue };
            for subscriber in &channel.subscribers {
                if let Some(Some(peer)) = self.peers.get_mut(*subscriber) {
                    // A peer that is gone shows when it is read.
                    let _ = peer.write(&channel.frames);
                }
            }
            channel.frames.clear();
        }
    }
}

impl Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.send(&mut self.stream, bytes)
    }
}

/// Length of the head, length of the payload, and mask of the frame at the start, when its head is whole.
fn client_frame(bytes: &[u8]) -> io::Result<Option<(usize, usize, [u8; 4])>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x0f == 8 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let (extra, length) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (2, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => return Err(io::ErrorKind::InvalidData.into()),
        length => (0, usize::from(length)),
    };
    let Some(key) = rest.get(extra..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(None) };
    Ok(Some((2 + extra + 4, length, *key)))
}

/// Appends an unmasked text frame.
fn server_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length @ 126..65_536 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

fn number(command: &[u8]) -> Option<&str> {
    let at = memmem::find(command, b"\"id\":")? + 5;
    let rest = command.get(at..)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The text after `key` up to the next quote.
fn value<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = memmem::find(bytes, key)? + key.len();
    bytes.get(at..)?.split(|byte| *byte == b'"').next()
}

/// The flat object after `"data":`.
fn data(bytes: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(bytes, b"\"data\":")? + 7;
    let end = at + memchr::memchr(b'}', bytes.get(at..)?)? + 1;
    bytes.get(at..end)
}
