//! The reader of a gateway's clients: bytes of many reads, parsed in place.

use bytes::BytesMut;
use fetchway_ws::{Decoder, Event, Message, ProtocolError, ReadState, Received, Role};

/// Maximum length of a message in bytes.
const LIMIT: usize = 1_024;

type Read = (Vec<Event>, Option<ProtocolError>);

/// For any slicing of the bytes, and any pauses of the gateway, the events equal those of an early
/// decoder that has all bytes at once; and between messages nothing is kept.
///
/// The first byte is the number of control bytes that follow; the control bytes are used again and
/// again. Seven bits of each are the length of a slice. The highest bit means that at most one event is
/// taken before the next slice.
pub fn gateway_reader(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (plan, bytes) = rest.split_at(usize::from(*count).min(rest.len()));
    let whole = decoded(bytes);
    let sliced = sliced(bytes, plan);
    assert_eq!(whole, sliced, "slices of {plan:?} read differently");
}

fn decoded(bytes: &[u8]) -> Read {
    let mut decoder = Decoder::early(Role::Server, LIMIT);
    let mut buffer = BytesMut::from(bytes);
    let mut events = Vec::new();
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

fn sliced(bytes: &[u8], plan: &[u8]) -> Read {
    let mut plan = plan.iter().copied().cycle();
    let mut reading = ReadState::default();
    let mut events = Vec::new();
    let mut bytes = bytes;
    while !bytes.is_empty() {
        let step = plan.next().unwrap_or(0x7f);
        let (slice, rest) = bytes.split_at(usize::from(step & 0x7f).max(1).min(bytes.len()));
        bytes = rest;
        let at_most = if step & 0x80 == 0 { usize::MAX } else { 1 };
        match taken(reading, slice, at_most, &mut events) {
            Ok(kept) => reading = kept,
            Err(error) => return (events, Some(error)),
        }
    }
    // Events that a pause left.
    match taken(reading, &[], usize::MAX, &mut events) {
        Ok(_) => (events, None),
        Err(error) => (events, Some(error)),
    }
}

/// One read, of which at most `most` events are taken.
fn taken(
    reading: ReadState,
    slice: &[u8],
    at_most: usize,
    events: &mut Vec<Event>,
) -> Result<ReadState, ProtocolError> {
    // Another socket uses the buffer before the next read.
    let mut buffer = slice.to_vec();
    let mut slice = reading.with(&mut buffer, LIMIT);
    for _ in 0..at_most {
        let Some(next) = slice.next()? else {
            break;
        };
        events.push(match next {
            Received::Event(event) => event,
            Received::Message(text, data) => Event::Message(Message {
                text,
                data: data.into(),
            }),
        });
        if let Some(Event::Message(message)) = events.last() {
            assert!(message.data.len() <= LIMIT, "a message over the limit");
            assert!(
                !message.text || std::str::from_utf8(&message.data).is_ok(),
                "a text that is not UTF-8"
            );
        }
    }
    Ok(slice.keep())
}
