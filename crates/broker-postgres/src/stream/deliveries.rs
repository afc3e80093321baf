//! What is delivered to subscribers.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio_postgres::{Error, Row};
use tourbillon_broker::EventSink;
use tourbillon_types::{Channel, ClientInfo, Publication};

use crate::stream::row;
use crate::table::names::Names;
use crate::table::outbox::Feed;

/// Delivers what the table of publications has.
#[derive(Debug)]
pub(crate) struct Deliveries {
    names: Names,
    /// The channels that this node wants to hear of.
    wanted: Mutex<HashSet<Channel>>,
    pub(crate) events: OnceLock<EventSink>,
}

/// A row.
pub(crate) struct New {
    channel: Channel,
    what: What,
}

enum What {
    Publication(Arc<Publication>),
    Delta(Arc<Publication>, Option<Arc<Publication>>),
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
    /// Of a channel that nobody wants, or of a kind that is not known.
    Nothing,
}

impl Deliveries {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, wanted: Mutex::default(), events: OnceLock::new() }
    }

    /// What is committed from now on in these channels is delivered.
    pub(crate) fn want(&self, channels: &[Channel]) {
        self.wanted.lock().extend(channels.iter().cloned());
    }

    /// These channels are not delivered any more.
    pub(crate) fn leave(&self, channels: &[Channel]) {
        let mut wanted = self.wanted.lock();
        for channel in channels {
            wanted.remove(channel);
        }
    }

    fn publication(&self, row: &Row) -> Result<What, Error> {
        let publication = row::publication(row, &self.names)?;
        if !row.try_get::<_, bool>("use_delta")? {
            return Ok(What::Publication(Arc::new(publication)));
        }
        let before = row::payload(row, "prev_data", &self.names)?;
        let before = (!before.is_empty()).then(|| {
            let (offset, epoch) = (publication.offset.saturating_sub(1), publication.epoch.clone());
            Arc::new(Publication { data: before, offset, epoch, ..Publication::default() })
        });
        Ok(What::Delta(Arc::new(publication), before))
    }
}

impl Feed for Deliveries {
    type New = New;

    const WHAT: &str = "publications";

    fn columns(&self) -> String {
        let before = self.names.out("prev_data");
        format!("channel, kind, use_delta, {before} AS prev_data, {}", row::columns(&self.names))
    }

    fn read(&self, row: &Row) -> Result<New, Error> {
        let channel = Channel::from(row.try_get::<_, &str>("channel")?);
        let is_wanted = self.wanted.lock().contains(&channel);
        let kind: i16 = row.try_get("kind")?;
        let info = || row::info(row, &self.names).map(|info| info.map(Arc::new));
        let what = match kind {
            _ if !is_wanted => What::Nothing,
            0 | 3 => self.publication(row)?,
            1 => info()?.map_or(What::Nothing, What::Join),
            2 => info()?.map_or(What::Nothing, What::Leave),
            _ => What::Nothing,
        };
        Ok(New { channel, what })
    }

    fn take(&self, New { channel, what }: New) {
        let Some(events) = self.events.get() else { return };
        match what {
            What::Publication(publication) => events.publication(&channel, publication),
            What::Delta(publication, before) => events.delta_publication(&channel, publication, before),
            What::Join(info) => events.join(&channel, info),
            What::Leave(info) => events.leave(&channel, info),
            What::Nothing => {}
        }
    }

    fn lost(&self) {
        if let Some(events) = self.events.get() {
            events.position_lost(None);
        }
    }
}
