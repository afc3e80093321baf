//! Public keys: tokens that other libraries made, texts that hold keys, and keys used for what they are not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use jsonwebtoken::Algorithm as Signed;
use serde_json::Value;
use tourbillon_auth::{
    Algorithm, ConfigProblem, Family, InvalidToken, Key, KeyError, Secret, Verifier, VerifierConfig,
};

use crate::{NOW, base64url, forge, invalid};

/// Keys and tokens made by PyJWT 2.15 with cryptography 50.
pub(crate) fn golden() -> Value {
    serde_json::from_str(include_str!("golden.json")).expect("is JSON")
}

fn text<'a>(golden: &'a Value, path: &str) -> &'a str {
    golden.pointer(path).and_then(Value::as_str).expect("is in the file")
}

fn pem(name: &str) -> String {
    text(&golden(), &format!("/pem/{name}")).to_owned()
}

/// What each public key of the file is the option of.
fn config(key: &str) -> VerifierConfig {
    let mut config = VerifierConfig::default();
    if key.starts_with("rsa") {
        config.rsa_public_key = pem(key);
    } else {
        config.ecdsa_public_key = pem(key);
    }
    config
}

fn tokens() -> Vec<(String, Option<String>, String)> {
    let golden = golden();
    let tokens = golden["tokens"].as_array().expect("a list");
    let field = |token: &Value, name: &str| token[name].as_str().map(str::to_owned);
    let read = |token| Some((field(token, "alg")?, field(token, "key"), field(token, "token")?));
    tokens.iter().map(|token| read(token).expect("is complete")).collect()
}

#[test]
fn key_01_03_04_tokens_of_another_library_are_genuine() {
    let mut seen = Vec::new();
    for (algorithm, key, token) in tokens() {
        let config = match key.as_deref() {
            None => VerifierConfig {
                hmac_secret_key: Secret::from(text(&golden(), "/secret")),
                ..VerifierConfig::default()
            },
            // There is no option for it: its keys come in sets.
            Some("ed25519") => continue,
            Some(key) => config(key),
        };
        let verifier = Verifier::new(config).expect("is sound");
        let claims = verifier.verify_connect(&token, NOW).expect(&algorithm);
        assert_eq!(claims.user.as_str(), "anna");
        assert_eq!(claims.expire_at, Some(1_800_000_000));
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let changed = format!("{message}.{}", signature.chars().rev().collect::<String>());
        assert!(verifier.verify_connect(&changed, NOW).is_err(), "{algorithm}");
        seen.push(algorithm);
    }
    let all: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    assert_eq!(seen, all[..all.len() - 1]);
}

#[test]
fn key_03_key_04_keys_may_come_in_certificates_and_as_pkcs_1() {
    let tokens = tokens();
    for (key, algorithm) in [
        ("rsa_pkcs1", "RS256"),
        ("rsa_certificate", "RS512"),
        ("rsa_certificate", "PS384"),
        ("p256_certificate", "ES256"),
    ] {
        let verifier = Verifier::new(config(key)).expect(key);
        let (.., token) = tokens.iter().find(|(name, ..)| name == algorithm).expect("is in the file");
        assert!(verifier.verify_connect(token, NOW).is_ok(), "{key} {algorithm}");
    }
    // As a variable of the environment may have it.
    let one_line =
        VerifierConfig { rsa_public_key: pem("rsa").replace('\n', "\\n"), ..VerifierConfig::default() };
    assert!(Verifier::new(one_line).is_ok());
}

#[test]
fn key_04_a_key_serves_the_algorithm_of_its_curve_only() {
    for (name, served) in [("p256", Algorithm::Es256), ("p384", Algorithm::Es384), ("p521", Algorithm::Es512)]
    {
        let key = Key::from_pem(&pem(name)).expect(name);
        assert_eq!(key.family(), Family::Ec);
        for algorithm in Algorithm::ALL {
            assert_eq!(key.serves(*algorithm), *algorithm == served, "{name} {algorithm}");
        }
    }
    let ed25519 = Key::from_pem(&pem("ed25519")).expect("is known");
    assert_eq!((ed25519.family(), ed25519.serves(Algorithm::EdDsa)), (Family::Okp, true));
    let rsa = Key::from_pem(&pem("rsa")).expect("is known");
    for algorithm in Algorithm::ALL {
        assert_eq!(rsa.serves(*algorithm), algorithm.family() == Family::Rsa, "{algorithm}");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // The classic: the public key, which everybody has, as the secret of an HMAC.
    for key in ["rsa", "p256"] {
        let pem = pem(key);
        let verifier = Verifier::new(config(key)).expect("is sound");
        for (name, algorithm) in
            [("HS256", Signed::HS256), ("HS384", Signed::HS384), ("HS512", Signed::HS512)]
        {
            for secret in [pem.as_str(), pem.trim_end(), ""] {
                let token = forge(&format!(r#"{{"alg":"{name}"}}"#), "{}", algorithm, secret);
                assert_eq!(verifier.verify_connect(&token, NOW), invalid(InvalidToken::NoKey));
            }
        }
        // With a secret besides, that one counts.
        let both = VerifierConfig { hmac_secret_key: Secret::from("secret"), ..config(key) };
        let verifier = Verifier::new(both).expect("is sound");
        let token = forge(r#"{"alg":"HS256"}"#, "{}", Signed::HS256, &pem);
        assert_eq!(verifier.verify_connect(&token, NOW), invalid(InvalidToken::Signature));
        let token = forge(r#"{"alg":"HS256"}"#, "{}", Signed::HS256, "secret");
        assert!(verifier.verify_connect(&token, NOW).is_ok());
    }
}

#[test]
fn an_algorithm_is_not_another_by_its_name() {
    // A genuine signature under a header that says otherwise: the header is signed too.
    for (algorithm, key, token) in tokens() {
        let Some(key) = key.filter(|key| key != "ed25519") else { continue };
        let verifier = Verifier::new(config(&key)).expect("is sound");
        let (_, rest) = token.split_once('.').expect("three parts");
        for other in Algorithm::ALL.iter().filter(|other| other.name() != algorithm) {
            let header = base64url(format!(r#"{{"alg":"{other}"}}"#));
            let result = verifier.verify_connect(&format!("{header}.{rest}"), NOW);
            let expected = [invalid(InvalidToken::NoKey), invalid(InvalidToken::Signature)];
            assert!(expected.contains(&result), "{algorithm} as {other}: {result:?}");
        }
    }
}

#[test]
fn signatures_on_another_curve_or_in_another_form_are_wrong() {
    let random = SystemRandom::new();
    let message = format!("{}.{}", base64url(r#"{"alg":"ES256"}"#), base64url("{}"));
    let verifier = Verifier::new(config("p256")).expect("is sound");
    let check = |signature: &[u8]| {
        let token = format!("{message}.{}", base64url(signature));
        assert_eq!(verifier.verify_connect(&token, NOW), invalid(InvalidToken::Signature));
    };
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("generates");
    check(p384.sign(&random, message.as_bytes()).expect("signs").as_ref());
    // CVE-2022-21449: zeros are a signature of nothing.
    check(&[0; 64]);
    check(&[]);
    check(&[0; 63]);
    // The order of the curve, for which some computed zero.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    check(&[order, order].concat());
    // DER, which is how ECDSA signatures look elsewhere: one token must not have two forms.
    let own = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("generates");
    let der = own.sign(&random, message.as_bytes()).expect("signs");
    let spki = [&hex("3059301306072a8648ce3d020106082a8648ce3d030107034200")[..], own.public_key().as_ref()]
        .concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(spki)
    });
    let key = Key::from_pem(&pem).expect("is a key");
    assert!(!key.verify(Algorithm::Es256, message.as_bytes(), der.as_ref()));
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn texts_that_are_no_such_key_are_refused_by_option() {
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let rsa_private = private.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let rsa = pem("rsa");
    let cut: String =
        rsa.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| format!("{line}\n")).collect();
    let cases: [(String, KeyError); 13] = [
        ("a key".to_owned(), KeyError::NotPem),
        (private.to_owned(), KeyError::Private),
        (rsa_private, KeyError::Private),
        ("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----".to_owned(), KeyError::Label),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_owned(), KeyError::Malformed),
        ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----".to_owned(), KeyError::Malformed),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".to_owned(), KeyError::Malformed),
        ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----".to_owned(), KeyError::NotPem),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END CERTIFICATE-----".to_owned(), KeyError::NotPem),
        (cut, KeyError::Malformed),
        (pem("rsa_1024"), KeyError::RsaSize),
        (pem("secp256k1"), KeyError::Malformed),
        (pem("p256"), KeyError::Kind),
    ];
    for (text, expected) in cases {
        let config = VerifierConfig { rsa_public_key: text.clone(), ..VerifierConfig::default() };
        let error = Verifier::new(config).expect_err(&text);
        assert_eq!(
            (&*error.option, &error.problem),
            ("rsa_public_key", &ConfigProblem::Key(expected)),
            "{text}"
        );
    }
    let config = VerifierConfig { ecdsa_public_key: rsa, ..VerifierConfig::default() };
    let error = Verifier::new(config).expect_err("is another kind");
    assert_eq!(error.to_string(), "ecdsa_public_key: a key of another kind");
}
