//! Keyed channels that the client asks for: it loads the state in pages, catches up with what changed meanwhile, and goes
//! live (MAP-20 to MAP-28).
//!
//! Each page is a command of its own. What a client may have is decided about once, by its first command; the others
//! go on from there. Where the channel has no stream that could be caught up with, the connection is attached before
//! the first page is read, so that nothing that changes meanwhile is lost; where it has one, at the end.

use std::sync::Arc;

use tourbillon_protocol::reply::SubscribeResult;
use tourbillon_protocol::{ReplyResult, command};
use tourbillon_types::{
    Channel, Disconnect, HistoryQuery, Instant, MapPage, MapQuery, Now, Publication, ReplyError,
    StreamPosition, SubscriptionKind, TagFilter, TagMatcher,
};

use crate::calls::{
    Call, Granted, MapAnswer, MapAttach, MapCall, MapChanges, MapGranted, MapShow, MapTerms, Refusal,
};
use crate::io::{Output, Outputs};
use crate::refresh::{Expiry, expiry};
use crate::session::{Purpose, Session};
use crate::subscribe::{CHANNEL_COMPACTION, Established, FOSSIL};
use crate::subscriptions::{State, Subscription};

/// What a keyed subscription's reply says that it is, of whichever of its kinds (HID-38).
const KIND: i32 = SubscriptionKind::Map.number();

/// Whether this is the number of a keyed kind (SUBT-02 to SUBT-04).
pub(crate) fn is_map(kind: i32) -> bool {
    SubscriptionKind::of_number(kind).is_some_and(SubscriptionKind::is_map)
}

/// Phases (MAP-20).
const LIVE: i32 = 0;
const STREAM: i32 = 1;
const STATE: i32 = 2;

/// A keyed subscription that is not live yet.
#[derive(Debug)]
pub(crate) struct Loading {
    granted: Granted,
    terms: MapTerms,
    /// By then it has to be live.
    due: Instant,
    /// The filter as the client asked for it, and as it is evaluated.
    filter: Option<(TagFilter, Arc<TagMatcher>)>,
    /// Where the channel stood when the first page was read.
    begun: Option<StreamPosition>,
    /// Where the stream stood when it was first asked about.
    top: Option<u64>,
    /// Whether the connection is attached already.
    attached: bool,
}

/// A command for a keyed channel.
#[derive(Debug)]
pub(crate) struct MapAsked {
    id: u32,
    channel: Channel,
    phase: i32,
    cursor: String,
    limit: i32,
    ascending: bool,
    /// Where the client stands.
    position: StreamPosition,
    recover: bool,
    delta: bool,
    compact: bool,
    filter: Option<Box<TagFilter>>,
}

impl MapAsked {
    fn new(id: u32, subscribe: &command::Subscribe) -> Self {
        Self {
            id,
            channel: Channel::from(subscribe.channel.as_str()),
            phase: subscribe.phase,
            cursor: subscribe.cursor.clone(),
            limit: subscribe.limit,
            ascending: subscribe.asc,
            position: subscribe.position.clone(),
            recover: subscribe.recover,
            delta: subscribe.delta == FOSSIL,
            compact: subscribe.flag & CHANNEL_COMPACTION != 0,
            filter: subscribe.filter.clone(),
        }
    }

    /// Whether it goes on with what another command began, if there is such a thing.
    fn continues(&self) -> bool {
        !self.cursor.is_empty() || self.phase != STATE
    }
}

/// What the answer to a call for a keyed channel is for.
#[derive(Debug)]
pub(crate) enum Step {
    /// May the client have the channel?
    Grant,
    /// The connection is attached, and the state is read next.
    Hold,
    State,
    /// Where does the stream stand?
    Top,
    Stream,
    /// The connection is attached, and goes live with these entries.
    Live(Beginning),
}

/// With what a subscription goes live, beside what it missed.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// The last page of the state.
    entries: Vec<Arc<Publication>>,
    /// Whether the client had the state already.
    recovering: bool,
}

impl Session {
    pub(crate) fn map_subscribe(
        &mut self,
        now: Now,
        id: u32,
        subscribe: Box<command::Subscribe>,
        out: &mut Outputs,
    ) {
        if subscribe.channel.len() > self.config.channel_max_length
            || !matches!(subscribe.phase, LIVE | STREAM | STATE)
        {
            return Self::refuse(id, ReplyError::BAD_REQUEST, out);
        }
        let asked = MapAsked::new(id, &subscribe);
        let found = self.subscriptions.get(&asked.channel);
        match found.map(|found| (found.state, found.is_loading())) {
            None => self.map_begin(asked, subscribe, out),
            // What took too long ends the connection when the client goes on (HID-41), not when it begins anew.
            Some((State::Late, _)) if asked.continues() => self.close(Disconnect::SLOW, out),
            Some((State::Late, _)) => {
                self.forget_late(&asked.channel);
                self.map_begin(asked, subscribe, out);
            }
            Some((State::Loading, _)) if asked.continues() => self.map_continue(now, asked, out),
            Some((State::Subscribing, true)) if asked.continues() => {
                Self::refuse(id, ReplyError::CONCURRENT_PAGINATION, out);
            }
            Some(_) => Self::refuse(id, ReplyError::ALREADY_SUBSCRIBED, out),
        }
    }

    fn map_begin(&mut self, asked: MapAsked, subscribe: Box<command::Subscribe>, out: &mut Outputs) {
        if !asked.cursor.is_empty() {
            // There is nothing that this could go on with, and so nothing was granted (MAP-22).
            return Self::refuse(asked.id, ReplyError::PERMISSION_DENIED, out);
        }
        if self.subscriptions.len() >= self.config.channel_limit {
            return Self::refuse(asked.id, ReplyError::LIMIT_EXCEEDED, out);
        }
        self.subscriptions.insert(asked.channel.clone(), Subscription::default());
        self.map_call(MapCall::Grant(subscribe), asked, Step::Grant, out);
    }

    fn map_continue(&mut self, now: Now, asked: MapAsked, out: &mut Outputs) {
        let Some(subscription) = self.subscriptions.get_mut(&asked.channel) else { return };
        let Some(loading) = subscription.loading() else { return };
        if asked.filter.as_deref().is_some_and(|filter| !loading.has_filter(filter)) {
            // Its pages would be those of different filters.
            return Self::refuse(asked.id, ReplyError::BAD_REQUEST, out);
        }
        subscription.state = State::Subscribing;
        subscription.rare().due = Instant::MAX;
        self.deadlines.subscriptions = self.subscriptions.next_due();
        self.map_step(now, asked, out);
    }

    fn map_call(&mut self, call: MapCall, asked: MapAsked, step: Step, out: &mut Outputs) {
        self.call(Call::Map(Box::new(call)), Purpose::Map(Box::new((asked, step))), out);
    }

    pub(crate) fn map_answer(
        &mut self,
        now: Now,
        (asked, step): (MapAsked, Step),
        answer: Result<MapAnswer, Refusal>,
        out: &mut Outputs,
    ) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return self.map_fail(asked.id, &asked.channel, refusal, out),
        };
        match (step, answer) {
            (Step::Grant, MapAnswer::Granted(granted)) => self.map_granted(now, asked, *granted, out),
            (Step::Hold, MapAnswer::Attached(granted)) => {
                if let Some(loading) = self.loading(&asked.channel) {
                    loading.attached = true;
                    loading.granted = *granted;
                }
                self.map_step(now, asked, out);
            }
            (Step::State, MapAnswer::State(page)) => self.map_state(now, asked, *page, out),
            (Step::Top, MapAnswer::Stream(changes)) => {
                if let Some(loading) = self.loading(&asked.channel) {
                    loading.top = Some(changes.position.offset);
                }
                self.map_step(now, asked, out);
            }
            (Step::Stream, MapAnswer::Stream(changes)) => self.map_stream(&asked, *changes, out),
            (Step::Live(beginning), MapAnswer::Attached(granted)) => {
                self.map_live(now, &asked, *granted, beginning, out);
            }
            // As with any other call that is answered by what it did not ask for.
            _ => self.close(Disconnect::INTERNAL_SERVER_ERROR, out),
        }
    }

    fn loading(&mut self, channel: &str) -> Option<&mut Loading> {
        self.subscriptions.get_mut(channel)?.loading()
    }

    /// The command is refused, and nothing is left of what was loaded.
    fn map_fail(&mut self, id: u32, channel: &Channel, refusal: Refusal, out: &mut Outputs) {
        let undo = self.forget(channel);
        self.finish(id, Err(refusal), out);
        self.finish_undo(undo, channel, out);
    }

    fn map_granted(&mut self, now: Now, asked: MapAsked, answer: MapGranted, out: &mut Outputs) {
        let MapGranted { granted, terms, filter } = answer;
        if expiry(now, granted.expire_at) == Expiry::Past {
            return self.map_fail(asked.id, &asked.channel, ReplyError::EXPIRED.into(), out);
        }
        let loading = Loading {
            granted,
            due: terms.catch_up.map_or(Instant::MAX, |time| now.instant + time),
            terms,
            filter: asked.filter.as_deref().cloned().zip(filter),
            begun: None,
            top: None,
            attached: false,
        };
        let Some(subscription) = self.subscriptions.get_mut(&asked.channel) else { return };
        subscription.rare().loading = Some(Box::new(loading));
        self.map_step(now, asked, out);
    }

    /// Asks for what a command needs, as far as that is known.
    fn map_step(&mut self, now: Now, asked: MapAsked, out: &mut Outputs) {
        let Some(loading) = self.loading(&asked.channel) else { return };
        let positioned = loading.terms.positioned;
        let refused = match asked.phase {
            STATE => None,
            // There is no stream to catch up with.
            STREAM if !positioned => Some(ReplyError::BAD_REQUEST),
            LIVE if !positioned && asked.recover => Some(ReplyError::UNRECOVERABLE_POSITION),
            // What it would catch up to was not loaded.
            STREAM if loading.begun.is_none() && !asked.recover => Some(ReplyError::PERMISSION_DENIED),
            _ if positioned && loading.is_of_another_epoch(&asked.position) => {
                Some(ReplyError::UNRECOVERABLE_POSITION)
            }
            _ => None,
        };
        if let Some(error) = refused {
            return self.map_fail(asked.id, &asked.channel, error.into(), out);
        }
        let channel = asked.channel.clone();
        match asked.phase {
            STATE if !positioned && !loading.attached => {
                let call = loading.attach(&asked, None, false);
                self.map_call(call, asked, Step::Hold, out);
            }
            STATE => {
                let limit = loading.terms.pages.of(asked.limit);
                let query =
                    MapQuery { ascending: asked.ascending, ..MapQuery::page(asked.cursor.as_str(), limit) };
                let begun = loading.begun.as_ref().filter(|_| positioned && !asked.cursor.is_empty());
                let show = MapShow { up_to: begun.map(|begun| begun.offset), ..loading.show(&asked) };
                self.map_call(MapCall::State { channel, query, show }, asked, Step::State, out);
            }
            STREAM => {
                loading.begun.get_or_insert_with(|| asked.position.clone());
                let limit = loading.terms.pages.of(asked.limit);
                let near = |top: u64| asked.position.offset.saturating_add(limit as u64) >= top;
                let (query, step) = match loading.top {
                    Some(top) if near(top) => {
                        let since = asked.position.clone();
                        return self.map_go_live(now, asked, since, Beginning::recovering(), out);
                    }
                    Some(_) => (HistoryQuery::since(asked.position.clone()).limited(limit), Step::Stream),
                    None => (HistoryQuery::position(), Step::Top),
                };
                let show = loading.show(&asked);
                self.map_call(MapCall::Stream { channel, query, show }, asked, step, out);
            }
            _ => {
                let since = asked.position.clone();
                self.map_go_live(now, asked, since, Beginning::recovering(), out);
            }
        }
    }

    fn map_state(&mut self, now: Now, asked: MapAsked, page: MapPage, out: &mut Outputs) {
        let Some(loading) = self.loading(&asked.channel) else { return };
        let MapPage { entries, position, cursor } = page;
        if asked.cursor.is_empty() {
            loading.begun = Some(position.clone());
        }
        let begun = loading.begun.clone().unwrap_or_default();
        let asked_of_another = !asked.position.epoch.is_unknown() && asked.position.epoch != position.epoch;
        if asked_of_another || begun.epoch != position.epoch {
            // What was loaded before is of a state that is gone.
            return self.map_fail(asked.id, &asked.channel, ReplyError::UNRECOVERABLE_POSITION.into(), out);
        }
        let ahead = position.offset.saturating_sub(begun.offset);
        let near = !loading.terms.positioned || ahead <= loading.terms.pages.of(asked.limit) as u64;
        if cursor.is_empty() && near {
            return self.map_go_live(now, asked, begun, Beginning { entries, recovering: false }, out);
        }
        let result = SubscribeResult {
            kind: KIND,
            phase: STATE,
            cursor,
            position: begun,
            state: entries,
            ..SubscribeResult::default()
        };
        self.map_page(&asked, result, out);
    }

    fn map_stream(&mut self, asked: &MapAsked, changes: MapChanges, out: &mut Outputs) {
        let MapChanges { publications, offsets, position } = changes;
        let next = asked.position.offset.saturating_add(1);
        let same = asked.position.epoch.is_unknown() || asked.position.epoch == position.epoch;
        // A page is asked for only where there is more to come than one: without a beginning it is trimmed.
        let Some((_, last)) = offsets.filter(|(first, _)| same && *first == next) else {
            return self.map_fail(asked.id, &asked.channel, ReplyError::UNRECOVERABLE_POSITION.into(), out);
        };
        let result = SubscribeResult {
            kind: KIND,
            phase: STREAM,
            position: StreamPosition { offset: last, epoch: position.epoch },
            publications,
            ..SubscribeResult::default()
        };
        self.map_page(asked, result, out);
    }

    /// Answers with a page. The client is to ask for the next one.
    fn map_page(&mut self, asked: &MapAsked, result: SubscribeResult, out: &mut Outputs) {
        let Some(subscription) = self.subscriptions.get_mut(&asked.channel) else { return };
        let due = subscription.loading().map_or(Instant::MAX, |loading| loading.due);
        subscription.state = State::Loading;
        let undo = std::mem::take(&mut subscription.rare().undo);
        subscription.rare().due = due;
        self.finish(asked.id, Ok(ReplyResult::Subscribe(Box::new(result))), out);
        if undo.is_empty() {
            self.deadlines.subscriptions = self.subscriptions.next_due();
        } else {
            self.forget(&asked.channel);
            self.finish_undo(undo, &asked.channel, out);
        }
    }

    fn map_go_live(
        &mut self,
        now: Now,
        asked: MapAsked,
        since: StreamPosition,
        beginning: Beginning,
        out: &mut Outputs,
    ) {
        let Some(loading) = self.loading(&asked.channel) else { return };
        if loading.attached {
            let granted = std::mem::take(&mut loading.granted);
            return self.map_live(now, &asked, granted, beginning, out);
        }
        let recovers = beginning.recovering && asked.recover;
        let call = loading.attach(&asked, Some(since), recovers);
        self.map_call(call, asked, Step::Live(beginning), out);
    }

    fn map_live(
        &mut self,
        now: Now,
        asked: &MapAsked,
        granted: Granted,
        Beginning { entries, recovering }: Beginning,
        out: &mut Outputs,
    ) {
        let channel = &asked.channel;
        let Some(subscription) = self.subscriptions.get_mut(channel) else { return };
        let rare = subscription.rare();
        let loading = rare.loading.take();
        if rare.undo.is_empty() {
            subscription.rare = None;
        }
        let Some(Established { result, live }) = self.establish(now, channel, granted) else {
            return self.map_fail(asked.id, channel, ReplyError::EXPIRED.into(), out);
        };
        let begun = loading.and_then(|loading| loading.begun).unwrap_or_default();
        let unpositioned = || StreamPosition { offset: 0, epoch: begun.epoch };
        // How it expires, and what the application has for it, is not told (HID-37).
        let result = SubscribeResult {
            kind: KIND,
            phase: LIVE,
            recoverable: live.is_some(),
            was_recovering: recovering && asked.recover,
            recovered: recovering && asked.recover,
            position: live.clone().unwrap_or_else(unpositioned),
            state: entries,
            publications: result.publications,
            delta: result.delta,
            id: result.id,
            publish_debounce: result.publish_debounce,
            ..SubscribeResult::default()
        };
        self.finish(asked.id, Ok(ReplyResult::Subscribe(Box::new(result))), out);
        out.push(Output::Open { channel: channel.clone(), live });
        self.carry_out_undo(channel, out);
    }
}

impl Beginning {
    const fn recovering() -> Self {
        Self { entries: Vec::new(), recovering: true }
    }
}

impl Loading {
    fn has_filter(&self, filter: &TagFilter) -> bool {
        self.filter.as_ref().is_some_and(|(asked, _)| asked == filter)
    }

    fn is_of_another_epoch(&self, position: &StreamPosition) -> bool {
        let begun = self.begun.as_ref().filter(|begun| !begun.epoch.is_unknown());
        !position.epoch.is_unknown() && begun.is_some_and(|begun| begun.epoch != position.epoch)
    }

    fn matcher(&self) -> Option<Arc<TagMatcher>> {
        self.filter.as_ref().map(|(_, matcher)| matcher.clone())
    }

    fn show(&self, asked: &MapAsked) -> MapShow {
        MapShow {
            up_to: None,
            server: self.granted.server_tags_filter.clone(),
            client: self.matcher(),
            delta: asked.delta && self.granted.delta,
        }
    }

    fn attach(&self, asked: &MapAsked, since: Option<StreamPosition>, recovers: bool) -> MapCall {
        MapCall::Attach(Box::new(MapAttach {
            channel: asked.channel.clone(),
            granted: self.granted.clone(),
            since: since.filter(|_| self.terms.positioned),
            recovers,
            delta: asked.delta,
            compact: asked.compact && self.terms.compact,
            filter: self.matcher(),
        }))
    }
}

impl Subscription {
    /// What is known of a keyed subscription that is not live yet.
    pub(crate) fn loading(&mut self) -> Option<&mut Loading> {
        self.rare.as_mut()?.loading.as_deref_mut()
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.loading.is_some())
    }
}
