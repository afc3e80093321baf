//! A client that believes nothing: it checks every message against what it has and what was published.

use std::ops::AddAssign;

use serde_json::Value;
use tourbillon_transport::memory::{MemoryPeer, Sent};

use super::world::{Place, Random, World};

/// Who made the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The client, by a command.
    Own,
    /// The server, as the client connects.
    Servers,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) publications: u64,
    /// Subscriptions that recovered.
    pub(super) recovered: u64,
    /// Subscriptions that could not, and said so.
    pub(super) told: u64,
    /// Subscriptions that ended since something was missing.
    pub(super) insufficient: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.publications += other.publications;
        self.recovered += other.recovered;
        self.told += other.told;
        self.insufficient += other.insufficient;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Connecting,
    Connected,
    Subscribing,
    Subscribed,
}

pub(super) struct SimClient {
    channel: &'static str,
    kind: Kind,
    positions: bool,
    peer: Option<MemoryPeer>,
    state: State,
    /// Where it stands, once it was subscribed.
    position: Option<Place>,
    /// Where its present log begins, and how many publications are in it: it has them all.
    begin: Option<Place>,
    held: u64,
    /// Without positions: what may have to come next at most.
    next: Option<Place>,
    pub(super) tally: Tally,
}

impl SimClient {
    pub(super) fn new(channel: &'static str, kind: Kind, positions: bool) -> Self {
        Self {
            channel,
            kind,
            positions,
            peer: None,
            state: State::Away,
            position: None,
            begin: None,
            held: 0,
            next: None,
            tally: Tally::default(),
        }
    }

    /// Connects if it is away, subscribes if it has only connected.
    pub(super) fn come(&mut self, world: &World, random: &mut Random) {
        match self.state {
            State::Away => {
                let peer = world.connect();
                let subs = match self.kind {
                    Kind::Own => String::new(),
                    Kind::Servers => format!(r#""subs":{{"{}":{{{}}}}}"#, self.channel, self.wanted("")),
                };
                let mut frame = format!(r#"{{"id":1,"connect":{{{subs}}}}}"#);
                self.state = State::Connecting;
                if self.kind == Kind::Own && random.below(2) == 0 {
                    frame = format!("{frame}\n{}", self.subscribe());
                    self.state = State::Subscribing;
                }
                peer.send(frame);
                self.peer = Some(peer);
            }
            State::Connected if self.kind == Kind::Own => {
                if let Some(peer) = &self.peer {
                    peer.send(self.subscribe());
                    self.state = State::Subscribing;
                }
            }
            _ => {}
        }
    }

    fn subscribe(&self) -> String {
        format!(r#"{{"id":2,"subscribe":{{"channel":"{}"{}}}}}"#, self.channel, self.wanted(","))
    }

    /// What it asks to recover, after `comma`.
    fn wanted(&self, comma: &str) -> String {
        match &self.position {
            Some((epoch, offset)) if self.positions => {
                format!(r#"{comma}"recover":true,"epoch":"{epoch}","offset":{offset}"#)
            }
            _ => String::new(),
        }
    }

    /// Goes away, whatever is on its way.
    pub(super) fn drop_connection(&mut self) {
        self.peer = None;
        self.state = State::Away;
    }

    /// Reads up to `count` messages.
    pub(super) fn read(&mut self, world: &World, count: u64) {
        for _ in 0..count {
            let Some(sent) = self.peer.as_mut().and_then(MemoryPeer::try_recv) else { return };
            match sent {
                Sent::Message(message) => {
                    let message: Value = serde_json::from_slice(&message).expect("JSON");
                    self.take(world, &message);
                }
                Sent::Ping => {}
                Sent::Closed(why) => {
                    if why.code == 3010 {
                        assert!(self.positions, "{why}");
                        self.tally.insufficient += 1;
                    } else {
                        // It was slow to read, or the node to answer; 3000 is the end of a writer that nobody read.
                        assert!(matches!(why.code, 3000 | 3008 | 3009 | 3502), "{why}");
                    }
                    self.drop_connection();
                }
            }
        }
    }

    fn take(&mut self, world: &World, message: &Value) {
        let push = &message["push"];
        if message["connect"].is_object() {
            if self.state == State::Connecting {
                self.state = State::Connected;
            }
            let result = &message["connect"]["subs"][self.channel];
            if self.kind == Kind::Servers {
                self.subscribed(world, result);
            }
        } else if message["subscribe"].is_object() {
            self.subscribed(world, &message["subscribe"]);
        } else if push["pub"].is_object() {
            assert_eq!((self.state, &push["channel"]), (State::Subscribed, &Value::from(self.channel)));
            self.publication(world, &push["pub"]);
        } else if push["unsubscribe"].is_object() {
            assert_eq!((&push["unsubscribe"]["code"], self.positions), (&Value::from(2500), true));
            self.tally.insufficient += 1;
            self.state = State::Connected;
        } else if message["error"]["code"] == 100 && world.is_stormy() {
            // The broker took longer than it may: temporary, so it is tried again.
            match message["id"].as_u64() {
                Some(2) => self.state = State::Connected,
                _ => self.drop_connection(),
            }
        } else {
            panic!("a message that nothing asked for: {message}");
        }
    }

    fn subscribed(&mut self, world: &World, result: &Value) {
        self.state = State::Subscribed;
        self.next = world.top(self.channel).cloned();
        if !self.positions {
            assert!(result["recovered"].is_null() && result["publications"].is_null(), "{result}");
            self.position = None;
            return;
        }
        let offset = result["offset"].as_u64().unwrap_or_default();
        let found = (result["epoch"].as_str().expect("an epoch").to_owned(), offset);
        let asked = self.position.is_some();
        assert_eq!(result["was_recovering"] == true, asked, "{result}");
        if asked && result["recovered"] == true {
            self.tally.recovered += 1;
            assert_eq!(self.position.as_ref(), Some(&found));
            for publication in result["publications"].as_array().into_iter().flatten() {
                self.publication(world, publication);
            }
            return;
        }
        self.tally.told += u64::from(asked);
        assert!(result["publications"].is_null(), "{result}");
        self.begin = Some(found.clone());
        self.held = 0;
        self.position = Some(found);
    }

    fn publication(&mut self, world: &World, publication: &Value) {
        let offset = publication["offset"].as_u64().expect("an offset");
        let named = publication["epoch"].as_str();
        let place = match &self.position {
            Some((epoch, before)) => {
                let restarts = !self.positions && offset == 1;
                assert!(offset == before + 1 || restarts, "{offset} after {before} in {}", self.channel);
                (named.filter(|_| restarts).unwrap_or(epoch).to_owned(), offset)
            }
            None => self.first(world, offset, named),
        };
        assert!(named.is_none_or(|named| named == place.0), "of another epoch: {publication} at {place:?}");
        let held = world.at(self.channel, &place);
        assert_eq!(publication["data"].as_u64(), held, "{publication} at {place:?}");
        self.position = Some(place);
        self.held += 1;
        self.tally.publications += 1;
    }

    /// The first publication of a subscription without a position follows what there was as it was subscribed.
    fn first(&self, world: &World, offset: u64, named: Option<&str>) -> Place {
        let epoch = match (named, &self.next, world.top(self.channel)) {
            (Some(named), _, _) => named,
            (None, Some((epoch, top)), _) => {
                assert!(offset <= top + 1, "{offset} is not what follows {top}");
                epoch
            }
            (None, None, _) => panic!("{offset} is not the first, and there was none before"),
        };
        (epoch.to_owned(), offset)
    }

    /// Whether it has all that there is.
    pub(super) fn is_up_to_date(&self, world: &World) -> bool {
        self.state == State::Subscribed && self.position.as_ref() == world.top(self.channel)
    }

    /// Checks what it has in the end.
    pub(super) fn check(&self, world: &World) {
        assert!(
            self.is_up_to_date(world),
            "{:?} at {:?}, while {} is at {:?}",
            self.state,
            self.position,
            self.channel,
            world.top(self.channel)
        );
        if let (true, Some((epoch, begin)), Some((now, offset))) =
            (self.positions, &self.begin, &self.position)
        {
            assert_eq!((epoch, begin + self.held), (now, *offset), "its log has as many as there are");
        }
    }
}
