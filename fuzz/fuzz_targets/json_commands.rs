//! Any bytes to `tourbillon_protocol::fuzzing::json_commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_protocol::fuzzing::json_commands(data));
