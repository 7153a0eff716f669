//! The frames that a WebSocket message consists of. `docs/protocol.md`, "Frames".

use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};

/// Maximum length of a payload in bytes. With type and length, a frame has at most 16 KiB.
pub const MAX_PAYLOAD: usize = (16 << 10) - 3;

/// Maximum length of the block or data in one frame, for any stream number.
pub const MAX_PIECE: usize = MAX_PAYLOAD - 9;

/// Length of a resume token in bytes.
pub const TOKEN: usize = 16;

/// Maximum length of a fetch's tag in bytes.
pub const MAX_TAG: usize = 256;

/// Maximum length of the text of a RESET, a GOAWAY or a refusal, in bytes. Longer texts are cut when
/// sent and when received.
const MAX_DETAIL: usize = 1 << 10;

/// Minimum length of a piece that shares the memory of its message. Therefore no piece that is kept
/// holds more than eight times its own length, however a peer packs its messages.
pub(super) const MIN_SHARED: usize = super::MAX_MESSAGE / 8;

/// Maximum length of the payload of a PING in bytes.
pub(super) const MAX_PING: usize = 8;

/// The kind of block that a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Head of a request.
    Open,
    /// Head of a response.
    Head,
    /// Fields after a body.
    Trailers,
    /// Continuation of an unfinished block.
    More,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// OPEN, HEAD, TRAILERS or MORE: a block, or a piece of a block.
    Block {
        /// The stream.
        stream: u64,
        /// Frame type, one of the four.
        part: Part,
        /// True if no data follows the block.
        end: bool,
        /// True if the block continues in MORE frames.
        more: bool,
        /// This piece of the block.
        block: Bytes,
    },
    /// DATA: a piece of a body.
    Data {
        /// The stream.
        stream: u64,
        /// True for the last piece.
        end: bool,
        /// The piece, possibly empty.
        bytes: Bytes,
    },
    /// RESET: the stream ended early.
    Reset {
        /// The stream.
        stream: u64,
        /// Reason for the end.
        reset: Reset,
    },
    /// STOP: the remainder of the peer's body is not wanted.
    Stop {
        /// The stream.
        stream: u64,
    },
    /// HELLO: the first frame on a socket.
    Hello(Hello),
    /// ACK: the number of sequenced frames received in this session.
    Ack(u64),
    /// LIMIT: the total number of bytes that may be sent, on a stream or (0) in the session.
    Limit {
        /// The stream, or 0 for the session.
        stream: u64,
        /// Bytes since the stream or session began.
        bytes: u64,
    },
    /// PING: requests a PONG with the same payload.
    Ping(Bytes),
    /// PONG: the answer to a PING.
    Pong(Bytes),
    /// GOAWAY: no further streams are accepted.
    GoingAway(GoingAway),
    /// A frame of unknown type, which is skipped.
    Unknown {
        /// True if the frame is counted as received.
        sequenced: bool,
    },
}

/// The reason for which a stream ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Tag of the fetch; empty if the client sends the RESET.
    pub tag: Bytes,
    /// Name of the failure, as sent.
    pub name: String,
    /// Explanation for people, as a sentence.
    pub detail: String,
}

impl Reset {
    /// Creates a RESET that reports `error`.
    #[must_use]
    pub fn new(tag: Bytes, error: &FetchError) -> Self {
        Self {
            tag,
            name: error.name.as_str().to_owned(),
            detail: cut(&error.detail).to_owned(),
        }
    }

    /// Creates the RESET with which a client cancels a fetch.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            tag: Bytes::new(),
            name: ErrorName::Cancelled.as_str().to_owned(),
            detail: String::new(),
        }
    }

    /// Returns the error that the RESET reports. An unknown name becomes `proxy_internal_error`.
    #[must_use]
    pub fn error(&self) -> FetchError {
        let known = ErrorName::ALL
            .iter()
            .find(|name| name.as_str() == self.name);
        let name = known.copied().unwrap_or(ErrorName::ProxyInternalError);
        FetchError::new(name, self.detail.clone())
    }
}

/// The first frame of each side. An absent limit has the minimum that `docs/protocol.md` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Number of streams that may be open at once (from a relay).
    pub streams: Option<u64>,
    /// Bytes that may be sent in a new session before its first LIMIT.
    pub session_window: Option<u64>,
    /// Bytes that may be sent on each stream before its first LIMIT.
    pub stream_window: Option<u64>,
    /// From a relay: milliseconds for which the session outlives its socket.
    pub resume_within: Option<u64>,
    /// From a client: the token of the session to resume. From a relay: the token for the next resume.
    pub token: Option<[u8; TOKEN]>,
    /// Number of sequenced frames received in the resumed session.
    pub received: Option<u64>,
    /// From a relay: the reason for which a new session began instead of a resumed one.
    pub refused: Option<String>,
}

/// Announcement that the relay is about to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoingAway {
    /// The last stream that is served. Later streams are not processed.
    pub last: u64,
    /// Reason for leaving.
    pub detail: String,
}

/// Returns `text`, cut to [`MAX_DETAIL`] bytes at a character boundary.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Frame {
    /// Returns true if the frame counts in the sequence that is acknowledged and replayed.
    #[must_use]
    pub fn is_sequenced(&self) -> bool {
        match self {
            Self::Block { .. } | Self::Data { .. } | Self::Reset { .. } | Self::Stop { .. } => true,
            Self::Unknown { sequenced } => *sequenced,
            _ => false,
        }
    }

    /// Returns the bytes that count against the session's limit: blocks and data.
    #[must_use]
    pub fn weight(&self) -> u64 {
        match self {
            Self::Block { block: bytes, .. } | Self::Data { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }
}
