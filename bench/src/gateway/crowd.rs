//! A crowd of WebSocket clients at one or several gateways: their places, and how they connect.
//!
//! `roll` records what each client has sent and received; `work`, `pace`, `storm` and `slow` are the clients'
//! actions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustls::ClientConfig;

use super::roll::{Member, Roll};
use super::stamp::id;
use crate::swarm::{Seen, Speaks, Stop, Swarm};

/// Number of HTTP clients that send pushes; they have the first places of the swarm.
pub(super) const POSTERS: usize = 64;

/// Time without any progress after which the run is considered to hang.
const HANGS: Duration = Duration::from_secs(30);

/// Addresses of one gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway {
    /// Address for clients.
    pub(crate) addr: SocketAddr,
    /// Address for pushes.
    pub(crate) push: SocketAddr,
}

/// Pace at which clients connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coming {
    /// New connections per second; zero for no limit.
    pub(crate) rate: f64,
    /// Maximum number of handshakes at the same time.
    pub(crate) at_once: usize,
}

impl Coming {
    /// No limit on the rate, and a moderate number of handshakes at the same time.
    pub(crate) const FREELY: Self = Self {
        rate: 0.0,
        at_once: 256,
    };
}

/// Clients and pushers, with their records.
pub(crate) struct Crowd {
    pub(super) swarm: Swarm,
    pub(super) gateways: Vec<Gateway>,
    pub(super) roll: Roll,
    pub(super) seed: u64,
}

impl Crowd {
    /// Creates a crowd without clients. The ids are derived from `seed`.
    pub(crate) fn new(
        gateways: Vec<Gateway>,
        tls: Option<Arc<ClientConfig>>,
        seed: u64,
        text: bool,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        ensure!(!gateways.is_empty(), "no gateway was given: use --gateway");
        Ok(Self {
            swarm: Swarm::new(tls, stop)?,
            gateways,
            roll: Roll::new(text),
            seed,
        })
    }

    /// Makes the first `clients` clients receive as over a network, instead of as on loopback.
    pub(crate) fn set_afar(&mut self, clients: usize) {
        self.swarm.set_afar(POSTERS..POSTERS + clients);
    }

    /// Number of clients.
    pub(crate) fn len(&self) -> usize {
        self.roll.members.len()
    }

    /// The gateway of a client or pusher: each gets the next gateway in turn.
    pub(super) fn gateway(&self, number: usize) -> Gateway {
        self.gateways[number % self.gateways.len()]
    }

    /// Path of a client's handshake.
    pub(super) fn path(&self, member: usize) -> String {
        format!("/{}", id(self.seed, member))
    }

    /// Connects clients until `count` are open; returns the time that this took.
    pub(crate) fn grow(&mut self, count: usize, coming: Coming) -> anyhow::Result<Duration> {
        let first = self.len();
        self.roll
            .members
            .resize_with(count.max(first), Member::default);
        let all: Vec<usize> = (first..self.len()).collect();
        let rate = coming.rate;
        let due = move |elapsed: Duration| {
            if rate > 0.0 {
                (elapsed.as_secs_f64() * rate) as usize
            } else {
                usize::MAX
            }
        };
        self.arrive(&all, coming.at_once, due)
    }

    /// Connects or reconnects the given clients; `due` tells how many should have started after a time.
    pub(super) fn arrive(
        &mut self,
        who: &[usize],
        at_once: usize,
        due: impl Fn(Duration) -> usize,
    ) -> anyhow::Result<Duration> {
        ensure!(
            at_once > 0,
            "at least one handshake at a time must be allowed: change --at-once"
        );
        let (mut begun, mut open) = (0, 0);
        let mut patience = Patience::new("connecting clients");
        while open < who.len() {
            let due = due(patience.began.elapsed()).min(who.len());
            while begun < due && begun - open < at_once {
                let member = who[begun];
                let (to, path) = (self.gateway(member).addr, self.path(member));
                self.swarm
                    .connect(POSTERS + member, to, Speaks::WebSocket, &path)?;
                begun += 1;
            }
            let waits = due < who.len() && begun == due;
            let wait = Duration::from_millis(if waits { 1 } else { 100 });
            let roll = &mut self.roll;
            let mut opened = 0;
            self.swarm.turn(wait, |place, seen, _| {
                match (place.checked_sub(POSTERS), seen) {
                    (Some(_), Seen::Opened) => opened += 1,
                    (Some(member), seen) => {
                        roll.seen(member, &seen)?;
                    }
                    // A pusher whose connection has ended gets a new one when the connection is needed.
                    (None, _) => {}
                }
                Ok(())
            })?;
            open += opened;
            patience.check(opened > 0, || format!("{open} of {} are open", who.len()))?;
        }
        Ok(patience.began.elapsed())
    }

    /// Keeps the connections open and answers pings, for the given time.
    pub(crate) fn hold(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let roll = &mut self.roll;
            self.swarm.turn(left, |place, seen, _| {
                if let Some(member) = place.checked_sub(POSTERS) {
                    roll.seen(member, &seen)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Detects a lack of progress.
pub(super) struct Patience {
    what: &'static str,
    pub(super) began: Instant,
    moved: Instant,
}

impl Patience {
    pub(super) fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self {
            what,
            began: now,
            moved: now,
        }
    }

    /// Returns an error if there was no progress for too long.
    pub(super) fn check(
        &mut self,
        moved: bool,
        state: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if moved {
            self.moved = Instant::now();
        }
        ensure!(
            self.moved.elapsed() < HANGS,
            "{}: no progress for {HANGS:?}: {}",
            self.what,
            state()
        );
        Ok(())
    }
}
