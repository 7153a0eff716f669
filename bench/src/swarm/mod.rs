//! Thousands of WebSocket clients, and a few HTTP clients beside them, in one epoll loop and one
//! thread: as light as it can be, since a load shares the machine with what it measures.
//!
//! Read `frames` (what is read from the wire), `link` (a socket), then [`Swarm`]: the loop. What the
//! clients do is told elsewhere, by whoever turns it.

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

/// Bytes read at a time.
const READ: usize = 64 << 10;
/// Sockets told of at a time.
const EVENTS: usize = 1_024;

/// What one client has seen.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// The WebSocket is open, or the HTTP client connected.
    Opened,
    /// A message.
    Message { text: bool, payload: &'a [u8] },
    /// An answer to an HTTP client.
    Answer { status: u16, body: &'a [u8] },
    /// The upgrade was refused with that status. The client is gone.
    Refused(u16),
    /// The server has closed the WebSocket with that code. The client is gone.
    Closed(Option<u16>),
    /// The connection has ended without a Close. The client is gone.
    Lost(String),
}

/// Ends the loops of a swarm that runs on another thread, when dropped.
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Another handle on the same order: what it is given to ends when either is dropped.
    pub(crate) fn linked(other: &Self) -> Self {
        Self(Arc::clone(&other.0))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is to be sent on the socket in hand.
pub(crate) struct Out {
    bytes: BytesMut,
    key: u32,
}

impl Out {
    /// A message.
    pub(crate) fn message(&mut self, text: bool, payload: &[u8]) {
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        self.frame(opcode, payload);
    }

    /// Bytes as they are, for an HTTP client.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        // Any key masks; a new one each time, as real clients have, is xorshift's next.
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

/// The clients, each at a place of its own.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    links: Vec<Option<Link>>,
    /// Places to read at though no event says so.
    resumed: Vec<usize>,
    buffer: Box<[u8]>,
    out: Out,
    tls: Option<Arc<ClientConfig>>,
    /// Places whose sockets are as if far away.
    afar: Range<usize>,
    stop: Arc<AtomicBool>,
}

impl Swarm {
    /// None yet. With `tls` the WebSocket clients speak it; HTTP clients never do.
    pub(crate) fn new(tls: Option<Arc<ClientConfig>>, stop: &Stop) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new().context("no epoll")?,
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

    /// Who connects at these places from now on takes what comes as a socket far away would, not one on
    /// loopback.
    pub(crate) fn set_afar(&mut self, places: Range<usize>) {
        self.afar = places;
    }

    /// Begins to connect at a place; what was there before is dropped. `path` is the handshake's.
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
        let mut link = Link::connect(to, tls, speaks, first, as_afar)
            .with_context(|| format!("no socket to {to}; is the descriptor limit high enough?"))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut link.stream, Token(place), interest)
            .context("epoll takes no more")?;
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

    /// Sends at a place, outside of a turn. A broken connection shows at the next turn.
    pub(crate) fn send(&mut self, place: usize, put: impl FnOnce(&mut Out)) {
        let Some(Some(link)) = self.links.get_mut(place) else {
            return;
        };
        self.out.bytes.clear();
        put(&mut self.out);
        // The socket tells again when it is read: as lost.
        let _ = link.write(&self.out.bytes);
    }

    /// Waits for events, for so long at most, and tells of what each client has seen. What is put
    /// out is sent on the same client's socket.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut on: impl FnMut(usize, Seen<'_>, &mut Out) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "the load was ended");
        let resumed = std::mem::take(&mut self.resumed);
        // Shorter, so that the order to stop is heard.
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

/// Why a client goes no further.
enum Ended {
    /// Its connection broke.
    Io(std::io::Error),
    /// What came is not what should: the load ends.
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

/// Does what can be done on a socket now. Gives whether the client is still there.
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
            on(Seen::Lost("it ended without a Close".to_owned()), out)?;
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

/// Takes in what was read. Gives whether the client is still there.
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
                // The connection ends with it; whether it is heard does not matter.
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
