//! The byte budget: a pure machine that decides which response bodies may be read into the memory of
//! the node.
//!
//! A body that must be whole before it can be answered reserves its bytes *before* they are read,
//! and holds them until its answer is written. A body passes through these states:
//!
//! ```text
//!            reserve                complete            release
//!   begin ──▶ reading ◀──▶ waiting ────────▶ complete ────────▶ gone
//!                └───────────┴──── release (failed, cancelled) ──▶
//! ```
//!
//! # Rules
//!
//! A reservation of `n` bytes is granted when
//! 1. the account has them: its bytes + `n` are within its limit, or nothing of it is complete, so
//!    that nothing will drain, and this is its oldest unfinished body; and
//! 2. the node has them: the account's bytes + `n` are at most the room left, so that an account
//!    takes at most what it leaves to others. The account's only holder needs just `n`. The room is
//!    what is free of the node's limit, and at most what unfinished bodies leave of its half.
//!
//! Otherwise it waits. Within an account the oldest waits in front; among accounts the one that
//! needs the least room is served first. One body at a time is *privileged*: the oldest of those
//! in front that fail only at rule 2. From then on it gets all it asks for, until it is complete.
//!
//! # Bounds
//!
//! With `cap` the most bytes that one body reserves (the caller enforces it, 32 MiB for answers):
//! - the node holds at most its limit + `cap`: a privilege begins only within the limit;
//! - an account holds at most its limit + `cap`;
//! - unfinished bodies, the privileged one aside, hold at most half of the node's limit.
//!
//! # Progress
//!
//! If every complete answer is in the end written or released, every body completes, in whatever
//! order: when all unfinished bodies wait and nothing is left to drain, the oldest is privileged.
//! Accounts whose readers have stopped for good delay others but cannot stop them as long as the
//! sum of (account limit + `cap`) over the stopped accounts is at most half of the node's limit:
//! the other half is never filled by unfinished bodies, so the next privilege always comes.

mod wait;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use crate::slab::{Linked, Links, List, Slab};

/// An account with bodies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountKey {
    slot: u32,
    generation: u32,
}

/// A body, from [`Budget::begin`] to [`Budget::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyKey {
    slot: u32,
    generation: u32,
}

/// The answer to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// The bytes may be read.
    Granted,
    /// The body must wait until [`Budget::next_granted`] returns it, which may be at once.
    Waiting,
}

#[derive(Debug)]
struct Account {
    limit: u64,
    used: u64,
    bodies: usize,
    /// Bodies that are complete and wait for the account's reader.
    complete: usize,
    waiting: usize,
    /// Unfinished bodies by age, in the order in which they began.
    unfinished: List<Unfinished>,
    /// The first waiting body of the account, if rule 1 lets it pass: needed room, age, body.
    candidate: Option<(u64, u64, u32)>,
    closing: bool,
}

#[derive(Debug)]
struct Body {
    account: u32,
    age: u64,
    bytes: u64,
    /// The reservation that waits.
    asked: Option<u64>,
    complete: bool,
    links: Links,
}

/// The unfinished bodies of one account.
#[derive(Debug)]
struct Unfinished;

impl Linked<Unfinished> for Body {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The machine. A reservation that need not wait costs no search.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: u64,
    /// Bytes of unfinished bodies, without the privileged one.
    unfinished: u64,
    privileged: Option<u32>,
    accounts: Slab<Account>,
    bodies: Slab<Body>,
    /// Waiting bodies by account and age. The first entry of an account is its oldest.
    waiting: BTreeSet<(u32, u64, u32)>,
    /// The candidates of the accounts, by need and by age.
    by_need: BTreeSet<(u64, u64, u32)>,
    by_age: BTreeSet<(u64, u32)>,
    granted: VecDeque<BodyKey>,
    begun: u64,
}

impl Budget {
    /// Returns a budget of `limit` bytes for the node, which should be well above the size of the largest
    /// body.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            unfinished: 0,
            privileged: None,
            accounts: Slab::new(),
            bodies: Slab::new(),
            waiting: BTreeSet::new(),
            by_need: BTreeSet::new(),
            by_age: BTreeSet::new(),
            granted: VecDeque::new(),
            begun: 0,
        }
    }

    /// Adds an account that may hold `limit` bytes.
    pub fn open_account(&mut self, limit: u64) -> AccountKey {
        let slot = self.accounts.insert(Account {
            limit,
            used: 0,
            bodies: 0,
            complete: 0,
            waiting: 0,
            unfinished: List::new(),
            candidate: None,
            closing: false,
        });
        AccountKey {
            slot,
            generation: self.accounts.generation(slot),
        }
    }

    /// Ends an account, which is removed with its last body.
    pub fn close_account(&mut self, account: AccountKey) {
        if self.knows_account(account) {
            self.accounts[account.slot].closing = true;
            self.drop_closed_account(account.slot);
        }
    }

    /// Begins a body, which will be read whole. The order of these calls is the order of age. A body that
    /// begins after its account has gone gets an account of its own, because it still counts for the node.
    pub fn begin(&mut self, account: AccountKey) -> BodyKey {
        let at = if self.knows_account(account) {
            account.slot
        } else {
            let own = self.open_account(0).slot;
            self.accounts[own].closing = true;
            own
        };
        self.begun += 1;
        let slot = self.bodies.insert(Body {
            account: at,
            age: self.begun,
            bytes: 0,
            asked: None,
            complete: false,
            links: Links::NONE,
        });
        let account = &mut self.accounts[at];
        account.bodies += 1;
        account.unfinished.push_back(&mut self.bodies, slot);
        self.key(slot)
    }

    /// Reserves `bytes` more for a body, before they are read.
    ///
    /// # Panics
    /// If the body is complete or released, or its last reservation still waits.
    pub fn reserve(&mut self, body: BodyKey, bytes: u64) -> Reserve {
        assert!(
            self.knows_body(body),
            "bytes were reserved for a released body"
        );
        let at = body.slot;
        assert!(
            !self.bodies[at].complete && self.bodies[at].asked.is_none(),
            "bytes were reserved for a body that is complete or waits"
        );
        if self.passes_at_once(at, bytes) {
            self.add(at, bytes);
            self.update_candidate(self.bodies[at].account);
            return Reserve::Granted;
        }
        self.wait(at, bytes);
        self.serve();
        Reserve::Waiting
    }

    /// Returns bytes that a body has reserved and does not need.
    pub fn return_unused(&mut self, body: BodyKey, bytes: u64) {
        if self.knows_body(body) {
            self.subtract(body.slot, bytes.min(self.bodies[body.slot].bytes));
            self.update_candidate(self.bodies[body.slot].account);
            self.serve();
        }
    }

    /// Records that the body is complete. Its bytes now wait for its reader.
    pub fn complete(&mut self, body: BodyKey) {
        if self.knows_body(body) && !self.bodies[body.slot].complete {
            self.end_reading(body.slot);
            let body = &mut self.bodies[body.slot];
            body.complete = true;
            let account = body.account;
            self.accounts[account].complete += 1;
            self.update_candidate(account);
            self.serve();
        }
    }

    /// Ends a body in any state, and returns all its bytes: its answer is written, or its fetch has ended
    /// otherwise. A body that was released before is ignored.
    pub fn release(&mut self, body: BodyKey) {
        if !self.knows_body(body) {
            return;
        }
        let at = body.slot;
        let account = self.bodies[at].account;
        if self.bodies[at].complete {
            self.accounts[account].complete -= 1;
        } else {
            self.end_reading(at);
            // The bytes subtracted below no longer belong to an unfinished body.
            self.bodies[at].complete = true;
        }
        self.subtract(at, self.bodies[at].bytes);
        self.bodies.remove(at);
        self.accounts[account].bodies -= 1;
        self.update_candidate(account);
        self.drop_closed_account(account);
        self.serve();
    }

    /// Returns the next body whose waiting reservation was granted, and which is not released yet.
    pub fn next_granted(&mut self) -> Option<BodyKey> {
        while let Some(body) = self.granted.pop_front() {
            if self.knows_body(body) {
                return Some(body);
            }
        }
        None
    }

    /// Bytes held by all bodies.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes held by an account; 0 for one that is gone.
    #[must_use]
    pub fn account_used(&self, account: AccountKey) -> u64 {
        if self.knows_account(account) {
            self.accounts[account.slot].used
        } else {
            0
        }
    }

    fn key(&self, slot: u32) -> BodyKey {
        BodyKey {
            slot,
            generation: self.bodies.generation(slot),
        }
    }

    fn knows_body(&self, body: BodyKey) -> bool {
        self.bodies.holds(body.slot, body.generation)
    }

    fn knows_account(&self, account: AccountKey) -> bool {
        self.accounts.holds(account.slot, account.generation)
    }

    fn drop_closed_account(&mut self, at: u32) {
        if self.accounts[at].closing && self.accounts[at].bodies == 0 {
            self.accounts.remove(at);
        }
    }
}
