//! What is handed on by publish and subscribe (RED-08), and the entries of lists, which look the same (RED-10).

use bytes::Bytes;
use tourbillon_protocol::stored::{Stored, decode_info, decode_publication};
use tourbillon_types::{ClientInfo, Epoch, Publication, StreamPosition};

/// In front of somebody who came.
pub(crate) const JOIN: &[u8] = b"__j__";
/// In front of somebody who left.
pub(crate) const LEAVE: &[u8] = b"__l__";

const MARK: &[u8] = b"__";

/// One message.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// A publication.
    Publication(Publication),
    /// A publication of which a delta may be made, with the one before it, if that is known.
    Delta(Publication, Option<Publication>),
    /// Somebody came.
    Join(ClientInfo),
    /// Somebody left.
    Leave(ClientInfo),
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message: {0}")]
pub(crate) struct Damaged(&'static str);

/// Reads a message.
pub(crate) fn parse(bytes: &Bytes) -> Result<Message, Damaged> {
    match bytes.strip_prefix(MARK) {
        // No Protobuf message begins like this: it would be of a type that does not exist.
        None => plain(bytes.clone(), StreamPosition::default()),
        Some([b'j', rest @ ..]) => info(bytes, rest).map(Message::Join),
        Some([b'l', rest @ ..]) => info(bytes, rest).map(Message::Leave),
        Some([b'p', b'1', b':', rest @ ..]) => {
            let (position, publication) = positioned(bytes, rest)?;
            plain(publication, position)
        }
        Some([b'd', b'1', b':', rest @ ..]) => with_previous(bytes, rest),
        Some(_) => Err(Damaged("of a kind that is not known")),
    }
}

/// Reads an entry of a list.
pub(crate) fn parse_entry(bytes: &Bytes) -> Result<Publication, Damaged> {
    match parse(bytes)? {
        Message::Publication(publication) | Message::Delta(publication, _) => Ok(publication),
        Message::Join(_) | Message::Leave(_) => Err(Damaged("no publication")),
    }
}

/// Reads a message of a keyed channel (MAPB-03); `None`: the channel was cleared.
pub(crate) fn parse_change(bytes: &Bytes) -> Result<Option<Message>, Damaged> {
    match &bytes[..] {
        b"c" => Ok(None),
        [b'd', b':', rest @ ..] => with_entry(bytes, rest).map(Some),
        _ => parse_state(bytes).map(Message::Publication).map(Some),
    }
}

/// Reads an entry of the state: `<offset>:<epoch>:<publication>`.
pub(crate) fn parse_state(bytes: &Bytes) -> Result<Publication, Damaged> {
    let (offset, rest) = cut(bytes)?;
    let (epoch, current) = cut(rest)?;
    let position = position(offset, epoch)?;
    Ok(placed(publication(bytes.slice_ref(current))?.publication, position))
}

/// `<offset>:<epoch>:<length>:<entry before>:<length>:<publication>`
fn with_entry(whole: &Bytes, rest: &[u8]) -> Result<Message, Damaged> {
    let (offset, rest) = cut(rest)?;
    let (epoch, rest) = cut(rest)?;
    let position = position(offset, epoch)?;
    let (entry, rest) = counted(rest)?;
    let rest = rest.strip_prefix(b":").ok_or(Damaged("no end of the entry before"))?;
    let (current, rest) = counted(rest)?;
    if !rest.is_empty() {
        return Err(Damaged("more than one publication"));
    }
    let current = placed(publication(whole.slice_ref(current))?.publication, position);
    let entry = (!entry.is_empty()).then(|| parse_state(&whole.slice_ref(entry))).transpose()?;
    Ok(Message::Delta(current, entry))
}

/// Reads a publication that says nothing of where it stands.
pub(crate) fn publication(bytes: Bytes) -> Result<Stored, Damaged> {
    decode_publication(bytes).map_err(|_| Damaged("no publication"))
}

fn plain(bytes: Bytes, position: StreamPosition) -> Result<Message, Damaged> {
    let Stored { publication, previous, .. } = publication(bytes)?;
    let publication = placed(publication, position);
    // Without a stream the publication itself says whether a delta may be made.
    Ok(if publication.delta || !previous.is_empty() {
        let previous =
            (!previous.is_empty()).then(|| Publication { data: previous, ..Publication::default() });
        Message::Delta(Publication { delta: false, ..publication }, previous)
    } else {
        Message::Publication(publication)
    })
}

/// What a publication says itself of where it stands goes first.
fn placed(mut publication: Publication, position: StreamPosition) -> Publication {
    if publication.offset == 0 {
        publication.offset = position.offset;
    }
    if publication.epoch.is_unknown() {
        publication.epoch = position.epoch;
    }
    publication
}

fn info(whole: &Bytes, rest: &[u8]) -> Result<ClientInfo, Damaged> {
    let info = rest.strip_prefix(MARK).ok_or(Damaged("no mark before the info"))?;
    decode_info(whole.slice_ref(info)).map_err(|_| Damaged("no info"))
}

/// `<offset>:<epoch>__<publication>`
fn positioned(whole: &Bytes, rest: &[u8]) -> Result<(StreamPosition, Bytes), Damaged> {
    let end =
        rest.windows(MARK.len()).position(|window| window == MARK).ok_or(Damaged("no end of the place"))?;
    let (head, publication) = rest.split_at(end);
    let (offset, epoch) = cut(head)?;
    Ok((position(offset, epoch)?, whole.slice_ref(publication.get(MARK.len()..).unwrap_or_default())))
}

/// `<offset>:<epoch>:<length>:<previous>:<length>:<publication>`
fn with_previous(whole: &Bytes, rest: &[u8]) -> Result<Message, Damaged> {
    let (offset, rest) = cut(rest)?;
    let (epoch, rest) = cut(rest)?;
    let position = position(offset, epoch)?;
    let (previous, rest) = counted(rest)?;
    let rest = rest.strip_prefix(b":").ok_or(Damaged("no end of the previous one"))?;
    let (current, rest) = counted(rest)?;
    if !rest.is_empty() {
        return Err(Damaged("more than one publication"));
    }
    let current = publication(whole.slice_ref(current))?.publication;
    let current = Publication { delta: false, ..placed(current, position.clone()) };
    Ok(Message::Delta(current, before(whole, previous, &position)?))
}

/// The publication before one that stands at `position`. Where streams are lists, some nodes leave its place in front.
fn before(whole: &Bytes, previous: &[u8], position: &StreamPosition) -> Result<Option<Publication>, Damaged> {
    if previous.is_empty() {
        return Ok(None);
    }
    let bytes = whole.slice_ref(previous);
    if previous.starts_with(MARK) {
        return parse_entry(&bytes).map(Some);
    }
    let at = StreamPosition { offset: position.offset.saturating_sub(1), epoch: position.epoch.clone() };
    Ok(Some(placed(publication(bytes)?.publication, at)))
}

/// `<length>:<that many bytes>`, and what follows.
fn counted(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damaged> {
    let (length, rest) = cut(bytes)?;
    let length = usize::try_from(number(length)?).map_err(|_| Damaged("a length beyond all bounds"))?;
    rest.split_at_checked(length).ok_or(Damaged("shorter than it says"))
}

fn cut(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damaged> {
    let at = bytes.iter().position(|byte| *byte == b':').ok_or(Damaged("a part is missing"))?;
    let (head, rest) = bytes.split_at(at);
    Ok((head, rest.get(1..).unwrap_or_default()))
}

fn position(offset: &[u8], epoch: &[u8]) -> Result<StreamPosition, Damaged> {
    let epoch = std::str::from_utf8(epoch).map_err(|_| Damaged("an epoch that is no text"))?;
    Ok(StreamPosition { offset: number(offset)?, epoch: Epoch::from(epoch) })
}

fn number(digits: &[u8]) -> Result<u64, Damaged> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
    text.and_then(|text| text.parse().ok()).ok_or(Damaged("no number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tourbillon_protocol::stored::{encode_info, encode_publication};
    use tourbillon_types::{Payload, UserId};

    use super::*;

    fn data(text: &'static str) -> Publication {
        Publication { data: Payload::from(text), ..Publication::default() }
    }

    fn at(publication: Publication, offset: u64, epoch: &str) -> Publication {
        Publication { offset, epoch: Epoch::from(epoch), ..publication }
    }

    fn message(parts: &[&[u8]]) -> Bytes {
        parts.concat().into()
    }

    fn delta(previous: &[u8], current: &[u8]) -> Bytes {
        let head = format!("__d1:8:ab:{}:", previous.len());
        let between = format!(":{}:", current.len());
        message(&[head.as_bytes(), previous, between.as_bytes(), current])
    }

    #[test]
    fn red_08_publications_say_where_they_stand() {
        let encoded = encode_publication(&data("x__y:z"));
        assert_eq!(parse(&encoded.clone().into()), Ok(Message::Publication(data("x__y:z"))));
        let positioned = message(&[b"__p1:7:ab__", &encoded]);
        assert_eq!(parse(&positioned), Ok(Message::Publication(at(data("x__y:z"), 7, "ab"))));
        let flagged = encode_publication(&Publication { delta: true, ..data("x") });
        assert_eq!(parse(&flagged.into()), Ok(Message::Delta(data("x"), None)));
    }

    #[test]
    fn red_08_deltas_come_with_the_one_before() {
        let (one, two) = (encode_publication(&data("one:1__")), encode_publication(&data("two")));
        let expected = Message::Delta(at(data("two"), 8, "ab"), Some(at(data("one:1__"), 7, "ab")));
        assert_eq!(parse(&delta(&one, &two)), Ok(expected));
        assert_eq!(parse(&delta(b"", &two)), Ok(Message::Delta(at(data("two"), 8, "ab"), None)));
        let entry = message(&[b"__p1:7:ab__", &one]);
        let expected = Message::Delta(at(data("two"), 8, "ab"), Some(at(data("one:1__"), 7, "ab")));
        assert_eq!(parse(&delta(&entry, &two)), Ok(expected));
    }

    #[test]
    fn red_08_joins_and_leaves() {
        let info = ClientInfo {
            user: UserId::from("u"),
            client: None,
            connection: Payload::from("{}"),
            channel: Payload::empty(),
        };
        let encoded = encode_info(&info);
        assert_eq!(parse(&message(&[JOIN, &encoded])), Ok(Message::Join(info.clone())));
        assert_eq!(parse(&message(&[LEAVE, &encoded])), Ok(Message::Leave(info)));
    }

    #[test]
    fn mapb_03_changes_of_keyed_channels() {
        let (one, two) = (encode_publication(&data("one:1")), encode_publication(&data("two")));
        let plain = message(&[b"7:ab:", &one]);
        assert_eq!(parse_change(&plain), Ok(Some(Message::Publication(at(data("one:1"), 7, "ab")))));
        let delta = |entry: &[u8]| {
            let head = format!("d:8:ab:{}:", entry.len());
            message(&[head.as_bytes(), entry, format!(":{}:", two.len()).as_bytes(), &two])
        };
        let against = |entry| Ok(Some(Message::Delta(at(data("two"), 8, "ab"), entry)));
        assert_eq!(parse_change(&delta(&plain)), against(Some(at(data("one:1"), 7, "ab"))));
        assert_eq!(parse_change(&delta(b"")), against(None));
        assert_eq!(parse_change(&Bytes::from_static(b"c")), Ok(None));
        let whole = delta(&plain);
        for end in 0..whole.len() {
            assert!(parse_change(&whole.slice(..end)).is_err(), "{end} of {}", whole.len());
        }
    }

    #[test]
    fn damage_is_told() {
        let good = encode_publication(&data("x"));
        let two = delta(&good, &good);
        for damaged in [
            b"__".to_vec(),
            b"__x__".to_vec(),
            b"__j_".to_vec(),
            b"__j__\xff".to_vec(),
            b"__p1:7:ab".to_vec(),
            b"__p1:7__".to_vec(),
            b"__p1:+7:ab__".to_vec(),
            b"__p1:99999999999999999999:ab__".to_vec(),
            b"__p1:7:\xff__".to_vec(),
            b"__p2:7:ab__".to_vec(),
            b"__d1:7:ab:-1::0:".to_vec(),
            b"__d1:7:ab:18446744073709551615::0:".to_vec(),
            b"\xff\xff".to_vec(),
            [&two[..], b"x"].concat(),
        ] {
            assert!(parse(&damaged.clone().into()).is_err(), "{:?}", String::from_utf8_lossy(&damaged));
        }
        for end in 0..two.len() {
            let cut = two.slice(..end);
            assert!(end == 0 || parse(&cut).is_err(), "{end} of {}", two.len());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>, head in "__[pdjl]1:[0-9]{0,3}:[a-z]{0,3}[:_]{0,2}[0-9:]{0,9}") {
            let _ = parse(&bytes.clone().into());
            let _ = parse_change(&bytes.clone().into());
            let _ = parse(&[head.into_bytes(), bytes].concat().into());
        }
    }
}
