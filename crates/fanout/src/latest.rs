//! The channel's latest publication, for those who have it and take the next one as its difference.

use std::sync::Arc;

use tourbillon_types::{Payload, Publication, StreamPosition};

/// The latest publication. Publications are counted from 1, so that a number stands for one publication: a subscriber
/// that has this one can do with a delta against it, and nobody else.
#[derive(Debug, Default)]
pub struct Latest {
    number: u64,
    /// `None` when it is not kept.
    data: Option<Payload>,
    position: StreamPosition,
    /// Where it lay in memory.
    address: usize,
}

impl Latest {
    /// The number of the publication after this one.
    #[inline]
    pub const fn coming(&self) -> u64 {
        self.number + 1
    }

    /// The data of the latest publication, if it is kept and is the one with this number.
    #[inline]
    pub fn data(&self, number: u64) -> Option<&Payload> {
        self.data.as_ref().filter(|_| number == self.number)
    }

    /// Another publication is the latest. It has been offered to every subscriber.
    pub fn advance(&mut self, publication: &Arc<Publication>, keeps: bool) {
        self.number += 1;
        // What a stream has is in memory of its own already; anything else may be a piece of what was read with it.
        let own = |data: &Payload| if publication.offset > 0 { data.clone() } else { data.detached() };
        self.data = keeps.then(|| own(&publication.data));
        self.position = position(publication);
        self.address = Arc::as_ptr(publication).addr();
    }

    /// Nobody takes deltas any more.
    pub fn forget(&mut self) {
        *self = Self { number: self.number, ..Self::default() };
    }

    /// The number of a publication that the stream holds; 0 if it is not the latest. When nothing is known of the latest
    /// one it is this: who has it, has it.
    pub fn number_of_stored(&mut self, publication: &Publication) -> u64 {
        if self.data.is_none() {
            self.number += 1;
            self.data = Some(publication.data.clone());
            self.position = position(publication);
            self.address = 0;
        }
        if self.is_at(publication) { self.number } else { 0 }
    }

    /// The number of a publication that was offered to a gate and waited there; 0 if it is not the latest.
    pub fn number_of_held(&self, publication: &Arc<Publication>) -> u64 {
        // Outside a stream nothing but identity tells publications apart. The gate has held this one since it was the
        // latest, and so no other one can have lain at its place.
        let same = if publication.offset > 0 {
            self.is_at(publication)
        } else {
            self.address == Arc::as_ptr(publication).addr()
        };
        if same { self.number } else { 0 }
    }

    fn is_at(&self, publication: &Publication) -> bool {
        let StreamPosition { offset, epoch } = &self.position;
        publication.offset > 0
            && *offset == publication.offset
            && *epoch == publication.epoch
            && !epoch.is_unknown()
    }
}

fn position(publication: &Publication) -> StreamPosition {
    StreamPosition { offset: publication.offset, epoch: publication.epoch.clone() }
}
