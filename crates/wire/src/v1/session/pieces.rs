//! Inbound blocks, whole or in pieces.

use bytes::{Bytes, BytesMut};

use super::stream::{Half, Stream};
use super::{Event, Session, Side, Violation};
use crate::v1::block::{LONG_BLOCK, MAX_BLOCK, RequestHead, ResponseHead, read_trailers};
use crate::v1::frame::Part;

/// Maximum number of unfinished blocks, of all streams. Their bytes need no credit once they have come,
/// so this constant bounds them: 1 MiB at most.
const MAX_UNFINISHED: usize = 16;

/// An inbound block, or a piece of one.
pub(super) struct Piece {
    pub(super) part: Part,
    pub(super) end: bool,
    pub(super) more: bool,
    pub(super) block: Bytes,
}

impl Session {
    /// Handles a block, or a piece of one.
    pub(super) fn on_block(&mut self, id: u64, piece: Piece) -> Result<Option<Event>, Violation> {
        let weight = piece.block.len() as u64;
        // A block counts as consumed at once: the application needs no room for it.
        self.consume_session(weight);
        if piece.part == Part::Open {
            self.on_open(id)?;
        }
        let side = self.side;
        let Some(stream) = self.known(id)? else {
            return Ok(None);
        };
        let receive = &mut stream.receive;
        let (part, end, block) = match (piece.part, receive.block.take()) {
            (Part::More, Some((part, end, mut begun))) => {
                if begun.len() + piece.block.len() > MAX_BLOCK {
                    return Err(LONG_BLOCK.into());
                }
                begun.extend_from_slice(&piece.block);
                if piece.more {
                    receive.block = Some((part, end, begun));
                    return Ok(None);
                }
                (part, end, begun.freeze())
            }
            (Part::More, None) => return Err(Violation::Malformed("a MORE continues no block")),
            (_, Some(_)) => return Err(Violation::Malformed("a frame came within a block")),
            (part, None) if piece.more => {
                receive.block = Some((part, piece.end, BytesMut::from(piece.block)));
                self.in_.unfinished += 1;
                if self.in_.unfinished > MAX_UNFINISHED {
                    return Err(Violation::Malformed("more than 16 blocks are unfinished"));
                }
                return Ok(None);
            }
            (part, None) => (part, piece.end, piece.block),
        };
        let event = finish(side, stream, id, (part, end, &block))?;
        self.in_.unfinished -= usize::from(piece.part == Part::More);
        Ok(self.end_answered(id, event))
    }

    fn on_open(&mut self, id: u64) -> Result<(), Violation> {
        if self.side == Side::Client {
            return Err(Violation::Malformed("a relay must not open streams"));
        }
        if id <= self.last {
            return Err(Violation::Malformed(
                "a stream was opened with a number that was used before",
            ));
        }
        if self.going_away.is_some() {
            // The OPEN crossed our GOAWAY. The frames of its stream are ignored.
            self.last = id;
            return Ok(());
        }
        if self.open >= self.config.streams {
            return Err(Violation::Streams);
        }
        self.last = id;
        self.open += 1;
        let stream = Stream::new(self.peer_stream_window, self.config.stream_window);
        self.streams.insert(id, stream);
        Ok(())
    }
}

/// Handles a complete block.
fn finish(
    side: Side,
    stream: &mut Stream,
    id: u64,
    (part, end, block): (Part, bool, &[u8]),
) -> Result<Option<Event>, Violation> {
    let after = if end { Half::Ended } else { Half::Body };
    let receive = &mut stream.receive;
    match (part, side, receive.half) {
        (Part::Open, Side::Relay, Half::Head) => {
            receive.half = after;
            let head = RequestHead::read(block).map(Box::new);
            Ok(Some(Event::Opened {
                stream: id,
                head,
                end,
            }))
        }
        (Part::Head, Side::Client, Half::Head) => {
            receive.half = after;
            let head = Box::new(ResponseHead::read(block)?);
            Ok(Some(Event::Head {
                stream: id,
                head,
                end,
            }))
        }
        (Part::Trailers, _, Half::Body) => {
            receive.half = Half::Ended;
            let trailers = read_trailers(block)?;
            let event = Event::Trailers {
                stream: id,
                trailers,
            };
            Ok((!receive.stopped).then_some(event))
        }
        _ => Err(Violation::Malformed(
            "a head or trailers came at a point where the stream allows none",
        )),
    }
}
