//! PERM-01 to PERM-05: every combination of what a ladder looks at, against the rules written down once more.

use tourbillon_access::{
    Asked, ChannelConfig, ConfigProblem, Features, Namespaces, NamespacesConfig, Outcome, PublishQuery,
    ReadQuery, SubscribeQuery, TokenCheck,
};
use tourbillon_auth::{FetchError, InvalidToken, Overrides};
use tourbillon_types::Payload;

use crate::harness::End::{self, Allowed, Disconnect, Error};
use crate::harness::{config, decided};

/// Every value of so many switches.
fn switches<const N: usize>() -> impl Iterator<Item = [bool; N]> {
    (0..1_u32 << N).map(|bits| std::array::from_fn(|at| bits >> at & 1 == 1))
}

fn rules(insecure: bool, set: impl FnOnce(&mut ChannelConfig)) -> Namespaces {
    Namespaces::new(&NamespacesConfig { insecure, ..config(set) }).expect("the rules are sound")
}

/// Whether the steps are such a way to the end: only the last decides, and it decides as the verdict says.
#[track_caller]
fn explained(decision: &tourbillon_access::Decision) {
    let (last, before) = decision.steps().split_last().expect("something was looked at");
    assert!(
        before.iter().all(|step| matches!(step.outcome, Outcome::Silent | Outcome::Satisfied)),
        "{decision:?}"
    );
    let expected = if decision.is_allowed() { Outcome::Allows } else { Outcome::Refuses };
    assert_eq!(last.outcome, expected, "{decision:?}");
    assert!(!last.why.is_empty());
}

const USERS: [&str; 2] = ["", "anna"];

#[test]
fn perm_01_subscribe_every_combination() {
    let tokens = [
        (TokenCheck::Absent, None),
        (TokenCheck::Genuine, Some(Allowed)),
        (TokenCheck::Expired, Some(Error(109))),
        (TokenCheck::Invalid(InvalidToken::Signature), Some(Error(103))),
        (TokenCheck::Unavailable(FetchError::Timeout), Some(Error(100))),
        (TokenCheck::OtherChannel, Some(Disconnect(3500))),
        (TokenCheck::OtherUser, Some(Disconnect(3500))),
        (TokenCheck::OtherClient, Some(Disconnect(3500))),
    ];
    let mut count = 0;
    for [client, anonymous, limited_option, insecure] in switches() {
        let namespaces = rules(insecure, |channel| {
            channel.allow_subscribe_for_client = client;
            channel.allow_subscribe_for_anonymous = anonymous;
            channel.allow_user_limited_channels = limited_option;
        });
        for (channel, valid, private, lists_anna, limited) in [
            ("news", true, false, false, false),
            ("ns:news", true, false, false, false),
            ("$news", true, true, false, false),
            ("$ns:news", true, true, false, false),
            ("news#anna", true, false, true, true),
            ("ns:news#ben,anna", true, false, true, true),
            ("news#ben", true, false, false, true),
            ("$ns:news#anna", true, true, true, true),
            ("news#", true, false, false, true),
            ("ns:ü", false, false, false, false),
        ] {
            for user in USERS {
                for (token, by_token) in tokens {
                    let decision = namespaces.check_subscribe(&SubscribeQuery {
                        attributes: Default::default(),
                        channel,
                        user,
                        kind: 0,
                        token,
                    });
                    let user_limited = limited && limited_option;
                    let expected = if !valid {
                        Error(107)
                    } else if private && token == TokenCheck::Absent {
                        Error(103)
                    } else if let Some(end) = by_token {
                        end
                    } else if (user_limited && lists_anna && user == "anna")
                        || (client && (!user.is_empty() || anonymous) && !user_limited)
                        || insecure
                    {
                        Allowed
                    } else {
                        Error(103)
                    };
                    assert_eq!(decided(&decision), expected, "{channel} {user:?} {token:?} {decision:#?}");
                    explained(&decision);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 16 * 10 * 2 * 8);
}

/// The ladder that publications, presence and history share.
fn ladder(options: [bool; 3], user: &str, subscribed: bool, insecure: bool) -> End {
    let [client, subscriber, anonymous] = options;
    let named = !user.is_empty() || anonymous;
    if (client && named) || (subscriber && subscribed && named) || insecure { Allowed } else { Error(103) }
}

#[test]
fn perm_02_publish_every_combination() {
    for [client, subscriber, anonymous, insecure, subscribed] in switches() {
        for (format, data, good) in [
            ("", "", false),
            ("", "x", true),
            ("json", "{", false),
            ("json", "[]", true),
            ("json_object", "[]", false),
            ("json_object", " {}", true),
            ("binary", "", true),
        ] {
            let namespaces = rules(insecure, |channel| {
                channel.allow_publish_for_client = client;
                channel.allow_publish_for_subscriber = subscriber;
                channel.allow_publish_for_anonymous = anonymous;
                format.clone_into(&mut channel.publication_data_format);
            });
            for (channel, user) in
                [("news", ""), ("ns:news", "anna"), ("$news", "anna"), ("news#ben", "anna")]
            {
                let data = Payload::from(data);
                let query =
                    PublishQuery { attributes: Default::default(), channel, user, subscribed, data: &data };
                let decision = namespaces.check_publish(&query);
                let expected = if good {
                    ladder([client, subscriber, anonymous], user, subscribed, insecure)
                } else {
                    Error(107)
                };
                assert_eq!(decided(&decision), expected, "{query:?} {decision:#?}");
                explained(&decision);
            }
        }
    }
}

/// Sets the three permissions of presence or history.
fn allow(channel: &mut ChannelConfig, history: bool, [client, subscriber, anonymous]: [bool; 3]) {
    if history {
        channel.allow_history_for_client = client;
        channel.allow_history_for_subscriber = subscriber;
        channel.allow_history_for_anonymous = anonymous;
    } else {
        channel.allow_presence_for_client = client;
        channel.allow_presence_for_subscriber = subscriber;
        channel.allow_presence_for_anonymous = anonymous;
    }
}

fn keep(channel: &mut ChannelConfig) {
    channel.history_size = 10;
    channel.history_ttl = std::time::Duration::from_secs(60);
}

#[test]
fn perm_03_perm_04_presence_and_history_every_combination() {
    for [history, there, client, subscriber, anonymous, insecure, subscribed] in switches() {
        let options = [client, subscriber, anonymous];
        let namespaces = rules(insecure, |channel| {
            allow(channel, history, options);
            channel.presence = there && !history;
            if there && history {
                keep(channel);
            }
        });
        for channel in ["news", "ns:news", "$ns:news", "no:news", "ns:ü", "ns:a#ben"] {
            for user in USERS {
                let query = ReadQuery { attributes: Default::default(), channel, user, subscribed };
                let decision = if history {
                    namespaces.check_history(&query)
                } else {
                    namespaces.check_presence(&query)
                };
                let expected = match channel {
                    "no:news" => Error(102),
                    "ns:ü" => Error(107),
                    _ if !there => Error(108),
                    _ => ladder(options, user, subscribed, insecure),
                };
                assert_eq!(decided(&decision), expected, "{query:?} {decision:#?}");
                explained(&decision);
            }
        }
    }
}

#[test]
fn perm_05_subt_15_what_subscriptions_get_every_combination() {
    for [history, presence, anonymous, insecure, join_leave, force, allowed, ask] in switches() {
        let namespaces = rules(insecure, |channel| {
            keep(channel);
            allow(channel, true, [false, history, anonymous]);
            allow(channel, false, [false, presence, anonymous]);
            channel.presence = true;
            channel.join_leave = join_leave;
            channel.force_push_join_leave = force;
            channel.force_positioning = force;
            channel.force_recovery = force;
            channel.allow_positioning = allowed;
            channel.allow_recovery = allowed;
        });
        let asked = Asked { positioned: ask, recoverable: ask, join_leave: ask };
        for user in USERS {
            let named = !user.is_empty() || anonymous;
            let may_read = |option: bool| (option && named) || insecure;
            let expected = Features {
                presence: true,
                join_leave,
                push_join_leave: force || (ask && join_leave && may_read(presence)),
                positioned: force || (ask && (allowed || may_read(history))),
                recoverable: force || (ask && (allowed || may_read(history))),
            };
            let found = namespaces.features("ns:x", user, Default::default(), asked, Overrides::default());
            assert_eq!(found, Ok(expected), "{user:?} {asked:?}");
            // A token says otherwise, whatever the namespace says; what is asked for comes on top.
            let mut token = Overrides::default();
            token.presence = Some(false);
            token.join_leave = Some(!join_leave);
            token.force_push_join_leave = Some(!force);
            token.force_positioning = Some(!force);
            token.force_recovery = Some(!force);
            let with_token = Features {
                presence: false,
                join_leave: !join_leave,
                push_join_leave: !force || (ask && join_leave && may_read(presence)),
                positioned: !force || (ask && (allowed || may_read(history))),
                recoverable: !force || (ask && (allowed || may_read(history))),
            };
            assert_eq!(namespaces.features("ns:x", user, Default::default(), asked, token), Ok(with_token));
        }
        assert!(
            namespaces.features("no:x", "anna", Default::default(), asked, Overrides::default()).is_err()
        );
    }
}

#[test]
fn opt_04_history_options_are_checked_together() {
    let seconds = std::time::Duration::from_secs;
    let refused = |set: fn(&mut ChannelConfig)| Namespaces::new(&config(set)).expect_err("cannot be used");
    let found = refused(|channel| channel.history_size = 1);
    assert_eq!(found.to_string(), "channel.without_namespace.history_size: needs `history_ttl`");
    let found = refused(|channel| channel.history_ttl = std::time::Duration::from_secs(1));
    assert_eq!(found.to_string(), "channel.without_namespace.history_ttl: needs `history_size`");
    let found = refused(|channel| channel.force_recovery = true);
    assert_eq!(found.to_string(), "channel.without_namespace.force_recovery: needs `history_size`");
    let found = refused(|channel| {
        keep(channel);
        channel.history_meta_ttl = std::time::Duration::from_secs(59);
    });
    assert_eq!(found.problem, ConfigProblem::LongerThanMeta(seconds(59)));
    // OPT-26: where a namespace says nothing, what holds for all.
    let all = NamespacesConfig { history_meta_ttl: seconds(59), ..config(keep) };
    let found = Namespaces::new(&all).expect_err("cannot be used");
    assert_eq!(found.path, "channel.without_namespace.history_ttl");
    assert!(Namespaces::new(&config(keep)).is_ok());
}
