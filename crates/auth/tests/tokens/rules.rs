//! Audience, issuer, and options that cannot be used.

use tourbillon_auth::{ConfigError, ConfigProblem, InvalidToken, TokenError, Verifier, VerifierConfig};

use crate::{NOW, config, invalid, token};

#[track_caller]
fn check(config: VerifierConfig, error: InvalidToken, matching: &[&str], others: &[&str]) {
    let verifier = Verifier::new(config).expect("is sound");
    let verify = |payload: &str| verifier.verify_connect(&token(payload), NOW).map(|_| ());
    for payload in matching {
        assert_eq!(verify(payload), Ok(()), "{payload}");
    }
    for payload in others {
        assert_eq!(verify(payload), invalid(error), "{payload}");
    }
}

#[test]
fn auth_04_audience_is_any_element_exactly() {
    check(
        VerifierConfig { audience: "chat".to_owned(), ..config() },
        InvalidToken::Audience,
        &[r#"{"aud":"chat"}"#, r#"{"aud":["x","chat"]}"#],
        &[
            "{}",
            r#"{"aud":null}"#,
            r#"{"aud":[]}"#,
            r#"{"aud":"chat2"}"#,
            r#"{"aud":"Chat"}"#,
            r#"{"aud":["x"]}"#,
        ],
    );
}

#[test]
fn auth_04_audience_regex_matches_any_element_anywhere() {
    check(
        VerifierConfig { audience_regex: "^(chat|news)-[0-9]".to_owned(), ..config() },
        InvalidToken::Audience,
        &[r#"{"aud":"chat-1x"}"#, r#"{"aud":["x","news-2"]}"#],
        &["{}", r#"{"aud":"xchat-1"}"#, r#"{"aud":["chat-","x"]}"#],
    );
}

#[test]
fn auth_05_issuer_is_exact() {
    check(
        VerifierConfig { issuer: "me".to_owned(), ..config() },
        InvalidToken::Issuer,
        &[r#"{"iss":"me"}"#],
        &["{}", r#"{"iss":null}"#, r#"{"iss":"me2"}"#, r#"{"iss":""}"#],
    );
}

#[test]
fn auth_05_issuer_regex_matches_anywhere() {
    check(
        VerifierConfig { issuer_regex: "me$".to_owned(), ..config() },
        InvalidToken::Issuer,
        &[r#"{"iss":"me"}"#, r#"{"iss":"not me"}"#],
        &["{}", r#"{"iss":"me2"}"#],
    );
}

#[test]
fn wrong_types_are_refused_whether_or_not_they_are_asked_for() {
    let verify = |payload: &str| crate::connect(payload).map(|_| ());
    for aud in ["1", "{}", "[1]", "true", "[[\"a\"]]"] {
        let payload = format!(r#"{{"aud":{aud}}}"#);
        assert_eq!(verify(&payload), invalid(InvalidToken::Claim("aud")), "{payload}");
    }
    assert_eq!(verify(r#"{"iss":["a"]}"#), invalid(InvalidToken::Claim("iss")));
}

#[test]
fn a_wrong_audience_weighs_more_than_the_time() {
    let verifier = Verifier::new(VerifierConfig { audience: "a".to_owned(), ..config() }).expect("is sound");
    let verify = |payload: &str| verifier.verify_connect(&token(payload), NOW).map(|_| ());
    assert_eq!(verify(r#"{"aud":"b","exp":1}"#), invalid(InvalidToken::Audience));
    assert_eq!(verify(r#"{"aud":"a","exp":1}"#), Err(TokenError::Expired));
}

#[track_caller]
fn refused(config: VerifierConfig) -> ConfigError {
    Verifier::new(config).expect_err("cannot be used")
}

#[test]
fn options_that_exclude_each_other_are_refused_by_name() {
    let both = || "x".to_owned();
    let audience = refused(VerifierConfig { audience: both(), audience_regex: both(), ..config() });
    assert_eq!(audience.to_string(), "audience: cannot be used together with `audience_regex`");
    let issuer = refused(VerifierConfig { issuer: both(), issuer_regex: both(), ..config() });
    assert_eq!(issuer.to_string(), "issuer: cannot be used together with `issuer_regex`");
}

#[test]
fn expressions_and_claim_names_are_checked() {
    let broken = refused(VerifierConfig { issuer_regex: "(".to_owned(), ..config() });
    assert_eq!(broken.to_string(), "issuer_regex: invalid regular expression: unclosed group");
    for claim in ["user-id", "user.id", "user id", "ü", "user1", "*", "a|b"] {
        let refused = refused(VerifierConfig { user_id_claim: claim.to_owned(), ..config() });
        let expected = ConfigError { option: "user_id_claim".into(), problem: ConfigProblem::ClaimName };
        assert_eq!(refused, expected, "{claim}");
    }
}
