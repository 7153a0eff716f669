//! What a session keeps beside its streams: of the socket at hand, of the way out, of the way in.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::v1::frame::{Frame, Hello, TOKEN};

/// What is said first on the socket at hand.
#[derive(Debug, Default)]
pub(super) struct HelloState {
    /// To be sent.
    pub(super) pending: Option<Hello>,
    /// The peer's has come on this socket.
    pub(super) heard: bool,
    /// Of a client: nothing sequenced goes out before the relay has said where to go on.
    pub(super) waits: bool,
    pub(super) token: Option<[u8; TOKEN]>,
}

/// The way out.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// Streams with a RESET or STOP to send.
    pub(super) urgent: VecDeque<u64>,
    /// Streams with something else to send, in turn.
    pub(super) ready: VecDeque<u64>,
    /// Streams whose limit is to be told.
    pub(super) limits: VecDeque<u64>,
    /// Weight of blocks and data sent in this session, and what the peer allows.
    pub(super) sent: u64,
    pub(super) limit: u64,
    /// Frames not yet acknowledged; those before `again` have been sent on this socket.
    pub(super) unacked: VecDeque<Frame>,
    pub(super) again: usize,
    pub(super) unacked_bytes: u64,
    /// What waits in all streams, and those that wait until less does.
    pub(super) waiting: u64,
    pub(super) crowded: VecDeque<u64>,
    /// Sequenced frames that the peer has acknowledged.
    pub(super) acked: u64,
    pub(super) ping: Option<Bytes>,
    pub(super) pong: Option<Bytes>,
}

/// The way in.
#[derive(Debug, Default)]
pub(super) struct In {
    /// Sequenced frames received; of them acknowledged.
    pub(super) count: u64,
    pub(super) acked: u64,
    pub(super) acked_weight: u64,
    /// Weight received and consumed in this session, and what the peer has been allowed.
    pub(super) received: u64,
    pub(super) consumed: u64,
    pub(super) allowed: u64,
    /// Blocks that have begun and not ended, of all streams.
    pub(super) unfinished: usize,
    /// Its limit is in the queue of those to be told.
    pub(super) telling: bool,
    /// When the acknowledgement is to go out at the latest.
    pub(super) due: Option<Instant>,
}
