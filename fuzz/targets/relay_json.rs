//! Feeds arbitrary bytes to the decoder of JSON requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::relay_json(input));
