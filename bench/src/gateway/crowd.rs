//! A crowd of WebSocket clients before one or several gateways: who they are and what each has sent
//! and got, and their coming. `work`, `pace` and `storm` are what they then do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustls::ClientConfig;

use super::stamp::{Mark, Stamp, Stamps, id};
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

/// One client.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Messages sent, and those that came back, in their order.
    pub(super) sent: u32,
    pub(super) echoed: u32,
    /// Messages it has still to send.
    pub(super) quota: u32,
    /// Pushes to it that were tried, that were accepted, and that it got; the ordinal of the last.
    pub(super) tried: u32,
    pub(super) accepted: u32,
    pub(super) got: u32,
    pub(super) last_push: u32,
    /// It reads nothing, and may be closed for that.
    pub(super) slow: bool,
    /// How it ended, if it has.
    pub(super) ended: Option<String>,
}

/// The crowd.
pub(crate) struct Crowd {
    pub(super) swarm: Swarm,
    pub(super) gateways: Vec<Gateway>,
    pub(super) roll: Roll,
    pub(super) seed: u64,
}

/// The members, and what verifies their messages.
pub(super) struct Roll {
    pub(super) members: Vec<Member>,
    pub(super) stamps: Stamps,
    /// Messages travel as text.
    pub(super) text: bool,
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
            roll: Roll {
                members: Vec::new(),
                stamps: Stamps::new(),
                text,
            },
            seed,
        })
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

impl Roll {
    /// Takes in what a client has seen. Gives the stamp of a message that came back.
    pub(super) fn seen(&mut self, member: usize, seen: &Seen<'_>) -> anyhow::Result<Option<Stamp>> {
        let taken = match seen {
            Seen::Message { text, payload } => self.message(member, *text, payload),
            Seen::Opened => Ok(None),
            Seen::Answer { .. } => Err(anyhow::anyhow!("an HTTP answer came over a WebSocket")),
            Seen::Refused(status) => Err(anyhow::anyhow!("it was refused with {status}")),
            Seen::Closed(code) => self.gone(member, format!("it was closed with {code:?}")),
            Seen::Lost(why) => self.gone(member, format!("its connection was lost: {why}")),
        };
        taken.with_context(|| format!("client {member}"))
    }

    /// Only slow clients may be closed.
    fn gone(&mut self, member: usize, how: String) -> anyhow::Result<Option<Stamp>> {
        let member = self.members.get_mut(member).context("an unknown client")?;
        ensure!(member.slow, "{how}");
        member.ended = Some(how);
        Ok(None)
    }

    fn message(
        &mut self,
        number: usize,
        text: bool,
        payload: &[u8],
    ) -> anyhow::Result<Option<Stamp>> {
        let member = self.members.get_mut(number).context("an unknown client")?;
        let stamp = self.stamps.read(payload).context("what it got is wrong")?;
        ensure!(
            stamp.member as usize == number,
            "it got what is client {}'s",
            stamp.member
        );
        match stamp.mark {
            Mark::Message => {
                ensure!(
                    stamp.ordinal == member.echoed && stamp.ordinal < member.sent,
                    "message {} came back after {} of {}: out of order, lost or twice",
                    stamp.ordinal,
                    member.echoed,
                    member.sent
                );
                ensure!(
                    text == self.text,
                    "a message came back in the other kind of frame"
                );
                member.echoed += 1;
                Ok(Some(stamp))
            }
            Mark::Push => {
                if stamp.ordinal <= member.last_push {
                    bail!("push {} came after {}", stamp.ordinal, member.last_push);
                }
                member.last_push = stamp.ordinal;
                member.got += 1;
                Ok(None)
            }
        }
    }

    /// Whether everyone but the slow has got what was accepted for it.
    pub(super) fn has_all_pushes(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.slow || member.got == member.accepted)
    }

    /// The next message of a client.
    pub(super) fn next(&mut self, number: usize, size: usize) -> (bool, &[u8]) {
        let member = &mut self.members[number];
        let ordinal = member.sent;
        member.sent += 1;
        let text = self.text;
        let payload = self
            .stamps
            .write(Mark::Message, number as u32, ordinal, size);
        (text, payload)
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
