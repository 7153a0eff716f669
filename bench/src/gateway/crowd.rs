//! A crowd of WebSocket clients before one or several gateways: where they are, and their coming.
//! `roll` is what each has sent and got; `work`, `pace`, `storm` and `slow` are what they then do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustls::ClientConfig;

use super::roll::{Member, Roll};
use super::stamp::id;
use crate::swarm::{Seen, Speaks, Stop, Swarm};

/// HTTP clients that push, at the first places of the swarm.
pub(super) const POSTERS: usize = 64;

/// With nothing at all happening for so long, something hangs.
const HANGS: Duration = Duration::from_secs(30);

/// Where one gateway is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway {
    /// For clients.
    pub(crate) addr: SocketAddr,
    /// For pushes.
    pub(crate) push: SocketAddr,
}

/// How clients come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coming {
    /// Connections begun in a second; zero for as many as go.
    pub(crate) rate: f64,
    /// Handshakes under way at a time.
    pub(crate) at_once: usize,
}

impl Coming {
    /// As fast as it goes, with not too many handshakes at once.
    pub(crate) const FREELY: Self = Self {
        rate: 0.0,
        at_once: 256,
    };
}

/// The crowd.
pub(crate) struct Crowd {
    pub(super) swarm: Swarm,
    pub(super) gateways: Vec<Gateway>,
    pub(super) roll: Roll,
    pub(super) seed: u64,
}

impl Crowd {
    /// Nobody yet. `seed` makes the ids.
    pub(crate) fn new(
        gateways: Vec<Gateway>,
        tls: Option<Arc<ClientConfig>>,
        seed: u64,
        text: bool,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        ensure!(!gateways.is_empty(), "there is no gateway");
        Ok(Self {
            swarm: Swarm::new(tls, stop)?,
            gateways,
            roll: Roll::new(text),
            seed,
        })
    }

    /// The first so many clients that come will take what is sent to them as over a network.
    pub(crate) fn set_afar(&mut self, clients: usize) {
        self.swarm.set_afar(POSTERS..POSTERS + clients);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.roll.members.len()
    }

    /// The gateway of a client, or of a pusher: they are dealt out in turn.
    pub(super) fn gateway(&self, number: usize) -> Gateway {
        self.gateways[number % self.gateways.len()]
    }

    /// The path of a client.
    pub(super) fn path(&self, member: usize) -> String {
        format!("/{}", id(self.seed, member))
    }

    /// Lets clients come until there are `count`, each accepted. Says how long it took.
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

    /// Has these connect, or connect again, as many as are `due` by then.
    pub(super) fn arrive(
        &mut self,
        who: &[usize],
        at_once: usize,
        due: impl Fn(Duration) -> usize,
    ) -> anyhow::Result<Duration> {
        ensure!(at_once > 0, "at least one handshake must be under way");
        let (mut begun, mut open) = (0, 0);
        let mut patience = Patience::new("clients connect");
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
                    // A pusher whose connection has ended gets a new one when it is needed.
                    (None, _) => {}
                }
                Ok(())
            })?;
            open += opened;
            patience.check(opened > 0, || format!("{open} of {} are open", who.len()))?;
        }
        Ok(patience.began.elapsed())
    }

    /// Does nothing but keep the connections, which answer pings, for so long.
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

/// Sees that something goes on.
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

    /// An error when nothing has moved for too long.
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
            "while {}, nothing has happened for {HANGS:?}: {}",
            self.what,
            state()
        );
        Ok(())
    }
}
