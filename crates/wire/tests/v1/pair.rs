//! Two sessions, with a link between them that the test drives step by step.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{
    Config, Event, Frame, Hello, RequestHead, ResponseHead, Session, TOKEN, Violation, decode,
};
use http::{HeaderMap, Method, StatusCode};

/// The resume token of a test's relay.
pub(crate) const TOKEN_1: [u8; TOKEN] = [1; TOKEN];
pub(crate) const TOKEN_2: [u8; TOKEN] = [2; TOKEN];

/// The amount that a driver puts into one message.
pub(crate) const MOST: usize = 32 << 10;

/// A client and a relay whose HELLOs have been exchanged.
pub(crate) struct Pair {
    pub(crate) client: Session,
    pub(crate) relay: Session,
    pub(crate) now: Instant,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    pub(crate) fn with(client: Config, relay: Config) -> Self {
        let now = Instant::now();
        let mut client = Session::client(client);
        let said = frames(&mut client, now);
        let [Frame::Hello(hello)] = &said[..] else {
            panic!("a client begins with {said:?}");
        };
        let relay = Session::relay(relay, hello, TOKEN_1, None);
        let mut pair = Self { client, relay, now };
        assert!(matches!(pair.relay_sends()[..], [Event::Hello(_)]));
        pair
    }

    /// Delivers everything that the client has to send to the relay.
    pub(crate) fn client_sends(&mut self) -> Vec<Event> {
        let frames = frames(&mut self.client, self.now);
        receive(&mut self.relay, frames, self.now).expect("a client that keeps to the protocol")
    }

    /// Delivers everything that the relay has to send to the client.
    pub(crate) fn relay_sends(&mut self) -> Vec<Event> {
        let frames = frames(&mut self.relay, self.now);
        receive(&mut self.client, frames, self.now).expect("a relay that keeps to the protocol")
    }

    /// Delivers in both directions until neither end has anything to send, acknowledgements included.
    /// Returns the events of client and relay.
    pub(crate) fn settle(&mut self) -> (Vec<Event>, Vec<Event>) {
        let (mut client, mut relay) = (Vec::new(), Vec::new());
        for _ in 0..10_000 {
            self.now += Duration::from_millis(30);
            if !self.client.wants_transmit(self.now) && !self.relay.wants_transmit(self.now) {
                return (client, relay);
            }
            relay.extend(self.client_sends());
            client.extend(self.relay_sends());
        }
        panic!("two sessions talk without end");
    }

    /// Opens a stream and answers it, both with a body to come.
    pub(crate) fn stream(&mut self) -> u64 {
        let id = self.client.open(&get(), false).expect("room");
        self.client_sends();
        self.relay.respond(id, &ok(), false).expect("open");
        self.relay_sends();
        id
    }

    /// Cuts the socket and loses what is in transit. Returns the client's HELLO for the next socket.
    pub(crate) fn cut(&mut self) -> Hello {
        self.client.disconnect();
        self.relay.disconnect();
        self.client.reconnect().expect("a token");
        let said = frames(&mut self.client, self.now);
        let [Frame::Hello(hello)] = &said[..] else {
            panic!("a client resumes with {said:?}");
        };
        hello.clone()
    }

    /// Cuts the socket and resumes the session.
    pub(crate) fn resume(&mut self) {
        let hello = self.cut();
        self.relay
            .resume(&hello, TOKEN_2)
            .expect("a HELLO that fits");
    }
}

/// Returns everything that a session has to send, as frames.
pub(crate) fn frames(session: &mut Session, now: Instant) -> Vec<Frame> {
    let mut frames = Vec::new();
    while session.wants_transmit(now) {
        let message = message(session, now, MOST);
        frames.extend(parse(message));
    }
    frames
}

/// Returns one message of a session.
pub(crate) fn message(session: &mut Session, now: Instant, most: usize) -> Bytes {
    let mut out = BytesMut::new();
    session.transmit(now, &mut out, most);
    out.freeze()
}

pub(crate) fn parse(mut message: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = decode(&mut message).expect("whole frames") {
        frames.push(frame);
    }
    frames
}

/// Returns the events of all frames, or the first violation.
pub(crate) fn receive(
    session: &mut Session,
    frames: Vec<Frame>,
    now: Instant,
) -> Result<Vec<Event>, Violation> {
    let mut events = Vec::new();
    for frame in frames {
        events.extend(session.receive(frame, now)?);
    }
    Ok(events)
}

/// Creates a relay whose client has sent only a HELLO; the relay's own HELLO has been taken.
pub(crate) fn relay(config: Config) -> (Session, Instant) {
    let now = Instant::now();
    let mut relay = Session::relay(config, &Hello::default(), TOKEN_1, None);
    frames(&mut relay, now);
    (relay, now)
}

/// Returns an OPEN in one frame.
pub(crate) fn open(stream: u64, end: bool) -> Frame {
    let mut block = BytesMut::new();
    get().put(&mut block);
    Frame::Block {
        stream,
        part: fetchway_wire::v1::frame::Part::Open,
        end,
        more: false,
        block: block.freeze(),
    }
}

pub(crate) fn data(stream: u64, bytes: impl Into<Bytes>, end: bool) -> Frame {
    Frame::Data {
        stream,
        end,
        bytes: bytes.into(),
    }
}

/// Returns a request without fields.
pub(crate) fn get() -> RequestHead {
    RequestHead {
        tag: Bytes::from_static(b"tag"),
        ..RequestHead::new(Method::GET, "http://origin.example/")
    }
}

/// Returns a request whose block has more than `bytes` bytes.
pub(crate) fn long_get(bytes: usize) -> RequestHead {
    let mut head = get();
    let value = "v".repeat(bytes).parse().expect("a value");
    head.request.headers.insert("x-long", value);
    head
}

pub(crate) fn ok() -> ResponseHead {
    ResponseHead {
        tag: Bytes::from_static(b"tag"),
        status: StatusCode::OK,
        url: String::new(),
        fields: HeaderMap::new(),
    }
}

/// Returns the data bytes of one stream among `events`.
pub(crate) fn body(events: &[Event], id: u64) -> Vec<u8> {
    let pieces = events.iter().filter_map(|event| match event {
        Event::Data { stream, bytes, .. } if *stream == id => Some(&bytes[..]),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}
