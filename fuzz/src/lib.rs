//! What must hold for every input: the bodies of the fuzz targets, also run by `cargo test` on the
//! committed corpora. Each panics when it does not hold.

mod batch_output;
mod gateway_reader;
mod proxy_protocol;
mod upstream;
mod v1_frames;
mod v1_session;

pub use batch_output::batch_output;
pub use gateway_reader::gateway_reader;
pub use proxy_protocol::proxy_protocol;
pub use upstream::{upstream_h1, upstream_h2};
pub use v1_frames::v1_frames;
pub use v1_session::v1_session;

use bytes::BytesMut;
use fetchway_wire::json::{Id, Message, decode_item, decode_request};
use fetchway_ws::{Decoder, Event, ProtocolError, Role};
use serde_json::value::RawValue;

/// Any bytes are a request or a refusal; the id in either is JSON that can be echoed as it is, and
/// decoding again gives the same.
pub fn relay_json(input: &[u8]) {
    let echoed = match decode_request(input) {
        Ok(Message::Fetch(fetch)) => {
            assert!(
                matches!(fetch.url.scheme(), "http" | "https"),
                "a scheme that is not ours"
            );
            for (name, value) in &fetch.headers {
                let bytes = value.as_bytes();
                assert!(
                    !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
                    "{name} can split"
                );
            }
            fetch.id
        }
        Ok(Message::Cancel(id)) => id,
        Err(refusal) => {
            assert!(
                !refusal.error.detail.is_empty(),
                "a refusal without a reason"
            );
            refusal.id.unwrap_or_else(Id::unknown)
        }
    };
    // A batch's line is the same request, but for an id that it need not have.
    if let Ok((_, item)) = decode_item(input)
        && item.id != Id::null()
    {
        assert_eq!(item.id, echoed, "an item has another id than its request");
    }
    // As grammar only: "\ud800" and 1e999 are JSON, though no string or number of Rust's.
    for text in [echoed.as_json(), echoed.key()] {
        assert!(
            serde_json::from_str::<&RawValue>(text).is_ok(),
            "{text} is not JSON"
        );
    }
    let again = match decode_request(input) {
        Ok(Message::Fetch(fetch)) => fetch.id,
        Ok(Message::Cancel(id)) => id,
        Err(refusal) => refusal.id.unwrap_or_else(Id::unknown),
    };
    assert_eq!(echoed, again, "the same bytes decode to another id");
}

/// Longest message the reader under test keeps.
const LIMIT: usize = 1_024;

/// However the bytes are sliced, the events are the same, and no message is over the limit.
///
/// The first byte says how: its highest bit is the side, the others the length of a slice.
pub fn ws_reader(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else {
        return;
    };
    let role = if first & 0x80 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let slice = usize::from(first & 0x7f).max(1);
    let whole = read(role, bytes, bytes.len().max(1));
    let sliced = read(role, bytes, slice);
    assert_eq!(whole, sliced, "slices of {slice} bytes read differently");
}

fn read(role: Role, bytes: &[u8], slice: usize) -> (Vec<Event>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(role, LIMIT);
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    for part in bytes.chunks(slice) {
        buffer.extend_from_slice(part);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
            assert!(
                decoder.buffered() <= LIMIT,
                "more is kept than the limit allows"
            );
        }
    }
    for event in &events {
        if let Event::Message(message) = event {
            assert!(message.data.len() <= LIMIT, "a message over the limit");
        }
    }
    (events, None)
}
