//! Properties that hold for every input: the bodies of the fuzz targets. `cargo test` also runs them on
//! the committed corpora. Each property panics when it is violated.

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

/// Any bytes are a request or a refusal. The id in either is JSON that can be repeated as it is, and
/// decoding a second time gives the same result.
pub fn relay_json(input: &[u8]) {
    let echoed = match decode_request(input) {
        Ok(Message::Fetch(fetch)) => {
            assert!(
                matches!(fetch.request.url.scheme(), "http" | "https"),
                "a scheme that is not ours"
            );
            for (name, value) in &fetch.request.headers {
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
    // A batch item is the same request, except that the id is optional.
    if let Ok((_, item)) = decode_item(input)
        && item.id != Id::null()
    {
        assert_eq!(item.id, echoed, "an item has another id than its request");
    }
    // Only the grammar is checked: "\ud800" and 1e999 are JSON, though not a string or number in Rust.
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

/// Maximum length of a message in the reader under test.
const LIMIT: usize = 1_024;

/// For any slicing of the bytes, the events are the same, and no message exceeds the limit.
///
/// The highest bit of the first byte selects the side; the other bits are the length of a slice.
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
