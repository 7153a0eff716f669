//! A second account of one direction of a session, from the frames alone: what may be sent, and what
//! has to be sent again.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::session::floor;
use fetchway_wire::v1::{Frame, Hello};

/// Bytes that the sender adds for each kept frame; a bound on the last frame.
const KEPT: u64 = 64;

pub(super) struct Watch {
    /// Sequenced frames that were sent and may not have arrived, with the weight of each.
    log: VecDeque<(Bytes, u64)>,
    log_kept: u64,
    acked: u64,
    /// The next entry of `log` to be sent on the current socket.
    next: usize,
    unacked: u64,
    limit: u64,
    sent: u64,
    first_limit: u64,
    streams: HashMap<u64, Sent>,
    /// The stream whose block is unfinished.
    within: Option<u64>,
    /// Number of new frames, and of frames sent again.
    pub(super) fresh: u64,
    pub(super) repeated: u64,
}

#[derive(Clone, Copy)]
struct Sent {
    sent: u64,
    limit: u64,
}

impl Watch {
    /// `unacked` is the sender's own bound.
    pub(super) fn new(unacked: u64) -> Self {
        Self {
            log: VecDeque::new(),
            log_kept: 0,
            acked: 0,
            next: 0,
            unacked,
            limit: floor::SESSION_WINDOW,
            sent: 0,
            first_limit: floor::STREAM_WINDOW,
            streams: HashMap::new(),
            within: None,
            fresh: 0,
            repeated: 0,
        }
    }

    /// Records a frame that the sender has put on the socket.
    pub(super) fn sent(&mut self, frame: &Frame) {
        if !frame.is_sequenced() {
            return;
        }
        let mut bytes = BytesMut::new();
        frame.put(&mut bytes);
        assert!(bytes.len() <= 16 << 10, "a frame of {} bytes", bytes.len());
        if let Some((before, _)) = self.log.get(self.next) {
            assert_eq!(before, &bytes, "a frame that is sent again is another");
            self.repeated += 1;
        } else {
            self.count(frame);
            self.follow(frame);
            let kept = bytes.len() as u64 + KEPT;
            self.log.push_back((bytes.freeze(), kept));
            self.log_kept += kept;
            self.fresh += 1;
        }
        self.next += 1;
    }

    fn count(&mut self, frame: &Frame) {
        let most = self.unacked + self.log.len() as u64 * 32;
        assert!(
            self.log_kept <= most,
            "{} bytes are unacknowledged, {most} may be",
            self.log_kept
        );
        self.sent += frame.weight();
        assert!(
            self.sent <= self.limit,
            "the session's limit of {} is passed",
            self.limit
        );
        if let Frame::Data { stream, bytes, .. } = frame {
            let sent = self.stream(*stream);
            sent.sent += bytes.len() as u64;
            assert!(
                sent.sent <= sent.limit,
                "the limit of stream {stream} is passed"
            );
        }
    }

    /// Checks that the pieces of a block follow one another. Only frames that end a stream may come in
    /// between.
    fn follow(&mut self, frame: &Frame) {
        match frame {
            Frame::Block { stream, more, .. } => {
                let other = self.within.filter(|within| within != stream);
                assert_eq!(other, None, "a block of stream {stream} comes within one");
                self.within = more.then_some(*stream);
            }
            Frame::Data { stream, .. } => {
                assert_eq!(self.within, None, "data of {stream} comes within a block");
            }
            Frame::Reset { stream, .. } => {
                self.within = self.within.filter(|within| within != stream);
            }
            _ => {}
        }
    }

    fn stream(&mut self, id: u64) -> &mut Sent {
        let limit = self.first_limit;
        self.streams.entry(id).or_insert(Sent { sent: 0, limit })
    }

    /// Records a frame that the sender has received from its peer.
    pub(super) fn told(&mut self, frame: &Frame) {
        match frame {
            Frame::Ack(count) => self.acknowledged(*count),
            Frame::Limit { stream: 0, bytes } => self.limit = self.limit.max(*bytes),
            Frame::Limit { stream, bytes } => {
                let sent = self.stream(*stream);
                sent.limit = sent.limit.max(*bytes);
            }
            Frame::Hello(hello) => self.hello(hello),
            _ => {}
        }
    }

    fn hello(&mut self, hello: &Hello) {
        if let Some(received) = hello.received {
            self.acknowledged(received);
            self.next = 0;
            return;
        }
        self.limit = self.limit.max(hello.session_window.unwrap_or_default());
        self.first_limit = self
            .first_limit
            .max(hello.stream_window.unwrap_or_default());
        for sent in self.streams.values_mut() {
            sent.limit = sent.limit.max(self.first_limit);
        }
    }

    fn acknowledged(&mut self, count: u64) {
        while self.acked < count {
            let (_, kept) = self
                .log
                .pop_front()
                .expect("an ACK of what was sent, no more");
            self.log_kept -= kept;
            self.acked += 1;
            self.next = self.next.saturating_sub(1);
        }
    }
}
