//! Who passes, who waits, and who is served when room or a privilege comes free.

use super::Budget;

impl Budget {
    /// What one session may need at most in order to pass rule 2.
    fn room(&self) -> u64 {
        let free = self.limit.saturating_sub(self.used);
        free.min((self.limit / 2).saturating_sub(self.unfinished))
    }

    /// The room that `bytes` more for this body need.
    fn need(&self, body: u32, bytes: u64) -> u64 {
        let body = &self.bodies[body];
        let used = self.sessions[body.session].used;
        if used == body.bytes {
            bytes
        } else {
            used.saturating_add(bytes)
        }
    }

    /// Rule 1. A privileged body of the session will complete and drain, so no other need pass
    /// the limit beside it.
    fn session_passes(&self, at: u32, bytes: u64) -> bool {
        let index = self.bodies[at].session;
        let session = &self.sessions[index];
        let privileged_here = |body| body != at && self.bodies[body].session == index;
        session.used.saturating_add(bytes) <= session.limit
            || (session.complete == 0
                && session.unfinished.front() == Some(at)
                && !self.privileged.is_some_and(privileged_here))
    }

    /// Whether a new reservation need not wait. It overtakes no older one of its session.
    pub(super) fn passes_at_once(&self, at: u32, bytes: u64) -> bool {
        if self.privileged == Some(at) || bytes == 0 {
            return true;
        }
        let body = &self.bodies[at];
        let in_front = self.sessions[body.session].waiting == 0
            || self
                .front(body.session)
                .is_none_or(|front| self.bodies[front].age > body.age);
        in_front && self.session_passes(at, bytes) && self.need(at, bytes) <= self.room()
    }

    /// The oldest body of a session that waits.
    fn front(&self, session: u32) -> Option<u32> {
        let mut from = self.waiting.range((session, 0, 0)..);
        from.next()
            .filter(|entry| entry.0 == session)
            .map(|entry| entry.2)
    }

    pub(super) fn wait(&mut self, at: u32, bytes: u64) {
        let body = &mut self.bodies[at];
        body.asked = Some(bytes);
        let session = body.session;
        self.waiting.insert((session, body.age, at));
        self.sessions[session].waiting += 1;
        self.update_candidate(session);
    }

    /// Takes a body out of those that wait, and gives what it asked for.
    fn stop_waiting(&mut self, at: u32) -> Option<u64> {
        let body = &mut self.bodies[at];
        let asked = body.asked.take()?;
        self.waiting.remove(&(body.session, body.age, at));
        self.sessions[body.session].waiting -= 1;
        Some(asked)
    }

    /// Brings a session's candidate up to date after anything about the session has changed.
    pub(super) fn update_candidate(&mut self, session: u32) {
        let old = self.sessions[session].candidate;
        if old.is_none() && self.sessions[session].waiting == 0 {
            return;
        }
        let new = self.front(session).and_then(|front| {
            let body = &self.bodies[front];
            let asked = body.asked?;
            self.session_passes(front, asked)
                .then(|| (self.need(front, asked), body.age, front))
        });
        if old == new {
            return;
        }
        self.sessions[session].candidate = new;
        if let Some((need, age, body)) = old {
            self.by_need.remove(&(need, age, body));
            self.by_age.remove(&(age, body));
        }
        if let Some((need, age, body)) = new {
            self.by_need.insert((need, age, body));
            self.by_age.insert((age, body));
        }
    }

    /// Grants all that can be granted now.
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
        self.update_candidate(self.bodies[at].session);
        let key = self.key(at);
        self.granted.push_back(key);
    }

    pub(super) fn add(&mut self, at: u32, bytes: u64) {
        let body = &mut self.bodies[at];
        body.bytes += bytes;
        self.used += bytes;
        self.sessions[body.session].used += bytes;
        if self.privileged != Some(at) {
            self.unfinished += bytes;
        }
    }

    pub(super) fn subtract(&mut self, at: u32, bytes: u64) {
        let body = &mut self.bodies[at];
        body.bytes -= bytes;
        self.used -= bytes;
        self.sessions[body.session].used -= bytes;
        if !body.complete && self.privileged != Some(at) {
            self.unfinished -= bytes;
        }
    }

    /// Takes a body out of the unfinished ones.
    pub(super) fn end_reading(&mut self, at: u32) {
        self.stop_waiting(at);
        if self.privileged == Some(at) {
            self.privileged = None;
        } else {
            self.unfinished -= self.bodies[at].bytes;
        }
        let session = &mut self.sessions[self.bodies[at].session];
        session.unfinished.remove(&mut self.bodies, at);
    }
}
