//! Both ends, and a link that loses the messages in transit when it is cut.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fetchway_wire::v1::{Config, Event, Frame, Reset, Session, TOKEN};

use super::script::Script;
use super::{check, frames, give, may_be_gone, message, request, response};

/// Data that the application at one end has received on a stream, and sent on it.
#[derive(Clone, Copy, Default)]
struct Count {
    given: u64,
    came: u64,
}

struct Pair {
    client: Session,
    relay: Session,
    config: Config,
    now: Instant,
    up: VecDeque<Bytes>,
    down: VecDeque<Bytes>,
    /// For each stream: upload and download.
    counts: Vec<[Count; 2]>,
}

pub(super) fn run(script: &mut Script<'_>, config: Config) {
    let now = Instant::now();
    let mut client = Session::client(config);
    let said = frames(message(&mut client, now, 1));
    let Some(Frame::Hello(hello)) = said.first() else {
        panic!("a client begins with {said:?}");
    };
    let relay = Session::relay(config, hello, [1; TOKEN], None);
    let mut pair = Pair {
        client,
        relay,
        config,
        now,
        up: VecDeque::new(),
        down: VecDeque::new(),
        counts: vec![Default::default(); 300],
    };
    pair.transmit(false, 1);
    pair.deliver(false);
    while !script.is_over() {
        pair.step(script);
        check(&pair.client, pair.config);
        check(&pair.relay, pair.config);
    }
    pair.finish();
}

impl Pair {
    fn step(&mut self, script: &mut Script<'_>) {
        let what = script.byte();
        let up = what & 0x80 != 0;
        let session = if up {
            &mut self.client
        } else {
            &mut self.relay
        };
        match what % 16 {
            0 => {
                let end = what & 16 != 0;
                if self.counts.len() as u64 > self.client.open_streams() + 20 {
                    self.client.open(&request(script.length()), end);
                }
            }
            1 => may_be_gone(self.relay.respond(
                script.id(),
                &response(script.length()),
                what & 16 != 0,
            )),
            2 | 3 => {
                let (id, piece) = (script.id(), script.piece());
                let n = piece.len() as u64;
                if give(session, id, piece) {
                    self.counts[id as usize][usize::from(up)].given += n;
                }
            }
            4 => may_be_gone(session.end(script.id())),
            5 => may_be_gone(self.relay.stop(script.id())),
            6 => may_be_gone(session.reset(script.id(), Reset::cancelled())),
            7 => session.consumed(script.id(), script.length() as u64),
            8 => self.now += Duration::from_millis(script.number()),
            9 => self.cut(),
            10 | 11 => self.transmit(up, script.length()),
            12 | 13 => self.deliver(up),
            14 => session.ping(script.raw()),
            _ => {
                if let Ok(saved) = self.client.save() {
                    self.client = Session::restore(&saved).expect("as saved");
                    self.cut();
                }
            }
        }
    }

    fn transmit(&mut self, up: bool, most: usize) {
        let (session, way) = if up {
            (&mut self.client, &mut self.up)
        } else {
            (&mut self.relay, &mut self.down)
        };
        let message = message(session, self.now, most);
        if !message.is_empty() {
            way.push_back(message);
        }
    }

    fn deliver(&mut self, up: bool) {
        let (session, way) = if up {
            (&mut self.relay, &mut self.up)
        } else {
            (&mut self.client, &mut self.down)
        };
        let Some(message) = way.pop_front() else {
            return;
        };
        for frame in frames(message) {
            let event = session.receive(frame, self.now).expect("both obey");
            if let Some(Event::Data { stream, bytes, .. }) = event
                && let Some(count) = self.counts.get_mut(stream as usize)
            {
                let count = &mut count[usize::from(up)];
                count.came += bytes.len() as u64;
                assert!(
                    count.came <= count.given || stream >= 12,
                    "bytes come twice"
                );
            }
        }
    }

    /// The socket is lost, and replaced at once.
    fn cut(&mut self) {
        self.up.clear();
        self.down.clear();
        if self.client.reconnect().is_err() {
            return;
        }
        let said = frames(message(&mut self.client, self.now, 1));
        let [Frame::Hello(hello)] = &said[..] else {
            panic!("a client resumes with {said:?}");
        };
        self.relay.disconnect();
        self.relay
            .resume(hello, [2; TOKEN])
            .expect("counts that fit");
        self.transmit(false, 1);
        self.deliver(false);
    }

    /// Both applications drop everything, and nothing may be left.
    fn finish(mut self) {
        for id in 0..2_000 {
            may_be_gone(self.client.reset(id, Reset::cancelled()));
        }
        for _ in 0..4_000 {
            self.now += Duration::from_millis(26);
            for up in [true, false] {
                self.transmit(up, 32 << 10);
                while !(if up { &self.up } else { &self.down }).is_empty() {
                    self.deliver(up);
                }
            }
            let quiet = [&self.client, &self.relay]
                .iter()
                .all(|session| session.open_streams() == 0 && session.held() == 0);
            if quiet {
                break;
            }
        }
        for session in [&self.client, &self.relay] {
            assert_eq!(session.open_streams(), 0, "a stream never ends");
            assert_eq!(session.held(), 0, "something is never sent");
            assert_eq!(session.unread(), 0, "credit is lost");
        }
    }
}
