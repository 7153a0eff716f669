//! The connections of one origin under one address policy, and their distribution.
//!
//! Plain HTTP, and HTTPS known to speak HTTP/1.1: a fetch gets an idle connection, or dials its own. HTTPS
//! otherwise, and HTTP/2 with prior knowledge: fetches wait in a queue while tasks dial for them
//! (`dialing`): one task until the protocol and the stream limit of the origin are known, then as many as
//! the queue needs at that limit.

use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::h1::H1;
use super::lease::{Lease, StreamLease, lease_stream};
use super::limits::{IdlePlace, Pool};
use super::queue::{Queue, Turn};
use super::shared::Shared;
use crate::admit::Origin;
use crate::clock::{self, IN_TIME};
use crate::dial::Target;

/// One origin under one address policy.
pub(crate) struct Site {
    pub(crate) target: Target,
    /// Value of `Host` and of `:authority`.
    pub(crate) authority: HeaderValue,
    /// The origin's place in the schedule, shared by all policies.
    pub(crate) origin: Arc<Origin>,
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) pool: Arc<Pool>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Unknown,
    Http1,
    Http2,
}

pub(super) struct State {
    pub(super) protocol: Protocol,
    /// Idle HTTP/1.1 connections. The last one in is the first one out, so that the others can expire.
    idle: Vec<Idle>,
    pub(super) shared: Vec<Shared>,
    /// Stream limit of the last HTTP/2 connection.
    pub(super) stream_limit: usize,
    pub(super) next_id: u64,
    /// Dials in progress for the queue.
    pub(super) dialing: usize,
    pub(super) queue: Queue<Lease>,
}

struct Idle {
    connection: H1,
    since: Instant,
    _place: IdlePlace,
}

enum Step {
    Idle(H1),
    Stream(StreamLease),
    Dial(Instant),
    Wait(oneshot::Receiver<Turn<Lease>>, Instant),
}

impl Site {
    pub(super) fn new(
        target: Target,
        authority: HeaderValue,
        origin: Arc<Origin>,
        policy: Arc<AddressPolicy>,
        pool: Arc<Pool>,
    ) -> Self {
        let protocol = if target.tls || target.h2c {
            Protocol::Unknown
        } else {
            Protocol::Http1
        };
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
                queue: Queue::new(),
            }),
        }
    }

    /// The state that all connections of the engine share.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Leases a connection or a stream: an idle one, a shared one, or a new one within `connect`.
    pub(crate) async fn checkout(self: &Arc<Self>, connect: Duration) -> Result<Lease, FetchError> {
        let mut until = None;
        loop {
            match self.step(connect, &mut until) {
                Step::Idle(mut connection) => {
                    if connection.is_ready() {
                        return Ok(Lease::Whole(connection));
                    }
                }
                Step::Stream(lease) => return Ok(Lease::Stream(lease)),
                Step::Dial(until) => {
                    if let Some(lease) = Box::pin(self.dial_own(until)).await? {
                        return Ok(lease);
                    }
                }
                Step::Wait(turn, until) => match tokio::time::timeout_at(until, turn).await {
                    Ok(Ok(Turn::Take(lease))) => return Ok(lease),
                    Ok(Ok(Turn::Failed(error))) => return Err(error),
                    Ok(Ok(Turn::AskAgain) | Err(_)) => {}
                    Err(_) => return Err(self.no_connection()),
                },
            }
        }
    }

    /// Decides about the next step of a fetch. `until` is set to the end of its connect time when that
    /// begins.
    fn step(self: &Arc<Self>, connect: Duration, until: &mut Option<Instant>) -> Step {
        let mut closed = Vec::new();
        let mut state = self.state();
        if let Some(idle) = state.idle.pop() {
            return Step::Idle(idle.connection);
        }
        if state.protocol == Protocol::Http1 {
            return Step::Dial(*until.get_or_insert_with(|| clock::after(connect)));
        }
        if let Some(lease) = lease_stream(self, &mut state.shared, &mut closed) {
            return Step::Stream(lease);
        }
        let until = *until.get_or_insert_with(|| clock::after(connect));
        let turn = state.queue.push(until);
        self.dial_for_queue(&mut state);
        Step::Wait(turn, until)
    }

    /// Gives free streams to waiting fetches, and dials for the others.
    pub(super) fn serve(self: &Arc<Self>) {
        let mut closed = Vec::new();
        loop {
            let (waiter, lease) = {
                let mut state = self.state();
                let Some(waiter) = state.queue.pop() else {
                    return;
                };
                let Some(lease) = lease_stream(self, &mut state.shared, &mut closed) else {
                    state.queue.put_back(waiter);
                    self.dial_for_queue(&mut state);
                    return;
                };
                (waiter, lease)
            };
            let refused = waiter.tell.send(Turn::Take(Lease::Stream(lease)));
            // The fetch has gone. Dropping this lease only frees its stream, because giving it on would
            // recurse.
            if let Err(Turn::Take(Lease::Stream(mut lease))) = refused {
                lease.serves = false;
            }
        }
    }

    /// Handles a stream that is free again.
    pub(super) fn free(&self, id: u64) {
        let mut state = self.state();
        if let Some(shared) = state.shared.iter_mut().find(|shared| shared.id == id) {
            shared.active -= 1;
            shared.idle_since = Instant::now();
        }
    }

    /// Handles the connection `id`, which has ended or takes no more streams.
    pub(super) fn closed(self: &Arc<Self>, id: u64) {
        let mut state = self.state();
        let at = state.shared.iter().position(|shared| shared.id == id);
        let gone = at.map(|at| state.shared.swap_remove(at));
        self.dial_for_queue(&mut state);
        drop(state);
        drop(gone);
    }

    /// Takes a connection back after an exchange, if it can be used again and there is room.
    pub(crate) fn give_back(&self, mut connection: H1) {
        if !connection.is_ready() {
            return;
        }
        let mut state = self.state();
        if state.idle.len() < self.pool.config.idle_per_origin
            && let Some(place) = self.pool.idle_place()
        {
            state.idle.push(Idle {
                connection,
                since: Instant::now(),
                _place: place,
            });
        }
    }

    /// Closes connections that have been idle for too long, or that the origin has closed.
    pub(super) fn sweep(&self, now: Instant) {
        let timeout = self.pool.config.idle_timeout;
        let mut state = self.state();
        let idle: Vec<Idle> = state
            .idle
            .extract_if(.., |idle| {
                now.duration_since(idle.since) >= timeout || !idle.connection.is_ready()
            })
            .collect();
        let shared: Vec<Shared> = state
            .shared
            .extract_if(.., |shared| {
                shared.active == 0 && now.duration_since(shared.idle_since) >= timeout
            })
            .collect();
        // Dropped when the lock is free again.
        drop(state);
        drop((idle, shared));
    }

    /// Returns true if the site has nothing that is worth keeping.
    pub(super) fn is_unused(&self) -> bool {
        let state = self.state();
        state.idle.is_empty() && state.shared.is_empty() && state.dialing == 0
    }

    fn no_connection(&self) -> FetchError {
        let detail = format!(
            "No connection to {} was free or could be opened{IN_TIME}",
            self.target
        );
        FetchError::new(ErrorName::ConnectionTimeout, detail)
    }
}
