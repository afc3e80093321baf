//! Values of polled channels on their way to subscribers, encoded once for each form.

use std::sync::Arc;

use tourbillon_shared_poll::{Delivery, Receives, Recipients, Sink};
use tourbillon_types::{Channel, Payload, Publication, Unsubscribe};

use crate::bodies::{Encoder, whole};
use crate::encodings::{Body, Encodings, Form};
use crate::hub::Hub;
use crate::subscriber::Subscriber;

/// Sends values of polled channels to connections, which have other channels of this hub.
#[derive(Debug)]
pub struct Fanout<'a, C>(pub &'a Hub<C>);

impl<C: Subscriber> Sink<Arc<C>> for Fanout<'_, C> {
    fn deliver(&mut self, delivery: &Delivery<'_>, to: Recipients<'_, '_, Arc<C>>) {
        let Delivery { channel, publication, base } = *delivery;
        let encoder = Encoder::new(channel, 0, publication);
        // Who takes deltas in JSON reads a text, even where a key is no more.
        let ended = publication.removed.then(|| Publication {
            data: Payload::from_json(bytes::Bytes::from_static(br#""null""#)),
            ..publication.clone()
        });
        let mut encodings = Encodings::new(|form: Form| match &ended {
            Some(ended) if form.body == Body::Text => {
                Encoder::new(channel, 0, ended).encode(Form { body: Body::Plain, ..form })
            }
            _ => encoder.encode(form),
        });
        for (conn, receives) in to {
            self.0.interrupt();
            let body = match (receives, base) {
                (Receives::Plain, _) => Body::Plain,
                (Receives::Delta, Some(base)) if encoder.is_smaller_than_whole(base) => Body::Delta,
                (Receives::Delta | Receives::Whole, _) => whole(conn.variant().encoding),
            };
            encodings.send(conn, false, body);
        }
    }

    fn lost(&mut self, channel: &Channel, who: &Arc<C>) {
        // Unlike what is insufficient, this waits for a subscribe that is under way.
        who.unsubscribe(channel, Unsubscribe::INSUFFICIENT_STATE);
    }
}
