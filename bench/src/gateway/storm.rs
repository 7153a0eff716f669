//! What goes wrong all at once: everybody reconnects, or many stop reading.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::crowd::{Crowd, POSTERS, Patience};
use super::work::{Answers, Pushed};
use crate::load::Run;

/// Handshakes under way at a time while everybody reconnects.
const AT_ONCE: usize = 1_024;

/// Clients that stop reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    /// So many, the first ones.
    pub(crate) clients: usize,
    /// Pushes to each.
    pub(crate) pushes: usize,
    /// Bytes of each.
    pub(crate) size: usize,
    /// The others meanwhile: so many send so many messages of 128 bytes in lockstep.
    pub(crate) senders: usize,
    pub(crate) total: usize,
}

/// What came of it.
pub(crate) struct Slowed {
    /// The others before, and meanwhile.
    pub(crate) before: Run,
    pub(crate) beside: Run,
    pub(crate) pushes: Run,
    pub(crate) answers: Answers,
    /// Pushes that the slow clients got once they read again.
    pub(crate) got: usize,
    /// Slow clients that were closed, how the first one was, and the accepted pushes that they lack.
    pub(crate) closed: usize,
    pub(crate) how: Option<String>,
    pub(crate) lacking: usize,
}

impl Crowd {
    /// All connections are dropped without a Close and opened again with the same ids, evenly spread
    /// over `within`. Then each client is pushed to and must get it. Gives how long it took until all
    /// were open again.
    pub(crate) fn reconnect(
        &mut self,
        within: Duration,
        size: usize,
    ) -> anyhow::Result<(Duration, Pushed)> {
        let all: Vec<usize> = (0..self.len()).collect();
        let count = all.len() as f64;
        let within = within.as_secs_f64().max(f64::MIN_POSITIVE);
        // To connect at a place drops what is there.
        let due = move |elapsed: Duration| (elapsed.as_secs_f64() / within * count).ceil() as usize;
        let took = self.arrive(&all, AT_ONCE, due)?;
        for member in &mut self.roll.members {
            (member.sent, member.echoed) = (0, 0);
        }
        let pushed = self.push_each(0..all.len(), size)?;
        Ok((took, pushed))
    }

    /// Some clients stop reading and are pushed to, while others go on. Then they read again: one that
    /// was not closed must get each push that was accepted.
    pub(crate) fn slow(&mut self, slow: Slow) -> anyhow::Result<Slowed> {
        ensure!(
            slow.clients > 0 && slow.clients < self.len(),
            "some of {} clients must be slow and some not",
            self.len()
        );
        let size = 128;
        let before = self.echo(slow.clients, slow.senders, slow.total, size)?;
        self.slow_down(slow.clients)?;
        let accepted = |crowd: &Self| {
            let slow = &crowd.roll.members[..slow.clients];
            slow.iter()
                .map(|m| m.accepted.saturating_sub(m.got) as usize)
                .sum::<usize>()
        };
        let got = self.got(slow.clients);
        let echo = self.lockstep(slow.clients, slow.senders, slow.total, size)?;
        let whom = (0..slow.pushes).flat_map(|_| 0..slow.clients);
        let pushing = self.pushing(whom, slow.size)?;
        let (beside, pushed) = self.work(Some(echo), Some(pushing))?;
        let pushed = pushed.context("there was nobody to push to")?;
        for member in 0..slow.clients {
            self.swarm.pause(POSTERS + member, false)?;
        }
        self.catch_up(slow.clients)?;
        let ended: Vec<&String> = (self.roll.members.iter())
            .filter_map(|member| member.ended.as_ref())
            .collect();
        Ok(Slowed {
            before,
            beside: beside.context("the others sent nothing")?,
            pushes: pushed.run,
            answers: pushed.answers,
            got: self.got(slow.clients) - got,
            closed: ended.len(),
            how: ended.first().map(|how| (*how).clone()),
            lacking: accepted(self),
        })
    }

    fn slow_down(&mut self, clients: usize) -> anyhow::Result<()> {
        for (number, member) in self.roll.members[..clients].iter_mut().enumerate() {
            member.slow = true;
            self.swarm.pause(POSTERS + number, true)?;
        }
        Ok(())
    }

    fn got(&self, clients: usize) -> usize {
        let slow = &self.roll.members[..clients];
        slow.iter().map(|member| member.got as usize).sum()
    }

    /// Until every slow client has got what was accepted for it, or has ended.
    fn catch_up(&mut self, clients: usize) -> anyhow::Result<()> {
        let mut patience = Patience::new("the slow clients read again");
        loop {
            let lacking = (self.roll.members[..clients].iter())
                .filter(|member| member.ended.is_none() && member.got < member.accepted)
                .count();
            if lacking == 0 {
                return Ok(());
            }
            let roll = &mut self.roll;
            let mut moved = false;
            self.swarm
                .turn(Duration::from_millis(100), |place, seen, _| {
                    if let Some(member) = place.checked_sub(POSTERS) {
                        moved = true;
                        roll.seen(member, &seen)?;
                    }
                    Ok(())
                })?;
            patience.check(moved, || {
                format!("{lacking} of them lack pushes that were accepted")
            })?;
        }
    }
}
