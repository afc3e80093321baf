//! Where a client stands that has a push.

use tourbillon_types::{Channel, Mark, StreamPosition};

use crate::reply::{ConnectResult, Push, PushEvent, SubscribeResult};

impl Push {
    /// What the push changes about where a client stands that never sends; `None` for nothing.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        match (&self.event, &self.channel) {
            (PushEvent::Connect(connected), _) => Some(connected.mark()),
            (PushEvent::Publication(publication), Some(channel)) => {
                Mark::of_publication(channel, publication)
            }
            (PushEvent::Subscribe(subscribed), Some(channel)) => {
                let position = subscribed.position.clone();
                subscribed.recoverable.then(|| Mark::Add(channel.clone(), position))
            }
            (PushEvent::Unsubscribe(_), Some(channel)) => Some(Mark::Remove(channel.clone())),
            _ => None,
        }
    }
}

impl ConnectResult {
    /// Where the client stands in the channels that recover, with what it missed in them.
    fn mark(&self) -> Mark {
        let place = |(channel, subscribed): &(Channel, SubscribeResult)| {
            let SubscribeResult { recoverable, position, publications, .. } = subscribed;
            let last = publications.last().map_or(0, |last| last.offset);
            let epoch = position.epoch.clone();
            let position = StreamPosition { offset: position.offset.max(last), epoch };
            recoverable.then(|| (channel.clone(), position))
        };
        Mark::Begin(self.subs.iter().filter_map(place).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tourbillon_types::{Disconnect, Epoch, Publication, Unsubscribe};

    use super::*;
    use crate::reply::SubscribePush;

    fn at(offset: u64) -> StreamPosition {
        StreamPosition { offset, epoch: Epoch::from("e") }
    }

    fn publication(offset: u64) -> Arc<Publication> {
        Arc::new(Publication { offset, epoch: Epoch::from("e"), ..Publication::default() })
    }

    fn mark(channel: Option<&str>, event: PushEvent) -> Option<Mark> {
        Push { channel: channel.map(Channel::from), id: 0, event }.mark()
    }

    #[test]
    fn pushes_say_where_a_client_stands_that_has_them() {
        let channel = Channel::from("a");
        let of_channel = |event| mark(Some("a"), event);
        let moved = of_channel(PushEvent::Publication(publication(3)));
        assert_eq!(moved, Some(Mark::Move(channel.clone(), at(3))));
        assert_eq!(of_channel(PushEvent::Publication(publication(0))), None, "outside a stream");
        for recoverable in [true, false] {
            let event = SubscribePush { recoverable, position: at(3), ..SubscribePush::default() };
            let added = recoverable.then(|| Mark::Add(channel.clone(), at(3)));
            assert_eq!(of_channel(PushEvent::Subscribe(event)), added);
        }
        let gone = of_channel(PushEvent::Unsubscribe(Unsubscribe::SERVER));
        assert_eq!(gone, Some(Mark::Remove(channel)));
        assert_eq!(mark(None, PushEvent::Disconnect(Disconnect::SHUTDOWN)), None);
    }

    /// What the reply says is where recovery began; the client stands behind what was recovered.
    #[test]
    fn a_connection_begins_behind_what_it_recovered() {
        let subscribed = |recoverable, offset, publications: &[u64]| SubscribeResult {
            recoverable,
            position: at(offset),
            publications: publications.iter().copied().map(publication).collect(),
            ..SubscribeResult::default()
        };
        let subs = [
            ("a", subscribed(true, 3, &[4, 5])),
            ("b", subscribed(true, 3, &[])),
            ("c", subscribed(false, 3, &[])),
        ];
        let subs = subs.map(|(channel, subscribed)| (Channel::from(channel), subscribed)).into();
        let connected = ConnectResult { subs, ..ConnectResult::default() };
        let begun = mark(None, PushEvent::Connect(Box::new(connected)));
        assert_eq!(begun, Some(Mark::Begin(vec![(Channel::from("a"), at(5)), (Channel::from("b"), at(3))])));
    }
}
