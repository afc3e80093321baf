//! A subscriber as a node runs it, with what its client knows.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_recovery::{
    Ask, Gate, HistoryQuery, Judgement, Lost, Offer, Opened, Page, Plan, PositionCheck, ResumeError, Resumed,
    Terms,
};
use tourbillon_types::{Epoch, Instant, Publication, StreamPosition};

pub(crate) const STREAM: Terms = Terms {
    positioned: true,
    recoverable: true,
    mode: tourbillon_recovery::RecoveryMode::Stream,
    auto_cache_recover: false,
};

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Lost(Lost),
    Refused(ResumeError),
    Full,
    Error,
    Unsubscribed,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    gate: Gate,
    plan: Option<Plan>,
    resumed: Option<Resumed>,
    check: PositionCheck,
    client: Client,
    end: Option<End>,
}

/// What the client makes of what it is told, as SDKs do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) replied: bool,
    pub(crate) recovered: bool,
    /// Where it stands by its own count.
    pub(crate) position: StreamPosition,
    /// What it got, in order.
    pub(crate) received: Vec<Arc<Publication>>,
}

impl Client {
    fn reply(&mut self, resumed: &Resumed) {
        assert!(!self.replied, "replied twice");
        assert!(resumed.recovered || resumed.publications.is_empty(), "publications though not recovered");
        self.replied = true;
        self.recovered = resumed.recovered;
        self.position = resumed.position.clone();
        for publication in &resumed.publications {
            self.publication(publication);
        }
    }

    fn publication(&mut self, publication: &Arc<Publication>) {
        assert!(self.replied, "a publication before the reply");
        let offset = publication.offset;
        assert_eq!(offset, self.position.offset + 1, "lost or doubled, and not told: {self:?}");
        if self.position.epoch.is_unknown() {
            self.position.epoch = publication.epoch.clone();
        }
        assert_eq!(publication.epoch, self.position.epoch, "another epoch, and not told");
        self.position.offset = offset;
        self.received.push(publication.clone());
    }
}

impl Subscriber {
    /// Puts the gate in place and says what the broker is to be asked.
    pub(crate) fn subscribe(ask: Ask, limit: usize, held: usize) -> (Self, HistoryQuery) {
        let plan = Plan::new(&STREAM, ask, limit).expect("a position");
        let query = plan.query();
        let gate = Gate::buffering(held);
        let check = PositionCheck::default();
        let subscriber =
            Self { gate, plan: Some(plan), resumed: None, check, client: Client::default(), end: None };
        (subscriber, query)
    }

    /// A client that has nothing, or one that comes again.
    pub(crate) fn ask(position: Option<StreamPosition>) -> Ask {
        let recover = position.is_some();
        Ask { recover, position: position.unwrap_or_default(), ..Ask::default() }
    }

    pub(crate) fn answer(&mut self, page: Page) {
        let Some(plan) = self.plan.take().filter(|_| self.end.is_none()) else { return };
        match plan.finish(page, &mut self.gate, |_| false) {
            Ok(resumed) => self.resumed = Some(resumed),
            Err(error) => self.end(End::Refused(error)),
        }
    }

    pub(crate) fn reply(&mut self) {
        let Some(resumed) = self.resumed.take().filter(|_| self.end.is_none()) else { return };
        self.client.reply(&resumed);
        let Opened { publications, lost } = self.gate.open(Some(resumed.live));
        for publication in publications {
            self.client.publication(&publication);
        }
        if let Some(lost) = lost {
            self.end(End::Lost(lost));
        }
        self.agree();
    }

    pub(crate) fn deliver(&mut self, publication: &Arc<Publication>) {
        if self.end.is_some() {
            return;
        }
        match self.gate.offer(publication, false) {
            Offer::Deliver => self.client.publication(publication),
            Offer::Skip => {}
            Offer::Held => assert!(!self.client.replied),
            Offer::Full => self.end(End::Full),
            Offer::Lost(lost) => self.end(End::Lost(lost)),
        }
        self.agree();
    }

    /// Both sides count the same.
    fn agree(&self) {
        if let Some(position) = self.gate.position() {
            assert_eq!(*position, self.client.position);
        }
    }

    pub(crate) fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    pub(crate) const fn ended(&self) -> Option<&End> {
        self.end.as_ref()
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn ask_position(&mut self) {
        if let Some(position) = self.gate.position() {
            self.check.ask(position);
        }
    }

    /// The periodic check, with what the broker said.
    pub(crate) fn judge(&mut self, now: Instant, top: &StreamPosition) -> Option<Judgement> {
        let position = self.gate.position().filter(|_| self.end.is_none())?;
        let judgement = self.check.judge(now, Duration::from_secs(40), position, top);
        if let Judgement::Lost(lost) = judgement {
            self.end(End::Lost(lost));
        }
        Some(judgement)
    }
}

pub(crate) fn epoch(number: usize) -> Epoch {
    Epoch::from(format!("epoch{number}").as_str())
}
