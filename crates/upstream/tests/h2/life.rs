//! A connection from its first SETTINGS to its end.

use fetchway_policy::ErrorName;
use fetchway_upstream::Request;
use fetchway_upstream::h2::Event;

use crate::peer::*;

#[test]
fn it_begins_with_settings() {
    let mut talk = Talk::new();
    let frames = talk.frames();
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [SETTINGS, WINDOW_UPDATE]);
    assert!(
        frames[0].payload.starts_with(&[0, 2, 0, 0, 0, 0]),
        "no pushes"
    );
    assert_eq!(talk.connection.room(), 0, "the server has not been heard");
    talk.feed(&settings(&[(3, 7)])).expect("SETTINGS");
    let [ack] = &talk.frames()[..] else {
        panic!("no answer");
    };
    assert_eq!((ack.kind, ack.flags, ack.payload.len()), (SETTINGS, ACK, 0));
    assert_eq!(talk.connection.room(), 7);
    assert!(!talk.connection.is_leaving());
}

#[test]
fn room_is_what_the_server_allows() {
    let mut talk = Talk::with(&[]);
    assert_eq!(talk.connection.room(), 1_000, "not without bounds");
    talk.feed(&settings(&[(3, 2)])).expect("SETTINGS");
    assert_eq!((talk.send(b""), talk.send(b"")), (1, 3));
    assert_eq!((talk.connection.room(), talk.connection.active()), (0, 2));
    talk.feed(&settings(&[(3, 1)])).expect("SETTINGS");
    assert_eq!(talk.connection.room(), 0);
    talk.feed(&headers(ALL, 1, &[(":status", "200")]))
        .expect("a head");
    assert_eq!((talk.connection.room(), talk.connection.active()), (0, 1));
    talk.feed(&headers(ALL, 3, &[(":status", "200")]))
        .expect("a head");
    assert_eq!(talk.connection.room(), 1);
}

#[test]
fn a_request_is_laid_out_in_frames() {
    let mut talk = Talk::with(&[]);
    talk.send(b"");
    talk.send(b"hello");
    let shapes: Vec<_> = talk
        .frames()
        .into_iter()
        .map(|f| (f.kind, f.flags, f.stream))
        .collect();
    assert_eq!(
        shapes,
        [(HEADERS, ALL, 1), (HEADERS, HEAD, 3), (DATA, END_STREAM, 3)]
    );
    // A head that is larger than a frame.
    let path = format!("/{}", "x".repeat(40_000));
    let request = Request {
        method: "GET",
        authority: "api.test",
        path: &path,
        fields: &[],
        body: b"",
    };
    talk.connection.send(&request, &mut talk.out);
    let shapes: Vec<_> = talk
        .frames()
        .into_iter()
        .map(|f| (f.kind, f.flags, f.stream))
        .collect();
    let pieces = [
        (HEADERS, END_STREAM, 5),
        (CONTINUATION, 0, 5),
        (CONTINUATION, END_HEADERS, 5),
    ];
    assert_eq!(shapes, pieces);
    // A larger frame, where the server allows it.
    talk.feed(&settings(&[(5, 50_000)])).expect("SETTINGS");
    talk.frames();
    talk.connection.send(&request, &mut talk.out);
    let shapes: Vec<_> = talk
        .frames()
        .into_iter()
        .map(|f| (f.kind, f.flags, f.stream))
        .collect();
    assert_eq!(shapes, [(HEADERS, ALL, 7)]);
}

#[test]
fn a_server_that_keeps_no_table_is_heeded() {
    let mut talk = Talk::with(&[(1, 0)]);
    talk.send(b"");
    talk.send(b"");
    let heads: Vec<Vec<u8>> = talk
        .frames()
        .into_iter()
        .map(|frame| frame.payload)
        .collect();
    // The first head announces the size (RFC 7541 section 4.2), and no entry of a table is used.
    assert!(heads[0].starts_with(&[0x20, 0x20]), "{:?}", heads[0]);
    assert_eq!(heads[0][2..], heads[1]);
    assert!(heads[1].windows(10).any(|text| text == b"text/plain"));
}

#[test]
fn a_goaway_says_what_was_not_processed() {
    let mut talk = Talk::asked(3);
    // First comes the usual warning, which ends no stream.
    talk.feed(&goaway(0x7fff_ffff, 0)).expect("GOAWAY");
    assert!(talk.connection.is_leaving());
    assert_eq!((talk.connection.room(), talk.events()), (0, vec![]));
    talk.feed(&goaway(3, 0)).expect("GOAWAY");
    let failure = talk.failure(5);
    assert_eq!(failure.name(), ErrorName::ConnectionTerminated);
    assert!(failure.is_unsent());
    // A later GOAWAY restores no stream.
    talk.feed(&goaway(5, 2)).expect("GOAWAY");
    assert_eq!(talk.connection.room(), 0);
    talk.feed(&headers(ALL, 1, &[(":status", "200")]))
        .expect("a head");
    assert_eq!(talk.answer(1).status, 200);
    talk.connection.end(&mut talk.events);
    let failure = talk.failure(3);
    assert!(!failure.is_unsent());
    assert!(failure.detail().contains("INTERNAL_ERROR"), "{failure}");
}

#[test]
fn an_end_fails_what_is_open() {
    let mut talk = Talk::asked(2);
    talk.feed(&headers(HEAD, 3, &[(":status", "200")]))
        .expect("a head");
    talk.connection.end(&mut talk.events);
    let mut names = Vec::new();
    for event in talk.events() {
        let Event::Failed(stream, failure) = event else {
            panic!("{event:?}");
        };
        assert!(!failure.is_unsent());
        names.push((stream, failure.name()));
    }
    names.sort_unstable();
    let expected = [
        (1, ErrorName::ConnectionTerminated),
        (3, ErrorName::HttpResponseIncomplete),
    ];
    assert_eq!(names, expected);
    assert_eq!((talk.connection.active(), talk.connection.room()), (0, 0));
    talk.connection.end(&mut talk.events);
    assert_eq!(talk.events(), [], "each fails once");
    assert!(talk.feed(b"").is_err());
}

#[test]
fn a_reset_says_whether_it_was_processed() {
    let mut talk = Talk::asked(4);
    talk.feed(&headers(HEAD, 5, &[(":status", "200")]))
        .expect("a head");
    for (stream, code, name, unsent) in [
        (1, 7, ErrorName::ConnectionTerminated, true),
        (3, 2, ErrorName::ConnectionTerminated, false),
        (5, 0, ErrorName::HttpResponseIncomplete, false),
    ] {
        talk.feed(&reset(stream, code)).expect("a reset");
        let failure = talk.failure(stream);
        assert_eq!(
            (failure.name(), failure.is_unsent()),
            (name, unsent),
            "{failure}"
        );
    }
    // A reset after a complete response changes nothing.
    talk.feed(&headers(ALL, 7, &[(":status", "200")]))
        .expect("a head");
    talk.feed(&reset(7, 0)).expect("a reset");
    assert_eq!(talk.answer(7).status, 200);
    assert_eq!(talk.frames(), []);
}

#[test]
fn pings_are_answered_both_ways() {
    let mut talk = Talk::with(&[]);
    talk.feed(&frame(PING, 0, 0, b"12345678")).expect("a ping");
    let [pong] = &talk.frames()[..] else {
        panic!("no answer");
    };
    assert_eq!(
        (pong.kind, pong.flags, &pong.payload[..]),
        (PING, ACK, &b"12345678"[..])
    );

    talk.connection.ping(&mut talk.out);
    talk.connection.ping(&mut talk.out);
    let [ping] = &talk.frames()[..] else {
        panic!("not one");
    };
    assert!(talk.connection.is_ping_pending());
    talk.feed(&frame(PING, ACK, 0, b"another!"))
        .expect("a pong");
    assert!(talk.connection.is_ping_pending());
    talk.feed(&frame(PING, ACK, 0, &ping.payload))
        .expect("a pong");
    assert!(!talk.connection.is_ping_pending());
    talk.connection.ping(&mut talk.out);
    assert_ne!(talk.frames()[0].payload, ping.payload);
}
