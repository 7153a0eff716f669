//! New connections for a site: one that a fetch opens for itself, or those that tasks open for the fetches
//! in the site's queue.

use std::sync::{Arc, Weak};

use fetchway_policy::FetchError;
use tokio::time::Instant;

use super::h1::H1;
use super::h2::{self, Change};
use super::lease::{Lease, lease_stream};
use super::queue::Turn;
use super::shared::Shared;
use super::site::{Protocol, Site, State};
use crate::meter::Meter;
use crate::stream::Stream;

/// Maximum number of simultaneous dials for the queue of one HTTPS origin.
const MAX_DIALS: usize = 32;

/// A dial for the queue. It counts until its result is reported, or until it is dropped.
struct Dial {
    site: Arc<Site>,
    counted: bool,
}

impl Dial {
    fn uncount(&mut self, state: &mut State) {
        if std::mem::take(&mut self.counted) {
            state.dialing -= 1;
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if self.counted {
            // The task of the dial died. The waiting fetches, or the next one, then dial again.
            let mut state = self.site.state();
            state.dialing -= 1;
            self.site.dial_for_queue(&mut state);
        }
    }
}

impl Site {
    /// Dials as often as the waiting fetches need: once while the protocol of the origin is unknown.
    ///
    /// Each dial has a task of its own, because the fetch that begins it may be cancelled while others
    /// wait.
    pub(super) fn dial_for_queue(self: &Arc<Self>, state: &mut State) {
        let Some(until) = state.queue.latest() else {
            return;
        };
        let wanted = match state.protocol {
            Protocol::Http2 => state.queue.len().div_ceil(state.stream_limit),
            Protocol::Unknown | Protocol::Http1 => state.queue.len().min(1),
        };
        while state.dialing < wanted.min(MAX_DIALS) {
            state.dialing += 1;
            let dial = Dial {
                site: self.clone(),
                counted: true,
            };
            tokio::spawn(dial.run(until));
        }
    }

    /// Opens a connection for one fetch. Returns `None` if the origin, which spoke HTTP/1.1 before, now
    /// chose HTTP/2 and other fetches took the places: the fetch then asks again.
    pub(super) async fn dial_own(
        self: &Arc<Self>,
        until: Instant,
    ) -> Result<Option<Lease>, FetchError> {
        let Some(connection) = self.open(until).await? else {
            let mut closed = Vec::new();
            let lease = lease_stream(self, &mut self.state().shared, &mut closed);
            return Ok(lease.map(Lease::Stream));
        };
        Ok(Some(Lease::Whole(connection)))
    }

    /// Opens a connection that no other fetch gets.
    pub(crate) async fn dial(&self, until: Instant) -> Result<(Stream, Arc<Meter>), FetchError> {
        let dialled = self.pool.dialer.dial(&self.target, &self.policy, until);
        let (stream, _) = dialled.await?;
        Ok((stream, Meter::new(self.pool.observer.clone())))
    }

    /// Opens a connection. It belongs to the caller if it speaks HTTP/1.1, and is shared otherwise.
    async fn open(self: &Arc<Self>, until: Instant) -> Result<Option<H1>, FetchError> {
        let dialer = &self.pool.dialer;
        let (stream, is_h2) = dialer.dial(&self.target, &self.policy, until).await?;
        let meter = Meter::new(self.pool.observer.clone());
        if !is_h2 {
            return H1::open(stream, meter).await.map(Some);
        }
        let id = {
            let mut state = self.state();
            state.next_id += 1;
            state.next_id
        };
        let changes = watch(Arc::downgrade(self), id);
        let opened = h2::open(
            stream,
            meter.clone(),
            self.pool.config.h2_stream_window,
            changes,
        );
        let (sender, limit) = tokio::time::timeout_at(until, opened)
            .await
            .map_err(|_| h2::no_settings(&self.target.to_string()))?
            .map_err(|error| h2::not_spoken(&self.target, error))?;
        let shared = Shared::new(id, sender, limit, meter);
        let mut state = self.state();
        state.protocol = Protocol::Http2;
        state.stream_limit = shared.limit();
        state.shared.push(shared);
        Ok(None)
    }

    /// Handles an origin that chose HTTP/1.1: the first fetch of the queue gets the connection, the others
    /// dial their own.
    fn found_http1(self: &Arc<Self>, connection: H1, mut dial: Dial) {
        let waiting = {
            let mut state = self.state();
            dial.uncount(&mut state);
            state.protocol = Protocol::Http1;
            state.queue.take_all()
        };
        let mut connection = Some(connection);
        for waiter in waiting {
            match connection.take() {
                Some(whole) => {
                    let refused = waiter.tell.send(Turn::Take(Lease::Whole(whole)));
                    if let Err(Turn::Take(Lease::Whole(back))) = refused {
                        connection = Some(back);
                    }
                }
                // A fetch that has gone in the meantime needs no message.
                None => drop(waiter.tell.send(Turn::AskAgain)),
            }
        }
        if let Some(unwanted) = connection {
            self.give_back(unwanted);
        }
    }

    /// Handles a failed dial. Without a connection and without another dial, nothing will come, so all
    /// waiting fetches fail as this dial did. If the dial only took too long, fetches that may wait longer
    /// get another one.
    fn dial_failed(self: &Arc<Self>, error: &FetchError, until: Instant, mut dial: Dial) {
        let failed = {
            let mut state = self.state();
            dial.uncount(&mut state);
            if state.dialing > 0 || !state.shared.is_empty() {
                return;
            }
            let late = Instant::now() >= until;
            let failed = match late {
                true => state.queue.take_until(until),
                false => state.queue.take_all(),
            };
            self.dial_for_queue(&mut state);
            failed
        };
        for waiter in failed {
            drop(waiter.tell.send(Turn::Failed(error.clone())));
        }
    }
}

impl Dial {
    async fn run(mut self, until: Instant) {
        let site = self.site.clone();
        match site.open(until).await {
            Ok(None) => {
                self.uncount(&mut site.state());
                site.serve();
            }
            Ok(Some(connection)) => site.found_http1(connection, self),
            Err(error) => site.dial_failed(&error, until, self),
        }
    }
}

/// Handles the events of the connection `id`.
fn watch(site: Weak<Site>, id: u64) -> impl Fn(Change) + Send + 'static {
    move |change| {
        let Some(site) = site.upgrade() else { return };
        match change {
            Change::Limit(limit) => {
                site.state().stream_limit = limit;
                site.serve();
            }
            Change::Closed => site.closed(id),
        }
    }
}
