//! Feeds arbitrary bytes, byte by byte, to the parser of PROXY headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::proxy_protocol(input));
