//! What a publication's data looks like to those who negotiated deltas.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tourbillon_delta::Creator;
use tourbillon_protocol::{is_json, json_string};
use tourbillon_types::{Disconnect, Encoding, Payload, Publication};

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

/// What makes `target` of `source`, if that is smaller (HID-09) and not too much work.
#[must_use]
pub fn difference(source: &[u8], target: &[u8]) -> Option<Payload> {
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

/// A publication with its data in a JSON string (HID-08).
///
/// # Errors
///
/// [`Disconnect::INAPPROPRIATE_PROTOCOL`] where the data is no JSON.
pub fn as_text(publication: &Publication) -> Result<Publication, Disconnect> {
    if publication.key.is_some() && publication.data.is_empty() {
        // A key may have no value, and a removal has none (MAP-31). The SDK parses what is in the string even so.
        return Ok(Publication { data: Payload::from(r#""null""#), ..publication.clone() });
    }
    let data = json_string(publication.data.as_ref()).filter(|_| is_for_json(&publication.data));
    let data = data.ok_or(Disconnect::INAPPROPRIATE_PROTOCOL)?;
    Ok(Publication { data, ..publication.clone() })
}

/// A publication with this delta in place of its data.
///
/// # Errors
///
/// [`Disconnect::INAPPROPRIATE_PROTOCOL`] where the encoding is JSON and the data is not.
pub fn as_delta(
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
/// # Errors
///
/// [`Disconnect::INAPPROPRIATE_PROTOCOL`] where a JSON client cannot be told of one of them.
pub fn chain(
    encoding: Encoding,
    publications: &[Arc<Publication>],
) -> Result<Vec<Arc<Publication>>, Disconnect> {
    let mut before: Option<&Payload> = None;
    chain_from(encoding, publications, |publication| before.replace(&publication.data))
}

/// What a subscriber of a keyed channel missed, in the form for those who negotiated deltas: the first value of each key
/// whole, each other one as its difference from the one before it. A removal is the end of a key (DELTA-05).
///
/// # Errors
///
/// [`Disconnect::INAPPROPRIATE_PROTOCOL`] where a JSON client cannot be told of one of them.
pub fn chain_by_key(
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
/// # Errors
///
/// [`Disconnect::INAPPROPRIATE_PROTOCOL`] where a JSON client cannot be told of one of them.
pub fn in_text(
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
        chained.push(match (delta, encoding) {
            (Some(delta), _) => Arc::new(as_delta(encoding, publication, &delta)?),
            (None, Encoding::Protobuf) => publication.clone(),
            (None, Encoding::Json) => Arc::new(as_text(publication)?),
        });
    }
    Ok(chained)
}

#[cfg(test)]
mod tests {
    use tourbillon_types::Epoch;

    use super::*;

    const LONG: &str = r#"{"what":"a value that is long enough for a delta of it to be shorter","n":0}"#;

    fn set(offset: u64, key: &str, n: u8) -> Arc<Publication> {
        let data = Payload::from(LONG.replace('0', &n.to_string()).into_bytes());
        Arc::new(Publication {
            offset,
            epoch: Epoch::from("a"),
            key: Some(key.into()),
            data,
            ..Publication::default()
        })
    }

    fn removed(offset: u64, key: &str) -> Arc<Publication> {
        let data = Payload::empty();
        Arc::new(Publication { data, removed: true, ..Publication::clone(&set(offset, key, 0)) })
    }

    /// What a client has after each of them, from nothing.
    fn follow(publications: &[Arc<Publication>]) -> Vec<(String, Option<Vec<u8>>)> {
        let mut values: HashMap<String, Vec<u8>> = HashMap::new();
        let each = publications.iter().map(|publication| {
            let key = publication.key.as_deref().expect("keyed").to_owned();
            if publication.removed {
                values.remove(&key);
                return (key, None);
            }
            let mut data = publication.data.as_ref().to_vec();
            if publication.delta {
                data = tourbillon_delta::apply(&values[&key], &data, 1 << 20).expect("it has the one before");
            }
            values.insert(key.clone(), data.clone());
            (key, Some(data))
        });
        each.collect()
    }

    #[test]
    fn delta_05_each_key_has_a_chain_of_its_own_that_a_removal_ends() {
        let missed =
            [set(1, "a", 1), set(2, "b", 2), set(3, "a", 3), removed(4, "a"), set(5, "a", 5), set(6, "b", 6)];
        let chained = chain_by_key(Encoding::Protobuf, &missed).expect("all of them");
        let deltas: Vec<bool> = chained.iter().map(|publication| publication.delta).collect();
        assert_eq!(deltas, [false, false, true, false, false, true]);
        let whole = missed.iter().map(|publication| {
            let data = (!publication.removed).then(|| publication.data.as_ref().to_vec());
            (publication.key.as_deref().expect("keyed").to_owned(), data)
        });
        assert_eq!(follow(&chained), whole.collect::<Vec<_>>());
    }

    #[test]
    fn hid_08_to_json_clients_values_are_strings_and_that_of_a_removal_is_null() {
        let texts = in_text(Encoding::Json, &[set(1, "a", 1), removed(2, "a")]).expect("all of them");
        let data: Vec<_> =
            texts.iter().map(|text| String::from_utf8_lossy(text.data.as_ref()).into_owned()).collect();
        assert_eq!(data[0], serde_json::to_string(&LONG.replace('0', "1")).expect("a string"));
        assert_eq!(data[1], r#""null""#, "which the SDK can parse");
        let binary =
            Arc::new(Publication { data: Payload::from("\u{1}"), ..Publication::clone(&set(1, "a", 1)) });
        assert_eq!(in_text(Encoding::Json, &[binary]), Err(Disconnect::INAPPROPRIATE_PROTOCOL));
    }
}
