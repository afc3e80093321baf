//! Any bytes to `tourbillon_auth::fuzzing::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_auth::fuzzing::token(data));
