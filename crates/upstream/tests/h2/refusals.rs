//! Frames that a server must not send: those that fail a stream, and those that fail the connection.

use fetchway_policy::ErrorName;

use crate::peer::*;

const OK: (&str, &str) = (":status", "200");

/// Checks that the stream fails and is reset with this code, and that another stream is still answered.
fn refused(name: ErrorName, code: u32, frames: &[Vec<u8>]) {
    let mut talk = Talk::asked(2);
    talk.feed(&frames.concat())
        .unwrap_or_else(|failure| panic!("{failure}"));
    let failure = talk.failure(1);
    assert_eq!(failure.name(), name, "{failure}");
    assert!(!failure.is_unsent());
    let resets: Vec<_> = talk.frames();
    match &resets[..] {
        // If the server has ended the stream, there is nothing to reset.
        [] => assert_eq!(code, 0, "{failure}"),
        [reset] => {
            assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
            assert_eq!(reset.payload, code.to_be_bytes(), "{failure}");
        }
        frames => panic!("{frames:?}"),
    }
    talk.feed(&headers(ALL, 3, &[OK])).expect("another");
    assert_eq!(talk.answer(3).status, 200);
}

#[test]
fn malformed_heads_cost_their_stream() {
    for fields in [
        &[][..],
        &[("date", "x")],
        &[("date", "x"), OK],
        &[OK, OK],
        &[(":status", "2000")],
        &[(":path", "/")],
        &[OK, (":path", "/")],
        &[OK, ("Date", "x")],
        &[OK, ("", "x")],
        &[OK, ("connection", "close")],
        &[OK, ("transfer-encoding", "chunked")],
        &[OK, ("date", "a\r\nb")],
        &[OK, ("date", "a ")],
        &[OK, ("content-length", "5"), ("content-length", "6")],
        &[OK, ("content-length", "x")],
        // Also for fields that are kept: a wanted field, then an invalid one.
        &[OK, ("content-type", "a"), ("upgrade", "x")],
        &[(":status", "101")],
    ] {
        let block = block(fields);
        refused(
            ErrorName::HttpProtocolError,
            1,
            &[frame(HEADERS, HEAD, 1, &block)],
        );
        refused(
            ErrorName::HttpProtocolError,
            1,
            &[frame(HEADERS, ALL, 1, &block)],
        );
    }
    let early = headers(ALL, 1, &[(":status", "103")]);
    refused(ErrorName::HttpProtocolError, 1, &[early]);
}

#[test]
fn bodies_that_do_not_fit_cost_their_stream() {
    let head = |fields: &[(&str, &str)]| headers(HEAD, 1, &[&[OK][..], fields].concat());
    let data = |flags, data| frame(DATA, flags, 1, data);
    let protocol = ErrorName::HttpProtocolError;
    refused(protocol, 1, &[data(0, b"early")]);
    refused(protocol, 1, &[data(END_STREAM, b"")]);
    refused(
        protocol,
        1,
        &[head(&[("content-length", "2")]), data(0, b"abc")],
    );
    refused(
        protocol,
        1,
        &[head(&[("content-length", "2")]), data(END_STREAM, b"abc")],
    );
    refused(
        protocol,
        1,
        &[headers(HEAD, 1, &[(":status", "204")]), data(0, b"a")],
    );
    // A second head, and invalid trailers.
    refused(protocol, 1, &[head(&[]), headers(HEAD, 1, &[("a", "b")])]);
    refused(protocol, 1, &[head(&[]), headers(ALL, 1, &[OK])]);

    let incomplete = ErrorName::HttpResponseIncomplete;
    refused(
        incomplete,
        0,
        &[headers(ALL, 1, &[OK, ("content-length", "2")])],
    );
    let short = head(&[("content-length", "2")]);
    refused(incomplete, 0, &[short.clone(), data(END_STREAM, b"a")]);
    refused(
        incomplete,
        0,
        &[short, data(0, b"a"), headers(ALL, 1, &[("a", "b")])],
    );
}

#[test]
fn what_is_over_a_limit_costs_its_stream() {
    // A field of 4 KB enters the table, and is then referred to again and again.
    let mut field = block(&[("a", &"x".repeat(4_000))]);
    field[0] = 0x40;
    let repeated = [&[0x88][..], &field, &[0xbe; 8]].concat();
    let size = ErrorName::HttpResponseHeaderSectionSize;
    refused(size, 8, &[frame(HEADERS, ALL, 1, &repeated)]);

    let body = ErrorName::HttpResponseBodySize;
    let length = (LIMITS.body + 1).to_string();
    refused(
        body,
        8,
        &[headers(HEAD, 1, &[OK, ("content-length", &length)])],
    );
}

/// Checks that the connection fails: it sends this code once, and accepts nothing further.
fn broken(name: ErrorName, code: u32, frames: &[Vec<u8>]) {
    let mut talk = Talk::asked(1);
    let failure = talk.feed(&frames.concat()).expect_err("it should break");
    assert_eq!(failure.name(), name, "{failure}");
    let out = talk.frames();
    let last = out.last().expect("a GOAWAY");
    assert_eq!(last.kind, GOAWAY);
    assert_eq!(last.payload[4..], code.to_be_bytes(), "{failure}");
    assert!(talk.connection.is_leaving());
    assert_eq!(talk.connection.room(), 0);
    let settings = settings(&[]);
    assert_eq!(talk.feed(&settings), Err(failure.clone()));
    assert_eq!(talk.frames(), [], "it has been said");
    talk.connection.end(&mut talk.events);
    assert_eq!(talk.failure(1), failure);
    assert_eq!(talk.connection.active(), 0);
}

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const SIZE: u32 = 6;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

#[test]
fn breaches_cost_the_connection() {
    let name = ErrorName::HttpProtocolError;
    let head = headers(HEAD, 1, &[OK]);
    for (code, frames) in [
        // Streams that we did not open.
        (PROTOCOL, vec![headers(ALL, 0, &[OK])]),
        (PROTOCOL, vec![headers(ALL, 2, &[OK])]),
        (PROTOCOL, vec![headers(ALL, 3, &[OK])]),
        (PROTOCOL, vec![frame(DATA, 0, 3, b"")]),
        (PROTOCOL, vec![reset(3, 0)]),
        (PROTOCOL, vec![reset(0, 0)]),
        (PROTOCOL, vec![window_update(3, 1)]),
        // Stream numbers on frames of the connection.
        (PROTOCOL, vec![frame(SETTINGS, 0, 1, b"")]),
        (PROTOCOL, vec![frame(PING, 0, 1, &[0; 8])]),
        (PROTOCOL, vec![frame(GOAWAY, 0, 1, &[0; 8])]),
        // Lengths.
        (SIZE, vec![frame(0xfa, 0, 0, &[0; 16_385])]),
        (SIZE, vec![frame(PING, 0, 0, &[0; 7])]),
        (SIZE, vec![frame(GOAWAY, 0, 0, &[0; 7])]),
        (SIZE, vec![frame(RST_STREAM, 0, 1, &[0; 5])]),
        (SIZE, vec![frame(PRIORITY, 0, 1, &[0; 4])]),
        (SIZE, vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])]),
        (SIZE, vec![frame(SETTINGS, 0, 0, &[0; 7])]),
        (SIZE, vec![frame(SETTINGS, ACK, 0, &[0; 6])]),
        // Padding.
        (
            PROTOCOL,
            vec![frame(HEADERS, ALL | PADDED, 1, b"\x04\x88\0\0")],
        ),
        (
            PROTOCOL,
            vec![frame(HEADERS, ALL | HAS_PRIORITY, 1, b"\0\0\0\0")],
        ),
        (PROTOCOL, vec![head.clone(), frame(DATA, PADDED, 1, b"")]),
        (PROTOCOL, vec![head, frame(DATA, PADDED, 1, b"\x02h")]),
        // Settings.
        (PROTOCOL, vec![settings(&[(2, 1)])]),
        (FLOW, vec![settings(&[(4, 0x8000_0000)])]),
        (PROTOCOL, vec![settings(&[(5, 16_383)])]),
        (PROTOCOL, vec![settings(&[(5, 1 << 24)])]),
        // Windows.
        (PROTOCOL, vec![window_update(0, 0)]),
        (FLOW, vec![window_update(0, 0x7fff_ffff)]),
        (
            FLOW,
            vec![window_update(1, 0x7fff_0000), settings(&[(4, 0x7fff_ffff)])],
        ),
        // Heads.
        (PROTOCOL, vec![frame(CONTINUATION, END_HEADERS, 1, &[0x88])]),
        (
            PROTOCOL,
            vec![frame(HEADERS, 0, 1, &[0x88]), frame(DATA, 0, 1, b"")],
        ),
        (
            PROTOCOL,
            vec![
                frame(HEADERS, 0, 1, &[0x88]),
                frame(CONTINUATION, 0, 3, b""),
            ],
        ),
        (
            PROTOCOL,
            vec![frame(HEADERS, 0, 1, &[0x88]), frame(PING, 0, 0, &[0; 8])],
        ),
        (COMPRESSION, vec![frame(HEADERS, ALL, 1, &[0x80])]),
        (
            PROTOCOL,
            vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])],
        ),
    ] {
        broken(name, code, &frames);
    }
    let pieces = vec![frame(CONTINUATION, 0, 1, b""); 33];
    broken(
        name,
        CALM,
        &[vec![frame(HEADERS, 0, 1, b"")], pieces].concat(),
    );
    let large = [
        frame(HEADERS, 0, 1, &[0; 16_000]),
        frame(CONTINUATION, 0, 1, &[0; 4_001]),
    ];
    broken(ErrorName::HttpResponseHeaderSectionSize, CALM, &large);
}

#[test]
fn windows_of_a_stream_cost_the_stream() {
    refused(ErrorName::HttpProtocolError, 1, &[window_update(1, 0)]);
    refused(
        ErrorName::HttpProtocolError,
        3,
        &[window_update(1, 0x7fff_ffff)],
    );
}

#[test]
fn a_server_that_does_not_speak_it_is_told_apart() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &frame(PING, 0, 0, &[0; 8]),
        &frame(SETTINGS, ACK, 0, b""),
    ] {
        let mut talk = Talk::new();
        let failure = talk.feed(answer).expect_err("no HTTP/2");
        assert_eq!(failure.name(), ErrorName::HttpProtocolError);
        assert!(failure.detail().contains("h2c"), "{failure}");
    }
}
