//! The task behind a link: dials until a session is open, and drives the session until it ends, over as
//! many sockets as that takes.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use fetchway_policy::ErrorName;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout_at};

use super::binary::BinarySession;
use super::dial::{Dialed, Io, Subprotocol, dial};
use super::drive::{SocketEnd, drive};
use super::json::JsonSession;
use super::session::{Session, SessionState};
use super::state::{Link, Phase, RelaySession};
use crate::error::Error;
use crate::settings::Encoding;

impl Link {
    /// Starts dialling, unless the link is closed, open or being dialled. The task holds `alive` until
    /// all that it started has ended, by itself or because `true` was sent.
    pub(crate) fn open(self: &Arc<Self>, alive: &watch::Receiver<bool>) {
        let mut state = self.lock();
        if state.closed || !matches!(state.phase, Phase::Idle) {
            return;
        }
        state.phase = Phase::Dialing;
        state.unreached = None;
        state.task += 1;
        let task = Task {
            link: Arc::clone(self),
            number: state.task,
        };
        let mut alive = alive.clone();
        // The lock is held, so the task waits until its handle is stored.
        let handle = tokio::spawn(async move {
            tokio::select! {
                () = task.run() => {}
                Ok(_) = alive.wait_for(|ended| *ended) => {}
                // The client was dropped: its sockets end with their last fetches.
            }
        });
        state.dialing = Some(handle.abort_handle());
    }
}

/// A task that opens a link and drives its session. However the task ends, the link becomes idle.
struct Task {
    link: Arc<Link>,
    number: u64,
}

/// Ends a session together with the task that drives it, also when the runtime shuts down.
struct EndOnDrop<'a, S: SessionState>(&'a Session<S>);

impl<S: SessionState> Drop for EndOnDrop<'_, S> {
    fn drop(&mut self) {
        self.0.end("its task has ended");
    }
}

impl Task {
    async fn run(self) {
        let Some(dialed) = self.dial().await else {
            return;
        };
        let link = &*self.link;
        let queue = Arc::clone(&link.queue);
        let Dialed {
            io,
            buffered,
            subprotocol,
        } = dialed;
        if subprotocol == Subprotocol::Binary {
            let session = BinarySession::new(&link.settings, queue);
            if self.publish(RelaySession::Binary(Arc::clone(&session))) {
                let _end = EndOnDrop(&*session);
                self.finish(&session, &self.run_binary(&session, io, buffered).await);
            }
        } else {
            if link.settings.encoding == Encoding::Auto {
                tracing::info!(relay = %link.target, "the relay does not support fetchway.v1: using JSON, without resumption");
            }
            let has_base64 = subprotocol == Subprotocol::Json;
            let session = JsonSession::new(&link.settings, queue, has_base64);
            if self.publish(RelaySession::Json(Arc::clone(&session))) {
                let _end = EndOnDrop(&*session);
                self.finish(&session, &drive(&*session, io, buffered).await);
            }
        }
    }

    /// Dials until a socket is open. Returns `None` if dialling fails and no fetch waits for the relay.
    async fn dial(&self) -> Option<Dialed> {
        let link = &*self.link;
        loop {
            let not_before = link.lock().not_before;
            if let Some(at) = not_before {
                sleep_until(at.into()).await;
            }
            match dial(&link.target, &link.settings, link.settings.encoding).await {
                Ok(dialed) => return Some(dialed),
                Err(unreached) => {
                    let error = &unreached.error;
                    tracing::debug!(relay = %link.target, %error, "dial failed");
                    let mut state = link.lock();
                    state.trouble = Some(error.clone());
                    state.unreached = Some(unreached);
                    link.postpone_dial(&mut state);
                    let closed = state.closed;
                    drop(state);
                    link.queue.relay_changed();
                    if closed || !link.queue.is_wanted() {
                        return None;
                    }
                }
            }
        }
    }

    /// Makes the session available to fetches. Returns false if the client was closed meanwhile.
    fn publish(&self, session: RelaySession) -> bool {
        let mut state = self.link.lock();
        if state.closed {
            return false;
        }
        state.phase = Phase::Live(session);
        (state.dialing, state.unreached, state.trouble) = (None, None, None);
        drop(state);
        self.link.queue.relay_changed();
        true
    }

    /// Ends the session, and keeps why it was lost for `RelayWatch`. A session that ended as it should says
    /// nothing about the relay.
    fn finish<S: SessionState>(&self, session: &Session<S>, end: &SocketEnd) {
        let target = &self.link.target;
        let why = match end {
            SocketEnd::Closed => "closed, as no fetch was left",
            SocketEnd::Lost(why) | SocketEnd::SessionOver(why) => why,
        };
        session.end(&format!("{target}: {why}"));
        if let SocketEnd::Lost(why) = end {
            let detail = format!("The relay {target} was lost: {why}.");
            let lost = Error::new(ErrorName::DestinationUnavailable, detail);
            self.link.lock().trouble = Some(lost);
        }
        tracing::debug!(relay = %target, why, "session ended");
    }

    /// Drives a binary session over one socket after the other. Returns how it ended.
    async fn run_binary(&self, session: &BinarySession, io: Io, buffered: BytesMut) -> SocketEnd {
        let mut next = (io, buffered);
        loop {
            let why = match drive(session, next.0, next.1).await {
                SocketEnd::Lost(why) => why,
                end => return end,
            };
            let Some(parked) = session.park(self.link.settings.resume_within) else {
                return SocketEnd::Lost(why);
            };
            tracing::debug!(relay = %self.link.target, why, "socket lost, resuming the session");
            match self.redial(session, parked.until).await {
                Some(dialed) => next = (dialed.io, dialed.buffered),
                None => {
                    let waited = parked.until.saturating_duration_since(parked.since);
                    let why = format!("{why}; not resumed within {waited:?}");
                    return SocketEnd::Lost(why);
                }
            }
        }
    }

    /// Dials the next socket of a session, until `until`.
    async fn redial(&self, session: &BinarySession, until: Instant) -> Option<Dialed> {
        let link = &*self.link;
        loop {
            // The first dial waits as well: clients that lost a relay together should not return together.
            let at = Instant::now() + link.backoff(session.count_redial());
            if at >= until {
                sleep_until(until.into()).await;
                return None;
            }
            sleep_until(at.into()).await;
            // Only the binary encoding resumes. A server that has it no more may have it again later.
            let dialing = dial(&link.target, &link.settings, Encoding::Binary);
            match timeout_at(until.into(), dialing).await {
                Err(_) => return None,
                Ok(Err(unreached)) => {
                    let error = &unreached.error;
                    tracing::debug!(relay = %link.target, %error, "redial failed");
                    let mut state = link.lock();
                    state.trouble = Some(error.clone());
                    state.unreached = Some(unreached);
                    drop(state);
                    link.queue.relay_changed();
                }
                Ok(Ok(dialed)) => {
                    let mut state = link.lock();
                    (state.unreached, state.trouble) = (None, None);
                    drop(state);
                    let greeting_due = Instant::now() + link.settings.connect_timeout;
                    return session.unpark(greeting_due.min(until)).then_some(dialed);
                }
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        if state.task == self.number {
            state.dialing = None;
            self.link.give_up_session(&mut state);
        }
        drop(state);
        // A waiting fetch may open this link again, or another.
        self.link.queue.relay_changed();
    }
}
