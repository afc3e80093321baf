//! What a channel's name says.

use tourbillon_access::{Grammar, Name, NamespacesConfig};

fn grammar() -> Grammar {
    Grammar::new(&NamespacesConfig::default())
}

#[track_caller]
fn check(grammar: &Grammar, channel: &str, namespace: &str, rest: &str, private: bool, users: Option<&str>) {
    assert_eq!(grammar.parse(channel), Name { namespace, rest, private, users }, "{channel}");
}

#[test]
fn ch_03_the_first_boundary_ends_the_namespace() {
    let grammar = grammar();
    check(&grammar, "news", "", "news", false, None);
    check(&grammar, "ns:news", "ns", "news", false, None);
    check(&grammar, "ns:a:b", "ns", "a:b", false, None);
    check(&grammar, "ns:", "ns", "", false, None);
    check(&grammar, ":news", "", "news", false, None);
    check(&grammar, "", "", "", false, None);
}

#[test]
fn ch_04_hid_58_the_private_prefix_is_taken_off_before_the_namespace_is_looked_for() {
    let grammar = grammar();
    check(&grammar, "$ns:x", "ns", "x", true, None);
    // Without a namespace the rest is the whole name.
    check(&grammar, "$x", "", "$x", true, None);
    check(&grammar, "$$ns:x", "$ns", "x", true, None);
    check(&grammar, "ns:$x", "ns", "$x", false, None);
    check(&grammar, "$", "", "$", true, None);
}

#[test]
fn ch_05_hid_57_users_follow_the_last_boundary() {
    let grammar = grammar();
    check(&grammar, "ns:#5", "ns", "#5", false, Some("5"));
    check(&grammar, "#5", "", "#5", false, Some("5"));
    check(&grammar, "a#b#5,6", "", "a#b#5,6", false, Some("5,6"));
    check(&grammar, "$ns:a#5", "ns", "a#5", true, Some("5"));
    check(&grammar, "a#", "", "a#", false, Some(""));
}

#[test]
fn marks_may_be_longer_and_may_be_missing() {
    let long = Grammar::new(&NamespacesConfig {
        private_prefix: "priv-".to_owned(),
        namespace_boundary: "::".to_owned(),
        user_boundary: "@@".to_owned(),
        ..NamespacesConfig::default()
    });
    check(&long, "priv-ns::a:b@@5", "ns", "a:b@@5", true, Some("5"));
    let none = Grammar::new(&NamespacesConfig {
        private_prefix: String::new(),
        namespace_boundary: String::new(),
        user_boundary: String::new(),
        ..NamespacesConfig::default()
    });
    check(&none, "$ns:a#5", "", "$ns:a#5", false, None);
}

#[test]
fn ch_05_a_list_has_exactly_its_users_and_never_the_anonymous_one() {
    let grammar = grammar();
    for (users, user, listed) in [
        ("5", "5", true),
        ("5", "55", false),
        ("55", "5", false),
        ("5,6", "6", true),
        ("5,6", "5,6", false),
        ("5, 6", "6", false),
        ("5,,6", "", false),
        ("", "", false),
        ("Anna", "anna", false),
    ] {
        assert_eq!(grammar.lists(users, user), listed, "{users:?} {user:?}");
    }
    let one =
        Grammar::new(&NamespacesConfig { user_separator: String::new(), ..NamespacesConfig::default() });
    assert!(one.lists("5,6", "5,6"));
    assert!(!one.lists("5,6", "5"));
}
