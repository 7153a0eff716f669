//! The socket between the two ends, and the fate of the session when it is cut.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{Config, Event, Frame, Hello, Session, TOKEN, decode};

use super::watch::Watch;

/// Messages in transit, in each direction.
#[derive(Default)]
pub(super) struct Socket {
    pub(super) up: VecDeque<Bytes>,
    pub(super) down: VecDeque<Bytes>,
    /// True once the relay has received the client's HELLO on this socket.
    pub(super) joined: bool,
}

/// The directory of a relay, with one session.
pub(super) struct Parked {
    pub(super) session: Session,
    token: [u8; TOKEN],
    /// Valid until a frame after HELLO has arrived.
    before: Option<[u8; TOKEN]>,
}

/// The relay's end: the session, if there is one.
pub(super) struct Relay {
    pub(super) config: Config,
    pub(super) parked: Option<Parked>,
    tokens: u64,
}

impl Relay {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            parked: None,
            tokens: 0,
        }
    }

    /// Handles a client's HELLO. Returns true if a new session has begun.
    pub(super) fn hello(&mut self, hello: &Hello) -> bool {
        self.tokens += 1;
        let mut token = [0xA5; TOKEN];
        token[..8].copy_from_slice(&self.tokens.to_be_bytes());
        if let (Some(asked), Some(parked)) = (hello.token, &mut self.parked)
            && (asked == parked.token || Some(asked) == parked.before)
        {
            parked
                .session
                .resume(hello, token)
                .expect("counts that fit");
            parked.before = Some(asked);
            parked.token = token;
            return false;
        }
        let refused = hello.token.map(|_| "there is no such session");
        self.parked = Some(Parked {
            session: Session::relay(self.config, hello, token, refused),
            token,
            before: None,
        });
        true
    }

    /// Handles a frame after HELLO, which shows that the client has the new token.
    pub(super) fn heard(&mut self) {
        if let Some(parked) = &mut self.parked {
            parked.before = None;
        }
    }

    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.parked.as_mut().map(|parked| &mut parked.session)
    }
}

/// Returns one message of `session` and records it; empty if there is nothing to send.
pub(super) fn message(
    session: &mut Session,
    watch: &mut Watch,
    now: std::time::Instant,
    most: usize,
) -> Bytes {
    let mut out = BytesMut::new();
    session.transmit(now, &mut out, most);
    assert!(out.len() <= fetchway_wire::v1::MAX_MESSAGE);
    let message = out.freeze();
    for frame in parse(&message) {
        watch.sent(&frame);
    }
    message
}

pub(super) fn parse(message: &Bytes) -> Vec<Frame> {
    let mut message = message.clone();
    let mut frames = Vec::new();
    while let Some(frame) = decode(&mut message).expect("whole frames") {
        frames.push(frame);
    }
    frames
}

/// Returns the stream of an event.
pub(super) fn stream_of(event: &Event) -> Option<u64> {
    match event {
        Event::Opened { stream, .. }
        | Event::Head { stream, .. }
        | Event::Data { stream, .. }
        | Event::Trailers { stream, .. }
        | Event::Reset { stream, .. }
        | Event::Stopped { stream } => Some(*stream),
        Event::Hello(_) | Event::GoingAway(_) => None,
    }
}
