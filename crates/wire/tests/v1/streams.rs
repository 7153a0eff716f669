//! The life of a stream: halves, ends, STOP, RESET, and frames that are not allowed.

use bytes::Bytes;
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::session::floor;
use fetchway_wire::v1::{Config, Event, Frame, Gone, Reset, Session, Violation};
use http::HeaderMap;

use crate::pair::{Pair, body, data, frames, get, ok, open, receive, relay};

#[test]
fn both_halves_close_on_their_own() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get(), false).expect("room");
    pair.client
        .data(id, Bytes::from_static(b"ques"))
        .expect("open");
    pair.client
        .data(id, Bytes::from_static(b"tion"))
        .expect("open");
    pair.client.end(id).expect("open");
    assert_eq!(pair.client.data(id, Bytes::from_static(b"!")), Err(Gone));
    let (_, events) = pair.settle();
    assert_eq!(body(&events, id), b"question");
    assert!(matches!(events.last(), Some(Event::Data { end: true, .. })));
    assert_eq!(pair.client.open_streams(), 1, "the response is to come");

    pair.relay.respond(id, &ok(), false).expect("open");
    assert_eq!(pair.relay.respond(id, &ok(), false), Err(Gone), "once");
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", "1".parse().expect("a value"));
    trailers.append("x-sum", "2".parse().expect("a value"));
    pair.relay
        .data(id, Bytes::from_static(b"answer"))
        .expect("open");
    pair.relay.trailers(id, &trailers).expect("open");
    let (events, _) = pair.settle();
    assert_eq!(body(&events, id), b"answer");
    let last = Event::Trailers {
        stream: id,
        trailers,
    };
    assert_eq!(events.last(), Some(&last));
    assert_eq!(pair.client.open_streams() + pair.relay.open_streams(), 0);
    assert!(pair.client.is_flushed() && pair.relay.is_flushed());
}

#[test]
fn an_empty_body_that_ends_late() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.client.data(id, Bytes::new()).expect("open");
    assert!(!pair.client.wants_transmit(pair.now), "nothing to say");
    pair.client.end(id).expect("open");
    let events = pair.client_sends();
    let end = Event::Data {
        stream: id,
        bytes: Bytes::new(),
        end: true,
    };
    assert_eq!(events, [end]);
}

#[test]
fn empty_pieces_do_not_reach_the_application() {
    let (mut relay, now) = relay(Config::default());
    relay.receive(open(1, false), now).expect("an OPEN");
    for _ in 0..1_000 {
        assert_eq!(relay.receive(data(1, Vec::new(), false), now), Ok(None));
    }
}

#[test]
fn an_early_response_and_a_stop() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.client
        .data(id, Bytes::from(vec![0; 1 << 20]))
        .expect("open");
    pair.client.end(id).expect("open");
    pair.client_sends();
    pair.relay.stop(id).expect("a body to stop");
    assert_eq!(pair.relay.stop(id), Err(Gone), "once");
    let events = pair.relay_sends();
    assert_eq!(events, [Event::Stopped { stream: id }]);
    assert_eq!(pair.client.data(id, Bytes::from_static(b"x")), Err(Gone));
    let (_, events) = pair.settle();
    assert_eq!(
        body(&events, id),
        b"",
        "what came after the STOP is dropped"
    );
    pair.relay
        .data(id, Bytes::from_static(b"answer"))
        .expect("open");
    pair.relay.end(id).expect("open");
    let (events, _) = pair.settle();
    assert_eq!(body(&events, id), b"answer");
    assert_eq!(pair.client.open_streams() + pair.relay.open_streams(), 0);
    assert_eq!(pair.relay.unread(), 0);
}

#[test]
fn a_client_stops_nothing() {
    let mut pair = Pair::new();
    let id = pair.stream();
    assert_eq!(pair.client.stop(id), Err(Gone));
    let stop = pair.relay.receive(Frame::Stop { stream: id }, pair.now);
    assert!(matches!(stop, Err(Violation::Malformed(_))), "{stop:?}");
}

#[test]
fn the_relays_end_is_the_streams() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.client
        .data(id, Bytes::from(vec![0; 1 << 20]))
        .expect("open");
    pair.client_sends();
    pair.relay.end(id).expect("open");
    pair.settle();
    assert_eq!(pair.client.end(id), Err(Gone));
    assert_eq!(pair.client.open_streams() + pair.relay.open_streams(), 0);
    assert_eq!(pair.client.held(), 0, "the rest is not sent");
    assert_eq!(pair.relay.unread(), 0);
}

#[test]
fn a_reset_ends_both_ways() {
    let mut pair = Pair::new();
    let (cancelled, failed) = (pair.stream(), pair.stream());
    pair.client
        .data(cancelled, Bytes::from(vec![0; 1 << 20]))
        .expect("open");
    pair.client
        .reset(cancelled, Reset::cancelled())
        .expect("open");
    assert_eq!(
        pair.client.reset(cancelled, Reset::cancelled()),
        Err(Gone),
        "once"
    );
    pair.relay.reset(failed, Reset::cancelled()).expect("open");
    let (client, relay) = pair.settle();
    let reset = |stream| Event::Reset {
        stream,
        reset: Reset::cancelled(),
    };
    assert_eq!(
        (client, relay),
        (vec![reset(failed)], vec![reset(cancelled)])
    );
    for (session, id) in [(&mut pair.client, failed), (&mut pair.relay, cancelled)] {
        assert_eq!(session.data(id, Bytes::from_static(b"x")), Err(Gone));
        assert_eq!(session.open_streams(), 0);
        assert_eq!(session.held(), 0);
    }
}

#[test]
fn resets_that_cross_end_once() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.client.reset(id, Reset::cancelled()).expect("open");
    pair.relay.reset(id, Reset::cancelled()).expect("open");
    let (to_relay, to_client) = (
        frames(&mut pair.client, pair.now),
        frames(&mut pair.relay, pair.now),
    );
    assert_eq!(receive(&mut pair.client, to_client, pair.now), Ok(vec![]));
    assert_eq!(receive(&mut pair.relay, to_relay, pair.now), Ok(vec![]));
    assert_eq!(pair.client.open_streams() + pair.relay.open_streams(), 0);
}

#[test]
fn a_cancel_of_what_was_never_sent_says_nothing() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get(), false).expect("room");
    assert!(pair.client.is_unsent(id));
    pair.client.reset(id, Reset::cancelled()).expect("open");
    assert!(!pair.client.wants_transmit(pair.now) || frames(&mut pair.client, pair.now).is_empty());
    let next = pair.client.open(&get(), false).expect("room");
    assert!(next > id);
    assert!(matches!(pair.client_sends()[..], [Event::Opened { .. }]));
    assert!(!pair.client.is_unsent(next));
}

#[test]
fn frames_for_a_stream_that_is_over_are_counted_and_ignored() {
    let (mut relay, now) = relay(Config::default());
    relay.receive(open(1, false), now).expect("an OPEN");
    relay.reset(1, Reset::cancelled()).expect("open");
    frames(&mut relay, now);
    let late = vec![
        data(1, vec![0; 100], true),
        Frame::Limit {
            stream: 1,
            bytes: 1 << 20,
        },
        Frame::Reset {
            stream: 1,
            reset: Reset::cancelled(),
        },
    ];
    assert_eq!(receive(&mut relay, late, now), Ok(vec![]));
    let ack = frames(&mut relay, now + fetchway_wire::v1::session::ACK_DELAY);
    assert_eq!(ack, [Frame::Ack(3)]);
}

fn block(stream: u64, part: Part) -> Frame {
    Frame::Block {
        stream,
        part,
        end: false,
        more: false,
        block: Bytes::from_static(&[0]),
    }
}

#[test]
fn frames_where_none_belongs_are_breaches() {
    type Set = fn(&mut Session);
    let none: Set = |_| {};
    let ended: Set = |relay| {
        relay
            .receive(data(5, vec![1], true), std::time::Instant::now())
            .expect("the body's end");
    };
    let cases = [
        ("a number used before", open(5, true), none),
        ("a number that falls", open(4, true), none),
        (
            "data of a stream never opened",
            data(6, vec![1], true),
            none,
        ),
        ("a STOP of one", Frame::Stop { stream: 6 }, none),
        (
            "a RESET of one",
            Frame::Reset {
                stream: 6,
                reset: Reset::cancelled(),
            },
            none,
        ),
        (
            "a LIMIT of one",
            Frame::Limit {
                stream: 6,
                bytes: 1,
            },
            none,
        ),
        ("a HEAD from a client", block(5, Part::Head), none),
        ("data after the end", data(5, vec![1], false), ended),
        ("trailers after the end", block(5, Part::Trailers), ended),
    ];
    for (name, frame, set) in cases {
        let (mut relay, now) = relay(Config::default());
        relay.receive(open(5, false), now).expect("an OPEN");
        set(&mut relay);
        let violation = relay.receive(frame, now);
        assert!(
            matches!(violation, Err(Violation::Malformed(_))),
            "{name}: {violation:?}"
        );
    }
    let mut pair = Pair::new();
    pair.client.open(&get(), false).expect("room");
    for frame in [
        open(7, true),
        data(1, vec![1], false),
        block(1, Part::Trailers),
    ] {
        let violation = pair.client.receive(frame, pair.now);
        assert!(
            matches!(violation, Err(Violation::Malformed(_))),
            "{violation:?}"
        );
    }
}

#[test]
fn more_streams_than_allowed_are_a_breach() {
    let (mut relay, now) = relay(Config {
        streams: 0,
        ..Config::default()
    });
    for id in 1..=floor::STREAMS {
        relay
            .receive(open(id * 10, true), now)
            .expect("within the floor");
    }
    let over = relay.receive(open(5_000, true), now);
    assert_eq!(over, Err(Violation::Streams));
    assert_eq!(Violation::Streams.code(), 4429);
}

#[test]
fn a_stream_that_ends_makes_room_for_another() {
    let mut pair = Pair::with(
        Config::default(),
        Config {
            streams: 0,
            ..Config::default()
        },
    );
    let mut ids = Vec::new();
    while let Some(id) = pair.client.open(&get(), true) {
        ids.push(id);
    }
    assert_eq!(ids.len() as u64, floor::STREAMS);
    pair.client_sends();
    pair.relay.respond(ids[7], &ok(), true).expect("open");
    pair.relay_sends();
    assert!(pair.client.open(&get(), true).is_some());
    // The client's own cancel frees a place once the relay can know of it.
    pair.client.reset(ids[8], Reset::cancelled()).expect("open");
    assert!(pair.client.open(&get(), true).is_none());
    pair.client_sends();
    assert!(pair.client.open(&get(), true).is_some());
    pair.settle();
}

#[test]
fn room_is_told_when_half_of_the_queue_is_sent_or_the_stream_ends() {
    let mut pair = Pair::new();
    let id = pair.stream();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(pair.client.poll_room(id, &mut cx).is_ready());
    pair.client
        .data(id, Bytes::from(vec![0; 40_000]))
        .expect("open");
    assert!(pair.client.poll_room(id, &mut cx).is_pending());
    assert_eq!(pair.client.take_wakers().len(), 0);
    pair.client_sends();
    assert_eq!(pair.client.take_wakers().len(), 1);
    assert!(pair.client.poll_room(id, &mut cx).is_ready());

    pair.client
        .data(id, Bytes::from(vec![0; 400_000]))
        .expect("open");
    pair.client_sends();
    assert!(pair.client.poll_room(id, &mut cx).is_pending());
    pair.relay.end(id).expect("open");
    pair.relay_sends();
    assert_eq!(pair.client.take_wakers().len(), 1);
    let gone = pair.client.poll_room(id, &mut cx);
    assert_eq!(gone, std::task::Poll::Ready(Err(Gone)));
}

#[test]
fn resets_that_cross_free_the_place_at_once() {
    let mut pair = Pair::new();
    let id = pair.stream();
    // The relay's RESET still waits when the client's comes: the client counts on the place from then.
    pair.relay.reset(id, Reset::cancelled()).expect("open");
    pair.client.reset(id, Reset::cancelled()).expect("open");
    assert!(pair.client_sends().is_empty(), "nothing to tell");
    assert_eq!(
        (pair.relay.open_streams(), pair.client.open_streams()),
        (0, 0)
    );
    let sent = frames(&mut pair.relay, pair.now);
    assert!(
        !sent
            .iter()
            .any(|frame| matches!(frame, Frame::Reset { .. })),
        "{sent:?}"
    );
}
