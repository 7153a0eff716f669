//! Feeds arbitrary bytes to the reader of outputs that are to be resumed.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::batch_output(input));
