//! Finds sessions by their tokens, and bounds those that have no socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchway_wire::v1::TOKEN;

use super::session::Session;

/// Tokens of one session that are good at a time: the one that its client is known to have, and those
/// that it may have been given since.
const MAX_TOKENS: usize = 16;

/// The sessions of a relay.
#[derive(Default)]
pub(crate) struct Directory {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_token: HashMap<[u8; TOKEN], Arc<Session>>,
    /// Those without a socket, by credential; the oldest first.
    parked: HashMap<Arc<str>, Vec<Arc<Session>>>,
}

impl Directory {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, session: &Arc<Session>, token: [u8; TOKEN]) {
        self.known().by_token.insert(token, session.clone());
    }

    /// The session of a token, if it was opened with the same credential.
    pub(super) fn find(&self, token: &[u8; TOKEN], client: &str) -> Option<Arc<Session>> {
        let known = self.known();
        let session = known.by_token.get(token)?;
        (*session.principal.name == *client).then(|| session.clone())
    }

    /// The session has a socket again, and `token` for the next time. The client knows the one that it
    /// `used`, and perhaps any that it was given since: HELLOs get lost, and those of sockets that died
    /// may be read after the ones of sockets that live. Those from before are good no more.
    pub(super) fn resumed(&self, session: &Arc<Session>, used: &[u8; TOKEN], token: [u8; TOKEN]) {
        let mut known = self.known();
        known.unpark(session);
        known.keep_since(session, used);
        known.by_token.insert(token, session.clone());
        let mut state = session.lock();
        state.tokens.push(token);
        if state.tokens.len() > MAX_TOKENS {
            let oldest = state.tokens.remove(1);
            known.by_token.remove(&oldest);
        }
    }

    /// The client has shown that it knows `token`: none from before is good any more.
    pub(super) fn confirm(&self, session: &Session, token: &[u8; TOKEN]) {
        self.known().keep_since(session, token);
    }

    /// The session has no socket now. If its credential then has too many, the oldest end.
    pub(super) fn park(&self, session: &Arc<Session>) {
        let mut known = self.known();
        let name = session.principal.name.clone();
        known.unpark(session);
        known.parked.entry(name).or_default().push(session.clone());
        known.trim(session);
    }

    /// Ends what is over the bounds: what is parked may go on to receive.
    pub(super) fn trim(&self, session: &Session) {
        self.known().trim(session);
    }

    /// The session is over.
    pub(super) fn remove(&self, session: &Arc<Session>) {
        let mut known = self.known();
        known.unpark(session);
        let tokens = std::mem::take(&mut session.lock().tokens);
        for token in tokens {
            known.by_token.remove(&token);
        }
    }
}

impl Known {
    /// Forgets the tokens that a session was given before `token`.
    fn keep_since(&mut self, session: &Session, token: &[u8; TOKEN]) {
        let mut state = session.lock();
        let since = state.tokens.iter().position(|known| known == token);
        for old in state.tokens.drain(..since.unwrap_or(0)) {
            self.by_token.remove(&old);
        }
    }

    fn unpark(&mut self, session: &Arc<Session>) {
        let name = &session.principal.name;
        if let Some(parked) = self.parked.get_mut(name) {
            parked.retain(|other| !Arc::ptr_eq(other, session));
            if parked.is_empty() {
                self.parked.remove(name);
            }
        }
    }

    fn trim(&mut self, session: &Session) {
        let limits = &session.principal.limits.binary;
        let Some(parked) = self.parked.get_mut(&session.principal.name) else {
            return;
        };
        let held = |session: &Arc<Session>| session.lock().machine.held();
        let mut bytes: u64 = parked.iter().map(held).sum();
        while parked.len() > limits.parked || bytes > limits.parked_bytes as u64 {
            if parked.is_empty() {
                break;
            }
            let oldest = parked.remove(0);
            bytes -= held(&oldest).min(bytes);
            oldest.evicted.notify_one();
        }
    }
}
