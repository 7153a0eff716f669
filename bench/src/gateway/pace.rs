//! Messages at a pace: each client sends one message per period; the clients are spread evenly over it.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::crowd::{Crowd, POSTERS, Patience};
use super::roll::Came;
use super::work::checked;
use crate::load::{Recorder, Run};

/// Interval at which due messages are sent.
const TICK: Duration = Duration::from_millis(1);

impl Crowd {
    /// Lets each client send a message per `period`, for `time`. Each message must be echoed in its client's
    /// order, or be reported as lost if losses are allowed. Returns the run, and the maximum lateness of a
    /// message.
    pub(crate) fn every(
        &mut self,
        period: Duration,
        time: Duration,
        size: usize,
    ) -> anyhow::Result<(Run, Duration)> {
        let (size, count) = (checked(size)?, self.len());
        ensure!(count > 0, "there is no client");
        ensure!(!period.is_zero(), "the period must not be zero");
        let per_second = count as f64 / period.as_secs_f64();
        let total = (time.as_secs_f64() * per_second) as usize;
        let mut recorder = Recorder::start()?;
        let mut patience = Patience::new("sending messages at a pace");
        let (mut sent, mut done, mut lost) = (0, 0, 0);
        let mut latest = Duration::ZERO;
        while done < total {
            let elapsed = patience.began.elapsed();
            let due = ((elapsed.as_secs_f64() * per_second) as usize).min(total);
            if sent < due {
                let first = Duration::from_secs_f64(sent as f64 / per_second);
                latest = latest.max(elapsed.saturating_sub(first));
            }
            for number in sent..due {
                let member = number % count;
                let (text, payload) = self.roll.next(member, size);
                self.swarm
                    .send(POSTERS + member, |out| out.message(text, payload));
            }
            sent = due;
            let roll = &mut self.roll;
            let mut moved = false;
            let wait = if sent < total { TICK } else { TICK * 100 };
            self.swarm.turn(wait, |place, seen, _| {
                let Some(member) = place.checked_sub(POSTERS) else {
                    return Ok(());
                };
                moved = true;
                match roll.seen(member, &seen)? {
                    Some(Came::Back(stamp)) => recorder.record(roll.stamps.moment(&stamp)),
                    Some(Came::Lost) => lost += 1,
                    None => return Ok(()),
                }
                done += 1;
                Ok(())
            })?;
            // With few clients, much time may pass between two messages.
            patience.check(moved || done == sent, || {
                format!("{sent} messages were sent, {done} were echoed")
            })?;
        }
        let run = recorder
            .finish(total - lost)
            .context("some messages were echoed twice")?;
        Ok((run, latest))
    }

    /// Allows lost messages from now on, if the gateway reports them with this text (`on-loss-message`).
    pub(crate) fn allow_losses(&mut self, notice: &str) {
        self.roll.allow_losses(notice);
    }

    /// Number of messages that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.roll.members.iter().map(|m| u64::from(m.lost)).sum()
    }

    /// Number of messages that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.roll.members.iter().map(|m| u64::from(m.sent)).sum()
    }

    /// Fails unless every message was answered, and every client has received exactly the pushes that were accepted.
    pub(crate) fn ensure_complete(&self) -> anyhow::Result<()> {
        self.roll.ensure_complete()
    }
}
