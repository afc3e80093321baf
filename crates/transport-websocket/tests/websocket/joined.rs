//! Frames that carry several messages (LIM-09).

use std::future::poll_fn;

use proptest::prelude::*;
use tourbillon_transport::{Message, MessageQueue, Run, Transport, TransportInfo, TransportWriter};
use tourbillon_transport_websocket::{Compression, WebSocketConfig, WebSocketTransport};
use tourbillon_types::Encoding;

use crate::compression::inflated;
use crate::support::{block_on, next_frame};

const COMPRESSED: u8 = 0x40;

/// What is queued at one place: a message, or a run of several.
type Place = Vec<usize>;

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
struct Way {
    encoding: Encoding,
    most: usize,
    compressed: bool,
    /// How much the stream takes before somebody reads.
    capacity: usize,
    /// How many messages of the first place are gone already.
    gone: usize,
}

/// Numbered, of this length at least, and without what ends a line.
fn body(number: usize, length: usize) -> Vec<u8> {
    let mut body = format!("{number:04}").into_bytes();
    body.resize(4 + length, b'x');
    body
}

/// Sends what is queued, and gives the frames with the messages in each.
fn frames(places: &[Place], way: Way) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    block_on(async {
        let (near, mut far) = tokio::io::duplex(way.capacity);
        let (read, write) = tokio::io::split(near);
        let mut config = WebSocketConfig::default();
        config.max_messages_in_frame = way.most;
        let mut transport =
            WebSocketTransport::new(TransportInfo::new("websocket", way.encoding), read, write, &config);
        if way.compressed {
            transport = transport.with_compression(Compression::default());
        }
        let (reader, mut writer) = transport.split();
        let mut queue = MessageQueue::new();
        let mut number = 0;
        for place in places {
            let mut messages = place.iter().map(|length| {
                number += 1;
                Message::new(body(number, *length))
            });
            let first = messages.next().expect("a message");
            let rest: Vec<Message> = messages.collect();
            if rest.is_empty() {
                queue.push(first);
            } else {
                let run = Run::new(first);
                for message in rest {
                    run.append(message).expect("short");
                }
                queue.push_run(run);
            }
        }
        for _ in 0..way.gone {
            queue.pop();
        }
        let writing = async move {
            poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
            drop((reader, writer));
        };
        let reading = async {
            while let Some((first, payload)) = next_frame(&mut far).await {
                let kind = if way.encoding == Encoding::Json { 0x81 } else { 0x82 };
                assert_eq!(first & !COMPRESSED, kind);
                assert_eq!(first & COMPRESSED != 0, way.compressed);
                frames.push(if way.compressed { inflated(&payload) } else { payload });
            }
        };
        tokio::join!(writing, reading);
    });
    frames
}

fn lines(frames: &[Vec<u8>]) -> Vec<Vec<&[u8]>> {
    frames.iter().map(|frame| frame.split(|byte| *byte == b'\n').collect()).collect()
}

fn way() -> impl Strategy<Value = Way> {
    let most = prop_oneof![Just(1), 2..20_usize, Just(usize::MAX)];
    (any::<bool>(), most, any::<bool>(), 1..3_000_usize, 0..3_usize).prop_map(
        |(json, most, compressed, capacity, gone)| {
            let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
            Way { encoding, most, compressed, capacity, gone }
        },
    )
}

proptest! {
    #[test]
    fn messages_arrive_in_order_and_no_frame_carries_more_than_it_may(
        places in prop::collection::vec(prop::collection::vec(0..200_usize, 1..6), 0..40),
        way in way(),
    ) {
        let lengths: Vec<usize> = places.iter().flatten().copied().collect();
        let all = lengths.iter().zip(1..).map(|(length, number)| body(number, *length));
        let expected: Vec<Vec<u8>> = all.skip(way.gone.min(lengths.len())).collect();
        let frames = frames(&places, way);
        if way.encoding == Encoding::Json {
            let lines = lines(&frames);
            prop_assert!(lines.iter().all(|lines| lines.len() <= way.most));
            let seen: Vec<&[u8]> = lines.into_iter().flatten().collect();
            prop_assert_eq!(seen, expected);
        } else {
            prop_assert_eq!(frames.concat(), expected.concat());
        }
    }
}

fn plain(encoding: Encoding, most: usize) -> Way {
    Way { encoding, most, compressed: false, capacity: 1 << 20, gone: 0 }
}

#[test]
fn lim_09_a_frame_carries_up_to_as_many_messages_as_it_may() {
    let twenty: Vec<Place> = vec![vec![3]; 20];
    let counts = |most| -> Vec<usize> {
        lines(&frames(&twenty, plain(Encoding::Json, most))).iter().map(Vec::len).collect()
    };
    assert_eq!(counts(1), [1; 20]);
    assert_eq!(counts(0), [1; 20]);
    assert_eq!(counts(16), [16, 4]);
    assert_eq!(counts(usize::MAX), [20]);
    let run = [vec![3; 20]];
    assert_eq!(
        lines(&frames(&run, plain(Encoding::Json, 16))).iter().map(Vec::len).collect::<Vec<_>>(),
        [16, 4]
    );
    // Length-prefixed messages need nothing between them.
    let binary = frames(&twenty, plain(Encoding::Protobuf, 16));
    assert_eq!(binary.iter().map(Vec::len).collect::<Vec<_>>(), [16 * 7, 4 * 7]);
}

#[test]
fn a_frame_is_bounded_in_bytes() {
    let large: Vec<Place> = vec![vec![30_000]; 5];
    let frames = frames(&large, plain(Encoding::Json, usize::MAX));
    assert_eq!(lines(&frames).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
}
