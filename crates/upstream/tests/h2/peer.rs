//! A hand-made server: frames as bytes, and a connection that receives them.

use fetchway_upstream::h2::{Connection, Event};
use fetchway_upstream::{Failure, Limits, Request, Response};

pub(crate) const LIMITS: Limits = Limits {
    head: 20_000,
    body: 2 << 20,
    free: 64 << 10,
    wanted: &["content-type", "fetchway-state"],
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const HAS_PRIORITY: u8 = 0x20;
/// Flags of a complete head, and of one that is the whole response.
pub(crate) const HEAD: u8 = END_HEADERS;
pub(crate) const ALL: u8 = END_HEADERS | END_STREAM;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Encodes fields as literals that enter no table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            match text.len() {
                short @ ..0x7f => block.push(short as u8),
                long => {
                    let long = long - 0x7f;
                    assert!(long < 1 << 21);
                    block.extend_from_slice(&[0x7f, long as u8 | 0x80, (long >> 7) as u8 | 0x80]);
                    block.push((long >> 14) as u8);
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

pub(crate) fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) fn window_update(stream: u32, growth: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &growth.to_be_bytes())
}

pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), code.to_be_bytes()].concat(),
    )
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A frame that the connection sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn sent(mut out: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, rest @ ..] = out {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let (payload, behind) = rest.split_at(length);
        frames.push(Sent {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            payload: payload.to_vec(),
        });
        out = behind;
    }
    assert!(out.is_empty(), "half a frame went out");
    frames
}

pub(crate) struct Talk {
    pub(crate) connection: Connection,
    pub(crate) out: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl Talk {
    /// Creates a connection that has received nothing from its server.
    pub(crate) fn new() -> Self {
        let mut out = Vec::new();
        let connection = Connection::new(&LIMITS, &mut out);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert!(out.starts_with(preface));
        out.drain(..preface.len());
        Self {
            connection,
            out,
            events: Vec::new(),
        }
    }

    /// Creates a connection whose server has sent these SETTINGS, and which has written its own.
    pub(crate) fn with(said: &[(u16, u32)]) -> Self {
        let mut talk = Self::new();
        talk.feed(&settings(said)).expect("SETTINGS");
        talk.frames();
        talk
    }

    /// Creates a connection with this number of requests without a body.
    pub(crate) fn asked(requests: u32) -> Self {
        let mut talk = Self::with(&[]);
        for nth in 0..requests {
            assert_eq!(talk.send(b""), 2 * nth + 1);
        }
        talk.frames();
        talk
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.connection.take(bytes, &mut self.out, &mut self.events)
    }

    pub(crate) fn send(&mut self, body: &[u8]) -> u32 {
        let request = Request {
            method: "POST",
            authority: "api.test",
            path: "/a",
            fields: &[("content-type", b"text/plain")],
            body,
        };
        self.connection.send(&request, &mut self.out)
    }

    /// Returns the frames sent since the last call.
    pub(crate) fn frames(&mut self) -> Vec<Sent> {
        sent(&std::mem::take(&mut self.out))
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Returns the only event since the last call, an answer.
    pub(crate) fn answer(&mut self, stream: u32) -> Response {
        match &self.events()[..] {
            [Event::Response(id, answer)] if *id == stream => answer.clone(),
            events => panic!("no answer on {stream}: {events:?}"),
        }
    }

    /// Returns the only event since the last call, a failure.
    pub(crate) fn failure(&mut self, stream: u32) -> Failure {
        match &self.events()[..] {
            [Event::Failed(id, failure)] if *id == stream => failure.clone(),
            events => panic!("no failure on {stream}: {events:?}"),
        }
    }
}
