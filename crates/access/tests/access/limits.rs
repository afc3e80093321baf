//! What clients may do in which time (PRO-30..33).

use std::sync::Arc;
use std::time::Duration;

use tourbillon_access::{
    Bucket, BucketProblem, Buckets, CommandBuckets, CommandLimits, DenyAll, ErrorLimits, Limits,
    LimitsConfig, LimitsError, NamespaceConfig, Namespaces, NamespacesConfig, Operation,
};
use tourbillon_node::{Client, ClientCommand, ConnectRequest, Hooks};
use tourbillon_types::{ClientId, Instant, Now, ReplyError};

use crate::harness::{Asked, End, client, end, now as answered};

fn every(seconds: u64, rate: u32) -> Buckets {
    Buckets { enabled: true, buckets: vec![Bucket { interval: Duration::from_secs(seconds), rate }] }
}

fn at(millis: u64) -> Now {
    Now { instant: Instant::ZERO + Duration::from_millis(millis), unix_millis: 0 }
}

fn namespaces() -> Arc<Namespaces> {
    let named = |name: &str| NamespaceConfig { name: name.to_owned(), ..NamespaceConfig::default() };
    let rooms = NamespaceConfig { pattern: "/rooms/:room".to_owned(), ..named("rooms") };
    let namespaces = vec![named("chat"), named("news"), rooms];
    let config = NamespacesConfig { patterns: true, namespaces, ..Default::default() };
    Arc::new(Namespaces::new(&config).expect("sound"))
}

fn limits(config: &LimitsConfig) -> Limits<DenyAll> {
    Limits::new(config, namespaces(), DenyAll).expect("sound")
}

fn of_connections(change: impl FnOnce(&mut CommandLimits)) -> LimitsConfig {
    let mut config = LimitsConfig::default();
    config.client_command.enabled = true;
    change(&mut config.client_command);
    config
}

fn of_users(change: impl FnOnce(&mut CommandLimits)) -> LimitsConfig {
    let mut config = LimitsConfig::default();
    config.user_command.enabled = true;
    change(&mut config.user_command);
    config
}

fn own(base: Buckets) -> CommandBuckets {
    CommandBuckets { base, ..CommandBuckets::default() }
}

/// How several commands of one client at one time end.
fn ends(limits: &Limits<DenyAll>, client: &Client, millis: u64, commands: &[ClientCommand<'_>]) -> Vec<End> {
    commands.iter().map(|command| end(&limits.command(client, *command, at(millis)))).collect()
}

const ALLOWED: End = End::Allowed;
const REFUSED: End = End::Error(111);

#[test]
fn pro_30_each_command_has_buckets_of_its_own_or_a_copy_of_the_default_ones() {
    let limits = limits(&of_connections(|limits| {
        limits.default = every(1, 2);
        limits.commands = vec![(Operation::Publish, own(every(1, 1)))];
    }));
    let (ann, bob) = (client("ann"), client("bob"));
    let publish = ClientCommand::Publish("a");
    assert_eq!(ends(&limits, &ann, 0, &[publish; 2]), [ALLOWED, REFUSED]);
    assert_eq!(ends(&limits, &bob, 0, &[publish]), [ALLOWED], "another connection");
    for command in [
        ClientCommand::Subscribe("a"),
        ClientCommand::MapPublish("a"),
        ClientCommand::MapRemove("a"),
        ClientCommand::Track("a"),
        ClientCommand::Untrack("a"),
        ClientCommand::History("a"),
        ClientCommand::Presence("a"),
        ClientCommand::PresenceStats("a"),
        ClientCommand::Rpc("m"),
        ClientCommand::Refresh,
        ClientCommand::SubRefresh("a"),
    ] {
        assert_eq!(ends(&limits, &ann, 0, &[command; 3]), [ALLOWED, ALLOWED, REFUSED], "{command:?}");
    }
    assert_eq!(ends(&limits, &ann, 999, &[publish]), [REFUSED]);
    assert_eq!(ends(&limits, &ann, 1_000, &[publish; 2]), [ALLOWED, REFUSED], "it comes back");
}

#[test]
fn pro_30_the_total_counts_what_is_allowed() {
    let limits = limits(&of_connections(|limits| {
        limits.total = every(1, 3);
        limits.commands = vec![(Operation::Publish, own(every(1, 1)))];
    }));
    let ann = client("ann");
    let (publish, subscribe) = (ClientCommand::Publish("a"), ClientCommand::Subscribe("a"));
    assert_eq!(ends(&limits, &ann, 0, &[publish; 4]), [ALLOWED, REFUSED, REFUSED, REFUSED]);
    assert_eq!(ends(&limits, &ann, 0, &[subscribe; 3]), [ALLOWED, ALLOWED, REFUSED]);
}

#[test]
fn pro_30_a_method_has_buckets_of_its_own() {
    let limits = limits(&of_connections(|limits| {
        let methods = vec![
            ("slow".to_owned(), every(20, 1)),
            ("off".to_owned(), Buckets { enabled: false, ..every(20, 1) }),
            ("default".to_owned(), Buckets { enabled: true, buckets: Vec::new() }),
        ];
        limits.default = every(1, 3);
        limits.commands =
            vec![(Operation::Rpc, CommandBuckets { base: every(1, 2), methods, ..Default::default() })];
    }));
    for (method, allowed) in [("slow", 1), ("off", 2), ("default", 3), ("other", 2)] {
        let ann = client("ann");
        let ends = ends(&limits, &ann, 0, &[ClientCommand::Rpc(method); 5]);
        assert_eq!(ends.iter().filter(|end| **end == ALLOWED).count(), allowed, "{method}");
    }
}

#[test]
fn pro_32_a_namespace_has_buckets_that_replace_the_base() {
    let limits = limits(&of_connections(|limits| {
        let namespaces = vec![("chat".to_owned(), every(1, 4)), ("news".to_owned(), every(10, 1))];
        limits.commands = vec![(
            Operation::Publish,
            CommandBuckets { base: every(1, 2), namespaces, ..Default::default() },
        )];
    }));
    let ann = client("ann");
    for (channel, allowed) in [("chat:1", 4), ("news:1", 1), ("plain", 2), ("$chat:2", 0), ("none:1", 0)] {
        let ends = ends(&limits, &ann, 0, &[ClientCommand::Publish(channel); 5]);
        assert_eq!(ends.iter().filter(|end| **end == ALLOWED).count(), allowed, "{channel}");
    }
    assert_eq!(ends(&limits, &ann, 1_000, &[ClientCommand::Publish("news:1")]), [REFUSED]);
    assert_eq!(ends(&limits, &ann, 0, &[ClientCommand::Subscribe("news:1"); 3]), [ALLOWED; 3]);
}

#[test]
fn pro_32_and_43_a_namespace_with_a_pattern_has_buckets_that_replace_the_base() {
    let publish = || {
        let namespaces = vec![("rooms".to_owned(), every(1, 1))];
        vec![(Operation::Publish, CommandBuckets { base: every(1, 2), namespaces, ..Default::default() })]
    };
    for config in
        [of_connections(|limits| limits.commands = publish()), of_users(|limits| limits.commands = publish())]
    {
        let limits = limits(&config);
        for (channel, allowed) in [("/rooms/1", 1), ("$/rooms/1", 1), ("/nowhere", 2), ("plain", 2)] {
            let ends = ends(&limits, &client(channel), 0, &[ClientCommand::Publish(channel); 5]);
            assert_eq!(ends.iter().filter(|end| **end == ALLOWED).count(), allowed, "{channel}");
        }
    }
}

#[test]
fn pro_31_all_connections_of_a_user_count_together() {
    let limits = limits(&of_users(|limits| {
        limits.default = every(1, 2);
        limits.total = every(60, 3);
    }));
    let publish = ClientCommand::Publish("a");
    let (one, two, other) = (client("ann"), client("ann"), client("bob"));
    assert_eq!(ends(&limits, &one, 0, &[publish]), [ALLOWED]);
    assert_eq!(ends(&limits, &two, 0, &[publish; 2]), [ALLOWED, REFUSED]);
    assert_eq!(ends(&limits, &other, 0, &[publish]), [ALLOWED]);
    assert_eq!(ends(&limits, &one, 1_000, &[publish; 2]), [ALLOWED, REFUSED], "the total");
    // Nobody is somebody.
    assert_eq!(ends(&limits, &client(""), 0, &[publish; 5]), [ALLOWED; 5]);
}

#[test]
fn pro_31_connects_of_a_user_are_counted_once_the_user_is_known() {
    let mut config = of_users(|limits| limits.commands = vec![(Operation::Connect, own(every(1, 2)))]);
    let connect = |limits: &Limits<Asked>, millis: u64| {
        let mut request = ConnectRequest::new(ClientId::random(), "test");
        request.instant = at(millis).instant;
        end(&answered(limits.connect(request)))
    };
    let limits = Limits::new(&config, namespaces(), Asked::default()).expect("sound");
    assert_eq!([0, 0, 0].map(|millis| connect(&limits, millis)), [ALLOWED, ALLOWED, REFUSED]);
    assert_eq!(connect(&limits, 500), ALLOWED);
    config.user_command.dry_run = true;
    let limits = Limits::new(&config, namespaces(), Asked::default()).expect("sound");
    assert_eq!([0; 4].map(|millis| connect(&limits, millis)), [ALLOWED; 4]);
}

#[test]
fn pro_31_what_the_connection_may_not_costs_the_user_nothing() {
    let mut config = of_connections(|limits| limits.default = every(1, 1));
    config.user_command = of_users(|limits| limits.default = every(1, 2)).user_command;
    let limits = limits(&config);
    let publish = ClientCommand::Publish("a");
    assert_eq!(ends(&limits, &client("ann"), 0, &[publish; 5])[..2], [ALLOWED, REFUSED]);
    assert_eq!(ends(&limits, &client("ann"), 0, &[publish]), [ALLOWED]);
    assert_eq!(ends(&limits, &client("ann"), 0, &[publish]), [REFUSED]);
}

/// To refuse an unsubscribe would cost more than to carry it out.
#[test]
fn pro_30_unsubscribe_is_counted_and_never_refused() {
    let mut config = of_connections(|limits| {
        limits.total = every(1, 3);
        limits.commands = vec![(Operation::Unsubscribe, own(every(1, 2)))];
    });
    let ann = client("ann");
    let unsubscribe = ClientCommand::Unsubscribe("a");
    let lenient = limits(&config);
    assert_eq!(ends(&lenient, &ann, 0, &[unsubscribe; 5]), [ALLOWED; 5]);
    assert_eq!(ends(&lenient, &ann, 0, &[ClientCommand::Publish("a")]), [REFUSED], "the total is used up");
    assert_eq!(ends(&lenient, &ann, 334, &[ClientCommand::Publish("a")]), [ALLOWED], "and no more than that");
    config.client_command.disconnect_on_accounted_limit = true;
    let strict = limits(&config);
    let twice_and_then = [ALLOWED, ALLOWED, End::Disconnect(3503)];
    assert_eq!(ends(&strict, &ann, 0, &[unsubscribe; 3]), twice_and_then);
    config.client_command.dry_run = true;
    assert_eq!(ends(&limits(&config), &ann, 0, &[unsubscribe; 5]), [ALLOWED; 5]);
}

#[test]
fn pro_33_too_many_errors_end_a_connection() {
    let mut config = LimitsConfig {
        client_error: ErrorLimits { enabled: true, dry_run: false, total: every(5, 3) },
        ..LimitsConfig::default()
    };
    let (ann, bob) = (client("ann"), client("bob"));
    let erred = |limits: &Limits<DenyAll>, client: &Client, error: &ReplyError| {
        limits.erred(client, error, at(0)).map_err(|why| why.code)
    };
    let strict = limits(&config);
    for _ in 0..100 {
        assert_eq!(erred(&strict, &ann, &ReplyError::INTERNAL), Ok(()), "that is not the client's fault");
    }
    let some = [ReplyError::TOO_MANY_REQUESTS, ReplyError::PERMISSION_DENIED, ReplyError::BAD_REQUEST];
    assert_eq!(some.map(|error| erred(&strict, &ann, &error)), [Ok(()); 3]);
    assert_eq!(erred(&strict, &ann, &ReplyError::BAD_REQUEST), Err(3509));
    assert_eq!(erred(&strict, &bob, &ReplyError::BAD_REQUEST), Ok(()));
    config.client_error.dry_run = true;
    let dry = limits(&config);
    assert_eq!([(); 9].map(|()| erred(&dry, &ann, &ReplyError::BAD_REQUEST)), [Ok(()); 9]);
}

#[test]
fn a_dry_run_counts_tells_and_refuses_nothing() {
    if !crate::logs::is_alone("limits::a_dry_run_counts_tells_and_refuses_nothing") {
        return;
    }
    let log = crate::logs::Log::default();
    let _guard = log.listen();
    let limits = limits(&of_connections(|limits| {
        limits.dry_run = true;
        limits.commands = vec![(Operation::Publish, own(every(1, 1)))];
    }));
    let ann = client("ann");
    assert_eq!(ends(&limits, &ann, 0, &[ClientCommand::Publish("secret"); 4]), [ALLOWED; 4]);
    limits.tick(at(0));
    limits.tick(at(1_000));
    let text = log.text();
    let told = r#"layer="client_command" command="publish" hits=3 dry_run=true"#;
    assert_eq!(text.matches(told).count(), 1, "{text}");
    assert!(!text.contains("secret"), "{text}");
}

/// What is off, or full again, takes no memory.
#[test]
fn only_what_is_used_up_is_remembered() {
    let off = limits(&LimitsConfig {
        client_command: CommandLimits { default: every(1, 1), ..CommandLimits::default() },
        ..LimitsConfig::default()
    });
    assert_eq!(ends(&off, &client("ann"), 0, &[ClientCommand::Publish("a"); 3]), [ALLOWED; 3]);
    assert_eq!(off.followed(), 0);
    let on = limits(&of_connections(|limits| limits.default = every(1, 10)));
    for _ in 0..1_000 {
        ends(&on, &client("ann"), 0, &[ClientCommand::Publish("a")]);
    }
    assert_eq!(on.followed(), 1_000);
    for second in 1..=8 {
        on.tick(at(second * 1_000));
    }
    assert_eq!(on.followed(), 0);
}

#[test]
fn buckets_that_make_no_sense_are_named_even_where_they_are_off() {
    let wrong = |config: LimitsConfig| config.check().expect_err("refused");
    let error = |path: &str, problem| LimitsError { path: path.to_owned(), problem };
    let mut config = LimitsConfig::default();
    let namespaces = vec![("chat".to_owned(), every(1, 0))];
    config.user_command.commands =
        vec![(Operation::Publish, CommandBuckets { namespaces, ..CommandBuckets::default() })];
    assert_eq!(
        wrong(config),
        error("user_command.publish.namespace_overrides[0].buckets", BucketProblem::NoRate)
    );
    let day = Duration::from_secs(86_400);
    let mut config = LimitsConfig::default();
    config.client_command.default = every(86_400, 1);
    assert_eq!(wrong(config), error("client_command.default.buckets", BucketProblem::Interval(day)));
    let mut config = LimitsConfig::default();
    config.client_error.total = every(0, 1);
    let none = BucketProblem::Interval(Duration::ZERO);
    assert_eq!(wrong(config), error("client_error.total.buckets", none));
}

/// `cargo test --release -p tourbillon-access -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement, not a check"]
fn speed_of_limits() {
    use tourbillon_types::{Clock, SystemClock};
    let clock = SystemClock::new();
    let mut config = of_connections(|limits| {
        limits.total = every(1, u32::MAX);
        limits.default = every(1, u32::MAX);
    });
    for layers in ["off", "connection", "connection and user"] {
        let limits = limits(&if layers == "off" { LimitsConfig::default() } else { config.clone() });
        let (ann, rounds) = (client("ann"), 2_000_000);
        let start = clock.now().instant;
        for _ in 0..rounds {
            assert!(limits.command(&ann, ClientCommand::Publish("chat:1"), at(0)).is_ok());
        }
        println!("{layers}: {:?} a command", clock.now().instant.saturating_since(start) / rounds);
        if layers == "connection" {
            config.user_command = config.client_command.clone();
        }
    }
}
