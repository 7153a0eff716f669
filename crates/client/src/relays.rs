//! The relays of a client, and how a fetch gets room on one of their sockets: on the least loaded one,
//! on a new one when all are in use, or after waiting in the queue.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use fetchway_policy::ErrorName;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::Error;
use crate::link::{Link, PendingAnswer, RelaySession, Stream, Target, Unreached};
use crate::queue::Queue;
use crate::request::{PreparedRequest, RequestBody};
use crate::settings::Settings;

/// Result of asking for room on a socket.
pub(crate) enum Opened {
    /// A stream of a binary session.
    Stream(Stream),
    /// A fetch that was sent over JSON.
    Answer(PendingAnswer),
    /// The relay requires the whole body: read it, then ask again.
    NeedsWholeBody,
    /// The request cannot be sent over this relay's encoding.
    Rejected(Error),
}

/// The relays of a client, shared by its clones.
pub(crate) struct Relays {
    /// The first socket of each relay, then the second of each, and so on.
    pub(crate) links: Vec<Arc<Link>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) settings: Arc<Settings>,
    /// Each link's task holds a receiver, and ends at once when `true` is sent.
    alive: watch::Sender<bool>,
    closed: AtomicBool,
}

impl Relays {
    /// Returns relays with this many sockets each, none of them open.
    pub(crate) fn new(targets: &[Arc<Target>], sockets: usize, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let queue = Arc::new(Queue::new(settings.queue));
        let links = (0..sockets).flat_map(|_| targets.iter().enumerate());
        let links = links.map(|(relay, target)| {
            let (settings, queue) = (Arc::clone(&settings), Arc::clone(&queue));
            Link::new(relay, Arc::clone(target), settings, queue)
        });
        Self {
            links: links.collect(),
            queue: Arc::clone(&queue),
            alive: watch::Sender::new(false),
            closed: AtomicBool::new(false),
            settings,
        }
    }

    /// Closes every socket once its last fetch has ended. Waiting and new fetches fail.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.links.iter().for_each(|link| link.close());
        self.queue.wake_all();
    }

    /// Waits until every socket is closed. After `grace`, ends those that are left and returns false.
    pub(crate) async fn wait_closed(&self, grace: Duration) -> bool {
        if timeout(grace, self.alive.closed()).await.is_ok() {
            return true;
        }
        self.alive.send_replace(true);
        self.alive.closed().await;
        false
    }

    fn open(&self, link: &Arc<Link>) {
        link.open(&self.alive.subscribe());
    }

    /// Opens a socket to each relay. Returns when the first is open.
    ///
    /// # Errors
    /// Why the relays could not be reached, if none can be; `cancelled` if the client is closed.
    pub(crate) async fn connect(&self) -> Result<(), Error> {
        let _waiting = self.queue.wait_for_relay();
        self.first_links().for_each(|link| self.open(link));
        loop {
            let mut change = pin!(self.queue.change());
            // Enabled before the check, so that no change in between is missed.
            change.as_mut().enable();
            self.check_open()?;
            if self.first_links().any(Link::is_open) {
                return Ok(());
            }
            let mut unreached = Vec::new();
            for link in self.first_links() {
                match link.unreached() {
                    Some(error) => unreached.push(error),
                    // The session ended, as its relay left.
                    None => self.open(link),
                }
            }
            if unreached.len() == self.first_links().count() {
                return Unreached::combine(&unreached).map_or(Ok(()), Err);
            }
            change.await;
        }
    }

    /// Returns the first socket of each relay.
    fn first_links(&self) -> impl Iterator<Item = &Arc<Link>> {
        let links = self.links.iter().enumerate();
        links.filter_map(|(at, link)| (at == link.relay).then_some(link))
    }

    /// Gets room for a fetch on the least loaded socket, and waits for it as long as there is
    /// `patience` left. Returns the index of the relay as well. `avoid`: a relay to be used only if no
    /// other has room.
    ///
    /// # Errors
    /// `queue_full` or `queue_timeout` if there is no room; why no relay can be reached; `cancelled` if the
    /// client is closed.
    pub(crate) async fn acquire(
        &self,
        request: &PreparedRequest,
        body: &RequestBody,
        avoid: Option<usize>,
        patience: &mut Duration,
    ) -> Result<(usize, Opened), Error> {
        self.check_open()?;
        // A fetch that waits already goes first.
        if !self.queue.is_waiting() {
            let opened = poll_fn(|cx| Poll::Ready(self.try_open(request, body, avoid, cx.waker())));
            if let Some(opened) = opened.await {
                return Ok(opened);
            }
        }
        let position = self.queue.enter()?;
        let waiting = poll_fn(|cx| {
            // Registers the waker before the checks, so that no change in between is missed.
            let first = position.is_first(cx);
            if let Err(closed) = self.check_open() {
                return Poll::Ready(Err(closed));
            }
            if !first {
                return Poll::Pending;
            }
            match self.try_open(request, body, avoid, cx.waker()) {
                Some(opened) => Poll::Ready(Ok(opened)),
                None => match self.permanent_failure() {
                    Some(error) => Poll::Ready(Err(error)),
                    None => Poll::Pending,
                },
            }
        });
        let begun = Instant::now();
        let waited = timeout(*patience, waiting).await;
        *patience = patience.saturating_sub(begun.elapsed());
        waited.unwrap_or_else(|_| Err(self.wait_timeout()))
    }

    fn try_open(
        &self,
        request: &PreparedRequest,
        body: &RequestBody,
        avoid: Option<usize>,
        waker: &Waker,
    ) -> Option<(usize, Opened)> {
        // Another fetch may take the room between the check and the use: try once for each link.
        for _ in 0..self.links.len() {
            let links = self.links.iter();
            let open = links.filter_map(|link| Some((link, link.session()?)));
            let free = open.filter(|(_, session)| session.has_room());
            let least =
                free.min_by_key(|(link, session)| (avoid == Some(link.relay), session.load()));
            let Some((link, session)) = least else {
                break;
            };
            if session.load() > 0 && self.links.len() > 1 {
                self.open_more();
            }
            if let Some(opened) = open_on(&session, request, body, waker) {
                return Some((link.relay, opened));
            }
        }
        self.open_more();
        None
    }

    /// Opens one more socket if one is idle, as every open socket is in use. If none is open, opens one to
    /// each relay.
    fn open_more(&self) {
        if self.links.iter().any(|link| link.session().is_some()) {
            if let Some(link) = self.links.iter().find(|link| link.is_idle()) {
                self.open(link);
            }
            return;
        }
        for (at, link) in self.links.iter().enumerate() {
            let mut before = self.links[..at].iter();
            if !before.any(|other| other.relay == link.relay && !other.is_idle()) {
                self.open(link);
            }
        }
    }

    /// Returns an error if waiting cannot help: no socket is open, and every relay failed in a way that no
    /// later attempt can change.
    fn permanent_failure(&self) -> Option<Error> {
        let mut failures = Vec::new();
        for first in self.first_links() {
            let mut links = self.links.iter().filter(|link| link.relay == first.relay);
            // The failure of a link that is not being dialled may be long ago.
            let unreached = links.find(|link| !link.is_idle())?.unreached();
            failures.push(unreached.filter(|unreached| unreached.permanent)?);
        }
        let open = self.links.iter().any(|link| link.is_open());
        Unreached::combine(&failures).filter(|_| !open)
    }

    /// Returns the error of a fetch that has waited for too long.
    fn wait_timeout(&self) -> Error {
        let wait = self.settings.queue_wait;
        let mut links = self.links.iter();
        if links.any(|link| link.is_open()) {
            let detail = format!(
                "No stream became free within {wait:?}: open more sockets, or start fewer fetches at once."
            );
            return Error::new(ErrorName::QueueTimeout, detail);
        }
        let links = self.links.iter();
        let failures: Vec<_> = links.filter_map(|link| link.unreached()).collect();
        let (name, why) = match Unreached::combine(&failures) {
            Some(error) => (error.name, error.detail),
            None => (ErrorName::ConnectionTimeout, "None has answered.".into()),
        };
        let detail = format!("No relay could be reached within {wait:?}. {why}");
        Error::new(name, detail)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            let detail = "The client is closed: create another one.";
            return Err(Error::new(ErrorName::Cancelled, detail));
        }
        Ok(())
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.close();
    }
}

/// Begins a fetch on a session. Returns `None` if there is no room.
fn open_on(
    session: &RelaySession,
    request: &PreparedRequest,
    body: &RequestBody,
    waker: &Waker,
) -> Option<Opened> {
    let session = match session {
        RelaySession::Binary(session) => {
            return Stream::open(session, &request.head, body, waker).map(Opened::Stream);
        }
        RelaySession::Json(session) => session,
    };
    if request.for_relay {
        let detail = "This relay supports JSON only, and batches need the binary encoding: use another relay, or \
                      fetch the items one by one.";
        let error = Error::new(ErrorName::InvalidRequest, detail);
        return Some(Opened::Rejected(error));
    }
    let body: &[u8] = match body {
        RequestBody::None => &[],
        RequestBody::Whole(body) => body,
        RequestBody::Streamed => return Some(Opened::NeedsWholeBody),
    };
    let asked = PendingAnswer::ask(session, &request.head, body, waker)?;
    Some(asked.map_or_else(Opened::Rejected, Opened::Answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Failover;

    #[tokio::test]
    async fn patience_is_for_all_tries_together() {
        let wait = Duration::from_millis(30);
        // Nothing listens there.
        let target = Target::parse("ws://127.0.0.1:1/", "The URL").expect("a good URL");
        let settings = Settings {
            queue: 1,
            queue_wait: wait,
            ..Settings::default()
        };
        let relays = Relays::new(&[Arc::new(target)], 1, settings);
        let (parts, ()) = http::Request::get("http://origin.test/")
            .body(())
            .expect("a request")
            .into_parts();
        let request = PreparedRequest::new(parts, Failover::Never, None).expect("a good one");
        let mut patience = wait;
        let first = relays.acquire(&request, &RequestBody::None, None, &mut patience);
        assert!(first.await.is_err());
        assert_eq!(patience, Duration::ZERO);
    }
}
