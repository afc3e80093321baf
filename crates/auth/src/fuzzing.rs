//! What must hold for any bytes at all. The fuzz target calls this, and so does an ordinary test with the seeds of its
//! corpus.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::{FetchError, JwksConfig, JwksFetch, JwksProvider, Key, Secret, Signer, Verifier, VerifierConfig};

const NOW: i64 = 1_700_000_000;

/// A server whose answer is what the fuzzer says.
#[derive(Debug)]
struct Says(Bytes);

impl JwksFetch for Says {
    fn fetch(&self, _: &str, _: usize) -> BoxFuture<'static, Result<Bytes, FetchError>> {
        ready(Ok(self.0.clone())).boxed()
    }
}

/// Any bytes as a token, as claims of a genuine one, as a key and as a key set: nothing panics, nothing that is not
/// signed is genuine.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let secret = Secret::from("the fuzzer does not know it");
    let config = VerifierConfig { hmac_secret_key: secret.clone(), ..VerifierConfig::default() };
    if let Ok(verifier) = Verifier::new(config.clone()) {
        assert!(verifier.verify_connect(&text, NOW).is_err(), "a connection token that nobody signed");
        assert!(verifier.verify_subscribe(&text, NOW).is_err(), "a subscription token that nobody signed");
        if let Ok(signed) = Signer::hs256(&secret).sign_json(data) {
            let _ = verifier.verify_connect(&signed, NOW);
            let _ = verifier.verify_subscribe(&signed, NOW);
        }
    }
    let unchecked = VerifierConfig { insecure_skip_signature_verify: true, ..config.clone() };
    if let Ok(verifier) = Verifier::new(unchecked) {
        let _ = verifier.verify_connect(&text, NOW);
        let _ = verifier.verify_subscribe(&text, NOW);
    }
    let _ = Key::from_pem(&text);
    let provider =
        JwksProvider { endpoint: "https://issuer.example/keys".to_owned(), ..JwksProvider::default() };
    let jwks = JwksConfig { providers: vec![provider], ..JwksConfig::default() };
    if let Ok(verifier) = Verifier::with_jwks(config, jwks, Arc::new(Says(Bytes::copy_from_slice(data)))) {
        // {"alg":"RS256","kid":"a"} and {}, unsigned.
        let unsigned = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA";
        for token in [unsigned, &text] {
            if let Some(loading) = verifier.load_keys(token, NOW) {
                let _ = loading.now_or_never();
            }
            assert!(verifier.verify_connect(token, NOW).is_err(), "a token that no key of the set signed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_of_the_fuzz_target_pass() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tokens");
        let seeds = std::fs::read_dir(corpus).expect("the folder of the target");
        let mut count = 0;
        for seed in seeds {
            let path = seed.expect("an entry").path();
            token(&std::fs::read(&path).expect("a readable seed"));
            count += 1;
        }
        assert!(count >= 20, "{count} seeds");
    }
}
