//! Blocked users and revoked tokens (PRO-34..36).

use std::sync::Arc;

use serde_json::json;
use tourbillon_access::{
    Change, MemoryRevocations, Namespaced, REVOCATIONS, Revocation, RevocationError, Revocations, Revoked,
    Stamp, Tokens, notices,
};
use tourbillon_node::{Client, Hooks, Noticed, RefreshRequest, SubRefreshRequest, TokenMark};
use tourbillon_types::{Channel, ClientId, Now, Text, UserId};

use crate::harness::{
    Asked, End, KEY, NOW, client, connect_request, connect_token, end, namespaces, now, subscribe_request,
    subscribe_token, tokens_config,
};

type Chain = Revoked<Tokens<Namespaced<Asked>>>;

fn chain() -> (Chain, Arc<MemoryRevocations>) {
    let store = Arc::new(MemoryRevocations::new(100));
    let namespaces = Arc::new(namespaces(|channel| channel.allow_subscribe_for_client = true));
    let inner = Namespaced::new(namespaces.clone(), Asked::default());
    (Revoked::new(store.clone(), Tokens::new(tokens_config(), namespaces, inner)), store)
}

fn user(name: &str) -> Revocation {
    Revocation::User(UserId::from(name))
}

fn token(id: &str) -> Revocation {
    Revocation::Token(Text::from(id))
}

fn tokens_of(name: &str, issued_before: i64) -> Revocation {
    Revocation::TokensOf { user: UserId::from(name), channel: None, issued_before }
}

fn tokens_for(name: &str, channel: &str, issued_before: i64) -> Revocation {
    let channel = Some(Channel::from(channel));
    Revocation::TokensOf { user: UserId::from(name), channel, issued_before }
}

/// How a subscription of a user that came by a token fares when it is looked at.
fn sub_stays(chain: &Chain, (user, channel): (&str, &str), id: &str, issued_at: i64) -> Result<(), u32> {
    let token = TokenMark::new(Some(id), Some(issued_at)).expect("says something");
    let stays = chain.subscription_stays(&client(user), &Channel::from(channel), &token, at(NOW));
    stays.map_err(|why| why.code)
}

fn connect(chain: &Chain, token: &str) -> End {
    end(&now(chain.connect(connect_request(token))))
}

fn at(seconds: i64) -> Now {
    Now { unix_millis: seconds * 1_000, ..Now::default() }
}

/// How a connection that is there fares when it is looked at.
fn stays(chain: &Chain, client: &Client, seconds: i64) -> Result<(), u32> {
    chain.stays(client, at(seconds)).map_err(|why| why.code)
}

fn with_token(name: &str, id: Option<&str>, issued_at: Option<i64>) -> Client {
    let mut client = Client::new(ClientId::random(), UserId::from(name), "test");
    client.token = TokenMark::new(id, issued_at);
    client
}

#[test]
fn pro_34_a_blocked_user_may_not_connect_and_not_stay() {
    let (chain, store) = chain();
    let ann = connect_token("ann", None, json!({}));
    assert_eq!(connect(&chain, &ann), End::Allowed);
    store.keep_now(user("ann"), Some(NOW + 10)).expect("kept");
    assert_eq!(connect(&chain, &ann), End::Disconnect(3507));
    assert_eq!(connect(&chain, &connect_token("bob", None, json!({}))), End::Allowed);
    assert_eq!(stays(&chain, &with_token("ann", None, None), NOW), Err(3507));
    assert_eq!(stays(&chain, &with_token("bob", None, None), NOW), Ok(()));
    assert_eq!(stays(&chain, &with_token("ann", None, None), NOW + 10), Ok(()), "it is over");
    store.forget_now(&user("ann"));
    assert_eq!(connect(&chain, &ann), End::Allowed);
    assert!(store.is_empty());
}

#[test]
fn pro_35_a_revoked_token_counts_as_expired() {
    let (chain, store) = chain();
    let (good, bad) = (
        connect_token("ann", None, json!({"jti": "good"})),
        connect_token("ann", None, json!({"jti": "bad"})),
    );
    store.keep_now(token("bad"), None).expect("kept");
    assert_eq!(connect(&chain, &good), End::Allowed);
    assert_eq!(connect(&chain, &bad), End::Error(109));
    assert_eq!(connect(&chain, &connect_token("ann", None, json!({}))), End::Allowed);
    assert_eq!(stays(&chain, &with_token("ann", Some("bad"), None), NOW), Err(3014));
    assert_eq!(stays(&chain, &with_token("ann", Some("good"), None), NOW), Ok(()));
    assert_eq!(stays(&chain, &with_token("ann", None, Some(1)), NOW), Ok(()));
    let refresh = |token: &str| {
        now(chain.refresh(RefreshRequest::new(client("ann"), token.to_owned(), NOW)))
            .expect("decided")
            .expired
    };
    assert_eq!([refresh(&good), refresh(&bad)], [false, true]);
    // Subscription tokens, too.
    assert_eq!(sub_stays(&chain, ("ann", "a"), "bad", NOW), Err(2502));
    assert_eq!(sub_stays(&chain, ("ann", "a"), "good", NOW), Ok(()));
    let of_channel = |id: &str| subscribe_token(KEY, "ann", "a", json!({"jti": id}));
    let subscribe = |token: &str| end(&now(chain.subscribe(subscribe_request(&client("ann"), "a", token))));
    assert_eq!(subscribe(&of_channel("good")), End::Allowed);
    assert_eq!(subscribe(&of_channel("bad")), End::Error(109));
    assert_eq!(subscribe(""), End::Allowed);
    let sub_refresh = |token: String| {
        let request = SubRefreshRequest::new(client("ann"), Channel::from("a"), token, NOW);
        now(chain.sub_refresh(request)).expect("decided").expired
    };
    assert_eq!([sub_refresh(of_channel("good")), sub_refresh(of_channel("bad"))], [false, true]);
}

#[test]
fn pro_36_older_tokens_of_a_user_count_as_expired() {
    let (chain, store) = chain();
    let issued = |name: &str, at: i64| connect_token(name, None, json!({"iat": at}));
    store.keep_now(tokens_of("ann", NOW), Some(NOW + 100)).expect("kept");
    assert_eq!(connect(&chain, &issued("ann", NOW - 1)), End::Error(109));
    assert_eq!(connect(&chain, &issued("ann", NOW)), End::Allowed);
    assert_eq!(connect(&chain, &issued("bob", NOW - 1)), End::Allowed);
    assert_eq!(connect(&chain, &connect_token("ann", None, json!({}))), End::Allowed, "it says no time");
    assert_eq!(stays(&chain, &with_token("ann", None, Some(NOW - 1)), NOW), Err(3014));
    assert_eq!(stays(&chain, &with_token("ann", None, Some(NOW)), NOW), Ok(()));
    assert_eq!(stays(&chain, &with_token("ann", None, None), NOW), Ok(()));
    let old = RefreshRequest::new(client("ann"), issued("ann", NOW - 1), NOW);
    assert!(now(chain.refresh(old)).expect("decided").expired);
    // Tokens of subscriptions are others.
    let token = subscribe_token(KEY, "ann", "a", json!({"iat": NOW - 1}));
    assert_eq!(end(&now(chain.subscribe(subscribe_request(&client("ann"), "a", &token)))), End::Allowed);
    assert_eq!(sub_stays(&chain, ("ann", "a"), "", NOW - 1), Ok(()));
    // The stricter counts.
    store.keep_now(tokens_of("ann", NOW - 50), Some(NOW + 10)).expect("kept");
    assert_eq!(stays(&chain, &with_token("ann", None, Some(NOW - 1)), NOW + 50), Err(3014));
    assert_eq!(stays(&chain, &with_token("ann", None, Some(NOW - 1)), NOW + 100), Ok(()));
}

#[test]
fn pro_36_older_tokens_of_a_user_for_one_channel_count_as_expired() {
    let (chain, store) = chain();
    store.keep_now(tokens_for("ann", "a", NOW), Some(NOW + 100)).expect("kept");
    let issued = |user: &str, channel: &str, at: i64| subscribe_token(KEY, user, channel, json!({"iat": at}));
    let subscribe = |user: &str, channel: &str, at: i64| {
        let request = subscribe_request(&client(user), channel, &issued(user, channel, at));
        end(&now(chain.subscribe(request)))
    };
    assert_eq!(subscribe("ann", "a", NOW - 1), End::Error(109));
    assert_eq!(sub_stays(&chain, ("ann", "a"), "t", NOW - 1), Err(2502));
    for (user, channel, at) in [("ann", "a", NOW), ("ann", "b", NOW - 1), ("bob", "a", NOW - 1)] {
        assert_eq!(subscribe(user, channel, at), End::Allowed, "{user} {channel} {at}");
        assert_eq!(sub_stays(&chain, (user, channel), "t", at), Ok(()), "{user} {channel} {at}");
    }
    let no_time = subscribe_request(&client("ann"), "a", &subscribe_token(KEY, "ann", "a", json!({})));
    assert_eq!(end(&now(chain.subscribe(no_time))), End::Allowed, "it says no time");
    let expired = |at: i64| {
        let token = issued("ann", "a", at);
        let request = SubRefreshRequest::new(client("ann"), Channel::from("a"), token, NOW);
        now(chain.sub_refresh(request)).expect("decided").expired
    };
    assert_eq!([expired(NOW - 1), expired(NOW)], [true, false]);
    // Connection tokens are others.
    assert_eq!(connect(&chain, &connect_token("ann", None, json!({"iat": NOW - 1}))), End::Allowed);
    assert_eq!(stays(&chain, &with_token("ann", None, Some(NOW - 1)), NOW), Ok(()));
    // Each by itself, and each counts.
    store.keep_now(tokens_of("ann", NOW), Some(NOW + 50)).expect("kept");
    store.keep_now(tokens_for("ann", "b", NOW), None).expect("kept");
    assert_eq!(store.len(), 3);
    assert_eq!(subscribe("ann", "b", NOW - 1), End::Error(109));
    store.forget_now(&tokens_for("ann", "b", 0));
    assert_eq!(subscribe("ann", "b", NOW - 1), End::Allowed);
    chain.tick(at(NOW + 50));
    assert_eq!(store.len(), 1);
    chain.tick(at(NOW + 100));
    assert!(store.is_empty());
}

/// CTL-06.
#[test]
fn pro_34_to_36_nodes_learn_of_each_others_revocations() {
    let ((here, store), (there, other)) = (chain(), chain());
    assert_eq!(here.welcome(), []);
    for (revocation, until) in [
        (user("ann"), None),
        (token("t"), Some(50)),
        (tokens_of("bob", 9), Some(70)),
        (tokens_for("bob", "a", NOW), None),
    ] {
        store.keep_now(revocation, until).expect("kept");
    }
    // Who comes hears of all.
    for (what, notice) in here.welcome() {
        assert_eq!(there.notified(what, &notice), Noticed::Recheck(None), "of several");
        assert_eq!(there.notified(what, &notice), Noticed::Noted, "nothing new");
    }
    assert_eq!((other.len(), there.welcome().len()), (4, 1));
    assert_eq!(sub_stays(&there, ("bob", "a"), "", NOW - 1), Err(2502));
    assert_eq!(sub_stays(&there, ("bob", "b"), "", NOW - 1), Ok(()));
    assert_eq!(stays(&there, &with_token("ann", None, None), 0), Err(3507));
    assert_eq!(stays(&there, &with_token("eve", Some("t"), None), 49), Err(3014));
    assert_eq!(stays(&there, &with_token("eve", Some("t"), None), 50), Ok(()));
    assert_eq!(stays(&there, &with_token("bob", None, Some(8)), 0), Err(3014));
    assert_eq!(tell(&there, store.forget_now(&user("ann"))), Noticed::Noted);
    assert_eq!(stays(&there, &with_token("ann", None, None), 0), Ok(()));
    for (what, notice) in [(REVOCATIONS, "{}"), ("something else", "[]")] {
        assert_eq!(there.notified(what, notice.as_bytes()), Noticed::NotUnderstood, "which is told");
    }
    // Where there is no room, whoever tells it learns that.
    let at = Stamp::from_millis(1);
    let full: Vec<_> = (0..=100).map(|number| Change::Keep(user(&number.to_string()), None, at)).collect();
    let full = notices(full).iter().map(|notice| there.notified(REVOCATIONS, notice)).collect::<Vec<_>>();
    assert_eq!(full, [Noticed::InPart(None)], "what is kept counts for those who are there");
    let last = Change::Keep(user("100"), None, at);
    assert_eq!(tell(&there, last.clone()), Noticed::NotUnderstood);
    let [both] = notices(vec![Change::Keep(user("ann"), Some(9), at), last]).try_into().expect("one notice");
    assert_eq!(there.notified(REVOCATIONS, &both), Noticed::NotUnderstood, "nothing of it is new");
    assert!(stays(&there, &with_token("0", None, None), 0).is_err());
}

/// What another node tells of one change.
fn tell(there: &Chain, change: Change) -> Noticed {
    let [notice] = notices(vec![change]).try_into().expect("one notice");
    there.notified(REVOCATIONS, &notice)
}

fn welcome(from: &Chain, to: &Chain) -> Vec<Noticed> {
    from.welcome().iter().map(|(what, notice)| to.notified(what, notice)).collect()
}

#[test]
fn pro_34_to_36_of_what_was_changed_while_nodes_did_not_hear_of_each_other_the_later_counts() {
    let ((here, store), (there, other)) = (chain(), chain());
    let blocked = |name: &str| [&store, &other].map(|store| store.is_blocked(&UserId::from(name), NOW));
    for name in ["ann", "bob"] {
        tell(&there, store.keep_now(user(name), None).expect("kept"));
    }
    // A silence.
    let early = store.forget_now(&user("bob"));
    store.forget_now(&user("ann"));
    let again = store.keep_now(user("bob"), Some(NOW + 9)).expect("kept");
    other.keep_now(user("eve"), None).expect("kept");
    assert_eq!((blocked("ann"), blocked("eve")), ([false, true], [false, true]));
    // Whichever of them tells first.
    assert_eq!(welcome(&there, &here), [Noticed::Recheck(Some(UserId::from("eve")))]);
    assert_eq!(blocked("ann"), [false, true], "what was forgotten is not brought back");
    assert_eq!(welcome(&here, &there), [Noticed::Recheck(Some(UserId::from("bob")))]);
    assert_eq!(welcome(&there, &here), [Noticed::Noted]);
    assert_eq!((blocked("ann"), blocked("bob"), blocked("eve")), ([false; 2], [true; 2], [true; 2]));
    assert!(!other.is_blocked(&UserId::from("bob"), NOW + 9), "as it was kept the second time");
    // What is late changes nothing.
    assert_eq!((tell(&there, early), tell(&there, again)), (Noticed::Noted, Noticed::Noted));
    assert_eq!((blocked("ann"), blocked("bob")), ([false; 2], [true; 2]));
    // What is forgotten can be kept again.
    assert_eq!(
        tell(&here, other.keep_now(user("ann"), None).expect("kept")),
        Noticed::Recheck(Some(UserId::from("ann")))
    );
    assert_eq!(blocked("ann"), [true; 2]);
}

#[test]
fn revocations_end_by_the_nodes_time() {
    let (chain, store) = chain();
    for (revocation, until) in [
        (user("a"), Some(NOW + 1)),
        (user("b"), None),
        (token("c"), Some(NOW + 2)),
        (tokens_of("d", NOW), Some(NOW + 3)),
        // Again, and for longer.
        (user("a"), Some(NOW + 2)),
        // Again, and for a shorter time: the longer counts.
        (token("c"), Some(NOW + 1)),
        (user("b"), Some(NOW + 1)),
    ] {
        store.keep_now(revocation, until).expect("kept");
    }
    let left = (0..5).map(|second| {
        chain.tick(at(NOW + second));
        store.len()
    });
    assert_eq!(left.collect::<Vec<_>>(), [4, 4, 2, 1, 1]);
    assert!(store.is_blocked(&UserId::from("b"), i64::MAX));
    store.forget_now(&user("b"));
    assert!(store.is_empty());
}

#[test]
fn revocations_are_bounded_and_what_is_there_can_still_change() {
    let store = MemoryRevocations::new(1);
    store.keep_now(user("a"), Some(NOW)).expect("kept");
    store.keep_now(token("b"), Some(NOW)).expect("one of each kind");
    store.keep_now(tokens_of("c", 1), None).expect("one of each kind");
    assert_eq!(store.keep_now(token("d"), None), Err(RevocationError::Full(1)));
    let told = Change::Keep(user("d"), None, Stamp::from_millis(i64::MAX / 2));
    assert_eq!(store.learn(told), Err(RevocationError::Full(1)));
    assert_eq!(store.keep_now(user("a"), None).map(drop), Ok(()));
    store.forget_now(&token("b"));
    assert_eq!(now(store.keep(token("d"), None)).map(drop), Ok(()));
    now(store.forget(&user("none"))).expect("nothing to forget");
    assert_eq!(store.len(), 3);
}

proptest::proptest! {
    /// Whatever is kept, forgotten and over, each question is answered as by a list that is gone through.
    #[test]
    fn the_store_agrees_with_a_list(
        steps in proptest::collection::vec((0_u8..3, 0_u8..3, proptest::option::of(1_i64..50), 0_i64..3), 1..60),
    ) {
        let store = MemoryRevocations::new(1_000);
        let mut list: Vec<(Revocation, Option<i64>)> = Vec::new();
        let mut time = 0;
        for (action, name, until, passes) in steps {
            time += passes;
            store.tick(time);
            list.retain(|(_, until)| until.is_none_or(|until| time < until));
            let revocation = user(&name.to_string());
            if action == 0 {
                store.forget_now(&revocation);
                list.retain(|(of, _)| *of != revocation);
            } else {
                store.keep_now(revocation.clone(), until.map(|until| time + until)).expect("kept");
                list.push((revocation, until.map(|until| time + until)));
            }
            for name in ["0", "1", "2"] {
                let expected = list.iter().any(|(of, _)| *of == user(name));
                proptest::prop_assert_eq!(store.is_blocked(&UserId::from(name), time), expected);
            }
        }
    }
}
