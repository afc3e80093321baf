//! Every state against every input: what comes out, in one table each.

use std::fmt::Write;
use std::time::Duration;

use expect_test::expect;
use tourbillon_protocol::reply::{HistoryResult, PresenceResult, PresenceStatsResult};
use tourbillon_protocol::{Command, Request, command};
use tourbillon_session::{
    Accepted, Answer, CallId, Granted, Input, MapAnswer, MapGranted, MapTerms, Output, Refreshed, ServerOp,
    Tracked,
};
use tourbillon_types::{Direction, Disconnect, MapPage, Payload, ReplyError, StreamPosition, Unsubscribe};

use crate::poll::polled;
use crate::rig::{Rig, granted, refused, wish_subscribe, wish_unsubscribe};

/// The name of a state, and how to get there.
type State = (&'static str, fn() -> Rig);

/// The request after this one in the order of the protocol. A new kind of request does not compile until it has its
/// place, and with it its row in the tables.
fn after(request: &Request) -> Option<Request> {
    let channel = || "news".to_owned();
    Some(match request {
        Request::Pong => Request::Empty,
        Request::Empty => Request::Connect(Box::default()),
        Request::Connect(_) => Request::Ping,
        Request::Ping => Request::Subscribe(Box::new(command::Subscribe {
            channel: channel(),
            ..command::Subscribe::default()
        })),
        Request::Subscribe(_) => Request::Unsubscribe(command::Unsubscribe { channel: channel() }),
        Request::Unsubscribe(_) => {
            Request::Publish(command::Publish { channel: channel(), ..command::Publish::default() })
        }
        Request::Publish(_) => Request::Presence(command::Presence { channel: channel() }),
        Request::Presence(_) => Request::PresenceStats(command::PresenceStats { channel: channel() }),
        Request::PresenceStats(_) => {
            Request::History(command::History { channel: channel(), ..command::History::default() })
        }
        Request::History(_) => Request::Rpc(command::Rpc::default()),
        Request::Rpc(_) => Request::Send(command::Send::default()),
        Request::Send(_) => Request::Refresh(command::Refresh { token: "token".to_owned() }),
        Request::Refresh(_) => Request::SubRefresh(Box::new(command::SubRefresh {
            channel: channel(),
            token: "token".to_owned(),
            ..command::SubRefresh::default()
        })),
        Request::SubRefresh(_) => return None,
    })
}

fn requests() -> impl Iterator<Item = Request> {
    std::iter::successors(Some(Request::Pong), after)
}

fn commands() -> Vec<(String, Input)> {
    let mut commands = Vec::new();
    for id in [1, 0] {
        for request in requests() {
            // A message without a request is the one or the other by its id.
            if matches!((&request, id), (Request::Pong, 1) | (Request::Empty, 0)) {
                continue;
            }
            let name = request.name();
            let name = if id == 0 { format!("{name}, id 0") } else { name.to_owned() };
            commands.push((name, Input::Command(Command { id, request })));
        }
    }
    commands
}

fn other_inputs() -> Vec<(String, Input)> {
    let channel = || "news".into();
    vec![
        ("malformed".to_owned(), Input::Malformed),
        ("pong frame".to_owned(), Input::NativePong),
        ("tick".to_owned(), Input::Tick),
        ("answer".to_owned(), Input::Answer(CallId(99), Answer::Publish(Ok(())))),
        ("server: disconnect".to_owned(), Input::Server(ServerOp::Disconnect(Disconnect::SHUTDOWN))),
        (
            "server: subscribe".to_owned(),
            Input::Server(ServerOp::Subscribe { channel: channel(), granted: Granted::default() }),
        ),
        (
            "server: unsubscribe".to_owned(),
            Input::Server(ServerOp::Unsubscribe { channel: channel(), why: Unsubscribe::SERVER }),
        ),
        ("server: insufficient".to_owned(), Input::Server(ServerOp::Insufficient { channel: channel() })),
        ("server: refresh".to_owned(), Input::Server(ServerOp::Refresh(Refreshed::default()))),
        ("server: message".to_owned(), Input::Server(ServerOp::Message(Payload::from("1")))),
    ]
}

fn outcome(outputs: &[Output]) -> String {
    let texts: Vec<String> = outputs
        .iter()
        .filter(|output| !matches!(output, Output::Answered(_)))
        .map(|output| match output {
            Output::Reply(reply) => match &reply.result {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.code.0.to_string(),
            },
            Output::Push(_) => "push".to_owned(),
            Output::Ping => "ping".to_owned(),
            Output::Answered(_) => "answered".to_owned(),
            Output::Call(..) => "call".to_owned(),
            Output::Open { .. } => "open".to_owned(),
            Output::Filter { .. } => "filter".to_owned(),
            Output::Detach { .. } => "detach".to_owned(),
            Output::Tracked { .. } => "tracked".to_owned(),
            Output::Untrack { .. } => "untrack".to_owned(),
            Output::Close(why) => format!("x{}", why.code),
        })
        .collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
}

/// One row for each input, one column for each state.
fn table(inputs: Vec<(String, Input)>, states: &[State]) -> String {
    let heads = states.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut rows: Vec<(String, Vec<String>)> = vec![(String::new(), heads)];
    for (name, input) in inputs {
        let cells = states.iter().map(|(_, state)| outcome(&state().handle(input.clone()))).collect();
        rows.push((name, cells));
    }
    let widths: Vec<usize> = (0..states.len())
        .map(|column| {
            rows.iter().filter_map(|(_, cells)| cells.get(column)).map(String::len).max().unwrap_or(0)
        })
        .collect();
    let first = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, cells) in rows {
        let mut line = format!("{name:first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, " | {cell:width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn new() -> Rig {
    Rig::new()
}

fn connecting() -> Rig {
    let mut rig = new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig
}

/// Connected, and the client refreshes.
fn connected() -> Rig {
    Rig::new().connect(Accepted { client_side_refresh: true, ..Accepted::default() })
}

fn pinged() -> Rig {
    let mut rig = connected();
    rig.advance(13.0);
    rig
}

fn unusable() -> Rig {
    let mut rig = connecting();
    rig.answer(Answer::Connect(Err(refused(ReplyError::PERMISSION_DENIED))));
    rig
}

fn closed() -> Rig {
    let mut rig = connected();
    rig.server(ServerOp::Disconnect(Disconnect::FORCE_DISCONNECT));
    rig
}

fn listener_new() -> Rig {
    Rig::with(|_, init| init.direction = Direction::Unidirectional)
}

fn listener_connecting() -> Rig {
    let mut rig = listener_new();
    rig.send(r#"{"id":1,"connect":{}}"#);
    rig
}

fn listener() -> Rig {
    listener_new().connect(Accepted::default())
}

const PHASES: [State; 9] = [
    ("new", new),
    ("connecting", connecting),
    ("connected", connected),
    ("pinged", pinged),
    ("unusable", unusable),
    ("closed", closed),
    ("listener: new", listener_new),
    ("connecting", listener_connecting),
    ("connected", listener),
];

#[test]
fn every_request_in_every_phase() {
    expect![[r#"
                             | new   | connecting | connected | pinged | unusable | closed | listener: new | connecting | connected
        unknown              | x3501 | x3501      | x3501     | x3501  | x3501    | -      | x3501         | -          | -
        connect              | call  | x3501      | x3501     | x3501  | x3501    | -      | call          | -          | -
        ping                 | x3501 | x3501      | 108       | 108    | x3501    | -      | x3501         | -          | -
        subscribe            | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        unsubscribe          | x3501 | x3501      | ok        | ok     | x3501    | -      | x3501         | -          | -
        publish              | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        presence             | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        presence_stats       | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        history              | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        rpc                  | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        send                 | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        refresh              | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        sub_refresh          | x3501 | x3501      | 103       | 103    | x3501    | -      | x3501         | -          | -
        pong, id 0           | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        connect, id 0        | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        ping, id 0           | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        subscribe, id 0      | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        unsubscribe, id 0    | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        publish, id 0        | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        presence, id 0       | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        presence_stats, id 0 | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        history, id 0        | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        rpc, id 0            | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        send, id 0           | x3501 | x3501      | call      | call   | x3501    | -      | x3501         | -          | -
        refresh, id 0        | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
        sub_refresh, id 0    | x3501 | x3501      | x3501     | -      | x3501    | -      | x3501         | -          | -
    "#]].assert_eq(&table(commands(), &PHASES));
}

#[test]
fn every_other_input_in_every_phase() {
    expect![[r#"
                             | new   | connecting | connected | pinged | unusable | closed | listener: new | connecting | connected
        malformed            | x3501 | x3501      | x3501     | x3501  | x3501    | -      | x3501         | -          | -
        pong frame           | -     | -          | -         | -      | -        | -      | -             | -          | -
        tick                 | -     | -          | -         | -      | -        | -      | -             | -          | -
        answer               | -     | -          | -         | -      | -        | -      | -             | -          | -
        server: disconnect   | x3001 | x3001      | x3001     | x3001  | x3001    | -      | x3001         | x3001      | x3001
        server: subscribe    | -     | -          | call      | call   | -        | -      | -             | -          | call
        server: unsubscribe  | -     | -          | push      | push   | -        | -      | -             | -          | push
        server: insufficient | -     | -          | -         | -      | -        | -      | -             | -          | -
        server: refresh      | -     | -          | push      | push   | -        | -      | -             | -          | push
        server: message      | -     | -          | push      | push   | -        | -      | -             | -          | push
    "#]].assert_eq(&table(other_inputs(), &PHASES));
}

fn free() -> Rig {
    Rig::with(|config, _| config.concurrency = 2).connect(Accepted::default())
}

fn subscribing() -> Rig {
    let mut rig = free();
    rig.send(r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    rig
}

fn subscribed() -> Rig {
    free().subscribe("news", granted(3600, true))
}

/// The server refreshes it, and does so at the moment.
fn refreshing() -> Rig {
    let mut rig = Rig::with(|config, _| config.ping_interval = None).connect(Accepted::default());
    rig = rig.subscribe("news", granted(60, false));
    rig.advance(60.0);
    rig
}

fn giving() -> Rig {
    let mut rig = free();
    rig.server(wish_subscribe("news"));
    rig
}

fn given() -> Rig {
    let mut rig = giving();
    rig.answer(Answer::Subscribe(Ok(granted(3600, true))));
    rig
}

fn taking() -> Rig {
    let mut rig = subscribing();
    rig.server(wish_unsubscribe("news"));
    rig
}

const SUBSCRIPTION_STATES: [State; 7] = [
    ("none", free),
    ("subscribing", subscribing),
    ("subscribed", subscribed),
    ("refreshing", refreshing),
    ("giving", giving),
    ("given", given),
    ("taking", taking),
];

#[test]
fn every_request_about_a_channel_in_every_state_of_its_subscription() {
    let about = |(_, input): &(String, Input)| match input {
        Input::Command(command) => matches!(
            command.request,
            Request::Subscribe(_)
                | Request::Unsubscribe(_)
                | Request::Publish(_)
                | Request::Presence(_)
                | Request::PresenceStats(_)
                | Request::History(_)
                | Request::SubRefresh(_)
        ),
        Input::Server(
            ServerOp::Subscribe { .. } | ServerOp::Unsubscribe { .. } | ServerOp::Insufficient { .. },
        ) => true,
        _ => false,
    };
    let inputs = commands().into_iter().filter(|(name, _)| !name.ends_with("id 0"));
    let inputs = inputs.chain(other_inputs()).filter(about).collect();
    expect![[r#"
                             | none | subscribing | subscribed  | refreshing  | giving | given       | taking
        subscribe            | call | 105         | 105         | 105         | 105    | 105         | 105
        unsubscribe          | ok   | -           | detach ok   | detach ok   | -      | detach ok   | -
        publish              | call | call        | call        | call        | call   | call        | call
        presence             | call | call        | call        | call        | call   | call        | call
        presence_stats       | call | call        | call        | call        | call   | call        | call
        history              | call | call        | call        | call        | call   | call        | call
        sub_refresh          | 103  | 103         | call        | x3501       | 103    | call        | 103
        server: subscribe    | call | -           | -           | -           | -      | -           | -
        server: unsubscribe  | push | -           | detach push | detach push | -      | detach push | -
        server: insufficient | -    | -           | detach push | detach push | -      | x3010       | -
    "#]]
    .assert_eq(&table(inputs, &SUBSCRIPTION_STATES));
}

/// Keyed, and granted with a stream.
fn granting() -> Rig {
    let mut rig = Rig::with(|config, _| {
        config.concurrency = 2;
        config.ping_interval = None;
    });
    rig = rig.connect(Accepted::default());
    rig.send(r#"{"id":2,"subscribe":{"channel":"news","type":1,"phase":2}}"#);
    rig
}

fn map_granted(positioned: bool) -> Answer {
    let terms = MapTerms { positioned, catch_up: Some(Duration::from_secs(5)), ..MapTerms::default() };
    let granted = MapGranted { terms, ..MapGranted::default() };
    Answer::Map(Ok(MapAnswer::Granted(Box::new(granted))))
}

fn map_state(cursor: &str) -> Answer {
    let position = StreamPosition { offset: 7, epoch: "e".into() };
    let page = MapPage { entries: Vec::new(), position, cursor: cursor.to_owned() };
    Answer::Map(Ok(MapAnswer::State(Box::new(page))))
}

/// The first page is being read.
fn reading() -> Rig {
    let mut rig = granting();
    rig.answer(map_granted(true));
    rig
}

/// The client is to ask for the next page.
fn loading() -> Rig {
    let mut rig = reading();
    rig.answer(map_state("next"));
    rig
}

/// Without a stream it is attached already.
fn loading_attached() -> Rig {
    let mut rig = granting();
    rig.answer(map_granted(false));
    rig.answer(Answer::Map(Ok(MapAnswer::Attached(Box::default()))));
    rig.answer(map_state("next"));
    rig
}

fn late() -> Rig {
    let mut rig = loading();
    rig.advance(6.0);
    rig
}

fn attaching() -> Rig {
    let mut rig = reading();
    rig.answer(map_state(""));
    rig
}

fn live() -> Rig {
    let mut rig = attaching();
    rig.answer(Answer::Map(Ok(MapAnswer::Attached(Box::default()))));
    rig
}

/// Where its stream stands is being asked.
fn catching_up() -> Rig {
    let mut rig = loading();
    rig.send(r#"{"id":3,"subscribe":{"channel":"news","type":1,"phase":1,"offset":7,"epoch":"e"}}"#);
    rig
}

const KEYED_STATES: [State; 9] = [
    ("none", free),
    ("granting", granting),
    ("reading", reading),
    ("loading", loading),
    ("loading, attached", loading_attached),
    ("late", late),
    ("catching up", catching_up),
    ("attaching", attaching),
    ("live", live),
];

#[test]
fn every_command_for_a_keyed_channel_in_every_state_of_its_subscription() {
    let keyed = |phase: i32, cursor: &str, recover: bool, epoch: &str| {
        let subscribe = command::Subscribe {
            channel: "news".to_owned(),
            kind: 1,
            phase,
            cursor: cursor.to_owned(),
            recover,
            position: StreamPosition { offset: 7, epoch: epoch.into() },
            ..command::Subscribe::default()
        };
        Input::Command(Command { id: 9, request: Request::Subscribe(Box::new(subscribe)) })
    };
    let command = |request| Input::Command(Command { id: 9, request });
    let channel = || "news".to_owned();
    let mut inputs: Vec<(String, Input)> = vec![
        ("state".to_owned(), keyed(2, "", false, "")),
        ("next page".to_owned(), keyed(2, "next", false, "e")),
        ("stream".to_owned(), keyed(1, "", false, "e")),
        ("stream, recover".to_owned(), keyed(1, "", true, "e")),
        ("stream, other epoch".to_owned(), keyed(1, "", false, "f")),
        ("live".to_owned(), keyed(0, "", false, "e")),
        ("live, recover".to_owned(), keyed(0, "", true, "e")),
        ("live, other epoch".to_owned(), keyed(0, "", true, "f")),
        ("no phase".to_owned(), keyed(3, "", false, "")),
        (
            "as a stream".to_owned(),
            command(Request::Subscribe(Box::new(command::Subscribe {
                channel: channel(),
                ..command::Subscribe::default()
            }))),
        ),
        (
            "unsubscribe".to_owned(),
            command(Request::Unsubscribe(command::Unsubscribe { channel: channel() })),
        ),
        (
            "set a key".to_owned(),
            command(Request::Publish(command::Publish {
                channel: channel(),
                kind: 1,
                ..command::Publish::default()
            })),
        ),
    ];
    let wishes = other_inputs().into_iter().filter(|(name, _)| {
        ["server: subscribe", "server: unsubscribe", "server: insufficient", "tick"].contains(&name.as_str())
    });
    inputs.extend(wishes);
    expect![[r#"
                             | none | granting | reading | loading | loading, attached | late  | catching up | attaching | live
        state                | call | 105      | 105     | 105     | 105               | call  | 105         | 105       | 105
        next page            | 103  | 105      | 113     | call    | call              | x3008 | 113         | 113       | 105
        stream               | call | 105      | 113     | call    | 107               | x3008 | 113         | 113       | 105
        stream, recover      | call | 105      | 113     | call    | 107               | x3008 | 113         | 113       | 105
        stream, other epoch  | call | 105      | 113     | 112     | 107               | x3008 | 113         | 113       | 105
        live                 | call | 105      | 113     | call    | ok open           | x3008 | 113         | 113       | 105
        live, recover        | call | 105      | 113     | call    | 112               | x3008 | 113         | 113       | 105
        live, other epoch    | call | 105      | 113     | 112     | 112               | x3008 | 113         | 113       | 105
        no phase             | 107  | 107      | 107     | 107     | 107               | 107   | 107         | 107       | 107
        as a stream          | call | 105      | 105     | 105     | 105               | call  | 105         | 105       | 105
        unsubscribe          | ok   | -        | -       | ok      | ok                | ok    | -           | -         | detach ok
        set a key            | call | call     | call    | call    | call              | call  | call        | call      | call
        tick                 | -    | -        | -       | -       | -                 | -     | -           | -         | -
        server: subscribe    | call | -        | -       | -       | -                 | call  | -           | -         | -
        server: unsubscribe  | push | -        | -       | push    | push              | push  | -           | -         | detach push
        server: insufficient | -    | -        | -       | -       | -                 | -     | -           | -         | detach push
    "#]].assert_eq(&table(inputs, &KEYED_STATES));
}

/// An answer of each kind: yes, no and out.
fn answers() -> Vec<(&'static str, Answer)> {
    let no = || refused(ReplyError::PERMISSION_DENIED);
    let out = || crate::rig::thrown_out(Disconnect::FORCE_DISCONNECT);
    vec![
        ("accepted", Answer::Connect(Ok(Accepted::default()))),
        ("not accepted", Answer::Connect(Err(no()))),
        ("accepted, out", Answer::Connect(Err(out()))),
        ("granted", Answer::Subscribe(Ok(Granted::default()))),
        ("not granted", Answer::Subscribe(Err(no()))),
        ("granted, out", Answer::Subscribe(Err(out()))),
        ("map: granted", map_granted(true)),
        ("map: granted, no stream", map_granted(false)),
        ("map: a page of the state", map_state("next")),
        ("map: the last page", map_state("")),
        ("map: a part of the stream", Answer::Map(Ok(MapAnswer::Stream(Box::default())))),
        ("map: attached", Answer::Map(Ok(MapAnswer::Attached(Box::default())))),
        ("map: not", Answer::Map(Err(no()))),
        ("map: out", Answer::Map(Err(out()))),
        ("published", Answer::Publish(Ok(()))),
        ("not published", Answer::Publish(Err(no()))),
        ("published, out", Answer::Publish(Err(out()))),
        ("page", Answer::History(Ok(HistoryResult::default()))),
        ("no page", Answer::History(Err(no()))),
        ("page, out", Answer::History(Err(out()))),
        ("members", Answer::Presence(Ok(PresenceResult::default()))),
        ("no members", Answer::Presence(Err(no()))),
        ("numbers", Answer::PresenceStats(Ok(PresenceStatsResult::default()))),
        ("no numbers", Answer::PresenceStats(Err(no()))),
        ("result", Answer::Rpc(Ok(Payload::empty()))),
        ("no result", Answer::Rpc(Err(no()))),
        ("result, out", Answer::Rpc(Err(out()))),
        ("taken", Answer::Message(Ok(()))),
        ("taken, out", Answer::Message(Err(Disconnect::FORCE_DISCONNECT))),
        ("refreshed", Answer::Refresh(Ok(Refreshed::default()))),
        ("expired", Answer::Refresh(Ok(Refreshed { expired: true, ..Refreshed::default() }))),
        ("tracked", Answer::Track(Ok(Tracked::default()))),
        ("not tracked", Answer::Track(Err(no()))),
        ("tracked, out", Answer::Track(Err(out()))),
        ("not refreshed", Answer::Refresh(Err(no()))),
        ("refreshed, out", Answer::Refresh(Err(out()))),
    ]
}

/// A call of each kind, and the answers to it in order: yes, no, out, and one of another kind.
#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn every_answer_to_every_call() {
    let calls: [State; 19] = [
        ("connect", connecting),
        ("subscribe", subscribing),
        ("attach", giving),
        ("map: grant", granting),
        ("map: state", reading),
        ("map: stream", catching_up),
        ("map: attach", attaching),
        ("map: set a key", || asked(r#"{"id":2,"publish":{"channel":"news","type":1,"key":"a"}}"#)),
        ("publish", || asked(r#"{"id":2,"publish":{"channel":"news"}}"#)),
        ("history", || asked(r#"{"id":2,"history":{"channel":"news"}}"#)),
        ("presence", || asked(r#"{"id":2,"presence":{"channel":"news"}}"#)),
        ("presence_stats", || asked(r#"{"id":2,"presence_stats":{"channel":"news"}}"#)),
        ("rpc", || asked(r#"{"id":2,"rpc":{}}"#)),
        ("send", || asked(r#"{"send":{}}"#)),
        ("refresh", || asked(r#"{"id":2,"refresh":{"token":"token"}}"#)),
        ("refresh by the server", || {
            let mut rig = Rig::with(|config, _| config.ping_interval = None);
            rig = rig.connect(crate::rig::accepted(60, false));
            rig.advance(60.0);
            rig
        }),
        ("sub_refresh", || {
            let mut rig = subscribed();
            rig.send(r#"{"id":2,"sub_refresh":{"channel":"news","token":"token"}}"#);
            rig
        }),
        ("sub_refresh by the server", refreshing),
        ("track", || {
            let mut rig = free().subscribe("news", polled());
            rig.send(
                r#"{"id":2,"sub_refresh":{"channel":"news","type":1,"track":[{"items":[{"key":"a"}]}]}}"#,
            );
            rig
        }),
    ];
    let answers = answers();
    let mut text = String::new();
    for (name, call) in calls {
        let _ = writeln!(text, "{name}");
        for (answer_name, answer) in &answers {
            let mut rig = call();
            let (id, _) = rig.asked().pop().expect("the call is under way");
            let outcome = outcome(&rig.handle(Input::Answer(id, answer.clone())));
            // An answer of another kind is a fault of the server.
            if outcome != "x3004" {
                let _ = writeln!(text, "- {answer_name}: {outcome}");
            }
        }
    }
    expect![[r#"
        connect
        - accepted: ok
        - not accepted: 103
        - accepted, out: x3503
        subscribe
        - granted: ok open
        - not granted: 103
        - granted, out: x3503
        attach
        - granted: push open
        - not granted: -
        - granted, out: x3503
        map: grant
        - map: granted: call
        - map: granted, no stream: call
        - map: not: 103
        - map: out: x3503
        map: state
        - map: a page of the state: ok
        - map: the last page: call
        - map: not: 103
        - map: out: x3503
        map: stream
        - map: a part of the stream: call
        - map: not: 103
        - map: out: x3503
        map: attach
        - map: attached: ok open
        - map: not: 103
        - map: out: x3503
        map: set a key
        - published: ok
        - not published: 103
        - published, out: x3503
        publish
        - published: ok
        - not published: 103
        - published, out: x3503
        history
        - page: ok
        - no page: 103
        - page, out: x3503
        presence
        - members: ok
        - no members: 103
        presence_stats
        - numbers: ok
        - no numbers: 103
        rpc
        - result: ok
        - no result: 103
        - result, out: x3503
        send
        - taken: -
        - taken, out: x3503
        refresh
        - refreshed: ok
        - expired: x3005
        - not refreshed: 103
        - refreshed, out: x3503
        refresh by the server
        - refreshed: -
        - expired: x3005
        - refreshed, out: x3503
        sub_refresh
        - refreshed: ok
        - expired: 110
        - not refreshed: 103
        - refreshed, out: x3503
        sub_refresh by the server
        - refreshed: -
        - expired: detach push
        - not refreshed: detach push
        - refreshed, out: x3503
        track
        - tracked: ok tracked
        - not tracked: 103
        - tracked, out: x3503
    "#]]
    .assert_eq(&text);
}

fn asked(json: &str) -> Rig {
    let mut rig = connected();
    rig.send(json);
    rig
}

#[test]
fn no_state_keeps_the_clock_ringing() {
    for (name, state) in PHASES.iter().chain(&SUBSCRIPTION_STATES).chain(&KEYED_STATES) {
        for late in [0, 1, 1000, 1_000_000] {
            let mut rig = state();
            rig.skip(Duration::from_secs(late));
            // The audit sees to it that no deadline is left behind.
            rig.tick();
            assert!(rig.session.next_deadline() > rig.now.instant, "{name}");
        }
    }
}
