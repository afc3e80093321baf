//! What attackers of token verifiers are known to try.

use jsonwebtoken::Algorithm;
use tourbillon_auth::{InvalidToken, TokenError};

use crate::{HS256, KEY, NOW, base64url, connect, forge, invalid, token, verifier};

#[track_caller]
fn check(token: &str, expected: InvalidToken) {
    assert_eq!(verifier().verify_connect(token, NOW), invalid(expected), "{token:.200}");
    let subscribed = verifier().verify_subscribe(token, NOW);
    assert_eq!(subscribed, invalid(expected), "{token:.200}");
}

/// A token whose header is this, signed by HS256 with the right key all the same.
fn with_header(header: &str) -> String {
    forge(header, "{}", Algorithm::HS256, KEY)
}

#[test]
fn no_algorithm_is_no_signature() {
    for name in ["none", "None", "NONE", "nOnE", "", " none"] {
        let header = base64url(format!(r#"{{"alg":"{name}"}}"#));
        check(&format!("{header}.{}.", base64url("{}")), InvalidToken::UnsupportedAlgorithm);
        check(&with_header(&format!(r#"{{"alg":"{name}"}}"#)), InvalidToken::UnsupportedAlgorithm);
    }
}

#[test]
fn an_empty_or_cut_signature_is_none() {
    let genuine = token("{}");
    let (message, signature) = genuine.rsplit_once('.').expect("three parts");
    check(&format!("{message}."), InvalidToken::Signature);
    for length in [4, 8, 40] {
        check(&format!("{message}.{}", &signature[..length]), InvalidToken::Signature);
    }
    check(&format!("{message}.{signature}AAAA"), InvalidToken::Signature);
    check(&format!("{message}.{}", base64url([0; 32])), InvalidToken::Signature);
}

#[test]
fn the_header_does_not_decide_how_a_key_is_used() {
    // Another hash of the same family than the one that signed.
    check(&with_header(r#"{"alg":"HS384"}"#), InvalidToken::Signature);
    check(&forge(HS256, "{}", Algorithm::HS512, KEY), InvalidToken::Signature);
    // Another family, for which there is no key.
    for name in ["RS256", "ES256", "PS256", "EdDSA", "ES512"] {
        check(&with_header(&format!(r#"{{"alg":"{name}"}}"#)), InvalidToken::NoKey);
    }
    for name in ["HS1", "A128KW", "dir", "ES256K"] {
        check(&with_header(&format!(r#"{{"alg":"{name}"}}"#)), InvalidToken::UnsupportedAlgorithm);
    }
    for name in ["hs256", "HS256 ", " HS256", "HS256\\u0000", "HS256,none"] {
        check(&with_header(&format!(r#"{{"alg":"{name}"}}"#)), InvalidToken::UnsupportedAlgorithm);
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_used() {
    let own = "the attacker's key";
    for header in [
        format!(r#"{{"alg":"HS256","jwk":{{"kty":"oct","k":"{}"}}}}"#, base64url(own)),
        r#"{"alg":"HS256","jku":"https://attacker.example/keys"}"#.to_owned(),
        r#"{"alg":"HS256","x5u":"https://attacker.example/cert"}"#.to_owned(),
        r#"{"alg":"HS256","x5c":["AAAA"]}"#.to_owned(),
    ] {
        check(&forge(&header, "{}", Algorithm::HS256, own), InvalidToken::Signature);
        // With the right key they are no more than noise.
        assert!(verifier().verify_connect(&with_header(&header), NOW).is_ok(), "{header}");
    }
}

#[test]
fn a_key_identifier_leads_nowhere() {
    for kid in
        ["", "../../../../dev/null", "/dev/null", "' OR 1=1 --", "\\u0000", "https://attacker.example/"]
    {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        // The empty file, the empty answer.
        check(&forge(&header, "{}", Algorithm::HS256, ""), InvalidToken::Signature);
        assert!(verifier().verify_connect(&with_header(&header), NOW).is_ok(), "{header}");
    }
    check(&with_header(r#"{"alg":"HS256","kid":42}"#), InvalidToken::Header);
    check(&with_header(r#"{"alg":"HS256","kid":["a"]}"#), InvalidToken::Header);
}

#[test]
fn demanded_extensions_are_refused() {
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", r#""b64""#, "{}", "null"] {
        let header = format!(r#"{{"alg":"HS256","b64":false,"crit":{crit}}}"#);
        check(&with_header(&header), InvalidToken::CriticalHeader);
    }
}

#[test]
fn headers_that_two_readers_read_differently_are_refused() {
    for header in [
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","a\u006cg":"none"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"["HS256"]"#,
        r#"["HS256",null,null]"#,
        r#""HS256""#,
        "{}",
        r#"{"ALG":"HS256"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256"}{}"#,
        "",
        "null",
        "{",
    ] {
        check(&with_header(header), InvalidToken::Header);
    }
    let deep = format!(r#"{{"x":{},"alg":"HS256"}}"#, "[".repeat(30_000));
    check(&with_header(&deep), InvalidToken::Header);
}

#[test]
fn claims_that_two_readers_read_differently_are_refused() {
    for (payload, claim) in [
        (r#"{"sub":"a","sub":"b"}"#, "sub"),
        (r#"{"sub":"a","s\u0075b":"b"}"#, "sub"),
        (r#"{"sub":"a","sub":"a"}"#, "sub"),
        (r#"{"exp":1,"exp":99999999999}"#, "exp"),
        (r#"{"exp":99999999999,"exp":null}"#, "exp"),
        (r#"{"channel":null,"channel":"c"}"#, "channel"),
        (r#"{"aud":"a","aud":"b"}"#, "aud"),
    ] {
        check(&token(payload), InvalidToken::Repeated(claim));
    }
    // Other cases are other claims.
    assert!(connect(r#"{"SUB":"admin"}"#).expect("is genuine").user.is_anonymous());
}

#[test]
fn payloads_that_are_no_object_are_refused() {
    for payload in ["", "null", "[]", "1", r#""sub""#, "{", "{}{}", "{}x", r#"{"sub"}"#, r#"{sub:"a"}"#] {
        check(&token(payload), InvalidToken::NotAnObject);
    }
    check(&token(b"{\"sub\":\"\xff\"}"), InvalidToken::NotAnObject);
    check(&token(b"\xef\xbb\xbf{}"), InvalidToken::NotAnObject);
    assert_eq!(connect(r#"{"sub":"\ud800"}"#), invalid(InvalidToken::Claim("sub")));
    check(&token("[".repeat(40_000)), InvalidToken::NotAnObject);
}

#[test]
fn other_shapes_are_no_tokens() {
    let genuine = token("{}");
    let [header, payload, signature] = genuine.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    for shape in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b".to_owned(),
        format!("{header}.{payload}"),
        format!(".{genuine}"),
        format!("{genuine}."),
        format!("{genuine}.{signature}"),
        format!("{genuine}.a.b"),
        format!(" {genuine}"),
        format!("{genuine} "),
        format!("{genuine}\n"),
        format!("{genuine}="),
        format!("{genuine}\0"),
        format!("Bearer {genuine}"),
        format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#),
        genuine.replace('.', ".\u{200b}"),
        format!("{header}=.{payload}.{signature}"),
        format!("ü{genuine}"),
    ] {
        let found = verifier().verify_connect(&shape, NOW);
        let expected = [invalid(InvalidToken::Malformed), invalid(InvalidToken::Header)];
        assert!(expected.contains(&found), "{shape:?}: {found:?}");
    }
}

#[test]
fn base64_has_one_form() {
    let genuine = token(r#"{"sub":"anna?"}"#);
    let (message, signature) = genuine.rsplit_once('.').expect("three parts");
    // The last character of 32 bytes carries two bits that must be zero; others would be further signatures.
    let last = signature.chars().last().expect("is not empty");
    let alphabet: String = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let at = alphabet.find(last).expect("is of the alphabet");
    for offset in 1..4 {
        let other = alphabet.chars().nth(at + offset).expect("has neighbours");
        let changed = format!("{message}.{}{other}", &signature[..signature.len() - 1]);
        check(&changed, InvalidToken::Malformed);
    }
    let standard = genuine.replace('-', "+").replace('_', "/");
    assert!(standard == genuine || verifier().verify_connect(&standard, NOW).is_err());
}

#[test]
fn oversize_is_refused_before_anything_else() {
    let limit = 65_536;
    check(&"a".repeat(limit + 1), InvalidToken::TooLong);
    check(&"a".repeat(limit), InvalidToken::Malformed);
    check(&token(format!(r#"{{"x":"{}"}}"#, "a".repeat(limit))), InvalidToken::TooLong);
    check(&".".repeat(limit), InvalidToken::Malformed);
}

#[test]
fn a_genuine_token_of_another_kind_is_refused() {
    let found = verifier().verify_subscribe(&token(r#"{"sub":"anna"}"#), NOW);
    assert_eq!(found, invalid(InvalidToken::NoChannel));
    let found = verifier().verify_connect(&token(r#"{"channel":"c"}"#), NOW);
    assert_eq!(found, invalid(InvalidToken::ChannelInConnectionToken));
}

#[test]
fn an_expired_token_with_a_wrong_signature_is_invalid() {
    let forged = forge(HS256, r#"{"exp":1}"#, Algorithm::HS256, "another key");
    check(&forged, InvalidToken::Signature);
    assert_eq!(connect(r#"{"exp":1}"#), Err(TokenError::Expired));
}
