//! The socket between the two ends, and what becomes of the session when it is cut.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{Config, Event, Frame, Hello, Session, TOKEN, decode};

use super::watch::Watch;

/// Messages under way, each way.
#[derive(Default)]
pub(super) struct Socket {
    pub(super) up: VecDeque<Bytes>,
    pub(super) down: VecDeque<Bytes>,
    /// The relay has had the client's HELLO on it.
    pub(super) joined: bool,
}

/// A relay's directory, of one session.
pub(super) struct Parked {
    pub(super) session: Session,
    token: [u8; TOKEN],
    /// Good until a frame behind HELLO has come.
    before: Option<[u8; TOKEN]>,
}

/// The relay's end: the session if there is one.
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

    /// A client's HELLO has come. Whether a new session has begun.
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

    /// A frame behind HELLO has come: the client has the new token.
    pub(super) fn heard(&mut self) {
        if let Some(parked) = &mut self.parked {
            parked.before = None;
        }
    }

    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.parked.as_mut().map(|parked| &mut parked.session)
    }
}

/// One message of `session`, accounted for; empty if it has nothing to say.
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

/// The stream that an event is of.
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
