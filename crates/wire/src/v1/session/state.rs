//! The state of a session beside its streams: HELLO, outbound and inbound.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::v1::frame::{Frame, Hello, TOKEN};

/// Progress of the HELLO exchange on the current socket.
#[derive(Debug, Default)]
pub(super) struct HelloState {
    /// The HELLO that is still to be sent.
    pub(super) pending: Option<Hello>,
    /// True once the peer's HELLO has come on this socket.
    pub(super) greeted: bool,
    /// True between the loss of a socket and the end of the resume. Meanwhile nothing but HELLO is
    /// sent.
    pub(super) suspended: bool,
    pub(super) token: Option<[u8; TOKEN]>,
}

/// Outbound state.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// Streams with a RESET or STOP to send.
    pub(super) urgent: VecDeque<u64>,
    /// Streams with anything else to send, in the order of their turns.
    pub(super) ready: VecDeque<u64>,
    /// Streams whose new limit is to be sent; 0 stands for the session.
    pub(super) limits: VecDeque<u64>,
    /// Bytes of blocks and data sent in this session, and the total that the peer allows.
    pub(super) sent: u64,
    pub(super) limit: u64,
    /// Frames that are not acknowledged. The first `transmitted` of them have been sent on the current
    /// socket.
    pub(super) unacked: VecDeque<Frame>,
    pub(super) transmitted: usize,
    pub(super) unacked_bytes: u64,
    /// Bytes that wait in all streams, and the streams that wait for room in the session.
    pub(super) waiting: u64,
    pub(super) room_queue: VecDeque<u64>,
    /// Number of sequenced frames that the peer has acknowledged.
    pub(super) acked: u64,
    pub(super) ping: Option<Bytes>,
    pub(super) pong: Option<Bytes>,
}

/// Inbound state.
#[derive(Debug, Default)]
pub(super) struct In {
    /// Number of sequenced frames received, and how many of them we have acknowledged.
    pub(super) count: u64,
    pub(super) acked: u64,
    pub(super) acked_weight: u64,
    /// Bytes received and consumed in this session, and the total that the peer is allowed.
    pub(super) received: u64,
    pub(super) consumed: u64,
    pub(super) allowed: u64,
    /// Number of unfinished blocks, of all streams.
    pub(super) unfinished: usize,
    /// True if the session's limit is in the queue of limits to send.
    pub(super) limit_queued: bool,
    /// Latest time at which the next acknowledgement must be sent.
    pub(super) due: Option<Instant>,
}
