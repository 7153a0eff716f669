//! The task behind a link: it dials until it has a session, and stays with it until that is over,
//! over as many sockets as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use fetchway_policy::ErrorName;
use tokio::time::{sleep_until, timeout_at};

use super::dial::{Dialed, Io, Speaks, dial};
use super::drive::{Ended, drive};
use super::line::Line;
use super::socket::Socket;
use super::text::Text;
use super::{Carrier, Link, Phase};
use crate::builder::Encoding;
use crate::error::Error;

/// A task that opens a link. However it ends, the link is not left waiting for it.
pub(super) struct Task {
    link: Arc<Link>,
    number: u64,
}

/// A session ends with whoever drives it, a runtime that is shut down included.
struct Keeper<'a>(&'a Line);

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.0.lose("its task has ended");
    }
}

/// The same for a socket of the JSON encoding.
struct TextKeeper<'a>(&'a Text);

impl Drop for TextKeeper<'_> {
    fn drop(&mut self) {
        self.0.lose("its task has ended");
    }
}

impl Task {
    pub(super) fn new(link: Arc<Link>, number: u64) -> Self {
        Self { link, number }
    }

    pub(super) async fn run(self) {
        let Some(dialed) = self.dial().await else {
            return;
        };
        let link = &*self.link;
        let Dialed { io, rest, speaks } = dialed;
        if speaks == Speaks::Binary {
            let line = Line::new(&link.settings, Arc::clone(&link.queue));
            if self.is_live(Carrier::Line(Arc::clone(&line))) {
                let keeper = Keeper(&line);
                let ended = self.session(&line, io, rest).await;
                let why = why(&ended);
                line.lose(&format!("{}: {why}", link.target));
                drop(keeper);
                self.note(&ended);
                tracing::debug!(relay = %link.target, why, "a session ended");
            }
        } else {
            if link.settings.encoding == Encoding::Auto {
                tracing::info!(relay = %link.target, "no fetchway.v1 there: JSON it is, and nothing resumes");
            }
            let has_base64 = speaks == Speaks::Json;
            let text = Text::new(&link.settings, Arc::clone(&link.queue), has_base64);
            if self.is_live(Carrier::Text(Arc::clone(&text))) {
                let keeper = TextKeeper(&text);
                let ended = drive(&*text, io, rest).await;
                let why = why(&ended);
                text.lose(&format!("{}: {why}", link.target));
                drop(keeper);
                self.note(&ended);
                tracing::debug!(relay = %link.target, why, "a JSON socket ended");
            }
        }
    }

    /// A first socket. `None` if it can't be had, and nobody waits for it.
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
                    tracing::debug!(relay = %link.target, %error, "not reached");
                    let mut state = link.lock();
                    state.trouble = Some(error.clone());
                    state.error = Some(unreached);
                    link.postpone(&mut state);
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

    /// The link is open; `false` if the client is gone.
    fn is_live(&self, carrier: Carrier) -> bool {
        let mut state = self.link.lock();
        if state.closed {
            return false;
        }
        state.phase = Phase::Live(carrier);
        (state.dialing, state.error, state.trouble) = (None, None, None);
        drop(state);
        self.link.queue.relay_changed();
        true
    }

    /// Keeps why a session was lost, for those who watch. One that ended as it should tells nothing of
    /// the relay.
    fn note(&self, ended: &Ended) {
        if let Ended::Lost(why) = ended {
            let detail = format!("The relay {} was lost: {why}.", self.link.target);
            let lost = Error::new(ErrorName::DestinationUnavailable, detail);
            self.link.lock().trouble = Some(lost);
        }
    }

    /// Runs a session over one socket after the other. Says how it ended.
    async fn session(&self, line: &Line, io: Io, rest: BytesMut) -> Ended {
        let mut next = (io, rest);
        loop {
            let why = match drive(line, next.0, next.1).await {
                Ended::Lost(why) => why,
                ended => return ended,
            };
            let Some((lost, until)) = line.park(self.link.settings.resume_within) else {
                return Ended::Lost(why);
            };
            tracing::debug!(relay = %self.link.target, why, "a socket was lost");
            match self.again(line, until).await {
                Some(dialed) => next = (dialed.io, dialed.rest),
                None => {
                    let waited = until.saturating_duration_since(lost);
                    let why = format!("{why}; it did not come back within {waited:?}");
                    return Ended::Lost(why);
                }
            }
        }
    }

    /// The next socket of a session, until its time is over.
    async fn again(&self, line: &Line, until: Instant) -> Option<Dialed> {
        let link = &*self.link;
        loop {
            // Also the first: whoever lost a relay together should not come back together.
            let at = Instant::now() + link.pause(line.tries().saturating_add(1));
            if at >= until {
                sleep_until(until.into()).await;
                return None;
            }
            sleep_until(at.into()).await;
            // Whatever else is spoken there now, the session is not there. It may come back.
            let dialing = dial(&link.target, &link.settings, Encoding::Binary);
            match timeout_at(until.into(), dialing).await {
                Err(_) => return None,
                Ok(Err(unreached)) => {
                    let error = &unreached.error;
                    tracing::debug!(relay = %link.target, %error, "not reached again");
                    let mut state = link.lock();
                    state.trouble = Some(error.clone());
                    state.error = Some(unreached);
                    drop(state);
                    link.queue.relay_changed();
                }
                Ok(Ok(dialed)) => {
                    let mut state = link.lock();
                    (state.error, state.trouble) = (None, None);
                    drop(state);
                    let greeted_by = Instant::now() + link.settings.connect_timeout;
                    return line.unpark(greeted_by.min(until)).then_some(dialed);
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
            self.link.release(&mut state);
        }
        drop(state);
        // Whoever waits may open it again, or another.
        self.link.queue.relay_changed();
    }
}

impl Line {
    /// The socket is gone. Since when, and until when the session may be resumed; `None` if it can't
    /// be.
    fn park(&self, at_most: Duration) -> Option<(Instant, Instant)> {
        let mut state = self.lock();
        let now = Instant::now();
        let left = *state.lost_at.get_or_insert(now);
        state.parked = true;
        state.session.disconnect();
        let until = left + state.kept_for.min(at_most);
        // Nothing is under way, so nothing is to be gone on with.
        let lives = state.session.token().is_some() && state.session.open_streams() > 0;
        self.note(&state);
        (lives && until > now).then_some((left, until))
    }

    /// Which try to get a socket this is, since the relay was heard last.
    fn tries(&self) -> u32 {
        let mut state = self.lock();
        let before = state.tries;
        state.tries = before.saturating_add(1);
        before
    }

    /// Another socket is open. `false` if there is nothing to resume the session with.
    fn unpark(&self, greeted_by: Instant) -> bool {
        let mut state = self.lock();
        state.socket = Socket::new(Instant::now(), Some(greeted_by));
        state.session.reconnect().is_ok()
    }
}

fn why(ended: &Ended) -> &str {
    match ended {
        Ended::Closed => "it was closed, as nothing was left to do",
        Ended::Lost(why) | Ended::Over(why) => why,
    }
}
