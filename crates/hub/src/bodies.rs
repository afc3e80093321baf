//! What a publication's data looks like to those who negotiated deltas.

use std::cell::OnceCell;

use tourbillon_fanout::deltas::{as_delta, as_text, difference};
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Disconnect, Encoding, Payload, Publication};

use crate::encodings::{Body, Form};

/// The body of a whole publication for a subscriber who takes deltas.
pub(crate) const fn whole(encoding: Encoding) -> Body {
    match encoding {
        Encoding::Json => Body::Text,
        Encoding::Protobuf => Body::Plain,
    }
}

/// A publication, and how it is encoded in each form.
pub(crate) struct Encoder<'a> {
    channel: &'a Channel,
    number: i64,
    publication: &'a Publication,
    /// The difference from the publication before: looked for once, when a subscriber wants it.
    delta: OnceCell<Option<Payload>>,
}

impl<'a> Encoder<'a> {
    /// `number` is the channel's, for those who take that.
    pub(crate) const fn new(channel: &'a Channel, number: i64, publication: &'a Publication) -> Self {
        Self { channel, number, publication, delta: OnceCell::new() }
    }

    /// Whether the publication has a place in a stream.
    pub(crate) const fn is_in_stream(&self) -> bool {
        self.publication.offset > 0
    }

    /// Whether those who have `before` get this publication as a delta. The first one asked about counts.
    pub(crate) fn is_smaller_than_whole(&self, before: &Payload) -> bool {
        let find = || difference(before.as_ref(), self.publication.data.as_ref());
        self.delta.get_or_init(find).is_some()
    }

    pub(crate) fn encode(&self, form: Form) -> Result<Message, Disconnect> {
        let encoding = form.variant.encoding;
        let delta = self.delta.get().and_then(Option::as_ref).filter(|_| form.body == Body::Delta);
        match (delta, form.body) {
            (Some(delta), _) => self.encode_as(form, &as_delta(encoding, self.publication, delta)?),
            (None, Body::Plain) => self.encode_as(form, self.publication),
            (None, _) => self.encode_as(form, &as_text(self.publication)?),
        }
    }

    fn encode_as(&self, form: Form, publication: &Publication) -> Result<Message, Disconnect> {
        let number = if form.compact { self.number } else { 0 };
        crate::encode::publication(form.variant, self.channel, number, publication)
            .map_err(|_| Disconnect::INAPPROPRIATE_PROTOCOL)
    }
}
