//! All clients reconnect at once.

use std::time::Duration;

use super::crowd::Crowd;
use super::pushing::Pushed;

/// Maximum number of handshakes at the same time while all clients reconnect.
const AT_ONCE: usize = 1_024;

impl Crowd {
    /// Drops all connections without a Close frame and opens them again with the same ids, evenly spread over
    /// `within`. Then each client must receive a push. Returns the time until all connections were open again.
    pub(crate) fn reconnect(
        &mut self,
        within: Duration,
        size: usize,
    ) -> anyhow::Result<(Duration, Pushed)> {
        let all: Vec<usize> = (0..self.len()).collect();
        let count = all.len() as f64;
        let within = within.as_secs_f64().max(f64::MIN_POSITIVE);
        // Connecting at a place drops the previous connection.
        let due = move |elapsed: Duration| (elapsed.as_secs_f64() / within * count).ceil() as usize;
        let took = self.arrive(&all, AT_ONCE, due)?;
        for member in &mut self.roll.members {
            (member.sent, member.echoed, member.lost) = (0, 0, 0);
        }
        let pushed = self.push_each(0..all.len(), size)?;
        Ok((took, pushed))
    }
}
