//! Cancels are limited (rapid reset), and queues stay bounded whoever cancels.

use std::time::{Duration, Instant};

use fetchway_wire::v1::{Config, Frame, Reset, Session, Violation};

use crate::pair::{Pair, frames, get, ok, open, relay};

fn open_and_cancel(relay: &mut Session, id: u64, now: Instant) -> Result<(), Violation> {
    relay.receive(open(id, true), now)?;
    let reset = Frame::Reset {
        stream: id,
        reset: Reset::cancelled(),
    };
    relay.receive(reset, now).map(|_| ())
}

#[test]
fn opening_and_cancelling_as_fast_as_the_link_allows_is_a_breach() {
    let (mut relay, now) = relay(Config::default());
    for id in 1..=1_000 {
        open_and_cancel(&mut relay, id, now).expect("in hand");
    }
    let violation = open_and_cancel(&mut relay, 1_001, now);
    assert_eq!(violation, Err(Violation::Cancels));
    assert_eq!(Violation::Cancels.code(), 4420);
}

#[test]
fn a_cancel_comes_back_every_10_ms() {
    let (mut relay, mut now) = relay(Config::default());
    for id in 1..=1_000 {
        open_and_cancel(&mut relay, id, now).expect("in hand");
    }
    // 15 ms give one and a half cancels back, and no part of them is lost.
    for id in 0..1_000 {
        now += Duration::from_millis(15);
        open_and_cancel(&mut relay, 2_000 + 2 * id, now).expect("one has come back");
        if id % 2 == 1 {
            open_and_cancel(&mut relay, 2_001 + 2 * id, now).expect("and a half twice");
        }
    }
    assert_eq!(
        open_and_cancel(&mut relay, 9_000, now),
        Err(Violation::Cancels)
    );
}

#[test]
fn no_more_than_1_000_are_saved_up() {
    let (mut relay, mut now) = relay(Config::default());
    open_and_cancel(&mut relay, 1, now).expect("in hand");
    now += Duration::from_secs(1 << 20);
    for id in 2..=1_001 {
        open_and_cancel(&mut relay, id, now).expect("in hand");
    }
    assert_eq!(
        open_and_cancel(&mut relay, 2_000, now),
        Err(Violation::Cancels)
    );
}

#[test]
fn a_fetch_that_ends_otherwise_gives_one_back() {
    let mut pair = Pair::new();
    // Every second fetch is cancelled, with no time passing.
    for n in 0..5_000 {
        let id = pair.client.open(&get(), true).expect("room");
        pair.client_sends();
        if n % 2 == 0 {
            pair.relay.respond(id, &ok(), true).expect("open");
        } else {
            pair.client.reset(id, Reset::cancelled()).expect("open");
        }
        pair.client_sends();
        pair.relay_sends();
    }
}

/// A peer that blocks all sending (no credit, no acknowledgement) opens and cancels slowly.
#[test]
fn answers_to_cancelled_fetches_do_not_pile_up() {
    let config = Config {
        unacked: 1,
        ..Config::default()
    };
    let (mut relay, mut now) = relay(config);
    let size = |relay: &Session| format!("{relay:?}").len();
    let mut most = 0;
    for id in 1..20_000 {
        now += Duration::from_millis(10);
        relay.receive(open(id, false), now).expect("an OPEN");
        if id % 3 == 0 {
            relay.stop(id).expect("open");
        }
        relay.respond(id, &ok(), true).expect("open");
        frames(&mut relay, now);
        let reset = Frame::Reset {
            stream: id,
            reset: Reset::cancelled(),
        };
        relay.receive(reset, now).expect("slowly");
        if id == 1_000 {
            most = size(&relay) * 2;
        }
    }
    assert!(
        size(&relay) <= most,
        "{} bytes of state, {most} expected",
        size(&relay)
    );
    assert_eq!(relay.open_streams(), 0);
}

/// The same at a client without a socket.
#[test]
fn fetches_cancelled_while_there_is_no_socket_do_not_pile_up() {
    let mut pair = Pair::new();
    pair.client.disconnect();
    let mut sizes = Vec::new();
    for n in 0..20_000 {
        let id = pair.client.open(&get(), true).expect("room");
        pair.client.reset(id, Reset::cancelled()).expect("open");
        if n % 10_000 == 999 {
            sizes.push(format!("{:?}", pair.client).len());
        }
    }
    assert!(sizes[1] <= sizes[0] * 2, "{sizes:?}");
}
