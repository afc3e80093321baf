//! Any stream of frames, cut in any way, damaged in any way.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::deflate::deflate;
use crate::fuzzing::websocket_frames;

const LIMIT: usize = 2_000;

fn limits() -> Limits {
    Limits { message: LIMIT, inflated: 10 * LIMIT, deflate: true }
}

/// A client's frame with any key.
fn frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let (head, used) = Header::encode(Opcode::Binary, false, payload.len());
    let mut out = head[..used].to_vec();
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&key);
    out.extend_from_slice(payload);
    let start = out.len() - payload.len();
    mask(&mut out[start..], key);
    out
}

/// One message and how it is sent.
#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    compressed: bool,
    data: Vec<u8>,
    /// Where it is cut into fragments.
    cuts: Vec<Index>,
    /// Whether a ping stands between all fragments.
    pings: bool,
    key: [u8; 4],
}

impl Sent {
    /// The frames, and what they amount to.
    fn frames(&self) -> (Vec<u8>, Vec<Event>) {
        let opcode = if self.text { Opcode::Text } else { Opcode::Binary };
        let wire = if self.compressed { deflate(&self.data, 6).to_vec() } else { self.data.clone() };
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(wire.len());
        let (mut out, mut events, mut start) = (Vec::new(), Vec::new(), 0);
        let last = cuts.len() - 1;
        for (number, end) in cuts.into_iter().enumerate() {
            let mut first = if number == last { 0x80 } else { 0 };
            if number == 0 {
                first |= if self.text { 1 } else { 2 } | if self.compressed { 0x40 } else { 0 };
            } else if self.pings {
                out.extend(frame(0x89, &[7; 3], self.key));
                events.push(Event::Ping(Bytes::from_static(&[7; 3])));
            }
            out.extend(frame(first, &wire[start..end], self.key));
            start = end;
        }
        events.push(Event::Message { opcode, data: Bytes::from(self.data.clone()) });
        (out, events)
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let data = prop_oneof![
        ".{0,200}".prop_map(|text| (true, text.into_bytes())),
        vec(any::<u8>(), 0..400).prop_map(|bytes| (false, bytes)),
        (0_usize..LIMIT).prop_map(|length| (false, vec![b'x'; length])),
    ];
    (data, any::<bool>(), vec(any::<Index>(), 0..4), any::<bool>(), any::<[u8; 4]>()).prop_map(
        |((text, data), compressed, cuts, pings, key)| Sent { text, compressed, data, cuts, pings, key },
    )
}

/// Everything that a stream amounts to, given in these pieces.
fn decode(stream: &[u8], mut pieces: impl Iterator<Item = usize>) -> Result<Vec<Event>, u16> {
    let mut decoder = Decoder::new(limits());
    let (mut buffer, mut events, mut rest) = (BytesMut::new(), Vec::new(), stream);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(pieces.next().unwrap_or(1).clamp(1, rest.len()));
        rest = more;
        buffer.extend_from_slice(piece);
        while let Some(event) = decoder.decode(&mut buffer).map_err(|violation| violation.code)? {
            events.push(event);
        }
    }
    assert!(decoder.partial.is_none() && buffer.is_empty(), "nothing is kept between messages");
    Ok(events)
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_messages(
        all in vec(sent(), 1..5),
        pieces in vec(1_usize..300, 1..50),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for sent in &all {
            let (frames, events) = sent.frames();
            stream.extend(frames);
            expected.extend(events);
        }
        prop_assert_eq!(decode(&stream, std::iter::once(stream.len())), Ok(expected.clone()));
        prop_assert_eq!(decode(&stream, pieces.into_iter().cycle()), Ok(expected));
    }

    #[test]
    fn damaged_streams_end_in_order(
        all in vec(sent(), 1..4),
        damage in vec((any::<Index>(), any::<u8>()), 0..6),
        cut in any::<Index>(),
        first in any::<u8>(),
    ) {
        let mut stream = vec![first];
        all.iter().for_each(|sent| stream.extend(sent.frames().0));
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        websocket_frames(&stream);
        websocket_frames(&stream[..cut.index(stream.len())]);
    }

    #[test]
    fn any_bytes_end_in_order(stream in vec(any::<u8>(), 0..300)) {
        websocket_frames(&stream);
    }
}

#[test]
fn what_is_kept_is_what_has_arrived() {
    let mut decoder = Decoder::new(Limits::new(1 << 30));
    // A gigabyte is announced, and a kilobyte comes.
    let mut buffer = BytesMut::from(&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4][..]);
    buffer.extend_from_slice(&[0; 1024]);
    assert!(matches!(decoder.decode(&mut buffer), Ok(None)));
    assert!(buffer.is_empty());
    let kept = decoder.partial.as_ref().map(|partial| partial.data.capacity());
    assert!(kept.is_some_and(|kept| (1024..=4096).contains(&kept)), "{kept:?}");
}

#[test]
fn the_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 32, "{}", size_of::<Decoder>());
}
