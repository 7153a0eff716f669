//! Feeds arbitrary bytes, arbitrarily sliced and paused, to the reader of a gateway's clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::gateway_reader(input));
