//! Responses in every shape that a server may give them.

use fetchway_upstream::Response;

use crate::peer::*;

const OK: (&str, &str) = (":status", "200");

/// Handles frames on stream 1 and returns the result. The connection must still be usable afterwards.
fn answer(frames: &[Vec<u8>]) -> Response {
    let mut talk = Talk::asked(2);
    talk.feed(&frames.concat())
        .unwrap_or_else(|failure| panic!("{failure}"));
    let answer = talk.answer(1);
    assert_eq!(talk.connection.active(), 1);
    talk.feed(&headers(ALL, 3, &[(":status", "204")]))
        .expect("another");
    assert_eq!(talk.answer(3).status, 204);
    assert_eq!(talk.frames(), [], "nothing needs an answer");
    answer
}

fn body(frames: &[Vec<u8>]) -> String {
    let answer = answer(frames);
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).expect("text")
}

#[test]
fn heads_and_bodies() {
    let head = || headers(HEAD, 1, &[OK]);
    assert_eq!(body(&[headers(ALL, 1, &[OK])]), "");
    assert_eq!(
        body(&[head(), frame(DATA, END_STREAM, 1, b"hello")]),
        "hello"
    );
    assert_eq!(
        body(&[
            headers(
                HEAD,
                1,
                &[OK, ("content-length", "5"), ("content-length", "5")]
            ),
            frame(DATA, 0, 1, b"he"),
            frame(DATA, 0, 1, b""),
            frame(DATA, 0, 1, b"llo"),
            frame(DATA, END_STREAM, 1, b""),
        ]),
        "hello"
    );
    // Padding and priority.
    let priority = [&[2, 0x80, 0, 0, 3, 9][..], &block(&[OK]), &[0, 0]].concat();
    assert_eq!(
        body(&[
            frame(HEADERS, HEAD | PADDED | HAS_PRIORITY, 1, &priority),
            frame(DATA, END_STREAM | PADDED, 1, b"\x03hi\0\0\0"),
        ]),
        "hi"
    );
    // Trailers, which are dropped.
    assert_eq!(
        body(&[
            head(),
            frame(DATA, 0, 1, b"hi"),
            headers(ALL, 1, &[("content-type", "late"), ("grpc-status", "0")]),
        ]),
        "hi"
    );
    // Informational heads, unknown frames, and a priority without effect.
    assert_eq!(
        body(&[
            headers(HEAD, 1, &[(":status", "103"), ("content-type", "early")]),
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
            headers(HEAD, 1, &[(":status", "100")]),
            frame(0xfa, 0xff, 1, b"what"),
            frame(0xfb, 0, 0, b""),
            head(),
            frame(DATA, END_STREAM, 1, b"hi"),
        ]),
        "hi"
    );
}

#[test]
fn a_head_in_pieces() {
    let block = block(&[OK, ("content-type", "text/plain")]);
    let (first, rest) = block.split_at(3);
    let (second, third) = rest.split_at(10);
    let answer = answer(&[
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, 0, 1, second),
        frame(CONTINUATION, 0, 1, b""),
        frame(CONTINUATION, END_HEADERS, 1, third),
    ]);
    assert_eq!(answer.field("content-type").expect("kept"), "text/plain");
}

#[test]
fn wanted_fields_are_kept_from_tables_too() {
    let mut talk = Talk::asked(3);
    // "content-type: a" and "date: b" enter the table, and are then referred to.
    let first = [
        &[0x88, 0x5f, 1, b'a', 0x61, 1, b'b'][..],
        &block(&[("fetchway-state", "s")]),
    ];
    let second = [0x88, 0xbf, 0xbe, 0x0f, 16, 1, b'c'];
    talk.feed(&frame(HEADERS, ALL, 1, &first.concat()))
        .expect("a head");
    let answer = talk.answer(1);
    assert_eq!(answer.fields.len(), 2);
    assert_eq!(answer.field("content-type").expect("kept"), "a");
    assert_eq!(answer.field("fetchway-state").expect("kept"), "s");
    for stream in [3, 5] {
        talk.feed(&frame(HEADERS, ALL, stream, &second))
            .expect("a head");
        let types: Vec<_> = talk.answer(stream).fields;
        assert_eq!(types.len(), 2);
        assert!(types.iter().all(|(name, _)| *name == "content-type"));
        assert_eq!(
            (&types[0].1, &types[1].1),
            (&"a".parse().unwrap(), &"c".parse().unwrap())
        );
    }
}

#[test]
fn bodiless_statuses_may_say_a_length() {
    for status in ["204", "304"] {
        let head = headers(ALL, 1, &[(":status", status), ("content-length", "9")]);
        assert_eq!(answer(&[head]).body, "");
    }
}

#[test]
fn a_head_on_a_closed_stream_counts_for_the_table() {
    let mut talk = Talk::asked(2);
    talk.connection.cancel(1, &mut talk.out);
    let [canceled] = &talk.frames()[..] else {
        panic!("no reset");
    };
    assert_eq!((canceled.kind, canceled.stream), (RST_STREAM, 1));
    assert_eq!(canceled.payload, 8u32.to_be_bytes());
    // "content-type: a" enters the table; the data belongs to no stream.
    let late = [0x88, 0x5f, 1, b'a'];
    talk.feed(&frame(HEADERS, HEAD, 1, &late)).expect("late");
    talk.feed(&frame(DATA, END_STREAM, 1, b"late"))
        .expect("late");
    assert_eq!(talk.events(), []);
    talk.feed(&frame(HEADERS, ALL, 3, &[0x88, 0xbe]))
        .expect("a head");
    assert_eq!(talk.answer(3).field("content-type").expect("kept"), "a");
    assert_eq!(talk.frames(), []);
    talk.connection.cancel(1, &mut talk.out);
    assert_eq!(talk.frames(), [], "it is no more");
}
