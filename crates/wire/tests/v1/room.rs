//! Room for the way out: of a stream, and of the session as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{Config, Frame, Reset, Session};

use crate::pair::{Pair, get, ok, parse};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A session with `streams` fetches to answer, whose relay holds 10,000 bytes at most.
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
    // What has been sent is still held; what is acknowledged is not.
    let mut out = BytesMut::new();
    relay.transmit(Instant::now(), &mut out, 60_000);
    assert!(relay.held() > 20_000 && relay.poll_room(2, &mut cx).is_pending());
    let sent = parse(out.freeze())
        .iter()
        .filter(|frame| frame.is_sequenced())
        .count();
    relay
        .receive(Frame::Ack(sent as u64), Instant::now())
        .expect("no breach");
    assert_eq!(relay.held(), 0);
    relay.take_wakers().into_iter().for_each(Waker::wake);
    // Each took room for a piece of 32 KiB, so one is enough for now.
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(relay.poll_room(2, &mut cx).is_ready());
    // It has no use for it, and ends: then it is the next one's.
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
