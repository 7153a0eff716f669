//! Problems between a gateway and its API, in the log. Each kind gets a line in ten seconds that says how
//! often it has happened, because one cause affects thousands of clients at once.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::clock::Clock;

/// Tenths of seconds between two lines of a kind.
const INTERVAL: u32 = 100;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A request brought no response, or a 5xx.
    Failed,
    /// A message was lost, or a DELETE.
    Lost,
    /// The API chose a subprotocol that the client had not offered.
    Protocol,
    /// A `Fetchway-State` was too long.
    State,
}

impl Problem {
    const ALL: [Self; 4] = [Self::Failed, Self::Lost, Self::Protocol, Self::State];
}

/// Occurrences of one kind of problem that the log does not know yet.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    /// The error or the client of the last one.
    last: String,
    /// Time of the last line in the log.
    logged_at: Option<u32>,
}

impl Tally {
    fn add(&mut self, last: String) {
        self.count += 1;
        self.last = last;
    }

    /// Takes the tally if a line is due.
    fn due(&mut self, now: u32) -> Option<(u64, String)> {
        let is_late = |at| now.saturating_sub(at) >= INTERVAL;
        let is_due = self.count > 0 && self.logged_at.is_none_or(is_late);
        is_due.then(|| {
            self.logged_at = Some(now);
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

/// The log of a gateway's problems.
#[derive(Debug)]
pub(crate) struct ErrorLog {
    gateway: String,
    api: String,
    clock: Clock,
    tallies: [Mutex<Tally>; Problem::ALL.len()],
    /// The log says that requests fail, and not yet that the API answers again.
    is_failing: AtomicBool,
}

impl ErrorLog {
    /// Creates the log of the gateway of this name, in front of the API at `api`.
    pub(crate) fn new(gateway: &str, api: &str, clock: Clock) -> Self {
        Self {
            gateway: gateway.to_owned(),
            api: api.to_owned(),
            clock,
            tallies: Default::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// The gateway's name, for lines of other parts.
    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Counts a problem. `last` names its error or its client.
    pub(crate) fn problem(&self, kind: Problem, last: impl Into<String>) {
        self.tally(kind).lock().add(last.into());
        self.write_if_due(kind);
    }

    /// Writes the lines that are due.
    pub(crate) fn sweep(&self) {
        Problem::ALL
            .into_iter()
            .for_each(|kind| self.write_if_due(kind));
    }

    /// Writes everything that the log does not know yet. No later line will.
    pub(crate) fn flush(&self) {
        for kind in Problem::ALL {
            let (count, last) = self.tally(kind).lock().take();
            if count > 0 {
                self.write(kind, count, &last);
            }
        }
    }

    /// Notes that the API has answered. Called for each message.
    pub(crate) fn api_answers(&self) {
        let is_failing = &self.is_failing;
        if is_failing.load(Ordering::Relaxed) && is_failing.swap(false, Ordering::Relaxed) {
            let (failed, _) = self.tally(Problem::Failed).lock().take();
            let (gateway, api) = (self.gateway(), &*self.api);
            tracing::info!(gateway, api, failed, "the API answers again");
        }
    }

    fn tally(&self, kind: Problem) -> &Mutex<Tally> {
        // The enum counts from 0 in the order of `ALL`; a test says so.
        &self.tallies[kind as usize]
    }

    fn write_if_due(&self, kind: Problem) {
        let due = self.tally(kind).lock().due(self.clock.now());
        if let Some((count, last)) = due {
            self.write(kind, count, &last);
        }
    }

    fn write(&self, kind: Problem, count: u64, last: &str) {
        let gateway = self.gateway();
        match kind {
            Problem::Failed => {
                self.is_failing.store(true, Ordering::Relaxed);
                let api = &*self.api;
                tracing::warn!(
                    gateway,
                    api,
                    failed = count,
                    error = last,
                    "requests to the API failed; `failed` counts them since the last such line"
                );
            }
            Problem::Lost => tracing::warn!(
                gateway,
                lost = count,
                client = last,
                "messages or DELETEs were lost; `lost` counts them since the last such line, `client` \
                 is the last one"
            ),
            Problem::Protocol => tracing::warn!(
                gateway,
                times = count,
                client = last,
                "the API chose a subprotocol that the client had not offered: the client gets none"
            ),
            Problem::State => tracing::warn!(
                gateway,
                times = count,
                client = last,
                "a Fetchway-State longer than 4 KiB was ignored"
            ),
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
            assert_eq!(tally.due(INTERVAL - 1), None, "too soon");
        }
        assert_eq!(tally.due(INTERVAL), Some((2, "third".to_owned())));
        assert_eq!(tally.due(10 * INTERVAL), None, "everything is logged");
    }

    #[test]
    fn kinds_stand_at_their_own_index() {
        for (index, kind) in Problem::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}
