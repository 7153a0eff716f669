//! Messages in lockstep and pushes, one of them or both at a time.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::crowd::{Crowd, POSTERS, Patience, Roll};
use super::stamp::{MAX, MIN, Mark, Stamp, id};
use crate::load::{Recorder, Run};
use crate::swarm::{Out, Seen, Speaks};

/// How long to wait for something to happen before looking whether anything does.
const TURN: Duration = Duration::from_millis(100);

/// Messages to be sent, each by a client that waits for the echo before it sends its next.
pub(crate) struct Echo {
    size: usize,
    total: usize,
    done: usize,
    /// Clients that have not begun, in the order in which they will.
    waiting: VecDeque<usize>,
    /// Those of them to begin now.
    begin: usize,
    recorder: Recorder,
}

/// Pushes to be sent, by POST.
pub(crate) struct Pushing {
    size: usize,
    total: usize,
    answered: usize,
    /// Whom to push to, by gateway.
    queues: Vec<VecDeque<usize>>,
    /// Whom each pusher has just pushed to, and since when it waits for the answer.
    in_hand: Vec<Option<(usize, Instant)>>,
    /// The gateways' addresses for pushes, and what makes the ids.
    hosts: Vec<String>,
    seed: u64,
    answers: Answers,
    recorder: Recorder,
}

/// How pushes were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) sent: usize,
    pub(crate) queued: usize,
    pub(crate) unknown: usize,
    pub(crate) gone: usize,
    pub(crate) full: usize,
    pub(crate) other: usize,
}

/// What came of pushing.
pub(crate) struct Pushed {
    pub(crate) run: Run,
    pub(crate) answers: Answers,
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

pub(super) fn checked(size: usize) -> anyhow::Result<usize> {
    ensure!(
        (MIN..=MAX).contains(&size),
        "a message must have {MIN} to {MAX} bytes to be verified"
    );
    Ok(size)
}

impl Crowd {
    /// `senders` of the clients from `first` on, evenly chosen, send `total` messages in lockstep.
    pub(crate) fn echo(
        &mut self,
        first: usize,
        senders: usize,
        total: usize,
        size: usize,
    ) -> anyhow::Result<Run> {
        let echo = self.lockstep(first, senders, total, size)?;
        let (run, _) = self.work(Some(echo), None)?;
        run.context("there was nothing to send")
    }

    /// Each of these clients sends one message, `at_once` of them at a time.
    pub(crate) fn message_each(
        &mut self,
        who: Range<usize>,
        at_once: usize,
        size: usize,
    ) -> anyhow::Result<Run> {
        ensure!(at_once > 0, "at least one must send at a time");
        for member in who.clone() {
            self.roll.members[member].quota = 1;
        }
        let echo = Echo {
            size: checked(size)?,
            total: who.len(),
            done: 0,
            waiting: who.collect(),
            begin: at_once,
            recorder: Recorder::start()?,
        };
        let (run, _) = self.work(Some(echo), None)?;
        run.context("there was nothing to send")
    }

    /// Pushes to each of these clients once. Each must get it.
    pub(crate) fn push_each(&mut self, who: Range<usize>, size: usize) -> anyhow::Result<Pushed> {
        let total = who.len();
        let pushing = self.pushing(who, size)?;
        let (_, pushed) = self.work(None, Some(pushing))?;
        let pushed = pushed.context("there was nobody to push to")?;
        let answers = pushed.answers;
        ensure!(
            answers.sent + answers.queued == total,
            "not every push was accepted: {answers}"
        );
        Ok(pushed)
    }

    pub(super) fn lockstep(
        &mut self,
        first: usize,
        senders: usize,
        total: usize,
        size: usize,
    ) -> anyhow::Result<Echo> {
        let able = self.len().saturating_sub(first);
        ensure!(
            (1..=able).contains(&senders),
            "{senders} of {able} clients can't send"
        );
        ensure!(total >= senders, "each sender must have a message to send");
        let waiting: VecDeque<usize> = (0..senders)
            .map(|sender| first + sender * able / senders)
            .collect();
        for (place, member) in waiting.iter().enumerate() {
            self.roll.members[*member].quota = ((total + place) / senders) as u32;
        }
        Ok(Echo {
            size: checked(size)?,
            total,
            done: 0,
            waiting,
            begin: senders,
            recorder: Recorder::start()?,
        })
    }

    pub(super) fn pushing(
        &self,
        who: impl IntoIterator<Item = usize>,
        size: usize,
    ) -> anyhow::Result<Pushing> {
        let mut queues = vec![VecDeque::new(); self.gateways.len()];
        let mut total = 0;
        for member in who {
            queues[member % self.gateways.len()].push_back(member);
            total += 1;
        }
        ensure!(
            queues.len() <= POSTERS,
            "there are more than {POSTERS} gateways"
        );
        Ok(Pushing {
            size: checked(size)?,
            total,
            answered: 0,
            queues,
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

    /// Until all messages have come back, all pushes were answered, and every client but the slow
    /// ones has got the pushes that were accepted.
    pub(super) fn work(
        &mut self,
        mut echo: Option<Echo>,
        mut pushing: Option<Pushing>,
    ) -> anyhow::Result<(Option<Run>, Option<Pushed>)> {
        if let Some(pushing) = &pushing {
            // Anew, as an idle connection may be about to be closed.
            for place in 0..POSTERS.min(pushing.total) {
                let to = self.gateway(place).push;
                self.swarm.connect(place, to, Speaks::Http, "")?;
            }
        }
        let mut patience = Patience::new("messages and pushes travel");
        let mut ran = None;
        loop {
            if let Some(echo) = &mut echo {
                self.begin(echo);
            }
            let roll = &mut self.roll;
            let mut moved = false;
            self.swarm.turn(TURN, |place, seen, out| {
                moved = true;
                match (place.checked_sub(POSTERS), &mut pushing) {
                    (Some(member), _) => {
                        if let Some(stamp) = roll.seen(member, &seen)? {
                            let echo = echo.as_mut().context("nobody sends now")?;
                            echo.came_back(member, &stamp, roll, out);
                        }
                    }
                    (None, Some(pushing)) => pushing.seen(place, &seen, roll, out)?,
                    // A pusher of before.
                    (None, None) => {}
                }
                Ok(())
            })?;
            if let Some(done) = echo.take_if(|echo| echo.done == echo.total) {
                ran = Some(done.recorder.finish(done.total)?);
            }
            let pushed = pushing.as_ref().is_none_or(|pushing| {
                pushing.answered == pushing.total && self.roll.has_all_pushes()
            });
            if echo.is_none() && pushed {
                break;
            }
            patience.check(moved, || {
                let done = echo.as_ref().map_or(0, |echo| echo.done);
                let answered = pushing.as_ref().map_or(0, |pushing| pushing.answered);
                format!("{done} messages came back, {answered} pushes were answered")
            })?;
        }
        let pushed = pushing.map(|pushing| {
            let run = pushing.recorder.finish(pushing.total)?;
            let answers = pushing.answers;
            anyhow::Ok(Pushed { run, answers })
        });
        Ok((ran, pushed.transpose()?))
    }

    /// Has those begin to send whose turn it is.
    fn begin(&mut self, echo: &mut Echo) {
        while echo.begin > 0
            && let Some(member) = echo.waiting.pop_front()
        {
            echo.begin -= 1;
            let (text, payload) = self.roll.next(member, echo.size);
            self.swarm
                .send(POSTERS + member, |out| out.message(text, payload));
        }
    }
}

impl Echo {
    /// A message has come back: the client sends its next, or another client begins.
    fn came_back(&mut self, member: usize, stamp: &Stamp, roll: &mut Roll, out: &mut Out) {
        self.recorder.record(roll.stamps.moment(stamp));
        self.done += 1;
        let quota = &mut roll.members[member].quota;
        *quota -= 1;
        if *quota > 0 {
            let (text, payload) = roll.next(member, self.size);
            out.message(text, payload);
        } else {
            self.begin += 1;
        }
    }
}

impl Pushing {
    /// Takes in what a pusher has seen, and has it push again.
    fn seen(
        &mut self,
        pusher: usize,
        seen: &Seen<'_>,
        roll: &mut Roll,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        match seen {
            Seen::Opened => {}
            Seen::Answer { status, .. } => self.answered(pusher, *status, roll)?,
            other => anyhow::bail!("a connection for pushes has ended: {other:?}"),
        }
        let queue = pusher % self.queues.len();
        let Some(member) = self.queues[queue].pop_front() else {
            return Ok(());
        };
        let ordinal = {
            let member = &mut roll.members[member];
            member.tried += 1;
            member.tried
        };
        let payload = roll
            .stamps
            .write(Mark::Push, member as u32, ordinal, self.size);
        self.in_hand[pusher] = Some((member, Instant::now()));
        let head = format!(
            "POST /{} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            id(self.seed, member),
            self.hosts[queue],
            payload.len()
        );
        out.raw(head.as_bytes());
        out.raw(payload);
        Ok(())
    }

    fn answered(&mut self, pusher: usize, status: u16, roll: &mut Roll) -> anyhow::Result<()> {
        let in_hand = self.in_hand[pusher].take();
        let (member, pushed) = in_hand.context("an answer to nothing")?;
        self.recorder.record(pushed);
        self.answered += 1;
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
            roll.members[member].accepted += 1;
        }
        Ok(())
    }
}
