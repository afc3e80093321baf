//! What holds for all rules and requests.

use proptest::prelude::*;
use tourbillon_access::{
    ChannelConfig, Decision, Grammar, Namespaces, NamespacesConfig, Outcome, PublishQuery, SubscribeQuery,
    TokenCheck, Verdict,
};
use tourbillon_auth::InvalidToken;
use tourbillon_types::Payload;

use crate::harness::{End, config, decided};

/// Sets the permission of that number, of which there are six.
fn permit(config: &mut NamespacesConfig, permission: usize) {
    let channels = [&mut config.without_namespace]
        .into_iter()
        .chain(config.namespaces.iter_mut().map(|one| &mut one.channel));
    for channel in channels {
        match permission {
            0 => channel.allow_subscribe_for_client = true,
            1 => channel.allow_subscribe_for_anonymous = true,
            2 => channel.allow_publish_for_client = true,
            3 => channel.allow_publish_for_subscriber = true,
            4 => channel.allow_publish_for_anonymous = true,
            _ => config.insecure = true,
        }
    }
}

/// Rules with some permissions.
fn rules() -> impl Strategy<Value = NamespacesConfig> {
    let formats = prop::sample::select(vec!["", "json", "json_object", "binary"]);
    let regexes = prop::sample::select(vec!["", "^[a-z]", "#"]);
    (any::<[bool; 6]>(), any::<bool>(), formats, regexes).prop_map(|(permissions, limited, format, regex)| {
        let mut config = config(|channel: &mut ChannelConfig| {
            channel.allow_user_limited_channels = limited;
            channel.publication_data_format = format.to_owned();
            channel.channel_regex = regex.to_owned();
        });
        for (permission, on) in permissions.into_iter().enumerate() {
            if on {
                permit(&mut config, permission);
            }
        }
        config
    })
}

/// What a client may ask.
#[derive(Clone, Debug)]
struct Request {
    channel: String,
    user: &'static str,
    kind: i32,
    token: TokenCheck,
    subscribed: bool,
    data: Payload,
}

fn requests() -> impl Strategy<Value = Request> {
    let channel = "[$]?(ns:|no:|:)?[a-cü]{0,2}(#(anna|ben)?(,anna)?)?";
    let user = prop::sample::select(vec!["", "anna", "carl"]);
    let token = prop::sample::select(vec![
        TokenCheck::Absent,
        TokenCheck::Absent,
        TokenCheck::Genuine,
        TokenCheck::Expired,
        TokenCheck::Invalid(InvalidToken::Signature),
        TokenCheck::OtherUser,
    ]);
    let data = prop::sample::select(vec!["", "{}", "[1]", "{"]);
    (channel, user, prop::sample::select(vec![0, 0, 0, 1]), token, any::<bool>(), data).prop_map(
        |(channel, user, kind, token, subscribed, data)| Request {
            channel,
            user,
            kind,
            token,
            subscribed,
            data: Payload::from(data),
        },
    )
}

fn decide(config: &NamespacesConfig, request: &Request) -> [Decision; 2] {
    let namespaces = Namespaces::new(config).expect("the rules are sound");
    let Request { channel, user, kind, token, subscribed, data } = request;
    [
        namespaces.check_subscribe(&SubscribeQuery {
            attributes: Default::default(),
            channel,
            user,
            kind: *kind,
            token: *token,
        }),
        namespaces.check_publish(&PublishQuery {
            attributes: Default::default(),
            channel,
            user,
            subscribed: *subscribed,
            data,
        }),
    ]
}

proptest! {
    /// `allow_user_limited_channels` is none: it reserves channels for those whom they list.
    #[test]
    fn a_further_permission_takes_nothing_away(config in rules(), request in requests(), permission in 0..6_usize) {
        let mut more = config.clone();
        permit(&mut more, permission);
        for (before, after) in decide(&config, &request).iter().zip(decide(&more, &request)) {
            if before.is_allowed() {
                prop_assert!(after.is_allowed(), "{before:#?} {after:#?}");
            } else if !after.is_allowed() {
                prop_assert_eq!(decided(before), decided(&after));
            }
        }
    }

    /// HID-61: insecure mode changes the last refusal and nothing else.
    #[test]
    fn insecure_mode_changes_the_last_refusal_only(config in rules(), request in requests()) {
        let secure = NamespacesConfig { insecure: false, ..config.clone() };
        let open = NamespacesConfig { insecure: true, ..config };
        for (secure, open) in decide(&secure, &request).iter().zip(decide(&open, &request)) {
            let last_refusal = secure.deciding().is_some_and(|step| step.rule.name() == "otherwise");
            if last_refusal {
                prop_assert_eq!(decided(&open), End::Allowed);
            } else {
                prop_assert_eq!(secure, &open);
            }
        }
    }

    /// The steps tell the same as the verdict: the last one, and only that one, decides.
    #[test]
    fn the_last_step_decides(config in rules(), request in requests()) {
        for decision in decide(&config, &request) {
            let (last, before) = decision.steps().split_last().expect("some rule decides");
            match decision.verdict() {
                Verdict::Allowed(rule) => {
                    prop_assert_eq!((last.outcome, last.rule), (Outcome::Allows, *rule));
                }
                _ => prop_assert_eq!(last.outcome, Outcome::Refuses),
            }
            for step in before {
                prop_assert!(matches!(step.outcome, Outcome::Silent | Outcome::Satisfied));
            }
            for (at, step) in decision.steps().iter().enumerate() {
                prop_assert!(!decision.steps()[..at].iter().any(|other| other.rule == step.rule));
            }
        }
    }

    #[test]
    fn every_text_is_a_name(channel in ".{0,24}", marks in "[$:#,é]{0,4}") {
        let mark = |at| marks.chars().nth(at).map(String::from).unwrap_or_default();
        let grammar = Grammar::new(&NamespacesConfig {
            private_prefix: mark(0),
            namespace_boundary: mark(1),
            user_boundary: mark(2),
            user_separator: mark(3),
            ..NamespacesConfig::default()
        });
        let name = grammar.parse(&channel);
        prop_assert!(channel.ends_with(name.rest));
        prop_assert!(channel.contains(name.namespace));
        if let Some(users) = name.users {
            prop_assert!(channel.ends_with(users));
            prop_assert!(!grammar.lists(users, ""));
        }
    }
}
