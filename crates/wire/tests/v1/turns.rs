//! Whose frame comes next.

use bytes::Bytes;
use fetchway_wire::v1::{Config, Frame};

use crate::pair::{Pair, frames, get, ok};

fn streams_of(frames: &[Frame]) -> Vec<(u64, u64)> {
    let streams = frames.iter().filter_map(|frame| match frame {
        Frame::Data { stream, bytes, .. } => Some((*stream, bytes.len() as u64)),
        _ => None,
    });
    streams.collect()
}

#[test]
fn a_short_body_waits_for_one_frame_of_a_long_one() {
    let mut pair = Pair::new();
    let (long, short) = (pair.stream(), pair.stream());
    pair.relay
        .data(long, Bytes::from(vec![0; 200_000]))
        .expect("open");
    let first = crate::pair::message(&mut pair.relay, pair.now, 1);
    assert_eq!(streams_of(&crate::pair::parse(first)).len(), 1);
    pair.relay
        .data(short, Bytes::from_static(b"short"))
        .expect("open");
    pair.relay.end(short).expect("open");
    let sent = streams_of(&frames(&mut pair.relay, pair.now));
    let before = sent.iter().position(|(id, _)| *id == short).expect("sent");
    assert!(before <= 1, "{before} frames of the long body came first");
}

#[test]
fn long_bodies_take_turns_by_frames_of_16_kib() {
    let mut pair = Pair::new();
    let ids: Vec<u64> = (0..5).map(|_| pair.stream()).collect();
    for id in &ids {
        for _ in 0..4 {
            pair.relay
                .data(*id, Bytes::from(vec![0; 30_000]))
                .expect("open");
        }
    }
    let sent = frames(&mut pair.relay, pair.now);
    for frame in &sent {
        let mut bytes = bytes::BytesMut::new();
        frame.put(&mut bytes);
        assert!(bytes.len() <= 16 << 10, "a frame of {}", bytes.len());
    }
    let order: Vec<u64> = streams_of(&sent).iter().map(|(id, _)| *id).collect();
    assert!(order.len() >= 40);
    for turn in order.chunks_exact(5) {
        let mut turn = turn.to_vec();
        turn.sort_unstable();
        assert_eq!(turn, ids, "each has its turn");
    }
}

#[test]
fn a_long_head_takes_turns_too() {
    let mut pair = Pair::new();
    let a = pair.client.open(&get(), true).expect("room");
    let b = pair.client.open(&get(), true).expect("room");
    pair.client_sends();
    let mut head = ok();
    head.fields = crate::pair::long_get(60_000).fields;
    pair.relay.respond(a, &head, true).expect("open");
    pair.relay.respond(b, &ok(), true).expect("open");
    let sent = frames(&mut pair.relay, pair.now);
    let short = sent
        .iter()
        .position(|frame| matches!(frame, Frame::Block { stream, .. } if *stream == b));
    assert_eq!(short, Some(1));
}

#[test]
fn streams_open_in_the_order_of_their_numbers_on_little_credit() {
    let config = Config {
        session_window: 0,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    for _ in 0..50 {
        pair.client
            .open(&crate::pair::long_get(10_000), true)
            .expect("room");
    }
    // Numbers that fall would be a breach.
    let (_, events) = pair.settle();
    assert_eq!(events.len(), 50);
}
