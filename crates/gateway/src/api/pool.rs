//! The connections to the API that a reactor's own thread reads and writes, without a task or a future
//! for a message: which message gets which connection.
//!
//! ```text
//!   message ──▶ leave? ──▶ a connection with room? ──yes──▶ sent ──▶ finished
//!                 │no              └no──▶ waits, a connection is dialled ──▶ ┘
//!                 └──▶ given back: the engine waits and tries again (`send`)
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::{Direct, Opened, Timeout};
use fetchway_policy::FetchError;
use fetchway_upstream::Limits;
use http::HeaderValue;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use tokio::time::Instant;

use super::call::{Call, Ended, FREE, Happened, RoomNeeded};
use super::connection::{ApiConnection, broken};
use super::event::{ApiEvent, Granted, Notify};
use super::format::Format;
use super::item::{Client, Item};
use super::protocol::{Next, Protocol};
use super::reply::WANTED;
use super::send::Api;
use crate::reactor::{Readiness, Slots};
use crate::stats::add;
use crate::telemetry::Telemetry;

/// Set in the tokens of connections to the API.
pub(crate) const TOKEN: usize = 1 << 40;

/// Bytes of a response's head.
const HEAD: usize = 64 << 10;

/// Bytes read at a time.
const READ: usize = 64 << 10;

/// The connections of one reactor.
pub(super) struct Pool<P: Protocol> {
    direct: Arc<Direct>,
    telemetry: Arc<Telemetry>,
    notify: Notify<P::Client>,
    registry: Registry,
    format: Format,
    limits: Limits,
    connections: Slots<ApiConnection<P>>,
    /// Connections of HTTP/1.1 without a call. The last one in is the first out, so the others can grow
    /// old.
    idle: Vec<u32>,
    /// Calls that have leave and no connection.
    waiting: VecDeque<Call<P::Client>>,
    dialling: usize,
    last_serial: u64,
    /// Connections of HTTP/2 with something to be written.
    unsent: Vec<u32>,
    /// Connections with more to be read.
    unread: Vec<u32>,
    happened: Happened<P::Client>,
    scratch: Vec<u8>,
    max_idle: usize,
    idle_timeout: Duration,
}

impl<P: Protocol> Pool<P> {
    pub(super) fn new(
        api: &Api,
        direct: Direct,
        registry: Registry,
        notify: Notify<P::Client>,
    ) -> Self {
        let idle = direct.idle();
        Self {
            format: Format::new(&direct, api.base(), api.salt()),
            limits: Limits {
                head: HEAD,
                body: usize::try_from(direct.cap()).unwrap_or(usize::MAX),
                free: FREE,
                wanted: WANTED,
            },
            direct: Arc::new(direct),
            telemetry: api.telemetry().clone(),
            notify,
            registry,
            connections: Slots::default(),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            dialling: 0,
            last_serial: 0,
            unsent: Vec::new(),
            unread: Vec::new(),
            happened: Happened {
                ended: VecDeque::new(),
                needs: Vec::new(),
            },
            scratch: vec![0; READ],
            // Each reactor has its share.
            max_idle: idle.most.div_ceil(api.reactors()),
            idle_timeout: idle.timeout,
        }
    }

    /// Sends a message, or has it wait for a connection. Returns it if the lane has no leave for it at once.
    pub(super) fn send(
        &mut self,
        client: &P::Client,
        item: Item,
        attached: Option<HeaderValue>,
    ) -> Result<(), Item> {
        let Some(leave) = self.direct.leave(item.body().len()) else {
            return Err(item);
        };
        add(&self.telemetry.counters.started);
        let call = Call::new(client.clone(), item, attached, leave);
        if self.waiting.is_empty()
            && let Some(slot) = self.with_room()
        {
            self.send_on(slot, call);
        } else {
            self.waiting.push_back(call);
            self.dial();
        }
        Ok(())
    }

    /// Takes the next call that has ended, counts it, and obeys the API's `Retry-After`.
    pub(super) fn next_ended(&mut self) -> Option<Ended<P::Client>> {
        let ended = self.happened.ended.pop_front()?;
        let result = ended.result.as_ref();
        let status = result.map(|response| response.status).map_err(|u| &u.error);
        (self.telemetry).requested(ended.client.id(), status, ended.took);
        if let Ok(response) = result
            && let Some(value) = response.field("retry-after")
        {
            self.direct.handle_retry_after(response.status, value);
        }
        Some(ended)
    }

    /// Returns a connection that takes a call.
    fn with_room(&mut self) -> Option<u32> {
        if !P::IS_MULTIPLEXED {
            return self.idle.pop();
        }
        let mut all = self.connections.all().iter();
        let slot = all.position(|c| c.as_ref().is_some_and(|c| c.protocol.room() > 0))?;
        Some(slot as u32)
    }

    fn send_on(&mut self, slot: u32, call: Call<P::Client>) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return self.waiting.push_front(call);
        };
        match connection.send(call, &mut self.format) {
            Err(error) => self.close(slot, Some(&broken(&error))),
            Ok(()) if P::IS_MULTIPLEXED => self.unsent.push(slot),
            Ok(()) => {}
        }
    }

    /// Opens connections for the calls that wait: one each in HTTP/1.1, one after the other in HTTP/2, as
    /// each carries many.
    fn dial(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut all = self.connections.all().iter().flatten();
        let wanted = match P::IS_MULTIPLEXED {
            true => usize::from(!all.any(|connection| connection.protocol.is_opening())),
            false => self.waiting.len(),
        };
        while self.dialling < wanted {
            self.dialling += 1;
            let (direct, notify) = (self.direct.clone(), self.notify.clone());
            tokio::spawn(async move { notify(ApiEvent::Dialled(direct.dial().await)) });
        }
    }

    /// Uses a connection that was dialled.
    pub(super) fn dialled(&mut self, opened: Result<Opened, FetchError>) {
        self.dialling -= 1;
        match opened.and_then(|opened| self.register(opened)) {
            Ok(slot) if P::IS_MULTIPLEXED => self.unsent.push(slot),
            Ok(slot) => self.idle.push(slot),
            // The calls that the connection was for fail.
            Err(error) => {
                let failed = match P::IS_MULTIPLEXED {
                    true => self.waiting.len(),
                    false => usize::from(self.waiting.len() > self.dialling),
                };
                let calls = self.waiting.drain(..failed);
                let ended = calls.map(|call| call.failed(error.clone(), true));
                self.happened.ended.extend(ended);
            }
        }
        self.serve_waiting();
    }

    /// Gives a connection its slot, and has its socket watched.
    fn register(&mut self, opened: Opened) -> Result<u32, FetchError> {
        self.last_serial += 1;
        let connection = ApiConnection::new(opened, self.last_serial, &self.limits);
        let fd = connection.fd();
        let slot = self.connections.insert(connection);
        let all = Interest::READABLE | Interest::WRITABLE;
        let token = Token(TOKEN | slot as usize);
        let registered = self.registry.register(&mut SourceFd(&fd), token, all);
        registered.map_err(|error| {
            self.connections.remove(slot);
            broken(&error)
        })?;
        Ok(slot)
    }

    /// Sends the calls that wait, as far as there is room.
    fn serve_waiting(&mut self) {
        while !self.waiting.is_empty()
            && let Some(slot) = self.with_room()
            && let Some(call) = self.waiting.pop_front()
        {
            self.send_on(slot, call);
        }
        self.dial();
    }

    /// Handles what has happened to the socket of a connection.
    pub(super) fn ready(&mut self, slot: u32, readiness: Readiness) {
        if readiness.writable && !self.flush_connection(slot) {
            return;
        }
        if readiness.readable || readiness.ended {
            self.read(slot, readiness.ended);
        }
    }

    /// Writes what waits on a connection. Returns false if it has failed.
    fn flush_connection(&mut self, slot: u32) -> bool {
        if let Some(connection) = self.connections.get_mut(slot)
            && let Err(error) = connection.flush()
        {
            self.close(slot, Some(&broken(&error)));
            return false;
        }
        true
    }

    fn read(&mut self, slot: u32, all: bool) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let was_idle = connection.protocol.is_idle();
        let next = connection.read(&mut self.scratch, all, &self.limits, &mut self.happened);
        let serial = connection.serial;
        let is_free = !was_idle && connection.protocol.is_idle();
        for needed in std::mem::take(&mut self.happened.needs) {
            self.make_room(slot, serial, &needed);
        }
        match next {
            Next::Close => self.close(slot, None),
            // The machine's own frames, and what the windows held back.
            _ if P::IS_MULTIPLEXED => self.unsent.push(slot),
            _ if is_free => self.idle.push(slot),
            _ => {}
        }
        if next == Next::ReadMore {
            self.unread.push(slot);
        }
        self.serve_waiting();
    }

    /// Waits for room for more of a response, in a task.
    fn make_room(&mut self, slot: u32, serial: u64, needed: &RoomNeeded) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let stream = needed.stream;
        let call = connection.protocol.call(stream);
        let hold = call.and_then(|call| call.hold.take());
        let mut hold = hold.unwrap_or_else(|| self.direct.hold());
        // Twice as much each time, so that a long response waits a few times only.
        let bytes = needed.held.min(self.direct.cap());
        let notify = self.notify.clone();
        tokio::spawn(async move {
            // Without an account there is nobody to answer.
            if hold.more(bytes).await.is_ok() {
                notify(ApiEvent::Granted(Granted {
                    slot,
                    serial,
                    stream,
                    bytes,
                    hold,
                }));
            }
        });
    }

    /// Goes on with a response that there is room for now.
    pub(super) fn granted(&mut self, granted: Granted) {
        let slot = granted.slot;
        let connection = self.connections.get_mut(slot);
        if let Some(connection) = connection.filter(|c| c.serial == granted.serial) {
            connection.resume(granted.stream, granted.bytes, granted.hold);
            self.read(slot, true);
        }
    }

    /// Closes a connection that is of no more use. With an error, the calls on it fail.
    fn close(&mut self, slot: u32, error: Option<&FetchError>) {
        // Its drop closes the socket, which so leaves the epoll set.
        let Some(mut connection) = self.connections.remove(slot) else {
            return;
        };
        if let Some(error) = error {
            connection.fail(error, &mut self.happened);
        }
        self.idle.retain(|idle| *idle != slot);
    }

    /// Ends a turn of the reactor: goes on reading where a connection's own turn was over, and writes what
    /// has gathered.
    pub(super) fn flush(&mut self) {
        for slot in std::mem::take(&mut self.unread) {
            self.read(slot, true);
        }
        while let Some(slot) = self.unsent.pop() {
            self.flush_connection(slot);
        }
        self.serve_waiting();
    }

    /// Returns true if the reactor must not wait, as there is something to be written, read or taken.
    pub(super) fn is_busy(&self) -> bool {
        !(self.unsent.is_empty() && self.unread.is_empty() && self.happened.ended.is_empty())
    }

    /// Fails calls that take too long, and closes connections that have been idle for too long.
    pub(super) fn sweep(&mut self) {
        let (direct, clocks, now) = (self.direct.clone(), self.direct.clocks(), Instant::now());
        let late = |call: &Call<P::Client>, has_begun: bool, heard: Instant| {
            let took = now - call.leave.began();
            let timeout = match has_begun {
                _ if took > clocks.total => Timeout::Total,
                false if took > clocks.header => Timeout::Header,
                true if now - heard > clocks.body_idle => Timeout::BodyIdle,
                _ => return None,
            };
            Some(direct.timed_out(timeout))
        };
        // Calls that wait for a connection in vain are tried through the engine, whose error says why.
        let in_vain = |call: &Call<P::Client>| now - call.leave.began() > clocks.connect;
        while self.waiting.front().is_some_and(in_vain)
            && let Some(call) = self.waiting.pop_front()
        {
            let ended = call.failed(direct.timed_out(Timeout::Header), true);
            self.happened.ended.push_back(ended);
        }
        for slot in 0..self.connections.all().len() as u32 {
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            let idle = now - connection.used;
            let protocol = &connection.protocol;
            let is_old = protocol.is_idle()
                && (idle > self.idle_timeout || protocol.is_opening() && idle > clocks.connect);
            if connection.expire(late, &mut self.happened) == Next::Close || is_old {
                self.close(slot, None);
            } else if P::IS_MULTIPLEXED {
                self.unsent.push(slot);
            }
        }
        while self.idle.len() > self.max_idle {
            // The connection that has been idle for longest.
            self.close(self.idle[0], None);
        }
    }
}
