//! Feeds arbitrary bytes to the decoder of binary frames and of their blocks.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::v1_frames(input));
