//! The connections of one origin under one address policy: who gets which, and who dials.
//!
//! Plain HTTP, and HTTPS known to speak HTTP/1.1: an idle connection, else the fetch dials its own.
//! HTTPS otherwise: fetches wait in a queue while a task dials for them, one dial until it is known
//! what the origin speaks, then as many as the queue needs at the origin's stream limit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use ::h2::client::SendRequest;
use http::HeaderValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::h1::H1;
use super::network::Pool;
use super::h2;
use crate::admit::Origin;
use crate::dial::Target;
use crate::meter::Meter;

/// Dials under way at once for one HTTPS origin's queue.
const MAX_DIALS: usize = 32;

/// One origin under one address policy.
pub(crate) struct Site {
    pub(crate) target: Target,
    /// The `Host` field; also the `:authority`.
    pub(crate) authority: HeaderValue,
    /// The origin's place in the schedule, shared by all policies.
    pub(crate) origin: Arc<Origin>,
    policy: Arc<AddressPolicy>,
    pool: Arc<Pool>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

struct State {
    protocol: Protocol,
    /// Idle HTTP/1.1 connections; the last one in is the first out, so the rest can grow old.
    idle: Vec<(H1, Instant)>,
    shared: Vec<Shared>,
    /// What the last HTTP/2 connection allowed.
    stream_limit: usize,
    next_id: u64,
    dialing: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// An HTTP/2 connection.
struct Shared {
    id: u64,
    sender: SendRequest<Bytes>,
    limit: usize,
    active: usize,
    used: bool,
    idle_since: Instant,
}

enum Turn {
    Take(Lease),
    AskAgain,
    Failed(FetchError),
}

enum Step {
    Idle(H1),
    Stream(StreamLease),
    Dial,
    Wait(oneshot::Receiver<Turn>),
}

/// The use of a connection, or of a stream's place on one.
pub(crate) enum Lease {
    Whole(H1),
    Stream(StreamLease),
}

/// A stream's place; free again when dropped.
pub(crate) struct StreamLease {
    site: Arc<Site>,
    id: u64,
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) reused: bool,
    /// Whether its end looks for somebody who waits for the place.
    serves: bool,
}

impl StreamLease {
    /// The connection takes no more streams: nobody else shall try it.
    pub(crate) fn retire(&self) {
        self.site.closed(self.id);
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.site.free(self.id);
        if self.serves {
            self.site.serve();
        }
    }
}

impl Site {
    pub(super) fn new(
        target: Target,
        authority: HeaderValue,
        origin: Arc<Origin>,
        policy: Arc<AddressPolicy>,
        pool: Arc<Pool>,
    ) -> Self {
        let protocol = if target.tls { Protocol::Unknown } else { Protocol::Http1 };
        Self {
            target,
            authority,
            origin,
            policy,
            pool,
            state: Mutex::new(State {
                protocol,
                idle: Vec::new(),
                shared: Vec::new(),
                stream_limit: 1,
                next_id: 0,
                dialing: 0,
                waiting: VecDeque::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, or a place on one: idle, shared, or new within `connect`.
    pub(crate) async fn checkout(self: &Arc<Self>, connect: Duration) -> Result<Lease, FetchError> {
        let mut deadline = None;
        loop {
            let step = self.step(connect);
            let mut until = || *deadline.get_or_insert_with(|| Instant::now() + connect);
            match step {
                Step::Idle(mut connection) => {
                    if connection.is_ready() {
                        return Ok(Lease::Whole(connection));
                    }
                }
                Step::Stream(lease) => return Ok(Lease::Stream(lease)),
                Step::Dial => return Box::pin(self.dial_own(until())).await,
                Step::Wait(turn) => match tokio::time::timeout_at(until(), turn).await {
                    Ok(Ok(Turn::Take(lease))) => return Ok(lease),
                    Ok(Ok(Turn::Failed(error))) => return Err(error),
                    Ok(Ok(Turn::AskAgain) | Err(_)) => {}
                    Err(_) => {
                        let detail = format!("No connection to {} within the connect timeout.", self.target);
                        return Err(FetchError::new(ErrorName::ConnectionTimeout, detail));
                    }
                },
            }
        }
    }

    fn step(self: &Arc<Self>, connect: Duration) -> Step {
        let mut state = self.state();
        if let Some((connection, _)) = state.idle.pop() {
            self.pool.idle_less(1);
            return Step::Idle(connection);
        }
        if state.protocol == Protocol::Http1 {
            return Step::Dial;
        }
        if let Some(lease) = self.lease(&mut state) {
            return Step::Stream(lease);
        }
        let (turn, waits) = oneshot::channel();
        state.waiting.push_back(turn);
        let wanted = match state.protocol {
            Protocol::Http2 => state.waiting.len().div_ceil(state.stream_limit).min(MAX_DIALS),
            _ => 1,
        };
        while state.dialing < wanted {
            state.dialing += 1;
            // A task of its own: the fetch that begins a dial may be cancelled, the others wait on.
            tokio::spawn(self.clone().dial_shared(connect));
        }
        Step::Wait(waits)
    }

    fn lease(self: &Arc<Self>, state: &mut State) -> Option<StreamLease> {
        let shared = state.shared.iter_mut().find(|shared| shared.active < shared.limit)?;
        shared.active += 1;
        Some(StreamLease {
            site: self.clone(),
            id: shared.id,
            sender: shared.sender.clone(),
            reused: std::mem::replace(&mut shared.used, true),
            serves: true,
        })
    }

    async fn dial_own(self: &Arc<Self>, deadline: Instant) -> Result<Lease, FetchError> {
        let (stream, h2) = self.pool.dialer.dial(&self.target, &self.policy, deadline).await?;
        let meter = Meter::new(self.pool.observer.clone());
        if !h2 {
            return Ok(Lease::Whole(H1::open(stream, meter).await?));
        }
        // The origin spoke HTTP/1.1 when last asked, and now prefers HTTP/2.
        self.open_shared(stream, meter, deadline).await?;
        let mut state = self.state();
        self.lease(&mut state).map(Lease::Stream).ok_or_else(|| {
            let detail = format!("{} closed its connection at once: try again.", self.target);
            FetchError::new(ErrorName::ConnectionTerminated, detail)
        })
    }

    async fn open_shared(
        self: &Arc<Self>,
        stream: crate::dial::Stream,
        meter: Arc<Meter>,
        deadline: Instant,
    ) -> Result<(), FetchError> {
        let id = {
            let mut state = self.state();
            state.next_id += 1;
            state.next_id
        };
        let site = Arc::downgrade(self);
        let closed = move || {
            if let Some(site) = site.upgrade() {
                site.closed(id);
            }
        };
        let opened = h2::open(stream, meter, self.pool.config.h2_stream_window, closed);
        let (sender, limit) = tokio::time::timeout_at(deadline, opened).await.map_err(|_| {
            let detail = format!("{} did not finish the HTTP/2 handshake within the connect timeout.", self.target);
            FetchError::new(ErrorName::ConnectionTimeout, detail)
        })??;
        let mut state = self.state();
        state.protocol = Protocol::Http2;
        state.stream_limit = limit;
        state.shared.push(Shared {
            id,
            sender,
            limit,
            active: 0,
            used: false,
            idle_since: Instant::now(),
        });
        Ok(())
    }

    async fn dial_shared(self: Arc<Self>, connect: Duration) {
        let deadline = Instant::now() + connect;
        let dialled = async {
            let (stream, h2) = self.pool.dialer.dial(&self.target, &self.policy, deadline).await?;
            let meter = Meter::new(self.pool.observer.clone());
            if h2 {
                self.open_shared(stream, meter, deadline).await.map(|()| None)
            } else {
                H1::open(stream, meter).await.map(Some)
            }
        };
        let dialled = dialled.await;
        self.state().dialing -= 1;
        match dialled {
            Ok(None) => self.serve(),
            Ok(Some(connection)) => self.found_http1(connection),
            Err(error) => self.dial_failed(&error),
        }
    }

    /// HTTP/1.1 after all: the first in the queue gets the connection, the rest dial their own.
    fn found_http1(self: &Arc<Self>, connection: H1) {
        let waiting = {
            let mut state = self.state();
            state.protocol = Protocol::Http1;
            std::mem::take(&mut state.waiting)
        };
        let mut connection = Some(connection);
        for turn in waiting {
            match connection.take() {
                Some(whole) => {
                    if let Err(Turn::Take(Lease::Whole(back))) = turn.send(Turn::Take(Lease::Whole(whole))) {
                        connection = Some(back);
                    }
                }
                // Who has gone meanwhile needs no telling.
                None => drop(turn.send(Turn::AskAgain)),
            }
        }
        if let Some(unwanted) = connection {
            self.give_back(unwanted);
        }
    }

    /// Without a connection and without another dial under way, nothing will come: all who wait
    /// fail as this dial did. Otherwise they go on waiting, each for its own connect time.
    fn dial_failed(&self, error: &FetchError) {
        let waiting = {
            let mut state = self.state();
            if state.dialing > 0 || !state.shared.is_empty() {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        for turn in waiting {
            drop(turn.send(Turn::Failed(error.clone())));
        }
    }

    /// Gives free places to those who wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let (turn, lease) = {
                let mut state = self.state();
                while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                    state.waiting.pop_front();
                }
                if state.waiting.is_empty() {
                    return;
                }
                let Some(lease) = self.lease(&mut state) else { return };
                let Some(turn) = state.waiting.pop_front() else { return };
                (turn, lease)
            };
            // Not given: the lease's drop would come back here, ever deeper, so it only frees.
            if let Err(Turn::Take(Lease::Stream(mut lease))) = turn.send(Turn::Take(Lease::Stream(lease))) {
                lease.serves = false;
            }
        }
    }

    fn free(&self, id: u64) {
        let mut state = self.state();
        if let Some(shared) = state.shared.iter_mut().find(|shared| shared.id == id) {
            shared.active -= 1;
            shared.idle_since = Instant::now();
        }
    }

    /// The connection `id` is gone or takes no more. Who waits asks again, and so may dial.
    fn closed(&self, id: u64) {
        let waiting = {
            let mut state = self.state();
            state.shared.retain(|shared| shared.id != id);
            if !state.shared.is_empty() || state.dialing > 0 {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        for turn in waiting {
            drop(turn.send(Turn::AskAgain));
        }
    }

    /// Takes a connection back after an exchange, if it can serve again and there is room.
    pub(crate) fn give_back(&self, mut connection: H1) {
        let config = &self.pool.config;
        if !connection.is_ready() {
            return;
        }
        let mut state = self.state();
        if state.idle.len() < config.idle_per_origin && self.pool.idle_more() {
            state.idle.push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for too long, or was closed by the origin. Returns whether
    /// anything is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let timeout = self.pool.config.idle_timeout;
        let mut state = self.state();
        let before = state.idle.len();
        state
            .idle
            .retain_mut(|(connection, since)| now.duration_since(*since) < timeout && connection.is_ready());
        self.pool.idle_less(before - state.idle.len());
        state
            .shared
            .retain(|shared| shared.active > 0 || now.duration_since(shared.idle_since) < timeout);
        !state.idle.is_empty() || !state.shared.is_empty() || state.dialing > 0
    }
}
