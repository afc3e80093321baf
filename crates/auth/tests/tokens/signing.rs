//! Tokens that we make ourselves.

use proptest::prelude::*;
use tourbillon_auth::{ConnectToken, Secret, SignError, Signer, SubscribeToken, Verifier, VerifierConfig};
use tourbillon_types::Payload;

use crate::{KEY, NOW, config, verifier};

fn signer() -> Signer {
    Signer::hs256(&Secret::from(KEY))
}

fn claims(of: &[(&str, &'static str)]) -> Vec<(String, Payload)> {
    of.iter().map(|(name, json)| ((*name).to_owned(), Payload::from(*json))).collect()
}

#[test]
fn a_token_of_ours_is_genuine() {
    let token = ConnectToken {
        user: "anna".to_owned(),
        issued_at: Some(NOW),
        expires_at: Some(NOW + 60),
        more: claims(&[("info", r#"{"a":1}"#), ("channels", r#"["c"]"#), ("sub", "\"ben\""), ("exp", "1")]),
    };
    let claims =
        verifier().verify_connect(&signer().sign_connect(&token).expect("signs"), NOW).expect("genuine");
    assert_eq!(claims.user.as_str(), "anna");
    assert_eq!((claims.issued_at, claims.expire_at), (Some(NOW), Some(NOW + 60)));
    assert_eq!(claims.info, Payload::from(r#"{"a":1}"#));
    assert_eq!(claims.subscriptions.len(), 1);

    let token = SubscribeToken { channel: "c".to_owned(), ..SubscribeToken::default() };
    let claims =
        verifier().verify_subscribe(&signer().sign_subscribe(&token).expect("signs"), NOW).expect("genuine");
    assert_eq!((claims.channel.as_str(), claims.expire_at), ("c", None));
    assert!(claims.user.is_anonymous());
}

#[test]
fn a_claim_that_is_not_json_is_refused() {
    for json in ["", "{", "{}{}", "'a'"] {
        let token = ConnectToken { more: claims(&[("info", json)]), ..ConnectToken::default() };
        assert_eq!(signer().sign_connect(&token), Err(SignError::NotJson), "{json:?}");
    }
}

#[test]
fn cli_08_the_user_stands_in_the_configured_claim() {
    let verifier =
        Verifier::new(VerifierConfig { user_id_claim: "uid".to_owned(), ..config() }).expect("is sound");
    let token = ConnectToken { user: "anna".to_owned(), ..ConnectToken::default() };
    let token = signer().with_user_id_claim("uid").sign_connect(&token).expect("signs");
    assert_eq!(verifier.verify_connect(&token, NOW).expect("genuine").user.as_str(), "anna");
}

proptest! {
    #[test]
    fn every_user_survives_the_way(user in ".{0,40}", lifetime in 1..i64::MAX - NOW) {
        let token = ConnectToken { user: user.clone(), expires_at: Some(NOW + lifetime), ..ConnectToken::default() };
        let token = signer().sign_connect(&token).expect("signs");
        let claims = verifier().verify_connect(&token, NOW).expect("genuine");
        prop_assert_eq!(claims.user.as_str(), user);
        prop_assert_eq!(claims.expire_at, Some(NOW + lifetime));
    }
}
