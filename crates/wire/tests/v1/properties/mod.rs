//! Properties for any input: order of bytes under any interleaving, and round trips of encodings.

mod arbitrary;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{Request, Timeouts};
use fetchway_wire::v1::block::{put_trailers, read_trailers};
use fetchway_wire::v1::{Config, Event, RequestHead, ResponseHead, Session, decode};
use http::{Method, StatusCode};
use proptest::collection::vec;
use proptest::prelude::*;

use self::arbitrary::{clock, fields, frame};
use crate::pair::{Pair, body, get, message, ok, parse, receive};

/// An action of one of the ends.
#[derive(Clone, Debug)]
enum Act {
    Open,
    Data { stream: usize, up: bool, len: usize },
    End { stream: usize, up: bool },
    Consume { stream: usize, up: bool, most: u64 },
    Carry { up: bool, most: usize },
    Time,
    Cut,
}

fn act() -> impl Strategy<Value = Act> {
    let stream = 0..4usize;
    let len = prop_oneof![1..200usize, 200..40_000usize];
    prop_oneof![
        1 => Just(Act::Open),
        4 => (stream.clone(), any::<bool>(), len)
            .prop_map(|(stream, up, len)| Act::Data { stream, up, len }),
        1 => (stream.clone(), any::<bool>()).prop_map(|(stream, up)| Act::End { stream, up }),
        4 => (stream, any::<bool>(), 1..100_000u64)
            .prop_map(|(stream, up, most)| Act::Consume { stream, up, most }),
        6 => (any::<bool>(), 1..40_000usize).prop_map(|(up, most)| Act::Carry { up, most }),
        1 => Just(Act::Time),
        1 => Just(Act::Cut),
    ]
}

/// A stream as its two applications see it.
#[derive(Default)]
struct Seen {
    /// For upload and download: bytes given, received and consumed.
    given: [Vec<u8>; 2],
    came: [Vec<u8>; 2],
    consumed: [u64; 2],
    ended: [bool; 2],
}

struct Play {
    pair: Pair,
    seen: Vec<Seen>,
}

impl Play {
    fn act(&mut self, act: &Act) {
        match *act {
            Act::Open => {
                if self.seen.len() < 4 {
                    self.pair.client.open(&get(), false).expect("room");
                    self.seen.push(Seen::default());
                }
            }
            Act::Data { stream, up, len } => self.give(stream, up, Some(len)),
            Act::End { stream, up } => self.give(stream, up, None),
            Act::Consume { stream, up, most } => self.consume(stream, up, most),
            Act::Carry { up, most } => self.carry(up, most),
            Act::Time => self.pair.now += Duration::from_millis(26),
            Act::Cut => {
                self.pair.resume();
                self.carry(false, 1);
            }
        }
    }

    fn give(&mut self, stream: usize, up: bool, len: Option<usize>) {
        let Some(seen) = self.seen.get_mut(stream) else {
            return;
        };
        let (id, way) = (stream as u64 + 1, usize::from(up));
        let session = if up {
            &mut self.pair.client
        } else {
            &mut self.pair.relay
        };
        // The end of the relay's half would end an upload in progress.
        let uploading = !seen.ended[1] || seen.came[1] != seen.given[1];
        if seen.ended[way] || (!up && len.is_none() && uploading) {
            return;
        }
        let done = match len {
            Some(len) => {
                let from = seen.given[way].len();
                let bytes: Vec<u8> = (from..from + len).map(|n| (n * 31 % 251) as u8).collect();
                let done = session.data(id, Bytes::from(bytes.clone()));
                if done.is_ok() {
                    seen.given[way].extend(bytes);
                }
                done
            }
            None => session.end(id),
        };
        seen.ended[way] |= len.is_none() && done.is_ok();
    }

    fn consume(&mut self, stream: usize, up: bool, most: u64) {
        if let Some(seen) = self.seen.get_mut(stream) {
            let way = usize::from(up);
            let n = most.min(seen.came[way].len() as u64 - seen.consumed[way]);
            seen.consumed[way] += n;
            let session = if up {
                &mut self.pair.relay
            } else {
                &mut self.pair.client
            };
            session.consumed(stream as u64 + 1, n);
        }
    }

    fn carry(&mut self, up: bool, most: usize) {
        let now = self.pair.now;
        let (from, to) = if up {
            (&mut self.pair.client, &mut self.pair.relay)
        } else {
            (&mut self.pair.relay, &mut self.pair.client)
        };
        let frames = parse(message(from, now, most));
        let events = receive(to, frames, now).expect("both keep to the protocol");
        for event in &events {
            if let Event::Opened { stream, .. } = event {
                to.respond(*stream, &ok(), false).expect("open");
            }
        }
        for (id, seen) in (1..).zip(&mut self.seen) {
            seen.came[usize::from(up)].extend(body(&events, id));
        }
    }

    /// Everything that was given arrives once both ends read.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.seen.iter().all(|seen| seen.came == seen.given) {
                break;
            }
            for stream in 0..self.seen.len() {
                self.consume(stream, true, u64::MAX);
                self.consume(stream, false, u64::MAX);
            }
            self.pair.now += Duration::from_millis(26);
            self.carry(true, 32 << 10);
            self.carry(false, 32 << 10);
        }
        for (stream, seen) in self.seen.iter().enumerate() {
            assert!(
                seen.came == seen.given,
                "stream {} has other bytes",
                stream + 1
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_delivers_bytes_in_order(
        acts in vec(act(), 0..120),
        stream_window in 0..100_000u64,
        unacked in 1..200_000u64,
    ) {
        let config = Config { session_window: 2 * stream_window, stream_window, unacked, ..Config::default() };
        let mut play = Play { pair: Pair::with(config, config), seen: Vec::new() };
        for act in &acts {
            play.act(act);
        }
        play.finish();
    }

    #[test]
    fn a_quiescent_client_can_be_saved_and_restored(
        answered in vec(any::<bool>(), 0..60),
        after in vec(any::<bool>(), 0..20),
    ) {
        let mut pair = Pair::new();
        for done in &answered {
            let id = pair.client.open(&get(), true).expect("room");
            pair.client_sends();
            if *done {
                pair.relay.respond(id, &ok(), true).expect("open");
            }
        }
        pair.settle();
        let saved = pair.client.save().expect("quiescent, in few ranges");
        prop_assert!(saved.0.len() < 400);
        let restored = Session::restore(&saved).expect("as saved");
        prop_assert_eq!(restored.open_streams(), pair.client.open_streams());
        prop_assert_eq!(restored.save(), Ok(saved));
        pair.client = restored;
        pair.resume();
        for done in &after {
            let id = pair.client.open(&get(), true).expect("room");
            pair.settle();
            if *done {
                pair.relay.respond(id, &ok(), true).expect("open");
            }
        }
        for id in 1..=(answered.len() + after.len()) as u64 {
            // Streams that were answered before are gone.
            let _answered = pair.relay.respond(id, &ok(), true);
        }
        pair.settle();
        prop_assert_eq!(pair.client.open_streams() + pair.relay.open_streams(), 0);
    }

    #[test]
    fn frames_come_back_as_they_were(sent in vec(frame(), 0..12)) {
        let mut out = BytesMut::new();
        for frame in &sent {
            frame.put(&mut out);
        }
        let mut message = out.freeze();
        let mut came = Vec::new();
        while let Some(frame) = decode(&mut message).expect("what was encoded") {
            came.push(frame);
        }
        prop_assert_eq!(came, sent);
    }

    #[test]
    fn a_cut_frame_is_refused(frame in frame(), cut in any::<prop::sample::Index>()) {
        let mut out = BytesMut::new();
        frame.put(&mut out);
        let mut part = out.freeze();
        part.truncate(cut.index(part.len()));
        let decoded = decode(&mut part);
        prop_assert!(decoded.is_err() || decoded == Ok(None), "{decoded:?}");
    }

    #[test]
    fn blocks_come_back_as_they_were(
        tag in vec(any::<u8>(), 0..256),
        (method, redirect) in (0..4usize, 0..3usize),
        (url, lane) in ("[ -~]{0,80}", "[a-z]{0,8}"),
        decode in any::<bool>(),
        clocks in [clock(), clock(), clock(), clock()],
        status in 100..1_000u16,
        fields in fields(),
    ) {
        let [connect, header, body_idle, total] = clocks;
        let request = RequestHead {
            tag: tag.clone().into(),
            request: Request {
            method: [Method::GET, Method::POST, Method::DELETE, Method::from_bytes(b"X!").expect("a token")][method].clone(),
            url: url.clone(),
            lane,
            redirect: [RedirectMode::Follow, RedirectMode::Manual, RedirectMode::Error][redirect],
            decode,
            timeouts: Timeouts { connect, header, body_idle, total },
            headers: fields.clone(),
            body: (),
            },
        };
        let mut block = BytesMut::new();
        request.put(&mut block);
        prop_assert_eq!(RequestHead::read(&block), Ok(request));

        let status = StatusCode::from_u16(status).expect("a status");
        let response = ResponseHead { tag: tag.into(), status, url, fields: fields.clone() };
        let mut block = BytesMut::new();
        response.put(&mut block);
        prop_assert_eq!(ResponseHead::read(&block), Ok(response));

        let mut block = BytesMut::new();
        put_trailers(&mut block, &fields);
        prop_assert_eq!(read_trailers(&block), Ok(fields));
    }
}
