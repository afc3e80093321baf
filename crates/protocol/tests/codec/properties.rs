//! What holds for every message, and for every damage done to one.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;
use tourbillon_protocol::client::{Replies, ServerMessage, encode_command};
use tourbillon_protocol::{
    Commands, Envelope, Limits, PushEvent, Splitter, encode_ping, encode_publication, encode_push,
    encode_reply, is_json,
};
use tourbillon_types::{Encoding, Payload};

use crate::generators;
use crate::support::{ENCODINGS, commands, join, replies};

/// The schema's own types, which read and write by another implementation than ours.
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    reason = "generated, and used only in part"
)]
#[rustfmt::skip]
mod wire {
    include!("../../src/generated/client.rs");
}

fn encode(encoding: Encoding, envelope: Envelope, message: &ServerMessage) -> Vec<u8> {
    match message {
        ServerMessage::Reply(reply) => encode_reply(encoding, reply).expect("payloads are JSON"),
        ServerMessage::Push(push) => encode_push(encoding, envelope, push).expect("payloads are JSON"),
        ServerMessage::Ping => encode_ping(encoding, envelope),
    }
}

/// Frames of a server, with what they say.
fn server_frame() -> impl Strategy<Value = (Envelope, Vec<ServerMessage>)> {
    generators::envelope()
        .prop_flat_map(|envelope| (Just(envelope), vec(generators::server_message(envelope), 1..4)))
}

/// Something done to a frame.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Drop(Index, Index),
    Repeat(Index, Index),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        any::<(Index, u8)>().prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<Index>().prop_map(Damage::Cut),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Drop(from, to)),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Repeat(from, to)),
        (any::<Index>(), vec(any::<u8>(), 0..12)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ];
    vec(one, 1..4)
}

fn apply(mut frame: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let ends = frame.len() + 1;
        let range = |a: &Index, b: &Index| {
            let (a, b) = (a.index(ends), b.index(ends));
            a.min(b)..a.max(b)
        };
        match damage {
            Damage::Flip(at, bits) => {
                if let Some(byte) = frame.get_mut(at.index(ends)) {
                    *byte ^= bits;
                }
            }
            Damage::Cut(at) => frame.truncate(at.index(ends)),
            Damage::Drop(from, to) => drop(frame.drain(range(from, to))),
            Damage::Repeat(from, to) => frame.extend_from_within(range(from, to)),
            Damage::Insert(at, bytes) => {
                let at = at.index(ends);
                frame.splice(at..at, bytes.iter().copied());
            }
        }
    }
    frame
}

/// Reads a frame in every way there is. It must end, without a panic and without more messages than bytes.
fn read_anyhow(frame: &Bytes) {
    for encoding in ENCODINGS {
        let mut commands = Commands::new(encoding, frame.clone());
        let limits = Limits::default();
        let mut failed = false;
        for read in 0..=frame.len() + 1 {
            let Some(command) = commands.next_command(&limits) else { break };
            assert!(!failed, "nothing follows an error");
            assert!(read <= frame.len());
            failed = command.is_err();
        }
        assert!(commands.is_empty() && commands.next_command(&limits).is_none());
        for envelope in [Envelope::Reply, Envelope::Push] {
            let messages = Replies::new(encoding, envelope, frame.clone());
            assert!(messages.take(frame.len() + 2).count() <= frame.len() + 1);
        }
        let _ = tourbillon_protocol::decode_emulation(encoding, frame);
    }
}

proptest! {
    /// Both encodings of a frame of commands mean the commands, and so the same.
    #[test]
    fn commands_survive_both_encodings(sent in vec(generators::command(), 1..4)) {
        for encoding in ENCODINGS {
            let encoded: Vec<_> =
                sent.iter().map(|command| encode_command(encoding, command).expect("payloads are JSON")).collect();
            let received = commands(encoding, join(encoding, &encoded));
            prop_assert_eq!(received.as_ref(), Ok(&sent), "{}", encoding);
        }
    }

    #[test]
    fn server_messages_survive_both_encodings((envelope, sent) in server_frame()) {
        for encoding in ENCODINGS {
            let encoded: Vec<_> = sent.iter().map(|message| encode(encoding, envelope, message)).collect();
            let received = replies(encoding, envelope, join(encoding, &encoded));
            prop_assert_eq!(received.as_ref(), Ok(&sent), "{}", encoding);
        }
    }

    /// The short way of a publication writes what the long way writes.
    #[test]
    fn publications_are_encoded_alike(
        encoding in generators::encoding(),
        envelope in generators::envelope(),
        push in generators::push(),
    ) {
        let PushEvent::Publication(publication) = &push.event else { return Ok(()) };
        let channel = push.channel.as_deref().unwrap_or_default();
        prop_assert_eq!(
            encode_publication(encoding, envelope, channel, push.id, publication),
            encode_push(encoding, envelope, &push)
        );
    }

    /// What is written in JSON is one line and one value.
    #[test]
    fn json_is_one_line((envelope, sent) in server_frame()) {
        for message in &sent {
            let encoded = encode(Encoding::Json, envelope, message);
            prop_assert!(!encoded.contains(&b'\n') && !encoded.contains(&b'\r'));
            prop_assert!(is_json(&Payload::from(encoded)));
        }
    }

    /// What is written in Protobuf is what `prost` would write, but for map entries with a zero in them, which are
    /// then longer.
    #[test]
    fn protobuf_is_what_prost_writes((envelope, sent) in server_frame()) {
        for message in &sent {
            let encoded = encode(Encoding::Protobuf, envelope, message);
            let (again, plain) = match envelope {
                Envelope::Reply => {
                    let reply = wire::Reply::decode_length_delimited(&*encoded).expect("prost reads it");
                    (reply.encode_length_delimited_to_vec(), !reply.has_zero_entries())
                }
                Envelope::Push => {
                    let push = wire::Push::decode_length_delimited(&*encoded).expect("prost reads it");
                    (push.encode_length_delimited_to_vec(), !push.has_zero_entries())
                }
            };
            if plain {
                prop_assert_eq!(&again, &encoded);
            } else {
                prop_assert!(again.len() < encoded.len());
            }
            prop_assert_eq!(replies(Encoding::Protobuf, envelope, again), Ok(vec![message.clone()]));
        }
    }

    /// A stream may arrive in any chunks.
    #[test]
    fn any_chunking_yields_the_same_frames(
        encoding in generators::encoding(),
        sent in vec(generators::command(), 1..6),
        cuts in vec(any::<Index>(), 0..8),
        ended: bool,
    ) {
        let encoded: Vec<_> =
            sent.iter().map(|command| encode_command(encoding, command).expect("payloads are JSON")).collect();
        let mut stream = join(encoding, &encoded);
        if ended && encoding == Encoding::Json {
            stream.push(b'\n');
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();

        let mut splitter = Splitter::new(encoding, stream.len());
        let mut frames = Vec::new();
        for ends in cuts.windows(2) {
            splitter.push(&stream[ends[0]..ends[1]]);
            while let Some(frame) = splitter.next_frame() {
                frames.push(frame.expect("a frame"));
            }
        }
        frames.extend(splitter.finish().expect("a whole stream"));
        prop_assert_eq!(&frames, &encoded);
        let received: Result<Vec<_>, _> =
            frames.into_iter().map(|frame| commands(encoding, frame).map(|mut one| one.remove(0))).collect();
        prop_assert_eq!(received, Ok(sent));
    }

    #[test]
    fn damaged_commands_are_errors_at_worst(
        encoding in generators::encoding(),
        sent in vec(generators::command(), 1..3),
        damages in damage(),
    ) {
        let encoded: Vec<_> =
            sent.iter().map(|command| encode_command(encoding, command).expect("payloads are JSON")).collect();
        read_anyhow(&apply(join(encoding, &encoded), &damages).into());
    }

    #[test]
    fn damaged_server_messages_are_errors_at_worst(
        encoding in generators::encoding(),
        (envelope, sent) in server_frame(),
        damages in damage(),
    ) {
        let encoded: Vec<_> = sent.iter().map(|message| encode(encoding, envelope, message)).collect();
        read_anyhow(&apply(join(encoding, &encoded), &damages).into());
    }

    #[test]
    fn any_bytes_are_errors_at_worst(bytes in vec(any::<u8>(), 0..200)) {
        read_anyhow(&bytes.into());
    }

    /// A stream of anything never makes the splitter hold more than the limit and a length prefix once it has been
    /// drained, and it is over after the first error.
    #[test]
    fn splitting_anything_is_bounded(
        encoding in generators::encoding(),
        limit in 0_usize..40,
        chunks in vec(vec(prop_oneof![Just(b'\n'), 0_u8..8, any::<u8>()], 0..60), 0..8),
    ) {
        let mut splitter = Splitter::new(encoding, limit);
        let mut failed = false;
        for chunk in &chunks {
            splitter.push(chunk);
            for _ in 0..=chunk.len() + limit + 5 {
                let Some(frame) = splitter.next_frame() else { break };
                prop_assert!(!failed, "nothing follows an error");
                match frame {
                    Ok(frame) => prop_assert!(frame.len() <= limit + 5),
                    Err(_) => failed = true,
                }
            }
            prop_assert_eq!(splitter.next_frame(), None);
            prop_assert!(splitter.buffered() <= limit + 5);
        }
    }
}

/// Whether a map holds an entry that `prost` writes shorter.
trait ZeroEntries {
    fn has_zero_entries(&self) -> bool;
}

impl<T: ZeroEntries> ZeroEntries for Option<T> {
    fn has_zero_entries(&self) -> bool {
        self.as_ref().is_some_and(T::has_zero_entries)
    }
}

impl<T: ZeroEntries> ZeroEntries for [T] {
    fn has_zero_entries(&self) -> bool {
        self.iter().any(T::has_zero_entries)
    }
}

impl ZeroEntries for wire::Publication {
    fn has_zero_entries(&self) -> bool {
        self.tags.iter().any(|(name, value)| name.is_empty() || value.is_empty())
    }
}

impl ZeroEntries for wire::SubscribeResult {
    fn has_zero_entries(&self) -> bool {
        self.publications.has_zero_entries() || self.state.has_zero_entries()
    }
}

fn subs_have_zero_entries<'a>(
    mut subs: impl Iterator<Item = (&'a String, &'a wire::SubscribeResult)>,
) -> bool {
    subs.any(|(channel, it)| {
        channel.is_empty() || *it == wire::SubscribeResult::default() || it.has_zero_entries()
    })
}

impl ZeroEntries for wire::Push {
    fn has_zero_entries(&self) -> bool {
        self.r#pub.has_zero_entries()
            || self.connect.as_ref().is_some_and(|it| subs_have_zero_entries(it.subs.iter()))
    }
}

impl ZeroEntries for wire::Reply {
    fn has_zero_entries(&self) -> bool {
        let no_info = wire::ClientInfo::default();
        self.push.has_zero_entries()
            || self.subscribe.has_zero_entries()
            || self.history.as_ref().is_some_and(|it| it.publications.has_zero_entries())
            || self.sub_refresh.as_ref().is_some_and(|it| it.items.has_zero_entries())
            || self.connect.as_ref().is_some_and(|it| subs_have_zero_entries(it.subs.iter()))
            || self.presence.as_ref().is_some_and(|it| {
                it.presence.iter().any(|(client, info)| client.is_empty() || *info == no_info)
            })
    }
}
