//! The session machine, fed with arbitrary events.
//!
//! The first byte selects the mode: `hostile` is one end whose peer is the input, `paired` both ends
//! with a lossy link between them. `script` reads the input.

mod hostile;
mod paired;
mod script;

use std::task::{Context, Waker};

use bytes::Bytes;
use fetchway_wire::v1::session::{OVERSHOOT, floor};
use fetchway_wire::v1::{Config, Frame, Gone, RequestHead, ResponseHead, Session, decode};
use http::{HeaderMap, Method, StatusCode};

use self::script::Script;

/// There is no panic and no unbounded growth, no more is sent than was allowed, and every stream ends.
pub fn v1_session(input: &[u8]) {
    let mut script = Script(input);
    let how = script.byte();
    let config = config(&mut script);
    if how & 1 == 0 {
        paired::run(&mut script, config);
    } else {
        hostile::run(&mut script, config, how & 2 == 0);
    }
}

fn config(script: &mut Script<'_>) -> Config {
    Config {
        streams: 0,
        session_window: floor::SESSION_WINDOW + 512 * script.number(),
        stream_window: floor::STREAM_WINDOW + 512 * script.number(),
        unacked: 64 * script.number(),
        ..Config::default()
    }
}

/// Returns the frames that a session has to send, at most one message of them.
fn message(session: &mut Session, now: std::time::Instant, most: usize) -> Bytes {
    let mut out = bytes::BytesMut::new();
    session.transmit(now, &mut out, most);
    assert!(out.len() <= most.max(1) + OVERSHOOT, "{} bytes", out.len());
    out.freeze()
}

fn frames(mut message: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = decode(&mut message).expect("we send frames") {
        frames.push(frame);
    }
    frames
}

/// Adds a piece of a body when there is room, as an application does.
fn give(session: &mut Session, id: u64, bytes: Bytes) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match session.poll_room(id, &mut cx) {
        std::task::Poll::Ready(Ok(())) => session.data(id, bytes).is_ok(),
        _ => false,
    }
}

/// An action of an application may come too late: the peer, or an earlier step, has ended the stream.
fn may_be_gone(done: Result<(), Gone>) {
    assert!(matches!(done, Ok(()) | Err(Gone)));
}

/// The outbound data that is kept is bounded.
fn check(session: &Session, config: Config) {
    let streams = session.open_streams();
    assert!(streams <= config.streams.max(floor::STREAMS));
    // A queue, the piece that filled it, and a block; a RESET that is kept has texts of its own.
    let per_stream = (32 << 10) + script::MOST_PIECE as u64 + (64 << 10);
    let most = config.unacked + (18 << 10) + streams * per_stream;
    assert!(session.held() <= most, "{} bytes are held", session.held());
    assert!(
        session.unread() <= config.session_window,
        "credit was passed"
    );
}

fn request(long: usize) -> RequestHead {
    let url = "http://origin.example/".to_owned() + &"x".repeat(long);
    RequestHead {
        tag: Bytes::from_static(b"tag"),
        ..RequestHead::new(Method::GET, &url)
    }
}

fn response(long: usize) -> ResponseHead {
    ResponseHead {
        tag: Bytes::from_static(b"tag"),
        status: StatusCode::OK,
        url: "y".repeat(long),
        fields: HeaderMap::new(),
    }
}
