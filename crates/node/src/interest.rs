//! Which channels the broker, or the store of keyed channels, is asked to deliver to this node.
//!
//! One task talks to each of them, so that a subscribe and an unsubscribe of the same channel can never overtake each
//! other. It takes many requests into one call to the broker, and keeps a channel for a while after its last
//! subscriber left (HID-25), so that reloading pages cost the broker nothing.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tourbillon_broker::{BoxFuture, BrokerError};
use tourbillon_hub::Source;
use tourbillon_types::{Channel, Instant};

use crate::shared::Shared;
use tourbillon_metrics::Action;

/// How long a channel is kept after its last subscriber left.
const LINGER: Duration = Duration::from_secs(1);

/// The most channels in one call to the broker.
const BATCH: usize = 512;

/// Requests for channels that wait for the broker; beyond it subscribers wait to ask.
const REQUESTS: usize = 4096;

/// Asks for channels and gives them up.
#[derive(Debug)]
pub(crate) struct Interest {
    source: Source,
    requests: mpsc::Sender<Request>,
    released: Mutex<Vec<Channel>>,
    notify: Notify,
}

#[derive(Debug)]
struct Request {
    channel: Channel,
    answer: oneshot::Sender<bool>,
}

/// The receiving end, for the task that talks to the broker.
#[derive(Debug)]
pub(crate) struct Requests(mpsc::Receiver<Request>);

pub(crate) fn interest(source: Source) -> (Interest, Requests) {
    let (sender, receiver) = mpsc::channel(REQUESTS);
    (
        Interest { source, requests: sender, released: Mutex::new(Vec::new()), notify: Notify::new() },
        Requests(receiver),
    )
}

impl Interest {
    /// Waits until the broker delivers the channel.
    pub(crate) async fn ensure(&self, channel: Channel) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || BrokerError::unavailable("the node stops");
        self.requests.send(Request { channel, answer }).await.map_err(|_| stopped())?;
        match answered.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(BrokerError::unavailable("subscribing to the channel failed")),
            Err(_) => Err(stopped()),
        }
    }

    /// Gives a channel up.
    pub(crate) fn release(&self, channel: Channel) {
        self.released.lock().push(channel);
        self.notify.notify_one();
    }

    fn take_released(&self) -> Vec<Channel> {
        std::mem::take(&mut *self.released.lock())
    }
}

/// Talks to the source for ever.
pub(crate) async fn run(shared: &Shared, interest: &Interest, mut requests: Requests) {
    let mut state = State::new(shared, interest.source);
    let mut batch = Vec::new();
    loop {
        let due = state.lingering.front().map(|(due, _)| *due);
        tokio::select! {
            // Subscribers wait for these, so they come first.
            biased;
            received = requests.0.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                state.subscribe(std::mem::take(&mut batch)).await;
            }
            () = interest.notify.notified() => state.linger(interest.take_released()),
            () = wait_until(shared, due) => state.unsubscribe().await,
        }
    }
}

async fn wait_until(shared: &Shared, due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep(due - shared.clock.now().instant).await,
        None => std::future::pending().await,
    }
}

struct State<'a> {
    shared: &'a Shared,
    source: Source,
    /// What the source is known to deliver.
    subscribed: HashSet<Channel>,
    /// What it may deliver or not, as a call about it failed or was not answered. None of them is in `subscribed`: whoever
    /// wants one has to ask anew, and one that nobody wants is given up anew.
    unsure: HashSet<Channel>,
    lingering: VecDeque<(Instant, Channel)>,
}

impl<'a> State<'a> {
    fn new(shared: &'a Shared, source: Source) -> Self {
        let (subscribed, unsure) = (HashSet::new(), HashSet::new());
        Self { shared, source, subscribed, unsure, lingering: VecDeque::new() }
    }

    /// As what it counts that a channel is asked for and given up.
    const fn actions(&self) -> [Action; 2] {
        match self.source {
            Source::Maps => [Action::MapBrokerSubscribe, Action::MapBrokerUnsubscribe],
            Source::Broker => [Action::BrokerSubscribe, Action::BrokerUnsubscribe],
        }
    }

    async fn subscribe(&mut self, requests: Vec<Request>) {
        let mut wanted: Vec<Channel> = requests
            .iter()
            .map(|request| &request.channel)
            .filter(|channel| !self.subscribed.contains(*channel))
            .cloned()
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let [subscribe, _] = self.actions();
        wanted.iter().for_each(|_| self.shared.metrics.act(subscribe));
        let done = wanted.is_empty() || self.call(self.ask(&wanted, true)).await;
        if done {
            wanted.iter().for_each(|channel| {
                self.unsure.remove(channel);
            });
            self.subscribed.extend(wanted);
        } else {
            self.doubt(wanted);
        }
        for request in requests {
            // A subscriber that is gone meanwhile has released the channel already.
            let _ = request.answer.send(self.subscribed.contains(&request.channel));
        }
    }

    /// It is not known whether the source delivers these.
    fn doubt(&mut self, channels: Vec<Channel>) {
        self.unsure.extend(channels.iter().cloned());
        self.linger(channels);
    }

    fn linger(&mut self, released: Vec<Channel>) {
        let due = self.shared.clock.now().instant + LINGER;
        self.lingering.extend(released.into_iter().map(|channel| (due, channel)));
    }

    async fn unsubscribe(&mut self) {
        let now = self.shared.clock.now().instant;
        let mut unwanted = Vec::new();
        while unwanted.len() < BATCH
            && let Some((due, _)) = self.lingering.front()
            && *due <= now
        {
            let Some((_, channel)) = self.lingering.pop_front() else { break };
            let polled = self.source == Source::Broker && self.shared.poller.has(&channel);
            let wanted = polled || self.shared.hub.wants(&channel, self.source);
            // Who wants one that is not sure has asked for it anew, or is about to.
            if !wanted && (self.subscribed.remove(&channel) || self.unsure.remove(&channel)) {
                unwanted.push(channel);
            }
        }
        let [_, unsubscribe] = self.actions();
        unwanted.iter().for_each(|_| self.shared.metrics.act(unsubscribe));
        if unwanted.is_empty() || self.call(self.ask(&unwanted, false)).await {
            return;
        }
        // Tried again later.
        self.doubt(unwanted);
    }

    fn ask<'c>(&'c self, channels: &'c [Channel], wanted: bool) -> BoxFuture<'c, Result<(), BrokerError>> {
        let engine = &self.shared.engine;
        match (self.source, engine.maps()) {
            (Source::Maps, Some(maps)) if wanted => maps.subscribe(channels),
            (Source::Maps, Some(maps)) => maps.unsubscribe(channels),
            (Source::Maps, None) => Box::pin(std::future::ready(Ok(()))),
            (Source::Broker, _) if wanted => engine.broker().subscribe(channels),
            (Source::Broker, _) => engine.broker().unsubscribe(channels),
        }
    }

    async fn call(&self, call: impl Future<Output = Result<(), BrokerError>>) -> bool {
        match tokio::time::timeout(self.shared.call_timeout(), call).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "broker refused a change of channels");
                false
            }
            Err(_) => {
                tracing::warn!("broker did not answer a change of channels in time");
                false
            }
        }
    }
}
