//! How a fetch gets hold of a stream: the least loaded socket, more sockets when all are in use, and
//! its turn when there is no room.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use fetchway_policy::{ErrorName, FetchError};
use tokio::time::timeout;

use crate::client::Inner;
use crate::link::{Carrier, Pending, Stream};
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
    Refused(FetchError),
}

impl Inner {
    pub(crate) async fn connect(&self) -> Result<(), FetchError> {
        let _place = self.queue.enter()?;
        let first = || {
            self.links
                .iter()
                .enumerate()
                .filter(|(at, link)| *at == link.relay)
        };
        for (_, link) in first() {
            link.open(&self.alive.subscribe());
        }
        loop {
            let mut change = pin!(self.queue.change());
            enrol(change.as_mut());
            self.check_open()?;
            if first().any(|(_, link)| link.carrier().is_some()) {
                return Ok(());
            }
            let errors: Vec<FetchError> = first().filter_map(|(_, link)| link.error()).collect();
            if errors.len() == first().count() {
                return errors.into_iter().next_back().map_or(Ok(()), Err);
            }
            change.await;
        }
    }

    /// Opens a stream on the least loaded link, waiting for one if need be. Says at which relay.
    pub(crate) async fn acquire(
        &self,
        job: &Job,
        source: &Source,
        avoid: Option<usize>,
    ) -> Result<(usize, Opened), FetchError> {
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
            if !place.is_first(cx) {
                return Poll::Pending;
            }
            if let Err(closed) = self.check_open() {
                return Poll::Ready(Err(closed));
            }
            let opened = self.try_open(job, source, avoid, cx.waker());
            opened.map_or(Poll::Pending, |opened| Poll::Ready(Ok(opened)))
        });
        let waited = timeout(self.settings.queue_wait, waiting).await;
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

    /// Why a fetch has waited in vain.
    fn why_not(&self) -> FetchError {
        let wait = self.settings.queue_wait;
        if !self.links.iter().any(|link| link.carrier().is_some()) {
            let last = self.links.iter().find_map(|link| link.error());
            let (name, why) = match &last {
                Some(error) => (error.name, &*error.detail),
                None => (ErrorName::ConnectionTimeout, "None answers."),
            };
            let detail = format!("No relay could be reached within {wait:?}. {why}");
            return FetchError::new(name, detail);
        }
        let detail = format!(
            "No stream became free within {wait:?}: open more sockets, or ask for less at once."
        );
        FetchError::new(ErrorName::QueueTimeout, detail)
    }

    fn check_open(&self) -> Result<(), FetchError> {
        if self.closed.load(Ordering::Acquire) {
            let detail = "The client was closed: make another one.";
            return Err(FetchError::new(ErrorName::Cancelled, detail));
        }
        Ok(())
    }
}
