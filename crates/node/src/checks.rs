//! Comparing positions with the broker's now and then, for what no publication reveals (REC-09, HID-32).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tourbillon_broker::{BrokerError, Engine, HistoryQuery, SharedHistory, SharedMapStore};
use tourbillon_recovery::{Judgement, Lost, PositionCheck};
use tourbillon_types::{Channel, Instant, MapPolicy, StreamPosition};

use crate::hooks::ChannelOptions;
use crate::queries;
use crate::shared::Shared;
use tourbillon_metrics::Action;

/// How often it is looked for what is due, and how soon after it was found behind a channel is looked at again.
const PERIOD: Duration = Duration::from_secs(1);

/// How many channels the broker is asked about at once.
const AT_ONCE: usize = 64;

/// Channels whose positions want to be checked from now on.
#[derive(Debug)]
pub(crate) struct Checks {
    added: Mutex<Vec<Channel>>,
    /// Whether anything is ever checked.
    needed: bool,
}

impl Checks {
    /// For an engine: what never loses anything needs no checks (MAP-37).
    pub(crate) fn of(engine: &Engine) -> Self {
        let streams = engine.history().is_some() && !engine.capabilities().reliable;
        let needed = streams || engine.maps().is_some_and(|maps| !maps.is_reliable());
        Self { added: Mutex::default(), needed }
    }

    /// A channel has positions, and had none before.
    pub(crate) fn add(&self, channel: Channel) {
        if self.needed {
            self.added.lock().push(channel);
        }
    }

    fn take(&self) -> Vec<Channel> {
        std::mem::take(&mut *self.added.lock())
    }
}

/// Where a channel's positions are of.
enum Streams<'a> {
    Broker(&'a SharedHistory, Duration),
    Maps(&'a SharedMapStore, MapPolicy),
}

impl<'a> Streams<'a> {
    /// `None` if the positions need no checks.
    fn of(shared: &'a Shared, channel: &Channel) -> Option<Self> {
        let rules = shared.hooks.channel_options(channel).ok();
        if let Some(rules) = rules.filter(|rules| rules.kind.is_map()) {
            let (maps, rules) = shared.map_of(&rules).ok().filter(|(maps, _)| !maps.is_reliable())?;
            return Some(Self::Maps(maps, rules.policy));
        }
        let streams = shared.engine.history().filter(|_| !shared.engine.capabilities().reliable)?;
        let meta_ttl = rules.map_or(ChannelOptions::HISTORY_META_TTL, |rules| rules.history_meta_ttl);
        Some(Self::Broker(streams, meta_ttl))
    }

    async fn position(&self, shared: &Shared, channel: &Channel) -> Result<StreamPosition, BrokerError> {
        match self {
            Self::Broker(streams, meta_ttl) => {
                shared.metrics.act(Action::HistoryStreamTop);
                queries::call(shared, "position", streams.position(channel, *meta_ttl)).await
            }
            Self::Maps(maps, policy) => {
                shared.metrics.act(Action::MapStreamPosition);
                let query = HistoryQuery::position();
                let page = queries::call(shared, "position", maps.stream(channel, &query, policy)).await?;
                Ok(page.position)
            }
        }
    }
}

/// The channels that are checked, by the time at which they are next.
#[derive(Default)]
struct Schedule {
    channels: HashSet<Channel>,
    due: BTreeMap<(Instant, u64), (Channel, PositionCheck)>,
    last: u64,
}

impl Schedule {
    fn add(&mut self, channel: Channel, due: Instant) {
        if self.channels.insert(channel.clone()) {
            self.put(due, channel, PositionCheck::default());
        }
    }

    fn put(&mut self, due: Instant, channel: Channel, check: PositionCheck) {
        self.last += 1;
        self.due.insert((due, self.last), (channel, check));
    }

    fn take_due(&mut self, now: Instant) -> Vec<(Channel, PositionCheck)> {
        let later = self.due.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.due, later).into_values().collect()
    }
}

/// Checks for ever, unless there is nothing to check.
pub(crate) async fn run(shared: &Shared) {
    if !shared.checks.needed {
        return;
    }
    let delay = shared.config.channel_position_check_delay;
    let mut schedule = Schedule::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = shared.clock.now().instant;
        for channel in shared.checks.take() {
            schedule.add(channel, now + delay);
        }
        let due = schedule.take_due(now);
        let checks = due.into_iter().map(|(channel, check)| async move {
            let next = check_one(shared, &channel, check).await;
            (channel, next)
        });
        let mut checks = stream::iter(checks).buffer_unordered(AT_ONCE);
        while let Some((channel, next)) = checks.next().await {
            match next {
                Some((due, check)) => schedule.put(due, channel, check),
                None => {
                    schedule.channels.remove(&channel);
                }
            }
        }
    }
}

/// Checks a channel once, and says when it is next. `None`: no position is left in it.
async fn check_one(
    shared: &Shared,
    channel: &Channel,
    mut check: PositionCheck,
) -> Option<(Instant, PositionCheck)> {
    let delay = shared.config.channel_position_check_delay;
    check.ask(&shared.hub.lowest(channel)?);
    let top = Streams::of(shared, channel)?.position(shared, channel).await;
    let now = shared.clock.now().instant;
    // A broker that cannot say proves nothing.
    let Ok(top) = top else { return Some((now + delay, check)) };
    let position = shared.hub.lowest(channel)?;
    let next = match check.judge(now, delay, &position, &top) {
        Judgement::Valid => now + delay,
        Judgement::Behind => now + PERIOD,
        Judgement::Lost(lost) => {
            tracing::debug!(%channel, %lost, "positions are lost");
            shared.hub.lose(channel, |position| has_lost(position, lost, &top));
            check = PositionCheck::default();
            now + delay
        }
    };
    Some((next, check))
}

/// Whether a subscriber at this position has lost what the lowest one has.
fn has_lost(position: &StreamPosition, lost: Lost, top: &StreamPosition) -> bool {
    match lost {
        Lost::Gap { after } => position.offset <= after,
        Lost::Epoch => position.epoch != top.epoch,
        _ => true,
    }
}
