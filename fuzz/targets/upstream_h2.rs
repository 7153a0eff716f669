//! Feeds arbitrary bytes, arbitrarily sliced, to the client of HTTP/2 that a gateway has for its API.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fetchway_fuzz::upstream_h2(input));
