//! What goes wrong between a gateway and its API, in the log: of each kind a line in ten seconds, with
//! how often it has happened, as one cause strikes thousands of clients at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gateway::Inner;

/// Tenths of seconds between two lines of a kind.
const EVERY: u32 = 100;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A request brought no answer, or a 5xx.
    Failed,
    /// A message was lost, or a DELETE.
    Lost,
    /// The API chose a subprotocol that the client had not offered.
    Protocol,
    /// A `Fetchway-State` was too long.
    State,
}

impl Trouble {
    const ALL: [Self; 4] = [Self::Failed, Self::Lost, Self::Protocol, Self::State];
}

/// How often it has happened that the log has not told of yet.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    /// By what, or to whom, the last time.
    last: String,
    /// When the log told of it last.
    told: Option<u32>,
}

impl Tally {
    fn add(&mut self, last: String) {
        self.count += 1;
        self.last = last;
    }

    /// What the log is to be told now.
    fn due(&mut self, now: u32) -> Option<(u64, String)> {
        let is_late = |told| now.saturating_sub(told) >= EVERY;
        let due = self.count > 0 && self.told.is_none_or(is_late);
        due.then(|| {
            self.told = Some(now);
            self.take()
        })
    }

    fn take(&mut self) -> (u64, String) {
        (
            std::mem::take(&mut self.count),
            std::mem::take(&mut self.last),
        )
    }
}

/// All that goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    tallies: [Mutex<Tally>; Trouble::ALL.len()],
    /// The log has said that requests fail, and not yet that the API answers again.
    is_failing: AtomicBool,
}

impl Troubles {
    fn tally(&self, what: Trouble) -> MutexGuard<'_, Tally> {
        // The enum counts from 0 in the order of `ALL`; a test says so.
        let tally = self.tallies[what as usize].lock();
        tally.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Something went wrong: `last` says by what, or to whom.
    pub(crate) fn trouble(&self, what: Trouble, last: impl Into<String>) {
        self.troubles.tally(what).add(last.into());
        self.tell_if_due(what);
    }

    /// Tells of what has gone wrong since the last lines.
    pub(crate) fn look_at_troubles(&self) {
        Trouble::ALL
            .into_iter()
            .for_each(|what| self.tell_if_due(what));
    }

    /// Tells of all that the log does not know yet: it gets no later line.
    pub(crate) fn tell_all_troubles(&self) {
        for what in Trouble::ALL {
            let (count, last) = self.troubles.tally(what).take();
            if count > 0 {
                self.tell(what, count, &last);
            }
        }
    }

    fn tell_if_due(&self, what: Trouble) {
        let due = self.troubles.tally(what).due(self.now());
        if let Some((count, last)) = due {
            self.tell(what, count, &last);
        }
    }

    fn tell(&self, what: Trouble, count: u64, last: &str) {
        let gateway = &*self.config.name;
        match what {
            Trouble::Failed => {
                self.troubles.is_failing.store(true, Ordering::Relaxed);
                let api = self.base.as_str();
                tracing::warn!(
                    gateway,
                    api,
                    failed = count,
                    error = last,
                    "requests to the API failed since this was said last"
                );
            }
            Trouble::Lost => tracing::warn!(
                gateway,
                lost = count,
                client = last,
                "messages or DELETEs were lost since this was said last; the last one was of this \
                 client"
            ),
            Trouble::Protocol => tracing::warn!(
                gateway,
                times = count,
                client = last,
                "the API chose a subprotocol that the client had not offered: it gets none"
            ),
            Trouble::State => tracing::warn!(
                gateway,
                times = count,
                client = last,
                "a Fetchway-State of over 4 KiB was ignored"
            ),
        }
    }

    /// The API has answered. Called for each message.
    pub(crate) fn api_answers(&self) {
        let is_failing = &self.troubles.is_failing;
        if is_failing.load(Ordering::Relaxed) && is_failing.swap(false, Ordering::Relaxed) {
            let (failed, _) = self.troubles.tally(Trouble::Failed).take();
            let (gateway, api) = (&*self.config.name, self.base.as_str());
            tracing::info!(gateway, api, failed, "the API answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_ten_seconds_tells_of_all() {
        let mut tally = Tally::default();
        assert_eq!(tally.due(0), None, "nothing has happened");
        tally.add("first".to_owned());
        assert_eq!(tally.due(0), Some((1, "first".to_owned())), "at once");
        for last in ["second", "third"] {
            tally.add(last.to_owned());
            assert_eq!(tally.due(EVERY - 1), None, "too soon");
        }
        assert_eq!(tally.due(EVERY), Some((2, "third".to_owned())));
        assert_eq!(tally.due(10 * EVERY), None, "all is told");
    }

    #[test]
    fn kinds_stand_at_their_own_index() {
        for (index, what) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, index);
        }
    }
}
