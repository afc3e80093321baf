//! Who is in which channel, told to the engine and to others: entries that last as long as a value.
//!
//! An engine may be slow and a guard's end cannot wait, so what is to be told is queued, in lanes by connection: of one
//! connection nothing overtakes anything, so that a client that leaves and comes again is in the channel afterwards.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tourbillon_broker::BrokerError;
use tourbillon_types::{Channel, ClientId, ClientInfo, Instant, Payload};

use crate::conn::Conn;
use crate::queries;
use crate::shared::Shared;
use tourbillon_metrics::{self as metrics, Action};

const LANES: u64 = 8;

/// With this much to tell in a lane, entries are not renewed: what is already there will be told first.
const BACKLOG: usize = 16_384;

/// What is to be told, in lanes.
#[derive(Debug)]
pub(crate) struct Lanes(Box<[Lane]>);

#[derive(Debug, Default)]
struct Lane {
    queue: Mutex<VecDeque<Told>>,
    notify: Notify,
}

/// One thing to tell.
#[derive(Debug)]
struct Told {
    channel: Channel,
    client: ClientId,
    info: Arc<ClientInfo>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// It is in the channel, and somebody may wait to hear that this is known.
    Add(Option<oneshot::Sender<Result<(), BrokerError>>>),
    Remove,
    Join,
    Leave,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self((0..LANES).map(|_| Lane::default()).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn lane(&self, key: u64) -> Option<&Lane> {
        self.0.get(usize::try_from(key % LANES).unwrap_or_default())
    }

    fn push(&self, key: u64, told: Told) {
        let Some(lane) = self.lane(key) else { return };
        lane.queue.lock().push_back(told);
        lane.notify.notify_one();
    }

    fn is_behind(&self, key: u64) -> bool {
        self.lane(key).is_some_and(|lane| lane.queue.lock().len() >= BACKLOG)
    }

    /// Tells what is queued in a lane, until the node stops and nothing is left.
    pub(crate) async fn run(&self, lane: usize, shared: &Shared) {
        let Some(lane) = self.0.get(lane) else { return };
        loop {
            while let Some(told) = lane.next() {
                told.tell(shared).await;
            }
            if shared.stopped.is_cancelled() {
                return;
            }
            tokio::select! {
                () = lane.notify.notified() => {}
                () = shared.stopped.cancelled() => {}
            }
        }
    }
}

impl Lane {
    fn next(&self) -> Option<Told> {
        let mut queue = self.queue.lock();
        let next = queue.pop_front();
        if queue.is_empty() && queue.capacity() > 64 {
            *queue = VecDeque::new();
        }
        next
    }
}

impl Told {
    async fn tell(self, shared: &Shared) {
        let Self { channel, client, info, what } = self;
        match what {
            What::Add(answer) => {
                let Some(members) = shared.engine.presence() else { return };
                shared.metrics.act(Action::AddPresence);
                let added = members.add_presence(&channel, client, info);
                let added = queries::call(shared, "presence", added).await;
                if let Some(answer) = answer {
                    let _ = answer.send(added);
                }
            }
            What::Remove => {
                let Some(members) = shared.engine.presence() else { return };
                shared.metrics.act(Action::RemovePresence);
                // A failure has been logged; where several nodes share it, the entry expires.
                let removed = members.remove_presence(&channel, client, &info.user);
                let _ = queries::call(shared, "presence", removed).await;
            }
            What::Join => {
                shared.metrics.tell(metrics::Told::Join);
                let told = shared.engine.broker().publish_join(&channel, info);
                let _ = queries::call(shared, "join", told).await;
            }
            What::Leave => {
                shared.metrics.tell(metrics::Told::Leave);
                let told = shared.engine.broker().publish_leave(&channel, info);
                let _ = queries::call(shared, "leave", told).await;
            }
        }
    }
}

/// A connection in a channel, as others see it. Ends with the value.
#[derive(Debug)]
pub(crate) struct Membership {
    shared: Arc<Shared>,
    /// Names the connection's lane.
    key: u64,
    client: ClientId,
    channel: Channel,
    info: Arc<ClientInfo>,
    /// Whether it is counted among those present.
    presence: bool,
    /// Whether its beginning and end are told.
    join_leave: bool,
    /// Whether its beginning was told, so that its end has to be.
    joined: bool,
}

impl Membership {
    /// Enters a channel: when this returns, the connection is counted. `None`: nobody is to know of it.
    ///
    /// Given up half way, nothing is left behind.
    pub(crate) async fn enter(
        shared: &Arc<Shared>,
        conn: &Conn,
        channel: &Channel,
        info: ClientInfo,
        (presence, join_leave): (bool, bool),
    ) -> Result<Option<Self>, BrokerError> {
        let presence = presence && shared.engine.presence().is_some();
        let join_leave = join_leave && shared.engine.capabilities().join_leave;
        if !presence && !join_leave {
            return Ok(None);
        }
        let membership = Self {
            shared: shared.clone(),
            key: conn.key,
            client: conn.client,
            channel: channel.clone(),
            info: Arc::new(info),
            presence,
            join_leave,
            joined: false,
        };
        if presence {
            let (answer, answered) = oneshot::channel();
            membership.push(What::Add(Some(answer)));
            answered.await.unwrap_or_else(|_| Err(BrokerError::unavailable("the node stops")))?;
        }
        Ok(Some(membership))
    }

    fn push(&self, what: What) {
        let told = Told { channel: self.channel.clone(), client: self.client, info: self.info.clone(), what };
        self.shared.members.push(self.key, told);
    }

    /// Tells those who listen that the connection is there.
    fn join(&mut self) {
        if self.join_leave && !self.joined {
            self.joined = true;
            self.push(What::Join);
        }
    }

    /// Says once more that the connection is in the channel.
    fn renew(&self) {
        if self.presence && !self.shared.members.is_behind(self.key) {
            self.push(What::Add(None));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.presence {
            self.push(What::Remove);
        }
        if self.joined {
            self.push(What::Leave);
        }
    }
}

/// The memberships of one connection. Most connections have none, and nothing is allocated for them.
#[derive(Default)]
pub(crate) struct Memberships(Option<Box<Kept>>);

struct Kept {
    all: Vec<Membership>,
    /// When they are renewed.
    due: Instant,
}

impl Memberships {
    /// Takes a membership over and tells of it, for the first reply is queued.
    pub(crate) fn add(&mut self, mut membership: Membership) {
        membership.join();
        let shared = membership.shared.clone();
        let kept = self.0.get_or_insert_with(|| {
            let due = shared.clock.now().instant + shared.config.presence_update_interval;
            Box::new(Kept { all: Vec::with_capacity(1), due })
        });
        kept.all.push(membership);
    }

    /// Ends the membership in a channel.
    pub(crate) fn end(&mut self, channel: &str) {
        let Some(kept) = &mut self.0 else { return };
        kept.all.retain(|membership| *membership.channel != *channel);
        if kept.all.is_empty() {
            self.0 = None;
        }
    }

    /// Ends all.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// When [`renew`](Self::renew) is next needed.
    pub(crate) fn due(&self) -> Instant {
        self.0.as_ref().map_or(Instant::MAX, |kept| kept.due)
    }

    /// Renews the entries if it is time.
    pub(crate) fn renew(&mut self, now: Instant) {
        let Some(kept) = &mut self.0 else { return };
        if now < kept.due {
            return;
        }
        kept.all.iter().for_each(Membership::renew);
        if let Some(first) = kept.all.first() {
            kept.due = now + first.shared.config.presence_update_interval;
        }
    }

    /// What is told of the connection in one channel changed; the entry follows as it is renewed.
    pub(crate) fn change_channel_info(&mut self, channel: &str, info: &Payload) {
        for membership in self.0.iter_mut().flat_map(|kept| &mut kept.all) {
            if *membership.channel == *channel {
                // Kept for as long as the subscription lasts.
                Arc::make_mut(&mut membership.info).channel = info.detached();
            }
        }
    }

    /// What is told of the connection to others changed; entries follow as they are renewed.
    pub(crate) fn change_info(&mut self, connection: &Payload) {
        for membership in self.0.iter_mut().flat_map(|kept| &mut kept.all) {
            Arc::make_mut(&mut membership.info).connection = connection.clone();
        }
    }
}
