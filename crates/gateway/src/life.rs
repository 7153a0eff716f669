//! How connections with one id follow each other, and what the API hears of their ends.
//!
//! A plain API knows ids only: a DELETE that came after the GET of a reconnect would unregister the
//! client that is there. So, unless the API knows epochs:
//! - the DELETE of one that has a successor is not sent;
//! - while a successor is being asked for, it waits for what becomes of that;
//! - a successor is asked for only when no DELETE of its id is on its way;
//! - a DELETE waits until all messages of the others that have ended are delivered.
//!
//! With `duplicate = "replace"` a successor's messages wait for them too: it is the same client.

use std::sync::Arc;

use bytes::Bytes;
use fetchway_ws::CloseCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::Duplicate;
use crate::conn::{Conn, Phase, State};
use crate::gateway::Inner;
use crate::order::{Item, What};
use crate::stats::{add, sub};

/// Close code: another connection has the id now.
const REPLACED: CloseCode = CloseCode::Private(4001);

/// What the connections with one id are at together.
#[derive(Default)]
struct Seen {
    /// The greatest epoch of those whose DELETE waits or is at the API.
    last_told: u64,
    /// One that the API has accepted is there.
    stays: bool,
    /// It is being asked for one.
    asks: bool,
    /// Those that have ended and whose messages it has not all heard: how many, and the least epoch.
    owing: usize,
    oldest_owing: u64,
}

/// What one of them owed the API then.
#[derive(Clone, Copy)]
struct Owes {
    delete: bool,
    messages: bool,
}

impl Seen {
    fn add(&mut self, conn: &Conn) -> Owes {
        let state = conn.lock();
        let ended = state.order.has_ended();
        let owes = Owes {
            delete: state.order.owes_delete(),
            messages: ended && state.order.owes_messages(),
        };
        if owes.delete || state.order.is_deleting() {
            self.last_told = self.last_told.max(conn.epoch);
        }
        self.stays |= !ended && state.is_counted;
        self.asks |= !ended && !state.is_counted;
        if owes.messages {
            let is_older = self.owing == 0 || conn.epoch < self.oldest_owing;
            self.oldest_owing = if is_older {
                conn.epoch
            } else {
                self.oldest_owing
            };
            self.owing += 1;
        }
        owes
    }
}

impl Inner {
    /// The connection takes no more and gives no more: what it has sent still goes to the API, and then
    /// `reason`.
    pub(crate) fn ended(self: &Arc<Self>, conn: &Arc<Conn>, reason: Bytes) {
        self.end(&mut conn.lock(), reason);
        self.settle(&conn.id);
    }

    /// The same under the client's lock. It is to be settled when that is free.
    pub(crate) fn end(&self, state: &mut State, reason: Bytes) {
        if state.order.has_ended() {
            return;
        }
        let told = state.is_counted;
        if told {
            add(&self.counters.closed);
            add(&self.counters.deletes);
        }
        // Until it is decided: nobody must send it before.
        state.order.hold(!self.config.epochs);
        state.order.end(reason, told, Instant::now());
    }

    /// Decides what the API hears of the ends of all connections with this id.
    pub(crate) fn settle(self: &Arc<Self>, id: &str) {
        let all = self.table.with(id, |conns| {
            // One pass to see and one to decide: an id may have thousands.
            let mut seen = Seen::default();
            let owing: Vec<Owes> = conns.iter().map(|conn| seen.add(conn)).collect();
            for (conn, owes) in conns.iter().zip(owing) {
                self.decide(conn, owes, &seen);
            }
            conns.to_vec()
        });
        for conn in all {
            self.pump(&conn, &mut conn.lock());
            self.leave_if_over(&conn);
        }
    }

    /// Decides what becomes of what one connection owes the API. One that has ended after it was seen is
    /// settled once more.
    fn decide(&self, conn: &Arc<Conn>, owes: Owes, seen: &Seen) {
        let mut state = conn.lock();
        if owes.delete && !self.config.epochs {
            if seen.stays || seen.last_told > conn.epoch {
                state.order.forget_end();
            }
            let others_owe = seen.owing > usize::from(owes.messages);
            state.order.hold(seen.asks || others_owe);
        }
        // To an API that knows ids only these are one client's messages.
        let behind = seen.owing > 0 && seen.oldest_owing < conn.epoch;
        let follows = self.config.duplicate != Duplicate::Many;
        state.order.queue_behind(behind && follows);
    }

    /// Takes a connection of which the API has heard all out of the table.
    fn leave_if_over(&self, conn: &Arc<Conn>) {
        let (waiters, was_open) = {
            let mut state = conn.lock();
            if !state.order.is_over() || state.is_out {
                return;
            }
            state.is_out = true;
            (state.waiters.take(), state.is_counted)
        };
        if was_open {
            sub(&self.counters.deletes);
        }
        self.table.remove(conn, was_open);
        for waiter in waiters.into_iter().flat_map(|waiters| waiters.0) {
            // Who waits no longer needs no telling.
            let _ = waiter.send(());
        }
    }

    /// Waits until no DELETE for an id is at the API.
    pub(crate) async fn after_deletes(&self, others: &[Arc<Conn>]) {
        if self.config.epochs {
            return;
        }
        for other in others {
            let over = {
                let mut state = other.lock();
                state.order.is_deleting().then(|| {
                    let (tell, told) = oneshot::channel();
                    state.waiters.get_or_insert_default().0.push(tell);
                    told
                })
            };
            if let Some(over) = over {
                // Its end is bounded by the queue's timeout.
                let _ = over.await;
            }
        }
    }

    /// The API has accepted a connection: those before it with its id make room. Gives whether it may
    /// stay: not if a later one was accepted first.
    pub(crate) fn accepted(self: &Arc<Self>, conn: &Arc<Conn>) -> bool {
        {
            let mut state = conn.lock();
            if state.phase == Phase::Gone {
                // It was cut off meanwhile.
                return false;
            }
            state.phase = Phase::Accepted;
            state.is_counted = true;
        }
        add(&self.counters.opened);
        let stays = self.make_room(conn);
        self.settle(&conn.id);
        stays
    }

    /// Closes the connections that this one replaces. Gives whether it is replaced itself.
    fn make_room(self: &Arc<Self>, conn: &Arc<Conn>) -> bool {
        if self.config.duplicate == Duplicate::Many {
            return true;
        }
        let mut stays = true;
        for other in self.table.find(&conn.id) {
            let counts = {
                let state = other.lock();
                state.is_counted && !state.order.has_ended()
            };
            if !counts || Arc::ptr_eq(&other, conn) {
                continue;
            }
            if other.epoch > conn.epoch {
                stays = false;
            } else {
                self.replaced(&other);
            }
        }
        stays
    }

    fn replaced(self: &Arc<Self>, conn: &Arc<Conn>) {
        self.close(conn, REPLACED, "another connection has this id now");
    }

    /// Closes one that was replaced before its socket was there.
    pub(crate) fn close_if_replaced(self: &Arc<Self>, conn: &Arc<Conn>) {
        if !self.make_room(conn) {
            self.replaced(conn);
        }
    }

    /// What goes to the API next, unless the client does not take the answers that it has.
    pub(crate) fn next(&self, state: &mut State) -> Option<Item> {
        if state.phase == Phase::Open && state.unsent() > self.config.send_buffer {
            return None;
        }
        state.order.next(self.config.order.at_once())
    }

    /// Sends to the API what may go there now.
    pub(crate) fn pump(self: &Arc<Self>, conn: &Arc<Conn>, state: &mut State) {
        while let Some(item) = self.next(state) {
            if let What::Message { .. } = item.what {
                sub(&self.counters.queued);
            }
            if let Some(item) = self.post(conn, state, item) {
                self.spawn(conn, state.reactor, item, false);
            }
        }
    }
}
