//! Blocks: in pieces, malformed, and too long.

use bytes::Bytes;
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Config, Event, Frame, Malformed, Reset, Violation};
use http::{HeaderMap, HeaderName};

use crate::pair::{Pair, data, frames, get, long_get, ok, open, receive, relay};

fn piece(part: Part, more: bool, block: impl Into<Bytes>) -> Frame {
    Frame::Block {
        stream: 1,
        part,
        end: false,
        more,
        block: block.into(),
    }
}

/// Returns the frames of an OPEN with a block of more than `bytes` bytes.
fn long_open(bytes: usize) -> Vec<Frame> {
    let mut pair = Pair::new();
    pair.client
        .open(&long_get(bytes), false)
        .expect("within a block");
    frames(&mut pair.client, pair.now)
}

#[test]
fn a_long_head_comes_in_several_frames() {
    let sent = long_open(40_000);
    let parts: Vec<(Part, bool, bool)> = sent
        .iter()
        .map(|frame| match frame {
            Frame::Block {
                part, end, more, ..
            } => (*part, *end, *more),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (Part::Open, false, true),
        (Part::More, false, true),
        (Part::More, false, false),
    ];
    assert_eq!(parts, expected);

    let (mut relay, now) = relay(Config::default());
    // Frames of other streams may come in between, but none of the same stream except a RESET.
    let mut frames = sent;
    frames.insert(1, open(2, true));
    let events = receive(&mut relay, frames, now).expect("an OPEN in pieces");
    let [Event::Opened { stream: 2, .. }, Event::Opened { head, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    let head = head.as_ref().expect("a head");
    assert_eq!(**head, long_get(40_000));
}

#[test]
fn a_head_without_a_body_says_so_in_its_first_frame() {
    let mut pair = Pair::new();
    pair.client.open(&long_get(40_000), true).expect("room");
    let sent = frames(&mut pair.client, pair.now);
    let ends = sent
        .iter()
        .map(|frame| matches!(frame, Frame::Block { end: true, .. }));
    assert_eq!(ends.collect::<Vec<_>>(), [true, false, false]);
    let events = receive(&mut pair.relay, sent, pair.now).expect("in order");
    assert!(
        matches!(events[..], [Event::Opened { end: true, .. }]),
        "{events:?}"
    );
    let mut head = ok();
    head.fields = long_get(20_000).request.headers;
    pair.relay.respond(1, &head, true).expect("open");
    let events = pair.relay_sends();
    let [Event::Head { head: came, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(**came, head);
    assert_eq!(pair.client.open_streams(), 0);
}

#[test]
fn nothing_of_the_stream_comes_within_a_block_but_a_reset() {
    let begun = long_open(40_000)[0].clone();
    let breaches = [
        data(1, vec![1], false),
        piece(Part::Trailers, false, vec![0]),
        piece(Part::Head, false, vec![0]),
    ];
    for frame in breaches {
        let (mut relay, now) = relay(Config::default());
        relay.receive(begun.clone(), now).expect("a piece");
        let violation = relay.receive(frame.clone(), now);
        assert!(
            matches!(violation, Err(Violation::Malformed(_))),
            "{frame:?}"
        );
    }
    let (mut relay, now) = relay(Config::default());
    relay.receive(begun, now).expect("a piece");
    let reset = Frame::Reset {
        stream: 1,
        reset: Reset::cancelled(),
    };
    assert_eq!(
        relay.receive(reset, now),
        Ok(None),
        "the application never heard of it"
    );
    assert_eq!((relay.open_streams(), relay.unread()), (0, 0));
}

/// Returns the first piece of an unfinished block; at most one for each stream.
fn begin(stream: u64, part: Part) -> Frame {
    Frame::Block {
        stream,
        part,
        end: true,
        more: true,
        block: vec![1; 100].into(),
    }
}

const UNFINISHED: Violation = Violation::Malformed("more than 16 blocks are unfinished");

#[test]
fn sixteen_blocks_may_be_unfinished() {
    let (mut relay, now) = relay(Config::default());
    for stream in 1..=16 {
        let piece = relay.receive(begin(stream, Part::Open), now);
        assert_eq!(piece, Ok(None));
    }
    // A block that ends, or whose stream ends, makes room: by the peer's RESET, or by ours.
    let mut last = piece(Part::More, false, vec![1]);
    if let Frame::Block { stream, .. } = &mut last {
        *stream = 3;
    }
    let ended = relay.receive(last, now);
    assert!(matches!(ended, Ok(Some(Event::Opened { .. }))), "{ended:?}");
    assert_eq!(relay.receive(begin(17, Part::Open), now), Ok(None));
    let reset = Reset::cancelled();
    let frame = Frame::Reset {
        stream: 7,
        reset: reset.clone(),
    };
    assert_eq!(relay.receive(frame, now), Ok(None));
    assert_eq!(relay.receive(begin(18, Part::Open), now), Ok(None));
    relay.reset(9, reset).expect("it is open");
    assert_eq!(relay.receive(begin(19, Part::Open), now), Ok(None));
    // Blocks in one piece do not count.
    let whole = relay.receive(open(20, true), now);
    assert!(matches!(whole, Ok(Some(_))), "{whole:?}");
    assert_eq!(relay.receive(begin(21, Part::Open), now), Err(UNFINISHED));
    assert_eq!(UNFINISHED.code(), 4400);
}

#[test]
fn sixteen_heads_may_be_unfinished_at_a_client() {
    let mut pair = Pair::new();
    for _ in 0..17 {
        pair.client.open(&get(), true).expect("room");
    }
    pair.client_sends();
    for stream in 1..=16 {
        let piece = pair.client.receive(begin(stream, Part::Head), pair.now);
        assert_eq!(piece, Ok(None));
    }
    let violation = pair.client.receive(begin(17, Part::Head), pair.now);
    assert_eq!(violation, Err(UNFINISHED));
}

/// A sender that holds heads back without credit, or sends them again, still ends one before the next.
#[test]
fn our_own_blocks_are_one_after_the_other() {
    let small = Config {
        session_window: 0,
        unacked: 5_000,
        ..Config::default()
    };
    let mut pair = Pair::with(small, small);
    for _ in 0..40 {
        pair.client.open(&long_get(60_000), true).expect("room");
    }
    let mut opened = 0;
    for round in 0..500 {
        opened += pair.client_sends().len();
        pair.now += std::time::Duration::from_millis(26);
        pair.relay_sends();
        if round % 7 == 0 {
            pair.resume();
            pair.relay_sends();
        }
    }
    assert_eq!(opened, 40);
}

#[test]
fn a_stop_waits_for_the_end_of_a_block() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get(), false).expect("room");
    pair.client_sends();
    let mut head = ok();
    head.fields = long_get(40_000).request.headers;
    pair.relay.respond(id, &head, false).expect("open");
    let first = crate::pair::message(&mut pair.relay, pair.now, 1);
    pair.relay.stop(id).expect("a body to stop");
    let mut said = crate::pair::parse(first);
    said.extend(frames(&mut pair.relay, pair.now));
    let stop = said
        .iter()
        .position(|frame| matches!(frame, Frame::Stop { .. }));
    let last = said
        .iter()
        .rposition(|frame| matches!(frame, Frame::Block { .. }));
    assert!(stop > last, "{stop:?} after {last:?}");
    let events = receive(&mut pair.client, said, pair.now).expect("in order");
    assert!(matches!(events[1], Event::Stopped { .. }), "{events:?}");
}

#[test]
fn a_stop_within_a_block_is_a_breach() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get(), false).expect("room");
    let begun = piece(Part::Head, true, vec![0]);
    pair.client_sends();
    pair.client.receive(begun, pair.now).expect("a piece");
    let violation = pair.client.receive(Frame::Stop { stream: id }, pair.now);
    assert!(
        matches!(violation, Err(Violation::Malformed(_))),
        "{violation:?}"
    );
}

#[test]
fn more_goes_on_with_something() {
    let (mut relay, now) = relay(Config::default());
    relay.receive(open(1, false), now).expect("an OPEN");
    let violation = relay.receive(piece(Part::More, false, vec![0]), now);
    assert!(
        matches!(violation, Err(Violation::Malformed(_))),
        "{violation:?}"
    );
}

#[test]
fn a_block_has_64_kib_at_most() {
    let (mut relay, now) = relay(Config::default());
    relay
        .receive(piece(Part::Open, true, vec![0; 16_000]), now)
        .expect("a piece");
    for _ in 0..3 {
        relay
            .receive(piece(Part::More, true, vec![0; 16_000]), now)
            .expect("a piece");
    }
    let rest = (64 << 10) - 4 * 16_000;
    relay
        .receive(piece(Part::More, true, vec![0; rest]), now)
        .expect("64 KiB");
    let violation = relay.receive(piece(Part::More, true, vec![0; 1]), now);
    assert_eq!(
        violation,
        Err(Violation::Malformed("a block is longer than 64 KiB"))
    );
}

#[test]
fn a_head_that_cannot_be_read_ends_its_fetch_only() {
    let mut cases = vec![
        ("nothing", Vec::new()),
        ("a long tag", [vec![0x41, 1], vec![0; 257]].concat()),
    ];
    let with = |method: &[u8], how: u8, fields: &[u8]| {
        let mut block = vec![0, method.len() as u8];
        block.extend_from_slice(method);
        block.extend_from_slice(&[0, 0, how, 0, 0, 0, 0]);
        block.extend_from_slice(fields);
        block
    };
    cases.push(("a method with a space", with(b"G T", 0, &[0])));
    cases.push(("an unknown redirect mode", with(b"GET", 3, &[0])));
    cases.push(("a name with a space", with(b"GET", 0, b"\x01\x02a b\x01c")));
    cases.push((
        "a value with a line end",
        with(b"GET", 0, b"\x01\x01a\x01\n"),
    ));
    cases.push(("a field too few", with(b"GET", 0, b"\x02\x01a\x01b")));
    cases.push(("bytes behind", with(b"GET", 0, &[0, 0])));
    cases.push(("1,001 fields", with(b"GET", 0, &[0x43, 0xe9])));
    let (mut relay, now) = relay(Config::default());
    for (id, (name, block)) in (1..).zip(cases) {
        let frame = Frame::Block {
            stream: id,
            part: Part::Open,
            end: true,
            more: false,
            block: block.into(),
        };
        let event = relay.receive(frame, now).expect("the session goes on");
        let Some(Event::Opened { stream, head, .. }) = event else {
            panic!("{name}: {event:?}");
        };
        assert_eq!(stream, id);
        assert!(head.is_err(), "{name} was read");
        relay.reset(id, Reset::cancelled()).expect("to be answered");
    }
    frames(&mut relay, now);
    assert_eq!(relay.open_streams(), 0);
}

#[test]
fn a_response_head_or_trailers_that_cannot_be_read_are_a_breach() {
    let mut pair = Pair::new();
    pair.client.open(&get(), false).expect("room");
    pair.client_sends();
    let status = piece(Part::Head, false, vec![0, 0x43, 0xe8, 0, 0]);
    let violation = pair.client.receive(status, pair.now);
    let reason = "a status is not within 100 and 999";
    assert_eq!(violation, Err(Violation::Malformed(reason)));
    let trailers = piece(Part::Trailers, false, vec![1]);
    let violation = pair.relay.receive(trailers, pair.now);
    assert!(
        matches!(violation, Err(Violation::Malformed(_))),
        "{violation:?}"
    );
}

fn too_many() -> HeaderMap {
    let mut fields = HeaderMap::new();
    for n in 0..1_001 {
        let name: HeaderName = format!("x-{n}").parse().expect("a name");
        fields.insert(name, "v".parse().expect("a value"));
    }
    fields
}

#[test]
fn a_request_that_does_not_fit_a_block_is_not_sent() {
    let mut pair = Pair::new();
    let mut tagged = get();
    tagged.tag = Bytes::from(vec![0; 257]);
    let mut many = get();
    many.request.headers = too_many();
    for (head, why) in [
        (long_get(64 << 10), "a block is longer than 64 KiB"),
        (tagged, "a tag has more than 256 bytes"),
        (many, "a block has more than 1,000 fields"),
    ] {
        assert_eq!(head.check(), Err(Malformed(why)));
        assert_eq!(pair.client.open(&head, true), None);
    }
    assert_eq!(long_get(60_000).check(), Ok(()));
    assert_eq!(pair.client.open_streams(), 0);
}

/// The response of an origin must not be able to end a session.
#[test]
fn a_response_that_does_not_fit_a_block_ends_its_fetch_only() {
    for fields in [too_many(), long_get(64 << 10).request.headers] {
        let mut pair = Pair::new();
        let id = pair.client.open(&get(), true).expect("room");
        pair.client_sends();
        let mut head = ok();
        head.fields = fields;
        assert!(pair.relay.respond(id, &head, false).is_err());
        let events = pair.relay_sends();
        let [Event::Reset { reset, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(reset.name, "http_response_header_section_size");
        assert_eq!(&reset.tag[..], b"tag");
        assert_eq!(pair.relay.open_streams(), 0);
    }
}

#[test]
fn trailers_that_do_not_fit_a_block_are_left_out() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.relay
        .data(id, Bytes::from_static(b"body"))
        .expect("open");
    pair.relay.trailers(id, &too_many()).expect("open");
    let (events, _) = pair.settle();
    assert!(
        matches!(events[..], [Event::Data { end: true, .. }]),
        "{events:?}"
    );
}
