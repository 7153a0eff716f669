//! Flow control with hand-made frames: what the server's windows hold back, and the windows that we
//! grant.

use std::collections::HashMap;

use fetchway_upstream::h2::Event;

use crate::peer::*;

/// Returns the number of data bytes sent since the last call, and whether they ended their streams.
fn data(talk: &mut Talk) -> HashMap<u32, (usize, bool)> {
    let mut sent = HashMap::new();
    for frame in talk.frames() {
        if frame.kind == DATA {
            let (length, ended): &mut (usize, bool) = sent.entry(frame.stream).or_default();
            assert!(!*ended, "data behind an end");
            *length += frame.payload.len();
            *ended = frame.flags & END_STREAM != 0;
        }
    }
    sent
}

#[test]
fn a_body_waits_for_its_stream() {
    let mut talk = Talk::with(&[(4, 10)]);
    talk.send(&[b'x'; 25]);
    assert_eq!(data(&mut talk), [(1, (10, false))].into());
    talk.feed(&window_update(1, 4)).expect("a window");
    assert_eq!(data(&mut talk), [(1, (4, false))].into());
    // Windows that shrink below zero must first be refilled.
    talk.feed(&settings(&[(4, 5)])).expect("SETTINGS");
    talk.feed(&window_update(1, 5)).expect("a window");
    assert_eq!(data(&mut talk), [].into());
    talk.feed(&settings(&[(4, 15)])).expect("SETTINGS");
    assert_eq!(data(&mut talk), [(1, (10, false))].into());
    talk.feed(&window_update(1, 100)).expect("a window");
    assert_eq!(data(&mut talk), [(1, (1, true))].into());
    talk.feed(&window_update(1, 100)).expect("a window");
    assert_eq!(data(&mut talk), [].into());
}

#[test]
fn bodies_wait_for_the_connection_and_go_in_order() {
    let mut talk = Talk::with(&[(4, 100_000)]);
    talk.send(&[b'x'; 65_000]);
    talk.send(&[b'x'; 1_000]);
    talk.send(&[b'x'; 500]);
    assert_eq!(
        data(&mut talk),
        [(1, (65_000, true)), (3, (535, false))].into()
    );
    talk.feed(&window_update(0, 500)).expect("a window");
    assert_eq!(data(&mut talk), [(3, (465, true)), (5, (35, false))].into());
    talk.connection.cancel(5, &mut talk.out);
    talk.feed(&window_update(0, 500)).expect("a window");
    assert_eq!(data(&mut talk), [].into());
}

#[test]
fn frames_are_as_large_as_the_server_takes() {
    let mut talk = Talk::with(&[(5, 20_000)]);
    talk.send(&[b'x'; 50_000]);
    let lengths: Vec<usize> = talk
        .frames()
        .iter()
        .filter(|f| f.kind == DATA)
        .map(|f| f.payload.len())
        .collect();
    assert_eq!(lengths, [20_000, 20_000, 10_000]);
}

#[test]
fn an_early_answer_ends_the_request() {
    let mut talk = Talk::with(&[(4, 10)]);
    talk.send(&[b'x'; 25]);
    talk.frames();
    talk.feed(&headers(ALL, 1, &[(":status", "413")]))
        .expect("a head");
    assert_eq!(talk.answer(1).status, 413);
    let [reset] = &talk.frames()[..] else {
        panic!("no reset");
    };
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
    talk.feed(&window_update(1, 100)).expect("a window");
    talk.feed(&window_update(0, 100)).expect("a window");
    assert_eq!(talk.frames(), []);
}

/// Returns the window updates for this number of full data frames on a stream, each as (stream, frames
/// before it, bytes).
fn given(talk: &mut Talk, stream: u32, frames: usize) -> Vec<(u32, usize, u32)> {
    let mut given = Vec::new();
    let full = frame(DATA, PADDED, stream, &[&[100][..], &[0; 16_383]].concat());
    for nth in 1..=frames {
        talk.feed(&full).expect("data");
        given.extend(
            growths(talk)
                .into_iter()
                .map(|(of, growth)| (of, nth, growth)),
        );
    }
    given
}

/// Returns the window updates sent since the last call, by stream.
fn growths(talk: &mut Talk) -> Vec<(u32, u32)> {
    let frames = talk.frames().into_iter();
    let growth = |frame: Sent| {
        assert_eq!(frame.kind, WINDOW_UPDATE, "{frame:?}");
        let growth = frame.payload.try_into().expect("four bytes");
        (frame.stream, u32::from_be_bytes(growth))
    };
    frames.map(growth).collect()
}

#[test]
fn a_stream_is_given_room_when_the_driver_has_it() {
    let mut talk = Talk::asked(1);
    talk.feed(&headers(HEAD, 1, &[(":status", "200")]))
        .expect("a head");
    // Four full frames are the whole window of the stream. The stream asks once, with less than a frame
    // left.
    assert_eq!(given(&mut talk, 1, 4), []);
    let kept = 4 * (16_383 - 100);
    assert_eq!(talk.events(), [Event::Full(1, kept)]);
    talk.connection.grant(1, 40_000, &mut talk.out);
    assert_eq!(growths(&mut talk), [(1, 40_000)]);
    assert_eq!(given(&mut talk, 1, 2), []);
    assert_eq!(talk.events(), [Event::Full(1, kept + kept / 2)]);
    // More data than was granted fails the stream.
    talk.feed(&frame(DATA, 0, 1, &[0; 8_000])).expect("data");
    talk.failure(1);
}

#[test]
fn what_came_is_given_back_to_the_connection_by_halves() {
    let mut talk = Talk::asked(1);
    talk.connection.cancel(1, &mut talk.out);
    talk.frames();
    // Data of a stream that no longer exists: 512 frames are 8 MiB.
    assert_eq!(given(&mut talk, 1, 600), [(0, 512, 8 << 20)]);
}
