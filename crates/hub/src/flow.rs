//! Channels whose publications are collected before they are delivered, or of which slow connections may miss some.
//! Most channels are neither, and pay nothing for it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tourbillon_hooks::{Batching, ChannelOptions, OverflowPolicy};
use tourbillon_transport::Message;
use tourbillon_types::{Instant, Publication};

use crate::subscriber::{Loose, Subscriber};

/// A batch that holds more than this is delivered.
const MAX_BYTES: usize = 256 * 1024;

/// What a publication takes beside its payload, roughly.
const OVERHEAD: usize = 128;

/// How a channel's publications flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowRules {
    batching: Option<Batching>,
    overflow: OverflowPolicy,
}

impl From<ChannelOptions> for FlowRules {
    fn from(options: ChannelOptions) -> Self {
        Self { batching: options.batching, overflow: options.overflow }
    }
}

impl FlowRules {
    /// Whether everything is delivered at once, to everybody.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What is kept of a channel that is not plain.
#[derive(Debug)]
pub(crate) struct Flow {
    rules: FlowRules,
    /// Names the channel's messages in queues.
    lane: u32,
    held: Held,
    /// When what is held has to be delivered.
    due: Instant,
    /// Whether the channel is to be looked at when it is time.
    pub(crate) awaited: bool,
}

/// A batch.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// In order. Of a batch whose newest publication counts, just that.
    publications: Vec<Arc<Publication>>,
    /// The offset of the first publication, kept or not.
    first: u64,
    /// How many there were.
    count: usize,
    bytes: usize,
}

impl Held {
    /// One publication, which does not wait.
    pub(crate) fn one(publication: &Arc<Publication>) -> Self {
        Self { first: publication.offset, publications: vec![publication.clone()], count: 1, bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.publications.is_empty()
    }

    /// What is delivered, each with the offsets that it stands for.
    pub(crate) fn publications(&self) -> impl Iterator<Item = (&Arc<Publication>, RangeInclusive<u64>)> {
        let stands_for_others = self.count > self.publications.len();
        self.publications.iter().map(move |publication| {
            let first = if stands_for_others { self.first } else { publication.offset };
            (publication, first..=publication.offset)
        })
    }

    /// Whether a publication follows the last one directly, or both are outside a stream.
    fn is_followed_by(&self, publication: &Publication) -> bool {
        self.publications.last().is_none_or(|last| match last.offset {
            0 => publication.offset == 0,
            offset => offset.checked_add(1) == Some(publication.offset) && last.epoch == publication.epoch,
        })
    }

    fn push(&mut self, publication: &Arc<Publication>, latest: bool) {
        if self.count == 0 {
            self.first = publication.offset;
        }
        if latest {
            self.publications.clear();
            self.bytes = 0;
        }
        self.count += 1;
        self.bytes += publication.data.len() + OVERHEAD;
        self.publications.push(publication.clone());
    }
}

impl Flow {
    pub(crate) fn new(rules: FlowRules, lane: u32) -> Self {
        Self { rules, lane, held: Held::default(), due: Instant::MAX, awaited: false }
    }

    pub(crate) fn rules(&self) -> FlowRules {
        self.rules
    }

    /// Changes the rules. What is held was delivered before.
    pub(crate) fn set_rules(&mut self, rules: FlowRules) {
        self.rules = rules;
    }

    pub(crate) fn is_batching(&self) -> bool {
        self.rules.batching.is_some()
    }

    /// Whether a publication cannot be held with what is held already.
    pub(crate) fn ends_before(&self, publication: &Publication) -> bool {
        self.rules.batching.is_some_and(|batching| batching.flush_latest)
            && !self.held.is_followed_by(publication)
    }

    /// Holds a publication back. `true`: the batch is complete.
    pub(crate) fn hold(&mut self, publication: &Arc<Publication>, now: impl Fn() -> Instant) -> bool {
        let Some(batching) = self.rules.batching else { return true };
        if self.held.is_empty() {
            self.due = batching.max_delay.map_or(Instant::MAX, |delay| now() + delay);
        }
        self.held.push(publication, batching.flush_latest);
        batching.max_size.is_some_and(|size| self.held.count >= size.get()) || self.held.bytes > MAX_BYTES
    }

    pub(crate) fn take(&mut self) -> Held {
        std::mem::take(&mut self.held)
    }

    /// When what is held has to be delivered; `None` if nothing is, or if it may be held for ever.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.held.is_empty() && self.due != Instant::MAX).then_some(self.due)
    }

    /// How messages go to subscribers without a position.
    pub(crate) fn sender(&self) -> Sender {
        let how = match self.rules.overflow {
            OverflowPolicy::Disconnect => None,
            OverflowPolicy::DropOldest => Some(Loose::Oldest),
            OverflowPolicy::KeepLatest => Some(Loose::Latest),
        };
        Sender { how, lane: self.lane }
    }
}

/// How a channel's messages go into queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    /// `None`: like any message.
    how: Option<Loose>,
    lane: u32,
}

impl Sender {
    /// Whether messages may go in runs.
    pub(crate) fn is_strict(self) -> bool {
        self.how.is_none()
    }

    /// Queues a message for a subscriber without a position.
    pub(crate) fn send(self, conn: &Arc<impl Subscriber>, message: Message) {
        match self.how {
            None => conn.send(message),
            // Without a position nothing has to end.
            Some(how) => {
                let _ = conn.send_in(message, self.lane, how);
            }
        }
    }

    /// Queues a message for a subscriber with a position. `false`: it cannot be delivered, and the subscription has to
    /// end.
    pub(crate) fn send_next(self, conn: &Arc<impl Subscriber>, message: Message) -> bool {
        match self.how {
            None => {
                conn.send(message);
                true
            }
            Some(_) => conn.send_in(message, self.lane, Loose::Position),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use tourbillon_types::{Epoch, Payload};

    use super::*;

    fn publication(offset: u64, epoch: &str) -> Arc<Publication> {
        Arc::new(Publication {
            offset,
            epoch: Epoch::from(epoch),
            data: Payload::from("{}"),
            ..Publication::default()
        })
    }

    fn flow(max_size: usize, max_delay: Option<Duration>, flush_latest: bool) -> Flow {
        let batching = Some(Batching { max_size: NonZeroUsize::new(max_size), max_delay, flush_latest });
        Flow::new(FlowRules { batching, ..FlowRules::default() }, 1)
    }

    fn spans(held: &Held) -> Vec<RangeInclusive<u64>> {
        held.publications().map(|(_, offsets)| offsets).collect()
    }

    #[test]
    fn a_batch_is_complete_by_size() {
        let mut flow = flow(3, None, false);
        let now = || Instant::from_nanos(5);
        assert!(!flow.hold(&publication(1, "a"), now) && !flow.hold(&publication(2, "a"), now));
        assert_eq!(flow.due(), None, "it may wait for ever");
        assert!(flow.hold(&publication(3, "a"), now));
        assert_eq!(spans(&flow.take()), [1..=1, 2..=2, 3..=3]);
        assert!(flow.take().is_empty());
    }

    #[test]
    fn a_batch_is_due_by_its_first_publication() {
        let mut flow = flow(0, Some(Duration::from_nanos(10)), false);
        assert_eq!(flow.due(), None);
        for at in 5..9 {
            assert!(!flow.hold(&publication(0, ""), || Instant::from_nanos(at)));
            assert_eq!(flow.due(), Some(Instant::from_nanos(15)));
        }
        assert_eq!(flow.take().publications.len(), 4);
        assert_eq!(flow.due(), None);
    }

    #[test]
    fn the_newest_stands_for_those_before_it() {
        let mut flow = flow(0, Some(Duration::from_secs(1)), true);
        let now = || Instant::from_nanos(5);
        for offset in 4..=9 {
            assert!(!flow.ends_before(&publication(offset, "a")));
            assert!(!flow.hold(&publication(offset, "a"), now));
        }
        assert!(!flow.ends_before(&publication(10, "a")));
        for other in [publication(12, "a"), publication(9, "a"), publication(10, "b"), publication(0, "")] {
            assert!(flow.ends_before(&other), "{other:?}");
        }
        let held = flow.take();
        assert_eq!((spans(&held), held.count), (vec![4..=9], 6));
        assert!(!flow.ends_before(&publication(77, "b")), "nothing is held");
        for _ in 0..2 {
            assert!(!flow.ends_before(&publication(0, "")));
            assert!(!flow.hold(&publication(0, ""), now));
        }
        assert_eq!(spans(&flow.take()), [0..=0]);
    }

    #[test]
    fn a_batch_is_bounded_in_bytes() {
        let large = Arc::new(Publication { data: Payload::from(vec![0; 1000]), ..Publication::default() });
        let mut collected = flow(0, None, false);
        let held = (1..).find(|_| collected.hold(&large, || Instant::MAX)).expect("it ends");
        assert_eq!(held, MAX_BYTES / (1000 + OVERHEAD) + 1);
        let mut newest = flow(0, None, true);
        assert!((0..10_000).all(|_| !newest.hold(&large, || Instant::MAX)), "only one is kept");
    }
}
