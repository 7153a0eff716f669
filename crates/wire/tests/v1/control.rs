//! Frames that are not sequenced, and the counting of those that are.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::session::{ACK_DELAY, OVERSHOOT};
use fetchway_wire::v1::{Config, Frame, Reset, Violation};

use crate::pair::{MOST, Pair, data, frames, message, open, parse, receive, relay};

#[test]
fn many_pings_have_one_pong() {
    let (mut relay, now) = relay(Config::default());
    for n in 0..10_000u32 {
        let ping = Frame::Ping(Bytes::copy_from_slice(&n.to_be_bytes()));
        assert_eq!(relay.receive(ping, now), Ok(None));
    }
    let last = Bytes::copy_from_slice(&9_999u32.to_be_bytes());
    assert_eq!(frames(&mut relay, now), [Frame::Pong(last)]);
    assert_eq!(frames(&mut relay, now), []);
}

#[test]
fn a_ping_has_eight_bytes_at_most() {
    let mut pair = Pair::new();
    pair.client.ping(Bytes::from_static(b"more than eight"));
    let said = frames(&mut pair.client, pair.now);
    assert_eq!(said, [Frame::Ping(Bytes::from_static(b"more tha"))]);
}

#[test]
fn an_ack_waits_a_moment_for_company() {
    let (mut relay, now) = relay(Config::default());
    relay.receive(open(1, true), now).expect("an OPEN");
    assert_eq!(relay.deadline(), Some(now + ACK_DELAY));
    assert_eq!(ACK_DELAY, Duration::from_millis(25));
    let early = now + ACK_DELAY - Duration::from_millis(1);
    assert!(!relay.wants_transmit(early));
    assert_eq!(frames(&mut relay, now + ACK_DELAY), [Frame::Ack(1)]);
    assert_eq!(relay.deadline(), None);

    relay.receive(open(2, true), now).expect("an OPEN");
    relay.ping(Bytes::new());
    let said = frames(&mut relay, now);
    assert_eq!(said, [Frame::Ping(Bytes::new()), Frame::Ack(2)]);
}

#[test]
fn an_ack_does_not_wait_behind_many_frames_or_bytes() {
    let (mut many, now) = relay(Config::default());
    many.receive(open(1, false), now).expect("an OPEN");
    for n in 2..=256 {
        assert!(!many.wants_transmit(now), "after {} frames", n - 1);
        many.receive(data(1, vec![0; 1], false), now).expect("DATA");
    }
    assert_eq!(frames(&mut many, now), [Frame::Ack(256)]);

    let (mut long, now) = relay(Config::default());
    long.receive(open(1, false), now).expect("an OPEN");
    for _ in 0..4 {
        assert!(!long.wants_transmit(now));
        long.receive(data(1, vec![0; 16_000 + 400], false), now)
            .expect("DATA");
    }
    assert_eq!(frames(&mut long, now), [Frame::Ack(5)]);
}

#[test]
fn unknown_types_are_skipped_and_counted_below_0x40() {
    let (mut relay, now) = relay(Config::default());
    let message = Bytes::from_static(&[0x3f, 2, 9, 9, 0x00, 0, 0x7f, 1, 9, 0xff, 0]);
    let parsed = parse(message);
    assert_eq!(parsed.len(), 4);
    assert_eq!(receive(&mut relay, parsed, now), Ok(Vec::new()));
    assert_eq!(frames(&mut relay, now + ACK_DELAY), [Frame::Ack(2)]);
}

#[test]
fn an_ack_of_frames_never_sent_is_a_breach() {
    let mut pair = Pair::new();
    pair.client.open(&crate::pair::get(), true).expect("room");
    let early = pair.relay.receive(Frame::Ack(1), pair.now);
    assert!(matches!(early, Err(Violation::Malformed(_))), "{early:?}");
    let early = pair.client.receive(Frame::Ack(1), pair.now);
    assert!(
        matches!(early, Err(Violation::Malformed(_))),
        "not sent yet"
    );
    pair.client_sends();
    assert_eq!(pair.client.receive(Frame::Ack(1), pair.now), Ok(None));
    assert_eq!(pair.client.receive(Frame::Ack(0), pair.now), Ok(None));
}

#[test]
fn what_is_not_acknowledged_is_bounded() {
    let config = Config {
        unacked: 50_000,
        ..Config::default()
    };
    let mut pair = Pair::with(config, Config::default());
    let id = pair.stream();
    pair.settle();
    for _ in 0..10 {
        pair.client
            .data(id, Bytes::from(vec![0; 20_000]))
            .expect("open");
    }
    let sent = frames(&mut pair.client, pair.now);
    let weight: u64 = sent.iter().map(Frame::weight).sum();
    assert!(
        (50_000 - 16_384..=50_000 + 16_384).contains(&weight),
        "{weight}"
    );
    // Resets do not exceed the bound either: their texts are kept too.
    for _ in 0..2_000 {
        if let Some(id) = pair.client.open(&crate::pair::get(), true) {
            pair.client.reset(id, Reset::cancelled()).expect("open");
        }
    }
    assert_eq!(frames(&mut pair.client, pair.now), []);
    let events = receive(&mut pair.relay, sent, pair.now).expect("credit");
    assert_eq!(crate::pair::body(&events, id).len() as u64, weight);
    let (_, events) = pair.settle();
    assert_eq!(
        crate::pair::body(&events, id).len() as u64,
        200_000 - weight
    );
}

#[test]
fn a_message_stays_within_what_it_may_have() {
    let config = Config {
        streams: 9_000,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    let ids: Vec<u64> = (0..9_000)
        .map(|_| pair.client.open(&crate::pair::get(), false).expect("room"))
        .collect();
    pair.client_sends();
    for id in &ids {
        pair.relay
            .respond(*id, &crate::pair::ok(), false)
            .expect("open");
        pair.relay
            .data(*id, Bytes::from(vec![0; 100]))
            .expect("open");
    }
    pair.settle();
    // On the next socket all limits and all unacknowledged frames are sent again.
    pair.resume();
    pair.relay.ping(Bytes::from_static(b"12345678"));
    pair.relay.go_away(&"x".repeat(5_000));
    let mut limits = 0;
    while pair.relay.wants_transmit(pair.now) {
        let mut out = BytesMut::from(&message(&mut pair.relay, pair.now, MOST)[..]);
        assert!(out.len() <= MOST + OVERSHOOT, "{} bytes", out.len());
        let frames = parse(out.split().freeze());
        limits += frames
            .iter()
            .filter(|frame| matches!(frame, Frame::Limit { .. }))
            .count();
        receive(&mut pair.client, frames, pair.now).expect("a relay that keeps to the protocol");
    }
    assert_eq!(limits, 9_001);
}

#[test]
fn the_texts_of_resets_count_as_unacknowledged() {
    let config = Config {
        unacked: 20_000,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    let ids: Vec<u64> = (0..100)
        .map(|_| pair.client.open(&crate::pair::get(), true).expect("room"))
        .collect();
    pair.client_sends();
    for id in ids {
        let mut reset = Reset::cancelled();
        reset.detail = "d".repeat(1_000);
        pair.relay.reset(id, reset).expect("open");
    }
    let sent = frames(&mut pair.relay, pair.now);
    let resets = sent
        .iter()
        .filter(|frame| matches!(frame, Frame::Reset { .. }));
    let first = resets.count();
    assert!((15..25).contains(&first), "{first} resets of 1,000 bytes");
    receive(&mut pair.client, sent, pair.now).expect("in order");
    assert_eq!(pair.settle().0.len(), 100 - first);
}

#[test]
fn nothing_small_keeps_a_message_in_memory() {
    let mut out = BytesMut::new();
    let large = Bytes::from(vec![0; 8 << 10]);
    for bytes in [large.clone(), large, Bytes::from_static(b"small")] {
        data(1, bytes, false).put(&mut out);
    }
    let message = out.freeze();
    let within = message.as_ptr_range();
    let shared: Vec<bool> = parse(message.clone())
        .iter()
        .map(|frame| match frame {
            Frame::Data { bytes, .. } => within.contains(&bytes.as_ptr()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shared, [true, true, false]);
    // Kept until here, or its memory could have been used again.
    drop(message);
}
