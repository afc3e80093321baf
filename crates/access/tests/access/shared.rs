//! What users may do on all nodes together (PRO-31).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_access::{
    Bucket, Buckets, CommandBuckets, CommandLimits, DenyAll, Limits, LimitsConfig, NamespaceConfig,
    Namespaces, NamespacesConfig, Operation, SharedBucket, SharedBuckets, SharedBucketsError,
};
use tourbillon_node::{BoxFuture, Client, ClientCommand, ConnectRequest, Hooks, Refusal};
use tourbillon_types::{ClientId, Disconnect, Instant, Now, UserId};

use crate::harness::{Asked, End, client, end, now};
use crate::logs::{Log, is_alone};

/// Buckets that never get anything back.
#[derive(Debug, Default)]
struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: HashMap<(UserId, String), u32>,
    asked: Vec<Vec<SharedBucket>>,
    is_away: bool,
}

impl SharedBuckets for Kept {
    fn take<'a>(
        &'a self,
        user: &'a UserId,
        buckets: Vec<SharedBucket>,
    ) -> BoxFuture<'a, Result<bool, SharedBucketsError>> {
        let mut state = self.0.lock();
        state.asked.push(buckets.clone());
        if state.is_away {
            return Box::pin(async { Err(SharedBucketsError("it is away".to_owned())) });
        }
        let mut has_room = true;
        for SharedBucket { name, rate, .. } in buckets {
            let taken = state.taken.entry((user.clone(), name)).or_default();
            *taken += 1;
            has_room &= *taken <= rate;
        }
        Box::pin(async move { Ok(has_room) })
    }
}

fn every(seconds: u64, rate: u32) -> Buckets {
    Buckets { enabled: true, buckets: vec![Bucket { interval: Duration::from_secs(seconds), rate }] }
}

fn own(base: Buckets) -> CommandBuckets {
    CommandBuckets { base, ..CommandBuckets::default() }
}

fn at(millis: u64) -> Now {
    Now { instant: Instant::ZERO + Duration::from_millis(millis), unix_millis: 0 }
}

fn limits<H: Hooks>(kept: &Arc<Kept>, inner: H, change: impl FnOnce(&mut CommandLimits)) -> Limits<H> {
    let mut config = CommandLimits { enabled: true, ..CommandLimits::default() };
    change(&mut config);
    let namespaces = Arc::new(Namespaces::new(&NamespacesConfig::default()).expect("sound"));
    let limits = Limits::new(&LimitsConfig::default(), namespaces, inner).expect("sound");
    limits.with_shared(&config, kept.clone()).expect("sound")
}

/// How a command ends.
fn asked<H: Hooks>(limits: &Limits<H>, client: &Client, command: ClientCommand<'_>, millis: u64) -> End {
    match limits.command(client, command, at(millis)) {
        Ok(Some(judgement)) => end(&now(judgement)),
        Ok(None) => End::Allowed,
        Err(refusal) => end::<()>(&Err(refusal)),
    }
}

const PUBLISH: ClientCommand<'_> = ClientCommand::Publish("a");
const REFUSED: End = End::Error(111);

#[test]
fn pro_31_nodes_share_the_buckets_of_a_user() {
    let kept = Arc::new(Kept::default());
    let node = || limits(&kept, DenyAll, |limits| limits.default = every(60, 3));
    let (one, two) = (node(), node());
    let (ann, elsewhere) = (client("ann"), client("ann"));
    assert_eq!([&one, &two, &one].map(|node| asked(node, &ann, PUBLISH, 0)), [End::Allowed; 3]);
    assert_eq!([&one, &two].map(|node| asked(node, &elsewhere, PUBLISH, 0)), [REFUSED; 2]);
    assert_eq!(asked(&one, &ann, ClientCommand::History("a"), 0), End::Allowed, "a copy for each command");
    assert_eq!(asked(&two, &client("bob"), PUBLISH, 0), End::Allowed);
    let before = kept.0.lock().asked.len();
    assert_eq!(
        [0; 9].map(|_| asked(&one, &client(""), PUBLISH, 0)),
        [End::Allowed; 9],
        "nobody in particular"
    );
    assert_eq!(kept.0.lock().asked.len(), before);
    let first = kept.0.lock().asked[0].clone();
    assert_eq!((first[0].step, first[0].rate, first.len()), (Duration::from_secs(20), 3, 1));
}

#[test]
fn pro_32_and_43_a_namespace_with_a_pattern_has_shared_buckets_of_its_own() {
    let kept = Arc::new(Kept::default());
    let (name, pattern) = ("rooms".to_owned(), "/rooms/:room".to_owned());
    let namespaces = vec![NamespaceConfig { name, pattern, ..Default::default() }];
    let config = NamespacesConfig { patterns: true, namespaces, ..Default::default() };
    let limits = Limits::new(&LimitsConfig::default(), Namespaces::new(&config).expect("sound"), DenyAll);
    let namespaces = vec![("rooms".to_owned(), every(60, 1))];
    let publish = CommandBuckets { base: every(60, 2), namespaces, ..CommandBuckets::default() };
    let commands = vec![(Operation::Publish, publish)];
    let config = CommandLimits { enabled: true, commands, ..CommandLimits::default() };
    let limits = limits.expect("sound").with_shared(&config, kept).expect("sound");
    for (channel, allowed) in [("/rooms/1", 1), ("/nowhere", 2)] {
        let ends = [0; 5].map(|_| asked(&limits, &client(channel), ClientCommand::Publish(channel), 0));
        assert_eq!(ends.iter().filter(|end| **end == End::Allowed).count(), allowed, "{channel}");
    }
}

#[test]
fn pro_31_what_is_not_limited_is_not_asked_about() {
    let kept = Arc::new(Kept::default());
    let limits = limits(&kept, DenyAll, |limits| {
        limits.commands = vec![(Operation::Publish, own(every(60, 1)))];
    });
    assert!(
        limits.command(&client("ann"), ClientCommand::Rpc("m"), at(0)).is_ok_and(|later| later.is_none())
    );
    assert!(limits.command(&client("ann"), PUBLISH, at(0)).is_ok_and(|later| later.is_some()));
    assert!(kept.0.lock().asked.is_empty(), "not before somebody waits for the answer");
}

#[test]
fn pro_31_unsubscribing_is_counted_and_never_refused() {
    let kept = Arc::new(Kept::default());
    let limits = limits(&kept, DenyAll, |limits| limits.default = every(60, 1));
    let ann = client("ann");
    let unsubscribe = ClientCommand::Unsubscribe("a");
    assert_eq!([0; 3].map(|_| asked(&limits, &ann, unsubscribe, 0)), [End::Allowed; 3]);
    assert_eq!(kept.0.lock().asked.len(), 3);
}

#[test]
fn pro_31_connects_of_a_user_are_counted_on_all_nodes() {
    let kept = Arc::new(Kept::default());
    let connect =
        |limits: &Limits<Asked>| end(&now(limits.connect(ConnectRequest::new(ClientId::random(), "test"))));
    let node = |dry_run| {
        limits(&kept, Asked::default(), |limits| {
            limits.commands = vec![(Operation::Connect, own(every(60, 2)))];
            limits.dry_run = dry_run;
        })
    };
    let (one, two) = (node(false), node(false));
    assert_eq!([&one, &two, &one].map(connect), [End::Allowed, End::Allowed, REFUSED]);
    assert_eq!(connect(&node(true)), End::Allowed, "only tried out");
}

#[test]
fn pro_31_buckets_that_cannot_be_asked_refuse_nobody_and_are_left_alone_for_a_moment() {
    if !is_alone("shared::pro_31_buckets_that_cannot_be_asked_refuse_nobody_and_are_left_alone_for_a_moment")
    {
        return;
    }
    let log = Log::default();
    let _listening = log.listen();
    let kept = Arc::new(Kept::default());
    let limits = limits(&kept, DenyAll, |limits| limits.default = every(60, 1));
    let zoe = client("zoe");
    kept.0.lock().is_away = true;
    assert_eq!([0, 1, 1_000, 1_999].map(|millis| asked(&limits, &zoe, PUBLISH, millis)), [End::Allowed; 4]);
    assert_eq!(kept.0.lock().asked.len(), 1, "no command waits for what is away");
    assert_eq!(asked(&limits, &zoe, PUBLISH, 2_000), End::Allowed);
    assert_eq!(kept.0.lock().asked.len(), 2);
    limits.tick(at(3_000));
    let told = log.text();
    assert_eq!(told.matches("cannot be asked").count(), 2, "once for each question: {told}");
    assert!(told.contains("it is away") && told.contains("passed=5"), "{told}");
    assert!(!told.contains("zoe"), "{told}");
    kept.0.lock().is_away = false;
    assert_eq!([4_000, 4_000].map(|millis| asked(&limits, &zoe, PUBLISH, millis)), [End::Allowed, REFUSED]);
    limits.tick(at(14_000));
    assert!(log.text().contains("layer=\"redis_user_command\" command=\"publish\" hits=1"), "{}", log.text());
}

/// An application that judges commands itself, after a while.
struct Later;

impl Hooks for Later {
    fn command(
        &self,
        _: &Client,
        _: ClientCommand<'_>,
        _: Now,
    ) -> Result<Option<tourbillon_node::hooks::Judgement>, Refusal> {
        Ok(Some(Box::pin(async { Err(Disconnect::FORCE_DISCONNECT.into()) })))
    }
}

#[test]
fn pro_31_what_the_application_says_later_counts_too() {
    let kept = Arc::new(Kept::default());
    let limits = limits(&kept, Later, |limits| limits.default = every(60, 1));
    let ann = client("ann");
    assert_eq!(asked(&limits, &ann, PUBLISH, 0), End::Disconnect(3503));
    assert_eq!(asked(&limits, &ann, PUBLISH, 0), REFUSED);
    assert_eq!(asked(&limits, &client(""), PUBLISH, 0), End::Disconnect(3503));
}
