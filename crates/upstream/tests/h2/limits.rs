//! Servers that send endlessly: no memory accumulates for them.

use fetchway_policy::ErrorName;

use crate::peer::*;

/// Counts how many of these frames are accepted before the connection fails. `reads` means that the
/// server reads our answers.
fn taken(frames: &[u8], reads: bool) -> usize {
    let mut talk = Talk::asked(1);
    talk.feed(&headers(HEAD, 1, &[(":status", "200")]))
        .expect("a head");
    for nth in 0..20_000 {
        if let Err(failure) = talk.feed(frames) {
            assert_eq!(failure.name(), ErrorName::HttpProtocolError);
            let last = talk.frames().pop().expect("a GOAWAY");
            assert_eq!(last.payload[4..], 11u32.to_be_bytes());
            return nth;
        }
        if reads {
            talk.frames();
        }
        assert!(talk.out.len() < 20_000, "{} bytes wait", talk.out.len());
    }
    20_000
}

#[test]
fn one_that_asks_without_reading_is_left() {
    assert_eq!(taken(&frame(PING, 0, 0, &[0; 8]), false), 1_001);
    assert_eq!(taken(&settings(&[]), false), 1_001);
    // Not even if the server answers in between, byte by byte.
    let mixed = [frame(PING, 0, 0, &[0; 8]), frame(DATA, 0, 1, b"x")].concat();
    assert_eq!(taken(&mixed, false), 1_001);
}

#[test]
fn one_that_sends_nothing_of_use_is_left() {
    for frame in [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, ACK, 0, &[0; 8]),
        settings(&[]),
        frame(SETTINGS, ACK, 0, b""),
        frame(DATA, 0, 1, b""),
        frame(DATA, PADDED, 1, b"\x01\0"),
        frame(0xfa, 0, 0, b""),
        frame(PRIORITY, 0, 1, &[0; 5]),
        window_update(0, 1),
        window_update(1, 1),
        goaway(1, 0),
    ] {
        assert_eq!(taken(&frame, true), 10_000, "{frame:?}");
    }
}

#[test]
fn closed_streams_are_of_no_use_either() {
    for frames in [
        frame(DATA, 0, 1, b"late"),
        headers(HEAD, 1, &[(":status", "200")]),
        reset(1, 0),
        headers(HEAD, 3, &[(":status", "103")]),
    ] {
        let mut talk = Talk::asked(2);
        talk.connection.cancel(1, &mut talk.out);
        let taken = (0..20_000).take_while(|_| talk.feed(&frames).is_ok());
        // The first SETTINGS count too.
        assert_eq!(taken.count(), 9_999, "{frames:?}");
    }
}

#[test]
fn one_that_brings_something_now_and_then_is_kept() {
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(900);
    let useful = frame(DATA, 0, 1, b"x");
    let mut talk = Talk::asked(1);
    talk.feed(&headers(HEAD, 1, &[(":status", "200")]))
        .expect("a head");
    for _ in 0..30 {
        talk.feed(&pings).expect("pings");
        talk.frames();
        talk.feed(&useful).expect("data");
    }
}
