//! Submission: a fetch starts at once, gets a place in the queue, or is refused.

use std::time::Instant;

use super::parts::{Edge, Fetch, Flow, LANE, Member, ORIGIN, Place, Standing, State};
use super::{Schedule, Submission, Submitted, Ticket};
use crate::error::{ErrorName, FetchError};
use crate::slab::{Links, List, NIL};

impl Schedule {
    /// Submits a fetch. Time that has passed is handled first, so other tickets may get events. The result
    /// of this fetch is the return value.
    pub fn submit(&mut self, now: Instant, request: &Submission) -> Submitted {
        let now = self.advance(now);
        let gates = match self.gates_of(request) {
            Ok(gates) => gates,
            Err(error) => return Submitted::Refused(error),
        };
        let account = request.account.slot;
        let members = gates.map(|gate| self.member(gate, account));
        // No waiting fetch could start now, so a fetch that finds everything open overtakes none.
        let starts = !self.accounts[account].full()
            && self.open_to_member(members[LANE], now)
            && self.open_to_member(members[ORIGIN], now);
        if !starts
            && !request.repeated
            && let Err(error) = self.check_room(request, members[LANE])
        {
            self.drop_idle_members(members);
            return Submitted::Refused(error);
        }
        let fetch = self.fetches.insert(Fetch {
            state: State::Expired,
            members,
            account,
            bytes: request.bytes,
            repeated: request.repeated,
            expires: None,
            in_flow: Links::NONE,
            in_expiry: Links::NONE,
        });
        self.accounts[account].tickets += 1;
        let ticket = Ticket {
            slot: fetch,
            generation: self.fetches.generation(fetch),
        };
        if starts {
            self.hold(fetch, now);
            return Submitted::Granted(ticket);
        }
        self.enqueue(fetch, gates, now);
        Submitted::Queued(ticket)
    }

    /// The gates that a request must pass. An unknown id is a bug of the caller.
    fn gates_of(&self, request: &Submission) -> Result<[u32; 2], FetchError> {
        let fault = |what| Err(FetchError::new(ErrorName::ProxyInternalError, what));
        let lane = u32::try_from(request.lane).unwrap_or(NIL);
        if request.lane >= self.lanes.len() {
            return fault("the fetch was submitted to a lane that does not exist; report this");
        }
        if !self.knows_origin(request.origin) {
            return fault("the fetch was submitted to a forgotten origin; report this");
        }
        if !self.knows_account(request.account) || self.accounts[request.account.slot].closing {
            return Err(FetchError::new(
                ErrorName::Cancelled,
                "the session of this fetch has ended; open a new one",
            ));
        }
        Ok([lane, request.origin.slot])
    }

    /// Checks that the queue has room, within the bounds of the account and the lane.
    fn check_room(&self, request: &Submission, lane_member: u32) -> Result<(), FetchError> {
        let full = |what: String| Err(FetchError::new(ErrorName::QueueFull, what));
        let account = &self.accounts[request.account.slot];
        let limits = account.limits;
        if account.queued >= limits.queued {
            return full(format!(
                "the session's queue holds its limit of {} fetches; wait for answers first",
                limits.queued
            ));
        }
        if request.bytes > limits.queued_bytes.saturating_sub(account.queued_bytes) {
            return full(format!(
                "the session's queue would pass its limit of {} bytes; wait for answers first",
                limits.queued_bytes
            ));
        }
        let lane = &self.lanes[request.lane];
        let Some(places) = lane.bounds.count.saturating_sub(lane.queued).checked_sub(1) else {
            return full(format!(
                "the lane's queue holds its limit of {} fetches; try again later",
                lane.bounds.count
            ));
        };
        let room = lane.bounds.bytes.saturating_sub(lane.queued_bytes);
        let Some(room) = room.checked_sub(request.bytes) else {
            return full(format!(
                "the lane's queue would pass its limit of {} bytes; try again later",
                lane.bounds.bytes
            ));
        };
        let mine = &self.members[lane_member];
        let (count, bytes) = (mine.queued + 1, mine.queued_bytes + request.bytes);
        if mine.queued > 0 && (count > places || bytes > room) {
            return full(format!(
                "the session has its fair share of the lane's queue, {} fetches of {} bytes, \
                 with {} of {} places free; wait for answers first",
                mine.queued,
                mine.queued_bytes,
                places + 1,
                lane.bounds.count
            ));
        }
        Ok(())
    }

    /// Returns the account's member at a gate. A new member ranks behind waiting ones with equally many
    /// permits.
    fn member(&mut self, gate: u32, account: u32) -> u32 {
        if let Some(member) = self.member_of.get(&(gate, account)) {
            return *member;
        }
        self.serial += 1;
        let member = self.members.insert(Member {
            gate,
            account,
            held: 0,
            paused: 0,
            queued: 0,
            queued_bytes: 0,
            served: self.serial,
            ring: List::new(),
            standing: Standing::Idle,
            parked: Links::NONE,
        });
        self.member_of.insert((gate, account), member);
        member
    }

    pub(super) fn open_to_member(&self, member: u32, now: Instant) -> bool {
        let member = &self.members[member];
        self.gates[member.gate].open_to(member.stalled(), now)
    }

    /// Adds a fetch to its flow and counts it.
    fn enqueue(&mut self, fetch: u32, gates: [u32; 2], now: Instant) {
        let members = self.fetches[fetch].members;
        let flow = match self.flow_of.get(&(members[LANE], members[ORIGIN])) {
            Some(flow) => *flow,
            None => self.new_flow(members, gates, now),
        };
        self.fetches[fetch].state = State::Queued(flow);
        let queue = &mut self.flows[flow];
        if self.fetches[fetch].repeated {
            let left = std::mem::replace(&mut queue.last_repeated, fetch);
            queue.queue.insert_after(&mut self.fetches, left, fetch);
        } else {
            queue.queue.push_back(&mut self.fetches, fetch);
        }
        self.count_queued(fetch, gates);
        self.set_expiry(fetch, gates[LANE], now);
        for gate in gates {
            self.arm(gate, now);
        }
    }

    fn count_queued(&mut self, fetch: u32, gates: [u32; 2]) {
        let Fetch {
            bytes,
            members,
            account,
            ..
        } = self.fetches[fetch];
        let lane = &mut self.lanes[gates[LANE] as usize];
        lane.queued += 1;
        lane.queued_bytes += bytes;
        let account = &mut self.accounts[account];
        account.queued += 1;
        account.queued_bytes += bytes;
        for side in [LANE, ORIGIN] {
            self.gates[gates[side]].waiting += 1;
            let member = &mut self.members[members[side]];
            member.queued += 1;
            member.queued_bytes += bytes;
        }
    }

    /// Returns the flow of these members, registered where it is held back.
    fn new_flow(&mut self, members: [u32; 2], gates: [u32; 2], now: Instant) -> u32 {
        let edge = self.edge(gates);
        self.edges[edge].flows += 1;
        let flow = self.flows.insert(Flow {
            members,
            edge,
            queue: List::new(),
            last_repeated: NIL,
            place: Place::Limbo,
            links: Links::NONE,
        });
        self.flow_of.insert((members[LANE], members[ORIGIN]), flow);
        if !self.open_to_member(members[LANE], now) {
            self.list_flow(flow, LANE);
        } else if !self.open_to_member(members[ORIGIN], now) {
            self.list_flow(flow, ORIGIN);
        } else {
            // Only the account is full.
            self.list_flow(flow, LANE);
            if self.members[members[LANE]].standing == Standing::Listed {
                self.park(members[LANE]);
            }
        }
        flow
    }

    fn edge(&mut self, gates: [u32; 2]) -> u32 {
        let key = (gates[LANE], gates[ORIGIN]);
        if let Some(edge) = self.edge_of.get(&key) {
            return *edge;
        }
        let edge = self.edges.insert(Edge {
            gates,
            flows: 0,
            limbo: List::new(),
            in_sources: false,
            of_origin: Links::NONE,
            sources: Links::NONE,
        });
        self.edge_of.insert(key, edge);
        let origin = &mut self.gates[gates[ORIGIN]];
        origin.edges.push_back(&mut self.edges, edge);
        edge
    }
}
