//! PERM-02: the ladder of publications.

use tourbillon_access::{ChannelConfig, Namespaces, PublishQuery, Rule};
use tourbillon_types::Payload;

use crate::harness::End::{self, Allowed, Error};
use crate::harness::{decided, insecure, namespaces};

#[derive(Clone, Copy, Debug)]
struct Who {
    user: &'static str,
    subscribed: bool,
}

const ANNA: Who = Who { user: "anna", subscribed: false };
const ANNA_SUBSCRIBED: Who = Who { user: "anna", subscribed: true };
const NOBODY: Who = Who { user: "", subscribed: false };
const NOBODY_SUBSCRIBED: Who = Who { user: "", subscribed: true };

#[track_caller]
fn check_data(namespaces: &Namespaces, channel: &str, who: Who, data: &'static str, by: Rule, expect: End) {
    let Who { user, subscribed } = who;
    let data = Payload::from(data);
    let decision = namespaces.check_publish(&PublishQuery {
        attributes: Default::default(),
        channel,
        user,
        subscribed,
        data: &data,
    });
    assert_eq!(decided(&decision), expect, "{channel} {who:?}: {decision:#?}");
    assert_eq!(decision.deciding().map(|step| step.rule), Some(by), "{channel} {who:?}: {decision:#?}");
}

#[track_caller]
fn check(namespaces: &Namespaces, channel: &str, who: Who, by: Rule, expect: End) {
    check_data(namespaces, channel, who, "{}", by, expect);
}

fn for_client(channel: &mut ChannelConfig) {
    channel.allow_publish_for_client = true;
}

fn for_subscriber(channel: &mut ChannelConfig) {
    channel.allow_publish_for_subscriber = true;
}

#[test]
fn perm_02_nothing_is_allowed_by_default() {
    let closed = namespaces(|channel| channel.allow_publish_for_anonymous = true);
    for who in [ANNA, ANNA_SUBSCRIBED, NOBODY, NOBODY_SUBSCRIBED] {
        check(&namespaces(|_| {}), "news", who, Rule::Otherwise, Error(103));
        check(&closed, "ns:news", who, Rule::Otherwise, Error(103));
    }
}

#[test]
fn opt_14_clients_may_publish_and_anonymous_ones_by_both_options() {
    let rule = Rule::AllowPublishForClient;
    let named = namespaces(for_client);
    for who in [ANNA, ANNA_SUBSCRIBED] {
        check(&named, "ns:news", who, rule, Allowed);
    }
    for who in [NOBODY, NOBODY_SUBSCRIBED] {
        check(&named, "ns:news", who, Rule::Otherwise, Error(103));
    }
    let all = namespaces(|channel| {
        for_client(channel);
        channel.allow_publish_for_anonymous = true;
    });
    for who in [ANNA, NOBODY] {
        check(&all, "news", who, rule, Allowed);
    }
}

#[test]
fn opt_14_subscribers_may_publish_while_subscribed() {
    let rule = Rule::AllowPublishForSubscriber;
    let named = namespaces(for_subscriber);
    check(&named, "news", ANNA_SUBSCRIBED, rule, Allowed);
    for who in [ANNA, NOBODY, NOBODY_SUBSCRIBED] {
        check(&named, "news", who, Rule::Otherwise, Error(103));
    }
    let all = namespaces(|channel| {
        for_subscriber(channel);
        channel.allow_publish_for_anonymous = true;
    });
    check(&all, "news", NOBODY_SUBSCRIBED, rule, Allowed);
    check(&all, "news", NOBODY, Rule::Otherwise, Error(103));
    let either = namespaces(|channel| {
        for_client(channel);
        for_subscriber(channel);
    });
    check(&either, "news", ANNA, Rule::AllowPublishForClient, Allowed);
}

#[test]
fn opt_19_the_format_is_checked_before_the_permission() {
    for (format, taken, refused) in [
        ("", "no json", ""),
        ("json", "[1]", "no json"),
        ("json", "{}", ""),
        ("json_object", " {\"a\":1}", "[1]"),
    ] {
        let set = |channel: &mut ChannelConfig| channel.publication_data_format = format.to_owned();
        for namespaces in [namespaces(set), insecure(set)] {
            check_data(&namespaces, "news", ANNA, refused, Rule::DataFormat, Error(107));
        }
        check_data(&namespaces(set), "news", ANNA, taken, Rule::Otherwise, Error(103));
        check_data(&insecure(set), "news", ANNA, taken, Rule::Insecure, Allowed);
    }
    let binary = insecure(|channel| channel.publication_data_format = "binary".to_owned());
    check_data(&binary, "news", ANNA, "", Rule::Insecure, Allowed);
}

#[test]
fn perm_02_the_channel_is_checked_before_the_format() {
    let open = insecure(for_client);
    check_data(&open, "other:news", ANNA, "", Rule::Namespace, Error(102));
    check_data(&open, "ü", ANNA, "", Rule::ChannelName, Error(107));
    let regex = namespaces(|channel| {
        for_client(channel);
        channel.channel_regex = "^a".to_owned();
    });
    check(&regex, "ns:b", ANNA, Rule::ChannelName, Error(107));
    check(&regex, "ns:a", ANNA, Rule::AllowPublishForClient, Allowed);
}

#[test]
fn mode_03_insecure_allows_everybody_to_publish() {
    for who in [ANNA, NOBODY] {
        check(&insecure(|_| {}), "ns:news", who, Rule::Insecure, Allowed);
    }
}

#[test]
fn neither_the_private_prefix_nor_listed_users_matter() {
    let rules = namespaces(|channel| {
        for_client(channel);
        channel.allow_user_limited_channels = true;
    });
    for channel in ["$news", "$ns:news", "a#ben"] {
        check(&rules, channel, ANNA, Rule::AllowPublishForClient, Allowed);
    }
}
