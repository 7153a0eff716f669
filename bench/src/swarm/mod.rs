//! Thousands of WebSocket clients and a few HTTP clients in one epoll loop on one thread. The loop uses little
//! CPU, because the load shares the machine with the measured program.
//!
//! Read `frames` (parsers), `link` (a socket), then [`Swarm`]: the loop. The callers of [`Swarm::turn`] decide
//! on the actions of the clients.

mod frames;
mod link;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::BytesMut;
use fetchway_ws::{Opcode, put_frame};
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use self::frames::{Frame, frame, head, upgrade};
use self::link::{Link, Phase};

pub(crate) use self::link::Speaks;

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Events of one call of epoll.
const EVENTS: usize = 1_024;

/// Event of one client.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// The WebSocket is open, or the HTTP client is connected.
    Opened,
    /// A message.
    Message { text: bool, payload: &'a [u8] },
    /// An answer to an HTTP client.
    Answer { status: u16, body: &'a [u8] },
    /// The upgrade was refused with this status. The client has been removed.
    Refused(u16),
    /// The server closed the WebSocket with this code. The client has been removed.
    Closed(Option<u16>),
    /// The connection ended without a Close frame. The client has been removed.
    Lost(String),
}

/// Ends the loop of a swarm on another thread when dropped.
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Returns another handle to the same flag: the loop ends when either handle is dropped.
    pub(crate) fn linked(other: &Self) -> Self {
        Self(Arc::clone(&other.0))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes to send on the current socket.
pub(crate) struct Out {
    bytes: BytesMut,
    key: u32,
}

impl Out {
    /// Adds a message.
    pub(crate) fn message(&mut self, text: bool, payload: &[u8]) {
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        self.frame(opcode, payload);
    }

    /// Adds bytes of an HTTP request.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        // Like real clients, each frame has a new masking key, here from xorshift.
        self.key ^= self.key << 13;
        self.key ^= self.key >> 17;
        self.key ^= self.key << 5;
        put_frame(
            &mut self.bytes,
            opcode,
            payload,
            Some(self.key.to_ne_bytes()),
        );
    }
}

/// The clients, each at its own place.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    links: Vec<Option<Link>>,
    /// Places to read at without an event.
    resumed: Vec<usize>,
    buffer: Box<[u8]>,
    out: Out,
    tls: Option<Arc<ClientConfig>>,
    /// Places whose sockets imitate remote ones.
    afar: Range<usize>,
    stop: Arc<AtomicBool>,
}

impl Swarm {
    /// Creates a swarm without clients. With `tls`, WebSocket clients use TLS; HTTP clients never do.
    pub(crate) fn new(tls: Option<Arc<ClientConfig>>, stop: &Stop) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new().context("epoll is not available")?,
            events: Events::with_capacity(EVENTS),
            links: Vec::new(),
            resumed: Vec::new(),
            buffer: vec![0; READ].into(),
            out: Out {
                bytes: BytesMut::new(),
                key: 0x9E37_79B9,
            },
            tls,
            afar: 0..0,
            stop: Arc::clone(&stop.0),
        })
    }

    /// Makes sockets that connect at these places from now on receive like remote ones, not like those on
    /// loopback.
    pub(crate) fn set_afar(&mut self, places: Range<usize>) {
        self.afar = places;
    }

    /// Starts to connect at a place, whose previous socket is dropped. `path` is the path of the handshake.
    pub(crate) fn connect(
        &mut self,
        place: usize,
        to: SocketAddr,
        speaks: Speaks,
        path: &str,
    ) -> anyhow::Result<()> {
        let (tls, first) = match speaks {
            Speaks::WebSocket => (self.tls.as_ref(), upgrade(&to.to_string(), path)),
            Speaks::Http => (None, Vec::new()),
        };
        let as_afar = self.afar.contains(&place);
        let mut link = Link::connect(to, tls, speaks, first, as_afar).with_context(|| {
            format!("no socket to {to}: check the limit of open files (`ulimit -Hn`)")
        })?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut link.stream, Token(place), interest)
            .context("the socket cannot be added to epoll")?;
        if self.links.len() <= place {
            self.links.resize_with(place + 1, || None);
        }
        self.links[place] = Some(link);
        Ok(())
    }

    /// Stops or resumes reading at a place.
    pub(crate) fn pause(&mut self, place: usize, paused: bool) {
        if let Some(Some(link)) = self.links.get_mut(place) {
            link.pause(paused);
            if !paused {
                self.resumed.push(place);
            }
        }
    }

    /// Sends at a place, outside of a turn. A failed connection is reported by the next turn.
    pub(crate) fn send(&mut self, place: usize, put: impl FnOnce(&mut Out)) {
        let Some(Some(link)) = self.links.get_mut(place) else {
            return;
        };
        self.out.bytes.clear();
        put(&mut self.out);
        // The error is reported when the socket is read, as a lost connection.
        let _ = link.write(&self.out.bytes);
    }

    /// Waits for events, for at most `wait`, and passes the events of each client to `on`. Bytes that `on` adds
    /// are sent on the same client's socket.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut on: impl FnMut(usize, Seen<'_>, &mut Out) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "the load was ended");
        let resumed = std::mem::take(&mut self.resumed);
        // Limited, so that the flag to stop is noticed.
        let wait = wait.min(Duration::from_millis(100));
        let wait = if resumed.is_empty() {
            wait
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            done => done.context("epoll failed")?,
        }
        let (buffer, out) = (&mut self.buffer[..], &mut self.out);
        let ready = self.events.iter().map(|event| event.token().0);
        for place in ready.chain(resumed) {
            let Some(slot) = self.links.get_mut(place) else {
                continue;
            };
            let Some(link) = slot else {
                continue;
            };
            let mut tell = |seen: Seen<'_>, out: &mut Out| on(place, seen, out);
            let goes_on = match serve(link, buffer, out, &mut tell) {
                Ok(goes_on) => goes_on,
                Err(Ended::Wrong(error)) => return Err(error),
                Err(Ended::Io(error)) => {
                    tell(Seen::Lost(error.to_string()), out)?;
                    false
                }
            };
            if !goes_on {
                *slot = None;
            }
        }
        Ok(())
    }
}

/// Reason why a client or the load ends.
enum Ended {
    /// The connection failed: the client ends.
    Io(std::io::Error),
    /// The received bytes are wrong: the load ends.
    Wrong(anyhow::Error),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Self {
        Self::Wrong(error)
    }
}

/// Writes and reads on a socket as far as possible. Returns true if the client still exists.
fn serve(
    link: &mut Link,
    buffer: &mut [u8],
    out: &mut Out,
    on: &mut impl FnMut(Seen<'_>, &mut Out) -> anyhow::Result<()>,
) -> Result<bool, Ended> {
    if link.phase == Phase::Connecting {
        if !link.connected()? {
            return Ok(true);
        }
        if link.phase == Phase::Open {
            out.bytes.clear();
            on(Seen::Opened, out)?;
            link.write(&out.bytes)?;
        }
    }
    link.flush()?;
    while !link.is_paused() {
        let Some((n, more)) = link.read(buffer)? else {
            on(
                Seen::Lost("the connection ended without a Close frame".to_owned()),
                out,
            )?;
            return Ok(false);
        };
        if n > 0 && !take(link, &buffer[..n], out, on)? {
            return Ok(false);
        }
        if !more {
            break;
        }
    }
    Ok(true)
}

/// Handles received bytes. Returns true if the client still exists.
fn take(
    link: &mut Link,
    read: &[u8],
    out: &mut Out,
    on: &mut impl FnMut(Seen<'_>, &mut Out) -> anyhow::Result<()>,
) -> Result<bool, Ended> {
    out.bytes.clear();
    let mut partial = std::mem::take(&mut link.partial);
    let mut rest = if partial.is_empty() {
        read
    } else {
        partial.extend_from_slice(read);
        &partial[..]
    };
    while let Some(len) = match (link.phase, link.speaks) {
        (Phase::Open, Speaks::WebSocket) => match frame(rest)? {
            None => None,
            Some((Frame::Message { text, payload }, len)) => {
                on(Seen::Message { text, payload }, out)?;
                Some(len)
            }
            Some((Frame::Ping(payload), len)) => {
                out.frame(Opcode::Pong, payload);
                Some(len)
            }
            Some((Frame::Pong, len)) => Some(len),
            Some((Frame::Close(code), _)) => {
                let payload = code.map(u16::to_be_bytes);
                out.frame(Opcode::Close, payload.as_ref().map_or(&[], |code| code));
                // The connection ends with this frame; whether the server receives it does not matter.
                let _ = link.write(&out.bytes);
                on(Seen::Closed(code), out)?;
                return Ok(false);
            }
        },
        (_, Speaks::WebSocket) => match head(rest)? {
            None => None,
            Some(head) if head.status == 101 => {
                link.phase = Phase::Open;
                on(Seen::Opened, out)?;
                Some(head.len)
            }
            Some(head) => {
                on(Seen::Refused(head.status), out)?;
                return Ok(false);
            }
        },
        (_, Speaks::Http) => match head(rest)? {
            Some(head) if rest.len() >= head.len + head.body => {
                let (status, len) = (head.status, head.len + head.body);
                let body = &rest[head.len..len];
                on(Seen::Answer { status, body }, out)?;
                Some(len)
            }
            _ => None,
        },
    } {
        rest = &rest[len..];
    }
    if !rest.is_empty() {
        link.partial = rest.to_vec();
    }
    if !out.bytes.is_empty() {
        link.write(&out.bytes)?;
    }
    Ok(true)
}
