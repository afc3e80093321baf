//! Keys and their exchange.

use std::sync::Arc;

use jsonwebtoken::Algorithm as Signed;
use tourbillon_auth::{
    Algorithm, InvalidToken, Key, KeyQuery, KeySource, Secret, TokenError, Verifier, VerifierConfig,
};

use crate::{HS256, KEY, NOW, config, forge, invalid, token, verifier};

#[test]
fn key_01_each_hmac_algorithm_is_known() {
    for (name, algorithm) in [("HS256", Signed::HS256), ("HS384", Signed::HS384), ("HS512", Signed::HS512)] {
        let token = forge(&format!(r#"{{"alg":"{name}"}}"#), r#"{"sub":"anna"}"#, algorithm, KEY);
        assert_eq!(verifier().verify_connect(&token, NOW).expect(name).user.as_str(), "anna");
        let other = forge(&format!(r#"{{"alg":"{name}"}}"#), "{}", algorithm, "another key");
        assert_eq!(verifier().verify_connect(&other, NOW), invalid(InvalidToken::Signature));
    }
}

#[test]
fn without_a_key_no_token_is_good() {
    let verifier = Verifier::new(VerifierConfig::default()).expect("is sound");
    assert_eq!(verifier.verify_connect(&token("{}"), NOW), invalid(InvalidToken::NoKey));
    // Signed with the empty key, which is what no key looks like.
    let empty = forge(HS256, "{}", Signed::HS256, "");
    assert_eq!(verifier.verify_connect(&empty, NOW), invalid(InvalidToken::NoKey));
    assert!(Key::hmac(&Secret::default()).is_none());
}

#[test]
fn key_02_the_previous_key_is_good_until_its_time_is_over() {
    let rotated = |valid_until| {
        let config = VerifierConfig {
            hmac_secret_key: Secret::from("the new key"),
            hmac_previous_secret_key: Secret::from(KEY),
            hmac_previous_secret_key_valid_until: valid_until,
            ..config()
        };
        Verifier::new(config).expect("is sound")
    };
    let old = token("{}");
    let new = forge(HS256, "{}", Signed::HS256, "the new key");
    let foreign = forge(HS256, "{}", Signed::HS256, "another key");
    for (valid_until, good) in [(0, true), (-1, true), (NOW + 1, true), (NOW, true), (NOW - 1, false)] {
        let verifier = rotated(valid_until);
        assert_eq!(verifier.verify_connect(&old, NOW).is_ok(), good, "{valid_until}");
        assert!(verifier.verify_connect(&new, NOW).is_ok());
        assert_eq!(verifier.verify_connect(&foreign, NOW), invalid(InvalidToken::Signature));
    }
}

#[test]
fn key_02_the_previous_key_works_alone() {
    let config = VerifierConfig {
        hmac_previous_secret_key: Secret::from(KEY),
        hmac_previous_secret_key_valid_until: NOW,
        ..VerifierConfig::default()
    };
    let verifier = Verifier::new(config).expect("is sound");
    assert!(verifier.verify_connect(&token("{}"), NOW).is_ok());
    assert_eq!(verifier.verify_connect(&token("{}"), NOW + 1), invalid(InvalidToken::NoKey));
}

#[test]
fn mode_04_an_unchecked_signature_leaves_every_other_check() {
    let config = VerifierConfig { insecure_skip_signature_verify: true, ..VerifierConfig::default() };
    let verifier = Verifier::new(config).expect("is sound");
    let foreign = forge(HS256, r#"{"sub":"anna"}"#, Signed::HS256, "another key");
    assert_eq!(verifier.verify_connect(&foreign, NOW).expect("unchecked").user.as_str(), "anna");
    let expired = forge(HS256, r#"{"exp":1}"#, Signed::HS256, "another key");
    assert!(verifier.verify_connect(&expired, NOW).is_err());
    let none = format!("{}.{}.", crate::base64url(r#"{"alg":"none"}"#), crate::base64url("{}"));
    assert!(verifier.verify_connect(&none, NOW).is_ok());
    assert_eq!(verifier.verify_connect("a.b", NOW), invalid(InvalidToken::Malformed));
}

/// A source with one key under one identifier, as a key set has it.
#[derive(Debug)]
struct Named(&'static str, Key);

impl KeySource for Named {
    fn candidates(&self, query: &KeyQuery<'_>) -> Result<Vec<Key>, TokenError> {
        assert_eq!((query.algorithm, query.unix_seconds), (Algorithm::Hs256, NOW));
        Ok(if query.key_id == Some(self.0) { vec![self.1.clone()] } else { Vec::new() })
    }
}

#[test]
fn keys_may_come_from_elsewhere_by_identifier() {
    let key = Key::hmac(&Secret::from("a set's key")).expect("is not empty");
    // The configuration has another key, which is not to be used.
    let verifier = Verifier::with_keys(config(), Arc::new(Named("one", key))).expect("is sound");
    let signed = |header: &str| forge(header, "{}", Signed::HS256, "a set's key");
    assert!(verifier.verify_connect(&signed(r#"{"alg":"HS256","kid":"one"}"#), NOW).is_ok());
    for header in [HS256, r#"{"alg":"HS256","kid":"two"}"#, r#"{"alg":"HS256","kid":null}"#] {
        assert_eq!(verifier.verify_connect(&signed(header), NOW), invalid(InvalidToken::NoKey), "{header}");
    }
    assert_eq!(verifier.verify_connect(&token("{}"), NOW), invalid(InvalidToken::NoKey));
}

#[test]
fn no_key_is_shown() {
    let config = VerifierConfig {
        hmac_secret_key: Secret::from("planted-one"),
        hmac_previous_secret_key: Secret::from("planted-two"),
        ..VerifierConfig::default()
    };
    let shown = format!("{config:?}");
    let verifier = Verifier::new(config).expect("is sound");
    let token = token(r#"{"sub":"planted-three"}"#);
    let error = verifier.verify_connect(&token, NOW).expect_err("the key is another");
    let signer = tourbillon_auth::Signer::hs256(&Secret::from("planted-four"));
    for shown in [shown, format!("{verifier:?} {verifier:#?} {error:?} {error} {signer:?}")] {
        assert!(!shown.contains("planted"), "{shown}");
        assert!(!token.split('.').any(|part| shown.contains(part)), "{shown}");
    }
}
