//! What a client sends and takes: reading, answering, pings, and how its connection ends.

use std::cell::RefCell;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use fetchway_ws::{CloseCode, Event, FrameReader, Opcode, ProtocolError, Received};
use tokio::time::Instant;

use crate::conn::{Broken, Conn, Phase, State};
use crate::gateway::Inner;
use crate::reactor::Ready;
use crate::socket::Socket;
use crate::stats::add;

/// Bytes read at a time.
const READ: usize = 64 << 10;

/// Reads of one client in a row: one that sends as fast as it can must not keep others waiting.
const TURN: usize = 8;

/// Tenths of seconds that a client may take to answer our Close.
const CLOSING: u32 = 50;

/// Close code: nothing was heard for the idle timeout.
const IDLE: CloseCode = CloseCode::Private(4408);

/// Close code: a message was lost (RFC 6455's 1011, an unexpected condition).
const LOST: CloseCode = CloseCode::Private(1011);

/// What the API is told of a client that vanished without a Close.
pub(crate) const EOF: Bytes = Bytes::from_static(b"EOF");

thread_local! {
    /// Where every socket of this thread is read into: an idle client owns no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// How a client's connection goes on.
pub(crate) enum Next {
    On,
    /// There is more to be read, but others have their turn first.
    Again,
    /// The client has closed it, with this reason.
    Closed(Bytes),
    /// It is gone without a word.
    Eof,
    /// We close it.
    Close(CloseCode, &'static str),
}

impl From<Broken> for Next {
    fn from(Broken: Broken) -> Self {
        Self::Eof
    }
}

impl From<ProtocolError> for Next {
    fn from(error: ProtocolError) -> Self {
        Self::Close(error.code, error.reason)
    }
}

/// After how much silence a client is pinged: between half the interval and all of it, each at a time of
/// its own, or those that have come at once would be pinged at once ever after.
fn ping_after(interval: u32, epoch: u64) -> u32 {
    let half = interval / 2;
    // Spreads numbers that follow each other over all of 32 bits.
    let share = epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    half + ((u64::from(half) * share) >> 32) as u32
}

impl Inner {
    /// Something has happened to a client's socket.
    pub(crate) fn ready(self: &Arc<Self>, conn: &Arc<Conn>, ready: Ready) {
        let mut state = conn.lock();
        if ready.writable && (state.unsent() > 0 || state.is_blocked()) {
            let before = state.unsent();
            if state.flush(self.now()).is_err() {
                drop(state);
                return self.gone(conn, EOF);
            }
            let half = self.config.send_buffer / 2;
            if before > half && state.unsent() <= half {
                // Its own messages waited for the answers to be taken.
                self.pump(conn, &mut state);
                if state.is_paused() {
                    drop(state);
                    self.read_on(conn);
                    state = conn.lock();
                }
            }
            state.rest();
        }
        if ready.readable || ready.ended {
            drop(state);
            self.read(conn, ready.ended);
        }
    }

    /// Reads what there is. `all`: to the very end, as a short read may have hidden it.
    fn read(self: &Arc<Self>, conn: &Arc<Conn>, all: bool) {
        let mut state = conn.lock();
        if state.is_paused() {
            return;
        }
        let next = SCRATCH.with_borrow_mut(|scratch| self.read_into(&mut state, scratch, all));
        self.go_on(conn, state, next);
    }

    /// Has a client's turn to be read come once more, unless it is coming already.
    fn again(&self, conn: &Arc<Conn>) {
        let reactor = {
            let mut state = conn.lock();
            if std::mem::replace(&mut state.is_unread, true) {
                return;
            }
            state.reactor
        };
        self.reactors[usize::from(reactor)].again(conn);
    }

    /// Goes on reading where the last turn ended.
    pub(crate) fn read_again(self: &Arc<Self>, conn: &Arc<Conn>) {
        conn.lock().is_unread = false;
        self.read(conn, true);
    }

    /// There is room again for what a client sends.
    pub(crate) fn read_on(self: &Arc<Self>, conn: &Arc<Conn>) {
        {
            let mut state = conn.lock();
            let Some(traffic) = &mut state.traffic else {
                return;
            };
            if !traffic.paused {
                return;
            }
            traffic.paused = false;
        }
        self.read(conn, true);
    }

    /// Takes what was read along with the handshake.
    pub(crate) fn begin(&self, state: &mut State, early: &[u8]) -> Next {
        match self.feed(state, &mut early.to_vec()) {
            // TLS may have more that it has read already, of which the system will tell nothing.
            Ok(()) if state.socket.as_ref().is_some_and(Socket::reads_ahead) => Next::Again,
            Ok(()) => Next::On,
            Err(next) => next,
        }
    }

    pub(crate) fn go_on(
        self: &Arc<Self>,
        conn: &Arc<Conn>,
        mut state: MutexGuard<'_, State>,
        next: Next,
    ) {
        self.pump(conn, &mut state);
        if let Next::Close(code, reason) = next {
            state.traffic().broken = Some((code, reason));
        }
        state.rest();
        drop(state);
        match next {
            Next::On => {}
            Next::Again => self.again(conn),
            Next::Closed(reason) => self.gone(conn, reason),
            Next::Eof => self.gone(conn, EOF),
            Next::Close(..) => self.close_if_broken(conn),
        }
    }

    /// Closes a client that has broken the protocol, as soon as what it has sent before is answered.
    pub(crate) fn close_if_broken(self: &Arc<Self>, conn: &Arc<Conn>) {
        let broken = {
            let state = conn.lock();
            let broken = state.traffic.as_ref().and_then(|traffic| traffic.broken);
            broken.filter(|_| state.order.is_quiet())
        };
        let Some((code, reason)) = broken else {
            return;
        };
        self.close(conn, code, reason);
        {
            let mut state = conn.lock();
            if let Some(traffic) = &mut state.traffic {
                traffic.broken = None;
                traffic.paused = false;
            }
            state.rest();
        }
        // From now on it is read for its Close, which may be there already.
        self.again(conn);
    }

    fn read_into(&self, state: &mut State, scratch: &mut [u8], all: bool) -> Next {
        for _ in 0..TURN {
            // What was read before the pause comes first.
            if (state.traffic.as_ref()).is_some_and(|traffic| !traffic.reading.is_idle())
                && let Err(next) = self.feed(state, &mut [])
            {
                return next;
            }
            if self.is_full(state) {
                state.traffic().paused = true;
                return Next::On;
            }
            let Some(socket) = &mut state.socket else {
                return Next::On;
            };
            let short_is_empty = socket.short_is_empty() && !all;
            let n = match socket.read(scratch) {
                Ok(0) => return Next::Eof,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Next::On,
                Err(_) => return Next::Eof,
            };
            // One that is being closed has so long for its Close, whatever else it sends.
            if state.phase != Phase::Closing {
                (state.heard, state.pinged) = (self.now(), false);
            }
            if let Err(next) = self.feed(state, &mut scratch[..n]) {
                return next;
            }
            if n < scratch.len() && short_is_empty && !state.is_paused() && !self.is_full(state) {
                return Next::On;
            }
        }
        Next::Again
    }

    /// Whether so much of a client waits that it is not read.
    fn is_full(&self, state: &mut State) -> bool {
        let config = &self.config;
        // Nothing behind a breach counts. It stays with the system until the breach is dealt with.
        (state.traffic.as_ref()).is_some_and(|traffic| traffic.broken.is_some())
            || state.order.waiting() >= config.queue_messages
            || state.order.waiting_bytes() >= config.queue_bytes
            || state.unsent() > config.send_buffer
            || config.rate > 0 && {
                let second = self.now() / 10;
                state.counted_at == second && state.count >= config.rate
            }
    }

    /// Takes the bytes of a read, and before them what earlier ones have left, until too much waits.
    fn feed(&self, state: &mut State, bytes: &mut [u8]) -> Result<(), Next> {
        let reading = (state.traffic.as_mut()).map(|traffic| std::mem::take(&mut traffic.reading));
        let reading = reading.unwrap_or_default();
        let mut slice = reading.with(bytes, self.config.max_message);
        let fed = self.take(state, &mut slice);
        // Of a message that is too long the rest still comes, and behind it the client's Close.
        let reading = slice.keep();
        if !reading.is_idle() {
            state.traffic().reading = reading;
        }
        fed
    }

    fn take(&self, state: &mut State, slice: &mut FrameReader<'_>) -> Result<(), Next> {
        while !self.is_full(state) && state.phase != Phase::Gone {
            match slice.next()? {
                Some(Received::Message(text, data)) => {
                    self.message(state, text, Bytes::copy_from_slice(data));
                }
                Some(Received::Event(event)) => self.event(state, event)?,
                None => break,
            }
        }
        Ok(())
    }

    fn event(&self, state: &mut State, event: Event) -> Result<(), Next> {
        match event {
            Event::Message(message) => {
                self.message(state, message.text, message.data.freeze());
            }
            // Of one that is being closed all is passed over but its Close.
            Event::TooLong(_) if state.phase != Phase::Open => {}
            Event::TooLong(_) => {
                let reason = "a message is longer than this gateway takes";
                return Err(Next::Close(CloseCode::TooBig, reason));
            }
            Event::Ping(payload) => {
                if state.phase == Phase::Open && state.unsent() <= self.config.send_buffer {
                    state.frame(Opcode::Pong, &payload, self.now())?;
                }
            }
            Event::Pong(_) => {}
            Event::Close(code, reason) => {
                if state.phase == Phase::Open {
                    // Its own code comes back (RFC 6455 section 5.5.1). That it is gone by now is all
                    // the same.
                    let code = match code {
                        1005 => CloseCode::Normal,
                        code => CloseCode::Private(code),
                    };
                    let _ = state.close(code, "", self.now());
                }
                return Err(Next::Closed(reason.into()));
            }
        }
        Ok(())
    }

    fn message(&self, state: &mut State, text: bool, data: Bytes) {
        if state.phase != Phase::Open {
            return;
        }
        add(&self.counters.messages_in);
        if self.config.rate > 0 {
            let second = self.now() / 10;
            if state.counted_at != second {
                (state.counted_at, state.count) = (second, 0);
            }
            state.count += 1;
        }
        add(&self.counters.queued);
        state.order.message(text, data, Instant::now());
    }

    /// Looks at a client that may have been silent, or deaf, for long.
    pub(crate) fn look_at(self: &Arc<Self>, conn: &Arc<Conn>) {
        let now = self.now();
        let tenths = |time: std::time::Duration| (time.as_millis() / 100).max(1) as u32;
        let config = &self.config;
        let mut state = conn.lock();
        let silent = now.saturating_sub(state.heard);
        if state.phase == Phase::Closing && silent > CLOSING {
            drop(state);
            return self.gone(conn, EOF);
        }
        if state.unsent() > 0 || state.is_blocked() {
            // One that does not take what is written cannot be heard.
            let since = (state.traffic.as_ref()).map_or(state.heard, |t| t.stalled_since);
            if now.saturating_sub(since) >= tenths(config.write_stall) {
                drop(state);
                return self.gone(conn, EOF);
            }
            return;
        }
        if state.is_paused() {
            if state.phase == Phase::Open {
                state.heard = now;
            }
            let throttled = !self.is_full(&mut state);
            drop(state);
            if throttled {
                self.read_on(conn);
            }
            return;
        }
        if state.phase != Phase::Open {
            return;
        }
        if silent >= tenths(config.idle_timeout) {
            drop(state);
            return self.close(conn, IDLE, "nothing was heard for the idle timeout");
        }
        if silent >= ping_after(tenths(config.ping_interval), conn.epoch) && !state.pinged {
            state.pinged = true;
            let broken = state.frame(Opcode::Ping, b"", now).is_err();
            drop(state);
            if broken {
                self.gone(conn, EOF);
            }
        }
    }

    /// A message was lost: the client sees of it what is configured.
    pub(crate) fn lost(self: &Arc<Self>, conn: &Arc<Conn>) {
        use crate::config::OnLoss;
        self.count_loss(conn);
        match &self.config.on_loss {
            OnLoss::Nothing => {}
            OnLoss::Message(text) => {
                // One that cannot take it is gone, or takes too little: it is told by that.
                let _ = self.send(conn, true, text.as_bytes());
            }
            OnLoss::Close => self.close(conn, LOST, "a message could not be delivered"),
        }
    }

    /// Closes a client's connection from our side.
    pub(crate) fn close(self: &Arc<Self>, conn: &Arc<Conn>, code: CloseCode, reason: &str) {
        let broken = {
            let mut state = conn.lock();
            if state.phase != Phase::Open {
                return;
            }
            let broken = state.close(code, reason, self.now()).is_err();
            if !broken {
                // Now: the API hears our reason, however soon the client's own Close comes.
                self.end(&mut state, Bytes::copy_from_slice(reason.as_bytes()));
            }
            broken
        };
        match broken {
            true => self.gone(conn, EOF),
            false => self.settle(&conn.id),
        }
    }

    /// A client is gone, and `reason` is what the API hears of it, if it has not heard of it yet.
    pub(crate) fn gone(self: &Arc<Self>, conn: &Arc<Conn>, reason: Bytes) {
        {
            let mut state = conn.lock();
            if state.phase == Phase::Gone {
                return;
            }
            state.phase = Phase::Gone;
            self.table.leave(conn.address);
            if let Some(mut socket) = state.socket.take() {
                socket.close();
                let reactor = &self.reactors[usize::from(state.reactor)];
                reactor.leave(state.slot);
            }
            state.traffic = None;
        }
        self.ended(conn, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_spread_over_half_the_interval() {
        let interval = 300;
        // As of clients that come one after the other within a second.
        let times = (0..1_000).map(|at| ping_after(interval, 1_700_000_000_000_000 + at * 1_000));
        let mut tenths = [0; 10];
        for time in times {
            assert!((150..300).contains(&time), "{time}");
            tenths[(time as usize - 150) / 15] += 1;
        }
        assert!(
            tenths.iter().all(|count| (50..200).contains(count)),
            "{tenths:?}"
        );
        assert_eq!(ping_after(1, 7), 0, "the shortest interval there is");
    }
}
