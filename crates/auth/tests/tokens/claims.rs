//! What claims mean.

use proptest::prelude::*;
use tourbillon_auth::{
    ClaimMapping, InvalidToken, Matching, SubscriptionClaims, TokenError, Verifier, VerifierConfig,
};
use tourbillon_types::{Channel, Payload, Permissions, Tags};

use crate::{NOW, accepted, config, connect, invalid, subscribe, token};

fn names(payload: &str) -> Vec<String> {
    accepted(payload).subscriptions.into_iter().map(|(channel, _)| channel.to_string()).collect()
}

#[test]
fn auth_01_sub_names_the_user_and_may_be_absent() {
    assert_eq!(accepted(r#"{"sub":"anna"}"#).user.as_str(), "anna");
    assert_eq!(accepted(r#"{"sub":"\u00e4\n"}"#).user.as_str(), "ä\n");
    for anonymous in ["{}", r#"{"sub":""}"#, r#"{"sub":null}"#] {
        assert!(accepted(anonymous).user.is_anonymous(), "{anonymous}");
    }
    for other in [r#"{"sub":42}"#, r#"{"sub":{}}"#, r#"{"sub":["a"]}"#, r#"{"sub":true}"#] {
        assert_eq!(connect(other), invalid(InvalidToken::Claim("sub")), "{other}");
    }
}

#[test]
fn auth_02_another_claim_may_name_the_user() {
    let verifier =
        Verifier::new(VerifierConfig { user_id_claim: "user_id".to_owned(), ..config() }).expect("is sound");
    let user = |payload: &str| {
        let claims = verifier.verify_connect(&token(payload), NOW)?;
        Ok::<_, TokenError>(claims.user.to_string())
    };
    assert_eq!(user(r#"{"sub":"other","user_id":"anna"}"#), Ok("anna".to_owned()));
    assert_eq!(user(r#"{"sub":"other"}"#), Ok(String::new()));
    assert_eq!(user(r#"{"user_id":null}"#), Ok(String::new()));
    assert_eq!(user(r#"{"user_id":42}"#), Ok("42".to_owned()));
    assert_eq!(user(r#"{"user_id":-1}"#), Ok("-1".to_owned()));
    let wrong = InvalidToken::Claim("user_id_claim");
    for other in [r#"{"user_id":true}"#, r#"{"user_id":["a"]}"#, r#"{"user_id":{"a":1}}"#] {
        assert_eq!(user(other), invalid(wrong), "{other}");
    }
    let twice = r#"{"user_id":"a","user_id":"b"}"#;
    assert_eq!(user(twice), invalid(InvalidToken::Repeated("user_id_claim")));
    let subscribed = verifier.verify_subscribe(&token(r#"{"user_id":"anna","channel":"c"}"#), NOW);
    assert_eq!(subscribed.expect("is genuine").user.as_str(), "anna");
}

#[test]
fn auth_02_the_claim_may_be_one_that_means_something_else_too() {
    let config = VerifierConfig { user_id_claim: "iss".to_owned(), issuer: "anna".to_owned(), ..config() };
    let verifier = Verifier::new(config).expect("is sound");
    let claims = verifier.verify_connect(&token(r#"{"iss":"anna"}"#), NOW).expect("is genuine");
    assert_eq!(claims.user.as_str(), "anna");
}

#[test]
fn auth_03_a_token_is_good_from_nbf_until_before_exp() {
    let at = |payload: String| connect(payload).map(|claims| claims.expire_at);
    assert_eq!(at("{}".to_owned()), Ok(None));
    assert_eq!(at(format!(r#"{{"exp":{}}}"#, NOW + 1)), Ok(Some(NOW + 1)));
    assert_eq!(at(format!(r#"{{"exp":{NOW}}}"#)), Err(TokenError::Expired));
    assert_eq!(at(format!(r#"{{"exp":{}}}"#, NOW - 1)), Err(TokenError::Expired));
    assert_eq!(at(format!(r#"{{"nbf":{NOW}}}"#)), Ok(None));
    assert_eq!(at(format!(r#"{{"nbf":{}}}"#, NOW - 1)), Ok(None));
}

#[test]
fn hid_52_a_token_whose_time_has_not_come_counts_as_expired() {
    assert_eq!(connect(format!(r#"{{"nbf":{}}}"#, NOW + 1)), Err(TokenError::Expired));
    assert_eq!(subscribe(format!(r#"{{"channel":"c","nbf":{}}}"#, NOW + 1)), Err(TokenError::Expired));
}

#[test]
fn auth_03_times_of_any_size_and_form_are_safe() {
    let expire_at = |exp: &str| connect(format!(r#"{{"exp":{exp}}}"#)).map(|claims| claims.expire_at);
    assert_eq!(expire_at("1e18"), Ok(Some(1_000_000_000_000_000_000)));
    assert_eq!(expire_at("1e400"), Ok(Some(i64::MAX)));
    assert_eq!(expire_at("99999999999999999999999"), Ok(Some(i64::MAX)));
    assert_eq!(expire_at("1700000001.9"), Ok(Some(1_700_000_001)));
    // A fraction of the present second is over already: the clock shows whole seconds.
    assert_eq!(expire_at("1700000000.9"), Err(TokenError::Expired));
    assert_eq!(expire_at("0"), Err(TokenError::Expired));
    assert_eq!(expire_at("-1"), Err(TokenError::Expired));
    assert_eq!(expire_at("-1e400"), Err(TokenError::Expired));
    // As written by applications that quote their numbers.
    assert_eq!(expire_at("\"1700000001\""), Ok(Some(1_700_000_001)));
    assert_eq!(expire_at("null"), Ok(None));
    for other in ["\"soon\"", "\"\"", "\"inf\"", "\"+1\"", "true", "{}", "[1]"] {
        assert_eq!(expire_at(other), invalid(InvalidToken::Claim("exp")), "{other}");
    }
    assert_eq!(connect(r#"{"nbf":1e400}"#), Err(TokenError::Expired));
    assert_eq!(connect(r#"{"nbf":1700000000.5}"#), Err(TokenError::Expired));
}

#[test]
fn auth_03_iat_and_jti_are_kept() {
    let claims = accepted(r#"{"iat":1699999999.5,"jti":"t1"}"#);
    assert_eq!((claims.issued_at, claims.token_id.as_deref()), (Some(1_699_999_999), Some("t1")));
    assert_eq!(connect(r#"{"jti":1}"#), invalid(InvalidToken::Claim("jti")));
}

#[test]
fn auth_06_info_is_json_as_written_or_base64() {
    let info = |payload: &str| accepted(payload).info;
    let json = info("{\"info\": {\"a\" : [1,\n2]} }");
    assert_eq!(json, Payload::from("{\"a\" : [1,\n2]}"));
    assert!(json.is_known_json());
    let binary = info(r#"{"info":{"a":1},"b64info":"AP8="}"#);
    assert_eq!(binary, Payload::from(vec![0, 255]));
    assert!(!binary.is_known_json());
    assert_eq!(info(r#"{"info":1,"b64info":""}"#), Payload::from("1"));
    assert_eq!(info(r#"{"info":null}"#), Payload::empty());
    for other in [r#"{"b64info":"AP8"}"#, r#"{"b64info":"*"}"#, r#"{"b64info":"_-8="}"#, r#"{"b64info":1}"#] {
        assert_eq!(connect(other), invalid(InvalidToken::Claim("b64info")), "{other}");
    }
}

#[test]
fn auth_07_channels_are_subscribed_each_once_unless_there_are_subs() {
    assert_eq!(names(r#"{"channels":["b","a","b"]}"#), ["b", "a"]);
    assert_eq!(names(r#"{"channels":["a"],"subs":{}}"#), ["a"]);
    assert_eq!(names(r#"{"channels":["a"],"subs":null}"#), ["a"]);
    assert_eq!(names(r#"{"channels":["a"],"subs":{"b":{}}}"#), ["b"]);
    assert_eq!(names(r#"{"channels":null}"#), [""; 0]);
    for other in [r#"{"channels":"a"}"#, r#"{"channels":[1]}"#, r#"{"channels":[""]}"#, r#"{"channels":{}}"#]
    {
        assert_eq!(connect(other), invalid(InvalidToken::Claim("channels")), "{other}");
    }
}

#[test]
fn auth_08_subs_have_options_of_their_own() {
    let claims = accepted(
        r#"{"subs":{
            "b":{"info":{"i":1},"data":{"d":1},"override":{
                "presence":{"value":true},"join_leave":{"value":false},"force_push_join_leave":{},
                "force_positioning":null,"unknown":{"value":true}}},
            "a":{"b64info":"AQ==","b64data":"Ag==","info":1,"data":2},
            "c":null,
            "d":{"unknown":1}
        }}"#,
    );
    let [(b, b_claims), (a, a_claims), (c, c_claims), (d, d_claims)] = &claims.subscriptions[..] else {
        panic!("four subscriptions");
    };
    assert_eq!([b, a, c, d].map(Channel::as_str), ["b", "a", "c", "d"]);
    assert_eq!(b_claims.info, Payload::from(r#"{"i":1}"#));
    assert!(b_claims.info.is_known_json());
    assert_eq!(b_claims.data, Payload::from(r#"{"d":1}"#));
    let overrides = b_claims.overrides;
    assert_eq!(overrides.presence, Some(true));
    assert_eq!(overrides.join_leave, Some(false));
    assert_eq!(overrides.force_push_join_leave, Some(false));
    assert_eq!((overrides.force_positioning, overrides.force_recovery), (None, None));
    assert_eq!(a_claims.info, Payload::from(vec![1]));
    assert_eq!(a_claims.data, Payload::from(vec![2]));
    assert_eq!(c_claims, &Default::default());
    assert_eq!(d_claims, &Default::default());
}

#[test]
fn auth_08_subs_of_another_form_are_refused() {
    for other in [
        r#"{"subs":[]}"#,
        r#"{"subs":["a"]}"#,
        r#"{"subs":{"a":1}}"#,
        r#"{"subs":{"a":[]}}"#,
        r#"{"subs":{"":{}}}"#,
        r#"{"subs":{"a":{"override":{"presence":true}}}}"#,
    ] {
        assert_eq!(connect(other), invalid(InvalidToken::Claim("subs")), "{other}");
    }
    let twice = r#"{"subs":{"a":{},"\u0061":{}}}"#;
    assert_eq!(connect(twice), invalid(InvalidToken::Repeated("subs")));
    assert_eq!(connect(r#"{"subs":{"a":{"b64data":"x"}}}"#), invalid(InvalidToken::Claim("b64data")));
}

#[test]
fn auth_09_meta_is_an_object_kept_as_written() {
    let meta = accepted(r#"{"meta":{"a": 1}}"#).meta;
    assert_eq!(meta, Payload::from(r#"{"a": 1}"#));
    assert!(meta.is_known_json());
    assert_eq!(accepted(r#"{"meta":null}"#).meta, Payload::empty());
    for other in [r#"{"meta":[]}"#, r#"{"meta":"a"}"#, r#"{"meta":1}"#] {
        assert_eq!(connect(other), invalid(InvalidToken::Claim("meta")), "{other}");
    }
}

#[test]
fn auth_10_expire_at_replaces_exp_but_does_not_prolong_the_token() {
    let expire_at = |expire_at: &str, exp: i64| {
        connect(format!(r#"{{"expire_at":{expire_at},"exp":{exp}}}"#)).map(|claims| claims.expire_at)
    };
    assert_eq!(expire_at("1700000500", NOW + 10), Ok(Some(1_700_000_500)));
    assert_eq!(expire_at("0", NOW + 10), Ok(None));
    assert_eq!(expire_at("-5", NOW + 10), Ok(None));
    assert_eq!(expire_at("null", NOW + 10), Ok(Some(NOW + 10)));
    assert_eq!(expire_at("1700000500", NOW - 10), Err(TokenError::Expired));
    assert_eq!(expire_at("0", NOW - 10), Err(TokenError::Expired));
    // Long past, and not the zero that stands for never.
    assert_eq!(expire_at("0.5", NOW + 10), Ok(Some(0)));
    assert_eq!(expire_at("1e300", NOW + 10), Ok(Some(i64::MAX)));
    assert_eq!(expire_at("{}", NOW + 10), invalid(InvalidToken::Claim("expire_at")));
}

#[test]
fn auth_11_a_subscription_token_does_not_connect() {
    assert_eq!(connect(r#"{"channel":"c"}"#), invalid(InvalidToken::ChannelInConnectionToken));
    assert_eq!(connect(r#"{"channel":1}"#), invalid(InvalidToken::Claim("channel")));
    assert!(connect(r#"{"channel":""}"#).is_ok());
    assert!(connect(r#"{"channel":null}"#).is_ok());
}

#[test]
fn subt_10_a_connection_token_does_not_subscribe() {
    for other in ["{}", r#"{"channel":""}"#, r#"{"channel":null}"#, r#"{"sub":"anna"}"#] {
        assert_eq!(subscribe(other), invalid(InvalidToken::NoChannel), "{other}");
    }
}

#[test]
fn subt_11_12_13_a_subscription_token_says_who_what_and_how() {
    let claims = subscribe(format!(
        r#"{{"sub":"anna","channel":"c","client":"x","exp":{exp},"expire_at":5,"info":1,"b64info":"AQ==",
            "data":{{"d":1}},"override":{{"force_recovery":{{"value":true}}}},"iat":7,"jti":"t"}}"#,
        exp = NOW + 10
    ))
    .expect("is genuine");
    assert_eq!(claims.user.as_str(), "anna");
    assert_eq!(claims.channel.as_str(), "c");
    assert_eq!(claims.client.as_deref(), Some("x"));
    assert_eq!(claims.expire_at, Some(5));
    assert_eq!(claims.subscription.info, Payload::from(vec![1]));
    assert_eq!(claims.subscription.data, Payload::from(r#"{"d":1}"#));
    assert_eq!(claims.subscription.overrides.force_recovery, Some(true));
    assert_eq!((claims.issued_at, claims.token_id.as_deref()), (Some(7), Some("t")));

    let plain = subscribe(r#"{"channel":"c","client":""}"#).expect("is genuine");
    assert!(plain.user.is_anonymous());
    assert_eq!((plain.client, plain.expire_at), (None, None));
    assert_eq!(subscribe(r#"{"channel":"c","override":[1]}"#), invalid(InvalidToken::Claim("override")));
}

/// A filter that cannot be kept is no token, never a subscription without it.
#[test]
fn tf_04_a_token_says_which_publications_it_lets_through() {
    let filter =
        r#"{"op":"and","nodes":[{"key":"team","cmp":"eq","val":"a"},{"key":"level","cmp":"gte","val":"5"}]}"#;
    let shows = |claims: &SubscriptionClaims, team: &str, level: &str| {
        let tags = [("team", team), ("level", level)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        claims.tags_filter.as_ref().expect("a filter").matches(&Tags::from(tags))
    };
    let own = subscribe(format!(r#"{{"channel":"c","server_tags_filter":{filter}}}"#)).expect("is genuine");
    let given = accepted(format!(r#"{{"subs":{{"c":{{"server_tags_filter":{filter}}},"d":{{}}}}}}"#));
    let [(_, first), (_, second)] = given.subscriptions.as_slice() else { panic!("two subscriptions") };
    for claims in [&own.subscription, first] {
        assert!(shows(claims, "a", "10") && !shows(claims, "a", "4") && !shows(claims, "b", "10"));
    }
    assert_eq!(second.tags_filter, None);
    for none in [r#"{"channel":"c"}"#, r#"{"channel":"c","server_tags_filter":null}"#] {
        assert_eq!(subscribe(none).expect("is genuine").subscription.tags_filter, None);
    }
    let wrong = InvalidToken::Claim("server_tags_filter");
    for filter in [r#"{}"#, "[]", "1", r#"{"key":"a","cmp":"like","val":"b"}"#, r#"{"op":"not","nodes":[]}"#]
    {
        let claims = format!(r#"{{"channel":"c","server_tags_filter":{filter}}}"#);
        assert_eq!(subscribe(&claims), invalid(wrong), "{filter}");
        let claims = format!(r#"{{"subs":{{"c":{{"server_tags_filter":{filter}}}}}}}"#);
        assert_eq!(connect(&claims), invalid(wrong), "{filter}");
    }
    let twice = r#"{"channel":"c","server_tags_filter":null,"server_tags_filter":null}"#;
    assert_eq!(subscribe(twice), invalid(InvalidToken::Repeated("server_tags_filter")));
}

#[test]
fn unknown_claims_are_passed_over_whatever_they_are() {
    let deep = format!(r#"{{"x":{}{},"x":1,"sub":"anna"}}"#, "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(accepted(deep).user.as_str(), "anna");
}

proptest! {
    /// A point in time is the same however it is written, and never reaches beyond what was meant.
    #[test]
    fn whole_seconds_are_exact(exp in NOW + 1..i64::MAX) {
        let claims = accepted(format!(r#"{{"exp":{exp}}}"#));
        prop_assert_eq!(claims.expire_at, Some(exp));
    }

    #[test]
    fn fractions_never_prolong(exp in 1.0e9..3.0e9_f64) {
        let found = connect(format!(r#"{{"exp":{exp}}}"#)).map(|claims| claims.expire_at);
        match found {
            #[expect(clippy::cast_precision_loss, reason = "such seconds are exact in a float")]
            Ok(Some(at)) => prop_assert!(at as f64 <= exp && at > NOW),
            other => prop_assert!(other == Err(TokenError::Expired) && exp < 1.0e9_f64 + 700_000_001.0),
        }
    }
}

#[test]
fn pro_40_caps_say_what_may_be_done_where() {
    let claims = accepted(
        r#"{"caps":[{"channels":["news","user_42"],"allow":["sub"]},{"channels":["a:*"],"match":"wildcard",
            "allow":["pub","prs","hst"]},{"channels":["^b$"],"match":"regex","allow":["sub"]},{"match":""},{}]}"#,
    );
    let seen: Vec<_> = claims
        .capabilities
        .iter()
        .map(|one| (one.channels.join(" "), one.matching, format!("{:?}", one.allow)))
        .collect();
    let of = |channels: &str, matching, allow: &str| (channels.to_owned(), matching, allow.to_owned());
    assert_eq!(
        seen,
        [
            of("news user_42", Matching::Exact, r#"["sub"]"#),
            of("a:*", Matching::Wildcard, r#"["pub", "prs", "hst"]"#),
            of("^b$", Matching::Regex, r#"["sub"]"#),
            of("", Matching::Exact, "[]"),
            of("", Matching::Exact, "[]"),
        ]
    );
    for none in ["{}", r#"{"caps":null}"#, r#"{"caps":[]}"#] {
        assert_eq!(accepted(none).capabilities, [], "{none}");
    }
    for wrong in [
        r#"{"caps":{}}"#,
        r#"{"caps":[[["a"],"",["sub"]]]}"#,
        r#"{"caps":[{"channels":"a"}]}"#,
        r#"{"caps":[{"channels":["a"],"allow":["everything"]}]}"#,
        r#"{"caps":[{"channels":["a"],"match":"glob"}]}"#,
        r#"{"caps":[7]}"#,
    ] {
        assert_eq!(connect(wrong), invalid(InvalidToken::Claim("caps")), "{wrong}");
    }
    let twice = r#"{"caps":[],"caps":[{"channels":["*"],"match":"wildcard","allow":["sub"]}]}"#;
    assert_eq!(connect(twice), invalid(InvalidToken::Repeated("caps")));
}

#[test]
fn pro_41_a_subscription_token_may_allow_more() {
    let allow = |claim: &str| subscribe(format!(r#"{{"channel":"a"{claim}}}"#)).map(|claims| claims.allow);
    assert_eq!(allow(""), Ok(Permissions::NONE));
    assert_eq!(allow(r#","allow":["pub","hst"]"#), Ok(Permissions::PUBLISH | Permissions::HISTORY));
    for wrong in [r#","allow":["all"]"#, r#","allow":"pub""#, r#","allow":[1]"#] {
        assert_eq!(allow(wrong), invalid(InvalidToken::Claim("allow")), "{wrong}");
    }
}

#[test]
fn pro_44_and_45_claims_become_labels_and_meta() {
    let mapping = |key: &str, value: &str| ClaimMapping { key: key.to_owned(), value: value.to_owned() };
    let config = VerifierConfig {
        meta_from_claim: vec![mapping("role", "user.role"), mapping("none", "nothing")],
        labels_from_claim: vec![mapping("tier", "plan.tier")],
        ..config()
    };
    let verifier = Verifier::new(config).expect("is sound");
    let claims = |payload: &str| verifier.verify_connect(&token(payload), NOW).expect("is genuine");
    let both = claims(
        r#"{"user":{"role":"admin"},"plan":{"tier":"pro"},"meta":{"role":"own","x":1},"labels":{"tier":"own","region":"eu"}}"#,
    );
    assert_eq!(both.meta, Payload::from(r#"{"x":1,"role":"admin"}"#));
    let labels: Vec<_> = both.labels.iter().map(|(key, label)| format!("{key}={label}")).collect();
    assert_eq!(labels, ["region=eu", "tier=pro"]);
    let neither = claims(r#"{"meta":{"x":1}}"#);
    assert_eq!((neither.meta, neither.labels.len()), (Payload::from(r#"{"x":1}"#), 0));
    for wrong in [r#"{"labels":{"a":1}}"#, r#"{"labels":["a"]}"#, r#"{"labels":"a"}"#] {
        assert_eq!(connect(wrong), invalid(InvalidToken::Claim("labels")), "{wrong}");
    }
}
