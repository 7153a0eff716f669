//! Contents of the vectors: each type of frame and block, and edge cases.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{Request, Timeouts};
use fetchway_wire::v1::block::put_trailers;
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, GoingAway, Hello, RequestHead, Reset, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// The largest integer.
const MOST: u64 = (1 << 62) - 1;

/// Frames that encode to their bytes and back.
pub(super) fn frames() -> Vec<(&'static str, Frame)> {
    let mut all = heads();
    all.extend(bodies());
    all.extend(hellos());
    all.extend(control());
    all
}

fn heads() -> Vec<(&'static str, Frame)> {
    let open = |head: &RequestHead, end| block(Part::Open, end, |out| head.put(out));
    let head = |head: &ResponseHead, end| block(Part::Head, end, |out| head.put(out));
    let plain = crate::pair::get();
    let bare = RequestHead {
        tag: Bytes::new(),
        ..plain.clone()
    };
    let full = RequestHead {
        tag: Bytes::from_static(&[0, 0xff, 0x80]),
        request: Request {
            method: Method::from_bytes(b"PURGE").expect("a token"),
            url: "https://origin.example:8443/ä?q=1".to_owned(),
            headers: fields(),
            body: (),
            lane: "bulk".to_owned(),
            redirect: RedirectMode::Manual,
            decode: false,
            timeouts: Timeouts {
                connect: Some(Duration::ZERO),
                header: Some(Duration::from_millis(63)),
                body_idle: Some(Duration::from_millis(16_383)),
                total: Some(Duration::from_secs(86_400)),
            },
        },
    };
    let mut refusing = plain.clone();
    refusing.request.redirect = RedirectMode::Error;
    refusing.request.method = Method::POST;
    let answer = crate::pair::ok();
    let moved = ResponseHead {
        status: StatusCode::from_u16(999).expect("a status"),
        url: "http://elsewhere.example/".to_owned(),
        fields: fields(),
        tag: Bytes::from(vec![7; 256]),
    };
    let none = HeaderMap::new();
    vec![
        ("OPEN without a body", open(&plain, true)),
        ("OPEN without a tag", open(&bare, true)),
        ("OPEN with a body to come", open(&refusing, false)),
        ("OPEN with everything", open(&full, true)),
        ("HEAD with a body to come", head(&answer, false)),
        ("HEAD without a body", head(&answer, true)),
        (
            "HEAD with everything and the longest tag",
            head(&moved, false),
        ),
        (
            "TRAILERS",
            block(Part::Trailers, true, |out| put_trailers(out, &fields())),
        ),
        (
            "TRAILERS without fields",
            block(Part::Trailers, true, |out| put_trailers(out, &none)),
        ),
        ("OPEN, of which more follows", piece(Part::Open, true, true)),
        (
            "HEAD, of which more follows",
            piece(Part::Head, false, true),
        ),
        (
            "TRAILERS, of which more follows",
            piece(Part::Trailers, true, true),
        ),
        (
            "MORE, of which more follows",
            piece(Part::More, false, true),
        ),
        ("MORE, the last", piece(Part::More, false, false)),
    ]
}

fn bodies() -> Vec<(&'static str, Frame)> {
    let data = |stream, end, bytes: &[u8]| Frame::Data {
        stream,
        end,
        bytes: Bytes::copy_from_slice(bytes),
    };
    let reset = |tag: &[u8], name: &str, detail: &str| Frame::Reset {
        stream: 3,
        reset: Reset {
            tag: Bytes::copy_from_slice(tag),
            name: name.to_owned(),
            detail: detail.to_owned(),
        },
    };
    vec![
        ("DATA", data(1, false, b"body")),
        ("DATA, the last", data(1, true, b"body")),
        ("DATA, empty, the last", data(1, true, b"")),
        ("DATA, empty", data(1, false, b"")),
        ("DATA, a length of two bytes", data(1, false, &[0x61; 62])),
        (
            "DATA, a length of one byte at most",
            data(1, false, &[0x61; 61]),
        ),
        ("DATA, stream of one byte at most", data(63, false, b"x")),
        ("DATA, stream of two bytes", data(64, false, b"x")),
        (
            "DATA, stream of two bytes at most",
            data(16_383, false, b"x"),
        ),
        ("DATA, stream of four bytes", data(16_384, false, b"x")),
        (
            "DATA, stream of four bytes at most",
            data((1 << 30) - 1, false, b"x"),
        ),
        ("DATA, stream of eight bytes", data(1 << 30, false, b"x")),
        ("DATA, the last stream there is", data(MOST, false, b"x")),
        ("RESET from a client", reset(b"", "cancelled", "")),
        (
            "RESET from a relay",
            reset(
                b"tag",
                "connection_refused",
                "127.0.0.1:9 refuses – try later",
            ),
        ),
        ("STOP", Frame::Stop { stream: 300 }),
    ]
}

fn hellos() -> Vec<(&'static str, Frame)> {
    let token = *b"0123456789abcdef";
    let none = Hello::default();
    let new = Hello {
        session_window: Some(1 << 20),
        stream_window: Some(1 << 16),
        ..none.clone()
    };
    let relays = Hello {
        streams: Some(1_000),
        resume_within: Some(60_000),
        token: Some(token),
        ..new.clone()
    };
    let resuming = Hello {
        token: Some(token),
        received: Some(0),
        ..new.clone()
    };
    let resumed = Hello {
        streams: Some(1_000),
        resume_within: Some(60_000),
        token: Some([0xff; 16]),
        received: Some(MOST),
        ..none.clone()
    };
    let refusing = Hello {
        refused: Some("the session is gone".to_owned()),
        ..relays
    };
    vec![
        ("HELLO that says nothing", Frame::Hello(none)),
        ("HELLO of a client, a new session", Frame::Hello(new)),
        ("HELLO of a relay, a new session", Frame::Hello(relays)),
        ("HELLO of a client that resumes", Frame::Hello(resuming)),
        ("HELLO of a relay that resumes", Frame::Hello(resumed)),
        ("HELLO of a relay that refuses", Frame::Hello(refusing)),
    ]
}

fn control() -> Vec<(&'static str, Frame)> {
    let limit = |stream, bytes| Frame::Limit { stream, bytes };
    vec![
        ("ACK of nothing", Frame::Ack(0)),
        ("ACK", Frame::Ack(100_000)),
        ("LIMIT of the session", limit(0, 1 << 24)),
        ("LIMIT of a stream", limit(5, MOST)),
        ("PING, empty", Frame::Ping(Bytes::new())),
        (
            "PING",
            Frame::Ping(Bytes::from_static(b"\0\x01\x02\x03\x04\x05\x06\x07")),
        ),
        ("PONG", Frame::Pong(Bytes::from_static(b"abc"))),
        (
            "GOAWAY",
            Frame::GoingAway(GoingAway {
                last: 12_345,
                detail: "a new version comes".to_owned(),
            }),
        ),
    ]
}

fn block(part: Part, end: bool, put: impl FnOnce(&mut BytesMut)) -> Frame {
    let mut out = BytesMut::new();
    put(&mut out);
    Frame::Block {
        stream: 1,
        part,
        end,
        more: false,
        block: out.freeze(),
    }
}

fn piece(part: Part, end: bool, more: bool) -> Frame {
    Frame::Block {
        stream: 1,
        part,
        end,
        more,
        block: Bytes::from_static(b"a piece"),
    }
}

/// Returns fields with a repeated name, an empty value, and bytes that are not text.
fn fields() -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("set-cookie", &b"a=1"[..]),
        ("set-cookie", b"b=2; Path=/"),
        ("x-empty", b""),
        ("x-bytes", b"\xff\x80 caf\xe9\twith a tab"),
    ] {
        let value = HeaderValue::from_bytes(value).expect("a value");
        fields.append(HeaderName::from_static(name), value);
    }
    fields
}
