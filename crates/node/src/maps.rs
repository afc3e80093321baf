//! Keyed channels: changing and reading them, for clients and for the server side.

use std::sync::Arc;

use tourbillon_broker::{
    BrokerError, BrokerEvents, HistoryQuery, MapChanged, MapPublish, MapPublishOptions, MapRemove, MapStats,
    Page, SharedMapStore,
};
use tourbillon_fanout::TagFilters;
use tourbillon_fanout::deltas::{chain_by_key, in_text};
use tourbillon_hub::{Base, FlowRules, Place, Source};
use tourbillon_metrics::{Action, Told};
use tourbillon_protocol::command;
use tourbillon_recovery::{Ask, Plan, Terms};
use tourbillon_session::{
    Answer, Granted, MapAnswer, MapAttach, MapCall, MapChanges, MapGranted, MapShow, MapTerms, Refusal,
};
use tourbillon_types::{
    Channel, ClientInfo, MapPage, MapQuery, Now, Payload, Publication, PushKinds, ReplyError, TagMatcher,
};

use crate::Node;
use crate::attachment::Attachment;
use crate::calls::{Effect, agree, asked, not_resumed, refusal};
use crate::conn::Conn;
use crate::hooks::{
    ChannelOptions, Client, MapPublishDecision, MapPublishRequest, MapRemoveDecision, MapRemoveOptions,
    MapRemoveRequest, MapRules,
};
use crate::queries::{Standing, call, error_of};
use crate::shared::Shared;

impl Shared {
    /// The engine's keyed channels and the rules of this one, if there are such.
    pub(crate) fn map_of(&self, rules: &ChannelOptions) -> Result<(&SharedMapStore, MapRules), ReplyError> {
        self.engine.maps().zip(rules.map).ok_or(ReplyError::NOT_AVAILABLE)
    }

    /// Sets a key, within the deadline for calls.
    pub(crate) async fn map_publish(
        &self,
        maps: &SharedMapStore,
        publish: MapPublish,
    ) -> Result<MapChanged, ReplyError> {
        self.metrics.act(Action::MapPublish);
        let changed = call(self, "map_publish", maps.publish(publish)).await;
        self.changed(Told::MapPublication, changed)
    }

    /// Removes a key, within the deadline for calls.
    pub(crate) async fn map_remove(
        &self,
        maps: &SharedMapStore,
        remove: MapRemove,
    ) -> Result<MapChanged, ReplyError> {
        self.metrics.act(Action::MapRemove);
        let changed = call(self, "map_remove", maps.remove(remove)).await;
        self.changed(Told::MapRemoval, changed)
    }

    /// Counts what became of a change (MET-01, MET-40).
    fn changed(
        &self,
        what: Told,
        changed: Result<MapChanged, BrokerError>,
    ) -> Result<MapChanged, ReplyError> {
        let changed = changed.map_err(|error| error_of(refusal(&error)))?;
        match changed.suppressed {
            None => self.metrics.tell(what),
            Some(why) => self.metrics.map_suppress(what, why.as_str()),
        }
        Ok(changed)
    }
}

/// A removal of a key with these options.
pub(crate) fn removal(
    channel: Channel,
    key: Arc<str>,
    rules: &MapRules,
    options: MapRemoveOptions,
) -> MapRemove {
    let mut remove = MapRemove::new(channel, key, rules.policy);
    remove.tags = options.tags;
    remove.idempotency_key = options.idempotency_key;
    remove.idempotency_ttl = options.idempotency_ttl;
    remove.expected = options.expected;
    remove
}

/// Changing and reading keyed channels.
///
/// Each fails with 102 for a channel of an unknown namespace, 107 for one that is not keyed, 108 where keyed channels are
/// not kept, and 100 when the store fails or does not answer within
/// [`NodeConfig::call_timeout`](crate::NodeConfig::call_timeout).
impl Node {
    fn keyed(&self, channel: &str) -> Result<(&SharedMapStore, MapRules), ReplyError> {
        let rules = self.channel_options(channel)?;
        if !rules.kind.is_map() {
            return Err(ReplyError::BAD_REQUEST);
        }
        self.shared.map_of(&rules)
    }

    /// Sets a key (API-34). `options` are taken as they are, but for deltas, which the channel's rules may add.
    ///
    /// Returns when delivery has begun, without waiting for any connection. A change that is suppressed is no error.
    ///
    /// # Errors
    ///
    /// As all of them; 107 for an empty key, too, and for what needs a stream where there is none.
    ///
    /// # Cancel safety
    ///
    /// Whether the key was set is unknown after a drop.
    pub async fn map_publish(
        &self,
        channel: Channel,
        key: impl Into<Arc<str>>,
        data: Payload,
        mut options: MapPublishOptions,
    ) -> Result<MapChanged, ReplyError> {
        let (maps, rules) = self.keyed(&channel)?;
        let key = key.into();
        if key.is_empty() {
            return Err(ReplyError::BAD_REQUEST);
        }
        options.delta |= self.channel_options(&channel)?.delta_publish;
        let publish = MapPublish { options, ..MapPublish::new(channel, key, data, rules.policy) };
        self.shared.map_publish(maps, publish).await
    }

    /// Removes a key (API-35). Returns as [`map_publish`](Self::map_publish) does.
    ///
    /// # Errors
    ///
    /// As [`map_publish`](Self::map_publish).
    ///
    /// # Cancel safety
    ///
    /// Whether the key was removed is unknown after a drop.
    pub async fn map_remove(
        &self,
        channel: Channel,
        key: impl Into<Arc<str>>,
        options: MapRemoveOptions,
    ) -> Result<MapChanged, ReplyError> {
        let (maps, rules) = self.keyed(&channel)?;
        let key = key.into();
        if key.is_empty() {
            return Err(ReplyError::BAD_REQUEST);
        }
        self.shared.map_remove(maps, removal(channel, key, &rules, options)).await
    }

    /// Reads a page of a channel's state (API-36). The limit is the caller's to choose.
    ///
    /// # Errors
    ///
    /// As all of them; 107 for a cursor that is none of the store's, too.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn map_state(&self, channel: &Channel, query: &MapQuery) -> Result<MapPage, ReplyError> {
        let (maps, rules) = self.keyed(channel)?;
        self.shared.metrics.act(Action::MapReadState);
        let page = maps.state(channel, query, &rules.policy);
        call(&self.shared, "map_state", page).await.map_err(|error| error_of(refusal(&error)))
    }

    /// Reads a part of a channel's stream (API-37). The limit is the caller's to choose. A channel without a stream has
    /// an empty one.
    ///
    /// # Errors
    ///
    /// As all of them; 107 for a query that contradicts itself, too, and 112 for a place of another epoch or one after
    /// which something is missing already.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn map_stream(&self, channel: &Channel, query: &HistoryQuery) -> Result<Page, ReplyError> {
        let (maps, rules) = self.keyed(channel)?;
        query.check()?;
        self.shared.metrics.act(Action::MapReadStream);
        let page = call(&self.shared, "map_stream", maps.stream(channel, query, &rules.policy)).await;
        let page = page.map_err(|error| error_of(refusal(&error)))?;
        query.check_epoch(&page.position)?;
        let since = query.since.as_ref().filter(|_| !query.reverse && query.limit != Some(0));
        if since.is_some_and(|since| is_trimmed(since.offset, &page)) {
            return Err(ReplyError::UNRECOVERABLE_POSITION);
        }
        Ok(page)
    }

    /// How many keys a channel has (API-38).
    ///
    /// # Errors
    ///
    /// As all of them.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn map_stats(&self, channel: &Channel) -> Result<MapStats, ReplyError> {
        let (maps, _) = self.keyed(channel)?;
        self.shared.metrics.act(Action::MapStats);
        let stats = call(&self.shared, "map_stats", maps.stats(channel)).await;
        stats.map_err(|error| error_of(refusal(&error)))
    }

    /// Forgets all of a channel, its epoch too (API-39). Its subscribers load it again.
    ///
    /// # Errors
    ///
    /// As all of them.
    ///
    /// # Cancel safety
    ///
    /// It may be gone or not.
    pub async fn map_clear(&self, channel: &Channel) -> Result<(), ReplyError> {
        let (maps, _) = self.keyed(channel)?;
        self.shared.metrics.act(Action::MapClear);
        let cleared = call(&self.shared, "map_clear", maps.clear(channel)).await;
        cleared.map_err(|error| error_of(refusal(&error)))
    }
}

/// Whether something after a place is missing in what was read from there.
pub(crate) fn is_trimmed(since: u64, page: &Page) -> bool {
    match page.publications.first() {
        Some(first) => first.offset > since.saturating_add(1),
        None => page.position.offset > since,
    }
}

/// What happens in the store of keyed channels.
#[derive(Debug)]
pub(crate) struct Events(pub(crate) Arc<Shared>);

impl BrokerEvents for Events {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        self.0.broadcast(channel, &publication, Base::Key(None));
    }

    /// The key's value before is what a subscriber with a position has of it.
    fn delta_publication(
        &self,
        channel: &Channel,
        publication: Arc<Publication>,
        previous: Option<Arc<Publication>>,
    ) {
        let before = previous.as_ref().filter(|previous| !previous.removed).map(|previous| &previous.data);
        self.0.broadcast(channel, &publication, Base::Key(before));
    }

    /// A store tells of changes of keys only.
    fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn position_lost(&self, channel: Option<&Channel>) {
        self.0.hub.lose_of(Source::Maps, channel);
    }
}

/// Answers a question of a session about a keyed channel.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    client: Arc<Client>,
    call: MapCall,
    now: Now,
) -> (Answer, Effect) {
    let answer = match call {
        MapCall::Grant(subscribe) => {
            grant(shared, client, *subscribe, now).await.map(Box::new).map(MapAnswer::Granted)
        }
        MapCall::State { channel, query, show } => {
            state(shared, conn, &channel, &query, &show).await.map(Box::new).map(MapAnswer::State)
        }
        MapCall::Stream { channel, query, show } => {
            stream(shared, conn, &channel, &query, &show).await.map(Box::new).map(MapAnswer::Stream)
        }
        MapCall::Attach(attach) => match join(shared, conn, &client, *attach).await {
            Ok((granted, attachment)) => {
                let answer = MapAnswer::Attached(Box::new(granted));
                return (Answer::Map(Ok(answer)), Effect::Attached(attachment));
            }
            Err(refusal) => Err(refusal),
        },
    };
    (Answer::Map(answer), Effect::None)
}

/// May a client have a keyed channel, and how is it loaded?
async fn grant(
    shared: &Arc<Shared>,
    client: Arc<Client>,
    subscribe: command::Subscribe,
    now: Now,
) -> Result<MapGranted, Refusal> {
    let (request, mut wish) = asked(client.clone(), subscribe, now);
    let (channel, filter) = (request.channel.clone(), request.filter.clone());
    let rules = shared.hooks.channel_options(&channel)?;
    rules.kind.check(request.kind)?;
    let (_, map) = shared.map_of(&rules)?;
    let decision = shared.deadline(shared.hooks.clone().subscribe(request)).await?;
    let compact = decision.options.allow_channel_compaction;
    let mut granted = agree(&client, &channel, filter, decision, &mut wish)?;
    granted.positioned = map.policy.is_positioned();
    granted.recoverable = granted.positioned;
    // A delta is against what everybody has. Who has no position may have another value, who has a filter may have none.
    granted.delta &= granted.positioned && wish.filter.is_none() && granted.server_tags_filter.is_none();
    let terms = MapTerms {
        positioned: granted.positioned,
        compact,
        pages: map.pages,
        catch_up: Some(map.catch_up_timeout),
    };
    Ok(MapGranted { granted, terms, filter: wish.filter })
}

fn shows(show: &MapShow, publication: &Publication) -> bool {
    let lets = |filter: &Option<Arc<TagMatcher>>| {
        filter.as_ref().is_none_or(|filter| filter.matches_publication(publication))
    };
    show.up_to.is_none_or(|last| publication.offset <= last) && lets(&show.server) && lets(&show.client)
}

/// A page of the state, as far as a client gets it.
async fn state(
    shared: &Shared,
    conn: &Conn,
    channel: &Channel,
    query: &MapQuery,
    show: &MapShow,
) -> Result<MapPage, Refusal> {
    let rules = shared.hooks.channel_options(channel)?;
    let (maps, map) = shared.map_of(&rules)?;
    shared.metrics.act(Action::MapReadState);
    let page = call(shared, "map_state", maps.state(channel, query, &map.policy)).await;
    let mut page = page.map_err(|error| refusal(&error))?;
    page.entries.retain(|entry| shows(show, entry));
    if show.delta {
        page.entries = in_text(conn.variant.encoding, &page.entries)?;
    }
    Ok(page)
}

/// A part of the stream, as far as a client gets it.
async fn stream(
    shared: &Shared,
    conn: &Conn,
    channel: &Channel,
    query: &HistoryQuery,
    show: &MapShow,
) -> Result<MapChanges, Refusal> {
    let rules = shared.hooks.channel_options(channel)?;
    let (maps, map) = shared.map_of(&rules)?;
    shared.metrics.act(Action::MapReadStream);
    let page = call(shared, "map_stream", maps.stream(channel, query, &map.policy)).await;
    let Page { mut publications, position } = page.map_err(|error| refusal(&error))?;
    let first = publications.first().map(|first| first.offset);
    let offsets = first.zip(publications.last().map(|last| last.offset));
    publications.retain(|publication| shows(show, publication));
    if show.delta {
        publications = in_text(conn.variant.encoding, &publications)?;
    }
    Ok(MapChanges { publications, offsets, position })
}

/// Attaches a connection to a keyed channel, gate closed, and finds what it missed (MAP-27).
async fn join(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    client: &Client,
    attach: MapAttach,
) -> Result<(Granted, Attachment), Refusal> {
    let MapAttach { channel, mut granted, since, recovers, delta, compact, filter } = attach;
    let rules = shared.hooks.channel_options(&channel)?;
    let (maps, map) = shared.map_of(&rules)?;
    granted.delta &= delta;
    let told = PushKinds::JOIN | PushKinds::LEAVE;
    let place = Place {
        compact,
        positioned: since.is_some(),
        keyed: true,
        listens: if granted.push_join_leave { told - client.suppressed } else { PushKinds::NONE },
        mute: client.suppressed.has(PushKinds::PUBLICATION),
        delta: granted.delta,
        keeps_latest: false,
        filter: TagFilters { server: granted.server_tags_filter.clone(), client: filter },
    };
    let from = (FlowRules::default(), Source::Maps);
    let mut attachment = Attachment::make(shared, conn, &channel, &place, from).await?;
    if compact {
        granted.id = shared.hub.number(&channel);
    }
    if let Some(since) = since {
        let terms = Terms { positioned: true, recoverable: true, ..Terms::default() };
        let ask = Ask { recover: true, position: since, reject_unrecovered: true, ..Ask::default() };
        let epoch = ask.position.epoch.clone();
        let plan = Plan::new(&terms, ask, map.live_transition_limit).ok_or(ReplyError::INTERNAL)?;
        shared.metrics.act(Action::MapReadStream);
        let query = plan.query();
        let page = maps.stream(&channel, &query, &map.policy);
        let page = call(shared, "map_stream", page).await.map_err(|error| refusal(&error))?;
        // Of an unknown epoch it is not known whether there was anything before (MAP-25). The channel was attached above:
        // if the place is lost again, it is not there any more.
        let known = page.position.epoch == epoch;
        let resumed = known.then(|| shared.hub.resume(&channel, conn, plan, page)).flatten();
        if recovers {
            let missed = resumed.as_ref().and_then(|resumed| Some(resumed.as_ref().ok()?.publications.len()));
            shared.metrics.recovery(missed.is_some(), missed.unwrap_or_default());
        }
        let mut resumed =
            resumed.ok_or(ReplyError::UNRECOVERABLE_POSITION)?.map_err(|error| not_resumed(&error))?;
        if granted.delta {
            resumed.publications = chain_by_key(conn.variant.encoding, &resumed.publications)?;
        }
        granted.resumed = Some(Box::new(resumed));
    }
    attachment.enter(client, &granted).await?;
    Ok((granted, attachment))
}

/// Sets or removes a key for a client (MAP-32). Only the application is asked: neither the channel's kind nor the form of
/// its payloads counts (HID-44).
pub(crate) async fn change(
    shared: &Arc<Shared>,
    standing: Standing,
    channel: Channel,
    (key, data): (String, Option<Payload>),
    channel_info: Option<Payload>,
) -> Result<(), Refusal> {
    let key: Arc<str> = Arc::from(key);
    let changed = match data {
        Some(data) => publish(shared, standing, channel, (key, data), channel_info).await,
        None => remove(shared, standing, channel, key).await,
    };
    if let Err(Refusal::Error(error)) = &changed {
        tracing::debug!(%error, "a change of a key was refused");
    }
    changed
}

async fn publish(
    shared: &Arc<Shared>,
    standing: Standing,
    channel: Channel,
    (key, data): (Arc<str>, Payload),
    channel_info: Option<Payload>,
) -> Result<(), Refusal> {
    let Standing { client, subscribed, allow } = standing;
    let mut request =
        MapPublishRequest::new(client.clone(), channel.clone(), key.clone(), data.clone(), subscribed);
    request.allow = allow;
    let decision = shared.deadline(shared.hooks.clone().map_publish(request)).await?;
    let MapPublishDecision::Publish { key: other, data: replaced, mut options } = decision else {
        return Ok(());
    };
    let rules = shared.hooks.channel_options(&channel)?;
    let (maps, map) = shared.map_of(&rules)?;
    let key = other.unwrap_or(key);
    if key.is_empty() {
        return Err(ReplyError::BAD_REQUEST.into());
    }
    options.delta |= rules.delta_publish;
    options.info.get_or_insert_with(|| {
        Arc::new(ClientInfo {
            user: client.user.clone(),
            client: Some(client.id),
            connection: client.info.to_payload(),
            channel: channel_info.unwrap_or_default(),
        })
    });
    let publish = MapPublish::new(channel, key, replaced.unwrap_or(data), map.policy);
    shared.map_publish(maps, MapPublish { options: *options, ..publish }).await?;
    Ok(())
}

async fn remove(
    shared: &Arc<Shared>,
    standing: Standing,
    channel: Channel,
    key: Arc<str>,
) -> Result<(), Refusal> {
    let Standing { client, subscribed, allow } = standing;
    let mut request = MapRemoveRequest::new(client, channel.clone(), key.clone(), subscribed);
    request.allow = allow;
    let decision = shared.deadline(shared.hooks.clone().map_remove(request)).await?;
    let MapRemoveDecision::Remove { key: other, options } = decision else { return Ok(()) };
    let rules = shared.hooks.channel_options(&channel)?;
    let (maps, map) = shared.map_of(&rules)?;
    let key = other.unwrap_or(key);
    if key.is_empty() {
        return Err(ReplyError::BAD_REQUEST.into());
    }
    shared.map_remove(maps, removal(channel, key, &map, *options)).await?;
    Ok(())
}
