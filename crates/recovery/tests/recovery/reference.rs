//! What a channel's stream is, without cleverness: a vector for each epoch, and rules applied one by one.

use std::time::Duration;

use tourbillon_recovery::{HistoryPolicy, HistoryQuery};
use tourbillon_types::{Instant, StreamPosition};

use crate::subscriber::epoch;

/// All epochs there ever were, the present one last.
#[derive(Debug)]
pub(crate) struct Reference {
    /// The data of every publication; its offset is its place, from 1.
    epochs: Vec<Vec<u64>>,
    /// The offsets kept of the present epoch.
    kept: Vec<u64>,
    /// When those kept go, and when the epoch does.
    kept_until: Instant,
    until: Instant,
}

impl Reference {
    pub(crate) fn new(now: Instant, meta_ttl: Duration) -> Self {
        Self { epochs: vec![Vec::new()], kept: Vec::new(), kept_until: Instant::ZERO, until: now + meta_ttl }
    }

    /// The number of the present epoch.
    pub(crate) fn epoch(&self) -> usize {
        self.epochs.len() - 1
    }

    fn top(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.len() as u64)
    }

    pub(crate) fn position(&self) -> StreamPosition {
        StreamPosition { offset: self.top(), epoch: epoch(self.epoch()) }
    }

    /// Lets time pass; `true` when a new epoch begins.
    pub(crate) fn pass(&mut self, now: Instant, meta_ttl: Duration) -> bool {
        if self.kept_until <= now {
            self.kept.clear();
        }
        let over = self.until <= now;
        if over {
            self.restart(now, meta_ttl);
        }
        over
    }

    /// The broker forgets everything.
    pub(crate) fn restart(&mut self, now: Instant, meta_ttl: Duration) {
        self.epochs.push(Vec::new());
        self.kept.clear();
        self.until = now + meta_ttl;
    }

    pub(crate) fn publish(&mut self, now: Instant, policy: &HistoryPolicy, data: u64) {
        if let Some(epoch) = self.epochs.last_mut() {
            epoch.push(data);
        }
        self.kept.push(self.top());
        while self.kept.len() > policy.size {
            self.kept.remove(0);
        }
        self.kept_until = now + policy.ttl;
        self.until = now + policy.meta_ttl;
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// The offsets that answer a query.
    pub(crate) fn read(&mut self, now: Instant, query: &HistoryQuery, meta_ttl: Duration) -> Vec<u64> {
        self.until = now + meta_ttl;
        if !self.kept.is_empty() && self.until < self.kept_until {
            self.until = self.kept_until;
        }
        let mut offsets = self.kept.clone();
        if let Some(since) = &query.since {
            let comparable = since.epoch.is_unknown() || since.epoch == epoch(self.epoch());
            offsets.retain(|offset| {
                comparable && if query.reverse { *offset < since.offset } else { *offset > since.offset }
            });
        }
        if query.reverse {
            offsets.reverse();
        }
        offsets.truncate(query.limit.unwrap_or(usize::MAX));
        offsets
    }

    /// Whether everything after a position can be had, and is not too much.
    pub(crate) fn recovers(&self, since: &StreamPosition, limit: usize) -> bool {
        let comparable = since.epoch.is_unknown() || since.epoch == epoch(self.epoch());
        let missed: Vec<u64> = (since.offset.saturating_add(1)..=self.top()).collect();
        comparable
            && since.offset <= self.top()
            && missed.len() <= limit
            && missed.iter().all(|offset| self.kept.contains(offset))
    }

    /// The data of a publication.
    pub(crate) fn data(&self, epoch_text: &str, offset: u64) -> Option<u64> {
        let number = (0..self.epochs.len()).find(|number| epoch(*number).as_str() == epoch_text)?;
        let place = usize::try_from(offset).ok()?.checked_sub(1)?;
        self.epochs.get(number)?.get(place).copied()
    }
}
