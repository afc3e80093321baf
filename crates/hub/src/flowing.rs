//! Deliveries in channels whose publications are collected, or of which slow connections may miss some.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tourbillon_transport::Message;
use tourbillon_types::{Channel, Publication};

use crate::batches::Due;
use crate::bodies::Encoder;
use crate::channel::{Entry, Group, Subscribers};
use crate::encodings::Encodings;
use crate::flow::{Flow, FlowRules, Held};
use crate::hub::Hub;
use crate::subscriber::Subscriber;

impl<C: Subscriber> Hub<C> {
    /// Gives a channel its rules, which are those of most channels or its own.
    pub(crate) fn set_rules(
        &self,
        channel: &Channel,
        entry: &Arc<Entry<C>>,
        subscribers: &mut Subscribers<C>,
        rules: FlowRules,
    ) {
        let present = subscribers.flow.as_ref().map_or_else(FlowRules::default, |flow| flow.rules());
        if present == rules {
            return;
        }
        self.deliver_held(channel, entry, subscribers);
        subscribers.groups_mut().for_each(Group::end_burst);
        match &mut subscribers.flow {
            _ if rules.is_plain() => subscribers.flow = None,
            Some(flow) => flow.set_rules(rules),
            none => {
                let lane = self.last_lane.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                *none = Some(Box::new(Flow::new(rules, lane)));
            }
        }
    }

    /// What becomes of a publication in such a channel. What is `late` has lost the positions.
    pub(crate) fn flow(
        &self,
        channel: &Channel,
        entry: &Arc<Entry<C>>,
        subscribers: &mut Subscribers<C>,
        publication: &Arc<Publication>,
        late: bool,
    ) {
        subscribers.collect(channel, publication);
        let Some(flow) = &mut subscribers.flow else { return };
        if late || flow.ends_before(publication) {
            self.deliver_held(channel, entry, subscribers);
        }
        if late && let Some(tracked) = &mut subscribers.tracked {
            tracked.lose(channel, |_| true);
        }
        let Some(flow) = &mut subscribers.flow else { return };
        if !flow.is_batching() || late {
            return self.deliver(channel, entry, subscribers, &Held::one(publication));
        }
        if flow.hold(publication, || self.clock.now().instant) {
            return self.deliver_held(channel, entry, subscribers);
        }
        if !flow.awaited
            && let Some(at) = flow.due()
        {
            flow.awaited = true;
            self.batches.add(Due { at, channel: channel.clone(), entry: Arc::downgrade(entry) });
        }
    }

    /// Looks whether a batch is due.
    pub(crate) fn deliver_due(&self, due: Due<C>) {
        let Some(entry) = due.entry.upgrade() else { return };
        let mut subscribers = entry.subscribers.lock();
        let Some(flow) = &mut subscribers.flow else { return };
        match flow.due() {
            None => flow.awaited = false,
            // Another batch has begun meanwhile.
            Some(at) if at > due.at && at > self.clock.now().instant => {
                self.batches.add(Due { at, ..due });
            }
            Some(_) => {
                flow.awaited = false;
                self.deliver_held(&due.channel, &entry, &mut subscribers);
            }
        }
    }

    /// Delivers what is held of a channel, if anything is.
    pub(crate) fn deliver_held(
        &self,
        channel: &Channel,
        entry: &Arc<Entry<C>>,
        subscribers: &mut Subscribers<C>,
    ) {
        let Some(flow) = &mut subscribers.flow else { return };
        let held = flow.take();
        if !held.is_empty() {
            self.deliver(channel, entry, subscribers, &held);
        }
    }

    fn deliver(
        &self,
        channel: &Channel,
        entry: &Arc<Entry<C>>,
        subscribers: &mut Subscribers<C>,
        held: &Held,
    ) {
        let Some(sender) = subscribers.flow.as_ref().map(|flow| flow.sender()) else { return };
        // Another channel's run, which stands before this in queues, takes nothing that comes after it.
        self.last.store(Arc::as_ptr(entry).addr(), Ordering::Relaxed);
        let number = subscribers.number;
        let mut encoded: Vec<_> = held
            .publications()
            .map(|(publication, offsets)| {
                let encoder = Encoder::new(channel, number, publication);
                ((publication, offsets), Encodings::new(move |form| encoder.encode(form)))
            })
            .collect();
        for group in subscribers.groups_mut() {
            let form = group.form;
            let messages: Result<Vec<Message>, _> =
                encoded.iter_mut().map(|(_, encodings)| encodings.of(form)).collect();
            match messages {
                Ok(messages) => group.deliver(&messages, sender),
                Err(why) => group.fail(&why),
            }
        }
        let Some(tracked) = &mut subscribers.tracked else { return };
        for (publication, encodings) in encoded {
            let mut encodings = encodings;
            tracked.deliver(channel, publication, &mut encodings, sender);
        }
    }
}

impl<C: Subscriber> Subscribers<C> {
    /// Has a publication wait behind the gates that are closed: what is held is for those whose gates are open.
    fn collect(&mut self, channel: &Channel, publication: &Arc<Publication>) {
        let encoder = Encoder::new(channel, self.number, publication);
        let mut encodings = Encodings::new(|form| encoder.encode(form));
        for group in self.groups_mut().filter(|group| group.is_collecting()) {
            match encodings.of(group.form) {
                Ok(message) => group.collect(&message),
                Err(why) => group.fail(&why),
            }
        }
        if let Some(tracked) = &mut self.tracked {
            tracked.collect(publication);
        }
    }
}
