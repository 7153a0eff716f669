//! Finds sessions by their tokens, and bounds the number and memory of sessions without a socket.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fetchway_service::Place;
use fetchway_wire::v1::TOKEN;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::session::Session;

/// Interval of the checks that a credential's sessions without a socket keep within their bounds: they
/// may still receive answers.
pub(super) const TRIM: Duration = Duration::from_secs(1);

/// Maximum number of valid tokens of one session: the one that its client is known to have, and newer ones
/// that may not have reached the client.
const MAX_TOKENS: usize = 16;

/// The sessions of a relay.
#[derive(Default)]
pub(crate) struct Directory {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_token: HashMap<[u8; TOKEN], Arc<Session>>,
    /// Sessions without a socket, by credential.
    parked: HashMap<Arc<str>, Parked>,
}

/// The sessions of one credential that have no socket. Some of them may just have got one.
struct Parked {
    /// The oldest first.
    sessions: VecDeque<Arc<Session>>,
    /// Time of the last check against the bounds.
    trimmed: Instant,
}

impl Directory {
    pub(super) fn add(&self, session: &Arc<Session>, token: [u8; TOKEN]) {
        self.known.lock().by_token.insert(token, session.clone());
    }

    /// Returns the session of a token, if it was opened with the same credential.
    pub(super) fn find(&self, token: &[u8; TOKEN], client: &str) -> Option<Arc<Session>> {
        let known = self.known.lock();
        let session = known.by_token.get(token)?;
        (*session.principal.name == *client).then(|| session.clone())
    }

    /// Records that the session has a socket again, and `token` for its next resume. Tokens older than the one
    /// that the client `used` become invalid. The client may know any newer one: HELLOs get lost, and the HELLO
    /// of a dead socket may be read after the one of a living socket.
    pub(super) fn resumed(&self, session: &Arc<Session>, used: &[u8; TOKEN], token: [u8; TOKEN]) {
        let mut known = self.known.lock();
        known.unpark(session);
        known.keep_since(session, used);
        let mut state = session.lock();
        if state.over {
            return;
        }
        known.by_token.insert(token, session.clone());
        state.tokens.push(token);
        if state.tokens.len() > MAX_TOKENS {
            let oldest = state.tokens.remove(1);
            known.by_token.remove(&oldest);
        }
    }

    /// Records that the client knows `token`. Older tokens become invalid.
    pub(super) fn confirm(&self, session: &Session, token: &[u8; TOKEN]) {
        self.known.lock().keep_since(session, token);
    }

    /// Records that the session has no socket. If its credential then has too many such sessions, the oldest
    /// end.
    pub(super) fn park(&self, session: &Arc<Session>) {
        let mut known = self.known.lock();
        known.unpark(session);
        if session.lock().socket.is_some() {
            // The next socket has come already.
            return;
        }
        let name = session.principal.name.clone();
        let parked = known.parked.entry(name).or_insert_with(|| Parked {
            sessions: VecDeque::new(),
            trimmed: Instant::now(),
        });
        parked.sessions.push_back(session.clone());
        known.trim(session);
    }

    /// Ends the oldest sessions of a credential beyond the bounds. Every parked session calls this, and one
    /// call per [`TRIM`] does the work.
    pub(super) fn trim(&self, session: &Session) {
        let mut known = self.known.lock();
        let parked = known.parked.get(&session.principal.name);
        if parked.is_some_and(|parked| parked.trimmed.elapsed() >= TRIM) {
            known.trim(session);
        }
    }

    /// Ends the session of a credential that has been without a socket for longest, and returns its place.
    pub(super) fn displace(&self, name: &str) -> Option<Place> {
        let mut known = self.known.lock();
        let parked = &mut known.parked.get_mut(name)?.sessions;
        while let Some(oldest) = parked.pop_front() {
            if let Some(place) = oldest.evict() {
                return Some(place);
            }
        }
        None
    }

    /// Removes a session that is over.
    pub(super) fn remove(&self, session: &Arc<Session>) {
        let mut known = self.known.lock();
        known.unpark(session);
        let tokens = std::mem::take(&mut session.lock().tokens);
        for token in tokens {
            known.by_token.remove(&token);
        }
    }
}

impl Known {
    /// Removes the tokens of a session that are older than `token`.
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
            let sessions = &mut parked.sessions;
            sessions.retain(|other| !Arc::ptr_eq(other, session));
            if sessions.is_empty() {
                self.parked.remove(name);
            }
        }
    }

    fn trim(&mut self, session: &Session) {
        let limits = &session.principal.limits.binary;
        let Some(parked) = self.parked.get_mut(&session.principal.name) else {
            return;
        };
        parked.trimmed = Instant::now();
        let sessions = &mut parked.sessions;
        let mut bytes: u64 = sessions.iter().map(|session| weight(session)).sum();
        while (sessions.len() > limits.parked || bytes > limits.parked_bytes as u64)
            && let Some(oldest) = sessions.pop_front()
        {
            bytes -= weight(&oldest).min(bytes);
            // This gives the place back. A session that has a socket again stays.
            drop(oldest.evict());
        }
    }
}

/// Returns the bytes that a session without a socket holds: answers for its client, and request bodies that
/// no origin has taken yet. 0 for a session that has a socket again.
fn weight(session: &Session) -> u64 {
    let state = session.lock();
    match state.socket {
        Some(_) => 0,
        None => state.machine.held() + state.machine.unread(),
    }
}

#[cfg(test)]
mod tests {
    use fetchway_fetch::{Engine, EngineConfig, NoObserver};
    use fetchway_policy::guard::AddressPolicy;
    use fetchway_service::{
        BinaryLimits, Limits, PlaceCounts, Places, Principal, Shutdown, StreamServices,
    };
    use fetchway_wire::v1::{self, Config, Hello};
    use futures_util::FutureExt as _;

    use super::super::socket::Socket;
    use super::*;
    use crate::{NoSessionObserver, Relay};

    fn session(relay: &Relay, parked: usize) -> Arc<Session> {
        let binary = BinaryLimits {
            parked,
            ..BinaryLimits::default()
        };
        let principal = Principal {
            name: "test".into(),
            limits: Limits {
                binary,
                ..Limits::default()
            },
            policy: Arc::new(AddressPolicy::default()),
            lanes: None,
            places: Places::new(PlaceCounts {
                sessions: 1,
                sockets: 0,
                batches: 0,
            }),
        };
        let machine = v1::Session::relay(Config::default(), &Hello::default(), [1; TOKEN], None);
        let account = relay.account(&principal);
        let place = principal.places.session().expect("a place is free");
        Arc::new(Session::new(
            account,
            principal,
            StreamServices::default(),
            machine,
            ([1; TOKEN], place),
        ))
    }

    fn relay() -> Relay {
        let engine = Engine::new(EngineConfig::default(), Arc::new(NoObserver));
        Relay::new(
            engine.expect("the defaults work"),
            Arc::new(NoSessionObserver),
            StreamServices::default(),
            Shutdown::default(),
        )
    }

    fn parked(directory: &Directory) -> usize {
        let known = directory.known.lock();
        known
            .parked
            .values()
            .map(|parked| parked.sessions.len())
            .sum()
    }

    /// Between the loss of its socket and this it may have got the next one.
    #[tokio::test]
    async fn a_session_with_a_socket_is_not_parked() {
        let (relay, directory) = (relay(), Directory::default());
        let session = session(&relay, 10);
        session.lock().socket = Some(Arc::new(Socket::default()));
        directory.park(&session);
        assert_eq!(parked(&directory), 0);
        session.lock().socket = None;
        directory.park(&session);
        directory.park(&session);
        assert_eq!(parked(&directory), 1);
    }

    #[tokio::test]
    async fn a_session_that_got_a_socket_is_not_evicted() {
        let (relay, directory) = (relay(), Directory::default());
        let sessions = [(); 2].map(|()| session(&relay, 10));
        for session in &sessions {
            directory.park(session);
        }
        sessions[0].lock().socket = Some(Arc::new(Socket::default()));
        let place = directory.displace("test");
        assert!(place.is_some(), "the other one's");
        assert!(!sessions[0].lock().over && sessions[1].lock().over);
        let told = |session: &Session| session.evicted.notified().now_or_never().is_some();
        assert!(!told(&sessions[0]) && told(&sessions[1]));
        assert!(directory.displace("test").is_none());
        // It can be resumed under none of its tokens, whoever comes too late.
        directory.resumed(&sessions[1], &[1; TOKEN], [2; TOKEN]);
        assert!(directory.find(&[2; TOKEN], "test").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_credentials_sessions_are_looked_at_once_a_second() {
        let (relay, directory) = (relay(), Directory::default());
        let sessions = [(); 3].map(|()| session(&relay, 10));
        for session in &sessions {
            directory.park(session);
        }
        let trimmed = || directory.known.lock().parked["test"].trimmed;
        let first = trimmed();
        let mut seen = Vec::new();
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(100)).await;
            for session in &sessions {
                directory.trim(session);
                seen.push(trimmed() - first);
            }
        }
        seen.dedup();
        let seconds: Vec<u64> = seen.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 1, 2]);
    }
}
