//! A football match, told state by state: documents that are much like the ones before, for deltas.
//!
//! It has the shape of the match by which Centrifuge's authors measured deltas: as many events, teams and players with
//! names as long. So the bytes that a subscriber gets can be compared with the figures that they published.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::crowd::Asks;
use crate::http;
use crate::load::{Load, LoadError, Progress};
use crate::process::Process;
use crate::report::Figures;
use crate::streams::{Api, fresh_number};
use crate::target::Target;
use crate::wire::stamped;

const HOME: (&str, [&str; 11]) = (
    "North Stars",
    [
        "Ada Bell",
        "Ben Carver",
        "Cora Dempsey",
        "Dan Evers",
        "Eve Fox",
        "Finn Gales",
        "Greta Hills",
        "Henry Irwin",
        "Isla Jamieson",
        "Jonas Keller",
        "Katharina Lowen",
    ],
);

const AWAY: (&str, [&str; 11]) = (
    "Southside",
    [
        "Liam Morrows",
        "Mona Newell",
        "Nils Overbeck",
        "Olga Pereira",
        "Pablo Quinter",
        "Rosa Reinhard",
        "Sven Tolle",
        "Theresa Ullmann",
        "Viktor Wolfe",
        "Wilhelmina Xanth",
        "Yara Zidane",
    ],
);

/// What happens: the minute, the kind, whether it is a player of the guests, and which one.
const EVENTS: [(u8, Kind, bool, usize); 30] = [
    (0, Kind::RedCard, true, 1),
    (3, Kind::Substitute, true, 8),
    (6, Kind::YellowCard, false, 0),
    (9, Kind::Substitute, false, 6),
    (12, Kind::Goal, true, 1),
    (15, Kind::Substitute, false, 8),
    (18, Kind::YellowCard, false, 9),
    (21, Kind::Substitute, false, 10),
    (24, Kind::Substitute, false, 10),
    (27, Kind::YellowCard, true, 7),
    (30, Kind::Goal, false, 8),
    (33, Kind::Substitute, true, 4),
    (36, Kind::YellowCard, true, 10),
    (39, Kind::Substitute, false, 0),
    (42, Kind::Substitute, false, 9),
    (45, Kind::Substitute, false, 9),
    (48, Kind::Substitute, true, 7),
    (51, Kind::Goal, true, 5),
    (54, Kind::Substitute, true, 10),
    (57, Kind::YellowCard, false, 8),
    (60, Kind::Goal, true, 5),
    (62, Kind::Goal, false, 8),
    (66, Kind::RedCard, false, 8),
    (69, Kind::YellowCard, false, 9),
    (72, Kind::RedCard, false, 9),
    (75, Kind::Substitute, true, 5),
    (78, Kind::YellowCard, true, 3),
    (81, Kind::YellowCard, false, 7),
    (84, Kind::Goal, false, 3),
    (87, Kind::Substitute, true, 8),
];

/// How the states are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As JSON.
    Json,
    /// As messages of Protobuf.
    Protobuf,
}

/// Publications of a match.
pub const STATES: usize = EVENTS.len();

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    home_team: Team,
    away_team: Team,
}

/// Zeros are left out, as in Protobuf's mapping to JSON.
#[derive(Serialize)]
struct Team {
    name: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    score: u8,
    players: Vec<Player>,
}

#[derive(Serialize)]
struct Player {
    name: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
}

#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(skip_serializing_if = "is_zero")]
    minute: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    Goal = 1,
    YellowCard,
    RedCard,
    Substitute,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl Team {
    fn new((name, players): (&'static str, [&'static str; 11])) -> Self {
        let players = players.into_iter().map(|name| Player { name, events: Vec::new() }).collect();
        Self { name, score: 0, players }
    }

    fn note(&mut self, player: usize, event: Event) {
        self.score += u8::from(event.kind == Kind::Goal);
        if let Some(player) = self.players.get_mut(player) {
            player.events.push(event);
        }
    }

    fn to_protobuf(&self) -> Vec<u8> {
        let mut team = Vec::new();
        field(1, self.name.as_bytes(), &mut team);
        if self.score > 0 {
            team.extend([2 << 3, self.score]);
        }
        for Player { name, events } in &self.players {
            let mut player = Vec::new();
            field(1, name.as_bytes(), &mut player);
            for Event { kind, minute } in events {
                let minute = (*minute > 0).then_some([2 << 3, *minute]);
                let event: Vec<u8> =
                    [1 << 3, *kind as u8].into_iter().chain(minute.into_iter().flatten()).collect();
                field(2, &event, &mut player);
            }
            field(3, &player, &mut team);
        }
        team
    }
}

/// A field of Protobuf that has a length.
fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

/// The states of the match, in order, the whole of it each time.
#[must_use]
pub fn states(form: Form) -> Vec<Vec<u8>> {
    let mut game = Match { home_team: Team::new(HOME), away_team: Team::new(AWAY) };
    let state = |(minute, kind, guest, player): (u8, Kind, bool, usize)| {
        let team = if guest { &mut game.away_team } else { &mut game.home_team };
        team.note(player, Event { kind, minute });
        match form {
            // It has nothing that could not be written.
            Form::Json => serde_json::to_vec(&game).unwrap_or_default(),
            Form::Protobuf => {
                let mut state = Vec::new();
                field(2, &game.home_team.to_protobuf(), &mut state);
                field(3, &game.away_team.to_protobuf(), &mut state);
                state
            }
        }
    };
    EVENTS.into_iter().map(state).collect()
}

/// What each publication adds to the published figures: they are those of packets, as they were captured on a loopback
/// interface, with headers of the interface (4), of IP (20) and of TCP (32).
pub const PACKET: u64 = 56;

/// Subscribers that watch a match by deltas.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// How many.
    pub subscribers: usize,
    /// States a second.
    pub rate: u32,
    /// How often the match is played and measured.
    pub matches: usize,
    /// Whether a match is played before, which is not measured. TCP acknowledges the first segments of a connection one by
    /// one, about as many as a match has states; what that costs the receiver is paid by the sender on a loopback interface.
    pub warm: bool,
    /// How the states are written.
    pub form: Form,
    /// What the channel's name begins with: it must keep a history and allow deltas. Six characters, for bytes that are
    /// to be compared.
    pub prefix: &'static str,
}

/// Publishes the states over the server API to subscribers that take deltas. `bytes` is what all of them read, frames
/// included; `deliveries` counts what they got.
///
/// # Errors
///
/// [`LoadError`].
pub fn watch(
    target: &Target,
    api: &Api,
    process: Option<Process>,
    watch: &Watch,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let Watch { subscribers, rate, matches, warm, form, prefix } = *watch;
    let channel = format!("{prefix}{:04}", fresh_number() % 10_000);
    let named = channel.clone();
    let mut load = Load::new(target, process, progress, Box::new(move |_| vec![named.clone()]))?;
    load.crowd.asks = Asks::Deltas;
    load.ramp(subscribers)?;
    let play = |load: &mut Load<'_>| {
        for state in states(form) {
            let data = match form {
                Form::Json => format!("\"data\":{}", String::from_utf8_lossy(&state)),
                Form::Protobuf => format!("\"b64data\":\"{}\"", STANDARD.encode(&state)),
            };
            let body = format!("{{\"channel\":\"{channel}\",\"delta\":true,{data}}}");
            let wanted = load.crowd.others + subscribers as u64;
            http::post(&api.endpoint, &api.key, "publish", &body)?;
            load.hold(Duration::from_secs(1) / rate.max(1))?;
            load.until(|crowd| crowd.others, wanted)?;
        }
        Ok(())
    };
    if warm {
        play(&mut load)?;
    }
    let before = load.crowd.others;
    let mut figures = load.measured(|load| (0..matches).try_for_each(|_| play(load)))?;
    figures.publications = (STATES * matches) as u64;
    figures.deliveries = load.crowd.others - before;
    Ok(figures)
}

/// Subscribers of whom each wants publications of its own.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// How many.
    pub subscribers: usize,
    /// Publications, each for one of them.
    pub publications: usize,
    /// What the channel's name begins with: it must allow filters on tags.
    pub prefix: &'static str,
}

/// Publishes over the server API to subscribers that all have other filters on tags. Every publication is hidden from all
/// but one: what it costs is evaluating filters.
///
/// # Errors
///
/// [`LoadError`].
pub fn filter(
    target: &Target,
    api: &Api,
    process: Option<Process>,
    filter: &Filter,
    progress: &mut dyn Progress,
) -> Result<Figures, LoadError> {
    let Filter { subscribers, publications, prefix } = *filter;
    let channel = format!("{prefix}{}", fresh_number());
    let named = channel.clone();
    let mut load = Load::new(target, process, progress, Box::new(move |_| vec![named.clone()]))?;
    load.crowd.asks = Asks::Own;
    load.ramp(subscribers)?;
    let before = load.crowd.tracker.deliveries;
    let numbers: Vec<usize> = (0..publications).collect();
    let mut figures = load.measured(|load| {
        for part in numbers.chunks(50) {
            let publish = |number: &usize| {
                let (data, to) = (stamped(*number as u64, 64), number * 7 % subscribers.max(1));
                let tags = format!("{{\"kind\":\"order\",\"to\":\"{to}\"}}");
                format!("{{\"publish\":{{\"channel\":\"{channel}\",\"data\":{data},\"tags\":{tags}}}}}")
            };
            let commands: Vec<String> = part.iter().map(publish).collect();
            let body = format!("{{\"commands\":[{}]}}", commands.join(","));
            http::post(&api.endpoint, &api.key, "batch", &body)?;
        }
        load.until(|crowd| crowd.tracker.deliveries - before, publications as u64)
    })?;
    figures.publications = publications as u64;
    figures.deliveries = load.crowd.tracker.deliveries - before;
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the authors published, without deltas: packets of the protocol's messages, each in a frame with a header of 4.
    #[test]
    fn the_states_are_as_long_as_those_of_the_published_figures() {
        let whole = |form| states(form).iter().map(Vec::len).sum::<usize>();
        let json: usize = (1..=STATES)
            .map(|offset| {
                let around = format!(
                    "{{\"push\":{{\"channel\":\"match:js:1\",\"pub\":{{\"data\":,\"offset\":{offset}}}}}}}"
                );
                around.len() + 4 + PACKET as usize
            })
            .sum();
        assert_eq!(whole(Form::Json) + json, 40_251);
        let last = states(Form::Json).pop().expect("states");
        assert!(
            last.starts_with(
                br#"{"homeTeam":{"name":"North Stars","score":3,"players":[{"name":"Ada Bell","#
            )
        );
        assert_eq!(whole(Form::Protobuf), 14_042);
    }
}
