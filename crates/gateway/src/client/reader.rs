//! Reads a client's socket, and takes frames out of what was read.

use bytes::Bytes;
use fetchway_ws::{CloseCode, Event, FrameReader, Opcode, ProtocolError, Received};
use tokio::time::Instant;

use super::connection::{Broken, Phase, State};
use super::lifecycle::Lifecycle;
use super::socket::Socket;
use crate::stats::add;

/// Reads of one client in a row: a client that sends as fast as it can must not keep others waiting.
const TURN: usize = 8;

/// The state of a client's connection after it was read.
#[derive(Clone, Copy)]
pub(crate) enum ReadOutcome {
    /// The client is waited for.
    Wait,
    /// There is more to be read, but others have their turn first.
    ReadMore,
    /// The client has closed the connection, or is gone without a word.
    Gone,
    /// The client broke the protocol or a limit, and is to be closed like this.
    Breach(CloseCode, &'static str),
}

impl From<Broken> for ReadOutcome {
    fn from(Broken: Broken) -> Self {
        Self::Gone
    }
}

impl From<ProtocolError> for ReadOutcome {
    fn from(error: ProtocolError) -> Self {
        Self::Breach(error.code, error.reason)
    }
}

/// Reads clients of a gateway.
pub(crate) struct Reader<'a>(pub(crate) &'a Lifecycle);

impl Reader<'_> {
    /// Takes the bytes that were read behind the handshake.
    pub(crate) fn begin(&self, state: &mut State, early: &[u8]) -> ReadOutcome {
        match self.feed(state, &mut early.to_vec()) {
            // TLS may have more that it has read already, of which the system will tell nothing.
            Ok(()) if state.socket.as_ref().is_some_and(Socket::reads_ahead) => {
                ReadOutcome::ReadMore
            }
            Ok(()) => ReadOutcome::Wait,
            Err(outcome) => outcome,
        }
    }

    /// Reads what has come, into `scratch`. `all`: to the very end, as a short read may have hidden it.
    pub(crate) fn read(&self, state: &mut State, scratch: &mut [u8], all: bool) -> ReadOutcome {
        for _ in 0..TURN {
            // What was read before the pause comes first.
            if (state.buffers.as_ref()).is_some_and(|buffers| !buffers.reading.is_idle())
                && let Err(outcome) = self.feed(state, &mut [])
            {
                return outcome;
            }
            if self.is_full(state) {
                state.buffers().paused = true;
                return ReadOutcome::Wait;
            }
            let Some(socket) = &mut state.socket else {
                return ReadOutcome::Wait;
            };
            let short_is_empty = socket.short_is_empty() && !all;
            let n = match socket.read(scratch) {
                Ok(0) => return ReadOutcome::Gone,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return ReadOutcome::Wait,
                Err(_) => return ReadOutcome::Gone,
            };
            // A client that is being closed has so long for its Close, whatever else it sends.
            if state.phase() != Phase::Closing {
                (state.heard, state.pinged) = (self.0.clock.now(), false);
            }
            if let Err(outcome) = self.feed(state, &mut scratch[..n]) {
                return outcome;
            }
            if n < scratch.len() && short_is_empty && !state.is_paused() && !self.is_full(state) {
                return ReadOutcome::Wait;
            }
        }
        ReadOutcome::ReadMore
    }

    /// Returns true if so much of a client waits that it is not read.
    pub(crate) fn is_full(&self, state: &State) -> bool {
        let config = &self.0.config;
        // Nothing behind a breach counts. It stays with the system until the breach is dealt with.
        (state.buffers.as_ref()).is_some_and(|buffers| buffers.broken.is_some())
            || state.order.waiting() >= config.queue_messages
            || state.order.waiting_bytes() >= config.queue_bytes
            || state.unsent() > config.send_buffer
            || config.rate > 0 && state.counted_at == self.second() && state.count >= config.rate
    }

    /// Returns the second in which messages are counted now.
    fn second(&self) -> u32 {
        self.0.clock.now() / 10
    }

    /// Takes the bytes of a read, and before them what earlier ones have left, until too much waits.
    fn feed(&self, state: &mut State, bytes: &mut [u8]) -> Result<(), ReadOutcome> {
        let reading = (state.buffers.as_mut()).map(|buffers| std::mem::take(&mut buffers.reading));
        let reading = reading.unwrap_or_default();
        let mut frames = reading.with(bytes, self.0.config.max_message);
        let fed = self.take(state, &mut frames);
        // Of a message that is too long the end still comes, and behind it the client's Close.
        let reading = frames.keep();
        if !reading.is_idle() {
            state.buffers().reading = reading;
        }
        fed
    }

    fn take(&self, state: &mut State, frames: &mut FrameReader<'_>) -> Result<(), ReadOutcome> {
        while !self.is_full(state) && state.phase() != Phase::Gone {
            match frames.next()? {
                Some(Received::Message(text, data)) => {
                    self.message(state, text, Bytes::copy_from_slice(data));
                }
                Some(Received::Event(event)) => self.event(state, event)?,
                None => break,
            }
        }
        Ok(())
    }

    fn event(&self, state: &mut State, event: Event) -> Result<(), ReadOutcome> {
        match event {
            Event::Message(message) => {
                self.message(state, message.text, message.data.freeze());
            }
            // Of a client that is being closed everything is passed over but its Close.
            Event::TooLong(_) if state.phase() != Phase::Open => {}
            Event::TooLong(_) => {
                let reason = "a message is longer than this gateway takes";
                return Err(ReadOutcome::Breach(CloseCode::TooBig, reason));
            }
            Event::Ping(payload) => {
                let config = &self.0.config;
                if state.phase() == Phase::Open && state.unsent() <= config.send_buffer {
                    state.frame(Opcode::Pong, &payload, self.0.clock.now())?;
                }
            }
            Event::Pong(_) => {}
            Event::Close(code, reason) => {
                if state.phase() == Phase::Open {
                    self.0.end(state, Phase::Closing, reason.into());
                    // Its own code comes back (RFC 6455 section 5.5.1).
                    let code = match code {
                        1005 => CloseCode::Normal,
                        code => CloseCode::Private(code),
                    };
                    // A client that is gone by now needs no Close.
                    let _ = state.close(code, "", self.0.clock.now());
                }
                return Err(ReadOutcome::Gone);
            }
        }
        Ok(())
    }

    fn message(&self, state: &mut State, text: bool, data: Bytes) {
        if state.phase() != Phase::Open {
            return;
        }
        let counters = &self.0.telemetry.counters;
        add(&counters.messages_in);
        if self.0.config.rate > 0 {
            let second = self.second();
            if state.counted_at != second {
                (state.counted_at, state.count) = (second, 0);
            }
            state.count += 1;
        }
        add(&counters.queued);
        state.order.message(text, data, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use bytes::BytesMut;
    use fetchway_fetch::{Engine, EngineConfig};
    use fetchway_policy::guard::AddressPolicy;
    use fetchway_service::Shutdown;
    use fetchway_ws::put_frame;
    use url::Url;

    use super::super::connection::Connection;
    use super::*;
    use crate::config::Config;
    use crate::observe::NoObserver;

    fn lifecycle() -> Lifecycle {
        let config = Config::new("gateway", Url::parse("http://api/").expect("a URL"));
        let observer = Arc::new(fetchway_fetch::NoObserver);
        let engine = Engine::new(EngineConfig::default(), observer).expect("the defaults work");
        let network = || engine.private_network(AddressPolicy::allow_all().into(), false);
        let (observer, shutdown) = (Arc::new(NoObserver), Shutdown::default());
        Lifecycle::new(config, &engine, network, observer, shutdown).expect("a lifecycle")
    }

    /// Adds a connection of one client. Returns nothing if it is to be alone, and another one has not ended.
    fn connect(life: &Lifecycle, alone: bool) -> Option<Arc<Connection>> {
        let address = IpAddr::from([127, 0, 0, 1]);
        let connection = Arc::new(Connection::new("alice", life.next_epoch(), address, 0));
        life.table.admit(address, &life.config).expect("no limit");
        life.table.insert(&connection, alone).map(|_| connection)
    }

    /// Reads a client's Close. The socket, to which the answer is written, is not needed.
    fn read_close(life: &Lifecycle, connection: &Connection) {
        let mut frame = BytesMut::new();
        put_frame(
            &mut frame,
            Opcode::Close,
            b"\x03\xe8bye",
            Some([1, 2, 3, 4]),
        );
        let outcome = Reader(life).begin(&mut connection.lock(), &frame);
        assert!(matches!(outcome, ReadOutcome::Gone));
    }

    #[tokio::test]
    async fn a_client_has_ended_as_soon_as_its_close_is_read() {
        let life = lifecycle();
        let old = connect(&life, true).expect("the first one");
        assert!(life.accepted(&old));
        old.lock().open(0);
        assert!(connect(&life, true).is_none(), "a duplicate");
        read_close(&life, &old);
        assert!(connect(&life, true).is_some(), "the client comes back");
    }

    #[tokio::test]
    async fn a_successor_that_ends_before_the_old_socket_is_dropped_keeps_its_delete() {
        let life = lifecycle();
        let old = connect(&life, false).expect("the first one");
        assert!(life.accepted(&old));
        old.lock().open(0);
        let new = connect(&life, false).expect("a duplicate");
        read_close(&life, &old);
        // The reactor of the old connection gets no further before the new one has come and gone.
        assert!(life.accepted(&new));
        life.disconnect(&new);
        life.disconnect(&old);
        assert!(old.lock().order.is_complete(), "its DELETE is dropped");
        assert!(
            new.lock().order.has_next(1),
            "the DELETE of the last one is sent"
        );
    }
}
