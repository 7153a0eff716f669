//! Feeds arbitrary events to both ends of a binary session.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::v1_session(input));
