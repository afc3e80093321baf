//! Any bytes to `tourbillon_protocol::fuzzing::protobuf_commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_protocol::fuzzing::protobuf_commands(data));
