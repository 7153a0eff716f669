//! What a session tells its application, and how it ends when the peer breaks the rules.

use bytes::Bytes;
use http::HeaderMap;

use crate::v1::block::{RequestHead, ResponseHead};
use crate::v1::frame::{GoingAway, Hello, Malformed, Reset};

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's HELLO has come.
    Hello(Hello),
    /// At a relay: a fetch. A head that cannot be read is to be answered with a reset.
    Opened {
        /// Its stream.
        stream: u64,
        /// What is asked for.
        head: Result<Box<RequestHead>, Malformed>,
        /// There is no body.
        end: bool,
    },
    /// At a client: a response.
    Head {
        /// Its stream.
        stream: u64,
        /// What was answered.
        head: Box<ResponseHead>,
        /// There is no body.
        end: bool,
    },
    /// A piece of a body. Its bytes are to be reported by
    /// [`Session::consumed`](super::Session::consumed).
    Data {
        /// Its stream.
        stream: u64,
        /// The piece.
        bytes: Bytes,
        /// The last one.
        end: bool,
    },
    /// The body has ended with these fields.
    Trailers {
        /// Its stream.
        stream: u64,
        /// The fields.
        trailers: HeaderMap,
    },
    /// The stream is over. At a relay: its fetch was cancelled.
    Reset {
        /// Its stream.
        stream: u64,
        /// Why.
        reset: Reset,
    },
    /// The peer wants no more of the body that is sent to it.
    Stopped {
        /// Its stream.
        stream: u64,
    },
    /// At a client: the relay looks at no streams after a certain one. Those that are later are over;
    /// their fetches can be sent to another relay.
    GoingAway(GoingAway),
}

/// The peer broke the protocol: the session is over, and its socket is closed with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Bytes that are no frame, or a frame that has no place where it came.
    Malformed(&'static str),
    /// More bytes than were allowed.
    Credit(&'static str),
    /// More streams than were allowed.
    Streams,
    /// Cancels as fast as the link allows.
    Cancels,
}

impl Breach {
    /// The WebSocket close code: `docs/protocol.md`, "Close codes".
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Malformed(_) => 4400,
            Self::Credit(_) => 4413,
            Self::Streams => 4429,
            Self::Cancels => 4420,
        }
    }

    /// The reason sent with it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(reason) | Self::Credit(reason) => reason,
            Self::Streams => "more streams are open than the relay allows",
            Self::Cancels => "streams are cancelled faster than the relay allows",
        }
    }
}

impl From<Malformed> for Breach {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

/// The stream has ended, or was never there: what was given for it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;
