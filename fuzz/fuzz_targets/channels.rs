//! Any bytes to `tourbillon_access::fuzzing::channel`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_access::fuzzing::channel(data));
