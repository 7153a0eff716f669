//! The actions that can happen next.

use std::task::{Context, Waker};
use std::time::Duration;

use fetchway_wire::v1::Session;
use http::HeaderMap;

use super::apps::{End, Fetch, bytes, reset};
use super::world::World;
use crate::pair;

/// The behaviour of a seed.
pub(super) struct Temper {
    /// Of 1,000 steps, the number that cut the link, and of these cuts, the number per 1,000 that also
    /// kill the relay.
    cuts: u64,
    kills: u64,
    /// Of 1,000 fetches, the number that have a body.
    bodies: u64,
    most_body: u64,
    fetches: u64,
}

impl World {
    /// Performs a whole run.
    pub(super) fn run(&mut self) {
        let random = &mut self.random;
        let mut temper = Temper {
            cuts: [0, 2, 10, 50][random.below(4) as usize],
            kills: [0, 0, 100][random.below(3) as usize],
            bodies: [0, 300, 800][random.below(3) as usize],
            most_body: [10, 3_000, 150_000][random.below(3) as usize],
            fetches: [5, 40, 300][random.below(3) as usize],
        };
        for _ in 0..200 + self.random.below(1_000) {
            self.step(&mut temper);
            self.check();
        }
        self.drain();
    }

    fn step(&mut self, temper: &mut Temper) {
        if self.random.chance(temper.cuts) {
            self.fault(temper);
            return;
        }
        let most = 1 + self.random.length(40 << 10) as usize;
        match self.random.below(16) {
            0 | 1 => self.open(temper),
            2 | 3 => {
                self.transmit(true, most);
            }
            4 | 5 => {
                self.transmit(false, most);
            }
            6 | 7 => {
                self.deliver(true);
            }
            8 | 9 => {
                self.deliver(false);
            }
            10 => self.upload(),
            11 | 12 => self.answer(),
            13 => self.read(),
            14 => self.disturb(),
            _ => {
                let pause = self.random.length(40);
                self.now += Duration::from_millis(pause);
                if self.socket.is_none() && self.random.chance(500) {
                    self.connect();
                }
            }
        }
    }

    fn fault(&mut self, temper: &Temper) {
        if self.random.chance(temper.kills) {
            self.note(format_args!("the relay is killed"));
            self.cut();
            self.relay.parked = None;
        } else if let Some(saved) = self
            .random
            .chance(700)
            .then(|| self.client.save().ok())
            .flatten()
        {
            self.note(format_args!("the client sleeps"));
            self.client = Session::restore(&saved).expect("as saved");
            self.totals.sleeps += 1;
            self.cut();
        } else {
            self.cut();
        }
    }

    fn open(&mut self, temper: &mut Temper) {
        if temper.fetches == 0 || !self.client.can_open() {
            return;
        }
        temper.fetches -= 1;
        let body = self.random.chance(temper.bodies);
        let mut fetch = Fetch::default();
        if body {
            fetch.up.length = self.random.length(temper.most_body);
        }
        (fetch.up.finished, fetch.up.closed) = (!body, !body);
        fetch.down.length = self.random.length(temper.most_body);
        let long = self.random.chance(30);
        // Numbers increase by one, so the next one is known in advance.
        let id = self.last() + 1;
        let mut head = if long {
            pair::long_get(self.random.length(60_000) as usize)
        } else {
            pair::get()
        };
        head.tag = id.to_be_bytes().to_vec().into();
        assert_eq!(self.client.open(&head, !body), Some(id));
        self.note(format_args!("open {id}"));
        self.fetches.insert(id, fetch);
    }

    fn last(&self) -> u64 {
        self.fetches.last_key_value().map_or(0, |(id, _)| *id)
    }

    /// Returns one of the fetches that `wanted` accepts.
    fn some(&mut self, wanted: impl Fn(&Fetch) -> bool) -> Option<u64> {
        let ids: Vec<u64> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| wanted(fetch))
            .map(|(id, _)| *id)
            .collect();
        self.random.pick(&ids)
    }

    fn upload(&mut self) {
        if let Some(id) = self.some(|fetch| !fetch.up.closed) {
            let piece = 1 + self.random.length(30_000);
            self.give(id, true, piece);
        }
    }

    /// Gives the next piece of a body to its session, or its end.
    pub(super) fn give(&mut self, id: u64, up: bool, piece: u64) {
        let trailers = self.random.chance(200);
        let fetch = self.fetches.get_mut(&id).expect("picked");
        let body = if up { &mut fetch.up } else { &mut fetch.down };
        let session = match up {
            true => &mut self.client,
            false => self.relay.session().expect("it was opened there"),
        };
        let mut cx = Context::from_waker(Waker::noop());
        let given = if body.given < body.length {
            if session.poll_room(id, &mut cx).is_pending() {
                return;
            }
            let piece = piece.min(body.length - body.given);
            let given = session.data(id, bytes(id, up, body.given, piece));
            if given.is_ok() {
                body.given += piece;
            }
            given
        } else {
            body.closed = true;
            let given = match trailers {
                true => session.trailers(id, &HeaderMap::new()),
                false => session.end(id),
            };
            body.finished = given.is_ok();
            given
        };
        assert!(
            given.is_ok(),
            "stream {id} takes no more, and nobody said so"
        );
        if !up && body.closed {
            fetch.relay_over = true;
        }
        let given = body.given;
        self.note(format_args!("give {id} up={up} to {given}"));
    }

    /// The relay's application continues with a response.
    fn answer(&mut self) {
        let open = |fetch: &Fetch| fetch.opened && !fetch.relay_over;
        let Some(id) = self.some(open) else { return };
        if self.relay.session().is_none() {
            return;
        }
        let piece = 1 + self.random.length(30_000);
        self.go_on(id, piece);
    }

    pub(super) fn go_on(&mut self, id: u64, piece: u64) {
        let fetch = self.fetches.get_mut(&id).expect("picked");
        if fetch.answered {
            self.give(id, false, piece);
            return;
        }
        let mut head = pair::ok();
        head.tag = id.to_be_bytes().to_vec().into();
        let end = fetch.down.length == 0;
        fetch.answered = true;
        if end {
            (fetch.down.finished, fetch.relay_over) = (true, true);
        }
        let session = self.relay.session().expect("it was opened there");
        session.respond(id, &head, end).expect("not answered yet");
        self.note(format_args!("respond {id}"));
    }

    /// One of the applications reads received data.
    fn read(&mut self) {
        let most = 1 + self.random.length(60_000);
        let up = self.random.chance(500);
        let some = self.some(|fetch| {
            let body = if up { &fetch.up } else { &fetch.down };
            body.unread > 0
        });
        if let Some(id) = some {
            self.consume(id, up, most);
        }
    }

    pub(super) fn consume(&mut self, id: u64, up: bool, most: u64) {
        let fetch = self.fetches.get_mut(&id).expect("picked");
        let body = if up { &mut fetch.up } else { &mut fetch.down };
        let n = body.unread.min(most);
        body.unread -= n;
        if !up {
            self.client.consumed(id, n);
        } else if let Some(session) = self.relay.session() {
            session.consumed(id, n);
        }
    }

    /// One of the applications cancels, resets or stops a fetch.
    fn disturb(&mut self) {
        match self.random.below(6) {
            0 => {
                if let Some(id) = self.some(|fetch| fetch.ended.is_none()) {
                    self.client
                        .reset(id, reset(0, "cancelled"))
                        .expect("not over");
                    let fetch = self.fetches.get_mut(&id).expect("picked");
                    (fetch.ended, fetch.up.closed) = (Some(End::Cancelled), true);
                    fetch.down.unread = 0;
                    self.note(format_args!("cancel {id}"));
                }
            }
            1 => {
                let open = |fetch: &Fetch| fetch.opened && !fetch.relay_over;
                if let (Some(id), Some(session)) = (self.some(open), self.relay.session()) {
                    session.reset(id, reset(id, "dns_error")).expect("not over");
                    let fetch = self.fetches.get_mut(&id).expect("picked");
                    fetch.relay_over = true;
                    fetch.stopped();
                    self.note(format_args!("fail {id}"));
                }
            }
            2 => {
                let open = |fetch: &Fetch| fetch.opened && !fetch.relay_over && !fetch.up.complete;
                if let (Some(id), Some(session)) = (self.some(open), self.relay.session())
                    && session.stop(id).is_ok()
                {
                    self.fetches.get_mut(&id).expect("picked").stopped();
                    self.note(format_args!("stop {id}"));
                }
            }
            3 => {
                let payload = self.now_bytes();
                self.client.ping(payload);
            }
            4 => {
                let payload = self.now_bytes();
                if let Some(session) = self.relay.session() {
                    session.ping(payload);
                }
            }
            _ => {
                if self.random.chance(20)
                    && let Some(session) = self.relay.session()
                {
                    session.go_away("a new version comes");
                    self.note(format_args!("the relay goes away"));
                }
            }
        }
    }

    fn now_bytes(&mut self) -> bytes::Bytes {
        self.random.next().to_be_bytes().to_vec().into()
    }
}
