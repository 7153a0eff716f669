//! The events that a session reports to its application.

use bytes::Bytes;
use http::HeaderMap;

use crate::v1::block::{RequestHead, ResponseHead};
use crate::v1::frame::{GoingAway, Hello, Reset};
use crate::v1::malformed::Malformed;

/// An event for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's HELLO was received.
    Hello(Hello),
    /// At a relay: a client opened a stream for a fetch. The application must answer an unreadable head
    /// with a reset.
    Opened {
        /// Number of the stream.
        stream: u64,
        /// The request, or the fault in its block.
        head: Result<Box<RequestHead>, Malformed>,
        /// True if there is no body.
        end: bool,
    },
    /// At a client: the head of a response.
    Head {
        /// Number of the stream.
        stream: u64,
        /// The head.
        head: Box<ResponseHead>,
        /// True if there is no body.
        end: bool,
    },
    /// A piece of a body. The application reports the bytes to
    /// [`Session::consumed`](super::Session::consumed) when it has taken them.
    Data {
        /// Number of the stream.
        stream: u64,
        /// The piece.
        bytes: Bytes,
        /// True for the last piece.
        end: bool,
    },
    /// The body ended with trailers.
    Trailers {
        /// Number of the stream.
        stream: u64,
        /// The trailers.
        trailers: HeaderMap,
    },
    /// The stream ended early. At a relay: its fetch was cancelled.
    Reset {
        /// Number of the stream.
        stream: u64,
        /// Reason for the end.
        reset: Reset,
    },
    /// The peer does not want the remainder of the body that it is being sent.
    Stopped {
        /// Number of the stream.
        stream: u64,
    },
    /// At a client: the relay serves no streams after a certain one. Later streams have ended, and
    /// their fetches can be sent to another relay.
    GoingAway(GoingAway),
}

/// The stream has ended, or never existed. Data for it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;
