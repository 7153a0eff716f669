//! Arbitrary frames and their contents.

use std::time::Duration;

use bytes::Bytes;
use fetchway_wire::v1::frame::{MAX_PIECE, Part};
use fetchway_wire::v1::{Frame, GoingAway, Hello, Reset};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn integer() -> impl Strategy<Value = u64> {
    let most = (1u64 << 62) - 1;
    prop_oneof![0..100u64, 0..20_000u64, 0..1u64 << 31, 0..=most, Just(most)]
}

fn stream() -> impl Strategy<Value = u64> {
    integer().prop_map(|n| n.max(1))
}

fn piece() -> impl Strategy<Value = Bytes> {
    let len = prop_oneof![0..100usize, MAX_PIECE - 3..=MAX_PIECE, 8_180..8_200usize];
    (len, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len]))
}

pub(super) fn frame() -> impl Strategy<Value = Frame> {
    let part = prop_oneof![
        Just(Part::Open),
        Just(Part::Head),
        Just(Part::Trailers),
        Just(Part::More)
    ];
    let flags = (any::<bool>(), any::<bool>());
    prop_oneof![
        (stream(), part, flags, piece()).prop_map(|(stream, part, (end, more), block)| {
            Frame::Block {
                stream,
                part,
                end,
                more,
                block,
            }
        }),
        (stream(), any::<bool>(), piece()).prop_map(|(stream, end, bytes)| Frame::Data {
            stream,
            end,
            bytes
        }),
        (
            stream(),
            vec(any::<u8>(), 0..257),
            "[a-z_]{0,30}",
            ".{0,200}"
        )
            .prop_map(|(stream, tag, name, detail)| Frame::Reset {
                stream,
                reset: Reset {
                    tag: tag.into(),
                    name,
                    detail
                },
            }),
        stream().prop_map(|stream| Frame::Stop { stream }),
        hello().prop_map(Frame::Hello),
        integer().prop_map(Frame::Ack),
        (integer(), integer()).prop_map(|(stream, bytes)| Frame::Limit { stream, bytes }),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Frame::Ping(bytes.into())),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Frame::Pong(bytes.into())),
        (integer(), ".{0,200}")
            .prop_map(|(last, detail)| Frame::GoingAway(GoingAway { last, detail })),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let number = || option::of(integer());
    (
        (number(), number(), number(), number(), number()),
        option::of(any::<[u8; 16]>()),
        option::of(".{0,100}"),
    )
        .prop_map(|((a, b, c, d, e), token, refused)| Hello {
            streams: a,
            session_window: b,
            stream_window: c,
            resume_within: d,
            token,
            received: e,
            refused,
        })
}

pub(super) fn clock() -> impl Strategy<Value = Option<Duration>> {
    option::of((0..1u64 << 40).prop_map(Duration::from_millis))
}

pub(super) fn fields() -> impl Strategy<Value = HeaderMap> {
    let value = vec(prop_oneof![Just(b'\t'), 0x20..0x7fu8, 0x80..=0xffu8], 0..40);
    vec(("[a-z][a-z0-9!-]{0,10}", value), 0..12).prop_map(|fields| {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().expect("a token");
            map.append(name, HeaderValue::from_bytes(&value).expect("a value"));
        }
        map
    })
}
