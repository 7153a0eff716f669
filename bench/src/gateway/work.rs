//! Messages in lockstep, and pushes: either, or both at the same time.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::crowd::{Crowd, POSTERS, Patience};
use super::pushing::{Pushed, Pushing};
use super::roll::{Came, Roll};
use super::stamp::{MAX, MIN};
use crate::load::{Recorder, Run};
use crate::swarm::{Out, Speaks};

/// Longest wait for an event before progress is checked.
const TURN: Duration = Duration::from_millis(100);
/// Interval at which due pushes are sent, for pushes at a rate.
const TICK: Duration = Duration::from_millis(1);

/// Messages to send; each client waits for the echo of a message before it sends the next one.
pub(crate) struct Echo {
    size: usize,
    /// Number of outstanding messages, and number of those that were echoed.
    under_way: usize,
    done: usize,
    /// Clients that have not started yet, in the order in which they will.
    waiting: VecDeque<usize>,
    /// Number of waiting clients that should start now.
    begin: usize,
    /// Time after which no message is sent, even if clients have messages left.
    until: Option<Instant>,
    recorder: Recorder,
}

pub(super) fn checked(size: usize) -> anyhow::Result<usize> {
    ensure!(
        (MIN..=MAX).contains(&size),
        "the size of a message must be from {MIN} to {MAX} bytes"
    );
    Ok(size)
}

impl Crowd {
    /// Sends `total` messages in lockstep from `senders` clients, chosen evenly from those from `first` on.
    pub(crate) fn echo(
        &mut self,
        first: usize,
        senders: usize,
        total: usize,
        size: usize,
    ) -> anyhow::Result<Run> {
        ensure!(total >= senders, "each sender needs at least one message");
        let quota = |place: usize| ((total + place) / senders) as u32;
        let echo = self.lockstep(first, senders, size, quota)?;
        let (run, _) = self.work(Some(echo), None)?;
        run.context("there is no message to send")
    }

    /// Sends one message from each of these clients, from `at_once` of them at the same time.
    pub(crate) fn message_each(
        &mut self,
        who: Range<usize>,
        at_once: usize,
        size: usize,
    ) -> anyhow::Result<Run> {
        ensure!(
            at_once > 0,
            "at least one message at a time must be allowed: change --at-once"
        );
        for member in who.clone() {
            self.roll.members[member].quota = 1;
        }
        let echo = Echo::of(who.collect(), at_once, checked(size)?)?;
        let (run, _) = self.work(Some(echo), None)?;
        run.context("there is no message to send")
    }

    /// Sends one push to each of these clients, which must receive it.
    pub(crate) fn push_each(&mut self, who: Range<usize>, size: usize) -> anyhow::Result<Pushed> {
        let total = who.len();
        let pushing = self.pushing(who, size)?;
        let (_, pushed) = self.work(None, Some(pushing))?;
        let pushed = pushed.context("there is no client to push to")?;
        let answers = pushed.answers;
        ensure!(
            answers.sent + answers.queued == total,
            "not every push was accepted: {answers}"
        );
        Ok(pushed)
    }

    /// Sends messages in lockstep for the given time, together with these pushes.
    pub(super) fn beside(
        &mut self,
        (first, senders): (usize, usize),
        size: usize,
        time: Duration,
        pushing: Option<Pushing>,
    ) -> anyhow::Result<(Run, Option<Pushed>)> {
        let mut echo = self.lockstep(first, senders, size, |_| u32::MAX)?;
        echo.until = Some(Instant::now() + time);
        let (run, pushed) = self.work(Some(echo), pushing)?;
        Ok((run.context("no message was sent")?, pushed))
    }

    /// Prepares messages in lockstep; `quota` is the number of messages of each sender.
    fn lockstep(
        &mut self,
        first: usize,
        senders: usize,
        size: usize,
        quota: impl Fn(usize) -> u32,
    ) -> anyhow::Result<Echo> {
        let able = self.len().saturating_sub(first);
        ensure!(
            (1..=able).contains(&senders),
            "{senders} senders were requested, but only {able} clients can send"
        );
        let waiting: VecDeque<usize> = (0..senders)
            .map(|sender| first + sender * able / senders)
            .collect();
        for (place, member) in waiting.iter().enumerate() {
            self.roll.members[*member].quota = quota(place);
        }
        Echo::of(waiting, senders, checked(size)?)
    }

    /// Runs until all messages were echoed, all pushes were answered, and every client, except slow ones, has
    /// received its accepted pushes. Continuous pushes end with the messages.
    pub(super) fn work(
        &mut self,
        mut echo: Option<Echo>,
        mut pushing: Option<Pushing>,
    ) -> anyhow::Result<(Option<Run>, Option<Pushed>)> {
        if pushing.is_some() {
            // New connections, because an idle one may be about to be closed.
            for place in 0..POSTERS {
                let to = self.gateway(place).push;
                self.swarm.connect(place, to, Speaks::Http, "")?;
            }
        }
        let mut patience = Patience::new("sending messages and pushes");
        let mut ran = None;
        loop {
            if let Some(echo) = &mut echo {
                self.begin(echo);
            }
            if let Some(pushing) = &mut pushing {
                pushing.begin(&mut self.swarm, &mut self.roll);
            }
            let paced = pushing.as_ref().is_some_and(Pushing::is_paced);
            let roll = &mut self.roll;
            let mut moved = false;
            let wait = if paced { TICK } else { TURN };
            self.swarm.turn(wait, |place, seen, out| {
                moved = true;
                match (place.checked_sub(POSTERS), &mut pushing) {
                    (Some(member), _) => {
                        if let Some(came) = roll.seen(member, &seen)? {
                            let echo = echo.as_mut().context("no message was expected")?;
                            echo.came(member, came, roll, out);
                        }
                    }
                    (None, Some(pushing)) => pushing.seen(place, &seen, roll)?,
                    // A pusher of an earlier action.
                    (None, None) => {}
                }
                Ok(())
            })?;
            if let Some(done) = echo.take_if(|echo| echo.is_done()) {
                ran = Some(done.recorder.finish(done.done)?);
                if let Some(pushing) = &mut pushing {
                    pushing.end();
                }
            }
            let pushed = pushing
                .as_ref()
                .is_none_or(|pushing| pushing.is_done() && self.roll.has_all_pushes());
            if echo.is_none() && pushed {
                break;
            }
            patience.check(moved, || {
                let done = echo.as_ref().map_or(0, |echo| echo.done);
                let answers = pushing.as_ref().map(|pushing| pushing.answers());
                let answers = answers.unwrap_or_default();
                format!("{done} messages were echoed, pushes: {answers}")
            })?;
        }
        Ok((ran, pushing.map(Pushing::finish).transpose()?))
    }

    /// Lets the next clients send their first message.
    fn begin(&mut self, echo: &mut Echo) {
        while echo.begin > 0
            && let Some(member) = echo.waiting.pop_front()
        {
            echo.begin -= 1;
            echo.under_way += 1;
            let (text, payload) = self.roll.next(member, echo.size);
            self.swarm
                .send(POSTERS + member, |out| out.message(text, payload));
        }
    }
}

impl Echo {
    fn of(waiting: VecDeque<usize>, begin: usize, size: usize) -> anyhow::Result<Self> {
        Ok(Self {
            size,
            under_way: 0,
            done: 0,
            waiting,
            begin,
            until: None,
            recorder: Recorder::start()?,
        })
    }

    /// Handles the result of a client's message: the client sends its next one, or another client starts.
    fn came(&mut self, member: usize, came: Came, roll: &mut Roll, out: &mut Out) {
        self.under_way -= 1;
        if let Came::Back(stamp) = came {
            self.recorder.record(roll.stamps.moment(&stamp));
            self.done += 1;
        }
        let over = self.until.is_some_and(|until| Instant::now() >= until);
        let quota = &mut roll.members[member].quota;
        *quota = if over { 0 } else { *quota - 1 };
        if *quota > 0 {
            self.under_way += 1;
            let (text, payload) = roll.next(member, self.size);
            out.message(text, payload);
        } else {
            self.begin += 1;
        }
    }

    fn is_done(&self) -> bool {
        self.under_way == 0 && self.waiting.is_empty()
    }
}
