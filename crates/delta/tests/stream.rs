//! A receiver that keeps the latest data of a channel follows publications that come in full or as deltas.
#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use proptest::collection::vec;
use proptest::prelude::*;
use tourbillon_delta::{Creator, DeltaError, apply};

/// What a subscriber gets.
#[derive(Clone, Debug)]
enum Sent {
    Full(Vec<u8>),
    Delta(Vec<u8>),
}

/// The sending side of one channel: the latest publication is the base of the next.
#[derive(Default)]
struct Sender {
    latest: Option<Vec<u8>>,
    creator: Creator,
    scratch: Vec<u8>,
}

impl Sender {
    fn publish(&mut self, data: &[u8], wants_delta: bool) -> Sent {
        let base = self.latest.replace(data.to_vec()).filter(|_| wants_delta);
        match base {
            Some(base) if self.creator.create_if_smaller(&base, data, &mut self.scratch) => {
                assert!(self.scratch.len() < data.len());
                Sent::Delta(self.scratch.clone())
            }
            _ => Sent::Full(data.to_vec()),
        }
    }
}

/// The receiving side: full data replaces the base, a delta moves it on.
#[derive(Default)]
struct Receiver {
    latest: Option<Vec<u8>>,
}

impl Receiver {
    fn receive(&mut self, sent: &Sent) -> Result<&[u8], DeltaError> {
        let data = match sent {
            Sent::Full(data) => data.clone(),
            Sent::Delta(delta) => apply(self.latest.as_deref().unwrap_or_default(), delta, 1 << 16)?,
        };
        Ok(self.latest.insert(data))
    }
}

fn state(values: &[(u8, u32)]) -> Vec<u8> {
    let fields: Vec<String> = values
        .iter()
        .map(|(key, value)| format!(r#""käy {key}":{{"price":{value},"state":"öffen"}}"#))
        .collect();
    format!("{{{}}}", fields.join(",")).into_bytes()
}

/// Publications of a slowly changing state, each with whether it was published for deltas.
fn publications() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), any::<u32>(), 0..4_u8, any::<bool>());
    (vec((any::<u8>(), any::<u32>()), 0..30), vec(change, 1..30)).prop_map(|(mut values, changes)| {
        let mut all = Vec::new();
        for (at, key, value, kind, wants_delta) in changes {
            match kind {
                0 => values.insert(at.index(values.len() + 1), (key, value)),
                1 if !values.is_empty() => drop(values.remove(at.index(values.len()))),
                2 if !values.is_empty() => {
                    let at = at.index(values.len());
                    values[at].1 = value;
                }
                _ => {}
            }
            all.push((state(&values), wants_delta));
        }
        all
    })
}

proptest! {
    #[test]
    fn a_receiver_reconstructs_every_publication(publications in publications()) {
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        for (data, wants_delta) in &publications {
            let sent = sender.publish(data, *wants_delta);
            prop_assert_eq!(receiver.receive(&sent), Ok(data.as_slice()));
        }
    }

    /// Who joins late is given the latest data in full, as the first message of a subscription, and follows from there.
    #[test]
    fn a_late_receiver_follows_from_the_latest(publications in publications(), join in any::<prop::sample::Index>()) {
        let join = join.index(publications.len());
        let (mut sender, mut late) = (Sender::default(), Receiver::default());
        for (at, (data, wants_delta)) in publications.iter().enumerate() {
            let sent = sender.publish(data, *wants_delta);
            if at == join {
                prop_assert_eq!(late.receive(&Sent::Full(data.clone())), Ok(data.as_slice()));
            } else if at > join {
                prop_assert_eq!(late.receive(&sent), Ok(data.as_slice()));
            }
        }
    }

    /// After a missed publication deltas are refused or, where it did not matter, right; full data ends that. The
    /// checksum is too weak to promise more, which is why a gap is noticed by offsets first.
    #[test]
    fn a_gap_ends_with_full_data(publications in publications(), lost in any::<prop::sample::Index>()) {
        let lost = lost.index(publications.len());
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let mut is_broken = false;
        for (at, (data, wants_delta)) in publications.iter().enumerate() {
            let sent = sender.publish(data, *wants_delta);
            if at == lost {
                is_broken = true;
                continue;
            }
            is_broken &= matches!(sent, Sent::Delta(_));
            let received = receiver.receive(&sent);
            prop_assert!(is_broken || received == Ok(data.as_slice()));
        }
    }
}
