//! Random histories: commands, wishes and answers in any order or never, time in any steps. The rig's audit holds
//! throughout.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tourbillon_protocol::{Command, Request, command};
use tourbillon_recovery::Resumed;
use tourbillon_session::{
    Accepted, Answer, Call, CallId, Granted, Input, MapAnswer, MapCall, MapChanges, MapGranted, MapTerms,
    Output, Refreshed, Refusal, ServerOp, SessionConfig, SessionInit, Tracked,
};
use tourbillon_types::{
    Channel, ClientId, Direction, Disconnect, Epoch, Instant, MapPage, Payload, ReplyError, StreamPosition,
    Unsubscribe,
};

use crate::rig::Rig;

const CHANNELS: [&str; 4] = ["a", "b", "c", "d"];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Command(Command),
    /// A pong, if one is in order.
    Pong,
    Malformed,
    NativePong,
    /// Answers one of the calls under way.
    Answer {
        which: prop::sample::Index,
        outcome: Outcome,
    },
    /// An answer to no call under way, or of another kind than the call.
    Stray {
        call: u32,
        outcome: Outcome,
    },
    Server(ServerOp),
    /// Time with a tick at each deadline.
    Advance(Duration),
    /// Time with one tick at its end.
    Late(Duration),
}

/// How a call ends, whichever it is.
#[derive(Clone, Debug)]
enum Outcome {
    Yes { seconds: Option<i64>, client_side_refresh: bool, expired: bool, channels: Vec<&'static str> },
    No,
    Out,
}

/// What does not change during a history.
#[derive(Clone, Debug)]
struct Setting {
    config: SessionConfig,
    init: SessionInit,
    /// Whether the driver hands commands in only when the session is ready.
    orderly: bool,
}

fn seconds(choices: &'static [u64]) -> impl Strategy<Value = Duration> {
    prop::sample::select(choices).prop_map(Duration::from_secs)
}

fn channel() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&CHANNELS[..])
}

prop_compose! {
    fn config()(
        ping in prop::option::weighted(0.7, seconds(&[0, 1, 5, 25])),
        pong in seconds(&[0, 1, 8, 40]),
        stale in seconds(&[0, 10, 10, 1000]),
        (expired, expired_sub) in (seconds(&[0, 1, 25]), seconds(&[0, 1, 25])),
        wait in seconds(&[0, 5]),
        channel_limit in prop::sample::select(&[0, 1, 2, 3, 4, 4, 4][..]),
        concurrency in 0_usize..4,
    ) -> SessionConfig {
        let mut config = crate::rig::config();
        config.ping_interval = ping;
        config.pong_timeout = pong;
        config.stale_close_delay = stale;
        config.expired_close_delay = expired;
        config.expired_sub_close_delay = expired_sub;
        config.unsubscribe_wait = wait;
        config.channel_limit = channel_limit;
        config.concurrency = concurrency;
        config
    }
}

prop_compose! {
    fn setting()(
        config in config(),
        random: [u8; 16],
        unidirectional in prop::bool::weighted(0.2),
        native_ping in prop::bool::weighted(0.2),
        emulation: bool,
        orderly in prop::bool::weighted(0.8),
    ) -> Setting {
        let client = ClientId::from_random(random);
        let direction = if unidirectional { Direction::Unidirectional } else { Direction::Bidirectional };
        Setting { config, init: SessionInit { client, direction, native_ping, emulation, ..crate::rig::init() }, orderly }
    }
}

/// A command for a keyed channel, whether it makes sense or not.
fn map_subscribe() -> impl Strategy<Value = Request> {
    let (phase, cursor) =
        (prop::sample::select(&[2, 2, 1, 0, 3][..]), prop::sample::select(&["", "", "c"][..]));
    let position = (0_u64..400, prop::sample::select(&["", "e", "e", "f"][..]));
    let subscribe = (channel(), 1..=3_i32, phase, cursor, any::<bool>(), position, any::<bool>());
    subscribe.prop_map(|(channel, kind, phase, cursor, recover, (offset, epoch), delta)| {
        Request::Subscribe(Box::new(command::Subscribe {
            channel: channel.to_owned(),
            kind,
            phase,
            cursor: cursor.to_owned(),
            recover,
            position: StreamPosition { offset, epoch: epoch.into() },
            delta: if delta { "fossil" } else { "" }.to_owned(),
            ..command::Subscribe::default()
        }))
    })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        8 => map_subscribe(),
        1 => (channel(), any::<bool>()).prop_map(|(channel, removed)| Request::Publish(command::Publish {
            channel: channel.to_owned(),
            kind: 1,
            removed,
            ..command::Publish::default()
        })),
        6 => channel().prop_map(|channel| Request::Subscribe(Box::new(command::Subscribe {
            channel: channel.to_owned(),
            ..command::Subscribe::default()
        }))),
        4 => channel().prop_map(|channel| Request::Unsubscribe(command::Unsubscribe { channel: channel.to_owned() })),
        2 => channel().prop_map(|channel| Request::Publish(command::Publish {
            channel: channel.to_owned(),
            ..command::Publish::default()
        })),
        4 => channel().prop_map(|channel| Request::SubRefresh(Box::new(command::SubRefresh {
            channel: channel.to_owned(),
            token: "token".to_owned(),
            ..command::SubRefresh::default()
        }))),
        3 => (channel(), 1..4_i32).prop_map(|(channel, kind)| {
            let item = command::KeyedItem { key: "a".to_owned(), version: 0 };
            let batch = command::TrackBatch { signature: String::new(), items: vec![item] };
            Request::SubRefresh(Box::new(command::SubRefresh {
                channel: channel.to_owned(),
                kind,
                track: vec![batch],
                untrack: vec!["a".to_owned()],
                ..command::SubRefresh::default()
            }))
        }),
        1 => Just(Request::Refresh(command::Refresh { token: "token".to_owned() })),
        1 => Just(Request::Rpc(command::Rpc::default())),
        1 => Just(Request::Send(command::Send::default())),
        1 => channel().prop_map(|channel| Request::Presence(command::Presence { channel: channel.to_owned() })),
        1 => Just(Request::Ping),
    ]
}

/// What ends most sessions at once.
fn rude_request() -> impl Strategy<Value = (u32, Request)> {
    prop_oneof![
        Just((0, Request::Pong)),
        Just((0, Request::Rpc(command::Rpc::default()))),
        Just((1, Request::Empty)),
        Just((1, Request::Connect(Box::default()))),
        Just((1, Request::Subscribe(Box::default()))),
        Just((1, Request::Unsubscribe(command::Unsubscribe::default()))),
        Just((1, Request::Refresh(command::Refresh::default()))),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let yes = (
        prop::option::of(prop::sample::select(&[0_i64, 5, 30, 100, 300, 300, i64::MAX / 4][..])),
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.05),
        prop_oneof![3 => vec(channel(), 0..2), 1 => vec(channel(), 2..4)],
    );
    let yes = yes.prop_map(|(seconds, client_side_refresh, expired, channels)| Outcome::Yes {
        seconds,
        client_side_refresh,
        expired,
        channels,
    });
    prop_oneof![30 => yes, 4 => Just(Outcome::No), 1 => Just(Outcome::Out)]
}

fn wish() -> impl Strategy<Value = ServerOp> {
    let unsubscribe =
        |channel: &str| ServerOp::Unsubscribe { channel: channel.into(), why: Unsubscribe::SERVER };
    let refresh = prop::option::of(1_i64..100);
    prop_oneof![
        3 => (channel(), outcome()).prop_map(|(channel, outcome)| ServerOp::Subscribe {
            channel: channel.into(),
            granted: outcome.granted(),
        }),
        3 => channel().prop_map(unsubscribe),
        1 => refresh.prop_map(|seconds| ServerOp::Refresh(Refreshed {
            expire_at: seconds.map(|seconds| crate::rig::START + seconds),
            ..Refreshed::default()
        })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (1_u32..5, request()).prop_map(|(id, request)| Step::Command(Command { id, request })),
        10 => Just(Step::Pong),
        1 => rude_request().prop_map(|(id, request)| Step::Command(Command { id, request })),
        1 => Just(Step::Malformed),
        3 => Just(Step::NativePong),
        40 => (any::<prop::sample::Index>(), outcome()).prop_map(|(which, outcome)| Step::Answer { which, outcome }),
        1 => (0_u32..40, outcome()).prop_map(|(call, outcome)| Step::Stray { call, outcome }),
        10 => wish().prop_map(Step::Server),
        1 => Just(Step::Server(ServerOp::Disconnect(Disconnect::FORCE_DISCONNECT))),
        20 => (0_u64..20_000).prop_map(|millis| Step::Advance(Duration::from_millis(millis))),
        2 => (0_u64..100_000).prop_map(|millis| Step::Late(Duration::from_millis(millis))),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let connect = Step::Command(Command { id: 1, request: Request::Connect(Box::default()) });
    let ends = prop::sample::select(&[None, None, Some(20), Some(60)][..]);
    let accept = (ends, any::<bool>(), vec(channel(), 0..2), any::<prop::sample::Index>());
    let accept = accept.prop_map(|(seconds, client_side_refresh, channels, which)| Step::Answer {
        which,
        outcome: Outcome::Yes { seconds, client_side_refresh, expired: false, channels },
    });
    let beginning = prop_oneof![
        8 => accept.prop_map(move |accept| vec![connect.clone(), accept]),
        1 => Just(Vec::new()),
    ];
    (beginning, vec(step(), 0..60)).prop_map(|(beginning, rest)| [beginning, rest].concat())
}

impl Outcome {
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Yes { .. } => None,
            Self::No => Some(ReplyError::PERMISSION_DENIED.into()),
            Self::Out => Some(Disconnect::FORCE_DISCONNECT.into()),
        }
    }

    /// Times are counted from the beginning of the history, so that most are past sooner or later.
    fn end(&self) -> (Option<i64>, bool, bool) {
        let Self::Yes { seconds, client_side_refresh, expired, .. } = self else {
            return (None, false, false);
        };
        (seconds.map(|seconds| crate::rig::START + seconds), *client_side_refresh, *expired)
    }

    fn granted(&self) -> Granted {
        let (expire_at, client_side_refresh, _) = self.end();
        let polled = client_side_refresh.then(|| Box::new(Epoch::from("e")));
        Granted { expire_at, client_side_refresh, info: Payload::from("1"), polled, ..Granted::default() }
    }

    fn accepted(&self) -> Accepted {
        let (expire_at, client_side_refresh, _) = self.end();
        let Self::Yes { channels, .. } = self else { return Accepted::default() };
        let mut named: Vec<Channel> = channels.iter().map(|channel| Channel::from(*channel)).collect();
        named.dedup();
        // Only some of them expire: one that is past fails the whole connect.
        let subscriptions = named.into_iter().enumerate().map(|(at, channel)| {
            (
                channel,
                if at == 0 { Granted::default() } else { Granted { expire_at: None, ..self.granted() } },
            )
        });
        Accepted {
            expire_at,
            client_side_refresh,
            subscriptions: subscriptions.collect(),
            ..Accepted::default()
        }
    }

    /// Whatever else an outcome says decides about what is in a channel.
    fn map_answer(&self, call: &MapCall) -> MapAnswer {
        let (seconds, positioned, expired) = match self {
            Self::Yes { seconds, client_side_refresh, expired, .. } => {
                (*seconds, *client_side_refresh, *expired)
            }
            Self::No | Self::Out => (None, false, false),
        };
        let offset = seconds.map_or(0, |seconds| u64::try_from(seconds.min(1000)).expect("a number"));
        let position = StreamPosition { offset, epoch: if expired { "f" } else { "e" }.into() };
        match call {
            MapCall::Grant(_) => {
                let catch_up = (seconds != Some(0)).then_some(Duration::from_secs(5));
                let terms = MapTerms { positioned, catch_up, ..MapTerms::default() };
                let granted = Granted { positioned, ..self.granted() };
                MapAnswer::Granted(Box::new(MapGranted { granted, terms, filter: None }))
            }
            MapCall::State { .. } => {
                let cursor = if positioned { "c" } else { "" }.to_owned();
                MapAnswer::State(Box::new(MapPage { entries: Vec::new(), position, cursor }))
            }
            MapCall::Stream { query, .. } => {
                let first = query.since.as_ref().map_or(0, |since| since.offset) + 1;
                let offsets = (!expired).then_some((first, first + 99));
                MapAnswer::Stream(Box::new(MapChanges { publications: Vec::new(), offsets, position }))
            }
            MapCall::Attach(attach) => {
                let resumed = attach.since.as_ref().map(|_| {
                    Box::new(Resumed { position: position.clone(), live: position, ..Resumed::default() })
                });
                MapAnswer::Attached(Box::new(Granted { resumed, ..attach.granted.clone() }))
            }
        }
    }

    fn answer(&self, call: &Call) -> Answer {
        fn result<T>(refusal: Option<Refusal>, yes: T) -> Result<T, Refusal> {
            refusal.map_or(Ok(yes), Err)
        }
        let (expire_at, _, expired) = self.end();
        let refusal = self.refusal();
        match call {
            Call::Connect(_) => Answer::Connect(result(refusal, self.accepted())),
            Call::Subscribe(_) | Call::Attach { .. } => Answer::Subscribe(result(refusal, self.granted())),
            Call::Map(call) => Answer::Map(result(refusal, self.map_answer(call))),
            Call::Publish { .. } | Call::MapPublish { .. } => Answer::Publish(result(refusal, ())),
            Call::History { .. } => Answer::History(result(refusal, Default::default())),
            Call::Presence { .. } => Answer::Presence(result(refusal, Default::default())),
            Call::PresenceStats { .. } => Answer::PresenceStats(result(refusal, Default::default())),
            Call::Rpc(_) => Answer::Rpc(result(refusal, Payload::from("1"))),
            Call::Track(_) => Answer::Track(result(refusal, Tracked { expire_at, items: Vec::new() })),
            Call::Message(_) => Answer::Message(match refusal {
                Some(Refusal::Disconnect(why)) => Err(why),
                _ => Ok(()),
            }),
            Call::Refresh { .. } | Call::SubRefresh { .. } => {
                let refreshed = Refreshed { expired, expire_at, ..Refreshed::default() };
                Answer::Refresh(result(refusal, refreshed))
            }
        }
    }
}

/// What came out at each step, and when the next tick was wanted.
type Trace = Vec<(Vec<Output>, Instant)>;

/// Plays a history. The audit in the rig panics where something is wrong.
fn play(setting: &Setting, history: &[Step]) -> Trace {
    let mut rig = Rig::with(|config, init| {
        config.clone_from(&setting.config);
        *init = setting.init;
    });
    let mut trace = Trace::new();
    let mut pings = 0;
    for step in history {
        let outputs = match step {
            Step::Command(_) if setting.orderly && !rig.session.ready() => continue,
            Step::Command(command) => rig.handle(Input::Command(command.clone())),
            Step::Pong if pings == 0 || !rig.session.ready() => continue,
            Step::Pong => {
                pings -= 1;
                rig.handle(Input::Command(Command { id: 0, request: Request::Pong }))
            }
            Step::Malformed => rig.handle(Input::Malformed),
            Step::NativePong => rig.handle(Input::NativePong),
            Step::Answer { which, outcome } => {
                let asked = rig.asked();
                if asked.is_empty() {
                    continue;
                }
                let (id, call) = which.get(&asked);
                rig.handle(Input::Answer(*id, outcome.answer(call)))
            }
            Step::Stray { call, outcome } => {
                let answer = outcome.answer(&Call::Refresh { token: String::new() });
                rig.handle(Input::Answer(CallId(*call), answer))
            }
            Step::Server(op) => rig.handle(Input::Server(op.clone())),
            Step::Advance(duration) => rig.advance(duration.as_secs_f64()),
            Step::Late(duration) => {
                rig.skip(*duration);
                rig.handle(Input::Tick)
            }
        };
        if !setting.init.native_ping {
            pings += outputs.iter().filter(|output| **output == Output::Ping).count();
        }
        trace.push((outputs, rig.session.next_deadline()));
    }
    trace
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_the_rules_hold(setting in setting(), history in history()) {
        play(&setting, &history);
    }

    #[test]
    fn the_same_history_gives_the_same_outputs(setting in setting(), history in history()) {
        prop_assert_eq!(play(&setting, &history), play(&setting, &history));
    }

    /// With a driver that keeps the order, no more commands are under way than allowed.
    #[test]
    fn commands_under_way_stay_within_the_concurrency(mut setting in setting(), history in history()) {
        setting.init.direction = Direction::Bidirectional;
        let mut rig = Rig::with(|config, init| {
            config.clone_from(&setting.config);
            *init = setting.init;
        });
        for step in &history {
            match step {
                Step::Command(command) if rig.session.ready() => {
                    rig.handle(Input::Command(command.clone()));
                }
                Step::Server(op) => {
                    rig.handle(Input::Server(op.clone()));
                }
                Step::Answer { which, outcome } if !rig.asked().is_empty() => {
                    let asked = rig.asked();
                    let (id, call) = which.get(&asked);
                    rig.handle(Input::Answer(*id, outcome.answer(call)));
                }
                _ => {}
            }
            prop_assert!(rig.unanswered() <= setting.config.concurrency.max(1));
        }
    }

    /// Once all calls are answered, every command that asks for a reply has one.
    #[test]
    fn every_command_is_answered_in_the_end(mut setting in setting(), history in history()) {
        setting.init.direction = Direction::Bidirectional;
        let mut rig = Rig::with(|config, init| {
            config.clone_from(&setting.config);
            *init = setting.init;
        });
        for step in &history {
            match step {
                Step::Command(command) if rig.session.ready() => {
                    rig.handle(Input::Command(command.clone()));
                }
                Step::Server(op) => {
                    rig.handle(Input::Server(op.clone()));
                }
                _ => {}
            }
            // The newest first.
            while let Some((id, call)) = rig.asked().pop() {
                let yes = Outcome::Yes { seconds: None, client_side_refresh: true, expired: false, channels: vec![] };
                rig.handle(Input::Answer(id, yes.answer(&call)));
            }
            prop_assert!(rig.session.is_closed() || rig.unanswered() == 0);
            prop_assert!(rig.session.is_closed() || rig.session.ready());
        }
    }
}
