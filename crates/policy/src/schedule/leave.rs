//! Departures: finished and cancelled fetches, waits that have ended, readers that stop and continue.

use std::time::Instant;

use super::parts::{LANE, ORIGIN, State};
use super::{Event, Schedule, Ticket};
use crate::slab::NIL;

impl Schedule {
    /// Ends a ticket in whatever state it is: a waiting fetch leaves the queue, and permits go to waiting
    /// fetches. A ticket that was finished before is ignored.
    pub fn finish(&mut self, ticket: Ticket, now: Instant) {
        let now = self.advance(now);
        if !self.knows(ticket) {
            return;
        }
        let fetch = ticket.slot;
        match self.fetches[fetch].state {
            State::Queued(_) => self.withdraw(fetch, now),
            State::Held { paused } => {
                if paused {
                    self.set_paused(fetch, false);
                }
                self.release(fetch, now);
            }
            State::Expired => {}
        }
        let account = self.fetches.remove(fetch).account;
        self.accounts[account].tickets -= 1;
        self.drop_closed_account(account);
    }

    /// Records that the reader of a fetch in progress has stopped: its permits may be lent to other
    /// accounts. A ticket in another state is ignored.
    pub fn pause(&mut self, ticket: Ticket, now: Instant) {
        let now = self.advance(now);
        if self.knows(ticket) && self.fetches[ticket.slot].state == (State::Held { paused: false })
        {
            self.set_paused(ticket.slot, true);
            self.serve_gates_of(ticket.slot, now);
        }
    }

    /// Records that the reader of a paused fetch continues.
    pub fn resume(&mut self, ticket: Ticket, now: Instant) {
        let now = self.advance(now);
        if self.knows(ticket) && self.fetches[ticket.slot].state == (State::Held { paused: true }) {
            self.set_paused(ticket.slot, false);
            // The account may be able to borrow again.
            self.serve_gates_of(ticket.slot, now);
        }
    }

    fn knows(&self, ticket: Ticket) -> bool {
        self.fetches.holds(ticket.slot, ticket.generation)
    }

    fn set_paused(&mut self, fetch: u32, paused: bool) {
        self.fetches[fetch].state = State::Held { paused };
        for member in self.fetches[fetch].members {
            let gate = &mut self.gates[self.members[member].gate];
            if paused {
                gate.paused += 1;
                self.rerank(member, |member| member.paused += 1);
            } else {
                gate.paused -= 1;
                self.rerank(member, |member| member.paused -= 1);
            }
        }
    }

    /// Serves both gates of a fetch whose reader has stopped or continues.
    fn serve_gates_of(&mut self, fetch: u32, now: Instant) {
        let members = self.fetches[fetch].members;
        for member in members {
            self.gates[self.members[member].gate].opened = true;
        }
        self.serve_opened(members, now);
    }

    fn serve_opened(&mut self, members: [u32; 2], now: Instant) {
        for member in members {
            let gate = self.members[member].gate;
            if self.gates[gate].opened {
                self.serve(gate, now);
            }
        }
    }

    /// Returns permits. Only a gate that had none to spare has a new fetch to serve. It chooses before the
    /// other gates, because the fetches there waited for it.
    fn release(&mut self, fetch: u32, now: Instant) {
        let account = self.fetches[fetch].account;
        let was_full = self.accounts[account].full();
        self.accounts[account].held -= 1;
        let members = self.fetches[fetch].members;
        for member in members {
            let gate = self.members[member].gate;
            let opened = !self.gates[gate].spare();
            self.gates[gate].opened = opened;
            self.gates[gate].held -= 1;
            self.rerank(member, |member| member.held -= 1);
            if was_full && opened {
                self.unpark(member);
            }
        }
        self.serve_opened(members, now);
        if was_full {
            self.serve_account(account, now);
        }
        self.drop_idle_members(members);
    }

    /// Removes a fetch from the queue that will not start.
    fn withdraw(&mut self, fetch: u32, now: Instant) {
        let members = self.fetches[fetch].members;
        self.leave_queue(fetch);
        for member in members {
            self.arm(self.members[member].gate, now);
        }
        self.drop_idle_members(members);
    }

    /// Removes a waiting fetch from its flow and from all counts. Timers are left alone, because they
    /// depend on whether the last waiting fetch starts or gives up.
    pub(super) fn leave_queue(&mut self, fetch: u32) {
        let State::Queued(flow) = self.fetches[fetch].state else {
            return;
        };
        if self.flows[flow].last_repeated == fetch {
            let left = self.flows[flow].queue.before(&self.fetches, fetch);
            self.flows[flow].last_repeated = left.unwrap_or(NIL);
        }
        let queue = &mut self.flows[flow].queue;
        queue.remove(&mut self.fetches, fetch);
        let emptied = queue.is_empty();
        let gates = self.edges[self.flows[flow].edge].gates;
        self.clear_expiry(fetch, gates[LANE]);
        self.count_left(fetch, gates);
        if emptied {
            self.drop_flow(flow);
        }
    }

    fn count_left(&mut self, fetch: u32, gates: [u32; 2]) {
        let bytes = self.fetches[fetch].bytes;
        let lane = &mut self.lanes[gates[LANE] as usize];
        lane.queued -= 1;
        lane.queued_bytes -= bytes;
        let account = &mut self.accounts[self.fetches[fetch].account];
        account.queued -= 1;
        account.queued_bytes -= bytes;
        for (gate, member) in gates.into_iter().zip(self.fetches[fetch].members) {
            self.gates[gate].waiting -= 1;
            let member = &mut self.members[member];
            member.queued -= 1;
            member.queued_bytes -= bytes;
        }
    }

    /// Removes a flow without fetches, and its edge with the last one.
    fn drop_flow(&mut self, flow: u32) {
        self.unplace(flow);
        let gone = self.flows.remove(flow);
        self.flow_of
            .remove(&(gone.members[LANE], gone.members[ORIGIN]));
        let edge = &mut self.edges[gone.edge];
        edge.flows -= 1;
        if edge.flows > 0 {
            return;
        }
        let gates = edge.gates;
        if edge.in_sources {
            let lane = &mut self.gates[gates[LANE]];
            lane.sources.remove(&mut self.edges, gone.edge);
        }
        let origin = &mut self.gates[gates[ORIGIN]];
        origin.edges.remove(&mut self.edges, gone.edge);
        self.edges.remove(gone.edge);
        self.edge_of.remove(&(gates[LANE], gates[ORIGIN]));
    }

    /// Ends the wait of a fetch whose turn did not come in time.
    pub(super) fn expire(&mut self, fetch: u32, now: Instant) {
        self.withdraw(fetch, now);
        self.fetches[fetch].state = State::Expired;
        self.events.push_back(Event::Expired(Ticket {
            slot: fetch,
            generation: self.fetches.generation(fetch),
        }));
    }

    /// Removes members that no fetch needs.
    pub(super) fn drop_idle_members(&mut self, members: [u32; 2]) {
        for at in members {
            let member = &self.members[at];
            if member.held == 0 && member.queued == 0 {
                self.member_of.remove(&(member.gate, member.account));
                self.members.remove(at);
            }
        }
    }

    /// Removes a closed account without tickets.
    pub(super) fn drop_closed_account(&mut self, at: u32) {
        let account = &self.accounts[at];
        if account.closing && account.tickets == 0 {
            self.accounts.remove(at);
        }
    }
}
