//! PRO-43: namespaces of channels that look like paths.

use tourbillon_access::{
    Action, ChannelConfig, ExplainQuery, Live, NamespaceConfig, Namespaces, NamespacesConfig, SubscribeQuery,
    TokenCheck, explain,
};

use crate::harness::End::{self, Allowed, Error};
use crate::harness::{decided, now, tokens_config};

fn namespace(name: &str, pattern: &str, set: impl FnOnce(&mut ChannelConfig)) -> NamespaceConfig {
    let mut channel = ChannelConfig::default();
    set(&mut channel);
    NamespaceConfig { name: name.to_owned(), pattern: pattern.to_owned(), channel }
}

fn open(channel: &mut ChannelConfig) {
    channel.allow_subscribe_for_client = true;
}

fn config() -> NamespacesConfig {
    let mut config = NamespacesConfig {
        patterns: true,
        namespaces: vec![
            namespace("users", "/users/:user", |channel| {
                "vars.user == user".clone_into(&mut channel.subscribe_cel)
            }),
            namespace("lobby", "/users/lobby", open),
            namespace("letters", "/letters/:one", |channel| {
                open(channel);
                "^/letters/[a-z]+$".clone_into(&mut channel.channel_regex);
            }),
            namespace("plain", "", open),
        ],
        ..NamespacesConfig::default()
    };
    open(&mut config.without_namespace);
    config
}

fn subscribe(channel: &str) -> End {
    let query = SubscribeQuery {
        attributes: Default::default(),
        channel,
        user: "anna",
        kind: 0,
        token: TokenCheck::Absent,
    };
    decided(&Namespaces::new(&config()).expect("is sound").check_subscribe(&query))
}

#[test]
fn channels_have_the_rules_of_the_pattern_that_they_match() {
    for (channel, expected) in [
        ("/users/anna", Allowed),
        ("/users/ben", Error(103)),
        ("/users/lobby", Allowed),
        ("/users/", Error(102)),
        ("/users", Error(102)),
        ("/users/anna/more", Error(102)),
        ("/", Error(102)),
        // The expression sees the whole channel; a boundary in it has no meaning.
        ("/letters/abc", Allowed),
        ("/letters/7", Error(107)),
        ("/letters/plain:x", Error(107)),
        // A name does not lead to a namespace with a pattern, and other channels are what they were.
        ("users:anna", Error(102)),
        ("plain:a", Allowed),
        ("a/b", Allowed),
        // The prefix is looked at first (HID-58).
        ("$/users/lobby", Error(103)),
        ("$/nowhere", Error(102)),
    ] {
        assert_eq!(subscribe(channel), expected, "{channel}");
    }
}

#[test]
fn without_the_option_a_slash_is_a_letter() {
    let mut config = config();
    config.patterns = false;
    let error = Namespaces::new(&config).expect_err("cannot be used").to_string();
    assert_eq!(error, "channel.namespaces[0].pattern: needs `channel.patterns`");
    config.namespaces.retain(|namespace| namespace.pattern.is_empty());
    let namespaces = Namespaces::new(&config).expect("is sound");
    assert!(namespaces.find("/users/anna").is_ok_and(|found| found.name.namespace.is_empty()));
    assert_eq!(namespaces.variables("/users/anna").count(), 0);
}

#[test]
fn conflicts_are_found_at_the_start_with_their_path() {
    let mut config = config();
    config.namespaces.push(namespace("again", "/users/u:id", |_| {}));
    let error = Namespaces::new(&config).expect_err("cannot be used").to_string();
    assert_eq!(error, "channel.namespaces[4].pattern: a channel could match \"/users/:user\" too");
    config.namespaces.pop();
    config.namespaces.push(namespace("users", "/other", |_| {}));
    let error = Namespaces::new(&config).expect_err("cannot be used").to_string();
    assert_eq!(error, "channel.namespaces[4].name: there is another namespace \"users\"");
}

#[test]
fn explanations_tell_namespace_and_variables() {
    let query = ExplainQuery {
        action: Action::Subscribe,
        channel: "/users/anna".to_owned(),
        user: "anna".to_owned(),
        ..ExplainQuery::default()
    };
    let namespaces = Live::new(Namespaces::new(&config()).expect("is sound"));
    let text = now(explain(&namespaces, &Live::new(tokens_config()), &query)).to_string();
    assert!(text.starts_with("namespace: users\nvariable user: anna\n"), "{text}");
    assert!(text.ends_with("verdict: allowed by subscribe_cel\n"), "{text}");
}
