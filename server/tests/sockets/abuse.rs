//! Clients of HTTP/2 that mean no good: floods, and doing nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tourbillon::node::Target;
use tourbillon::types::{Payload, UserId};

use crate::frames::*;
use crate::harness::{KEY, Server, Where, start_at};

async fn start() -> Server {
    start_at(Where::Internal, |options| {
        options.http_server.h2c_external = true;
        "1".clone_into(&mut options.http_server.internal_port);
        options.http_api.external = true;
        options.http_stream.enabled = true;
    })
    .await
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// The server has had enough of it, and serves others.
async fn is_sent_away(server: &Server, mut raw: Raw, codes: &[u32]) {
    let seen = raw.until(|seen| seen.ended).await;
    assert!(seen.goaway.is_none_or(|code| codes.contains(&code)), "{seen:?}");
    assert_eq!(server.get("/nothing").await.status, 404);
}

/// CVE-2023-44487.
#[tokio::test]
async fn requests_that_are_taken_back_at_once() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    let flood: Vec<u8> = (0..20_000).flat_map(|at| [get(2 * at + 1), reset(2 * at + 1)].concat()).collect();
    raw.send(&flood).await;
    is_sent_away(&server, raw, &[ENHANCE_YOUR_CALM]).await;
    server.end().await;
}

/// The same, slowly enough for each request to be begun: the HTTP library sees nothing wrong with that.
#[tokio::test]
async fn requests_that_are_taken_back_when_they_are_worked_on() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    let mut taken_back = 0;
    while !raw.seen.ended && taken_back < 1_000 {
        let stream = 2 * taken_back + 1;
        raw.send(&post(stream, &[])).await;
        raw.until_heard().await;
        raw.send(&reset(stream)).await;
        raw.until_heard().await;
        taken_back += 1;
    }
    assert!((100..200).contains(&taken_back), "{taken_back}");
    is_sent_away(&server, raw, &[]).await;
    // Those that are answered now and then may be taken back for ever.
    let mut raw = Raw::new(server.external).await;
    for at in 0..300 {
        let stream = 4 * at + 1;
        raw.send(&[post(stream, &[]), get(stream + 2)].concat()).await;
        raw.until(|seen| seen.complete.contains(&(stream + 2))).await;
        raw.send(&reset(stream)).await;
        raw.until_heard().await;
    }
    assert!(!raw.seen.ended);
    drop(raw);
    server.end().await;
}

/// CVE-2025-8671: the server is made to reset.
#[tokio::test]
async fn requests_that_have_to_be_reset() {
    let server = start().await;
    for mistake in [
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
        |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()),
    ] {
        let mut raw = Raw::new(server.external).await;
        for at in 0..10_000 {
            raw.send(&[post(2 * at + 1, &[]), mistake(2 * at + 1)].concat()).await;
        }
        is_sent_away(&server, raw, &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR]).await;
    }
    server.end().await;
}

#[tokio::test]
async fn a_head_without_an_end() {
    let server = start().await;
    for piece in
        [frame(CONTINUATION, 0, 1, &[]), frame(CONTINUATION, 0, 1, &field("x-name", &"x".repeat(1000)))]
    {
        let mut raw = Raw::new(server.external).await;
        raw.send(&frame(HEADERS, 0, 1, &begin("GET", "/nothing"))).await;
        raw.send(&piece.repeat(10_000)).await;
        is_sent_away(&server, raw, &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR]).await;
    }
    server.end().await;
}

/// A field that is in the table costs a byte, and as much as it is long.
#[tokio::test]
async fn a_head_that_is_small_and_means_much() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    let mut indexed = field("x-name", &"x".repeat(3_000));
    indexed[0] = 0x40;
    let block = [begin("GET", "/nothing"), indexed, vec![0xbe; 10_000]].concat();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
    let seen = raw.until(|seen| !seen.answers.is_empty() || !seen.resets.is_empty()).await;
    assert!(seen.ended || !seen.resets.is_empty() || seen.answers == [(1, 431)], "{seen:?}");
    server.end().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_its_connection_goes_on() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    let large =
        [begin("GET", "/nothing"), field("x-name", &"x".repeat(15_900)), field("y", &"y".repeat(400))];
    let large = large.concat();
    let (first, rest) = large.split_at(16_000);
    raw.send(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, rest)].concat())
        .await;
    raw.send(&get(3)).await;
    let seen = raw.until(|seen| seen.complete.contains(&3)).await;
    assert!(seen.answers.contains(&(1, 431)) && seen.answers.contains(&(3, 404)), "{seen:?}");
    drop(raw);
    server.end().await;
}

/// RUSTSEC-2026-0258, and what is nearly as empty.
#[tokio::test]
async fn bodies_in_pieces_of_nothing() {
    let server = start().await;
    for piece in [frame(DATA, 0, 1, &[]), frame(DATA, PADDED, 1, &[0])] {
        let mut raw = Raw::new(server.external).await;
        raw.send(&post(1, &[])).await;
        let chunk = piece.repeat(1_000);
        for _ in 0..1_000 {
            if raw.stream.write_all(&chunk).await.is_err() {
                break;
            }
        }
        is_sent_away(&server, raw, &[ENHANCE_YOUR_CALM]).await;
    }
    server.end().await;
}

/// Answers to what needs one are not piled up for who does not read them: the server reads no more either, and gives
/// the connection up when it has had no request in time.
#[tokio::test(start_paused = true)]
async fn questions_whose_answers_are_not_read() {
    let server = start().await;
    for question in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])] {
        let mut raw = Raw::new(server.external).await;
        let chunk = question.repeat(4_000);
        let begun = Instant::now();
        let mut sent = 0_usize;
        while raw.stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 1 << 30, "it takes everything");
        }
        assert!((9..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
    assert_eq!(server.get("/nothing").await.status, 404);
    server.end().await;
}

#[tokio::test]
async fn more_requests_at_once_than_allowed() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    for at in 0..400 {
        raw.send(&post(2 * at + 1, &[])).await;
    }
    let seen = raw.until(|seen| seen.resets.len() == 150).await;
    assert!(seen.resets.iter().all(|(_, code)| *code == REFUSED_STREAM), "{seen:?}");
    assert!(!raw.until_heard().await.ended);
    // There is room again when some are answered.
    raw.send(&frame(DATA, END_STREAM, 1, b"{}")).await;
    raw.until(|seen| seen.complete.contains(&1)).await;
    raw.send(&get(1001)).await;
    raw.until(|seen| seen.complete.contains(&1001)).await;
    drop(raw);
    server.end().await;
}

/// Seconds until the server ends the connection.
async fn seconds_until_the_end(raw: &mut Raw) -> u64 {
    let begun = Instant::now();
    raw.until(|seen| seen.ended).await;
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_to_the_point_is_sent_away() {
    let server = start().await;
    let settings = frame(SETTINGS, 0, 0, &[]);
    for begun in [
        b"".to_vec(),
        b"P".to_vec(),
        b"PRI".to_vec(),
        PREFACE.to_vec(),
        [PREFACE, &settings].concat(),
        [PREFACE, &settings, &frame(HEADERS, 0, 1, &begin("GET", "/nothing"))].concat(),
        [PREFACE, &settings, &frame(HEADERS, END_HEADERS, 1, &begin("GET", "/nothing"))[..30]].concat(),
    ] {
        let mut raw = Raw::silent(server.external).await;
        raw.send(&begun).await;
        let seconds = seconds_until_the_end(&mut raw).await;
        assert!((9..=21).contains(&seconds), "{seconds} s: {begun:?}");
    }
    // One that has had requests may rest for a while.
    let mut raw = Raw::new(server.external).await;
    raw.send(&get(1)).await;
    raw.until(|seen| seen.complete.contains(&1)).await;
    let seconds = seconds_until_the_end(&mut raw).await;
    assert!((20..=41).contains(&seconds), "{seconds} s");
    assert_eq!(raw.seen.goaway, Some(0));
    server.end().await;
}

/// A stream of events is a request that lasts, and so does its connection.
#[tokio::test(start_paused = true)]
async fn who_has_a_request_may_stay() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    let block = begin("POST", "/connection/http_stream");
    raw.send(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    raw.send(&frame(DATA, END_STREAM, 1, br#"{"id":1,"connect":{}}"#)).await;
    raw.until(|seen| !seen.body.is_empty()).await;
    // It is pinged after 25 s at the latest, and ended 8 s later, since it does not answer.
    let seconds = seconds_until_the_end(&mut raw).await;
    assert!(raw.seen.complete.contains(&1), "{:?}", raw.seen);
    assert!((30..=90).contains(&seconds), "{seconds} s");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_its_request_alone() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    let begun = Instant::now();
    raw.send(&[post(1, &[]), frame(DATA, 0, 1, b"{")].concat()).await;
    raw.until(|seen| !seen.answers.is_empty()).await;
    assert!((29..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(raw.seen.answers, [(1, 500)]);
    raw.send(&get(3)).await;
    raw.until(|seen| seen.complete.contains(&3)).await;
    drop(raw);
    server.end().await;
}

/// A window of nothing: an answer that is not taken is given up.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_given_up() {
    let server = start().await;
    let mut raw = Raw::silent(server.external).await;
    raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()).await;
    let block = [begin("POST", "/api/info"), field("x-api-key", KEY)].concat();
    for stream in [1, 3] {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &block)).await;
        raw.send(&frame(DATA, END_STREAM, stream, b"{}")).await;
    }
    raw.until(|seen| seen.answers.len() == 2).await;
    let seconds = seconds_until_the_end(&mut raw).await;
    assert_eq!((raw.seen.body.len(), raw.seen.complete.len()), (0, 0));
    assert!((30..=71).contains(&seconds), "{seconds} s");
    server.end().await;
}

/// A stream of events on a connection whose streams have such a window, once its answer has begun.
async fn stream_with_window(server: &Server, window: u16) -> Raw {
    let mut raw = Raw::silent(server.external).await;
    let [high, low] = window.to_be_bytes();
    raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, high, low])].concat()).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &begin("POST", "/connection/http_stream"))).await;
    raw.send(&frame(DATA, END_STREAM, 1, br#"{"id":1,"connect":{}}"#)).await;
    raw.until(|seen| seen.answers == [(1, 200)]).await;
    raw
}

/// Sends a text of so many bytes to all streams.
async fn say(server: &Server, length: usize) {
    let text = Payload::from(format!("\"{}\"", "x".repeat(length - 2)).into_bytes());
    server.node.send(&Target::user(UserId::anonymous()), text).await.expect("sent");
}

/// EMU-06: a window that is never enlarged, whether it ends before the first piece, within it or later.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_pieces_are_not_taken_ends_after_a_second() {
    hold_time();
    let server = start().await;
    for window in [0, 50, 1_000] {
        let mut raw = stream_with_window(&server, window).await;
        if window == 1_000 {
            raw.until(|seen| seen.body.ends_with(b"\n")).await;
            // What fits is no reason.
            say(&server, 100).await;
            raw.until(|seen| seen.body.ends_with(b"x\"}}}\n")).await;
            tokio::time::advance(Duration::from_secs(5)).await;
            assert!(raw.until_heard().await.resets.is_empty());
            say(&server, 2_000).await;
        }
        raw.until(|seen| seen.body.len() == usize::from(window)).await;
        let begun = Instant::now();
        while raw.until_heard().await.resets.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(100), "{window}: it goes on for ever");
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let millis = begun.elapsed().as_millis();
        assert!((900..=1_300).contains(&millis), "{window}: {millis} ms");
        assert_eq!(
            (raw.seen.resets.as_slice(), raw.seen.body.len()),
            ([(1, CANCEL)].as_slice(), window.into())
        );
        while server.node.connections() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!raw.seen.ended, "the connection has other requests");
    }
    server.end().await;
}

/// The second is for a piece, not for all of them.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_pieces_are_taken_slowly_goes_on() {
    hold_time();
    let server = start().await;
    let mut raw = stream_with_window(&server, 1_000).await;
    raw.until(|seen| seen.body.ends_with(b"\n")).await;
    for _ in 0..150 {
        say(&server, 1_000).await;
    }
    let mut taken = 1_000;
    while taken < 150_000 {
        raw.until(|seen| seen.body.len() >= taken).await;
        tokio::time::advance(Duration::from_millis(900)).await;
        raw.until_heard().await;
        assert_eq!((raw.seen.resets.len(), server.node.connections()), (0, 1), "after {taken}");
        raw.send(&[0, 1].map(|of| frame(WINDOW_UPDATE, 0, of, &20_000_u32.to_be_bytes())).concat()).await;
        taken += 20_000;
    }
    drop(raw);
    server.end().await;
}

/// The end of the server is told, and who is answered is answered to the end.
#[tokio::test]
async fn the_end_of_the_server_is_told() {
    let server = start().await;
    let mut raw = Raw::new(server.external).await;
    raw.send(&[post(1, &[]), frame(DATA, 0, 1, b"{")].concat()).await;
    raw.until_heard().await;
    server.stop.cancel();
    raw.until(|seen| seen.goaway.is_some()).await;
    raw.send(&frame(DATA, END_STREAM, 1, b"}")).await;
    let begun = tokio::time::timeout(Duration::from_secs(30), raw.until(|seen| seen.ended)).await;
    assert_eq!(begun.expect("it ends").answers, [(1, 200)]);
    server.end().await;
}
