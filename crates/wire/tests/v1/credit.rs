//! Limits: violations of them, and what raises them and returns credit.

use bytes::Bytes;
use fetchway_wire::v1::{Config, Event, Frame, Reset, Violation};

use crate::pair::{Pair, data, frames, get, ok, open, receive, relay};

const STREAM: usize = 16 << 10;
const SESSION: usize = 64 << 10;

/// A configuration with the minimum limits.
fn small() -> Config {
    Config {
        session_window: SESSION as u64,
        stream_window: STREAM as u64,
        ..Config::default()
    }
}

#[test]
fn a_byte_over_a_streams_limit_is_a_breach() {
    let (mut relay, now) = relay(small());
    let fits = vec![
        open(1, false),
        data(1, vec![0; STREAM - 1], false),
        data(1, vec![0; 1], false),
    ];
    receive(&mut relay, fits, now).expect("within the limit");
    let over = relay.receive(data(1, vec![0; 1], false), now);
    assert!(matches!(over, Err(Violation::Credit(_))), "{over:?}");
    assert_eq!(Violation::Credit("").code(), 4413);
}

#[test]
fn a_byte_over_the_sessions_limit_is_a_breach() {
    let (mut relay, now) = relay(small());
    let head = open(1, false).weight();
    let mut left = SESSION as u64;
    for stream in 1.. {
        relay.receive(open(stream, false), now).expect("credit");
        left -= head;
        let piece = left.min(STREAM as u64 - 1) as usize;
        relay
            .receive(data(stream, vec![0; piece], false), now)
            .expect("credit");
        left -= piece as u64;
        if left == 0 {
            // The stream's own limit has room for one more piece.
            let over = relay.receive(data(stream, vec![0; 1], false), now);
            assert!(matches!(over, Err(Violation::Credit(_))), "{over:?}");
            return;
        }
    }
}

#[test]
fn blocks_count_in_the_session_and_are_taken_as_they_come() {
    let mut pair = Pair::with(Config::default(), small());
    let weight = open(1, true).weight();
    for _ in 0..3 * SESSION as u64 / weight {
        let id = pair
            .client
            .open(&get(), true)
            .expect("they end as they come");
        pair.client_sends();
        pair.relay.respond(id, &ok(), true).expect("open");
        pair.relay_sends();
    }
    pair.settle();
    assert_eq!((pair.client.unread(), pair.relay.unread()), (0, 0));
}

#[test]
fn taking_bytes_raises_limits_by_half_windows() {
    let (mut relay, now) = relay(small());
    receive(
        &mut relay,
        vec![open(1, false), data(1, vec![0; STREAM], false)],
        now,
    )
    .expect("credit");
    frames(&mut relay, now + fetchway_wire::v1::session::ACK_DELAY);
    relay.consumed(1, STREAM as u64 / 2 - 1);
    assert_eq!(frames(&mut relay, now), [], "not yet half a window");
    relay.consumed(1, 1);
    let limit = Frame::Limit {
        stream: 1,
        bytes: (STREAM + STREAM / 2) as u64,
    };
    assert_eq!(frames(&mut relay, now), [limit]);
    receive(&mut relay, vec![data(1, vec![0; STREAM / 2], false)], now).expect("new credit");
    let over = relay.receive(data(1, vec![0; 1], false), now);
    assert!(matches!(over, Err(Violation::Credit(_))), "{over:?}");
}

#[test]
fn limits_that_rise_before_one_is_sent_are_one() {
    let mut config = small();
    config.stream_window = 4 * STREAM as u64;
    let mut pair = Pair::with(Config::default(), config);
    let id = pair.stream();
    pair.client
        .data(id, Bytes::from(vec![0; SESSION]))
        .expect("open");
    pair.client_sends();
    for _ in 0..SESSION {
        pair.relay.consumed(id, 1);
    }
    let limits = frames(&mut pair.relay, pair.now);
    let limits = limits
        .iter()
        .filter(|frame| matches!(frame, Frame::Limit { .. }));
    assert_eq!(limits.count(), 2, "one of the stream, one of the session");
}

#[test]
fn a_late_limit_does_no_harm() {
    let mut pair = Pair::new();
    let id = pair.stream();
    for stream in [0, id] {
        let frame = Frame::Limit { stream, bytes: 1 };
        pair.client.receive(frame, pair.now).expect("a LIMIT");
    }
    pair.client
        .data(id, Bytes::from(vec![7; 20_000]))
        .expect("open");
    let events = pair.client_sends();
    assert_eq!(crate::pair::body(&events, id).len(), 20_000);
}

#[test]
fn a_slow_reader_holds_up_its_own_stream_only() {
    let mut pair = Pair::with(small(), Config::default());
    let (slow, fast) = (pair.stream(), pair.stream());
    let sent = 500_000;
    for id in [slow, fast] {
        pair.relay
            .data(id, Bytes::from(vec![id as u8; sent]))
            .expect("open");
    }
    let mut read = 0;
    for _ in 0..1_000 {
        for event in pair.settle().0 {
            if let Event::Data { stream, bytes, .. } = event
                && stream == fast
            {
                read += bytes.len();
                pair.client.consumed(fast, bytes.len() as u64);
            }
        }
    }
    assert_eq!(read, sent);
    assert_eq!(pair.client.unread(), STREAM as u64);
}

/// Whatever ends a stream, the bytes that nobody has read or will read are returned as credit.
#[test]
fn bytes_that_nobody_reads_give_their_credit_back() {
    type Ending = fn(&mut Pair, u64);
    let endings: [(&str, Ending); 4] = [
        ("the relay stops the body", |pair, id| {
            pair.relay.stop(id).expect("open");
        }),
        ("the relay resets the stream", |pair, id| {
            pair.relay.reset(id, Reset::cancelled()).expect("open");
        }),
        ("the relay ends the stream", |pair, id| {
            pair.relay.end(id).expect("open");
        }),
        ("the client cancels", |pair, id| {
            pair.client.reset(id, Reset::cancelled()).expect("open");
        }),
    ];
    for (name, ending) in endings {
        let mut pair = Pair::with(Config::default(), small());
        // Many times the session's window: without the credit, everything would stop.
        for _ in 0..3 * SESSION / STREAM {
            let id = pair.stream();
            let piece = Bytes::from(vec![0; STREAM / 2]);
            pair.client.data(id, piece.clone()).expect("open");
            pair.client_sends();
            assert_eq!(pair.relay.unread(), piece.len() as u64, "{name}");
            // One half is unread when the stream ends, the other is in transit.
            pair.client.data(id, piece).expect("open");
            let late = frames(&mut pair.client, pair.now);
            ending(&mut pair, id);
            let to_client = frames(&mut pair.relay, pair.now);
            receive(&mut pair.relay, late, pair.now).expect("under way, so ignored");
            receive(&mut pair.client, to_client, pair.now).expect("an ending");
            pair.settle();
            if name == "the relay stops the body" {
                assert_eq!(pair.relay.unread(), 0, "{name}");
                pair.relay.end(id).expect("open");
                pair.settle();
            }
            assert_eq!(pair.relay.unread(), 0, "{name}");
            assert_eq!(pair.relay.open_streams(), 0, "{name}");
            assert_eq!(pair.client.open_streams(), 0, "{name}");
        }
    }
}

#[test]
fn a_client_that_drops_a_body_that_has_ended_gives_its_credit_back() {
    for by_reset in [true, false] {
        let mut pair = Pair::with(small(), Config::default());
        let id = pair.stream();
        pair.relay
            .data(id, Bytes::from(vec![0; 1_000]))
            .expect("open");
        pair.relay.end(id).expect("open");
        pair.settle();
        assert_eq!(
            (pair.client.open_streams(), pair.client.unread()),
            (0, 1_000)
        );
        if by_reset {
            assert!(
                pair.client.reset(id, Reset::cancelled()).is_err(),
                "it has ended"
            );
        } else {
            pair.client.consumed(id, 1_000);
        }
        assert_eq!(pair.client.unread(), 0);
        // Bytes that are reported twice count once.
        pair.client.consumed(id, 1_000);
        assert_eq!(pair.client.unread(), 0);
    }
}

#[test]
fn a_reset_needs_no_credit() {
    let mut pair = Pair::with(Config::default(), small());
    let ids: Vec<u64> = (0..8).map(|_| pair.stream()).collect();
    for id in &ids {
        pair.client
            .data(*id, Bytes::from(vec![0; STREAM]))
            .expect("open");
    }
    pair.client_sends();
    assert_eq!(pair.client.open(&get(), true), Some(9));
    assert!(
        !frames(&mut pair.client, pair.now)
            .iter()
            .any(|frame| frame.weight() > 0),
        "no credit is left"
    );
    pair.client.reset(ids[0], Reset::cancelled()).expect("open");
    let events = pair.client_sends();
    assert!(matches!(events[..], [Event::Reset { .. }]), "{events:?}");
}
