//! Messages in lockstep and pushes, one of them or both at a time.

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

/// How long to wait for something to happen before looking whether anything does.
const TURN: Duration = Duration::from_millis(100);
/// With pushes that come at a rate: whether one is due is looked for so often.
const TICK: Duration = Duration::from_millis(1);

/// Messages to be sent, each by a client that waits for the echo before it sends its next.
pub(crate) struct Echo {
    size: usize,
    /// Messages under way, and those that have come back.
    under_way: usize,
    done: usize,
    /// Clients that have not begun, in the order in which they will.
    waiting: VecDeque<usize>,
    /// Those of them to begin now.
    begin: usize,
    /// None is sent after this, whatever the clients have still to send.
    until: Option<Instant>,
    recorder: Recorder,
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
        ensure!(total >= senders, "each sender must have a message to send");
        let quota = |place: usize| ((total + place) / senders) as u32;
        let echo = self.lockstep(first, senders, size, quota)?;
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
        let echo = Echo::of(who.collect(), at_once, checked(size)?)?;
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

    /// Messages in lockstep for so long, with these pushes all the while.
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
        Ok((run.context("nobody has sent anything")?, pushed))
    }

    /// `quota` is how many each of the senders has to send.
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
            "{senders} of {able} clients can't send"
        );
        let waiting: VecDeque<usize> = (0..senders)
            .map(|sender| first + sender * able / senders)
            .collect();
        for (place, member) in waiting.iter().enumerate() {
            self.roll.members[*member].quota = quota(place);
        }
        Echo::of(waiting, senders, checked(size)?)
    }

    /// Until all messages have come back, all pushes were answered, and every client but the slow
    /// ones has got the pushes that were accepted. Pushes that go on by themselves end with the messages.
    pub(super) fn work(
        &mut self,
        mut echo: Option<Echo>,
        mut pushing: Option<Pushing>,
    ) -> anyhow::Result<(Option<Run>, Option<Pushed>)> {
        if pushing.is_some() {
            // Anew, as an idle connection may be about to be closed.
            for place in 0..POSTERS {
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
                            let echo = echo.as_mut().context("nobody sends now")?;
                            echo.came(member, came, roll, out);
                        }
                    }
                    (None, Some(pushing)) => pushing.seen(place, &seen, roll)?,
                    // A pusher of before.
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
                format!("{done} messages came back, pushes: {answers}")
            })?;
        }
        Ok((ran, pushing.map(Pushing::finish).transpose()?))
    }

    /// Has those begin to send whose turn it is.
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

    /// A client knows what has become of its message: it sends its next, or another client begins.
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
