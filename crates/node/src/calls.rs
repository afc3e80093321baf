//! Questions of a session to the application and the broker, as futures.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread::LocalKey;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::ReusableBoxFuture;
use tourbillon_broker::{BrokerError, Publish, SharedHistory};
use tourbillon_fanout::TagFilters;
use tourbillon_fanout::deltas::chain;
use tourbillon_hub::{FlowRules, Place, Source};
use tourbillon_protocol::{Command, command};
use tourbillon_recovery::{Ask, Plan, REJECT_UNRECOVERED, RecoveryMode, ResumeError, Resumed, Terms};
use tourbillon_session::{
    Accepted, Answer, CHANNEL_COMPACTION, Call, CallId, FOSSIL, Further, Granted, Refreshed, Refusal,
    ServerOp,
};
use tourbillon_types::{
    Channel, ClientInfo, Disconnect, FilterLimits, Instant, Now, Payload, PushKinds, ReplyError,
    SubscriptionKind, TagFilter, TagMatcher, Unsubscribe, UserId,
};

use crate::attachment::Attachment;
use crate::boot::{Boot, Known};
use crate::conn::{Conn, Done};
use crate::hooks::pool::{self, Pool};
use crate::hooks::{
    Client, ClientRights, ClientTerms, ConnectDecision, Judgement, MessageRequest, PublishDecision,
    PublishRequest, RefreshDecision, RefreshRequest, RpcRequest, SubRefreshRequest, SubscribeDecision,
    SubscribeRequest, SubscriptionOptions, TokenMark,
};
use crate::maps;
use crate::polls;
use crate::queries::{self, Standing};
use crate::shared::Shared;
use crate::sources::Begun;
use tourbillon_metrics::{Action, Frame, Named};

/// A call as a future.
pub(crate) type Running = ReusableBoxFuture<'static, Completed>;

thread_local! {
    static CONNECTS: Pool<Completed> = const { RefCell::new(Vec::new()) };
    static ATTACHES: Pool<Completed> = const { RefCell::new(Vec::new()) };
    static OTHERS: Pool<Completed> = const { RefCell::new(Vec::new()) };
    static JUDGEMENTS: Pool<Completed> = const { RefCell::new(Vec::new()) };
    static UNSUBSCRIBES: Pool<Completed> = const { RefCell::new(Vec::new()) };
}

/// Where the memory of ended calls of a kind is kept.
pub(crate) type Kind = &'static LocalKey<Pool<Completed>>;

/// A call came to its end.
pub(crate) struct Completed {
    /// `None` for what a session does not wait for.
    pub(crate) answer: Option<(CallId, Answer)>,
    /// The command that the call was for.
    pub(crate) asked: Frame,
    pub(crate) effect: Effect,
    /// When the call began.
    pub(crate) began: Instant,
    /// Who waits for this to be carried out.
    pub(crate) done: Option<Done>,
    /// Which kind of call it was.
    pub(crate) kind: Kind,
}

/// What a call changed besides its answer.
pub(crate) enum Effect {
    None,
    /// The application was told of the end of a subscription.
    Farewell,
    /// The connection is accepted.
    Accepted {
        client: Arc<Client>,
        registration: Registration,
        attached: Vec<Attachment>,
    },
    /// The connection was attached to a channel.
    Attached(Attachment),
    /// The connection goes on: what is told of it to others from now on, what is kept about it, what its new token says of
    /// itself, and what it lets the connection do.
    Renewed {
        info: Option<Payload>,
        meta: Option<Payload>,
        token: Option<Box<TokenMark>>,
        rights: Option<ClientRights>,
    },
    /// A subscription goes on: what is told of it to others from now on, and what its new token says of itself.
    Prolonged {
        channel: Channel,
        info: Option<Payload>,
        token: Option<Box<TokenMark>>,
    },
    /// It is known whether a command is worked on.
    Judged(Box<Command>, Result<(), Refusal>),
}

/// An accepted connection's entry with its user. Ends with the value unless kept.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    user: UserId,
    terms: ClientTerms,
    kept: bool,
}

impl Registration {
    /// The driver has the client, and ends the entry with it.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.registry.leave(&self.user, &self.conn);
            self.shared.metrics.disconnected(self.conn.kind(), self.terms.labels());
        }
    }
}

/// What a client is told of a broker's failure.
pub(crate) fn refusal(error: &BrokerError) -> Refusal {
    if error.is_invalid() {
        ReplyError::BAD_REQUEST.into()
    } else if error.is_unsupported() {
        ReplyError::NOT_AVAILABLE.into()
    } else {
        ReplyError::INTERNAL.into()
    }
}

/// Who calls: what every call needs.
pub(crate) struct Caller<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) conn: &'a Arc<Conn>,
    /// `None` until the connection is accepted.
    pub(crate) client: Option<&'a Arc<Client>>,
    /// When the call begins.
    pub(crate) now: Now,
}

impl Caller<'_> {
    /// The future that answers a call.
    pub(crate) fn start(
        &self,
        id: CallId,
        call: Call,
        boot: Option<Box<Boot>>,
        done: Option<Done>,
    ) -> Running {
        let (shared, conn, now) = (self.shared.clone(), self.conn.clone(), self.now);
        let Some(client) = self.client.cloned() else {
            return pool::take(&CONNECTS, connecting(shared, conn, now, (id, call, boot)));
        };
        let asked = Asked { id, frame: frame_of(&call), began: now.instant, done };
        match call {
            Call::Subscribe(_) | Call::Attach { .. } | Call::Map(_) => {
                pool::take(&ATTACHES, attaching(shared, conn, client, (asked, call, now)))
            }
            _ => pool::take(&OTHERS, answering(shared, conn, client, (asked, call, now))),
        }
    }

    /// The future that tells the application of a subscription's end, within the deadline for calls.
    pub(crate) fn unsubscribed(&self, client: Arc<Client>, channel: Channel, why: Unsubscribe) -> Running {
        let (hooks, began) = (self.shared.hooks.clone(), self.now.instant);
        let time = self.shared.call_timeout();
        let told = async move {
            let taken = hooks.unsubscribed(client, channel, why);
            if within(time, pin!(taken)).await.is_none() {
                tracing::warn!("the application did not take the end of a subscription in time");
            }
            let (asked, effect, kind) = (Frame::Unknown, Effect::Farewell, &UNSUBSCRIBES);
            Completed { answer: None, asked, effect, began, done: None, kind }
        };
        pool::take(&UNSUBSCRIBES, told)
    }

    /// The future that says whether a command is worked on.
    pub(crate) fn judge(&self, command: Box<Command>, judgement: Judgement) -> Running {
        let (limit, began) = (self.shared.call_timeout(), self.now.instant);
        let judging = async move {
            let judged = Box::pin(tokio::time::timeout(limit, judgement)).await;
            let verdict = judged.unwrap_or_else(|_| Err(ReplyError::INTERNAL.into()));
            let (asked, effect, kind) = (Frame::Unknown, Effect::Judged(command, verdict), &JUDGEMENTS);
            Completed { answer: None, asked, effect, began, done: None, kind }
        };
        pool::take(&JUDGEMENTS, judging)
    }
}

/// What is told of a call once it has been answered.
struct Asked {
    id: CallId,
    frame: Frame,
    began: Instant,
    done: Option<Done>,
}

impl Asked {
    fn answered(self, kind: Kind, (answer, effect): (Answer, Effect)) -> Completed {
        let Self { id, frame, began, done } = self;
        Completed { answer: Some((id, answer)), asked: frame, effect, began, done, kind }
    }
}

// A future is copied for every call: the smaller the better. So each kind of calls has its own.

#[expect(clippy::manual_async_fn, reason = "the future of an async fn has room for its arguments twice")]
fn connecting(
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    now: Now,
    (id, call, boot): (CallId, Call, Option<Box<Boot>>),
) -> impl Future<Output = Completed> + Send + 'static {
    async move {
        let began = now.instant;
        let asked = Asked { id, frame: Frame::Connect, began, done: None };
        let answer = match (call, boot) {
            (Call::Connect(connect), Some(boot)) => {
                match try_connect(&shared, &conn, connect, boot, now).await {
                    Ok((accepted, effect)) => (Answer::Connect(Ok(accepted)), effect),
                    Err(refusal) => (Answer::Connect(Err(refusal)), Effect::None),
                }
            }
            // A session asks nothing else before it is accepted, and connects once.
            _ => (Answer::Connect(Err(Disconnect::BAD_REQUEST.into())), Effect::None),
        };
        asked.answered(&CONNECTS, answer)
    }
}

#[expect(clippy::manual_async_fn, reason = "the future of an async fn has room for its arguments twice")]
fn attaching(
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    client: Arc<Client>,
    (asked, call, now): (Asked, Call, Now),
) -> impl Future<Output = Completed> + Send + 'static {
    async move {
        let answer = match call {
            Call::Subscribe(subscribe) => split(subscribe_call(&shared, &conn, client, subscribe, now).await),
            Call::Attach { channel, mut granted } => {
                let (rules, wish) = (Rules::of(&shared, &channel), Wish::default());
                let attached = attach(&shared, &conn, (&client, &channel), &mut granted, wish, &rules).await;
                split(attached.map(|attachment| (granted, attachment)))
            }
            // Boxed, as they are larger than most and rarer.
            Call::Map(call) => Box::pin(maps::answer(&shared, &conn, client, *call, now)).await,
            _ => elsewhere(),
        };
        asked.answered(&ATTACHES, answer)
    }
}

/// To a call that another future answers.
fn elsewhere() -> (Answer, Effect) {
    (Answer::Message(Err(Disconnect::INTERNAL_SERVER_ERROR)), Effect::None)
}

/// The command that a call is for.
const fn frame_of(call: &Call) -> Frame {
    match call {
        Call::Connect(_) => Frame::Connect,
        Call::Subscribe(_) | Call::Attach { .. } | Call::Map(_) => Frame::Subscribe,
        Call::Publish { .. } | Call::MapPublish { .. } => Frame::Publish,
        Call::History { .. } => Frame::History,
        Call::Presence { .. } => Frame::Presence,
        Call::PresenceStats { .. } => Frame::PresenceStats,
        Call::Rpc(_) => Frame::Rpc,
        Call::Message(_) => Frame::Send,
        Call::Refresh { .. } => Frame::Refresh,
        Call::SubRefresh { .. } | Call::Track(_) => Frame::SubRefresh,
    }
}

#[expect(clippy::manual_async_fn, reason = "the future of an async fn has room for its arguments twice")]
fn answering(
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    client: Arc<Client>,
    (asked, call, now): (Asked, Call, Now),
) -> impl Future<Output = Completed> + Send + 'static {
    async move {
        let answer = answer(&shared, &conn, client, (asked.id, call), now).await;
        asked.answered(&OTHERS, answer)
    }
}

#[expect(clippy::manual_async_fn, reason = "the future of an async fn has room for its arguments twice")]
fn answer(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    client: Arc<Client>,
    (id, call): (CallId, Call),
    now: Now,
) -> impl Future<Output = (Answer, Effect)> + Send {
    async move {
        match call {
            Call::Connect(_) | Call::Subscribe(_) | Call::Attach { .. } | Call::Map(_) => elsewhere(),
            // Boxed, as it is larger than most and rarer.
            Call::Track(call) => {
                let tracked = polls::track(shared, conn, client, *call, id.0);
                (Answer::Track(Box::pin(tracked).await), Effect::None)
            }
            Call::MapPublish { channel, key, data, channel_info, subscribed, allow } => {
                let standing = Standing { client, subscribed, allow };
                let change = maps::change(shared, standing, channel, (key, data), channel_info);
                (Answer::Publish(Box::pin(change).await), Effect::None)
            }
            Call::Publish { channel, data, channel_info, subscribed, allow } => {
                let publish = PublishRequest { client, channel, data, subscribed, allow };
                (Answer::Publish(publish_call(shared, publish, channel_info).await), Effect::None)
            }
            Call::History { command, subscribed, allow } => {
                let standing = Standing { client, subscribed, allow };
                (Answer::History(queries::history(shared, standing, *command).await), Effect::None)
            }
            Call::Presence { channel, subscribed, allow } => {
                let standing = Standing { client, subscribed, allow };
                (Answer::Presence(queries::presence(shared, standing, channel).await), Effect::None)
            }
            Call::PresenceStats { channel, subscribed, allow } => {
                let standing = Standing { client, subscribed, allow };
                let stats = queries::presence_stats(shared, standing, channel).await;
                (Answer::PresenceStats(stats), Effect::None)
            }
            Call::Rpc(rpc) => {
                let request = RpcRequest::new(client, rpc.method, rpc.data);
                let decision = shared.deadline(shared.hooks.clone().rpc(request)).await;
                (Answer::Rpc(decision.map(|decision| decision.data)), Effect::None)
            }
            Call::Message(data) => {
                let taken = shared.hooks.clone().message(MessageRequest::new(client, data));
                let taken = within(shared.call_timeout(), pin!(taken)).await;
                (Answer::Message(taken.unwrap_or(Err(Disconnect::INTERNAL_SERVER_ERROR))), Effect::None)
            }
            Call::Refresh { token } => {
                let decision =
                    shared.hooks.clone().refresh(RefreshRequest::new(client, token, now.unix_seconds()));
                let mut decision = shared.deadline(decision).await;
                let effect = decision.as_mut().map_or(Effect::None, |decision| Effect::Renewed {
                    info: decision.info.clone(),
                    meta: decision.meta.take(),
                    token: decision.token.take(),
                    rights: decision.rights.take(),
                });
                (Answer::Refresh(decision.map(refreshed)), effect)
            }
            Call::SubRefresh { channel, token } => {
                let request = SubRefreshRequest::new(client, channel.clone(), token, now.unix_seconds());
                let mut decision = shared.deadline(shared.hooks.clone().sub_refresh(request)).await;
                let effect = decision.as_mut().map_or(Effect::None, |decision| Effect::Prolonged {
                    channel,
                    info: decision.info.clone(),
                    token: decision.token.take(),
                });
                (Answer::Refresh(decision.map(refreshed)), effect)
            }
        }
    }
}

pub(crate) fn refreshed(decision: RefreshDecision) -> Refreshed {
    let RefreshDecision { expired, expire_at, info, allow, server_tags_filter, .. } = decision;
    Refreshed { expired, expire_at, info, allow, server_tags_filter }
}

fn split(result: Result<(Granted, Attachment), Refusal>) -> (Answer, Effect) {
    match result {
        Ok((granted, attachment)) => (Answer::Subscribe(Ok(granted)), Effect::Attached(attachment)),
        Err(refusal) => (Answer::Subscribe(Err(refusal)), Effect::None),
    }
}

/// What a session is told of a subscription's options.
pub(crate) fn granted(options: SubscriptionOptions, client_side_refresh: bool) -> Granted {
    let further = Further {
        recover_since: options.recover_since,
        map_presence: options.map_presence.map(|presence| *presence).unwrap_or_default(),
        remove_client_on_unsubscribe: options.remove_client_on_unsubscribe,
        token: None,
    };
    Granted {
        expire_at: options.expire_at,
        client_side_refresh,
        info: options.info,
        data: options.data,
        positioned: options.positioned,
        recoverable: options.recoverable,
        recovery_mode: options.recovery_mode,
        auto_cache_recover: options.auto_cache_recover,
        presence: options.presence,
        join_leave: options.join_leave,
        push_join_leave: options.push_join_leave,
        recovering: false,
        delta: options.allow_delta,
        server_tags_filter: options.server_tags_filter,
        id: 0,
        polled: None,
        publish_debounce: u32::try_from(options.publish_debounce.as_millis()).unwrap_or(u32::MAX),
        keep_latest_publication: options.keep_latest_publication,
        allow: options.allow,
        revocable: options.revocable,
        further: (further != Further::default()).then(|| Box::new(further)),
        resumed: None,
    }
}

/// What a client asks for as it subscribes, beside what the application decides about.
#[derive(Clone, Default)]
pub(crate) struct Wish {
    ask: Ask,
    delta: bool,
    /// A number for the channel's name.
    pub(crate) compact: bool,
    pub(crate) filter: Option<Arc<TagMatcher>>,
    /// The kind of subscription that the client asks for, if it does.
    kind: Option<i32>,
}

/// What of a channel's rules counts for whoever is attached to it.
struct Rules {
    kind: SubscriptionKind,
    flow: FlowRules,
    history_meta_ttl: Result<Duration, ReplyError>,
}

impl Rules {
    fn of(shared: &Shared, channel: &str) -> Self {
        match shared.hooks.channel_options(channel) {
            Ok(rules) => Self {
                kind: rules.kind,
                flow: FlowRules::from(rules),
                history_meta_ttl: Ok(rules.history_meta_ttl),
            },
            // Of a channel without rules, nothing is collected and nothing missed.
            Err(error) => Self {
                kind: SubscriptionKind::default(),
                flow: FlowRules::default(),
                history_meta_ttl: Err(error),
            },
        }
    }
}

/// Attaches a connection to a channel that it was granted, gate closed, and finds out where it begins.
async fn attach(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    (client, channel): (&Client, &Channel),
    granted: &mut Granted,
    wish: Wish,
    rules: &Rules,
) -> Result<Attachment, Refusal> {
    let Wish { mut ask, delta, compact, filter, kind: kind_asked } = wish;
    granted.recovering = ask.recover;
    let since = granted.further.as_mut().and_then(|further| further.recover_since.take());
    if let (false, Some(position)) = (ask.recover, since) {
        ask = Ask { recover: true, position, ..ask };
    }
    let kind = rules.kind;
    if let Some(asked) = kind_asked {
        kind.check(asked)?;
    }
    let source = if kind.is_map() { Source::Maps } else { Source::Broker };
    if shared.engine.history().is_none() || source == Source::Maps {
        // Without streams there are no positions, and the client is told so. Whoever has a keyed channel like any other,
        // since the server says so, gets its changes only (MAP-38).
        granted.positioned = false;
        granted.recoverable = false;
    }
    let terms = Terms {
        positioned: granted.positioned,
        recoverable: granted.recoverable,
        mode: granted.recovery_mode,
        auto_cache_recover: granted.auto_cache_recover,
    };
    // The changes of a keyed channel are deltas by keys, for those who have its state.
    granted.delta &= delta && !kind.is_map();
    ask.delta = granted.delta;
    let filter = TagFilters { server: granted.server_tags_filter.clone(), client: filter };
    ask.filtered = !filter.is_none();
    let told = PushKinds::JOIN | PushKinds::LEAVE;
    let listens = if granted.push_join_leave { told - client.suppressed } else { PushKinds::NONE };
    let place = Place {
        compact,
        positioned: terms.has_position(),
        keyed: false,
        listens,
        mute: client.suppressed.has(PushKinds::PUBLICATION),
        delta: granted.delta,
        keeps_latest: granted.keep_latest_publication,
        filter,
    };
    let flow = if kind.is_map() { FlowRules::default() } else { rules.flow };
    let mut attachment = Attachment::make(shared, conn, channel, &place, (flow, source)).await?;
    if compact {
        granted.id = shared.hub.number(channel);
    }
    let recovers = ask.recover;
    let plan = Plan::new(&terms, ask, shared.config.recovery_max_publication_limit);
    if let (Some(plan), Some(streams)) = (plan, shared.engine.history()) {
        let action = match terms.mode {
            _ if !recovers => Action::HistoryStreamTop,
            RecoveryMode::Stream => Action::HistoryRecover,
            RecoveryMode::Cache => Action::HistoryRecoverCache,
        };
        let streams = (streams, rules.history_meta_ttl.clone()?, action);
        // Boxed, as it takes more room than what most subscribes need.
        let mut resumed = Box::pin(resume(shared, conn, channel, plan, streams)).await?;
        if recovers {
            shared.metrics.recovery(resumed.recovered, resumed.publications.len());
        }
        if granted.delta {
            resumed.publications = chain(conn.variant.encoding, &resumed.publications)?;
        }
        granted.resumed = Some(Box::new(resumed));
    }
    attachment.enter(client, granted).await?;
    Ok(attachment)
}

/// Reads what a subscription with a position begins with. The connection is attached.
async fn resume(
    shared: &Shared,
    conn: &Conn,
    channel: &Channel,
    plan: Plan,
    (streams, meta_ttl, action): (&SharedHistory, Duration, Action),
) -> Result<Resumed, Refusal> {
    let query = plan.query();
    let read = || {
        shared.metrics.act(action);
        queries::call(shared, "history", streams.history(channel, &query, meta_ttl))
    };
    let mut page = read().await.map_err(|error| refusal(&error))?;
    if plan.finds_cache_empty(&page)
        && shared.deadline(shared.hooks.clone().cache_empty(channel.clone())).await?
    {
        // Once: what is published later reaches it anyway.
        page = read().await.map_err(|error| refusal(&error))?;
    }
    let resumed = shared.hub.resume(channel, conn, plan, page).ok_or(ReplyError::INTERNAL)?;
    resumed.map_err(|error| not_resumed(&error))
}

/// What a client is told whose subscription cannot begin.
pub(crate) fn not_resumed(error: &ResumeError) -> Refusal {
    match (error.reply(), error.disconnect()) {
        (Some(reply), _) => reply.into(),
        (None, Some(disconnect)) => disconnect.into(),
        (None, None) => ReplyError::INTERNAL.into(),
    }
}

/// What a client asks for by itself or as it connects: filters and numbers are for the former only.
fn wish_of(subscribe: &command::Subscribe) -> Wish {
    let ask = Ask {
        recover: subscribe.recover,
        position: subscribe.position.clone(),
        reject_unrecovered: subscribe.flag & REJECT_UNRECOVERED != 0,
        ..Ask::default()
    };
    Wish { ask, delta: subscribe.delta == FOSSIL, ..Wish::default() }
}

async fn subscribe_call(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    client: Arc<Client>,
    subscribe: Box<command::Subscribe>,
    now: Now,
) -> Result<(Granted, Attachment), Refusal> {
    let (request, mut wish) = asked(client.clone(), *subscribe, now);
    let (channel, filter) = (request.channel.clone(), request.filter.clone());
    let rules = Rules::of(shared, &channel);
    let polled = rules.kind == SubscriptionKind::SharedPoll;
    if polled || request.kind == SubscriptionKind::SharedPoll.number() {
        rules.kind.check(request.kind)?;
    }
    let mut decision = shared.deadline(shared.hooks.clone().subscribe(request)).await?;
    let source = decision.source.take();
    let mut granted = agree(&client, &channel, filter, decision, &mut wish)?;
    let mut attachment = if polled {
        Box::pin(polls::attach(shared, conn, &client, &channel, &mut granted, wish.delta)).await?
    } else {
        attach(shared, conn, (&client, &channel), &mut granted, wish, &rules).await?
    };
    let source = source.and_then(|source| source.take());
    attachment.begun = source.map(|source| Begun { source, number: granted.id });
    Ok((granted, attachment))
}

/// What the application is asked about a subscription, and what the client wants of it besides.
pub(crate) fn asked(
    client: Arc<Client>,
    subscribe: command::Subscribe,
    now: Now,
) -> (SubscribeRequest, Wish) {
    let compact = subscribe.flag & CHANNEL_COMPACTION != 0;
    let wish = Wish { compact, kind: Some(subscribe.kind), ..wish_of(&subscribe) };
    let request = SubscribeRequest {
        client,
        channel: Channel::from(subscribe.channel),
        token: subscribe.token,
        data: subscribe.data,
        positioned: subscribe.positioned,
        recoverable: subscribe.recoverable,
        join_leave: subscribe.join_leave,
        kind: subscribe.kind,
        filter: subscribe.filter.map(Arc::from),
        unix_seconds: now.unix_seconds(),
    };
    (request, wish)
}

/// What the client gets, as far as the application lets it have what it wants.
pub(crate) fn agree(
    client: &Client,
    channel: &Channel,
    filter: Option<Arc<TagFilter>>,
    decision: SubscribeDecision,
    wish: &mut Wish,
) -> Result<Granted, Refusal> {
    wish.compact &= decision.options.allow_channel_compaction;
    wish.filter = match filter {
        Some(filter) if decision.options.allow_tags_filter => Some(matcher(client, channel, &filter)?),
        Some(_) => return Err(ReplyError::BAD_REQUEST.into()),
        None => None,
    };
    let mut granted = granted(decision.options, decision.client_side_refresh);
    if let Some(token) = decision.token {
        granted.further.get_or_insert_default().token = Some(token);
    }
    Ok(granted)
}

/// The filter in the form in which it is evaluated (TF-02).
fn matcher(client: &Client, channel: &Channel, filter: &TagFilter) -> Result<Arc<TagMatcher>, Refusal> {
    match TagMatcher::new(filter, FilterLimits::default()) {
        Ok(matcher) => Ok(Arc::new(matcher)),
        Err(error) => {
            tracing::debug!(client = %client.id, %channel, %error, "tags filter refused");
            Err(ReplyError::BAD_REQUEST.into())
        }
    }
}

async fn publish_call(
    shared: &Arc<Shared>,
    request: PublishRequest,
    channel_info: Option<Payload>,
) -> Result<(), Refusal> {
    let PublishRequest { client, channel, data, .. } = request.clone();
    let decision = shared.deadline(shared.hooks.clone().publish(request)).await?;
    let PublishDecision::Publish { data: replaced, mut options, as_is } = decision else { return Ok(()) };
    if options.history.is_none() && !as_is {
        let rules = shared.hooks.channel_options(&channel)?;
        options.history = rules.history;
        options.delta |= rules.delta_publish;
    }
    options.info.get_or_insert_with(|| {
        Arc::new(ClientInfo {
            user: client.user.clone(),
            client: Some(client.id),
            connection: client.info.to_payload(),
            channel: channel_info.unwrap_or_default(),
        })
    });
    let publish = Publish { channel, data: replaced.unwrap_or(data), options: *options };
    match shared.publish(publish).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "publishing for a client failed");
            Err(refusal(&error))
        }
    }
}

async fn try_connect(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    connect: Box<command::Connect>,
    mut boot: Box<Boot>,
    now: Now,
) -> Result<(Accepted, Effect), Refusal> {
    let kept = (
        boot.kept_headers(&shared.config.keep_headers),
        Boot::kept_emulated(&shared.config.keep_emulated_headers, &connect.headers),
    );
    let mut wishes: HashMap<Channel, Wish> = connect
        .subs
        .iter()
        .filter(|(_, subscribe)| subscribe.recover || !subscribe.delta.is_empty())
        .map(|(channel, subscribe)| (Channel::from(channel.as_str()), wish_of(subscribe)))
        .collect();
    for (channel, position) in boot.take_resume() {
        wishes.entry(channel).or_default().ask.resume_at(position);
    }
    conn.set_named(Named { name: !connect.name.is_empty(), version: !connect.version.is_empty() });
    let (request, transport) = boot.into_request(conn, *connect, now);
    let decision = shared.deadline(shared.hooks.clone().connect(request)).await?;
    if decision.undecided {
        return Err(Disconnect::BAD_REQUEST.into());
    }
    let ConnectDecision { user, expire_at, client_side_refresh, info, data, meta, token, .. } = decision;
    let terms = ClientTerms::new(decision.labels, decision.rights);
    let subscriptions = decision.subscriptions;
    // The session says the same, but once all are attached: as many calls to the broker as a client has names.
    if subscriptions.len() > shared.config.channel_limit {
        return Err(Disconnect::CHANNEL_LIMIT.into());
    }
    let limit = shared.config.user_connection_limit.filter(|_| !user.is_anonymous());
    if decision.single_connection && !user.is_anonymous() {
        for other in shared.registry.take_place(&user, conn) {
            other.tell(ServerOp::Disconnect(Disconnect::CONNECTION_LIMIT), None);
        }
    } else if !shared.registry.accept(&user, conn, limit) {
        return Err(Disconnect::CONNECTION_LIMIT.into());
    }
    shared.metrics.connected(conn.kind(), terms.labels());
    let registration = Registration {
        shared: shared.clone(),
        conn: conn.clone(),
        user: user.clone(),
        terms: terms.clone(),
        kept: false,
    };
    let known = Known { user, info, meta, terms, token };
    let client = Arc::new(known.into_client(conn, &transport, kept));
    // All at once; one that fails fails the connect (HID-21), and the rest are detached by their guards.
    let attaching = subscriptions.into_iter().map(|(channel, options)| {
        let wish = wishes.get(&channel).cloned().unwrap_or_default();
        // Only a client that asked for a subscription can refresh it.
        let mut granted = granted(options, false);
        let client = &client;
        async move {
            let rules = Rules::of(shared, &channel);
            let attachment = attach(shared, conn, (client, &channel), &mut granted, wish, &rules).await?;
            Ok::<_, Refusal>((channel, granted, attachment))
        }
    });
    let begun = join_all(attaching).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut subscriptions = Vec::with_capacity(begun.len());
    let mut attached = Vec::with_capacity(begun.len());
    for (channel, granted, attachment) in begun {
        subscriptions.push((channel, granted));
        attached.push(attachment);
    }
    let accepted = Accepted { expire_at, client_side_refresh, data, subscriptions };
    Ok((accepted, Effect::Accepted { client, registration, attached }))
}

/// What comes within a time. What is there at once, as most answers are, costs no look at a clock.
pub(crate) async fn within<T>(time: Duration, mut call: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => tokio::time::timeout(time, call).await.ok(),
    }
}
