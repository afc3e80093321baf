//! How long a check takes: `cargo test --release -p tourbillon-auth -- --ignored --nocapture speed`.

use std::hint::black_box;

use tourbillon_types::{Clock, SystemClock};

use crate::{NOW, token, verifier};

#[test]
#[ignore = "a measurement, not a check"]
fn a_token_in_nanoseconds() {
    let verifier = verifier();
    let plain = token(r#"{"sub":"1234567890","exp":1800000000,"iat":1699999999}"#);
    let rich = token(
        r#"{"sub":"1234567890","exp":1800000000,"iat":1699999999,"info":{"name":"Anna","role":"admin"},
            "meta":{"tenant":17},"subs":{"news":{"info":{"a":1}},"personal:1234567890":{},"room:7":{}}}"#,
    );
    let clock = SystemClock::new();
    for (name, token) in [("plain", plain), ("with subscriptions", rich)] {
        let rounds = 200_000;
        let start = clock.now().instant;
        for _ in 0..rounds {
            black_box(verifier.verify_connect(black_box(&token), NOW)).expect("genuine");
        }
        let each = clock.now().instant.saturating_since(start) / rounds;
        println!("{name}: {each:?} for a token of {} bytes", token.len());
    }
}
