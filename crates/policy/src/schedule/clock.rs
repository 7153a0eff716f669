//! Time: slots of a pace, Retry-After, and waits that have ended.

use std::time::Instant;

use super::gate::later;
use super::{OriginId, Schedule};

impl Schedule {
    /// Handles everything that is due by `now`. [`Self::next_event`] returns the results. A late call does
    /// no harm: every slot that has become due while a fetch waited for it is used.
    pub fn poll(&mut self, now: Instant) {
        self.advance(now);
    }

    /// The time of the next call of [`Self::poll`]: the first slot or end of a Retry-After for which a
    /// fetch waits, or the end of a wait. It changes with every call of this machine.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let gates = self.timers.first().map(|timer| timer.0);
        let waits = self.lanes.iter().filter_map(|lane| {
            let first = lane.expiry.front()?;
            self.fetches[first].expires
        });
        waits.chain(gates).min()
    }

    /// Prevents dispatches to `origin` before `until`, or before a later time that was set earlier
    /// (Retry-After). The caller has capped the time. Fetches in flight continue.
    pub fn slow_origin(&mut self, origin: OriginId, until: Instant, now: Instant) {
        let now = self.advance(now);
        if !self.knows_origin(origin) {
            return;
        }
        let gate = &mut self.gates[origin.slot];
        gate.open_at = Some(gate.open_at.map_or(until, |at| at.max(until)));
        self.arm(origin.slot, now);
    }

    /// Handles everything that is due, and returns the time that counts as now.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        if self.wake.is_none_or(|wake| wake > now) {
            return now;
        }
        // Waits first: a fetch is never started after its wait is over.
        for lane in 0..self.lanes.len() {
            while let Some(first) = self.lanes[lane].expiry.front()
                && self.fetches[first].expires.is_some_and(|at| at <= now)
            {
                self.expire(first, now);
            }
        }
        while let Some((at, gate)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            self.gates[gate].armed = None;
            self.serve(gate, now);
            let gate = &mut self.gates[gate];
            if gate.due(now) {
                // All fetches that could use the due slots have used them. The remaining slots lapse.
                gate.owed = false;
            }
        }
        self.wake = self.next_deadline();
        now
    }

    /// Sets, moves or clears a gate's timer. The timer is set while the gate is closed because of time and
    /// a fetch waits there.
    pub(super) fn arm(&mut self, at: u32, now: Instant) {
        let gate = &mut self.gates[at];
        let wanted = if gate.waiting > 0 && gate.spare_or_lent() {
            match gate.open_at {
                Some(open_at) if open_at > now => Some(open_at),
                // The gate is due, and is served now or soon. Meanwhile its slots remain owed.
                _ => return,
            }
        } else {
            None
        };
        gate.owed = wanted.is_some();
        if gate.armed == wanted {
            return;
        }
        if let Some(old) = std::mem::replace(&mut gate.armed, wanted) {
            self.timers.remove(&(old, at));
        }
        if let Some(new) = wanted {
            self.timers.insert((new, at));
            self.wake_by(new);
        }
    }

    /// Begins the wait of a queued fetch. All waits of a lane are equally long, so they end in order.
    pub(super) fn set_expiry(&mut self, fetch: u32, lane: u32, now: Instant) {
        let lane = &mut self.lanes[lane as usize];
        let expires = later(now, lane.bounds.wait);
        self.fetches[fetch].expires = Some(expires);
        lane.expiry.push_back(&mut self.fetches, fetch);
        self.wake_by(expires);
    }

    /// Ends the wait of a fetch that leaves the queue.
    pub(super) fn clear_expiry(&mut self, fetch: u32, lane: u32) {
        if self.fetches[fetch].expires.take().is_some() {
            let lane = &mut self.lanes[lane as usize];
            lane.expiry.remove(&mut self.fetches, fetch);
        }
    }

    fn wake_by(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}
