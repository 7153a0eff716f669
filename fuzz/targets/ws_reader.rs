//! Feeds arbitrary bytes, arbitrarily sliced, to the reader of WebSocket frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::ws_reader(input));
