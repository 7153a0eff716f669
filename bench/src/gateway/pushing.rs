//! Pushes by POST: one to each client, or continuously to one client after the other, at a rate.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::crowd::{Crowd, POSTERS};
use super::roll::Roll;
use super::stamp::{Mark, id};
use super::work::checked;
use crate::load::{Recorder, Run};
use crate::swarm::{Seen, Swarm};

/// Pushes to be sent.
pub(crate) struct Pushing {
    size: usize,
    /// Clients to push to, by gateway.
    queues: Vec<VecDeque<usize>>,
    /// Pushes per second, to one client after the other until [`Self::end`]; `None` for one push to each client,
    /// as fast as possible.
    rate: Option<f64>,
    began: Instant,
    begun: usize,
    ended: bool,
    /// Connected pushers without a request, by gateway.
    idle: Vec<Vec<usize>>,
    /// Outstanding request of each pusher: client, ordinal of the push, and time of sending.
    in_hand: Vec<Option<(usize, u32, Instant)>>,
    /// Addresses of the gateways for pushes, as host names of requests.
    hosts: Vec<String>,
    seed: u64,
    answers: Answers,
    recorder: Recorder,
}

/// Numbers of answers to pushes, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) sent: usize,
    pub(crate) queued: usize,
    pub(crate) unknown: usize,
    pub(crate) gone: usize,
    pub(crate) full: usize,
    pub(crate) other: usize,
}

/// Results of pushing.
pub(crate) struct Pushed {
    pub(crate) run: Run,
    pub(crate) answers: Answers,
}

impl Answers {
    /// Adds other numbers to these.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.queued += other.queued;
        self.unknown += other.unknown;
        self.gone += other.gone;
        self.full += other.full;
        self.other += other.other;
    }

    pub(crate) fn total(&self) -> usize {
        self.sent + self.queued + self.unknown + self.gone + self.full + self.other
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            queued,
            unknown,
            gone,
            full,
            other,
        } = self;
        write!(
            f,
            "{sent} sent (200), {queued} queued (202), {unknown} unknown (404), {gone} gone (410), \
             {full} over bounds (429), {other} otherwise"
        )
    }
}

impl Crowd {
    /// Prepares one push to each of these clients.
    pub(super) fn pushing(
        &self,
        who: impl IntoIterator<Item = usize>,
        size: usize,
    ) -> anyhow::Result<Pushing> {
        let gateways = self.gateways.len();
        let mut queues = vec![VecDeque::new(); gateways];
        for member in who {
            queues[member % gateways].push_back(member);
        }
        ensure!(
            gateways <= POSTERS,
            "at most {POSTERS} gateways are supported"
        );
        Ok(Pushing {
            size: checked(size)?,
            queues,
            rate: None,
            began: Instant::now(),
            begun: 0,
            ended: false,
            idle: vec![Vec::new(); gateways],
            in_hand: vec![None; POSTERS],
            hosts: self
                .gateways
                .iter()
                .map(|gateway| gateway.push.to_string())
                .collect(),
            seed: self.seed,
            answers: Answers::default(),
            recorder: Recorder::start()?,
        })
    }
}

impl Pushing {
    /// Pushes at a rate to one client after the other, until [`Self::end`].
    pub(super) fn at_rate(mut self, rate: f64) -> Self {
        self.rate = Some(rate);
        self
    }

    pub(super) fn is_paced(&self) -> bool {
        self.rate.is_some() && !self.ended
    }

    pub(super) fn answers(&self) -> Answers {
        self.answers
    }

    /// Ends continuous pushes.
    pub(super) fn end(&mut self) {
        self.ended |= self.rate.is_some();
    }

    pub(super) fn is_done(&self) -> bool {
        let none_left = match self.rate {
            Some(_) => self.ended,
            None => self.queues.iter().all(VecDeque::is_empty),
        };
        none_left && self.answers.total() == self.begun
    }

    pub(super) fn finish(self) -> anyhow::Result<Pushed> {
        let run = self.recorder.finish(self.answers.total())?;
        let answers = self.answers;
        Ok(Pushed { run, answers })
    }

    /// Sends due pushes through idle pushers. A push that is due while all are busy is sent late, not left out.
    pub(super) fn begin(&mut self, swarm: &mut Swarm, roll: &mut Roll) {
        if self.ended {
            return;
        }
        let due = match self.rate {
            Some(rate) => (self.began.elapsed().as_secs_f64() * rate) as usize,
            None => usize::MAX,
        };
        for gateway in 0..self.queues.len() {
            while self.begun < due
                && !self.queues[gateway].is_empty()
                && let Some(pusher) = self.idle[gateway].pop()
                && let Some(member) = self.queues[gateway].pop_front()
            {
                self.push(pusher, member, swarm, roll);
            }
        }
    }

    fn push(&mut self, pusher: usize, member: usize, swarm: &mut Swarm, roll: &mut Roll) {
        let ordinal = {
            let member = &mut roll.members[member];
            member.tried += 1;
            member.tried
        };
        let payload = roll
            .stamps
            .write(Mark::Push, member as u32, ordinal, self.size);
        let head = format!(
            "POST /{} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            id(self.seed, member),
            self.hosts[pusher % self.hosts.len()],
            payload.len()
        );
        self.begun += 1;
        self.in_hand[pusher] = Some((member, ordinal, Instant::now()));
        swarm.send(pusher, |out| {
            out.raw(head.as_bytes());
            out.raw(payload);
        });
    }

    /// Handles an event of a pusher.
    pub(super) fn seen(
        &mut self,
        pusher: usize,
        seen: &Seen<'_>,
        roll: &mut Roll,
    ) -> anyhow::Result<()> {
        match seen {
            Seen::Opened => {}
            Seen::Answer { status, .. } => self.answered(pusher, *status, roll)?,
            other => anyhow::bail!("a connection for pushes ended: {other:?}"),
        }
        let gateway = pusher % self.idle.len();
        self.idle[gateway].push(pusher);
        Ok(())
    }

    fn answered(&mut self, pusher: usize, status: u16, roll: &mut Roll) -> anyhow::Result<()> {
        let in_hand = self.in_hand[pusher].take();
        let (member, ordinal, pushed) = in_hand.context("an answer arrived without a request")?;
        self.recorder.record(pushed);
        if self.rate.is_some() {
            // Only now: of two outstanding pushes to one client, either could arrive first.
            self.queues[pusher % self.hosts.len()].push_back(member);
        }
        let answers = &mut self.answers;
        let count = match status {
            200 => &mut answers.sent,
            202 => &mut answers.queued,
            404 => &mut answers.unknown,
            410 => &mut answers.gone,
            429 => &mut answers.full,
            _ => &mut answers.other,
        };
        *count += 1;
        if matches!(status, 200 | 202) {
            roll.members[member].accepted.add(ordinal);
        }
        Ok(())
    }
}
