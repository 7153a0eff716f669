//! A client forgets everything except a few hundred bytes, and continues from them.

use bytes::Bytes;
use fetchway_wire::v1::session::{CannotSave, Saved};
use fetchway_wire::v1::{Config, Event, Session};

use crate::pair::{Pair, body, frames, get, ok};

/// Creates a pair with `count` fetches that wait for their responses.
fn waiting(count: u64) -> Pair {
    let config = Config {
        streams: 5_000,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    for n in 1..=count {
        let mut head = get();
        head.tag = Bytes::from(format!("tag {n}"));
        assert_eq!(pair.client.open(&head, true), Some(n));
    }
    pair.settle();
    pair
}

/// The client sleeps, and returns on a new socket with only the saved state.
fn sleep(pair: &mut Pair) {
    let saved = pair.client.save().expect("quiescent");
    pair.client = Session::restore(&saved).expect("as saved");
    assert_eq!(pair.client.save(), Ok(saved), "the same again");
    pair.resume();
    pair.settle();
}

#[test]
fn a_thousand_open_streams_take_less_than_400_bytes() {
    let pair = waiting(1_000);
    let saved = pair.client.save().expect("quiescent");
    assert!(saved.0.len() < 400, "{} bytes", saved.0.len());
    let restored = Session::restore(&saved).expect("as saved");
    assert_eq!(restored.open_streams(), 1_000);
}

#[test]
fn responses_find_their_way_by_tag_after_the_client_slept() {
    let mut pair = waiting(1_000);
    sleep(&mut pair);
    for id in (1..=1_000).rev() {
        let mut head = ok();
        head.tag = Bytes::from(format!("tag {id}"));
        pair.relay.respond(id, &head, false).expect("open");
        pair.relay
            .data(id, Bytes::from(vec![id as u8; 100]))
            .expect("open");
        pair.relay.end(id).expect("open");
    }
    let (events, _) = pair.settle();
    let mut heads = 0;
    for event in &events {
        if let Event::Head { stream, head, .. } = event {
            assert_eq!(head.tag, format!("tag {stream}"));
            assert_eq!(body(&events, *stream), vec![*stream as u8; 100]);
            heads += 1;
        }
    }
    assert_eq!(heads, 1_000);
    for id in 1..=1_000 {
        pair.client.consumed(id, 100);
    }
    assert_eq!((pair.client.open_streams(), pair.client.unread()), (0, 0));
    assert_eq!(pair.client.open(&get(), true), Some(1_001));
    let (_, events) = pair.settle();
    assert!(matches!(events[..], [Event::Opened { stream: 1_001, .. }]));
}

#[test]
fn what_came_while_the_client_slept_is_sent_again() {
    let mut pair = waiting(3);
    let saved = pair.client.save().expect("quiescent");
    for id in 1..=3 {
        pair.relay.respond(id, &ok(), false).expect("open");
    }
    frames(&mut pair.relay, pair.now);
    pair.client = Session::restore(&saved).expect("as saved");
    pair.resume();
    let (events, _) = pair.settle();
    let heads = events
        .iter()
        .filter(|event| matches!(event, Event::Head { .. }));
    assert_eq!(heads.count(), 3);
}

#[test]
fn limits_and_counts_go_on_after_many_sleeps() {
    let mut pair = waiting(0);
    for round in 1..=50u64 {
        let id = pair.stream();
        pair.client
            .data(id, Bytes::from(vec![0; 30_000]))
            .expect("open");
        pair.client.end(id).expect("open");
        let (_, events) = pair.settle();
        let came = body(&events, id).len() as u64;
        assert_eq!(came, 30_000, "in round {round}");
        pair.relay.consumed(id, came);
        pair.relay
            .data(id, Bytes::from(vec![0; 30_000]))
            .expect("open");
        pair.relay.end(id).expect("open");
        let (events, _) = pair.settle();
        pair.client.consumed(id, body(&events, id).len() as u64);
        pair.settle();
        sleep(&mut pair);
    }
}

#[test]
fn what_cannot_be_saved_says_why() {
    let client = Session::client(Config::default());
    assert_eq!(client.save(), Err(CannotSave::NoToken));

    let mut pair = waiting(1);
    let id = pair.client.open(&get(), true).expect("room");
    assert_eq!(pair.client.save(), Err(CannotSave::Sending), "not sent");
    frames(&mut pair.client, pair.now);
    assert_eq!(
        pair.client.save(),
        Err(CannotSave::Sending),
        "not acknowledged"
    );
    let mut pair = waiting(1);
    let upload = pair.client.open(&get(), false).expect("room");
    pair.settle();
    assert_eq!(pair.client.save(), Err(CannotSave::Sending), "an upload");
    pair.client.end(upload).expect("open");
    pair.settle();
    assert!(pair.client.save().is_ok());

    pair.relay.respond(id, &ok(), false).expect("open");
    pair.settle();
    assert_eq!(
        pair.client.save(),
        Err(CannotSave::Receiving),
        "half received"
    );
    pair.relay.data(id, Bytes::from_static(b"x")).expect("open");
    pair.relay.end(id).expect("open");
    pair.settle();
    assert_eq!(pair.client.save(), Err(CannotSave::Receiving), "half read");
    pair.client.consumed(id, 1);
    assert!(pair.client.save().is_ok());

    let mut pair = waiting(66);
    for id in (2..=66).step_by(2) {
        pair.relay.respond(id, &ok(), true).expect("open");
    }
    pair.settle();
    assert_eq!(pair.client.save(), Err(CannotSave::Scattered));
    pair.relay.respond(33, &ok(), true).expect("open");
    pair.settle();
    let saved = pair.client.save().expect("32 ranges");
    assert!(saved.0.len() < 400, "{} bytes", saved.0.len());
}

#[test]
fn bytes_that_were_never_saved_are_refused() {
    let saved = waiting(10).client.save().expect("quiescent");
    for len in 0..saved.0.len() {
        assert!(Session::restore(&Saved(saved.0[..len].to_vec())).is_err());
    }
    let mut longer = saved.0.clone();
    longer.push(0);
    assert!(Session::restore(&Saved(longer)).is_err());
    // A range of 2^61 streams, in modified bytes, must not be allocated.
    let mut huge = saved.0[..16].to_vec();
    let most = [0xff; 8];
    for n in 0..13 {
        match n {
            0 | 1 => huge.extend_from_slice(&most),
            12 => huge.push(1),
            _ => huge.push(0),
        }
    }
    huge.push(1);
    huge.extend_from_slice(&[0xe0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(Session::restore(&Saved(huge)).is_err());
}
