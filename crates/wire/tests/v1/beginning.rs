//! HELLO and what may come before it; GOAWAY.

use bytes::Bytes;
use fetchway_wire::v1::session::floor;
use fetchway_wire::v1::{Config, Event, Frame, GoingAway, Hello, Reset, Session, Violation};

use crate::pair::{Pair, TOKEN_1, data, frames, get, ok, open, receive, relay};

#[test]
fn a_hello_comes_first_and_once() {
    let mut pair = Pair::new();
    for session in [&mut pair.client, &mut pair.relay] {
        let again = session.receive(Frame::Hello(Hello::default()), pair.now);
        assert!(matches!(again, Err(Violation::Malformed(_))), "{again:?}");
    }
    let mut client = Session::client(Config::default());
    let early = client.receive(Frame::Ack(0), pair.now);
    assert!(matches!(early, Err(Violation::Malformed(_))), "{early:?}");
    assert_eq!(Violation::Malformed("").code(), 4400);
}

#[test]
fn a_client_sends_fetches_right_behind_its_hello_within_the_floor() {
    let now = std::time::Instant::now();
    let mut client = Session::client(Config::default());
    while client.can_open() {
        let id = client.open(&get(), false).expect("it may");
        client
            .data(id, Bytes::from(vec![7; 20 << 10]))
            .expect("open");
    }
    assert_eq!(client.open_streams(), floor::STREAMS);
    assert_eq!(client.open(&get(), false), None);

    let said = frames(&mut client, now);
    assert!(matches!(said[0], Frame::Hello(_)));
    let weight: u64 = said.iter().map(Frame::weight).sum();
    assert_eq!(
        weight,
        floor::SESSION_WINDOW,
        "all of the session's credit is used"
    );
    let first = said.iter().filter(|frame| match frame {
        Frame::Data { stream, .. } => *stream == 1,
        _ => false,
    });
    let first: u64 = first.map(Frame::weight).sum();
    assert!(first <= floor::STREAM_WINDOW, "{first} on the first stream");

    // A relay that allows only the minimum accepts all of it.
    let least = Config {
        streams: 0,
        session_window: 0,
        stream_window: 0,
        ..Config::default()
    };
    let Frame::Hello(hello) = &said[0] else {
        unreachable!("seen above");
    };
    let mut relay = Session::relay(least, hello, TOKEN_1, None);
    let events = receive(&mut relay, said[1..].to_vec(), now).expect("within the floor");
    let opened = events
        .iter()
        .filter(|event| matches!(event, Event::Opened { .. }));
    assert_eq!(opened.count() as u64, floor::STREAMS);
}

#[test]
fn a_hello_raises_the_limits_of_streams_that_are_open_already() {
    let now = std::time::Instant::now();
    let mut client = Session::client(Config::default());
    let id = client.open(&get(), false).expect("it may");
    let sent = 40 << 10;
    client.data(id, Bytes::from(vec![7; sent])).expect("open");
    let early: u64 = frames(&mut client, now)
        .iter()
        .map(|frame| match frame {
            Frame::Data { bytes, .. } => bytes.len() as u64,
            _ => 0,
        })
        .sum();
    assert_eq!(early, floor::STREAM_WINDOW);
    let hello = Hello {
        streams: Some(200),
        stream_window: Some(100 << 10),
        ..Hello::default()
    };
    client.receive(Frame::Hello(hello), now).expect("a HELLO");
    let late: u64 = frames(&mut client, now).iter().map(Frame::weight).sum();
    assert_eq!(early + late, sent as u64);
}

/// The order of streams in memory differs between sessions; the order on the wire does not.
#[test]
fn streams_that_a_hello_sets_free_go_on_in_the_order_of_their_numbers() {
    for _ in 0..20 {
        let now = std::time::Instant::now();
        let mut client = Session::client(Config::default());
        for _ in 0..3 {
            let id = client.open(&get(), false).expect("it may");
            client
                .data(id, Bytes::from(vec![7; 20 << 10]))
                .expect("open");
        }
        frames(&mut client, now);
        let hello = Hello {
            session_window: Some(1 << 20),
            stream_window: Some(1 << 20),
            ..Hello::default()
        };
        client.receive(Frame::Hello(hello), now).expect("a HELLO");
        let late = frames(&mut client, now);
        let order = late.iter().map(|frame| match frame {
            Frame::Data { stream, .. } => *stream,
            other => panic!("{other:?}"),
        });
        assert_eq!(order.collect::<Vec<_>>(), [1, 2, 3]);
    }
}

#[test]
fn a_relay_that_keeps_no_sessions_gives_no_token() {
    let config = Config {
        resume_within: std::time::Duration::ZERO,
        ..Config::default()
    };
    let pair = Pair::with(Config::default(), config);
    assert_eq!(pair.client.token(), None);
    assert_eq!(Pair::new().client.token(), Some(TOKEN_1));
}

#[test]
fn after_going_away_streams_finish_and_later_ones_are_not_looked_at() {
    let mut pair = Pair::new();
    let kept = pair.stream();
    pair.relay.go_away("a new version comes");
    // An OPEN that crosses the GOAWAY.
    let late = pair.client.open(&get(), false).expect("not known yet");
    pair.client
        .data(late, Bytes::from_static(b"x"))
        .expect("open");
    assert_eq!(pair.client_sends(), []);
    assert_eq!(pair.relay.open_streams(), 1);

    let going = GoingAway {
        last: kept,
        detail: "a new version comes".to_owned(),
    };
    assert_eq!(pair.relay_sends(), [Event::GoingAway(going.clone())]);
    assert!(!pair.client.can_open());
    assert_eq!(pair.client.open_streams(), 1, "the late one is over");
    assert!(pair.client.data(late, Bytes::from_static(b"y")).is_err());

    // The GOAWAY is sent again on the next socket. Other words do not change its meaning.
    pair.resume();
    let events = pair.relay_sends();
    assert!(events.contains(&Event::GoingAway(going)), "{events:?}");
    pair.relay.go_away("soon");
    let events = pair.relay_sends();
    let again = GoingAway {
        last: kept,
        detail: "soon".to_owned(),
    };
    assert_eq!(events, [Event::GoingAway(again)]);
    pair.relay
        .data(kept, Bytes::from_static(b"rest"))
        .expect("open");
    pair.relay.end(kept).expect("open");
    let (events, _) = pair.settle();
    assert_eq!(crate::pair::body(&events, kept), b"rest");
    assert_eq!(pair.client.open_streams(), 0);
}

#[test]
fn only_a_relay_goes_away() {
    let (mut relay, now) = relay(Config::default());
    relay.receive(open(5, true), now).expect("an OPEN");
    let going = GoingAway {
        last: 0,
        detail: String::new(),
    };
    let violation = relay.receive(Frame::GoingAway(going), now);
    assert_eq!(
        violation,
        Err(Violation::Malformed("only a relay may send GOAWAY"))
    );
    assert_eq!(relay.open_streams(), 1, "its fetches are still the relay's");
    let mut pair = Pair::new();
    pair.client.go_away("a client just leaves");
    assert_eq!(frames(&mut pair.client, pair.now), []);
}

#[test]
fn frames_for_streams_after_going_away_are_passed_over() {
    let (mut relay, now) = relay(Config::default());
    relay.go_away("bye");
    let frames = vec![
        open(5, false),
        data(5, vec![1; 100], false),
        Frame::Reset {
            stream: 5,
            reset: Reset::cancelled(),
        },
    ];
    assert_eq!(receive(&mut relay, frames, now), Ok(Vec::new()));
    assert_eq!((relay.open_streams(), relay.unread()), (0, 0));
    assert!(relay.respond(5, &ok(), true).is_err());
}
