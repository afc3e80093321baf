//! Comparing positions with the broker's now and then, for what no publication reveals (REC-09, HID-32).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tourbillon_broker::SharedHistory;
use tourbillon_recovery::{Judgement, Lost, PositionCheck};
use tourbillon_types::{Channel, Instant, StreamPosition};

use crate::hooks::ChannelOptions;
use crate::queries;
use crate::shared::Shared;
use tourbillon_metrics::Action;

/// How often it is looked for what is due, and how soon after it was found behind a channel is looked at again.
const PERIOD: Duration = Duration::from_secs(1);

/// How many channels the broker is asked about at once.
const AT_ONCE: usize = 64;

/// Channels whose positions want to be checked from now on.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<Vec<Channel>>);

impl Checks {
    /// A channel has positions, and had none before.
    pub(crate) fn add(&self, channel: Channel) {
        self.0.lock().push(channel);
    }

    fn take(&self) -> Vec<Channel> {
        std::mem::take(&mut *self.0.lock())
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
    let reliable = shared.engine.capabilities().reliable;
    let Some(streams) = shared.engine.history().filter(|_| !reliable) else { return };
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
            let next = check_one(shared, streams, &channel, check).await;
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
    streams: &SharedHistory,
    channel: &Channel,
    mut check: PositionCheck,
) -> Option<(Instant, PositionCheck)> {
    let delay = shared.config.channel_position_check_delay;
    check.ask(&shared.hub.lowest(channel)?);
    let options = shared.hooks.channel_options(channel).ok();
    let meta_ttl = options.map_or(ChannelOptions::HISTORY_META_TTL, |options| options.history_meta_ttl);
    shared.metrics.act(Action::HistoryStreamTop);
    let top = queries::call(shared, "position", streams.position(channel, meta_ttl)).await;
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
