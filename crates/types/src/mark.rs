//! What a message says of its receiver's place in streams.

use crate::{Channel, Publication, StreamPosition};

/// What changes about where a client stands, once it has a message.
///
/// A transport moves messages without looking into them. One that has a way of its own to tell a client where it stands,
/// such as the ids of server-sent events, learns it from the mark beside the message, as the message is written: what
/// was dropped from a queue moves nothing.
///
/// Marked is what goes to unidirectional connections in JSON, and of it what concerns subscriptions that recover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The connection is accepted: the client stands here, and nowhere else.
    Begin(Vec<(Channel, StreamPosition)>),
    /// It has one more channel, and stands here.
    Add(Channel, StreamPosition),
    /// It has the publication at this position, if it has the channel at all.
    Move(Channel, StreamPosition),
    /// It does not have the channel any more.
    Remove(Channel),
}

impl Mark {
    /// The mark of a publication in a channel; `None` of one without a place in a stream.
    #[must_use]
    pub fn of_publication(channel: &Channel, publication: &Publication) -> Option<Self> {
        let Publication { offset, epoch, .. } = publication;
        let position = StreamPosition { offset: *offset, epoch: epoch.clone() };
        (*offset > 0).then(|| Self::Move(channel.clone(), position))
    }

    /// Whether a client that stood nowhere stands somewhere.
    #[must_use]
    pub fn begins(&self) -> bool {
        match self {
            Self::Begin(places) => !places.is_empty(),
            Self::Add(..) => true,
            Self::Move(..) | Self::Remove(_) => false,
        }
    }
}
