//! PERM-01: the ladder of subscriptions.

use tourbillon_access::{ChannelConfig, Namespaces, Outcome, Rule, SubscribeQuery, TokenCheck};
use tourbillon_auth::InvalidToken;

use crate::harness::End::{self, Allowed, Disconnect, Error};
use crate::harness::{decided, insecure, namespaces};

/// A request without token, for a stream.
fn query<'a>(channel: &'a str, user: &'a str) -> SubscribeQuery<'a> {
    SubscribeQuery { attributes: Default::default(), channel, user, kind: 0, token: TokenCheck::Absent }
}

#[track_caller]
fn check(namespaces: &Namespaces, query: &SubscribeQuery<'_>, by: Rule, expect: End) {
    let decision = namespaces.check_subscribe(query);
    assert_eq!(decided(&decision), expect, "{query:?}: {decision:#?}");
    assert_eq!(decision.deciding().map(|step| step.rule), Some(by), "{query:?}: {decision:#?}");
}

fn for_client(channel: &mut ChannelConfig) {
    channel.allow_subscribe_for_client = true;
}

fn for_anonymous(channel: &mut ChannelConfig) {
    channel.allow_subscribe_for_client = true;
    channel.allow_subscribe_for_anonymous = true;
}

fn user_limited(channel: &mut ChannelConfig) {
    channel.allow_user_limited_channels = true;
}

#[test]
fn perm_01_nothing_is_allowed_by_default() {
    for channel in ["news", "ns:news", "a#anna"] {
        for user in ["anna", ""] {
            check(&namespaces(|_| {}), &query(channel, user), Rule::Otherwise, Error(103));
        }
    }
}

#[test]
fn opt_13_anonymous_users_need_both_options() {
    let rule = Rule::AllowSubscribeForClient;
    check(&namespaces(for_client), &query("ns:news", "anna"), rule, Allowed);
    check(&namespaces(for_client), &query("news", "anna"), rule, Allowed);
    check(&namespaces(for_client), &query("news", ""), Rule::Otherwise, Error(103));
    check(&namespaces(for_anonymous), &query("news", ""), rule, Allowed);
    check(&namespaces(for_anonymous), &query("news", "anna"), rule, Allowed);
    let alone = namespaces(|channel| channel.allow_subscribe_for_anonymous = true);
    check(&alone, &query("news", ""), Rule::Otherwise, Error(103));
}

#[test]
fn ch_03_an_unknown_namespace_comes_before_everything() {
    for namespaces in [namespaces(for_anonymous), insecure(for_anonymous)] {
        for token in [TokenCheck::Absent, TokenCheck::Genuine, TokenCheck::OtherUser] {
            let query = SubscribeQuery { token, ..query("other:ü", "anna") };
            check(&namespaces, &query, Rule::Namespace, Error(102));
        }
    }
}

#[test]
fn ch_02_names_are_ascii_without_an_expression() {
    let plain = namespaces(for_client);
    for channel in ["ünews", "ns:ü", "ns:a\u{7f}\u{80}"] {
        check(&plain, &query(channel, "anna"), Rule::ChannelName, Error(107));
        let token = SubscribeQuery { token: TokenCheck::Genuine, ..query(channel, "anna") };
        check(&plain, &token, Rule::ChannelName, Error(107));
    }
    check(&plain, &query("ns:a b\u{1}~", "anna"), Rule::AllowSubscribeForClient, Allowed);
}

#[test]
fn ch_06_hid_59_the_expression_sees_the_rest_and_is_not_anchored() {
    let with = |regex: &str| {
        let regex = regex.to_owned();
        namespaces(|channel| {
            for_client(channel);
            channel.channel_regex = regex;
        })
    };
    let allowed = |regex: &str, channel: &str| {
        check(&with(regex), &query(channel, "anna"), Rule::AllowSubscribeForClient, Allowed);
    };
    let refused = |regex: &str, channel: &str| {
        check(&with(regex), &query(channel, "anna"), Rule::ChannelName, Error(107));
    };
    allowed("[0-9]", "ns:room7x");
    refused("[0-9]", "ns:room");
    refused("ns", "ns:room");
    allowed("^room$", "ns:room");
    refused("^room$", "ns:room2");
    // An expression replaces the demand for ASCII.
    allowed("^ü$", "ns:ü");
    // Without a namespace the rest is the whole name.
    allowed("^room$", "room");
    refused("^room$", "a:room2".trim_start_matches("a:"));
}

#[test]
fn ch_04_a_private_channel_needs_a_token_even_in_insecure_mode() {
    for namespaces in [namespaces(for_anonymous), insecure(for_anonymous)] {
        for channel in ["$news", "$ns:news"] {
            check(&namespaces, &query(channel, "anna"), Rule::PrivatePrefix, Error(103));
            let token = SubscribeQuery { token: TokenCheck::Genuine, ..query(channel, "anna") };
            check(&namespaces, &token, Rule::Token, Allowed);
        }
    }
    let limited = namespaces(user_limited);
    check(&limited, &query("$ns:a#anna", "anna"), Rule::PrivatePrefix, Error(103));
}

#[test]
fn hid_52_what_a_token_is_answered_with() {
    let invalid = TokenCheck::Invalid(InvalidToken::Signature);
    for (token, expect) in [
        (TokenCheck::Genuine, Allowed),
        (TokenCheck::Expired, Error(109)),
        (invalid, Error(103)),
        (TokenCheck::OtherChannel, Disconnect(3500)),
        (TokenCheck::OtherUser, Disconnect(3500)),
        (TokenCheck::OtherClient, Disconnect(3500)),
    ] {
        // Whatever else would allow it: a token decides.
        for namespaces in [namespaces(|_| {}), insecure(for_anonymous), namespaces(user_limited)] {
            for channel in ["ns:news", "$news", "a#anna"] {
                let query = SubscribeQuery { token, ..query(channel, "anna") };
                check(&namespaces, &query, Rule::Token, expect);
            }
        }
    }
}

#[test]
fn ch_05_user_limited_channels_are_for_the_listed_users() {
    let limited = namespaces(user_limited);
    check(&limited, &query("ns:a#anna,ben", "ben"), Rule::UserLimited, Allowed);
    check(&limited, &query("#anna", "anna"), Rule::UserLimited, Allowed);
    check(&limited, &query("ns:a#anna,ben", "carl"), Rule::Otherwise, Error(103));
    check(&limited, &query("a#anna#ben", "anna"), Rule::Otherwise, Error(103));
    for channel in ["a#", "a#anna,,ben"] {
        check(&limited, &query(channel, ""), Rule::Otherwise, Error(103));
    }
    // Without the option the mark means nothing.
    check(&namespaces(for_client), &query("a#anna", "carl"), Rule::AllowSubscribeForClient, Allowed);
}

#[test]
fn ch_05_user_limited_channels_skip_the_permission_for_all() {
    let both = namespaces(|channel| {
        for_anonymous(channel);
        user_limited(channel);
    });
    check(&both, &query("a#anna", "anna"), Rule::UserLimited, Allowed);
    for user in ["carl", ""] {
        check(&both, &query("a#anna", user), Rule::Otherwise, Error(103));
    }
    check(&both, &query("news", "carl"), Rule::AllowSubscribeForClient, Allowed);
}

#[test]
fn mode_03_hid_61_insecure_replaces_the_last_refusal_only() {
    let open = insecure(|_| {});
    for (channel, user) in [("news", "anna"), ("ns:news", ""), ("a#anna", "carl")] {
        check(&open, &query(channel, user), Rule::Insecure, Allowed);
    }
    check(&insecure(for_client), &query("news", "anna"), Rule::AllowSubscribeForClient, Allowed);
    check(&insecure(user_limited), &query("a#anna", "carl"), Rule::Insecure, Allowed);
    check(&open, &query("other:x", "anna"), Rule::Namespace, Error(102));
    check(&open, &query("ü", "anna"), Rule::ChannelName, Error(107));
    check(&open, &query("$x", "anna"), Rule::PrivatePrefix, Error(103));
}

#[test]
fn opt_22_only_streams_can_be_subscribed_to() {
    for namespaces in [namespaces(for_client), insecure(for_client)] {
        for (kind, code) in [(1, 103), (2, 103), (3, 103), (4, 108), (-1, 103), (i32::MAX, 103)] {
            let query = SubscribeQuery { kind, token: TokenCheck::Genuine, ..query("news", "anna") };
            check(&namespaces, &query, Rule::SubscriptionType, Error(code));
        }
    }
}

#[test]
fn a_decision_tells_every_rule_that_was_looked_at() {
    let rules = namespaces(|channel| {
        user_limited(channel);
        for_client(channel);
    });
    let told = |query: &SubscribeQuery<'_>| {
        rules.check_subscribe(query).steps().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&query("ns:room", "")),
        [
            "namespace: satisfied (the namespace exists)",
            "channel_regex: satisfied (the channel's name is valid)",
            "token: silent (no token came with the request)",
            "allow_subscribe_for_client: silent (the user is anonymous, for whom the option is off)",
            "otherwise: refuses (no rule allows it)",
        ]
    );
    assert_eq!(
        told(&SubscribeQuery { token: TokenCheck::Expired, ..query("$ns:room#anna", "anna") }),
        [
            "namespace: satisfied (the namespace exists)",
            "channel_regex: satisfied (the channel's name is valid)",
            "private_prefix: satisfied (a token came with the request)",
            "token: refuses (the token's time is over, or has not come)",
        ]
    );
    let decision = rules.check_subscribe(&query("ns:room#anna", "anna"));
    assert_eq!(decision.deciding().map(|step| step.outcome), Some(Outcome::Allows));
    assert_eq!(decision.into_result(), Ok(Rule::UserLimited));
}
