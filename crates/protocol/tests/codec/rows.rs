//! Rows of the compatibility table, one test each.

use std::sync::Arc;

use bytes::Bytes;
use tourbillon_protocol::client::{ServerMessage, encode_command};
use tourbillon_protocol::command::{Command, Publish, Request, Subscribe};
use tourbillon_protocol::reply::{
    ConnectResult, HistoryResult, PresenceResult, PresenceStatsResult, RpcResult, SubscribeResult,
};
use tourbillon_protocol::{
    DecodeError, EncodeError, Envelope, Limits, Push, PushEvent, Reply, ReplyResult, encode_ping,
    encode_publication, encode_push, encode_reply, is_json,
};
use tourbillon_types::{
    Channel, ClientInfo, Encoding, Epoch, Payload, Publication, StreamPosition, TagFilter, UserId,
};

use crate::support::{ENCODINGS, command, commands, replies};

fn json(result: ReplyResult) -> String {
    let reply = Reply { id: 1, result: Ok(result) };
    String::from_utf8(encode_reply(Encoding::Json, &reply).expect("payloads are JSON"))
        .expect("JSON is UTF-8")
}

fn publication_json(publication: &Publication) -> String {
    let encoded = encode_publication(Encoding::Json, Envelope::Push, "news", 0, publication);
    String::from_utf8(encoded.expect("the payload is JSON")).expect("JSON is UTF-8")
}

fn nobody() -> ClientInfo {
    ClientInfo {
        user: UserId::anonymous(),
        client: None,
        connection: Payload::empty(),
        channel: Payload::empty(),
    }
}

/// PROTO-03.
#[test]
fn pushes_are_bare_or_wrapped() {
    let push =
        Push { channel: Some(Channel::from("news")), id: 0, event: PushEvent::Message(Payload::from("1")) };
    for (encoding, bare, wrapped) in [
        (
            Encoding::Json,
            &br#"{"channel":"news","message":{"data":1}}"#[..],
            &br#"{"push":{"channel":"news","message":{"data":1}}}"#[..],
        ),
        (
            Encoding::Protobuf,
            b"\x0b\x12\x04news\x42\x03\x0a\x011",
            b"\x0d\x22\x0b\x12\x04news\x42\x03\x0a\x011",
        ),
    ] {
        assert_eq!(encode_push(encoding, Envelope::Push, &push).as_deref(), Ok(bare));
        assert_eq!(encode_push(encoding, Envelope::Reply, &push).as_deref(), Ok(wrapped));
        let received = Ok(vec![ServerMessage::Push(push.clone())]);
        assert_eq!(replies(encoding, Envelope::Push, bare), received);
        assert_eq!(replies(encoding, Envelope::Reply, wrapped), received);
    }
}

/// PROTO-15, HID-04: what is always there although it is zero.
#[test]
fn zero_values_are_left_out_but_for_a_short_list() {
    for (result, expected) in [
        (ReplyResult::Connect(Box::default()), r#"{"id":1,"connect":{}}"#),
        (ReplyResult::Subscribe(Box::default()), r#"{"id":1,"subscribe":{}}"#),
        (ReplyResult::Unsubscribe, r#"{"id":1,"unsubscribe":{}}"#),
        (ReplyResult::Publish, r#"{"id":1,"publish":{}}"#),
        (ReplyResult::Presence(PresenceResult::default()), r#"{"id":1,"presence":{"presence":{}}}"#),
        (
            ReplyResult::Presence(PresenceResult { presence: vec![("c".to_owned(), Arc::new(nobody()))] }),
            r#"{"id":1,"presence":{"presence":{"c":{"user":"","client":""}}}}"#,
        ),
        (
            ReplyResult::PresenceStats(PresenceStatsResult::default()),
            r#"{"id":1,"presence_stats":{"num_clients":0,"num_users":0}}"#,
        ),
        (
            ReplyResult::History(HistoryResult::default()),
            r#"{"id":1,"history":{"publications":[],"epoch":"","offset":0}}"#,
        ),
        (ReplyResult::Ping, r#"{"id":1,"ping":{}}"#),
        (ReplyResult::Rpc(RpcResult::default()), r#"{"id":1,"rpc":{}}"#),
        (ReplyResult::Refresh(Default::default()), r#"{"id":1,"refresh":{}}"#),
        (ReplyResult::SubRefresh(Default::default()), r#"{"id":1,"sub_refresh":{}}"#),
    ] {
        assert_eq!(json(result), expected);
    }
    assert_eq!(publication_json(&Publication::default()), r#"{"channel":"news","pub":{}}"#);
}

/// PROTO-16, HID-05.
#[test]
fn strings_are_escaped_and_payloads_are_not() {
    let publication = Publication {
        data: Payload::from("\"<&>\u{2028}\""),
        key: Some(Arc::from(
            "\0\u{8}\t\n\u{b}\u{c}\r\u{1f} \"\\/<>&'\u{7f}é\u{2027}\u{2028}\u{2029}\u{202a}😀",
        )),
        ..Publication::default()
    };
    assert_eq!(
        publication_json(&publication),
        concat!(
            "{\"channel\":\"news\",\"pub\":{\"data\":\"<&>\u{2028}\",\"key\":\"",
            r#"\u0000\u0008\t\n\u000b\u000c\r\u001f \"\\/\u003c\u003e\u0026'"#,
            "\u{7f}é\u{2027}",
            r"\u2028\u2029",
            "\u{202a}😀\"}}"
        )
    );
}

/// PROTO-14, HID-06: a carriage return would end a line of server-sent events, so it goes as well.
#[test]
fn line_breaks_between_tokens_are_left_out() {
    let publication = Publication {
        data: Payload::from("\n{\r\n  \"a\": \"b\\n\",\n\t\"c\": 1\n}\r\n"),
        ..Publication::default()
    };
    assert_eq!(
        publication_json(&publication),
        "{\"channel\":\"news\",\"pub\":{\"data\":{  \"a\": \"b\\n\",\t\"c\": 1}}}"
    );
    let encoded = encode_publication(Encoding::Protobuf, Envelope::Push, "", 0, &publication).expect("bytes");
    assert!(encoded.windows(3).any(|three| three == b"{\r\n"), "Protobuf leaves the payload as it is");
}

/// PROTO-17: what is no JSON fails in JSON only.
#[test]
fn a_payload_that_is_no_json_fails_in_json_only() {
    for payload in ["{", "1 2", "\"\u{1}\"", "nul", " ", "\n", "01", "[1,]", "'a'"] {
        let publication = Publication { data: Payload::from(payload), ..Publication::default() };
        for envelope in [Envelope::Push, Envelope::Reply] {
            let encode = |encoding| encode_publication(encoding, envelope, "news", 0, &publication);
            assert_eq!(encode(Encoding::Json), Err(EncodeError::NotJson), "{payload}");
            assert!(encode(Encoding::Protobuf).is_ok());
        }
        assert!(!is_json(&publication.data));
    }
    let invalid = Payload::from(b"\"\xff\"".to_vec());
    assert!(!is_json(&invalid));
    // One that is known to be JSON is not looked at again.
    let known = Publication { data: Payload::from_json(Bytes::from_static(b"?")), ..Publication::default() };
    assert_eq!(publication_json(&known), r#"{"channel":"news","pub":{"data":?}}"#);
    // Wherever the payload stands.
    let info = ClientInfo { connection: Payload::from("{"), ..nobody() };
    let push = Push { channel: None, id: 0, event: PushEvent::Join(Arc::new(info)) };
    assert_eq!(encode_push(Encoding::Json, Envelope::Push, &push), Err(EncodeError::NotJson));
    let result = RpcResult { data: Payload::from("{") };
    let reply = Reply { id: 1, result: Ok(ReplyResult::Rpc(result)) };
    assert_eq!(encode_reply(Encoding::Json, &reply), Err(EncodeError::NotJson));
}

/// PUSH-09, HID-02.
#[test]
fn pings_and_pongs_are_empty_messages() {
    for (encoding, bytes) in [(Encoding::Json, &b"{}"[..]), (Encoding::Protobuf, b"\0")] {
        for envelope in [Envelope::Reply, Envelope::Push] {
            assert_eq!(encode_ping(encoding, envelope), bytes);
            assert_eq!(replies(encoding, envelope, bytes), Ok(vec![ServerMessage::Ping]));
        }
        let pong = Command { id: 0, request: Request::Pong };
        assert_eq!(encode_command(encoding, &pong).as_deref(), Ok(bytes));
        assert_eq!(command(encoding, bytes), Ok(pong));
    }
}

/// HID-10: a live publication names its epoch at offset 1 only; results name it once, beside their publications.
#[test]
fn epochs_travel_with_the_first_live_offset() {
    let at = |offset| Publication { offset, epoch: Epoch::from("xyz"), ..Publication::default() };
    assert_eq!(publication_json(&at(0)), r#"{"channel":"news","pub":{}}"#);
    assert_eq!(publication_json(&at(1)), r#"{"channel":"news","pub":{"offset":1,"epoch":"xyz"}}"#);
    assert_eq!(publication_json(&at(2)), r#"{"channel":"news","pub":{"offset":2}}"#);
    let epochs_in = |bytes: Vec<u8>| bytes.windows(3).filter(|three| three == b"xyz").count();
    let position = StreamPosition { offset: 2, epoch: Epoch::from("xyz") };
    let publications = vec![Arc::new(at(1)), Arc::new(at(2))];
    let history = HistoryResult { publications: publications.clone(), position: position.clone() };
    let subscribed = SubscribeResult { publications, position, ..SubscribeResult::default() };
    for encoding in ENCODINGS {
        let encode = |offset| {
            encode_publication(encoding, Envelope::Reply, "news", 0, &at(offset))
                .expect("no payload is no problem")
        };
        assert_eq!([0, 1, 2].map(|offset| epochs_in(encode(offset))), [0, 1, 0], "{encoding}");
        for result in
            [ReplyResult::History(history.clone()), ReplyResult::Subscribe(Box::new(subscribed.clone()))]
        {
            let encoded = encode_reply(encoding, &Reply { id: 1, result: Ok(result) });
            assert_eq!(epochs_in(encoded.expect("no payload is no problem")), 1, "{encoding}");
        }
    }
}

/// HID-11.
#[test]
fn times_of_publications_stay_here() {
    let with = |time| Arc::new(Publication { offset: 3, time, ..Publication::default() });
    for encoding in ENCODINGS {
        let live = |time| encode_publication(encoding, Envelope::Reply, "news", 0, &with(time));
        assert_eq!(live(1_700_000_000_000), live(0), "{encoding}");
        let history = |time| {
            let result = HistoryResult { publications: vec![with(time)], ..HistoryResult::default() };
            encode_reply(encoding, &Reply { id: 1, result: Ok(ReplyResult::History(result)) })
        };
        assert_eq!(history(1_700_000_000_000), history(0), "{encoding}");
    }
}

/// COMP-01: the number goes instead of the name.
#[test]
fn a_channel_with_a_number_goes_without_its_name() {
    let publication = Arc::new(Publication::default());
    let push = Push {
        channel: Some(Channel::from("news")),
        id: 7,
        event: PushEvent::Publication(publication.clone()),
    };
    for (encoding, expected) in
        [(Encoding::Json, &br#"{"id":7,"pub":{}}"#[..]), (Encoding::Protobuf, b"\x04\x08\x07\x22\x00")]
    {
        assert_eq!(encode_push(encoding, Envelope::Push, &push).as_deref(), Ok(expected));
        let short = encode_publication(encoding, Envelope::Push, "news", 7, &publication);
        assert_eq!(short.as_deref(), Ok(expected));
    }
}

/// A subscription without anything to tell is still a message in a map: centrifuge-js fails on an absent one.
#[test]
fn entries_of_maps_always_have_a_value() {
    let subs = vec![(Channel::from("a"), SubscribeResult::default())];
    let result = ConnectResult { subs, ..ConnectResult::default() };
    for (event, expected) in [
        (PushEvent::Connect(Box::new(result.clone())), &b"\x09\x52\x07\x22\x05\x0a\x01a\x12\x00"[..]),
        (
            PushEvent::Publication(Arc::new(Publication {
                tags: Some(Arc::new([(String::new(), String::new())].into())),
                ..Publication::default()
            })),
            b"\x08\x22\x06\x3a\x04\x0a\x00\x12\x00",
        ),
    ] {
        let push = Push { channel: None, id: 0, event };
        assert_eq!(encode_push(Encoding::Protobuf, Envelope::Push, &push).as_deref(), Ok(expected));
    }
    let reply = Reply { id: 0, result: Ok(ReplyResult::Connect(Box::new(result))) };
    assert_eq!(
        encode_reply(Encoding::Protobuf, &reply).as_deref(),
        Ok(&b"\x09\x2a\x07\x32\x05\x0a\x01a\x12\x00"[..])
    );
}

/// HID-16: the codec has no opinion of ids.
#[test]
fn command_ids_may_repeat() {
    let ids = |encoding, frame: &'static [u8]| {
        commands(encoding, frame).map(|all| all.iter().map(|command| command.id).collect::<Vec<_>>())
    };
    assert_eq!(ids(Encoding::Json, b"{\"id\":5,\"ping\":{}}\n{\"id\":5,\"ping\":{}}"), Ok(vec![5, 5]));
    assert_eq!(ids(Encoding::Protobuf, b"\x02\x08\x05\x02\x08\x05"), Ok(vec![5, 5]));
}

fn filter_of_depth(depth: usize) -> TagFilter {
    (1..depth).fold(TagFilter::default(), |inner, _| TagFilter {
        op: "not".to_owned(),
        nodes: vec![inner],
        ..TagFilter::default()
    })
}

/// The depth of a filter is bounded, in both encodings alike.
#[test]
fn filters_nest_to_the_limit() {
    let limit = Limits::default().max_filter_depth;
    for encoding in ENCODINGS {
        let decode = |depth| {
            let filter = Some(Box::new(filter_of_depth(depth)));
            let subscribe = Subscribe { filter, ..Subscribe::default() };
            let sent = Command { id: 1, request: Request::Subscribe(Box::new(subscribe)) };
            command(encoding, encode_command(encoding, &sent).expect("no payload is no problem"))
        };
        assert!(decode(1).is_ok() && decode(limit).is_ok());
        assert_eq!(decode(limit + 1), Err(DecodeError::FilterDepth), "{encoding}");
    }
}

#[test]
fn replies_without_content_are_refused() {
    for (encoding, envelope, frame) in [
        (Encoding::Json, Envelope::Reply, &b"{\"id\":1}"[..]),
        (Encoding::Json, Envelope::Reply, b"{\"push\":{\"channel\":\"a\"}}"),
        (Encoding::Json, Envelope::Push, b"{\"id\":1}"),
        (Encoding::Protobuf, Envelope::Reply, b"\x02\x08\x01"),
        (Encoding::Protobuf, Envelope::Push, b"\x03\x12\x01a"),
    ] {
        assert_eq!(replies(encoding, envelope, frame), Err(DecodeError::Hollow), "{}", frame.escape_ascii());
    }
    assert_eq!(replies(Encoding::Json, Envelope::Reply, Bytes::new()), Err(DecodeError::Empty));
}

/// The names of commands are the protocol's.
#[test]
fn debug_output_keeps_secrets_and_payloads() {
    let frame: &[u8] = br#"{"id":1,"connect":{"token":"s3cret","data":"s3cret","headers":{"Authorization":"s3cret"},"subs":{"news":{"token":"s3cret"}}},"refresh":{"token":"s3cret"}}"#;
    let decoded = command(Encoding::Json, frame).expect("a command");
    let shown = format!("{decoded:?}");
    assert!(shown.contains("news") && !shown.contains("s3cret"), "{shown}");
    for frame in [
        &br#"{"id":1,"refresh":{"token":"s3cret"}}"#[..],
        br#"{"id":1,"sub_refresh":{"token":"s3cret","track":[{"signature":"s3cret"}]}}"#,
    ] {
        let decoded = command(Encoding::Json, frame).expect("a command");
        assert!(!format!("{decoded:?}").contains("s3cret"), "{decoded:?}");
    }
    let publish = Publish { data: Payload::from("s3cret"), ..Publish::default() };
    assert!(!format!("{publish:?}").contains("s3cret"));
}
