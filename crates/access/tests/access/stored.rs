//! Revocations that outlive all nodes (PRO-34..36).

use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tourbillon_access::{
    Change, Kept, Revocation, RevocationError, RevocationKind, RevocationStore, Revocations, Stamp,
    StoreVersion, StoredRevocations, TokenUse,
};
use tourbillon_node::{BoxFuture, TokenMark};
use tourbillon_types::{Channel, Text, UserId};

use crate::harness::now;

/// A store for all nodes of a test.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    version: StoreVersion,
    is_away: bool,
    /// How often everything was read.
    read: usize,
    /// Whoever reads waits for this often.
    slow: usize,
}

impl State {
    fn changed(&mut self) {
        if self.version.life.is_empty() {
            self.version.life = "first".to_owned();
        }
        self.version.number += 1;
    }

    fn asked(&self) -> Result<(), RevocationError> {
        if self.is_away { Err(RevocationError::Unavailable("it is away".to_owned())) } else { Ok(()) }
    }
}

impl RevocationStore for Store {
    fn keep<'a>(
        &'a self,
        revocation: &'a Revocation,
        expire_at: Option<i64>,
    ) -> BoxFuture<'a, Result<(), RevocationError>> {
        Box::pin(async move {
            let mut state = self.0.lock();
            state.asked()?;
            state.kept.retain(|(kept, _)| kept != revocation);
            state.kept.push((revocation.clone(), expire_at));
            state.changed();
            Ok(())
        })
    }

    fn forget<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), RevocationError>> {
        Box::pin(async move {
            let mut state = self.0.lock();
            state.asked()?;
            state.kept.retain(|(kept, _)| kept != revocation);
            state.changed();
            Ok(())
        })
    }

    fn version(&self) -> BoxFuture<'_, Result<StoreVersion, RevocationError>> {
        Box::pin(async move {
            let state = self.0.lock();
            state.asked()?;
            Ok(state.version.clone())
        })
    }

    fn all(&self) -> BoxFuture<'_, Result<(StoreVersion, Vec<Kept>), RevocationError>> {
        Box::pin(async move {
            let (read, slow) = {
                let mut state = self.0.lock();
                state.asked()?;
                state.read += 1;
                ((state.version.clone(), state.kept.clone()), std::mem::take(&mut state.slow))
            };
            for _ in 0..slow {
                let mut waited = false;
                std::future::poll_fn(|_| {
                    if std::mem::replace(&mut waited, true) {
                        std::task::Poll::Ready(())
                    } else {
                        std::task::Poll::Pending
                    }
                })
                .await;
            }
            Ok(read)
        })
    }
}

fn node(users: &Store) -> StoredRevocations {
    StoredRevocations::default().with_store(RevocationKind::User, Arc::new(users.clone()))
}

fn user(name: &str) -> Revocation {
    Revocation::User(UserId::from(name))
}

fn blocks(node: &StoredRevocations, name: &str) -> bool {
    node.is_blocked(&UserId::from(name), 0)
}

/// Whether connections are to be asked whether they may stay.
fn refresh(node: &StoredRevocations) -> Result<bool, RevocationError> {
    now(node.refresh()).map(|()| node.take_stricter())
}

#[test]
fn pro_34_who_is_blocked_is_known_to_nodes_that_come_after_all_others_have_ended() {
    let store = Store::default();
    let first = node(&store);
    assert_eq!(refresh(&first), Ok(false));
    now(first.keep(user("ann"), None)).expect("kept");
    assert!(blocks(&first, "ann"), "at once, where it was said");
    drop(first);
    let second = node(&store);
    assert!(!blocks(&second, "ann"));
    assert_eq!(refresh(&second), Ok(true));
    assert!(blocks(&second, "ann"));
    assert_eq!(second.all(), [], "a node that comes finds out by itself");
}

#[test]
fn pro_34_nodes_learn_of_each_other_by_the_store() {
    let store = Store::default();
    let (one, two) = (node(&store), node(&store));
    assert_eq!((refresh(&one), refresh(&two)), (Ok(false), Ok(false)));
    now(one.keep(user("ann"), None)).expect("kept");
    now(one.keep(user("bob"), Some(9))).expect("kept");
    assert_eq!(refresh(&two), Ok(true));
    assert!(blocks(&two, "ann") && blocks(&two, "bob"));
    let read = store.0.lock().read;
    assert_eq!(refresh(&two), Ok(false));
    assert_eq!(store.0.lock().read, read, "nothing has changed: nothing is read");
    now(two.forget(&user("ann"))).expect("forgotten");
    assert_eq!(refresh(&one), Ok(false), "nobody is refused who was not");
    assert!(!blocks(&one, "ann") && blocks(&one, "bob"));
    // What another node told already is nothing new.
    now(one.keep(user("eve"), None)).expect("kept");
    let told = Change::Keep(user("eve"), None, Stamp::from_millis(i64::MAX / 2));
    assert_eq!(two.learn(told), Ok(true));
    assert_eq!(refresh(&two), Ok(false));
    assert!(blocks(&two, "eve"));
    now(one.keep(user("bob"), Some(99))).expect("kept");
    assert_eq!(refresh(&two), Ok(true), "it holds for longer");
}

#[test]
fn pro_34_what_a_node_changes_while_it_reads_is_not_undone() {
    let store = Store::default();
    let (one, two) = (node(&store), node(&store));
    now(one.keep(user("ann"), None)).expect("kept");
    store.0.lock().slow = 1;
    let mut reading = Box::pin(two.refresh());
    assert_eq!((&mut reading).now_or_never(), None, "it has read, and not taken over yet");
    now(two.keep(user("bob"), None)).expect("kept");
    now(two.forget(&user("ann"))).expect("forgotten");
    assert_eq!((now(reading), two.take_stricter()), (Ok(()), false), "it has read once more");
    assert!(blocks(&two, "bob") && !blocks(&two, "ann"));
}

#[test]
fn pro_34_a_store_that_is_away_changes_nothing_and_takes_nothing() {
    let store = Store::default();
    let one = node(&store);
    now(one.keep(user("ann"), None)).expect("kept");
    store.0.lock().is_away = true;
    let away = || RevocationError::Unavailable("it is away".to_owned());
    assert_eq!(refresh(&one), Err(away()));
    assert_eq!(now(one.keep(user("bob"), None)), Err(away()));
    assert_eq!(now(one.forget(&user("ann"))), Err(away()));
    assert!(blocks(&one, "ann") && !blocks(&one, "bob"));
    store.0.lock().is_away = false;
    assert_eq!(refresh(&one), Ok(false));
    assert!(blocks(&one, "ann"));
}

#[test]
fn pro_34_a_store_that_has_lost_everything_gets_it_back() {
    let store = Store::default();
    let (one, two) = (node(&store), node(&store));
    now(one.keep(user("ann"), None)).expect("kept");
    now(one.keep(user("bob"), Some(9))).expect("kept");
    assert_eq!((refresh(&one), refresh(&two)), (Ok(false), Ok(true)));
    let (kept, older) = (store.0.lock().kept.clone(), StoreVersion { life: "first".to_owned(), number: 1 });
    for lost in [StoreVersion::default(), StoreVersion { life: "second".to_owned(), number: 7 }, older] {
        *store.0.lock() = State { version: lost, ..State::default() };
        assert_eq!(refresh(&one), Ok(false));
        let mut found = store.0.lock().kept.clone();
        found.sort();
        assert_eq!(found, kept);
        assert_eq!(refresh(&two), Ok(false));
        assert!(blocks(&two, "ann") && blocks(&two, "bob"));
    }
}

#[test]
fn pro_35_and_36_each_kind_has_a_store_of_its_own_or_none() {
    let (users, tokens_of) = (Store::default(), Store::default());
    let node = || {
        let stored = node(&users).with_store(RevocationKind::TokensOf, Arc::new(tokens_of.clone()));
        assert!(stored.has_stores());
        stored
    };
    let one = node();
    let older =
        |before| Revocation::TokensOf { user: UserId::from("ann"), channel: None, issued_before: before };
    let token = Revocation::Token(Text::from("t"));
    for revocation in [user("bob"), token.clone(), older(5)] {
        now(one.keep(revocation, None)).expect("kept");
    }
    let [Change::Keep(told, None, _)] = &one.all()[..] else { panic!("{:?}", one.all()) };
    assert_eq!(*told, token, "what has no store is told");
    let two = node();
    assert_eq!(refresh(&two), Ok(true));
    let revoked = |at| {
        let mark = TokenMark::new(Some("x"), Some(at)).expect("a mark");
        two.is_revoked(&mark, TokenUse::Connection(&UserId::from("ann")), 0)
    };
    assert!(blocks(&two, "bob") && revoked(4) && !revoked(5));
    now(one.keep(older(9), None)).expect("kept");
    assert_eq!(refresh(&two), Ok(true));
    assert!(revoked(8) && blocks(&two, "bob"));
    let channel = Channel::from("a");
    let subscription = |issued_at| {
        let mark = TokenMark::new(None, Some(issued_at)).expect("a mark");
        two.is_revoked(&mark, TokenUse::Subscription(&UserId::from("ann"), &channel), 0)
    };
    assert!(!subscription(1), "of connections");
    let user = UserId::from("ann");
    let there = Revocation::TokensOf { user, channel: Some(channel.clone()), issued_before: 5 };
    now(one.keep(there.clone(), None)).expect("kept");
    assert_eq!(refresh(&two), Ok(true));
    assert!(subscription(4) && !subscription(5) && revoked(8));
    now(one.forget(&there)).expect("forgotten");
    assert_eq!(refresh(&two), Ok(false));
    assert!(!subscription(4) && revoked(8));
    assert!(!StoredRevocations::default().has_stores());
}

#[test]
fn pro_34_what_is_over_is_forgotten_and_there_is_a_limit() {
    let store = Store::default();
    let one = node(&store);
    now(one.keep(user("ann"), Some(10))).expect("kept");
    let two = node(&store);
    assert_eq!(refresh(&two), Ok(true));
    assert!(two.is_blocked(&UserId::from("ann"), 9) && !two.is_blocked(&UserId::from("ann"), 10));
    two.tick(10);
    assert!(!blocks(&two, "ann"));
    let many = (0..=1 << 18).map(|number| (user(&number.to_string()), None)).collect();
    store.0.lock().kept = many;
    store.0.lock().changed();
    assert_eq!(refresh(&one), Err(RevocationError::Full(1 << 18)));
    assert!(blocks(&one, "ann"), "what was known holds");
}

#[test]
fn pro_34_to_36_each_kind_has_room_of_its_own() {
    let [users, tokens] = [Store::default(), Store::default()];
    let node = node(&users).with_store(RevocationKind::Token, Arc::new(tokens.clone()));
    for store in [&users, &tokens] {
        store.0.lock().changed();
    }
    users.0.lock().kept = (0..1 << 18).map(|number| (user(&number.to_string()), None)).collect();
    let token = |number: u32| Revocation::Token(Text::from(number.to_string()));
    tokens.0.lock().kept = (0..2).map(|number| (token(number), None)).collect();
    assert_eq!(refresh(&node), Ok(true), "as much as the stores take");
    now(node.keep(token(2), None)).expect("there is room");
    let older = Revocation::TokensOf { user: UserId::from("ann"), channel: None, issued_before: 5 };
    now(node.keep(older, None)).expect("there is room");
    // Of what is full, nothing is kept anywhere, and what is there can change.
    assert_eq!(now(node.keep(user("ann"), None)).map(drop), Err(RevocationError::Full(1 << 18)));
    assert_eq!((users.0.lock().kept.len(), blocks(&node, "ann")), (1 << 18, false));
    now(node.keep(user("7"), None)).expect("it is there");
}

#[test]
fn pro_34_to_36_what_one_store_says_is_reported_while_another_is_away() {
    let [users, tokens] = [Store::default(), Store::default()];
    let node = || node(&users).with_store(RevocationKind::Token, Arc::new(tokens.clone()));
    let (one, two) = (node(), node());
    assert_eq!(refresh(&two), Ok(false));
    now(one.keep(user("ann"), None)).expect("kept");
    tokens.0.lock().is_away = true;
    assert_eq!(now(two.refresh()), Err(RevocationError::Unavailable("it is away".to_owned())));
    assert!(blocks(&two, "ann"));
    assert_eq!([two.take_stricter(), two.take_stricter()], [true, false], "once");
    tokens.0.lock().is_away = false;
    assert_eq!(refresh(&two), Ok(false));
}
