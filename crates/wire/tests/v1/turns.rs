//! The order in which streams send.

use std::collections::BTreeMap;

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

/// Streams share the link by bytes, whatever the pieces that their applications give.
#[test]
fn small_pieces_have_as_much_of_the_link_as_large_ones() {
    let wide = Config {
        unacked: 8 << 20,
        ..Config::default()
    };
    let mut pair = Pair::with(wide, wide);
    let ids: Vec<u64> = (0..4).map(|_| pair.stream()).collect();
    let pieces = [1_000, 9_000, 16_384, 30_000];
    for (id, piece) in ids.iter().zip(pieces) {
        for _ in 0..200_000 / piece {
            let bytes = Bytes::from(vec![0; piece]);
            pair.relay.data(*id, bytes).expect("open");
        }
    }
    let sent = streams_of(&frames(&mut pair.relay, pair.now));
    let mut shares: BTreeMap<u64, u64> = BTreeMap::new();
    let mut first = 0;
    for (id, bytes) in sent {
        *shares.entry(id).or_default() += bytes;
        // As long as all four have something to send.
        if shares.values().sum::<u64>() < 600_000 {
            let of = |id| shares.get(&id).copied().unwrap_or(0);
            let (least, most) = (ids.iter().map(|id| of(*id)), ids.iter().map(|id| of(*id)));
            let (least, most) = (least.min(), most.max());
            // A turn is 16 KiB plus the remainder of the one before. Small frames cost more.
            assert!(most <= least.map(|least| least + 40_000), "{shares:?}");
            first += 1;
        }
    }
    assert!(first > 200, "{first}");
    assert_eq!(shares.len(), 4);
}

#[test]
fn the_pieces_of_a_block_follow_each_other() {
    let mut pair = Pair::new();
    let ids: Vec<u64> = (0..3)
        .map(|_| pair.client.open(&get(), true).expect("room"))
        .collect();
    pair.client_sends();
    let mut head = ok();
    head.fields = crate::pair::long_get(60_000).request.headers;
    pair.relay.respond(ids[0], &head, true).expect("open");
    pair.relay.respond(ids[1], &head, true).expect("open");
    pair.relay.respond(ids[2], &ok(), true).expect("open");
    let sent = frames(&mut pair.relay, pair.now);
    let order: Vec<u64> = sent
        .iter()
        .filter_map(|frame| match frame {
            Frame::Block { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    // Therefore a peer assembles few blocks at a time. A block has at most four frames.
    assert_eq!(order, [1, 1, 1, 1, 2, 2, 2, 2, 3]);
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
    // Decreasing numbers would be a violation.
    let (_, events) = pair.settle();
    assert_eq!(events.len(), 50);
}
