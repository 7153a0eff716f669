//! Room for outbound data: of a stream, and of the session as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{Config, Frame, Reset, Session};

use crate::pair::{Pair, frames, get, ok, parse};

/// A waker that counts its calls.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Creates a session with `streams` fetches to answer, whose relay holds 10,000 bytes at most.
fn pair(streams: u64) -> Pair {
    let held = Config {
        held: 10_000,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), held);
    pair.settle();
    for _ in 0..streams {
        pair.client.open(&get(), true).expect("few streams");
    }
    pair.client_sends();
    pair
}

fn respond(relay: &mut Session, stream: u64, body: usize) {
    relay.respond(stream, &ok(), false).expect("it is open");
    relay
        .data(stream, vec![0; body].into())
        .expect("it is open");
}

#[test]
fn a_session_that_holds_enough_lets_all_its_streams_wait() {
    let mut pair = pair(3);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let relay = &mut pair.relay;
    assert!(relay.poll_room(1, &mut cx).is_ready(), "for a head");
    respond(relay, 1, 20_000);
    for stream in [2, 3, 2, 3] {
        assert!(relay.poll_room(stream, &mut cx).is_pending());
    }
    // Data that was sent is still held; acknowledged data is not.
    let mut out = BytesMut::new();
    relay.transmit(Instant::now(), &mut out, 60_000);
    assert!(relay.held() > 20_000 && relay.poll_room(2, &mut cx).is_pending());
    let sent = parse(out.freeze())
        .iter()
        .filter(|frame| frame.is_sequenced())
        .count();
    relay
        .receive(Frame::Ack(sent as u64), Instant::now())
        .expect("no violation");
    assert_eq!(relay.held(), 0);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    // Each stream takes room for a piece of 32 KiB, so one is enough for now.
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(relay.poll_room(2, &mut cx).is_ready());
    // The stream does not need the room, and ends: then it is the next one's turn.
    let reset = Reset {
        tag: Bytes::new(),
        name: "dns_error".into(),
        detail: String::new(),
    };
    relay.reset(2, reset).expect("it is open");
    relay.transmit(Instant::now(), &mut BytesMut::new(), 60_000);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert!(relay.poll_room(3, &mut cx).is_ready());
}

/// Takes everything that the relay has to send, as if the client had received it.
fn acknowledge(relay: &mut Session, before: &mut u64) {
    let mut out = BytesMut::new();
    relay.transmit(Instant::now(), &mut out, 60_000);
    let sent = parse(out.freeze());
    *before += sent.iter().filter(|frame| frame.is_sequenced()).count() as u64;
    relay
        .receive(Frame::Ack(*before), Instant::now())
        .expect("no violation");
}

#[test]
fn room_that_is_not_used_is_the_next_ones() {
    let mut pair = pair(4);
    let counts = [(); 4].map(|()| Arc::new(Count::default()));
    let wakers = counts.clone().map(Waker::from);
    let woken = |stream: usize| counts[stream - 1].0.load(Ordering::Relaxed);
    let relay = &mut pair.relay;
    let mut acknowledged = 0;
    let cx = |stream: usize| Context::from_waker(&wakers[stream - 1]);
    assert!(relay.poll_room(1, &mut cx(1)).is_ready());
    respond(relay, 1, 20_000);
    for stream in [2, 3, 4] {
        assert!(relay.poll_room(stream as u64, &mut cx(stream)).is_pending());
    }
    acknowledge(relay, &mut acknowledged);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!([2, 3, 4].map(woken), [1, 0, 0]);
    // Stream 2 gets the room, and then waits for its origin: it has nothing to send.
    assert!(relay.poll_room(2, &mut cx(2)).is_ready());
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!([2, 3, 4].map(woken), [1, 1, 0]);
    // Stream 3 uses the room up, so the chain ends there.
    assert!(relay.poll_room(3, &mut cx(3)).is_ready());
    respond(relay, 3, 20_000);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!([2, 3, 4].map(woken), [1, 1, 1]);
    assert!(relay.poll_room(4, &mut cx(4)).is_pending());
    acknowledge(relay, &mut acknowledged);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!([2, 3, 4].map(woken), [1, 1, 2]);
}

/// A stream whose own queue is full cannot use the session's room either.
#[test]
fn a_full_stream_passes_the_sessions_room_on() {
    let client = Config {
        stream_window: 0,
        ..Config::default()
    };
    let relay = Config {
        held: 60_000,
        ..Config::default()
    };
    let mut pair = Pair::with(client, relay);
    for _ in 0..4 {
        pair.client.open(&get(), true).expect("few streams");
    }
    pair.client_sends();
    let counts = [(); 2].map(|()| Arc::new(Count::default()));
    let wakers = counts.clone().map(Waker::from);
    let woken = || counts.clone().map(|count| count.0.load(Ordering::Relaxed));
    let relay = &mut pair.relay;
    let mut acknowledged = 0;
    // The first stream may send 16 KiB, and more than 32 KiB remain.
    respond(relay, 1, 50_000);
    acknowledge(relay, &mut acknowledged);
    respond(relay, 3, 14_000);
    respond(relay, 4, 14_000);
    for (stream, waker) in (1..).zip(&wakers) {
        let mut cx = Context::from_waker(waker);
        assert!(relay.poll_room(stream, &mut cx).is_pending());
    }
    acknowledge(relay, &mut acknowledged);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!(woken(), [1, 0]);
    let mut cx = Context::from_waker(&wakers[0]);
    assert!(relay.poll_room(1, &mut cx).is_pending());
    relay.take_wakers().into_iter().for_each(Waker::wake);
    assert_eq!(woken(), [1, 1]);
}

#[test]
fn a_stream_of_single_bytes_is_full_before_they_fill_the_session() {
    let client = Config {
        stream_window: 0,
        ..Config::default()
    };
    let mut pair = Pair::with(client, Config::default());
    let ids: Vec<u64> = (0..8).map(|_| pair.stream()).collect();
    let relay = &mut pair.relay;
    for id in &ids {
        // Everything that the client allows.
        relay.data(*id, vec![0; 16 << 10].into()).expect("open");
    }
    frames(relay, pair.now);
    let before = relay.held();
    let mut cx = Context::from_waker(Waker::noop());
    for id in &ids {
        let mut given = 0;
        while relay.poll_room(*id, &mut cx).is_ready() && given < 32 << 10 {
            relay.data(*id, Bytes::from_static(b"x")).expect("open");
            given += 1;
        }
        assert!(given >= 100, "{given} pieces");
    }
    let more = relay.held() - before;
    assert!(
        more <= 8 * (33 << 10),
        "{more} bytes for 8 streams of 32 KiB"
    );
}

#[test]
fn a_byte_counts_as_what_it_takes() {
    let mut pair = pair(1);
    let relay = &mut pair.relay;
    relay.transmit(Instant::now(), &mut BytesMut::new(), 60_000);
    respond(relay, 1, 1);
    let before = relay.held();
    for _ in 0..10 {
        relay.data(1, Bytes::from_static(b"x")).expect("it is open");
    }
    assert!(
        relay.held() - before > 2_000,
        "{} bytes",
        relay.held() - before
    );
}
