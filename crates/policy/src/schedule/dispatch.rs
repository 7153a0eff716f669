//! The events in which a gate or an account opens: the choice of the next fetch, and the grant.

use std::time::Instant;

use super::parts::{LANE, ORIGIN, Place, Standing, State};
use super::{Event, Member, Schedule, Ticket};

/// Number of flows that a gate takes out of limbo for each event and each dispatch. More would be fairer
/// while a lane and an origin are short in turn; fewer would be cheaper.
const FEED: u32 = 4;

impl Schedule {
    /// Starts all fetches that a gate, which may just have opened, allows.
    pub(super) fn serve(&mut self, gate: u32, now: Instant) {
        self.gates[gate].opened = false;
        while let Some(flow) = self.next_flow(gate, now) {
            let flow = self.contest(flow, gate, now);
            self.grant(flow, now);
        }
        if self.gates[gate].side == ORIGIN {
            self.offer_limbo(gate, now);
        }
        self.arm(gate, now);
    }

    /// Returns the flow whose turn it is at a gate, if the gate is open and a fetch there can start. Flows
    /// that turn out to be blocked are put into limbo.
    fn next_flow(&mut self, gate: u32, now: Instant) -> Option<u32> {
        let side = self.gates[gate].side;
        let mut feed = FEED;
        while self.gates[gate].waiting > 0 && self.gates[gate].open_any(now) {
            while feed > 0 && self.take_from_limbo(gate, now) {
                feed -= 1;
            }
            let Some(member) = self.gates[gate].best() else {
                if self.take_from_limbo(gate, now) {
                    continue;
                }
                return None;
            };
            self.step();
            if self.accounts[self.members[member].account].full() {
                self.park(member);
                continue;
            }
            let flow = self.members[member].ring.front();
            let flow = flow.expect("a listed member has a flow in its ring");
            if !self.set_aside(flow, side, now) {
                return Some(flow);
            }
        }
        None
    }

    /// Two gates can open at the same moment, each with an order of its own. The one that is served first
    /// must not starve the flows at the other, so its choice competes with the choice of the other gate.
    /// The loser is registered at the winner's gate: if it stayed first in its own order and lost again, it
    /// would block the flows behind it.
    fn contest(&mut self, flow: u32, gate: u32, now: Instant) -> u32 {
        let side = self.gates[gate].side;
        let rival_gate = self.members[self.flows[flow].members[1 - side]].gate;
        if !self.gates[rival_gate].to_serve(now) {
            return flow;
        }
        let Some(rival) = self.next_flow(rival_gate, now) else {
            return flow;
        };
        let same_edge = self.flows[flow].edge == self.flows[rival].edge;
        let rank = |flow: u32| {
            let members = self.flows[flow].members.map(|at| &self.members[at]);
            let [here, there] = [members[side], members[1 - side]];
            if same_edge {
                (here.held + there.held, here.served.max(there.served))
            } else {
                (there.held, there.served)
            }
        };
        if rank(rival) < rank(flow) {
            self.unplace(flow);
            self.list_flow(flow, 1 - side);
            return rival;
        }
        if same_edge {
            self.unplace(rival);
            self.list_flow(rival, side);
        }
        flow
    }

    /// Starts the fetches of an account that is below its limit again, its members in turn.
    pub(super) fn serve_account(&mut self, account: u32, now: Instant) {
        while !self.accounts[account].full() {
            let parked = &mut self.accounts[account].parked;
            let Some(member) = parked.pop_front(&mut self.members) else {
                break;
            };
            self.step();
            self.members[member].standing = Standing::Idle;
            self.list_member(member);
            self.serve(self.members[member].gate, now);
        }
    }

    /// Moves a flow, which its gate at `side` would start, to the place where it is held back, if it is.
    fn set_aside(&mut self, flow: u32, side: usize, now: Instant) -> bool {
        let other = 1 - side;
        let member = self.flows[flow].members[other];
        if self.open_to_member(member, now) {
            return false;
        }
        self.unplace(flow);
        if self.gates[self.members[member].gate].open_any(now) {
            // That gate lends permits, but not to an account that has stalled there.
            self.list_flow(flow, other);
        } else {
            let edge = self.flows[flow].edge;
            self.flows[flow].place = Place::Limbo;
            self.edges[edge].limbo.push_back(&mut self.flows, flow);
        }
        true
    }

    /// Takes one flow, whose other gate is open, out of limbo into this gate's order.
    fn take_from_limbo(&mut self, gate: u32, now: Instant) -> bool {
        let side = self.gates[gate].side;
        let edge = if side == LANE {
            self.next_source(gate, now)
        } else {
            self.edge_in_limbo(gate, now)
        };
        let Some(edge) = edge else { return false };
        self.step();
        let limbo = &mut self.edges[edge].limbo;
        let Some(flow) = limbo.pop_front(&mut self.flows) else {
            return false;
        };
        self.list_flow(flow, side);
        true
    }

    /// The next edge of a lane with flows in limbo and an open origin. Edges take turns.
    fn next_source(&mut self, lane: u32, now: Instant) -> Option<u32> {
        while let Some(edge) = self.gates[lane].sources.pop_front(&mut self.edges) {
            let origin = self.edges[edge].gates[ORIGIN];
            if !self.edges[edge].limbo.is_empty() && self.gates[origin].open_any(now) {
                self.gates[lane].sources.push_back(&mut self.edges, edge);
                return Some(edge);
            }
            // When that origin opens with flows in limbo, it registers them again.
            self.edges[edge].in_sources = false;
        }
        None
    }

    /// An edge of an origin with flows in limbo and an open lane. There are as many as lanes.
    fn edge_in_limbo(&self, origin: u32, now: Instant) -> Option<u32> {
        let mut next = self.gates[origin].edges.front();
        while let Some(edge) = next {
            let lane = self.edges[edge].gates[LANE];
            if !self.edges[edge].limbo.is_empty() && self.gates[lane].open_any(now) {
                return Some(edge);
            }
            next = self.gates[origin].edges.after(&self.edges, edge);
        }
        None
    }

    /// Registers the flows in limbo of an origin that stays open with their lanes.
    fn offer_limbo(&mut self, origin: u32, now: Instant) {
        if !self.gates[origin].open_any(now) {
            return;
        }
        let mut next = self.gates[origin].edges.front();
        while let Some(edge) = next {
            next = self.gates[origin].edges.after(&self.edges, edge);
            let entry = &mut self.edges[edge];
            if !entry.limbo.is_empty() && !entry.in_sources {
                entry.in_sources = true;
                let lane = entry.gates[LANE];
                self.gates[lane].sources.push_back(&mut self.edges, edge);
            }
        }
    }

    /// Starts the first fetch of a flow.
    fn grant(&mut self, flow: u32, now: Instant) {
        let fetch = self.flows[flow].queue.front();
        let fetch = fetch.expect("a flow exists while it has fetches");
        if let Place::At(side) = self.flows[flow].place {
            let member = self.flows[flow].members[side];
            let ring = &mut self.members[member].ring;
            ring.remove(&mut self.flows, flow);
            ring.push_back(&mut self.flows, flow);
        }
        self.leave_queue(fetch);
        self.hold(fetch, now);
        self.events.push_back(Event::Granted(Ticket {
            slot: fetch,
            generation: self.fetches.generation(fetch),
        }));
    }

    /// Gives a fetch its permits and slots.
    pub(super) fn hold(&mut self, fetch: u32, now: Instant) {
        self.serial += 1;
        let serial = self.serial;
        let members = self.fetches[fetch].members;
        self.fetches[fetch].state = State::Held { paused: false };
        self.accounts[self.fetches[fetch].account].held += 1;
        for member in members {
            self.rerank(member, |member| {
                member.held += 1;
                member.served = serial;
            });
            let gate = self.members[member].gate;
            self.gates[gate].take(now);
            self.arm(gate, now);
        }
    }

    /// Changes the values that make up a member's rank, and keeps the order of its gate right.
    pub(super) fn rerank(&mut self, at: u32, change: impl FnOnce(&mut Member)) {
        let member = &mut self.members[at];
        let listed = member.standing == Standing::Listed;
        let gate = &mut self.gates[member.gate];
        if listed {
            gate.unlist(member.stalled(), (member.held, member.served, at));
        }
        change(member);
        if listed {
            gate.list(member.stalled(), (member.held, member.served, at));
        }
    }

    /// Registers a flow at one of its gates.
    pub(super) fn list_flow(&mut self, flow: u32, side: usize) {
        self.flows[flow].place = Place::At(side);
        let at = self.flows[flow].members[side];
        let member = &mut self.members[at];
        member.ring.push_back(&mut self.flows, flow);
        if member.standing == Standing::Idle {
            self.list_member(at);
        }
    }

    /// Removes a flow from the place where it is registered.
    pub(super) fn unplace(&mut self, flow: u32) {
        match self.flows[flow].place {
            Place::Limbo => {
                let edge = self.flows[flow].edge;
                self.edges[edge].limbo.remove(&mut self.flows, flow);
            }
            Place::At(side) => {
                let at = self.flows[flow].members[side];
                self.members[at].ring.remove(&mut self.flows, flow);
                if self.members[at].ring.is_empty() {
                    self.idle_member(at);
                }
            }
        }
    }

    /// Enters a member into its gate's order.
    pub(super) fn list_member(&mut self, at: u32) {
        let member = &mut self.members[at];
        member.standing = Standing::Listed;
        let rank = (member.held, member.served, at);
        self.gates[member.gate].list(member.stalled(), rank);
    }

    /// Removes a member, whose ring is empty, from its list.
    fn idle_member(&mut self, at: u32) {
        let member = &mut self.members[at];
        match std::mem::replace(&mut member.standing, Standing::Idle) {
            Standing::Idle => {}
            Standing::Listed => {
                let rank = (member.held, member.served, at);
                self.gates[member.gate].unlist(member.stalled(), rank);
            }
            Standing::Parked => {
                let parked = &mut self.accounts[member.account].parked;
                parked.remove(&mut self.members, at);
            }
        }
    }

    /// Parks a listed member until its account is below its limit.
    pub(super) fn park(&mut self, at: u32) {
        self.idle_member(at);
        let member = &mut self.members[at];
        member.standing = Standing::Parked;
        let parked = &mut self.accounts[member.account].parked;
        parked.push_back(&mut self.members, at);
    }

    /// Returns a parked member to the order of its gate.
    pub(super) fn unpark(&mut self, at: u32) {
        if self.members[at].standing == Standing::Parked {
            self.idle_member(at);
            self.list_member(at);
        }
    }
}
