//! The decision which reservations pass, which wait, and which are served when room or the privilege
//! becomes free.

use super::Budget;

impl Budget {
    /// Maximum that one account may need in order to pass rule 2.
    fn room(&self) -> u64 {
        let free = self.limit.saturating_sub(self.used);
        free.min((self.limit / 2).saturating_sub(self.unfinished))
    }

    /// The room that `bytes` more for this body need.
    fn need(&self, body: u32, bytes: u64) -> u64 {
        let body = &self.bodies[body];
        let used = self.accounts[body.account].used;
        if used == body.bytes {
            bytes
        } else {
            used.saturating_add(bytes)
        }
    }

    /// Checks rule 1. A privileged body of the account will complete and drain, so no other body needs to
    /// pass the limit beside it.
    fn account_passes(&self, at: u32, bytes: u64) -> bool {
        let index = self.bodies[at].account;
        let account = &self.accounts[index];
        let privileged_here = |body| body != at && self.bodies[body].account == index;
        account.used.saturating_add(bytes) <= account.limit
            || (account.complete == 0
                && account.unfinished.front() == Some(at)
                && !self.privileged.is_some_and(privileged_here))
    }

    /// Returns true if a new reservation need not wait. It does not overtake an older one of its account.
    pub(super) fn passes_at_once(&self, at: u32, bytes: u64) -> bool {
        if self.privileged == Some(at) || bytes == 0 {
            return true;
        }
        let body = &self.bodies[at];
        let in_front = self.accounts[body.account].waiting == 0
            || self
                .front(body.account)
                .is_none_or(|front| self.bodies[front].age > body.age);
        in_front && self.account_passes(at, bytes) && self.need(at, bytes) <= self.room()
    }

    /// The oldest waiting body of an account.
    fn front(&self, account: u32) -> Option<u32> {
        let mut from = self.waiting.range((account, 0, 0)..);
        from.next()
            .filter(|entry| entry.0 == account)
            .map(|entry| entry.2)
    }

    pub(super) fn wait(&mut self, at: u32, bytes: u64) {
        let body = &mut self.bodies[at];
        body.asked = Some(bytes);
        let account = body.account;
        self.waiting.insert((account, body.age, at));
        self.accounts[account].waiting += 1;
        self.update_candidate(account);
    }

    /// Removes a body from the waiting ones, and grants its reservation.
    fn stop_waiting(&mut self, at: u32) -> Option<u64> {
        let body = &mut self.bodies[at];
        let asked = body.asked.take()?;
        self.waiting.remove(&(body.account, body.age, at));
        self.accounts[body.account].waiting -= 1;
        Some(asked)
    }

    /// Updates an account's candidate after a change of the account.
    pub(super) fn update_candidate(&mut self, account: u32) {
        let old = self.accounts[account].candidate;
        if old.is_none() && self.accounts[account].waiting == 0 {
            return;
        }
        let new = self.front(account).and_then(|front| {
            let body = &self.bodies[front];
            let asked = body.asked?;
            self.account_passes(front, asked)
                .then(|| (self.need(front, asked), body.age, front))
        });
        if old == new {
            return;
        }
        self.accounts[account].candidate = new;
        if let Some((need, age, body)) = old {
            self.by_need.remove(&(need, age, body));
            self.by_age.remove(&(age, body));
        }
        if let Some((need, age, body)) = new {
            self.by_need.insert((need, age, body));
            self.by_age.insert((age, body));
        }
    }

    /// Grants everything that can be granted now.
    pub(super) fn serve(&mut self) {
        loop {
            let room = self.room();
            if let Some((_, _, body)) = self.by_need.first().filter(|first| first.0 <= room) {
                self.grant(*body);
            } else if self.privileged.is_none()
                && self.used <= self.limit
                && let Some((_, body)) = self.by_age.first().copied()
            {
                self.unfinished -= self.bodies[body].bytes;
                self.privileged = Some(body);
                self.grant(body);
            } else {
                return;
            }
        }
    }

    fn grant(&mut self, at: u32) {
        let Some(asked) = self.stop_waiting(at) else {
            return;
        };
        self.add(at, asked);
        self.update_candidate(self.bodies[at].account);
        let key = self.key(at);
        self.granted.push_back(key);
    }

    pub(super) fn add(&mut self, at: u32, bytes: u64) {
        let body = &mut self.bodies[at];
        body.bytes += bytes;
        self.used += bytes;
        self.accounts[body.account].used += bytes;
        if self.privileged != Some(at) {
            self.unfinished += bytes;
        }
    }

    pub(super) fn subtract(&mut self, at: u32, bytes: u64) {
        let body = &mut self.bodies[at];
        body.bytes -= bytes;
        self.used -= bytes;
        self.accounts[body.account].used -= bytes;
        if !body.complete && self.privileged != Some(at) {
            self.unfinished -= bytes;
        }
    }

    /// Removes a body from the unfinished ones.
    pub(super) fn end_reading(&mut self, at: u32) {
        self.stop_waiting(at);
        if self.privileged == Some(at) {
            self.privileged = None;
        } else {
            self.unfinished -= self.bodies[at].bytes;
        }
        let account = &mut self.accounts[self.bodies[at].account];
        account.unfinished.remove(&mut self.bodies, at);
    }
}
