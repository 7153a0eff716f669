//! Tests of the schedule: its own consistency, a naive model, fairness, pace, scale.

mod fairness;
mod pace;
mod properties;
mod rules;
mod scale;
mod world;

use std::time::Instant;

use super::Schedule;
use super::parts::{LANE, ORIGIN, Place, Standing, State};

impl Schedule {
    /// Panics unless every waiting flow is held back where it is registered and counts agree.
    fn check(&self) {
        let Some(now) = self.now else { return };
        for (at, flow) in self.flows.iter() {
            self.check_flow(at, flow, now);
        }
        for (at, member) in self.members.iter() {
            let parked = member.standing == Standing::Parked;
            assert_eq!(
                member.ring.is_empty(),
                member.standing == Standing::Idle,
                "member {at}"
            );
            assert!(
                !parked || self.accounts[member.account].full(),
                "member {at} waits for an account that is not full"
            );
            assert!(member.held + member.queued > 0, "member {at} is idle");
        }
        self.check_deadline();
    }

    fn check_flow(&self, at: u32, flow: &super::Flow, now: Instant) {
        let [lane, origin] = flow.members.map(|member| self.open_to_member(member, now));
        let full = self.accounts[self.members[flow.members[LANE]].account].full();
        assert!(!lane || !origin || full, "flow {at} could start");
        match flow.place {
            Place::Limbo => {
                let gates = self.edges[flow.edge].gates;
                assert!(
                    gates.iter().any(|gate| !self.gates[*gate].open_any(now)),
                    "flow {at} is in limbo between open gates"
                );
            }
            Place::At(side) => {
                let parked = self.members[flow.members[side]].standing == Standing::Parked;
                let open = if side == LANE { lane } else { origin };
                assert!(!open || parked, "flow {at} waits at an open gate");
            }
        }
    }

    /// Checks that a fetch that waits only for time, or for the end of its wait, is woken in time.
    fn check_deadline(&self) {
        let deadline = self.next_deadline();
        let in_time = |at: Option<Instant>| match (deadline, at) {
            (Some(deadline), Some(at)) => deadline <= at,
            (_, at) => at.is_none(),
        };
        for (at, flow) in self.flows.iter() {
            let gates = flow.members.map(|member| {
                let member = &self.members[member];
                let gate = &self.gates[member.gate];
                let permit = gate.spare() || (!member.stalled() && gate.spare_or_lent());
                (permit, gate.open_at)
            });
            let account = &self.accounts[self.members[flow.members[LANE]].account];
            if gates[LANE].0 && gates[ORIGIN].0 && !account.full() {
                let opens = gates[LANE].1.max(gates[ORIGIN].1);
                assert!(in_time(opens), "flow {at} is due before the deadline");
            }
        }
        for (at, fetch) in self.fetches.iter() {
            assert!(in_time(fetch.expires), "fetch {at} expires too late");
            let queued = matches!(fetch.state, State::Queued(_));
            assert_eq!(queued, fetch.expires.is_some(), "fetch {at}");
        }
    }

    /// Panics unless nothing is left but lanes, origins and accounts.
    fn check_empty(&self) {
        assert_eq!(
            [
                self.fetches.len(),
                self.flows.len(),
                self.edges.len(),
                self.members.len(),
                self.member_of.len(),
                self.flow_of.len(),
                self.edge_of.len(),
                self.timers.len(),
            ],
            [0; 8]
        );
        assert_eq!(self.next_deadline(), None);
        for (_, account) in self.accounts.iter() {
            assert_eq!(
                (account.held, account.queued, account.queued_bytes),
                (0, 0, 0)
            );
        }
        for (_, gate) in self.gates.iter() {
            assert_eq!((gate.held, gate.paused, gate.waiting), (0, 0, 0));
            assert!(gate.best().is_none() && gate.edges.is_empty() && gate.sources.is_empty());
        }
        for lane in &self.lanes {
            assert_eq!((lane.queued, lane.queued_bytes), (0, 0));
        }
    }
}
