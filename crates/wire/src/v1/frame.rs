//! Frames: what a WebSocket message is made of. `docs/protocol.md`, "Frames".

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};

use super::varint::{Reading, len, put, put_bytes};

/// The most bytes of a frame behind its type and length: with them it has 16 KiB at most.
pub const MAX_PAYLOAD: usize = (16 << 10) - 3;

/// The most bytes of a block or of data in one frame, whatever its stream's number takes.
pub const MAX_PIECE: usize = MAX_PAYLOAD - 9;

/// Bytes of a resume token.
pub const TOKEN: usize = 16;

/// The longest tag that a fetch may carry, in bytes.
pub const MAX_TAG: usize = 256;

/// The longest text of a RESET, GOAWAY or refusal, in bytes; what is over is cut on both ways.
const MAX_DETAIL: usize = 1 << 10;

/// From this length on a piece shares its message's memory. So nothing that is kept holds more than
/// eight times its length, however a peer packs its messages.
const MIN_SHARED: usize = super::MAX_MESSAGE / 8;

/// The longest payload of a PING, in bytes.
pub(super) const MAX_PING: usize = 8;

const OPEN: u8 = 0x01;
const HEAD: u8 = 0x02;
const DATA: u8 = 0x03;
const TRAILERS: u8 = 0x04;
const MORE: u8 = 0x05;
const RESET: u8 = 0x06;
const STOP: u8 = 0x07;
/// From here on frames are not sequenced.
const UNSEQUENCED: u8 = 0x40;
const HELLO: u8 = 0x40;
const ACK: u8 = 0x41;
const LIMIT: u8 = 0x42;
const PING: u8 = 0x43;
const PONG: u8 = 0x44;
const GOAWAY: u8 = 0x45;

/// No more data follows on this half of the stream.
const FLAG_END: u8 = 1;
/// The block goes on in MORE frames.
const FLAG_MORE: u8 = 2;

/// Bytes that are no frame: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    pub(super) const TRUNCATED: Self = Self("a frame ends before what it announces");
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// What a block is the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A request's head.
    Open,
    /// A response's head.
    Head,
    /// The fields after a body.
    Trailers,
    /// The block that has begun goes on.
    More,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// OPEN, HEAD, TRAILERS or MORE: a block, or a piece of one.
    Block {
        /// The stream.
        stream: u64,
        /// Which of the four.
        part: Part,
        /// No data will follow the block.
        end: bool,
        /// The block goes on in MORE frames.
        more: bool,
        /// This piece of it.
        block: Bytes,
    },
    /// A piece of a body.
    Data {
        /// The stream.
        stream: u64,
        /// The last one.
        end: bool,
        /// The piece; may be empty.
        bytes: Bytes,
    },
    /// The stream has ended early.
    Reset {
        /// The stream.
        stream: u64,
        /// Why.
        reset: Reset,
    },
    /// The rest of the peer's body is not wanted.
    Stop {
        /// The stream.
        stream: u64,
    },
    /// The first frame on a socket.
    Hello(Hello),
    /// So many sequenced frames have been received in this session.
    Ack(u64),
    /// So many bytes may be sent in all, on a stream or (0) in the session.
    Limit {
        /// The stream, or 0.
        stream: u64,
        /// Bytes since it began.
        bytes: u64,
    },
    /// To be answered with a PONG of the same payload.
    Ping(Bytes),
    /// The answer to a PING.
    Pong(Bytes),
    /// No further streams are taken.
    GoingAway(GoingAway),
    /// A type that we don't know, skipped.
    Unknown {
        /// It counts as received.
        sequenced: bool,
    },
}

/// Why a stream ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The tag of the fetch; empty from a client.
    pub tag: Bytes,
    /// The name of the failure as it was sent.
    pub name: String,
    /// A sentence for whoever has to act on it.
    pub detail: String,
}

impl Reset {
    /// Tells of `error`.
    #[must_use]
    pub fn new(tag: Bytes, error: &FetchError) -> Self {
        Self {
            tag,
            name: error.name.as_str().to_owned(),
            detail: cut(&error.detail).to_owned(),
        }
    }

    /// A client's cancel.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            tag: Bytes::new(),
            name: ErrorName::Cancelled.as_str().to_owned(),
            detail: String::new(),
        }
    }

    /// The error that it tells of; a name that we don't know is `proxy_internal_error`.
    #[must_use]
    pub fn error(&self) -> FetchError {
        let known = ErrorName::ALL
            .iter()
            .find(|name| name.as_str() == self.name);
        let name = known.copied().unwrap_or(ErrorName::ProxyInternalError);
        FetchError::new(name, self.detail.clone())
    }
}

/// What each side says first. Absent limits are the floor that `docs/protocol.md` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Streams that may be open at once (from a relay).
    pub streams: Option<u64>,
    /// Bytes that may be sent in a new session before its first LIMIT.
    pub session_window: Option<u64>,
    /// Bytes that may be sent on each stream before its first LIMIT.
    pub stream_window: Option<u64>,
    /// From a relay: milliseconds that the session outlives its socket.
    pub resume_within: Option<u64>,
    /// From a client: the session to resume. From a relay: what to resume it with.
    pub token: Option<[u8; TOKEN]>,
    /// Sequenced frames received in the session that is resumed.
    pub received: Option<u64>,
    /// From a relay: why the session could not be resumed; a new one has begun.
    pub refused: Option<String>,
}

/// The peer is about to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoingAway {
    /// The last stream that is being served: later ones were not looked at.
    pub last: u64,
    /// Why.
    pub detail: String,
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Frame {
    /// Whether it counts in the sequence that is acknowledged and replayed.
    #[must_use]
    pub fn is_sequenced(&self) -> bool {
        match self {
            Self::Block { .. } | Self::Data { .. } | Self::Reset { .. } | Self::Stop { .. } => true,
            Self::Unknown { sequenced } => *sequenced,
            _ => false,
        }
    }

    /// Bytes that count against the session's limit: blocks and data.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Self::Block { block: bytes, .. } | Self::Data { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }

    /// Appends the frame. A piece must not be longer than [`MAX_PIECE`].
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

/// For rare frames: the payload is made first, to know its length.
fn put_built(out: &mut BytesMut, kind: u8, build: impl FnOnce(&mut BytesMut)) {
    let mut payload = BytesMut::new();
    build(&mut payload);
    out.put_u8(kind);
    put_bytes(out, &payload);
}

/// Takes the first frame off a message. `None` at its end.
///
/// A piece of 8 KiB and more shares the message's memory, a smaller one is copied: nothing small keeps
/// anything large.
///
/// # Errors
/// Bytes that are no whole frame.
pub fn decode(message: &mut Bytes) -> Result<Option<Frame>, Malformed> {
    if message.is_empty() {
        return Ok(None);
    }
    let whole = message.len();
    let mut reading = Reading(message);
    let kind = reading.byte()?;
    let length = reading.varint()?;
    if length > MAX_PAYLOAD as u64 {
        return Err(Malformed("a frame is longer than 16 KiB"));
    }
    let begin = whole - reading.0.len();
    let mut payload = Reading(reading.take(length as usize)?);
    let end = begin + length as usize;
    let piece = |message: &Bytes, payload: &Reading<'_>| {
        let bytes = payload.0;
        if bytes.len() >= MIN_SHARED {
            message.slice(end - bytes.len()..end)
        } else {
            Bytes::copy_from_slice(bytes)
        }
    };
    let frame = match kind {
        OPEN | HEAD | TRAILERS | MORE => {
            let (stream, flags) = stream_and_flags(&mut payload)?;
            Frame::Block {
                stream,
                part: match kind {
                    OPEN => Part::Open,
                    HEAD => Part::Head,
                    TRAILERS => Part::Trailers,
                    _ => Part::More,
                },
                end: flags & FLAG_END != 0,
                more: flags & FLAG_MORE != 0,
                block: piece(message, &payload),
            }
        }
        DATA => {
            let (stream, flags) = stream_and_flags(&mut payload)?;
            Frame::Data {
                stream,
                end: flags & FLAG_END != 0,
                bytes: piece(message, &payload),
            }
        }
        RESET => {
            let stream = stream(&mut payload)?;
            let reset = Reset {
                tag: Bytes::copy_from_slice(payload.bytes()?),
                name: payload.text()?.to_owned(),
                detail: cut(payload.text()?).to_owned(),
            };
            payload.end()?;
            Frame::Reset { stream, reset }
        }
        STOP => {
            let stream = stream(&mut payload)?;
            payload.end()?;
            Frame::Stop { stream }
        }
        HELLO => Frame::Hello(Hello::read(&mut payload)?),
        ACK => {
            let count = payload.varint()?;
            payload.end()?;
            Frame::Ack(count)
        }
        LIMIT => {
            let (stream, bytes) = (payload.varint()?, payload.varint()?);
            payload.end()?;
            Frame::Limit { stream, bytes }
        }
        PING | PONG => {
            if payload.0.len() > MAX_PING {
                return Err(Malformed("a PING or PONG has more than 8 bytes"));
            }
            let echo = Bytes::copy_from_slice(payload.0);
            if kind == PING {
                Frame::Ping(echo)
            } else {
                Frame::Pong(echo)
            }
        }
        GOAWAY => {
            let (last, detail) = (payload.varint()?, cut(payload.text()?).to_owned());
            payload.end()?;
            Frame::GoingAway(GoingAway { last, detail })
        }
        kind => Frame::Unknown {
            sequenced: kind < UNSEQUENCED,
        },
    };
    let _ = message.split_to(end);
    Ok(Some(frame))
}

fn stream(payload: &mut Reading<'_>) -> Result<u64, Malformed> {
    match payload.varint()? {
        0 => Err(Malformed("stream 0 is the session")),
        stream => Ok(stream),
    }
}

fn stream_and_flags(payload: &mut Reading<'_>) -> Result<(u64, u8), Malformed> {
    Ok((stream(payload)?, payload.byte()?))
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

    fn read(payload: &mut Reading<'_>) -> Result<Self, Malformed> {
        let mut hello = Self::default();
        while !payload.0.is_empty() {
            let key = payload.varint()?;
            let mut value = Reading(payload.bytes()?);
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
                // Said by a later version.
                _ => continue,
            };
            *number = Some(value.varint()?);
            value.end()?;
        }
        Ok(hello)
    }
}
