//! Encoding and decoding of frames. `docs/protocol.md`, "Frames".

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{Frame, GoingAway, Hello, MAX_PAYLOAD, MAX_PING, MIN_SHARED, Part, Reset, cut};
use super::malformed::Malformed;
use super::varint::{Reader, len, put, put_bytes};

const OPEN: u8 = 0x01;
const HEAD: u8 = 0x02;
const DATA: u8 = 0x03;
const TRAILERS: u8 = 0x04;
const MORE: u8 = 0x05;
const RESET: u8 = 0x06;
const STOP: u8 = 0x07;
/// Frame types from this value on are not sequenced.
const UNSEQUENCED: u8 = 0x40;
const HELLO: u8 = 0x40;
const ACK: u8 = 0x41;
const LIMIT: u8 = 0x42;
const PING: u8 = 0x43;
const PONG: u8 = 0x44;
const GOAWAY: u8 = 0x45;

/// Flag *end*: no more data follows on this half of the stream.
const FLAG_END: u8 = 1;
/// Flag *more*: the block continues in MORE frames.
const FLAG_MORE: u8 = 2;

impl Frame {
    /// Appends the frame. A block or data must not be longer than [`MAX_PIECE`](super::frame::MAX_PIECE).
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Block {
                stream,
                part,
                end,
                more,
                block,
            } => {
                let kind = match part {
                    Part::Open => OPEN,
                    Part::Head => HEAD,
                    Part::Trailers => TRAILERS,
                    Part::More => MORE,
                };
                let flags = if *end { FLAG_END } else { 0 } | if *more { FLAG_MORE } else { 0 };
                put_piece(out, kind, *stream, flags, block);
            }
            Self::Data { stream, end, bytes } => {
                put_piece(out, DATA, *stream, if *end { FLAG_END } else { 0 }, bytes);
            }
            Self::Reset { stream, reset } => put_built(out, RESET, |out| {
                put(out, *stream);
                put_bytes(out, &reset.tag);
                put_bytes(out, reset.name.as_bytes());
                put_bytes(out, cut(&reset.detail).as_bytes());
            }),
            Self::Stop { stream } => put_integers(out, STOP, &[*stream]),
            Self::Hello(hello) => put_built(out, HELLO, |out| hello.put(out)),
            Self::Ack(count) => put_integers(out, ACK, &[*count]),
            Self::Limit { stream, bytes } => put_integers(out, LIMIT, &[*stream, *bytes]),
            Self::Ping(payload) => put_built(out, PING, |out| out.put_slice(payload)),
            Self::Pong(payload) => put_built(out, PONG, |out| out.put_slice(payload)),
            Self::GoingAway(going) => put_built(out, GOAWAY, |out| {
                put(out, going.last);
                put_bytes(out, cut(&going.detail).as_bytes());
            }),
            Self::Unknown { .. } => {}
        }
    }
}

fn put_piece(out: &mut BytesMut, kind: u8, stream: u64, flags: u8, piece: &[u8]) {
    let payload = len(stream) + 1 + piece.len();
    debug_assert!(payload <= MAX_PAYLOAD, "a piece of {} bytes", piece.len());
    out.reserve(3 + payload);
    out.put_u8(kind);
    put(out, payload as u64);
    put(out, stream);
    out.put_u8(flags);
    out.put_slice(piece);
}

fn put_integers(out: &mut BytesMut, kind: u8, integers: &[u64]) {
    out.put_u8(kind);
    put(out, integers.iter().map(|n| len(*n) as u64).sum());
    integers.iter().for_each(|n| put(out, *n));
}

/// Appends a rare frame: its payload is built first, to find its length.
fn put_built(out: &mut BytesMut, kind: u8, build: impl FnOnce(&mut BytesMut)) {
    let mut payload = BytesMut::new();
    build(&mut payload);
    out.put_u8(kind);
    put_bytes(out, &payload);
}

/// Takes the first frame from the front of a message. Returns `None` when the message is empty.
///
/// A piece of at least 8 KiB shares the memory of the message; a smaller piece is copied. Therefore a small
/// piece never keeps a large message alive.
///
/// # Errors
/// The message does not begin with a complete, valid frame.
pub fn decode(message: &mut Bytes) -> Result<Option<Frame>, Malformed> {
    if message.is_empty() {
        return Ok(None);
    }
    let whole = message.len();
    let mut reader = Reader(message);
    let kind = reader.byte()?;
    let length = reader.varint()?;
    if length > MAX_PAYLOAD as u64 {
        return Err(Malformed("a frame is longer than 16 KiB"));
    }
    let end = whole - reader.0.len() + length as usize;
    let mut payload = Reader(reader.take(length as usize)?);
    let frame = match kind {
        OPEN | HEAD | TRAILERS | MORE | DATA => {
            let stream = stream(&mut payload)?;
            let flags = payload.byte()?;
            let bytes = payload.0;
            let piece = if bytes.len() >= MIN_SHARED {
                message.slice(end - bytes.len()..end)
            } else {
                Bytes::copy_from_slice(bytes)
            };
            with_piece(kind, stream, flags, piece)
        }
        _ => {
            let frame = without_piece(kind, &mut payload)?;
            if !matches!(frame, Frame::Unknown { .. }) {
                payload.end()?;
            }
            frame
        }
    };
    let _ = message.split_to(end);
    Ok(Some(frame))
}

/// Builds a frame whose payload ends with a block or data.
fn with_piece(kind: u8, stream: u64, flags: u8, piece: Bytes) -> Frame {
    let end = flags & FLAG_END != 0;
    let part = match kind {
        OPEN => Part::Open,
        HEAD => Part::Head,
        TRAILERS => Part::Trailers,
        MORE => Part::More,
        _ => {
            return Frame::Data {
                stream,
                end,
                bytes: piece,
            };
        }
    };
    Frame::Block {
        stream,
        part,
        end,
        more: flags & FLAG_MORE != 0,
        block: piece,
    }
}

/// Reads a frame that carries neither a block nor data.
fn without_piece(kind: u8, payload: &mut Reader<'_>) -> Result<Frame, Malformed> {
    Ok(match kind {
        RESET => Frame::Reset {
            stream: stream(payload)?,
            reset: Reset {
                tag: Bytes::copy_from_slice(payload.bytes()?),
                name: payload.text()?.to_owned(),
                detail: cut(payload.text()?).to_owned(),
            },
        },
        STOP => Frame::Stop {
            stream: stream(payload)?,
        },
        HELLO => Frame::Hello(Hello::read(payload)?),
        ACK => Frame::Ack(payload.varint()?),
        LIMIT => Frame::Limit {
            stream: payload.varint()?,
            bytes: payload.varint()?,
        },
        PING => Frame::Ping(echo(payload)?),
        PONG => Frame::Pong(echo(payload)?),
        GOAWAY => Frame::GoingAway(GoingAway {
            last: payload.varint()?,
            detail: cut(payload.text()?).to_owned(),
        }),
        kind => Frame::Unknown {
            sequenced: kind < UNSEQUENCED,
        },
    })
}

/// Reads the payload of a PING or PONG.
fn echo(payload: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    if payload.0.len() > MAX_PING {
        return Err(Malformed("a PING or PONG has more than 8 bytes"));
    }
    Ok(Bytes::copy_from_slice(payload.take(payload.0.len())?))
}

/// Reads the number of a frame's stream.
fn stream(payload: &mut Reader<'_>) -> Result<u64, Malformed> {
    match payload.varint()? {
        0 => Err(Malformed("stream 0 is the session")),
        stream => Ok(stream),
    }
}

impl Hello {
    fn put(&self, out: &mut BytesMut) {
        let number = |out: &mut BytesMut, key, number: Option<u64>| {
            if let Some(number) = number {
                put(out, key);
                put(out, len(number) as u64);
                put(out, number);
            }
        };
        number(out, 1, self.streams);
        number(out, 2, self.session_window);
        number(out, 3, self.stream_window);
        number(out, 4, self.resume_within);
        if let Some(token) = &self.token {
            put(out, 5);
            put_bytes(out, token);
        }
        number(out, 6, self.received);
        if let Some(refused) = &self.refused {
            put(out, 7);
            put_bytes(out, cut(refused).as_bytes());
        }
    }

    fn read(payload: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut hello = Self::default();
        while !payload.0.is_empty() {
            let key = payload.varint()?;
            let mut value = Reader(payload.bytes()?);
            let number = match key {
                1 => &mut hello.streams,
                2 => &mut hello.session_window,
                3 => &mut hello.stream_window,
                4 => &mut hello.resume_within,
                6 => &mut hello.received,
                5 => {
                    let token = value
                        .0
                        .try_into()
                        .map_err(|_| Malformed("a token has 16 bytes"))?;
                    hello.token = Some(token);
                    continue;
                }
                7 => {
                    let text = std::str::from_utf8(value.0);
                    let text = text.map_err(|_| Malformed("a text is not UTF-8"))?;
                    hello.refused = Some(cut(text).to_owned());
                    continue;
                }
                // A key of a later version of the protocol.
                _ => continue,
            };
            *number = Some(value.varint()?);
            value.end()?;
        }
        Ok(hello)
    }
}
