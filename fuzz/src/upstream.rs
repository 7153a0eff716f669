//! The HTTP clients of a gateway, fed with the bytes of an API in arbitrary slices.

use fetchway_upstream::h1::ResponseReader;
use fetchway_upstream::h2::{Connection, Event};
use fetchway_upstream::{Failure, Limits, Request, Response};

const LIMITS: Limits = Limits {
    head: 512,
    body: 1_024,
    free: 64 << 10,
    wanted: &["content-type", "fetchway-state"],
};

/// The first byte is the number of bytes that follow it; these are lengths of slices, used again and
/// again.
fn slices(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = input.split_first()?;
    Some(rest.split_at(usize::from(*count).min(rest.len())))
}

fn each_slice<'a>(plan: &'a [u8], mut bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut plan = plan.iter().cycle();
    std::iter::from_fn(move || {
        let length = plan
            .next()
            .map_or(bytes.len(), |length| usize::from(*length).max(1));
        let (slice, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        (!slice.is_empty()).then_some(slice)
    })
}

/// For any slicing of a response, the result is the same, and within the limits.
pub fn upstream_h1(input: &[u8]) {
    let Some((plan, bytes)) = slices(input) else {
        return;
    };
    let whole = read(&[], bytes);
    assert_eq!(
        whole,
        read(plan, bytes),
        "slices of {plan:?} read differently"
    );
    if let Some((answer, _)) = whole {
        assert!(answer.body.len() <= LIMITS.body, "a body over the limit");
        assert!(!answer.status.is_informational(), "an informational answer");
    }
}

/// Returns the answer, if any, and whether another could follow.
fn read(plan: &[u8], bytes: &[u8]) -> Option<(Response, bool)> {
    let mut reading = ResponseReader::new();
    let mut read = 0;
    for slice in each_slice(plan, bytes) {
        read += slice.len();
        match reading.take(slice, &LIMITS) {
            Ok(None) => assert!(!reading.may_stay(), "it stays without an answer"),
            Ok(Some(answer)) => return Some((answer, reading.may_stay() && read == bytes.len())),
            Err(_) => return None,
        }
    }
    reading.end().ok().map(|answer| (answer, false))
}

/// For any slicing of a server's frames, the results are the same; each request has one end, within the
/// limits; and the output is in proportion to the input.
pub fn upstream_h2(input: &[u8]) {
    let Some((plan, bytes)) = slices(input) else {
        return;
    };
    let whole = talk(&[], bytes);
    assert_eq!(
        whole,
        talk(plan, bytes),
        "slices of {plan:?} read differently"
    );
    let (mut events, out, _) = whole;
    assert!(out <= MOST_SENT + 32 * bytes.len(), "{out} bytes went out");
    // With a body limit of 1 KiB, no stream gets near the end of its window.
    events.sort_by_key(|event| match event {
        Event::Response(stream, _) | Event::Failed(stream, _) | Event::Full(stream, _) => *stream,
    });
    assert_eq!(events.len(), BODIES.len(), "not each stream has an end");
    for (event, stream) in events.iter().zip([1, 3, 5]) {
        match event {
            Event::Response(id, answer) => {
                assert_eq!(*id, stream);
                assert!(answer.body.len() <= LIMITS.body, "a body over the limit");
                assert!(!answer.status.is_informational(), "an informational answer");
            }
            Event::Failed(id, _) => assert_eq!(*id, stream),
            Event::Full(..) => panic!("room is asked for without need"),
        }
    }
}

/// Bodies of the requests: none, a small one, and one that has to wait for windows.
const BODIES: [&[u8]; 3] = [b"", b"hello", &[b'x'; 70_000]];
/// Preface, heads, and bodies in frames of any length.
const MOST_SENT: usize = 72_000;

fn talk(plan: &[u8], bytes: &[u8]) -> (Vec<Event>, usize, Result<(), Failure>) {
    let (mut out, mut events) = (Vec::new(), Vec::new());
    let mut connection = Connection::new(&LIMITS, &mut out);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let begun = connection.take(&settings, &mut out, &mut events);
    assert_eq!((begun, connection.room() > 2), (Ok(()), true));
    for body in BODIES {
        let request = Request {
            method: "POST",
            authority: "api.test",
            path: "/client",
            fields: &[("content-type", b"text/plain")],
            body,
        };
        connection.send(&request, &mut out);
    }
    let mut result = Ok(());
    for slice in each_slice(plan, bytes) {
        result = connection.take(slice, &mut out, &mut events);
        if result.is_err() {
            break;
        }
    }
    connection.end(&mut events);
    assert_eq!(connection.active(), 0, "a stream outlives its connection");
    (events, out.len(), result)
}
