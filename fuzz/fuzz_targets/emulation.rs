//! Any bytes to `tourbillon_protocol::fuzzing::emulation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_protocol::fuzzing::emulation(data));
