//! Any bytes to `tourbillon_protocol::fuzzing::replies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_protocol::fuzzing::replies(data));
