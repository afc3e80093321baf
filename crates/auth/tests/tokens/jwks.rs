//! Key sets: whose keys they are, how often they are fetched, and what happens when they cannot be.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tourbillon_auth::{
    ClaimMapping, ConfigError, ConnectClaims, FetchError, InvalidToken, JwksConfig, JwksFetch, JwksProvider,
    TokenError, Verifier, VerifierConfig,
};

use crate::{NOW, base64url, invalid};

/// Somebody who signs.
pub(crate) struct Issuer {
    pair: Ed25519KeyPair,
    kid: &'static str,
}

impl Issuer {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { pair: Ed25519KeyPair::generate().expect("generates"), kid }
    }

    pub(crate) fn token(&self, claims: &str) -> String {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, self.kid);
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", base64url(signature.as_ref()))
    }

    pub(crate) fn jwk(&self, more: &str) -> String {
        let x = base64url(self.pair.public_key().as_ref());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{}","x":"{x}"{more}}}"#, self.kid)
    }
}

pub(crate) fn set(keys: &[String]) -> Bytes {
    format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into()
}

type Answer = Result<Bytes, FetchError>;

/// A server of the test: what it answers, in order, the last again and again; and who asked.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    asked: Mutex<Vec<String>>,
    /// Answers that the test gives when it likes.
    held: Mutex<VecDeque<oneshot::Receiver<Answer>>>,
    identity: Mutex<Option<u64>>,
}

impl Script {
    fn will(&self, address: &str, answers: &[Answer]) {
        self.answers.lock().insert(address.to_owned(), answers.iter().cloned().collect());
    }

    fn hold(&self) -> oneshot::Sender<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.held.lock().push_back(receiver);
        sender
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

impl JwksFetch for Script {
    fn fetch(&self, address: &str, _: usize) -> BoxFuture<'static, Answer> {
        self.asked.lock().push(address.to_owned());
        if let Some(held) = self.held.lock().pop_front() {
            return async move { held.await.unwrap_or(Err(FetchError::Broken)) }.boxed();
        }
        let mut answers = self.answers.lock();
        let answers = answers.get_mut(address);
        let answer = answers.map_or(Err(FetchError::Connect), |answers| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap_or(Err(FetchError::Connect)),
        });
        async move { answer }.boxed()
    }

    fn identity(&self) -> Option<u64> {
        *self.identity.lock()
    }
}

const URL: &str = "https://issuer.example/keys";

fn provider(endpoint: &str) -> JwksProvider {
    JwksProvider {
        option: "jwks_public_endpoint".into(),
        endpoint: endpoint.to_owned(),
        ..JwksProvider::default()
    }
}

fn at(providers: Vec<JwksProvider>) -> JwksConfig {
    JwksConfig { providers, ..JwksConfig::default() }
}

fn rig(config: JwksConfig, verifier: VerifierConfig) -> (Arc<Script>, Verifier) {
    let script = Arc::new(Script::default());
    let verifier = Verifier::with_jwks(verifier, config, script.clone()).expect("is sound");
    (script, verifier)
}

fn simple() -> (Arc<Script>, Verifier) {
    rig(at(vec![provider(URL)]), VerifierConfig::default())
}

/// Loads what is needed and checks, as servers do.
fn check(verifier: &Verifier, token: &str, now: i64) -> Result<ConnectClaims, TokenError> {
    if let Some(loading) = verifier.load_keys(token, now) {
        loading.now_or_never().expect("the script answers at once");
    }
    verifier.verify_connect(token, now)
}

const fn unavailable<T>(error: FetchError) -> Result<T, TokenError> {
    Err(TokenError::KeysUnavailable(error))
}

#[test]
fn key_05_keys_of_every_kind_come_from_a_set() {
    let golden = crate::public::golden();
    let (script, verifier) = simple();
    script.will(URL, &[Ok(golden["jwks"].to_string().into())]);
    let mut genuine = 0;
    for token in golden["tokens"].as_array().expect("a list") {
        let text = token["token"].as_str().expect("a text");
        let result = check(&verifier, text, NOW);
        if token["key"].is_null() {
            // Signed with a secret: sets have no secrets, and this one names no key.
            assert_eq!(result, invalid(InvalidToken::NoKeyId));
        } else {
            assert_eq!(result.expect("is genuine").user.as_str(), "anna");
            genuine += 1;
        }
    }
    assert_eq!((genuine, script.asked()), (10, 1));
}

#[test]
fn key_05_keys_for_other_uses_are_passed_over() {
    let issuer = Issuer::new("a");
    for (more, good) in [
        ("", true),
        (r#","use":"sig""#, true),
        (r#","alg":"EdDSA""#, true),
        (r#","key_ops":["verify"]"#, true),
        (r#","use":"enc""#, false),
        (r#","key_ops":["sign"]"#, false),
        (r#","alg":"RS256""#, false),
        (r#","alg":"HS256""#, false),
        (r#","alg":"none""#, false),
    ] {
        let (script, verifier) = simple();
        script.will(URL, &[Ok(set(&[issuer.jwk(more), Issuer::new("b").jwk("")]))]);
        let result = check(&verifier, &issuer.token("{}"), NOW);
        assert_eq!(result.is_ok(), good, "{more}: {result:?}");
    }
}

#[test]
fn one_odd_key_does_not_take_the_others_away() {
    let issuer = Issuer::new("a");
    let odd = [
        "1",
        "null",
        "{}",
        r#"{"kty":"RSA","kid":"a"}"#,
        r#"{"kty":"oct","kid":"a","k":"AAAA"}"#,
        r#"{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA","y":"AAAA"}"#,
        r#"{"kty":"EC","crv":"secp256k1","kid":"a","x":"AAAA","y":"AAAA"}"#,
        r#"{"kty":"OKP","crv":"Ed448","kid":"a","x":"AAAA"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}"#,
        r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","kid":"a","n":"","e":""}"#,
    ];
    let mut keys: Vec<String> = odd.iter().map(|key| (*key).to_owned()).collect();
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&keys))]);
    assert_eq!(check(&verifier, &issuer.token("{}"), NOW), unavailable(FetchError::NoKeys));
    keys.push(issuer.jwk(""));
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&keys))]);
    assert!(check(&verifier, &issuer.token("{}"), NOW).is_ok());
}

#[test]
fn a_secret_in_a_set_is_no_key() {
    let (script, verifier) = simple();
    let secret = base64url("secret");
    let jwk = format!(r#"{{"kty":"oct","kid":"a","alg":"HS256","k":"{secret}"}}"#);
    script.will(URL, &[Ok(set(&[jwk, Issuer::new("b").jwk("")]))]);
    let token = crate::forge(r#"{"alg":"HS256","kid":"a"}"#, "{}", jsonwebtoken::Algorithm::HS256, "secret");
    assert_eq!(check(&verifier, &token, NOW), invalid(InvalidToken::NoKey));
}

#[test]
fn key_05_a_token_must_name_its_key() {
    let (script, verifier) = simple();
    for header in [r#"{"alg":"EdDSA"}"#, r#"{"alg":"EdDSA","kid":""}"#, r#"{"alg":"EdDSA","kid":null}"#] {
        let token = format!("{}.{}.AAAA", base64url(header), base64url("{}"));
        assert_eq!(check(&verifier, &token, NOW), invalid(InvalidToken::NoKeyId), "{header}");
    }
    assert_eq!(script.asked(), 0);
}

#[test]
fn key_06_all_who_need_a_set_wait_for_one_fetch() {
    let issuer = Issuer::new("a");
    let (script, verifier) = simple();
    let answer = script.hold();
    let token = issuer.token("{}");
    let mut waiting: Vec<_> = (0..100).map(|_| verifier.load_keys(&token, NOW).expect("must wait")).collect();
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    assert_eq!(verifier.verify_connect(&token, NOW), unavailable(FetchError::NotFetched));
    // Whoever gives up does not take the fetch away from the others.
    drop(waiting.drain(..50));
    answer.send(Ok(set(&[issuer.jwk("")]))).expect("is waited for");
    for one in waiting {
        one.now_or_never().expect("is there");
        assert!(verifier.verify_connect(&token, NOW).is_ok());
    }
    assert!(verifier.load_keys(&token, NOW).is_none());
    assert_eq!(script.asked(), 1);
}

#[test]
fn a_fetch_that_everybody_gave_up_is_gone_on_with() {
    let issuer = Issuer::new("a");
    let (script, verifier) = simple();
    let answer = script.hold();
    let token = issuer.token("{}");
    let mut first = verifier.load_keys(&token, NOW).expect("must wait");
    assert!((&mut first).now_or_never().is_none());
    drop(first);
    answer.send(Ok(set(&[issuer.jwk("")]))).expect("is waited for");
    assert!(check(&verifier, &token, NOW).is_ok());
    assert_eq!(script.asked(), 1);
}

#[test]
fn key_06_a_set_is_good_for_an_hour_and_longer_while_it_cannot_be_had() {
    let issuer = Issuer::new("a");
    let token = issuer.token("{}");
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    assert!(check(&verifier, &token, NOW).is_ok());
    assert!(check(&verifier, &token, NOW + 3_599).is_ok());
    assert_eq!(script.asked(), 1);
    assert!(check(&verifier, &token, NOW + 3_600).is_ok());
    assert_eq!(script.asked(), 2);
    // Now its server is gone: asked twice every ten seconds, while the set stays good.
    script.will(URL, &[Err(FetchError::Timeout)]);
    let old = NOW + 2 * 3_600;
    for (later, asked) in [(0, 4), (1, 4), (9, 4), (10, 6), (3_600, 8)] {
        assert!(check(&verifier, &token, old + later).is_ok(), "{later}");
        assert_eq!(script.asked(), asked, "{later}");
    }
    let end = NOW + 3_600 + 25 * 3_600;
    assert!(check(&verifier, &token, end - 1).is_ok());
    assert_eq!(check(&verifier, &token, end + 10), unavailable(FetchError::Timeout));
    // And back again.
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    assert!(check(&verifier, &token, end + 20).is_ok());
}

#[test]
fn keys_that_rotate_are_found_and_lost() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&[old.jwk("")]))]);
    assert!(check(&verifier, &old.token("{}"), NOW).is_ok());
    script.will(URL, &[Ok(set(&[old.jwk(""), new.jwk("")]))]);
    // A key that is not known makes for a new look, but not more often than every ten seconds.
    assert_eq!(check(&verifier, &new.token("{}"), NOW + 9), unavailable(FetchError::TooSoon));
    assert!(check(&verifier, &new.token("{}"), NOW + 10).is_ok());
    assert_eq!(script.asked(), 2);
    // What is no longer in the set is no key.
    script.will(URL, &[Ok(set(&[new.jwk("")]))]);
    assert!(check(&verifier, &old.token("{}"), NOW + 3_000).is_ok());
    assert!(check(&verifier, &new.token("{}"), NOW + 3_610).is_ok());
    assert_eq!(check(&verifier, &old.token("{}"), NOW + 3_611), unavailable(FetchError::TooSoon));
    assert_eq!(check(&verifier, &old.token("{}"), NOW + 3_620), invalid(InvalidToken::NoKey));
}

/// Whoever makes up keys holds back a look for a new one, but the tokens that it signed are not refused for good.
#[test]
fn key_06_a_new_key_is_found_though_somebody_makes_up_others() {
    let (old, new, made_up) = (Issuer::new("old"), Issuer::new("new"), Issuer::new("made up"));
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&[old.jwk("")]))]);
    assert!(check(&verifier, &old.token("{}"), NOW).is_ok());
    // Looked for, and not there: that is the last word.
    assert_eq!(check(&verifier, &made_up.token("{}"), NOW + 10), invalid(InvalidToken::NoKey));
    script.will(URL, &[Ok(set(&[old.jwk(""), new.jwk("")]))]);
    let token = new.token(&format!(r#"{{"iat":{}}}"#, NOW + 11));
    for later in 11..20 {
        assert_eq!(check(&verifier, &token, NOW + later), unavailable(FetchError::TooSoon));
    }
    assert_eq!(check(&verifier, &made_up.token("{}"), NOW + 20), invalid(InvalidToken::NoKey));
    assert!(check(&verifier, &token, NOW + 21).is_ok());
    assert_eq!(script.asked(), 3);
    // What is surely older than the set is refused at once, however lately that was fetched.
    for (issued_at, expected) in [
        (NOW - 40, invalid(InvalidToken::NoKey)),
        (NOW - 39, unavailable(FetchError::TooSoon)),
        (i64::MAX, unavailable(FetchError::TooSoon)),
    ] {
        let token = made_up.token(&format!(r#"{{"iat":{issued_at}}}"#));
        assert_eq!(check(&verifier, &token, NOW + 29), expected, "{issued_at}");
    }
    // While its server is away nobody knows.
    script.will(URL, &[Err(FetchError::Timeout)]);
    assert_eq!(check(&verifier, &made_up.token("{}"), NOW + 31), unavailable(FetchError::Timeout));
}

#[test]
fn key_09_a_fetch_that_was_under_way_begins_again_with_another_configuration() {
    let (old_key, new_key) = (Issuer::new("old"), Issuer::new("new"));
    let (script, old) = simple();
    script.will(URL, &[Ok(set(&[old_key.jwk("")]))]);
    assert!(check(&old, &old_key.token("{}"), NOW).is_ok());
    let _answer = script.hold();
    let token = new_key.token("{}");
    let _waits = old.load_keys(&token, NOW + 10).expect("must wait");
    let (other, new) = rig(at(vec![provider(URL)]), VerifierConfig::default());
    other.will(URL, &[Ok(set(&[new_key.jwk("")]))]);
    new.take_over(&old);
    assert!(check(&new, &token, NOW + 11).is_ok());
}

#[test]
fn made_up_keys_do_not_make_for_a_flood() {
    let issuer = Issuer::new("a");
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    for _ in 0..10_000 {
        let header = base64url(r#"{"alg":"EdDSA","kid":"made up"}"#);
        let token = format!("{header}.{}.AAAA", base64url("{}"));
        assert_eq!(check(&verifier, &token, NOW), invalid(InvalidToken::NoKey));
    }
    assert_eq!(script.asked(), 1);
    assert!(check(&verifier, &issuer.token("{}"), NOW).is_ok());
}

#[test]
fn a_server_that_fails_is_asked_twice_and_then_left_alone_for_a_second() {
    let issuer = Issuer::new("a");
    let token = issuer.token("{}");
    for (error, attempts) in [
        (FetchError::Connect, 2),
        (FetchError::Timeout, 2),
        (FetchError::Broken, 2),
        (FetchError::Status(503), 2),
        (FetchError::Status(404), 1),
        (FetchError::Redirect, 1),
        (FetchError::TooLarge, 1),
        (FetchError::PrivateAddress, 1),
        (FetchError::Tls, 1),
    ] {
        let (script, verifier) = simple();
        script.will(URL, &[Err(error)]);
        for _ in 0..3 {
            assert_eq!(check(&verifier, &token, NOW), unavailable(error));
            assert_eq!(script.asked(), attempts, "{error}");
        }
        script.will(URL, &[Err(error), Ok(set(&[issuer.jwk("")]))]);
        let recovered = check(&verifier, &token, NOW + 1).is_ok();
        assert_eq!(recovered, attempts == 2, "{error}");
    }
}

#[test]
fn answers_that_are_no_sets_are_failures() {
    let token = Issuer::new("a").token("{}");
    let many = vec![Issuer::new("a").jwk(""); 257];
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "a".repeat(512 * 1_024));
    for (body, error) in [
        (Bytes::from("<html>"), FetchError::NotASet),
        (Bytes::from("[]"), FetchError::NotASet),
        (Bytes::from(r#"{"keys":{}}"#), FetchError::NotASet),
        (Bytes::from(""), FetchError::NotASet),
        (Bytes::from("[".repeat(100_000)), FetchError::NotASet),
        (Bytes::from(r#"{"keys":[]}"#), FetchError::NoKeys),
        (set(&many), FetchError::TooLarge),
        (Bytes::from(large), FetchError::TooLarge),
    ] {
        let (script, verifier) = simple();
        script.will(URL, &[Ok(body)]);
        assert_eq!(check(&verifier, &token, NOW), unavailable(error));
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_old_keys() {
    let issuer = Issuer::new("a");
    let (script, verifier) = simple();
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    assert!(check(&verifier, &issuer.token("{}"), NOW).is_ok());
    assert!(check(&verifier, &issuer.token("{}"), NOW - 10_000).is_ok());
    assert_eq!(script.asked(), 2);
}

#[test]
fn key_09_another_configuration_goes_on_with_the_sets() {
    let issuer = Issuer::new("a");
    let token = issuer.token("{}");
    let (script, old) = simple();
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    assert!(check(&old, &token, NOW).is_ok());
    let (other, new) = rig(at(vec![provider(URL)]), VerifierConfig::default());
    new.take_over(&old);
    assert!(check(&new, &token, NOW).is_ok());
    assert_eq!(other.asked(), 0);
    let (_, elsewhere) = rig(at(vec![provider("https://other.example/keys")]), VerifierConfig::default());
    elsewhere.take_over(&old);
    assert_eq!(check(&elsewhere, &token, NOW), unavailable(FetchError::Connect));
    assert_eq!(new.key_sets().expect("has sets").ages(NOW + 5), [(URL.to_owned(), Some(5))]);
}

#[test]
fn pro_46_a_set_that_is_fetched_in_a_way_of_its_own_is_its_providers_alone() {
    let (one, two) = (Issuer::new("1"), Issuer::new("1"));
    let own = Arc::new(Script::default());
    own.will(URL, &[Ok(set(&[one.jwk("")]))]);
    let of = |issuer: &str, fetch: Option<Arc<dyn JwksFetch>>| JwksProvider {
        issuer: issuer.to_owned(),
        fetch,
        ..provider(URL)
    };
    let providers = || at(vec![of("one", Some(own.clone())), of("two", None)]);
    let (script, verifier) = rig(providers(), VerifierConfig::default());
    script.will(URL, &[Ok(set(&[two.jwk("")]))]);
    let claims = |issuer: &str| format!(r#"{{"iss":"{issuer}"}}"#);
    assert!(check(&verifier, &one.token(&claims("one")), NOW).is_ok());
    assert!(check(&verifier, &two.token(&claims("two")), NOW).is_ok());
    assert_eq!(check(&verifier, &one.token(&claims("two")), NOW), invalid(InvalidToken::Signature));
    assert_eq!(check(&verifier, &two.token(&claims("one")), NOW), invalid(InvalidToken::Signature));
    assert_eq!((own.asked(), script.asked()), (1, 1));
    let ages = verifier.key_sets().expect("has sets").ages(NOW + 5);
    assert_eq!(ages, [(URL.to_owned(), Some(5)), (URL.to_owned(), Some(5))]);

    // What was fetched in the same way is good for another configuration.
    *own.identity.lock() = Some(7);
    let (_, same) = rig(providers(), VerifierConfig::default());
    same.take_over(&verifier);
    assert!(check(&same, &one.token(&claims("one")), NOW).is_ok());
    assert_eq!(own.asked(), 1);

    // It may be another way, and then it is fetched anew.
    *own.identity.lock() = None;
    let (other, new) = rig(providers(), VerifierConfig::default());
    new.take_over(&verifier);
    own.will(URL, &[Err(FetchError::Tls)]);
    assert_eq!(check(&new, &one.token(&claims("one")), NOW), unavailable(FetchError::Tls));
    assert!(check(&new, &two.token(&claims("two")), NOW).is_ok());
    assert_eq!((own.asked(), other.asked()), (2, 0));
}

fn with_regex(issuer: &str, audience: &str) -> VerifierConfig {
    VerifierConfig {
        issuer_regex: issuer.to_owned(),
        audience_regex: audience.to_owned(),
        ..VerifierConfig::default()
    }
}

#[test]
fn key_07_two_issuers_with_one_key_name_do_not_sign_for_each_other() {
    let (one, two) = (Issuer::new("1"), Issuer::new("1"));
    let config = at(vec![provider("https://{{tenant}}.example/keys")]);
    let (script, verifier) = rig(config, with_regex(r"^https://(?P<tenant>one|two)\.example$", ""));
    script.will("https://one.example/keys", &[Ok(set(&[one.jwk("")]))]);
    script.will("https://two.example/keys", &[Ok(set(&[two.jwk("")]))]);
    let claims = |tenant: &str| format!(r#"{{"iss":"https://{tenant}.example"}}"#);
    assert!(check(&verifier, &one.token(&claims("one")), NOW).is_ok());
    assert!(check(&verifier, &two.token(&claims("two")), NOW).is_ok());
    assert_eq!(check(&verifier, &one.token(&claims("two")), NOW), invalid(InvalidToken::Signature));
    assert_eq!(check(&verifier, &two.token(&claims("one")), NOW), invalid(InvalidToken::Signature));
    assert_eq!(check(&verifier, &one.token(&claims("three")), NOW), invalid(InvalidToken::Issuer));
    assert_eq!(check(&verifier, &one.token("{}"), NOW), invalid(InvalidToken::Issuer));
    assert_eq!(script.asked(), 2);
}

#[test]
fn key_07_groups_of_the_audience_fill_placeholders_too() {
    let issuer = Issuer::new("1");
    let config = at(vec![provider("https://issuer.example/{{realm}}/keys")]);
    let (script, verifier) = rig(config, with_regex("", "^app-(?P<realm>a|b)$"));
    script.will("https://issuer.example/b/keys", &[Ok(set(&[issuer.jwk("")]))]);
    assert!(check(&verifier, &issuer.token(r#"{"aud":["x","app-b"]}"#), NOW).is_ok());
    assert_eq!(check(&verifier, &issuer.token(r#"{"aud":"x"}"#), NOW), invalid(InvalidToken::Audience));
    assert_eq!(check(&verifier, &issuer.token(r#"{"aud":1}"#), NOW), invalid(InvalidToken::Claim("aud")));
}

fn refused(endpoint: &str, issuer_regex: &str) -> ConfigError {
    let script = Arc::new(Script::default());
    Verifier::with_jwks(with_regex(issuer_regex, ""), at(vec![provider(endpoint)]), script)
        .expect_err("cannot be used")
}

#[test]
fn key_07_only_fixed_texts_fill_placeholders() {
    let endpoint = "https://{{t}}.example/keys";
    for open in [
        "^(?P<t>.+)$",
        "(?P<t>a*)",
        "(?P<t>a+|b)",
        "(?P<t>a?)",
        "(?P<t>a{2})",
        "(?P<t>(a|b)+)",
        "(?P<t>a|(?:b.))",
        "(?P<t>^a)",
        "(?P<t>(?i)a)",
        "(?i)(?P<t>a)",
        "(?i:(?P<t>a))",
        "(?P<t>a\\b)",
    ] {
        let error = refused(endpoint, open);
        assert!(error.to_string().contains("must list fixed texts"), "{open}: {error}");
    }
    for classes in
        ["(?P<t>[ab])", r"(?P<t>\d)", r"(?P<t>a)\w", "[x](?P<t>a)", r"(?P<t>\pL)", r"\\[a](?P<t>a)"]
    {
        let error = refused(endpoint, classes);
        assert!(error.to_string().contains("character classes are not allowed"), "{classes}: {error}");
    }
    for good in ["^(?P<t>a|b)$", r"(?P<t>a\.b|c)", r"(?P<t>\Qa[b]\E)?x*", "(?<t>a(b|c)d)|(x+)", r"\[(?P<t>a)"]
    {
        let script = Arc::new(Script::default());
        let made = Verifier::with_jwks(with_regex(good, ""), at(vec![provider(endpoint)]), script);
        assert!(made.is_ok(), "{good}: {made:?}");
    }
}

#[test]
fn key_05_addresses_are_checked() {
    for (endpoint, expected) in [
        ("", "must not be empty"),
        ("issuer.example/keys", "not an http or https address of a key set"),
        ("ftp://issuer.example/keys", "not an http or https address of a key set"),
        ("file:///etc/passwd", "not an http or https address of a key set"),
        ("https://issuer.example/a/../keys", "not an http or https address of a key set"),
        ("https://issuer.example/a/%2E%2e/keys", "not an http or https address of a key set"),
        (
            "https://user:password@issuer.example/keys",
            "an address of a key set must not hold a user or password",
        ),
        ("https://issuer.example/{{t", "not an http or https address of a key set"),
        (
            "https://issuer.example/{{t}}",
            "the placeholder `{{t}}` is no named group of `issuer_regex` or `audience_regex`",
        ),
    ] {
        assert_eq!(
            refused(endpoint, "").to_string(),
            format!("jwks_public_endpoint: {expected}"),
            "{endpoint}"
        );
    }
}

#[test]
fn key_07_unchecked_groups_still_cannot_leave_their_place() {
    let mut config = at(vec![provider("https://{{t}}.example/{{t}}/keys")]);
    config.insecure_skip_endpoint_safety_check = true;
    config.max_sets = 10;
    let (script, verifier) = rig(config, with_regex("^(?P<t>.*)$", ""));
    let issuer = Issuer::new("1");
    for tenant in
        ["evil.net/", "evil.net#", "evil.net?", "a@evil.net", "a:1", "..", "%2e%2e", "a b", "", "ü", "a\\\\b"]
    {
        let token = issuer.token(&format!(r#"{{"iss":"{tenant}"}}"#));
        assert_eq!(check(&verifier, &token, NOW), invalid(InvalidToken::NoKeySet), "{tenant}");
    }
    assert_eq!(script.asked(), 0);
    // However many there are, not all are kept.
    for tenant in 0..100 {
        let token = issuer.token(&format!(r#"{{"iss":"t{tenant}"}}"#));
        assert_eq!(check(&verifier, &token, NOW + tenant), unavailable(FetchError::Connect));
    }
    assert_eq!(verifier.key_sets().expect("has sets").ages(NOW).len(), 10);
}

#[test]
fn pro_46_providers_are_chosen_by_issuer_and_audience() {
    let (one, two, rest) = (Issuer::new("k"), Issuer::new("k"), Issuer::new("k"));
    let mut providers =
        vec![provider("https://one.example/"), provider("https://two.example/"), provider(URL)];
    "one".clone_into(&mut providers[0].issuer);
    "one".clone_into(&mut providers[1].issuer);
    "app".clone_into(&mut providers[0].audience);
    let (script, verifier) = rig(at(providers), VerifierConfig::default());
    script.will("https://one.example/", &[Ok(set(&[one.jwk("")]))]);
    script.will("https://two.example/", &[Ok(set(&[two.jwk("")]))]);
    script.will(URL, &[Ok(set(&[rest.jwk("")]))]);
    for (claims, good) in [
        (r#"{"iss":"one","aud":["x","app"]}"#, [true, false, false]),
        (r#"{"iss":"one","aud":"other"}"#, [false, true, false]),
        (r#"{"iss":"one"}"#, [false, true, false]),
        (r#"{"iss":"two"}"#, [false, false, true]),
        ("{}", [false, false, true]),
    ] {
        for (issuer, good) in [&one, &two, &rest].into_iter().zip(good) {
            assert_eq!(check(&verifier, &issuer.token(claims), NOW).is_ok(), good, "{claims}");
        }
    }
    let mut only = provider(URL);
    "one".clone_into(&mut only.issuer);
    let (script, verifier) = rig(at(vec![only]), VerifierConfig::default());
    assert_eq!(check(&verifier, &one.token("{}"), NOW), invalid(InvalidToken::NoKeySet));
    assert_eq!(script.asked(), 0);
}

#[test]
fn pro_46_what_becomes_of_claims_is_the_providers_affair() {
    let issuer = Issuer::new("k");
    let mapping = |key: &str, value: &str| ClaimMapping { key: key.to_owned(), value: value.to_owned() };
    let mut own = provider(URL);
    "own".clone_into(&mut own.issuer);
    own.meta_from_claim = vec![mapping("role", "r")];
    own.labels_from_claim = vec![mapping("own", "l")];
    let mut plain = provider(URL);
    "plain".clone_into(&mut plain.issuer);
    let all = VerifierConfig {
        meta_from_claim: vec![mapping("all", "r")],
        labels_from_claim: vec![mapping("all", "l")],
        ..VerifierConfig::default()
    };
    let (script, verifier) = rig(at(vec![own, plain]), all);
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    for (name, meta, label) in [("own", r#"{"role":"admin"}"#, "own"), ("plain", "", "all")] {
        let token = issuer.token(&format!(r#"{{"iss":"{name}","r":"admin","l":"eu"}}"#));
        let claims = check(&verifier, &token, NOW).expect("genuine");
        assert_eq!(claims.meta.bytes(), meta.as_bytes(), "{name}");
        assert_eq!(
            claims.labels.iter().collect::<Vec<_>>(),
            [(&label.to_owned(), &"eu".to_owned())],
            "{name}"
        );
    }
}

#[test]
fn the_other_checks_are_those_of_any_token() {
    let issuer = Issuer::new("a");
    let config = VerifierConfig { audience: "app".to_owned(), ..VerifierConfig::default() };
    let (script, verifier) = rig(at(vec![provider(URL)]), config);
    script.will(URL, &[Ok(set(&[issuer.jwk("")]))]);
    assert!(check(&verifier, &issuer.token(r#"{"aud":"app"}"#), NOW).is_ok());
    assert_eq!(check(&verifier, &issuer.token("{}"), NOW), invalid(InvalidToken::Audience));
    assert_eq!(check(&verifier, &issuer.token(r#"{"aud":"app","exp":1}"#), NOW), Err(TokenError::Expired));
    let limits = JwksConfig::default();
    assert_eq!(
        (limits.lifetime, limits.retry_interval),
        (Duration::from_secs(3_600), Duration::from_secs(1))
    );
}
