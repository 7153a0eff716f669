//! The clients of one reactor: their messages go down to the API, and its replies come back up.
//!
//! ```text
//!   socket ──▶ reader ──▶ order ──▶ sender ──▶ API
//!   socket ◀── reply ◀── finished ◀────────────────┘
//! ```
//!
//! Everything of a message happens on the reactor's thread, and nothing waits for anything: no task, no
//! future, and no lock but the client's and the lane's.

use std::sync::Arc;

use fetchway_ws::{CloseCode, Opcode};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use parking_lot::MutexGuard;

use super::connection::{Connection, Phase, State};
use super::lifecycle::Lifecycle;
use super::liveness::{Check, IDLE, SLICES, check};
use super::reader::{ReadOutcome, Reader};
use super::work::{Attachment, Work};
use crate::api::{Finished, Item, Reply, Sender, TOKEN, is_text};
use crate::config::OnLoss;
use crate::reactor::{Driver, Readiness, Slots};

/// Bytes read at a time.
const READ: usize = 64 << 10;

/// Close code: a message was lost (RFC 6455's 1011, an unexpected condition).
const LOST: CloseCode = CloseCode::Private(1011);

/// Serves the clients of one reactor, on its thread.
pub(crate) struct Traffic {
    life: Arc<Lifecycle>,
    sender: Sender<Arc<Connection>>,
    registry: Registry,
    clients: Slots<Arc<Connection>>,
    /// The slice of clients that is checked next.
    next_slice: u32,
    /// Every socket is read into this: an idle client owns no buffer.
    scratch: Vec<u8>,
}

impl Driver for Traffic {
    type Work = Work;

    fn ready(&mut self, token: usize, readiness: Readiness) {
        if token & TOKEN == 0 {
            if let Some(connection) = self.clients.get(token as u32).cloned() {
                self.client_ready(&connection, readiness);
            }
        } else {
            self.sender.ready(token, readiness);
            self.take_finished();
        }
    }

    fn work(&mut self, work: Work) {
        match work {
            Work::Attach(attachment) => self.attach(attachment),
            Work::Read(connection) => {
                connection.lock().is_unread = false;
                self.read(&connection, true);
            }
            Work::Send(connection) => self.send_due(&connection, &mut connection.lock()),
            Work::Remove(slot) => drop(self.clients.remove(slot)),
            Work::Api(event) => {
                self.sender.event(event);
                self.take_finished();
            }
        }
    }

    fn sweep(&mut self) {
        self.next_slice = (self.next_slice + 1) % SLICES;
        let all = self.clients.all();
        let len = all.len().div_ceil(SLICES as usize);
        let begin = len * self.next_slice as usize;
        let slice = all.iter().skip(begin).take(len).flatten();
        for connection in slice.cloned().collect::<Vec<_>>() {
            self.check(&connection);
        }
        self.life.table.sweep();
        self.life.telemetry.log.sweep();
        self.sender.sweep();
        self.take_finished();
    }

    fn end_turn(&mut self) -> bool {
        self.sender.flush();
        self.take_finished();
        self.sender.is_busy()
    }
}

impl Traffic {
    /// Prepares to serve the clients of a reactor, whose sockets `registry` watches.
    pub(crate) fn new(
        life: Arc<Lifecycle>,
        sender: Sender<Arc<Connection>>,
        registry: Registry,
    ) -> Self {
        Self {
            life,
            sender,
            registry,
            clients: Slots::default(),
            next_slice: 0,
            scratch: vec![0; READ],
        }
    }

    /// Takes over the socket of a client that the API has accepted.
    fn attach(&mut self, attachment: Attachment) {
        let connection = &attachment.connection;
        let mut state = connection.lock();
        if state.phase() == Phase::Gone {
            // Cut off meanwhile.
            return;
        }
        let (fd, now) = (attachment.socket.fd(), self.life.clock.now());
        state.slot = self.clients.insert(connection.clone());
        state.socket = Some(attachment.socket);
        state.open(now);
        // Pushes that came before the socket could not be taken until now.
        let mut dismissed = None;
        if let Some(buffers) = &mut state.buffers {
            buffers.stalled_since = now;
            dismissed = buffers.dismissed.take();
        }
        let flushed = state.flush(now);
        state.trim();
        // Before anything can be read that comes behind it.
        let outcome = Reader(&self.life).begin(&mut state, &attachment.early);
        let all = Interest::READABLE | Interest::WRITABLE;
        let token = Token(state.slot as usize);
        let watched = self.registry.register(&mut SourceFd(&fd), token, all);
        if flushed.is_err() || watched.is_err() {
            drop(state);
            return self.life.disconnect(connection);
        }
        self.after_read(connection, state, outcome);
        self.life.close_if_replaced(connection);
        if let Some(dismissed) = dismissed {
            self.life.close(connection, dismissed.0, &dismissed.1);
        }
        if self.life.is_draining() {
            self.life.dismiss(connection);
        }
    }

    /// Handles what has happened to a client's socket.
    fn client_ready(&mut self, connection: &Arc<Connection>, readiness: Readiness) {
        if readiness.writable && !self.flush(connection) {
            return;
        }
        if readiness.readable || readiness.ended {
            self.read(connection, readiness.ended);
        }
    }

    /// Writes what waits for a client. Returns false if the client is gone.
    fn flush(&mut self, connection: &Arc<Connection>) -> bool {
        let mut state = connection.lock();
        let before = state.unsent();
        if before == 0 && !state.is_blocked() {
            return true;
        }
        if state.flush(self.life.clock.now()).is_err() {
            drop(state);
            self.life.disconnect(connection);
            return false;
        }
        let half = self.life.config.send_buffer / 2;
        // The client's own messages have waited for the replies to be taken.
        let is_ready = before > half && state.unsent() <= half;
        if is_ready {
            self.send_due(connection, &mut state);
        }
        state.trim();
        drop(state);
        if is_ready {
            self.resume(connection);
        }
        true
    }

    /// Reads what has come from a client, unless too much of it waits.
    fn read(&mut self, connection: &Arc<Connection>, all: bool) {
        let mut state = connection.lock();
        if !state.is_paused() {
            let outcome = Reader(&self.life).read(&mut state, &mut self.scratch, all);
            self.after_read(connection, state, outcome);
        }
    }

    /// Goes on reading a client that was not read, as too much of it waited.
    fn resume(&mut self, connection: &Arc<Connection>) {
        let mut state = connection.lock();
        let paused = state.buffers.as_mut().map(|buffers| &mut buffers.paused);
        if paused.is_some_and(std::mem::take) {
            drop(state);
            self.read(connection, true);
        }
    }

    /// Has a client be read in a later turn, unless it will be already.
    fn read_later(&self, connection: &Arc<Connection>) {
        let mut state = connection.lock();
        if !std::mem::replace(&mut state.is_unread, true) {
            self.life.hand_over(&state, Work::Read(connection.clone()));
        }
    }

    fn after_read(
        &mut self,
        connection: &Arc<Connection>,
        mut state: MutexGuard<'_, State>,
        outcome: ReadOutcome,
    ) {
        self.send_due(connection, &mut state);
        if let ReadOutcome::Breach(code, reason) = outcome {
            state.buffers().broken = Some((code, reason));
        }
        state.trim();
        drop(state);
        match outcome {
            ReadOutcome::Wait => {}
            ReadOutcome::ReadMore => self.read_later(connection),
            ReadOutcome::Gone => self.life.disconnect(connection),
            ReadOutcome::Breach(..) => self.close_if_broken(connection),
        }
    }

    /// Closes a client that has broken the protocol, as soon as its earlier messages are answered.
    fn close_if_broken(&self, connection: &Arc<Connection>) {
        let broken = {
            let state = connection.lock();
            let broken = state.buffers.as_ref().and_then(|buffers| buffers.broken);
            broken.filter(|_| state.order.is_quiet())
        };
        let Some((code, reason)) = broken else {
            return;
        };
        self.life.close(connection, code, reason);
        {
            let mut state = connection.lock();
            if let Some(buffers) = &mut state.buffers {
                buffers.broken = None;
                buffers.paused = false;
            }
            state.trim();
        }
        // From now on it is read for its Close, which may be there already.
        self.read_later(connection);
    }

    /// Sends to the API what may go there now.
    fn send_due(&mut self, connection: &Arc<Connection>, state: &mut State) {
        while let Some(item) = self.life.next(state) {
            let attached = state.attached.as_deref().cloned();
            self.sender.send(connection, item, attached);
        }
    }

    /// Goes on with the items that the API has taken, or that are lost.
    fn take_finished(&mut self) {
        while let Some(finished) = self.sender.next_finished() {
            self.finished(finished);
        }
    }

    /// Hands a reply to the client, and has the next item go to the API.
    fn finished(&mut self, finished: Finished<Arc<Connection>>) {
        let Finished {
            client: connection,
            item,
            reply,
        } = finished;
        match reply {
            Some(reply) => self.replied(&connection, &item, &reply),
            None => self.lost(&connection, &item),
        }
        let (is_paused, ended) = {
            let mut state = connection.lock();
            state.order.done();
            self.send_due(&connection, &mut state);
            (state.is_paused(), state.order.has_ended())
        };
        if is_paused {
            self.resume(&connection);
        }
        self.close_if_broken(&connection);
        // The last message of a client that is gone makes way for its DELETE.
        if ended {
            self.life.update_order(&connection.id);
        }
    }

    /// Hands the API's reply to the client, if there is something for it.
    fn replied(&self, connection: &Arc<Connection>, item: &Item, reply: &Reply) {
        if let Some(attached) = &reply.state {
            self.life.attach_state(connection, attached);
        }
        // Whatever the API says to a DELETE, it has heard of it.
        if item.is_delete() {
            return;
        }
        if reply.is_message() {
            let text = is_text(reply.media_type.as_ref(), &reply.body);
            // Whatever waits for the client already: no further message goes to the API before the
            // client has taken it. A client that is gone meanwhile gets nothing.
            let _ = self.life.send(connection, text, &reply.body, usize::MAX);
        } else if !reply.status.is_success() {
            let status = reply.status.as_str();
            self.life.telemetry.not_taken(&connection.id, status);
            // A 3xx or 4xx is the API's answer to the message. With a 5xx its fate is unknown.
            if reply.status.is_server_error() {
                self.lost(connection, item);
            }
        }
    }

    /// Counts a message or DELETE that the API has not taken, and will not get again. The client sees of a
    /// lost message what is configured.
    fn lost(&self, connection: &Arc<Connection>, item: &Item) {
        self.life.telemetry.lost(&connection.id);
        match &self.life.config.on_loss {
            _ if item.is_delete() => {}
            OnLoss::Nothing => {}
            OnLoss::Message(text) => {
                // A client that cannot take it is gone, or takes too little, and learns it by that.
                let _ = self
                    .life
                    .send(connection, true, text.as_bytes(), usize::MAX);
            }
            OnLoss::Close => {
                let reason = "a message could not be delivered";
                self.life.close(connection, LOST, reason);
            }
        }
    }

    /// Looks after the timeouts of a client.
    fn check(&mut self, connection: &Arc<Connection>) {
        let (life, now) = (&self.life, self.life.clock.now());
        let mut state = connection.lock();
        let is_full = Reader(life).is_full(&state);
        let result = check(connection, &mut state, is_full, &life.config, now);
        let mut is_broken = result == Check::Stuck;
        if result == Check::Ping {
            state.pinged = true;
            is_broken = state.frame(Opcode::Ping, b"", now).is_err();
        }
        drop(state);
        match result {
            _ if is_broken => self.life.disconnect(connection),
            Check::Resume => self.resume(connection),
            Check::Idle => {
                let reason = "nothing was received for the idle timeout";
                self.life.close(connection, IDLE, reason);
            }
            Check::Nothing | Check::Ping | Check::Stuck => {}
        }
    }
}
