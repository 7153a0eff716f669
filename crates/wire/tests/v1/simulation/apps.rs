//! Knowledge of the applications at both ends about each stream.

use bytes::Bytes;
use fetchway_wire::v1::{Event, Reset};

/// A body in transit, up or down.
#[derive(Default)]
pub(super) struct Body {
    /// Length of the body, bytes given to the session, and bytes received at the other end.
    pub(super) length: u64,
    pub(super) given: u64,
    pub(super) came: u64,
    /// Bytes received and not consumed.
    pub(super) unread: u64,
    /// True once the end has been given, and once it has arrived.
    pub(super) finished: bool,
    pub(super) complete: bool,
    /// True once nothing more can be given.
    pub(super) closed: bool,
}

/// A fetch as both ends see it.
#[derive(Default)]
pub(super) struct Fetch {
    pub(super) up: Body,
    pub(super) down: Body,
    /// True once the relay knows the fetch, and once it has answered.
    pub(super) opened: bool,
    pub(super) answered: bool,
    /// True once the response's head has arrived.
    pub(super) headed: bool,
    /// How the fetch ended for the client, and whether it ended for the relay's application.
    pub(super) ended: Option<End>,
    pub(super) relay_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Cancelled,
    Failed,
    /// The relay is going away and has not served the fetch.
    Unseen,
    /// The session was lost.
    Unknown,
}

/// Returns the byte at an offset, different in each stream and direction.
fn byte(id: u64, up: bool, offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (id * 37) ^ if up { 0x55 } else { 0 }) as u8
}

pub(super) fn bytes(id: u64, up: bool, from: u64, length: u64) -> Bytes {
    (from..from + length)
        .map(|offset| byte(id, up, offset))
        .collect()
}

impl Body {
    fn take(&mut self, id: u64, up: bool, piece: &[u8], end: bool) {
        assert!(!self.complete, "stream {id} goes on after its end");
        for (n, came) in (self.came..).zip(piece) {
            assert_eq!(
                *came,
                byte(id, up, n),
                "stream {id} at {n}: bytes are lost, twice there, or of another"
            );
        }
        self.came += piece.len() as u64;
        self.unread += piece.len() as u64;
        assert!(
            self.came <= self.given,
            "stream {id} has bytes that were never given"
        );
        if end {
            self.complete = true;
            assert!(
                self.finished && self.came == self.given,
                "stream {id} ends too early"
            );
        }
    }
}

impl Fetch {
    /// Handles an event of the client's session.
    pub(super) fn at_client(&mut self, event: &Event) {
        assert_eq!(self.ended, None, "{event:?} of a fetch that is over");
        match event {
            Event::Head { stream, head, end } => {
                assert!(!self.headed, "a second HEAD");
                assert_eq!(head.tag, stream.to_be_bytes()[..], "another's tag");
                self.headed = true;
                if *end {
                    self.down.take(*stream, false, &[], true);
                }
            }
            Event::Data { stream, bytes, end } => {
                assert!(self.headed, "data before its HEAD");
                self.down.take(*stream, false, bytes, *end);
            }
            Event::Trailers { stream, .. } => self.down.take(*stream, false, &[], true),
            Event::Stopped { .. } => self.up.closed = true,
            Event::Reset { stream, reset } => {
                assert_eq!(reset.tag, stream.to_be_bytes()[..], "another's tag");
                self.down.unread = 0;
                self.ended = Some(End::Failed);
            }
            other => panic!("a client gets {other:?}"),
        }
        if self.down.complete {
            self.ended = Some(End::Complete);
        }
        if self.ended.is_some() {
            self.up.closed = true;
        }
    }

    /// Handles an event of the relay's session.
    pub(super) fn at_relay(&mut self, event: &Event) {
        match event {
            Event::Opened { stream, head, end } => {
                let head = head.as_ref().expect("a head that can be read");
                assert_eq!(head.tag, stream.to_be_bytes()[..], "another's tag");
                assert!(!self.opened, "a fetch is performed twice");
                self.opened = true;
                if *end {
                    self.up.take(*stream, true, &[], true);
                }
            }
            Event::Data { stream, bytes, end } => self.up.take(*stream, true, bytes, *end),
            Event::Trailers { stream, .. } => self.up.take(*stream, true, &[], true),
            Event::Reset { .. } => {
                assert!(!self.relay_over || self.answered, "cancelled twice");
                self.up.unread = 0;
                self.relay_over = true;
                self.down.closed = true;
            }
            other => panic!("a relay gets {other:?}"),
        }
    }

    /// The relay's application stops the upload, or ends the fetch.
    pub(super) fn stopped(&mut self) {
        self.up.unread = 0;
    }
}

pub(super) fn reset(tag: u64, name: &str) -> Reset {
    Reset {
        tag: Bytes::copy_from_slice(&tag.to_be_bytes()),
        name: name.to_owned(),
        detail: String::new(),
    }
}
