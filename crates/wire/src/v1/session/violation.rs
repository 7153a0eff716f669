//! Violations of the protocol by a peer, and the close codes for them.

use crate::v1::malformed::Malformed;

/// A violation of the protocol by the peer. The session ends, and its socket is closed with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Invalid bytes, or a frame that is not allowed at this point.
    Malformed(&'static str),
    /// More bytes than the limit.
    Credit(&'static str),
    /// More streams than allowed.
    Streams,
    /// More cancels than allowed.
    Cancels,
}

impl Violation {
    /// Returns the WebSocket close code: `docs/protocol.md`, "Close codes".
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Malformed(_) => 4400,
            Self::Credit(_) => 4413,
            Self::Streams => 4429,
            Self::Cancels => 4420,
        }
    }

    /// Returns the reason that is sent with the close code.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(reason) | Self::Credit(reason) => reason,
            Self::Streams => "more streams are open than the relay allows",
            Self::Cancels => "streams are cancelled faster than the relay allows",
        }
    }
}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}
