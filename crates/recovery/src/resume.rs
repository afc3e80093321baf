//! Catching up at subscribe: which history is read, and what comes of it.

use std::sync::Arc;

use tourbillon_types::{Disconnect, HistoryQuery, Page, Publication, ReplyError, StreamPosition};

use crate::gate::Gate;
use crate::position::Lost;

/// The bit of a subscribe's `flag` by which a client asks to be refused rather than subscribed unrecovered (HID-26,
/// REC-06).
pub const REJECT_UNRECOVERED: i64 = 2;

/// How a channel recovers (`force_recovery_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecoveryMode {
    /// Everything that was missed, or the word that it cannot be had (REC-03).
    #[default]
    Stream,
    /// The latest publication only (REC-04).
    Cache,
}

/// What a channel's rules grant a subscription. `Default` grants nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// It has a position (REC-01).
    pub positioned: bool,
    /// It recovers; then it has a position, too (REC-02).
    pub recoverable: bool,
    /// How it recovers.
    pub mode: RecoveryMode,
    /// Whether the latest publication is given without being asked for (`auto_cache_recover`, REC-05). Means nothing
    /// when the mode is not [`RecoveryMode::Cache`].
    pub auto_cache_recover: bool,
}

impl Terms {
    /// Whether the subscription has a position.
    #[must_use]
    pub const fn has_position(&self) -> bool {
        self.positioned || self.recoverable
    }
}

/// What a subscriber asks for. `Default` asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// It wants what it missed.
    pub recover: bool,
    /// Where it stopped. An unknown epoch is any (HID-28).
    pub position: StreamPosition,
    /// It is to be refused with 112 rather than subscribed unrecovered. As in Centrifugo this is about streams: a
    /// cache that has nothing to give is no loss.
    pub reject_unrecovered: bool,
    /// It takes deltas, so in cache mode it needs every publication that arrived meanwhile, not just the last.
    pub delta: bool,
    /// It has a filter, so in cache mode the latest publication may be hidden from it.
    pub filtered: bool,
}

impl Ask {
    /// Asks for what was missed since this position, where the subscriber stood at last. Whatever else it asks for is
    /// older: a browser that connects anew repeats its first request.
    pub fn resume_at(&mut self, position: StreamPosition) {
        self.recover = true;
        self.position = position;
    }
}

/// What has to be done for a subscription that has a position.
///
/// 1. Put a [`Gate`] into the channel, buffering.
/// 2. Ask the broker [`query`](Self::query).
/// 3. [`finish`](Self::finish) with the answer. From here on the reply can be made.
/// 4. Queue the reply, and [`Gate::open`] with [`Resumed::live`] in the same step with regard to the channel's
///    publications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    ask: Ask,
    aim: Aim,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// To know where the stream stands.
    Position,
    Stream,
    Cache,
}

/// Where a subscription begins, and what its reply says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// What the reply says: when recovered the offset that was asked about, else the stream's (HID-27), with the
    /// stream's epoch.
    pub position: StreamPosition,
    /// Where the subscriber stands once it has the reply.
    pub live: StreamPosition,
    /// Whether it has everything (in cache mode: the latest).
    pub recovered: bool,
    /// Whether recovery was tried (HID-28). A client that asked where nothing can be recovered is told so as well;
    /// that is the caller's to add.
    pub was_recovering: bool,
    /// What it missed; none unless recovered.
    pub publications: Vec<Arc<Publication>>,
}

/// Why a subscription does not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The client asked to be refused rather than subscribed unrecovered: [112](Self::reply).
    #[error("the position cannot be recovered")]
    Unrecoverable,
    /// Publications are missing between the history and what arrived meanwhile: [3010](Self::disconnect) (REC-07).
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl ResumeError {
    /// The error of the reply, if the subscribe is answered by one.
    #[must_use]
    pub const fn reply(&self) -> Option<ReplyError> {
        match self {
            Self::Unrecoverable => Some(ReplyError::UNRECOVERABLE_POSITION),
            Self::Lost(_) => None,
        }
    }

    /// The end of the connection, if it ends.
    #[must_use]
    pub const fn disconnect(&self) -> Option<Disconnect> {
        match self {
            Self::Unrecoverable => None,
            Self::Lost(_) => Some(Disconnect::INSUFFICIENT_STATE),
        }
    }
}

impl Plan {
    /// The plan for a subscription; `None` when it has no position and no history needs to be read.
    ///
    /// `limit` is the most publications that are recovered (`client.recovery_max_publication_limit`, HID-29).
    #[must_use]
    pub fn new(terms: &Terms, ask: Ask, limit: usize) -> Option<Self> {
        if !terms.has_position() {
            return None;
        }
        let cache = terms.mode == RecoveryMode::Cache;
        let wanted = ask.recover || (cache && terms.auto_cache_recover);
        let aim = match (terms.recoverable && wanted, cache) {
            (false, _) => Aim::Position,
            (true, false) => Aim::Stream,
            (true, true) => Aim::Cache,
        };
        Some(Self { ask, aim, limit })
    }

    /// What the broker is to be asked, once the gate is in place.
    #[must_use]
    pub fn query(&self) -> HistoryQuery {
        match self.aim {
            Aim::Position => HistoryQuery::position(),
            Aim::Stream => HistoryQuery::since(self.ask.position.clone()).limited(self.limit),
            // With a filter the newest publication that it shows may be further back (HID-30).
            Aim::Cache if self.ask.filtered => HistoryQuery::latest(self.limit.max(1)),
            Aim::Cache => HistoryQuery::latest(1),
        }
    }

    /// Whether a cache is wanted and holds nothing (REC-13): whoever can fill it may do so, and the broker is asked again.
    #[must_use]
    pub fn finds_cache_empty(&self, page: &Page) -> bool {
        self.aim == Aim::Cache && page.publications.is_empty()
    }

    /// Makes a beginning of the broker's answer and of what collected behind the gate. `hidden` says what a filter
    /// hides; those are left out and count as received (TF-03).
    ///
    /// What continues the recovered publications is taken from the gate into the reply. Where nothing was recovered,
    /// and so the reply may have no publications, it stays behind the gate and follows the reply.
    ///
    /// # Errors
    ///
    /// The subscription does not come about, and the gate is to be removed.
    pub fn finish(
        self,
        page: Page,
        gate: &mut Gate,
        hidden: impl Fn(&Publication) -> bool,
    ) -> Result<Resumed, ResumeError> {
        let top = page.position.clone();
        let caught_up = match self.aim {
            Aim::Position => None,
            Aim::Stream => self.stream(page, &hidden),
            Aim::Cache => self.cache(page, &hidden),
        };
        let was_recovering = self.aim != Aim::Position;
        let Some(mut publications) = caught_up else {
            if self.aim == Aim::Stream && self.ask.reject_unrecovered {
                return Err(ResumeError::Unrecoverable);
            }
            let live = top.clone();
            return Ok(Resumed { position: top, live, was_recovering, ..Resumed::default() });
        };
        let mut live = top;
        gate.take_following(&mut live, |publication| publications.push(publication))?;
        if self.aim == Aim::Cache && !self.ask.delta && publications.len() > 1 {
            publications.drain(..publications.len() - 1);
        }
        // Of another epoch the client may have been further than this stream is.
        let before = publications.first().map_or(live.offset, |first| first.offset.saturating_sub(1));
        let offset = self.ask.position.offset.min(before);
        let position = StreamPosition { offset, epoch: live.epoch.clone() };
        Ok(Resumed { position, live, recovered: true, was_recovering, publications })
    }

    /// All that was missed; `None` if it is not all there (REC-03). Every single offset counts.
    fn stream(&self, page: Page, hidden: impl Fn(&Publication) -> bool) -> Option<Vec<Arc<Publication>>> {
        let since = &self.ask.position;
        if !since.epoch.is_unknown() && since.epoch != page.position.epoch {
            return None;
        }
        let mut last = since.offset;
        for publication in &page.publications {
            if publication.offset != last.checked_add(1)? {
                return None;
            }
            last = publication.offset;
        }
        let shown = |publication: &Arc<Publication>| !hidden(publication);
        (last == page.position.offset).then(|| page.publications.into_iter().filter(shown).collect())
    }

    /// The latest, unless the client has it; `None` if it is gone (REC-04, HID-30).
    fn cache(&self, page: Page, hidden: impl Fn(&Publication) -> bool) -> Option<Vec<Arc<Publication>>> {
        let same = self.ask.position.offset > 0 && self.ask.position == page.position;
        if same {
            return Some(Vec::new());
        }
        let latest = page.publications.first()?;
        if latest.offset != page.position.offset {
            return None;
        }
        let shown = page.publications.into_iter().find(|publication| !hidden(publication));
        shown.map(|publication| vec![publication])
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_types::Epoch;

    use super::*;

    const LIMIT: usize = 300;

    fn at(offset: u64) -> StreamPosition {
        StreamPosition { offset, epoch: Epoch::from("a") }
    }

    fn publication(offset: u64) -> Arc<Publication> {
        Arc::new(Publication { offset, epoch: Epoch::from("a"), ..Publication::default() })
    }

    fn page(offsets: &[u64], top: u64) -> Page {
        Page { publications: offsets.iter().copied().map(publication).collect(), position: at(top) }
    }

    fn stream() -> Terms {
        Terms { positioned: true, recoverable: true, ..Terms::default() }
    }

    fn cache() -> Terms {
        Terms { mode: RecoveryMode::Cache, ..stream() }
    }

    fn recover(position: StreamPosition) -> Ask {
        Ask { recover: true, position, ..Ask::default() }
    }

    /// Finishes with an answer and a gate that holds these offsets.
    fn finish(terms: Terms, ask: Ask, page: Page, held: &[u64]) -> Result<Resumed, ResumeError> {
        finish_hiding(terms, ask, page, held, &[])
    }

    fn finish_hiding(
        terms: Terms,
        ask: Ask,
        page: Page,
        held: &[u64],
        hidden: &[u64],
    ) -> Result<Resumed, ResumeError> {
        let mut gate = Gate::buffering(100);
        for offset in held {
            let _ = gate.offer(&publication(*offset), hidden.contains(offset));
        }
        let plan = Plan::new(&terms, ask, LIMIT).expect("a position");
        plan.finish(page, &mut gate, |publication| hidden.contains(&publication.offset))
    }

    fn offsets(resumed: &Resumed) -> Vec<u64> {
        resumed.publications.iter().map(|publication| publication.offset).collect()
    }

    #[test]
    fn who_comes_back_goes_on_from_where_it_stood_at_last() {
        let of_epoch = |offset, epoch: &str| StreamPosition { offset, epoch: Epoch::from(epoch) };
        let asks_not = |position| Ask { position, ..Ask::default() };
        for (asks, stood, goes_on) in [
            (Ask::default(), at(3), at(3)),
            (Ask::default(), at(0), at(0)),
            (asks_not(at(5)), at(3), at(3)),
            (recover(at(2)), at(3), at(3)),
            (recover(at(4)), at(3), at(3)),
            (recover(of_epoch(2, "")), at(3), at(3)),
            (recover(of_epoch(4, "")), at(3), at(3)),
            (recover(of_epoch(4, "b")), at(3), at(3)),
        ] {
            let mut ask = Ask { delta: true, ..asks };
            ask.resume_at(stood);
            assert_eq!(ask, Ask { delta: true, ..recover(goes_on) });
        }
    }

    #[test]
    fn nobody_is_told_to_be_further_than_the_stream_is() {
        let old = StreamPosition { offset: 500, epoch: Epoch::from("old") };
        let resumed = finish(cache(), recover(old), page(&[3], 3), &[]).expect("a subscription");
        assert_eq!((resumed.recovered, offsets(&resumed), resumed.position), (true, vec![3], at(2)));
    }

    #[test]
    fn without_a_position_nothing_is_read() {
        assert_eq!(Plan::new(&Terms::default(), recover(at(1)), LIMIT), None);
        let auto = Terms { mode: RecoveryMode::Cache, auto_cache_recover: true, ..Terms::default() };
        assert_eq!(Plan::new(&auto, Ask::default(), LIMIT), None);
    }

    #[test]
    fn the_query_follows_the_terms() {
        let query = |terms: Terms, ask: Ask| Plan::new(&terms, ask, LIMIT).map(|plan| plan.query());
        let positioned = Terms { positioned: true, ..Terms::default() };
        assert_eq!(query(positioned, recover(at(4))), Some(HistoryQuery::position()));
        assert_eq!(query(stream(), Ask::default()), Some(HistoryQuery::position()));
        let since = HistoryQuery::since(at(4)).limited(LIMIT);
        assert_eq!(query(stream(), recover(at(4))), Some(since));
        assert_eq!(query(cache(), Ask::default()), Some(HistoryQuery::position()));
        assert_eq!(query(cache(), recover(at(4))), Some(HistoryQuery::latest(1)));
        let filtered = Ask { filtered: true, ..recover(at(4)) };
        assert_eq!(query(cache(), filtered), Some(HistoryQuery::latest(LIMIT)));
        let auto = Terms { auto_cache_recover: true, ..cache() };
        assert_eq!(query(auto, Ask::default()), Some(HistoryQuery::latest(1)));
        let auto = Terms { auto_cache_recover: true, ..stream() };
        assert_eq!(query(auto, Ask::default()), Some(HistoryQuery::position()), "streams know no such thing");
    }

    #[test]
    fn recovered_tells_the_offset_asked_about_and_unrecovered_the_top() {
        for (ask, answer, recovered, position, missed) in [
            (at(3), page(&[4, 5], 5), true, 3, vec![4, 5]),
            (at(5), page(&[], 5), true, 5, vec![]),
            (at(0), page(&[1, 2], 2), true, 0, vec![1, 2]),
            // The beginning is gone.
            (at(2), page(&[4, 5], 5), false, 5, vec![]),
            // The end is cut off by the limit.
            (at(3), page(&[4], 5), false, 5, vec![]),
            // There is a hole.
            (at(3), page(&[4, 6], 6), false, 6, vec![]),
            // All of it is gone.
            (at(3), page(&[], 5), false, 5, vec![]),
            // It was never there.
            (at(9), page(&[], 5), false, 5, vec![]),
        ] {
            let resumed = finish(stream(), recover(ask.clone()), answer, &[]).expect("a subscription");
            assert_eq!(resumed.recovered, recovered, "{ask:?}");
            assert_eq!(resumed.position.offset, position, "{ask:?}");
            assert_eq!(resumed.position.epoch, Epoch::from("a"));
            assert_eq!(offsets(&resumed), missed, "{ask:?}");
            assert!(resumed.was_recovering);
        }
    }

    #[test]
    fn too_much_to_recover_is_unrecovered() {
        let plan = Plan::new(&stream(), recover(at(0)), 2).expect("a plan");
        assert_eq!(plan.query().limit, Some(2));
        let resumed = plan.finish(page(&[1, 2], 3), &mut Gate::buffering(1), |_| false).expect("subscribed");
        assert!(!resumed.recovered && resumed.publications.is_empty());
        assert_eq!((resumed.position, resumed.live), (at(3), at(3)));
    }

    #[test]
    fn epochs_are_compared_unless_the_client_has_none() {
        let other = StreamPosition { offset: 3, epoch: Epoch::from("b") };
        let resumed = finish(stream(), recover(other), page(&[], 3), &[]).expect("a subscription");
        assert!(!resumed.recovered && resumed.was_recovering);
        let none = StreamPosition { offset: 3, epoch: Epoch::UNKNOWN };
        let resumed = finish(stream(), recover(none), page(&[4], 4), &[]).expect("a subscription");
        assert!(resumed.recovered);
        assert_eq!(resumed.position, at(3), "with the stream's epoch");
    }

    #[test]
    fn whoever_asks_for_it_is_refused_rather_than_subscribed_unrecovered() {
        let strict = |position| Ask { reject_unrecovered: true, ..recover(position) };
        let refused = finish(stream(), strict(at(2)), page(&[4], 4), &[]);
        assert_eq!(refused, Err(ResumeError::Unrecoverable));
        assert_eq!(ResumeError::Unrecoverable.reply(), Some(ReplyError::UNRECOVERABLE_POSITION));
        assert!(finish(stream(), strict(at(3)), page(&[4], 4), &[]).is_ok());
        assert!(finish(cache(), strict(at(3)), page(&[], 4), &[]).is_ok(), "caches refuse nobody");
        let not_asking = Ask { recover: false, ..strict(at(2)) };
        assert!(finish(stream(), not_asking, page(&[], 4), &[]).is_ok());
    }

    #[test]
    fn what_arrived_meanwhile_continues_what_was_recovered() {
        let resumed = finish(stream(), recover(at(3)), page(&[4, 5], 5), &[5, 7, 6]).expect("a subscription");
        assert_eq!(offsets(&resumed), [4, 5, 6, 7], "each once, in order");
        assert_eq!((resumed.position, resumed.live), (at(3), at(7)));
        // Nothing recovered, so nothing before it shows that 6 is missing; the position does.
        for (answer, held) in [(page(&[4, 5], 5), vec![7]), (page(&[], 3), vec![5])] {
            let after = answer.position.offset;
            let lost = finish(stream(), recover(at(3)), answer, &held);
            assert_eq!(lost, Err(ResumeError::Lost(Lost::Gap { after })));
        }
        assert_eq!(ResumeError::Lost(Lost::Epoch).disconnect(), Some(Disconnect::INSUFFICIENT_STATE));
    }

    #[test]
    fn filters_hide_what_was_recovered_and_move_the_position() {
        let hidden = [4, 6, 7];
        let resumed = finish_hiding(stream(), recover(at(3)), page(&[4, 5], 5), &[6, 7], &hidden);
        let resumed = resumed.expect("a subscription");
        assert!(resumed.recovered);
        assert_eq!(offsets(&resumed), [5]);
        assert_eq!(resumed.live, at(7));
    }

    #[test]
    fn caches_give_the_latest_unless_the_client_has_it() {
        for (ask, answer, recovered, given) in [
            (at(3), page(&[5], 5), true, vec![5]),
            (at(0), page(&[5], 5), true, vec![5]),
            (at(5), page(&[5], 5), true, vec![]),
            // Gone, but the client has it.
            (at(5), page(&[], 5), true, vec![]),
            // Gone.
            (at(3), page(&[], 5), false, vec![]),
            // Never there.
            (at(0), page(&[], 0), false, vec![]),
            // Not the latest.
            (at(3), page(&[4], 5), false, vec![]),
        ] {
            let resumed = finish(cache(), recover(ask.clone()), answer, &[]).expect("a subscription");
            assert_eq!((resumed.recovered, offsets(&resumed)), (recovered, given), "{ask:?}");
            assert_eq!(resumed.position.offset, if recovered { ask.offset } else { resumed.live.offset });
        }
        let other = StreamPosition { offset: 5, epoch: Epoch::from("b") };
        let resumed = finish(cache(), recover(other), page(&[5], 5), &[]).expect("a subscription");
        assert_eq!(offsets(&resumed), [5], "another epoch's 5 is another publication");
    }

    #[test]
    fn a_cache_without_any_publication_is_empty() {
        let empty = |terms: Terms, ask: Ask, page: &Page| {
            Plan::new(&terms, ask, LIMIT).expect("a position").finds_cache_empty(page)
        };
        assert!(
            empty(cache(), recover(at(0)), &page(&[], 0)) && empty(cache(), recover(at(3)), &page(&[], 5))
        );
        assert!(!empty(cache(), recover(at(3)), &page(&[5], 5)));
        assert!(!empty(cache(), Ask::default(), &page(&[], 0)), "nobody asks for what is in it");
        assert!(!empty(stream(), recover(at(0)), &page(&[], 0)), "a stream is no cache");
    }

    #[test]
    fn caches_give_the_last_that_arrived_meanwhile_and_all_for_deltas() {
        let resumed = finish(cache(), recover(at(3)), page(&[5], 5), &[6, 7]).expect("a subscription");
        assert_eq!((offsets(&resumed), resumed.live), (vec![7], at(7)));
        let delta = Ask { delta: true, ..recover(at(3)) };
        let resumed = finish(cache(), delta, page(&[5], 5), &[6, 7]).expect("a subscription");
        assert_eq!(offsets(&resumed), [5, 6, 7]);
    }

    #[test]
    fn caches_give_the_newest_that_the_filter_shows() {
        let ask = Ask { filtered: true, ..recover(at(1)) };
        let resumed = finish_hiding(cache(), ask.clone(), page(&[5, 4, 3], 5), &[], &[5]);
        let resumed = resumed.expect("a subscription");
        assert_eq!((resumed.recovered, offsets(&resumed), resumed.live), (true, vec![4], at(5)));
        let nothing = finish_hiding(cache(), ask, page(&[5, 4], 5), &[], &[5, 4]).expect("a subscription");
        assert!(!nothing.recovered);
    }

    #[test]
    fn caches_recover_without_being_asked_where_the_rules_say_so() {
        let terms = Terms { auto_cache_recover: true, ..cache() };
        let resumed = finish(terms, Ask::default(), page(&[5], 5), &[]).expect("a subscription");
        assert!(resumed.recovered && resumed.was_recovering);
        assert_eq!((&resumed.position, offsets(&resumed)), (&at(0), vec![5]));
    }

    #[test]
    fn an_unrecovered_reply_has_no_publications_and_what_arrived_meanwhile_follows_it() {
        let mut gate = Gate::buffering(10);
        for offset in [5, 6] {
            let _ = gate.offer(&publication(offset), false);
        }
        let plan = Plan::new(&stream(), recover(at(1)), LIMIT).expect("a plan");
        let resumed = plan.finish(page(&[4, 5], 5), &mut gate, |_| false).expect("a subscription");
        assert!(resumed.publications.is_empty());
        let opened = gate.open(Some(resumed.live));
        assert_eq!(opened.publications, [publication(6)]);
    }
}
