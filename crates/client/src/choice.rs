//! How a fetch gets hold of a stream: the least loaded socket, more sockets when all are in use, and
//! its turn when there is no room.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use fetchway_policy::ErrorName;
use tokio::time::timeout;

use crate::client::Inner;
use crate::error::Error;
use crate::link::{Carrier, Link, Pending, Stream, Unreached};
use crate::queue::enrol;
use crate::request::Job;
use crate::upload::Source;

/// What a fetch got hold of.
pub(crate) enum Opened {
    Stream(Stream),
    Answer(Pending),
    /// A relay that wants the body whole: it is to be taken first.
    Whole,
    /// It can't be sent there at all.
    Refused(Error),
}

impl Inner {
    pub(crate) async fn connect(&self) -> Result<(), Error> {
        let _waits = self.queue.connecting();
        for link in self.first_links() {
            link.open(&self.alive.subscribe());
        }
        loop {
            let mut change = pin!(self.queue.change());
            enrol(change.as_mut());
            self.check_open()?;
            if self.first_links().any(Link::is_open) {
                return Ok(());
            }
            let mut unreached = Vec::new();
            for link in self.first_links() {
                match link.error() {
                    Some(error) => unreached.push(error),
                    // Its session took no more fetches.
                    None => link.open(&self.alive.subscribe()),
                }
            }
            if unreached.len() == self.first_links().count() {
                return Unreached::all(&unreached).map_or(Ok(()), Err);
            }
            change.await;
        }
    }

    /// The first socket of each relay.
    fn first_links(&self) -> impl Iterator<Item = &Arc<Link>> {
        let links = self.links.iter().enumerate();
        links.filter_map(|(at, link)| (at == link.relay).then_some(link))
    }

    /// Opens a stream on the least loaded link, waiting for one if need be, as long as there is
    /// `patience` left. Says at which relay.
    pub(crate) async fn acquire(
        &self,
        job: &Job,
        source: &Source,
        avoid: Option<usize>,
        patience: &mut Duration,
    ) -> Result<(usize, Opened), Error> {
        self.check_open()?;
        // Whoever waits goes first.
        if !self.queue.is_waiting() {
            let opened = poll_fn(|cx| Poll::Ready(self.try_open(job, source, avoid, cx.waker())));
            if let Some(opened) = opened.await {
                return Ok(opened);
            }
        }
        let place = self.queue.enter()?;
        let waiting = poll_fn(|cx| {
            // It asks to be woken before it looks.
            let first = place.is_first(cx);
            if let Err(closed) = self.check_open() {
                return Poll::Ready(Err(closed));
            }
            if !first {
                return Poll::Pending;
            }
            match self.try_open(job, source, avoid, cx.waker()) {
                Some(opened) => Poll::Ready(Ok(opened)),
                None => self
                    .hopeless()
                    .map_or(Poll::Pending, |e| Poll::Ready(Err(e))),
            }
        });
        let begun = Instant::now();
        let waited = timeout(*patience, waiting).await;
        *patience = patience.saturating_sub(begun.elapsed());
        waited.unwrap_or_else(|_| Err(self.why_not()))
    }

    fn try_open(
        &self,
        job: &Job,
        source: &Source,
        avoid: Option<usize>,
        waker: &Waker,
    ) -> Option<(usize, Opened)> {
        // Another fetch may take the room that was seen: then look again, at most once for each link.
        for _ in 0..self.links.len() {
            let open = self
                .links
                .iter()
                .filter_map(|link| Some((link, link.carrier()?)));
            let free = open.filter(|(_, carrier)| carrier.has_room());
            let least =
                free.min_by_key(|(link, carrier)| (avoid == Some(link.relay), carrier.load()));
            let Some((link, carrier)) = least else {
                break;
            };
            if carrier.load() > 0 && self.links.len() > 1 {
                self.grow();
            }
            let opened = match (&carrier, source) {
                (Carrier::Line(line), _) => line.open(&job.head, source, waker).map(Opened::Stream),
                (Carrier::Text(_), _) if job.own => Some(Opened::Refused(no_batches())),
                (Carrier::Text(_), Source::Streamed) => Some(Opened::Whole),
                (Carrier::Text(text), _) => {
                    let body: &[u8] = match source {
                        Source::Whole(body) => body,
                        _ => &[],
                    };
                    let asked = text.open(&job.head, body, waker);
                    asked.map(|asked| asked.map_or_else(Opened::Refused, Opened::Answer))
                }
            };
            if let Some(opened) = opened {
                return Some((link.relay, opened));
            }
        }
        self.grow();
        None
    }

    /// Every open socket is in use: opens another one. If none is open, one for each relay.
    fn grow(&self) {
        if self.links.iter().any(|link| link.carrier().is_some()) {
            if let Some(link) = self.links.iter().find(|link| link.is_idle()) {
                link.open(&self.alive.subscribe());
            }
            return;
        }
        for (at, link) in self.links.iter().enumerate() {
            let before = &self.links[..at];
            let has_one = before
                .iter()
                .any(|other| other.relay == link.relay && !other.is_idle());
            if !has_one {
                link.open(&self.alive.subscribe());
            }
        }
    }

    /// Why nothing is worth waiting for: no relay is open, and none can be reached as things are.
    fn hopeless(&self) -> Option<Error> {
        let mut met = Vec::new();
        for first in self.first_links() {
            let mut links = self.links.iter().filter(|link| link.relay == first.relay);
            // What a link that is not being opened met with is long ago.
            let error = links.find(|link| !link.is_idle())?.error();
            met.push(error.filter(|error| error.for_good)?);
        }
        let open = self.links.iter().any(|link| link.is_open());
        Unreached::all(&met).filter(|_| !open)
    }

    /// Why a fetch has waited in vain.
    fn why_not(&self) -> Error {
        let wait = self.settings.queue_wait;
        if !self.links.iter().any(|link| link.is_open()) {
            let met: Vec<_> = self.links.iter().filter_map(|link| link.error()).collect();
            let (name, why) = match Unreached::all(&met) {
                Some(error) => (error.name, error.detail),
                None => (ErrorName::ConnectionTimeout, "None answers.".into()),
            };
            let detail = format!("No relay could be reached within {wait:?}. {why}");
            return Error::new(name, detail);
        }
        let detail = format!(
            "No stream became free within {wait:?}: open more sockets, or ask for less at once."
        );
        Error::new(ErrorName::QueueTimeout, detail)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            let detail = "The client was closed: make another one.";
            return Err(Error::new(ErrorName::Cancelled, detail));
        }
        Ok(())
    }
}

/// Nothing but fetches goes over JSON.
fn no_batches() -> Error {
    let detail = "This relay speaks JSON only, and runs no batches over that: use another relay, or \
                  fetch the items one by one.";
    Error::new(ErrorName::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;
    use crate::options::Failover;

    #[tokio::test]
    async fn patience_is_for_all_tries_together() {
        let wait = Duration::from_millis(30);
        // Nothing listens there.
        let builder = Client::builder().relay("ws://127.0.0.1:1/").queue(1, wait);
        let client = builder.build().expect("a client");
        let (parts, ()) = http::Request::get("http://origin.test/")
            .body(())
            .expect("a request")
            .into_parts();
        let job = Job::new(parts, Failover::Never, None).expect("a good one");
        let mut patience = wait;
        let inner = client.inner();
        let first = inner.acquire(&job, &Source::None, None, &mut patience);
        assert!(first.await.is_err());
        assert_eq!(patience, Duration::ZERO);
    }
}
