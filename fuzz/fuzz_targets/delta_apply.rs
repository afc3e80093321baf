//! Any bytes to `tourbillon_delta::fuzzing::delta_apply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_delta::fuzzing::delta_apply(data));
