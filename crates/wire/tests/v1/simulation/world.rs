//! A client, a link and a relay, driven step by step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fetchway_wire::v1::{Config, Event, Frame, Session};

use super::apps::{End, Fetch};
use super::link::{self, Relay, Socket, parse, stream_of};
use super::random::Random;
use super::watch::Watch;

/// Result of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) streams: u64,
    pub(crate) complete: u64,
    pub(crate) cancelled: u64,
    pub(crate) failed: u64,
    pub(crate) unseen: u64,
    pub(crate) unknown: u64,
    pub(crate) cuts: u64,
    pub(crate) sleeps: u64,
    pub(crate) frames: u64,
    pub(crate) repeated: u64,
    pub(crate) bytes: u64,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) client: Session,
    pub(super) relay: Relay,
    pub(super) config: Config,
    pub(super) socket: Option<Socket>,
    pub(super) fetches: BTreeMap<u64, Fetch>,
    pub(super) totals: Totals,
    up: Watch,
    down: Watch,
    trace: u64,
    tell: bool,
}

/// Returns the limits for a seed, mostly small ones.
fn config(random: &mut Random) -> Config {
    Config {
        streams: random.below(300),
        session_window: random.length(1 << 20),
        stream_window: random.length(200 << 10),
        unacked: 1 + random.length(1 << 20),
        held: 1 + random.length(1 << 20),
        resume_within: Duration::from_secs(60),
    }
}

impl World {
    /// `tell`: each step is printed.
    pub(super) fn new(seed: u64, tell: bool) -> Self {
        let mut random = Random(seed);
        let (ours, theirs) = (config(&mut random), config(&mut random));
        Self {
            random,
            now: Instant::now(),
            client: Session::client(ours),
            relay: Relay::new(theirs),
            config: ours,
            socket: None,
            fetches: BTreeMap::new(),
            totals: Totals::default(),
            up: Watch::new(ours.unacked),
            down: Watch::new(theirs.unacked),
            trace: 0xcbf2_9ce4_8422_2325,
            tell,
        }
    }

    /// Adds an entry to the trace.
    #[expect(clippy::print_stderr, reason = "the steps of one seed, when asked for")]
    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let what = what.to_string();
        if self.tell {
            eprintln!("{what}");
        }
        self.hash(what.as_bytes());
    }

    fn hash(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// One end puts a message on the socket. Returns true if it had anything to send.
    pub(super) fn transmit(&mut self, up: bool, most: usize) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        let message = if up {
            link::message(&mut self.client, &mut self.up, self.now, most)
        } else {
            match self.relay.session() {
                Some(session) if socket.joined => {
                    link::message(session, &mut self.down, self.now, most)
                }
                _ => return false,
            }
        };
        if message.is_empty() {
            return false;
        }
        let way = if up { &mut socket.up } else { &mut socket.down };
        way.push_back(message.clone());
        self.hash(&message);
        let arrow = if up { "↑" } else { "↓" };
        self.note(format_args!("{arrow} {} bytes are sent", message.len()));
        true
    }

    /// Delivers the oldest message in transit.
    pub(super) fn deliver(&mut self, up: bool) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        let way = if up { &mut socket.up } else { &mut socket.down };
        let Some(message) = way.pop_front() else {
            return false;
        };
        self.note(format_args!(
            "{} {} bytes arrive",
            if up { "↑" } else { "↓" },
            message.len()
        ));
        for frame in parse(&message) {
            if up {
                self.at_relay(frame);
            } else {
                self.at_client(frame);
            }
        }
        true
    }

    fn at_relay(&mut self, frame: Frame) {
        let socket = self.socket.as_mut().expect("it delivers");
        if !std::mem::replace(&mut socket.joined, true) {
            let Frame::Hello(hello) = frame else {
                panic!("a client begins with {frame:?}");
            };
            let begun = self.relay.hello(&hello);
            if begun {
                // A new session has begun. The relay's half of all old fetches is gone.
                let unacked = self.relay.config.unacked;
                self.finish_watches();
                self.down = Watch::new(unacked);
                for fetch in self.fetches.values_mut().filter(|fetch| fetch.opened) {
                    fetch.relay_over = true;
                    fetch.up.unread = 0;
                }
            }
            self.down.told(&Frame::Hello(fetchway_wire::v1::Hello {
                received: hello.received.filter(|_| !begun),
                ..hello
            }));
            return;
        }
        self.down.told(&frame);
        self.relay.heard();
        let now = self.now;
        let session = self.relay.session().expect("it has joined");
        let event = session.receive(frame, now).expect("a client that obeys");
        if let Some(event) = event {
            let id = stream_of(&event).expect("a relay is told of streams");
            let fetch = self.fetches.get_mut(&id).expect("it was opened");
            fetch.at_relay(&event);
            self.note(format_args!("relay: {}", short(&event)));
        }
    }

    fn at_client(&mut self, frame: Frame) {
        let resumed = match &frame {
            Frame::Hello(hello) => hello.received.is_some(),
            _ => true,
        };
        if resumed || self.client.token().is_none() {
            self.up.told(&frame);
        }
        let asked = self.client.token().is_some();
        let event = self
            .client
            .receive(frame, self.now)
            .expect("a relay that obeys");
        let Some(event) = event else { return };
        self.note(format_args!("client: {}", short(&event)));
        match &event {
            Event::Hello(hello) if asked && hello.received.is_none() => {
                self.lost();
                self.client = self.client.renewed(hello);
                self.up = Watch::new(self.config.unacked);
                self.up.told(&Frame::Hello(hello.clone()));
            }
            Event::Hello(_) => {}
            Event::GoingAway(going) => {
                for (_, fetch) in self.fetches.range_mut(going.last + 1..) {
                    if fetch.ended.is_none() {
                        assert!(!fetch.opened, "it was looked at");
                        fetch.ended = Some(End::Unseen);
                        fetch.up.closed = true;
                    }
                }
            }
            of_stream => {
                let id = stream_of(of_stream).expect("of a stream");
                let fetch = self.fetches.get_mut(&id).expect("it was opened");
                fetch.at_client(of_stream);
            }
        }
    }

    /// Drops the session, and with it the client's knowledge of its fetches.
    fn lost(&mut self) {
        for fetch in self.fetches.values_mut() {
            fetch.ended.get_or_insert(End::Unknown);
        }
        self.count();
        self.fetches.clear();
    }

    /// Loses what is in transit; both ends notice.
    pub(super) fn cut(&mut self) {
        self.note(format_args!("cut"));
        self.socket = None;
        self.client.disconnect();
        if let Some(session) = self.relay.session() {
            session.disconnect();
        }
        self.totals.cuts += 1;
    }

    /// Opens the client's next socket.
    pub(super) fn connect(&mut self) {
        if self.totals.cuts > 0 && self.client.reconnect().is_err() {
            // The relay's first HELLO never arrived: there is nothing to resume, and nobody will ask
            // for the relay's session.
            self.lost();
            self.relay.parked = None;
            self.client = Session::client(self.config);
            self.finish_watches();
            self.up = Watch::new(self.config.unacked);
        }
        self.note(format_args!("connect"));
        self.socket = Some(Socket::default());
    }

    /// Counts the fetches that are dropped now.
    pub(super) fn count(&mut self) {
        for fetch in self.fetches.values() {
            let totals = &mut self.totals;
            totals.streams += 1;
            totals.bytes += fetch.up.came + fetch.down.came;
            let of = match fetch.ended {
                Some(End::Complete) => &mut totals.complete,
                Some(End::Cancelled) => &mut totals.cancelled,
                Some(End::Failed) => &mut totals.failed,
                Some(End::Unseen) => &mut totals.unseen,
                Some(End::Unknown) => &mut totals.unknown,
                None => panic!("a fetch that never ended"),
            };
            *of += 1;
        }
    }

    fn finish_watches(&mut self) {
        for watch in [&mut self.up, &mut self.down] {
            self.totals.frames += std::mem::take(&mut watch.fresh);
            self.totals.repeated += std::mem::take(&mut watch.repeated);
        }
    }

    /// Returns the hash of the trace, and the totals.
    pub(super) fn finish(mut self) -> (u64, Totals) {
        self.count();
        self.finish_watches();
        (self.trace, self.totals)
    }
}

fn short(event: &Event) -> String {
    let text = format!("{event:?}");
    text.chars().take(60).collect()
}
