//! A session continues where its socket was cut.

use bytes::Bytes;
use fetchway_wire::v1::session::CannotSave;
use fetchway_wire::v1::{Config, Event, Frame, Hello, Reset, Session, Violation};

use crate::pair::{Pair, TOKEN_1, TOKEN_2, body, frames, get, message, parse, receive};

#[test]
fn frames_lost_on_the_way_to_the_relay_come_again_once() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get(), false).expect("room");
    pair.client
        .data(id, Bytes::from_static(b"one "))
        .expect("open");
    assert_eq!(body(&pair.client_sends(), id), b"one ");
    pair.client
        .data(id, Bytes::from_static(b"two "))
        .expect("open");
    frames(&mut pair.client, pair.now);
    pair.resume();
    // Added while there is no socket: it is sent after the lost frames.
    pair.client
        .data(id, Bytes::from_static(b"three"))
        .expect("open");
    pair.client.end(id).expect("open");
    let (_, events) = pair.settle();
    assert_eq!(body(&events, id), b"two three");
    assert_eq!(pair.client.token(), Some(TOKEN_2));
}

#[test]
fn frames_lost_on_the_way_to_the_client_come_again_once() {
    let mut pair = Pair::new();
    let id = pair.stream();
    let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    pair.relay
        .data(id, Bytes::from(sent.clone()))
        .expect("open");
    pair.relay.end(id).expect("open");
    let mut came = Vec::new();
    // One message of each socket arrives, the next is lost.
    for _ in 0..100 {
        let arrives = parse(message(&mut pair.relay, pair.now, 16 << 10));
        let events = receive(&mut pair.client, arrives, pair.now).expect("in order");
        let bytes = body(&events, id);
        pair.client.consumed(id, bytes.len() as u64);
        came.extend(bytes);
        message(&mut pair.relay, pair.now, 16 << 10);
        pair.resume();
        pair.client_sends();
        let hello = parse(message(&mut pair.relay, pair.now, 1));
        receive(&mut pair.client, hello, pair.now).expect("a HELLO");
    }
    assert_eq!(came, sent);
}

#[test]
fn a_lost_limit_is_told_again() {
    let config = Config {
        session_window: 0,
        stream_window: 0,
        ..Config::default()
    };
    let mut pair = Pair::with(config, Config::default());
    let id = pair.stream();
    pair.relay
        .data(id, Bytes::from(vec![0; 100_000]))
        .expect("open");
    let mut came = 0;
    for _ in 0..20 {
        let bytes = body(&pair.settle().0, id).len() as u64;
        came += bytes;
        pair.client.consumed(id, bytes);
        frames(&mut pair.client, pair.now);
        pair.resume();
    }
    assert_eq!(came, 100_000);
}

#[test]
fn a_client_that_resumes_says_nothing_before_the_relay_has() {
    let mut pair = Pair::new();
    let id = pair.client.open(&get(), true).expect("room");
    frames(&mut pair.client, pair.now);
    let hello = pair.cut();
    assert_eq!((hello.token, hello.received), (Some(TOKEN_1), Some(0)));
    pair.client.open(&get(), true).expect("room");
    assert!(!pair.client.wants_transmit(pair.now));
    pair.relay.resume(&hello, TOKEN_2).expect("it fits");
    pair.relay_sends();
    let events = pair.client_sends();
    let opened: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Opened { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(opened, [id, id + 1]);
}

#[test]
fn nothing_goes_out_without_a_socket() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.relay.disconnect();
    pair.relay.data(id, Bytes::from_static(b"x")).expect("open");
    pair.relay.ping(Bytes::new());
    assert!(!pair.relay.wants_transmit(pair.now));
    assert_eq!(pair.relay.deadline(), None);
    let late = pair.relay.receive(Frame::Ack(0), pair.now);
    assert!(late.is_err(), "a HELLO comes first on the next socket");
}

#[test]
fn the_relays_hello_may_be_lost_and_asked_for_again() {
    let mut pair = Pair::new();
    let id = pair.stream();
    pair.relay.data(id, Bytes::from_static(b"x")).expect("open");
    pair.resume();
    frames(&mut pair.relay, pair.now);
    let hello = pair.cut();
    assert_eq!(
        hello.token,
        Some(TOKEN_1),
        "the new token was never heard of"
    );
    pair.relay.resume(&hello, TOKEN_2).expect("it fits");
    assert_eq!(body(&pair.relay_sends(), id), b"x");
}

#[test]
fn counts_that_cannot_be_are_breaches() {
    let mut pair = Pair::new();
    pair.stream();
    pair.settle();
    let hello = pair.cut();
    for received in [None, Some(0), Some(2)] {
        let odd = Hello {
            received,
            ..hello.clone()
        };
        let violation = pair.relay.resume(&odd, TOKEN_2);
        assert!(
            matches!(violation, Err(Violation::Malformed(_))),
            "{received:?}: {violation:?}"
        );
    }
    pair.relay
        .resume(&hello, TOKEN_2)
        .expect("it stayed as it was");

    for received in [0, 2] {
        let mut pair = Pair::new();
        pair.stream();
        pair.settle();
        pair.cut();
        let odd = Hello {
            received: Some(received),
            ..Hello::default()
        };
        let violation = pair.client.receive(Frame::Hello(odd), pair.now);
        assert!(
            matches!(violation, Err(Violation::Malformed(_))),
            "{received}: {violation:?}"
        );
    }
    let mut fresh = Session::client(Config::default());
    let odd = Hello {
        received: Some(0),
        ..Hello::default()
    };
    assert!(fresh.receive(Frame::Hello(odd), pair.now).is_err());
}

#[test]
fn where_the_session_is_gone_a_new_one_begins_with_full_windows() {
    let config = Config {
        session_window: 1 << 20,
        stream_window: 200_000,
        ..Config::default()
    };
    let mut pair = Pair::with(config, Config::default());
    let sent = pair.client.open(&get(), true).expect("room");
    frames(&mut pair.client, pair.now);
    let unsent = pair.client.open(&get(), true).expect("room");
    let hello = pair.cut();
    pair.relay = Session::relay(Config::default(), &hello, TOKEN_2, Some("expired"));
    let said = frames(&mut pair.relay, pair.now);
    let events = receive(&mut pair.client, said, pair.now).expect("a HELLO");
    let [Event::Hello(hello)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (hello.received, hello.refused.as_deref()),
        (None, Some("expired"))
    );
    assert!(!pair.client.wants_transmit(pair.now), "it is over");
    assert!(!pair.client.is_unsent(sent) && pair.client.is_unsent(unsent));

    pair.client = pair.client.renewed(hello);
    assert_eq!(pair.client.token(), Some(TOKEN_2));
    let id = pair.stream();
    assert_eq!(id, 1);
    pair.relay
        .data(id, Bytes::from(vec![0; 180_000]))
        .expect("open");
    pair.relay.end(id).expect("open");
    let came = body(&pair.settle().0, id).len();
    assert_eq!(
        came, 180_000,
        "the windows of the HELLO hold, not the floor"
    );
}

#[test]
fn cancels_and_stops_survive_the_loss_too() {
    let mut pair = Pair::new();
    let (cancelled, stopped) = (pair.stream(), pair.stream());
    pair.settle();
    pair.client
        .reset(cancelled, Reset::cancelled())
        .expect("open");
    pair.relay.stop(stopped).expect("open");
    frames(&mut pair.client, pair.now);
    frames(&mut pair.relay, pair.now);
    pair.resume();
    let (client, relay) = pair.settle();
    assert!(client.contains(&Event::Stopped { stream: stopped }));
    assert!(matches!(relay[..], [Event::Reset { .. }]));
    assert_eq!(pair.relay.open_streams(), 1);
    pair.relay.end(stopped).expect("open");
    pair.settle();
    assert_eq!(pair.client.open_streams() + pair.relay.open_streams(), 0);
}

#[test]
fn a_client_without_a_token_cannot_resume() {
    let mut client = Session::client(Config::default());
    client.disconnect();
    assert_eq!(client.reconnect(), Err(CannotSave::NoToken));
}
