//! What holds for every text.

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use tourbillon_auth::{TokenError, Verifier, VerifierConfig};

use crate::{HS256, KEY, NOW, base64url, config, forge, token, verifier};

fn verify(verifier: &Verifier, token: &str) -> [Option<TokenError>; 2] {
    [verifier.verify_connect(token, NOW).err(), verifier.verify_subscribe(token, NOW).err()]
}

/// Claims of any names that matter with any values, some of them damaged.
fn any_claims() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "sub",
        "exp",
        "nbf",
        "iat",
        "jti",
        "aud",
        "iss",
        "info",
        "b64info",
        "data",
        "b64data",
        "override",
        "channels",
        "subs",
        "meta",
        "expire_at",
        "channel",
        "client",
        "user",
        "x",
    ]);
    let value = prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i128>().prop_map(|number| number.to_string()),
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?",
        "\"[^\"\\\\]{0,12}\"",
        Just("null".to_owned()),
        Just(r#"{"a":{"b64info":"AA==","override":{"presence":{"value":true}}}}"#.to_owned()),
        Just(r#"["a","b"]"#.to_owned()),
        "[\\[\\]{}\",:0-9a-z\\\\]{0,16}",
    ];
    prop::collection::vec((name, value), 0..6).prop_map(|claims| {
        let members: Vec<_> = claims.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn no_text_is_a_panic_and_none_is_genuine(text in ".{0,200}") {
        prop_assert!(verify(&verifier(), &text).iter().all(Option::is_some));
    }

    #[test]
    fn no_three_parts_are_genuine(header: Vec<u8>, payload: Vec<u8>, signature: Vec<u8>) {
        let token = format!("{}.{}.{}", base64url(header), base64url(&payload), base64url(&signature));
        prop_assert!(verify(&verifier(), &token).iter().all(Option::is_some));
        let token = format!("{}.{}.{}", base64url(HS256), base64url(payload), base64url(signature));
        prop_assert!(verify(&verifier(), &token).iter().all(Option::is_some));
    }

    #[test]
    fn any_change_of_a_token_is_noticed(at: prop::sample::Index, bit in 0..7_u32) {
        let genuine = token(r#"{"sub":"anna","channel":"c"}"#);
        let mut bytes = genuine.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let changed = String::from_utf8(bytes).expect("is ASCII still");
        prop_assert!(verifier().verify_subscribe(&genuine, NOW).is_ok());
        prop_assert!(verify(&verifier(), &changed).iter().all(Option::is_some));
    }

    #[test]
    fn no_signed_claims_are_a_panic(payload in any_claims(), user_id_claim in "(user|exp|subs)?") {
        let verifier = Verifier::new(VerifierConfig { user_id_claim, ..config() }).expect("is sound");
        verify(&verifier, &token(payload));
    }

    #[test]
    fn no_signed_bytes_are_a_panic(header: Vec<u8>, payload: Vec<u8>) {
        verify(&verifier(), &token(payload));
        verify(&verifier(), &forge(&String::from_utf8_lossy(&header), "{}", Algorithm::HS256, KEY));
    }

    #[test]
    fn no_expression_is_a_panic(source in r"[\[\]\\QEdwsbBpPx{}()^$*+?.|&~:a-z0-9,-]{0,24}", text in ".{0,16}") {
        if let Ok(pattern) = tourbillon_auth::Pattern::new(&source) {
            let _ = pattern.is_match(&text);
        }
    }
}
