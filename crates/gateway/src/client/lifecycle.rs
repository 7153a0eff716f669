//! All connections of a gateway, from their first request until the API has heard of their end.
//!
//! Everything here may be called from any thread. Whatever goes to the API as a consequence is left to the
//! connection's reactor, by [`Work::Send`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fetchway_fetch::{Engine, Network};
use fetchway_policy::FetchError;
use fetchway_service::Shutdown;
use fetchway_ws::{CloseCode, Opcode};
use http::HeaderValue;
use tokio::sync::oneshot;

use super::connection::{Broken, Connection, Phase, State};
use super::socket::Socket;
use super::succession;
use super::table::Table;
use super::work::{Attachment, Work};
use crate::api::{Api, Item};
use crate::clock::Clock;
use crate::config::{Config, Duplicate};
use crate::error_log::{ErrorLog, Problem};
use crate::observe::{Observer, Pushed};
use crate::reactor::Mailbox;
use crate::stats::{add, sub};
use crate::telemetry::Telemetry;

/// Close code: another connection has the id now.
const REPLACED: CloseCode = CloseCode::Private(4001);

/// Close code: the service restarts, come again (RFC 6455's registry).
const RESTART: CloseCode = CloseCode::Private(1012);

/// Largest number of reactors of one gateway. There are as many as the machine has processors.
const MAX_REACTORS: usize = 64;

/// Bytes of what an API may attach to a connection.
const MAX_STATE: usize = 4 << 10;

/// The reason that the API hears of a client that vanished without a Close.
const EOF: Bytes = Bytes::from_static(b"EOF");

/// The connections of a gateway, and how they begin, end and follow each other.
pub(crate) struct Lifecycle {
    pub(crate) config: Config,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) api: Arc<Api>,
    pub(crate) clock: Clock,
    pub(crate) table: Table,
    /// The way to each reactor. Work for a client goes to the one that serves it.
    pub(crate) reactors: Vec<Arc<Mailbox<Work>>>,
    next_reactor: AtomicUsize,
    last_epoch: AtomicU64,
    shutdown: Shutdown,
}

impl Lifecycle {
    /// Prepares the clients of a gateway, and its requests to the API. `network` is to give a new network
    /// each time.
    ///
    /// # Errors
    /// `invalid_request` for an unknown lane or an API URL that cannot work.
    pub(crate) fn new(
        config: Config,
        engine: &Engine,
        network: impl Fn() -> Arc<Network>,
        observer: Arc<dyn Observer>,
        shutdown: Shutdown,
    ) -> Result<Self, FetchError> {
        let clock = Clock::start();
        let log = ErrorLog::new(&config.name, config.api.as_str(), clock);
        let telemetry = Arc::new(Telemetry::new(observer, log));
        let reactors = std::thread::available_parallelism().map_or(1, usize::from);
        let reactors = reactors.min(MAX_REACTORS);
        let api = Api::new(&config, engine, network, reactors, telemetry.clone())?;
        Ok(Self {
            config,
            telemetry,
            api: Arc::new(api),
            clock,
            table: Table::default(),
            reactors: (0..reactors).map(|_| Arc::default()).collect(),
            next_reactor: AtomicUsize::new(0),
            last_epoch: AtomicU64::new(0),
            shutdown,
        })
    }

    /// Returns true if the gateway accepts no more clients.
    pub(crate) fn is_draining(&self) -> bool {
        self.shutdown.phase() != fetchway_service::Phase::Serving
    }

    /// Returns an epoch that is greater than all before it, those before a restart included.
    pub(crate) fn next_epoch(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_micros() as u64);
        let next = |last: u64| Some(now.max(last + 1));
        let last = &self.last_epoch;
        let last = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(now, |last| now.max(last + 1))
    }

    /// Hands work to the reactor of a connection.
    pub(crate) fn hand_over(&self, state: &State, work: Work) {
        self.reactors[usize::from(state.reactor)].send(work);
    }

    /// Notes that the API has accepted a connection: earlier ones with its id make room. Returns false if
    /// the connection may not stay, as a later one was accepted first.
    pub(crate) fn accepted(&self, connection: &Arc<Connection>) -> bool {
        {
            let mut state = connection.lock();
            if state.phase() == Phase::Gone {
                // Cut off meanwhile.
                return false;
            }
            state.accept();
        }
        add(&self.telemetry.counters.opened);
        let stays = self.make_room(connection);
        self.update_order(&connection.id);
        stays
    }

    /// Closes the connections that this one replaces. Returns false if it is replaced itself.
    fn make_room(&self, connection: &Arc<Connection>) -> bool {
        if self.config.duplicate == Duplicate::Many {
            return true;
        }
        let mut stays = true;
        for other in self.table.find(&connection.id) {
            let counts = {
                let state = other.lock();
                state.is_counted && !state.order.has_ended()
            };
            if !counts || Arc::ptr_eq(&other, connection) {
                continue;
            }
            if other.epoch > connection.epoch {
                stays = false;
            } else {
                self.replace(&other);
            }
        }
        stays
    }

    fn replace(&self, connection: &Arc<Connection>) {
        self.close(connection, REPLACED, "another connection has this id now");
    }

    /// Closes a connection if it was replaced before its socket was there.
    pub(crate) fn close_if_replaced(&self, connection: &Arc<Connection>) {
        if !self.make_room(connection) {
            self.replace(connection);
        }
    }

    /// Gives the socket of a client to a reactor. `early` was read behind the handshake.
    pub(crate) fn attach(&self, connection: Arc<Connection>, socket: Socket, early: Bytes) {
        let reactor = self.next_reactor.fetch_add(1, Ordering::Relaxed) % self.reactors.len();
        connection.lock().reactor = reactor as u8;
        self.reactors[reactor].send(Work::Attach(Attachment {
            connection,
            socket,
            early,
        }));
    }

    /// Keeps the value of `Fetchway-State` that the API wants to have back with each request. An empty one
    /// removes it.
    pub(crate) fn attach_state(&self, connection: &Connection, attached: &HeaderValue) {
        if attached.len() > MAX_STATE {
            let log = &self.telemetry.log;
            return log.problem(Problem::State, &*connection.id);
        }
        let kept = (!attached.is_empty()).then(|| Box::new(attached.clone()));
        connection.lock().attached = kept;
    }

    /// Sends a message to a client, if at most `limit` bytes will wait then, or none do now.
    pub(crate) fn send(
        &self,
        connection: &Arc<Connection>,
        text: bool,
        body: &[u8],
        limit: usize,
    ) -> Pushed {
        let sent = {
            let mut state = connection.lock();
            if state.order.has_ended() {
                return Pushed::Gone;
            }
            if state.unsent() > 0 && state.unsent() + body.len() > limit {
                return Pushed::Full;
            }
            let opcode = if text { Opcode::Text } else { Opcode::Binary };
            let framed = state.frame(opcode, body, self.clock.now());
            framed.map(|()| state.unsent() > 0 || state.is_blocked())
        };
        match sent {
            Ok(waits) => {
                add(&self.telemetry.counters.messages_out);
                if waits { Pushed::Queued } else { Pushed::Sent }
            }
            Err(Broken) => {
                self.disconnect(connection);
                Pushed::Gone
            }
        }
    }

    /// Closes a connection because the gateway restarts.
    pub(crate) fn dismiss(&self, connection: &Arc<Connection>) {
        self.close(connection, RESTART, "this gateway restarts");
    }

    /// Closes an open connection from our side.
    pub(crate) fn close(&self, connection: &Arc<Connection>, code: CloseCode, reason: &str) {
        let closed = {
            let mut state = connection.lock();
            if state.phase() != Phase::Open {
                return;
            }
            let told = Bytes::copy_from_slice(reason.as_bytes());
            self.end(&mut state, Phase::Closing, told);
            state.close(code, reason, self.clock.now())
        };
        match closed {
            Ok(()) => self.update_order(&connection.id),
            Err(Broken) => self.disconnect(connection),
        }
    }

    /// Drops the socket of a client that is gone. The API hears `EOF`, if it has not heard a reason yet.
    pub(crate) fn disconnect(&self, connection: &Arc<Connection>) {
        {
            let mut state = connection.lock();
            if state.phase() == Phase::Gone {
                return;
            }
            self.end(&mut state, Phase::Gone, EOF);
            state.buffers = None;
            if let Some(mut socket) = state.socket.take() {
                socket.close();
                self.hand_over(&state, Work::Remove(state.slot));
            }
            self.table.leave(connection.address);
        }
        self.update_order(&connection.id);
    }

    /// Ends a connection that the API does not want, or cannot say so. Messages that were pushed to it
    /// meanwhile go to the one that it would have replaced.
    pub(crate) fn refuse(&self, connection: &Arc<Connection>) {
        let pushed = {
            let mut state = connection.lock();
            if state.phase() == Phase::Gone {
                // Cut off meanwhile.
                return;
            }
            self.end(&mut state, Phase::Gone, EOF);
            state.buffers.take().map(|buffers| buffers.out)
        };
        self.table.leave(connection.address);
        if let Some(pushed) = pushed.filter(|pushed| !pushed.is_empty()) {
            let others = self.table.find(&connection.id);
            if let Some(other) = others.iter().rev().find(|other| other.is_open()) {
                // A socket that breaks at this very moment is found broken by its next event.
                let _ = other.lock().bytes(&pushed, self.clock.now());
            }
        }
        self.update_order(&connection.id);
    }

    /// Ends a client, which moves to `phase`, and counts that. [`Lifecycle::update_order`] is to follow when
    /// the client's lock is free.
    pub(crate) fn end(&self, state: &mut State, phase: Phase, reason: Bytes) {
        if state.end(phase, reason, !self.config.epochs) {
            add(&self.telemetry.counters.closed);
            add(&self.telemetry.counters.deletes);
        }
    }

    /// Takes the item that goes to the API next, unless the client does not take the replies that it has.
    pub(crate) fn next(&self, state: &mut State) -> Option<Item> {
        if state.phase() == Phase::Open && state.unsent() > self.config.send_buffer {
            return None;
        }
        let item = state.order.next(self.config.order.at_once())?;
        if !item.is_delete() {
            sub(&self.telemetry.counters.queued);
        }
        Some(item)
    }

    /// Decides what the API hears of the ends of all connections with this id, has them sent, and removes
    /// the connections of which it has heard everything.
    pub(crate) fn update_order(&self, id: &str) {
        let all = self.table.with(id, |connections| {
            succession::decide(connections, &self.config);
            connections.to_vec()
        });
        for connection in all {
            let mut state = connection.lock();
            if state.order.has_next(self.config.order.at_once()) {
                self.hand_over(&state, Work::Send(connection.clone()));
            }
            if state.order.is_complete() && !state.is_out {
                state.is_out = true;
                let (waiters, was_open) = (state.waiters.take(), state.is_counted);
                drop(state);
                self.remove(&connection, was_open);
                for waiter in waiters.into_iter().flat_map(|waiters| waiters.0) {
                    // A connection that has been cut off waits no longer.
                    let _ = waiter.send(());
                }
            }
        }
    }

    fn remove(&self, connection: &Arc<Connection>, was_open: bool) {
        if was_open {
            sub(&self.telemetry.counters.deletes);
        }
        self.table.remove(connection, was_open);
    }

    /// Waits until none of these connections has its DELETE at the API.
    pub(crate) async fn after_deletes(&self, others: &[Arc<Connection>]) {
        if self.config.epochs {
            return;
        }
        for other in others {
            let done = {
                let mut state = other.lock();
                state.order.is_deleting().then(|| {
                    let (tell, done) = oneshot::channel();
                    state.waiters.get_or_insert_default().0.push(tell);
                    done
                })
            };
            if let Some(done) = done {
                // Bounded by the queue's timeout.
                let _ = done.await;
            }
        }
    }
}
