//! Blocks on their way in, whole or in pieces.

use bytes::{Bytes, BytesMut};

use super::stream::{Half, Stream};
use super::{Breach, Event, Session, Side};
use crate::v1::block::{LONG_BLOCK, MAX_BLOCK, RequestHead, ResponseHead, read_trailers};
use crate::v1::frame::Part;

/// Blocks of all streams that may have begun and not ended. Their bytes need no credit once they have
/// come, so this is what bounds them: 1 MiB at most.
const MAX_UNFINISHED: usize = 16;

/// A block on its way in.
pub(super) struct Piece {
    pub(super) part: Part,
    pub(super) end: bool,
    pub(super) more: bool,
    pub(super) block: Bytes,
}

impl Session {
    /// A block has come, or a piece of one.
    pub(super) fn block(&mut self, id: u64, piece: Piece) -> Result<Option<Event>, Breach> {
        let weight = piece.block.len() as u64;
        // A block is taken as it comes: it needs no room of the application's.
        self.consume_session(weight);
        if piece.part == Part::Open {
            self.open_came(id)?;
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
            (Part::More, None) => return Err(Breach::Malformed("a MORE goes on with nothing")),
            (_, Some(_)) => return Err(Breach::Malformed("a frame came within a block")),
            (part, None) if piece.more => {
                receive.block = Some((part, piece.end, BytesMut::from(piece.block)));
                self.in_.unfinished += 1;
                if self.in_.unfinished > MAX_UNFINISHED {
                    return Err(Breach::Malformed("more than 16 blocks are unfinished"));
                }
                return Ok(None);
            }
            (part, None) => (part, piece.end, piece.block),
        };
        let event = finish(side, stream, id, (part, end, &block))?;
        self.in_.unfinished -= usize::from(piece.part == Part::More);
        Ok(self.after(id, event))
    }

    fn open_came(&mut self, id: u64) -> Result<(), Breach> {
        if self.side == Side::Client {
            return Err(Breach::Malformed("a relay opens no streams"));
        }
        if id <= self.last {
            return Err(Breach::Malformed(
                "a stream was opened with a number that was used before",
            ));
        }
        if self.going_away.is_some() {
            // It was under way when we said that we leave. What belongs to it is passed over.
            self.last = id;
            return Ok(());
        }
        if self.open >= self.config.streams {
            return Err(Breach::Streams);
        }
        self.last = id;
        self.open += 1;
        let stream = Stream::new(self.peer_stream_window, self.config.stream_window);
        self.streams.insert(id, stream);
        Ok(())
    }
}

/// A block is whole.
fn finish(
    side: Side,
    stream: &mut Stream,
    id: u64,
    (part, end, block): (Part, bool, &[u8]),
) -> Result<Option<Event>, Breach> {
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
        _ => Err(Breach::Malformed(
            "a head or trailers came where a stream has none",
        )),
    }
}
