//! Any bytes to `tourbillon_transport_websocket::fuzzing::websocket_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tourbillon_transport_websocket::fuzzing::websocket_frames(data));
