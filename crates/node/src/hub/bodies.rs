//! What a publication's data looks like to those who negotiated deltas.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_delta::Creator;
use tourbillon_protocol::{is_json, json_string};
use tourbillon_transport::Message;
use tourbillon_types::{Channel, Disconnect, Encoding, Payload, Publication};

use super::encodings::{Body, Form};

/// The most work for one delta: some milliseconds at worst, for which the channel is held up. Large documents with
/// changes in a few places take a fraction of it.
const WORK: usize = 1 << 19;

/// The longest publication for which a delta is looked for.
const LONGEST: usize = 4 * 1024 * 1024;

/// The most bytes that are compared for the deltas of one subscribe reply; what is beyond comes whole.
const RECOVERED: usize = 4 * 1024 * 1024;

/// The most memory that a thread keeps for creating deltas, in bytes.
const KEPT: usize = 64 * 1024;

thread_local! {
    static CREATOR: RefCell<(Creator, Vec<u8>)> = RefCell::default();
}

/// The body of a whole publication for a subscriber who takes deltas.
pub(super) const fn whole(encoding: Encoding) -> Body {
    match encoding {
        Encoding::Json => Body::Text,
        Encoding::Protobuf => Body::Plain,
    }
}

/// What makes `target` of `source`, if that is smaller (HID-09) and not too much work.
fn difference(source: &[u8], target: &[u8]) -> Option<Payload> {
    if source.len().max(target.len()) > LONGEST {
        return None;
    }
    CREATOR.with_borrow_mut(|(creator, delta)| {
        let found = creator.create_if_smaller_within(WORK, source, target, delta);
        let found = found.then(|| Payload::from(delta.as_slice().to_vec()));
        if creator.scratch_bytes() > KEPT {
            *creator = Creator::new();
        }
        if delta.capacity() > KEPT {
            *delta = Vec::new();
        }
        found
    })
}

/// Whether JSON clients can have it, whole or not.
fn is_for_json(data: &Payload) -> bool {
    data.is_empty() || is_json(data)
}

/// A publication with its data in a JSON string.
fn as_text(publication: &Publication) -> Result<Publication, Disconnect> {
    if publication.key.is_some() && publication.data.is_empty() {
        // A key may have no value, and a removal has none (MAP-31).
        return Ok(publication.clone());
    }
    let data = json_string(publication.data.as_ref()).filter(|_| is_for_json(&publication.data));
    let data = data.ok_or(Disconnect::INAPPROPRIATE_PROTOCOL)?;
    Ok(Publication { data, ..publication.clone() })
}

/// A publication with this delta in place of its data.
fn as_delta(
    encoding: Encoding,
    publication: &Publication,
    delta: &Payload,
) -> Result<Publication, Disconnect> {
    let data = match encoding {
        Encoding::Protobuf => Some(delta.clone()),
        // The delta of a text is one.
        Encoding::Json => json_string(delta.as_ref()).filter(|_| is_for_json(&publication.data)),
    };
    let data = data.ok_or(Disconnect::INAPPROPRIATE_PROTOCOL)?;
    Ok(Publication { data, delta: true, ..publication.clone() })
}

/// What a subscriber missed, in the form for those who negotiated deltas: the first one whole, each other one as its
/// difference from the one before it (DELTA-05).
///
/// An error when a JSON client cannot be told of one of them.
pub(crate) fn chain(
    encoding: Encoding,
    publications: &[Arc<Publication>],
) -> Result<Vec<Arc<Publication>>, Disconnect> {
    let mut before: Option<&Payload> = None;
    chain_from(encoding, publications, |publication| before.replace(&publication.data))
}

/// What a subscriber of a keyed channel missed, in the form for those who negotiated deltas: the first value of each key
/// whole, each other one as its difference from the one before it. A removal is the end of a key (DELTA-05).
///
/// An error when a JSON client cannot be told of one of them.
pub(crate) fn chain_by_key(
    encoding: Encoding,
    publications: &[Arc<Publication>],
) -> Result<Vec<Arc<Publication>>, Disconnect> {
    let mut before: HashMap<Option<&str>, &Payload, RandomState> = HashMap::default();
    chain_from(encoding, publications, |publication| {
        let key = publication.key.as_deref();
        if publication.removed {
            before.remove(&key);
            return None;
        }
        before.insert(key, &publication.data)
    })
}

/// Publications in the form for those who negotiated deltas, each whole.
///
/// An error when a JSON client cannot be told of one of them.
pub(crate) fn in_text(
    encoding: Encoding,
    publications: &[Arc<Publication>],
) -> Result<Vec<Arc<Publication>>, Disconnect> {
    chain_from(encoding, publications, |_| None)
}

/// `before` gives what the receiver has of a publication's data before it has that.
fn chain_from<'a>(
    encoding: Encoding,
    publications: &'a [Arc<Publication>],
    mut before: impl FnMut(&'a Publication) -> Option<&'a Payload>,
) -> Result<Vec<Arc<Publication>>, Disconnect> {
    let mut budget = RECOVERED;
    let mut chained = Vec::with_capacity(publications.len());
    for publication in publications {
        let data = &publication.data;
        let delta = before(publication).and_then(|before| {
            budget = budget.checked_sub(before.len() + data.len())?;
            difference(before.as_ref(), data.as_ref())
        });
        chained.push(match (delta, whole(encoding)) {
            (Some(delta), _) => Arc::new(as_delta(encoding, publication, &delta)?),
            (None, Body::Plain | Body::Delta) => publication.clone(),
            (None, Body::Text) => Arc::new(as_text(publication)?),
        });
    }
    Ok(chained)
}

/// A publication, and how it is encoded in each form.
pub(super) struct Encoder<'a> {
    channel: &'a Channel,
    number: i64,
    publication: &'a Publication,
    /// The difference from the publication before: looked for once, when a subscriber wants it.
    delta: OnceCell<Option<Payload>>,
}

impl<'a> Encoder<'a> {
    /// `number` is the channel's, for those who take that.
    pub(super) const fn new(channel: &'a Channel, number: i64, publication: &'a Publication) -> Self {
        Self { channel, number, publication, delta: OnceCell::new() }
    }

    /// Whether the publication has a place in a stream.
    pub(super) const fn is_in_stream(&self) -> bool {
        self.publication.offset > 0
    }

    /// Whether those who have `before` get this publication as a delta. The first one asked about counts.
    pub(super) fn is_smaller_than_whole(&self, before: &Payload) -> bool {
        let find = || difference(before.as_ref(), self.publication.data.as_ref());
        self.delta.get_or_init(find).is_some()
    }

    pub(super) fn encode(&self, form: Form) -> Result<Message, Disconnect> {
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
