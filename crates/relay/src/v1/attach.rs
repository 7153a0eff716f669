//! A socket's HELLO, which finds its session or begins a new one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_service::{Place, Principal};
use fetchway_wire::v1::{self, Config, Frame, Hello, Violation, decode};
use fetchway_ws::{Event, Receiver};
use tokio::io::AsyncRead;

use super::closing::{broken, full, silent, text, too_long};
use super::session::Session;
use super::socket::Socket;
use crate::ending::Ending;
use crate::relay::Relay;

/// Time that a client may take to send its HELLO.
const HELLO_TIME: Duration = Duration::from_secs(10);

/// A session, and its new socket.
pub(super) struct Attached {
    pub(super) session: Arc<Session>,
    pub(super) socket: Arc<Socket>,
    pub(super) number: u64,
    /// Token of a resumed session that the client may not have received.
    pub(super) unconfirmed: Option<[u8; v1::TOKEN]>,
}

/// Returns the first frame, which must be a HELLO, and the rest of its message.
pub(super) async fn hello<R: AsyncRead + Unpin>(
    receiver: &mut Receiver<R>,
) -> Result<(Hello, Bytes), Ending> {
    let first = tokio::time::timeout(HELLO_TIME, first(receiver)).await;
    first.unwrap_or_else(|_| Err(silent()))
}

async fn first<R: AsyncRead + Unpin>(receiver: &mut Receiver<R>) -> Result<(Hello, Bytes), Ending> {
    loop {
        match receiver.next().await {
            Ok(Some(Event::Message(message))) if message.text => return Err(text()),
            Ok(Some(Event::Message(message))) => {
                let mut rest = message.data.freeze();
                return match decode(&mut rest) {
                    Ok(Some(Frame::Hello(hello))) => Ok((hello, rest)),
                    Ok(_) => Err(broken(Violation::Malformed("the first frame is no HELLO"))),
                    Err(malformed) => Err(broken(malformed.into())),
                };
            }
            Ok(Some(Event::TooLong(_))) => return Err(too_long()),
            Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
            Ok(Some(Event::Close(..))) => return Err(Ending::CLIENT),
            Ok(None) => return Err(Ending::GONE),
            Err(error) => return Err(Ending::broken(&error)),
        }
    }
}

/// Returns the session that a HELLO asks for, or a new one. `place` is the socket's own, until the socket
/// has a session.
pub(super) fn attach(
    relay: &Relay,
    principal: Principal,
    hello: &Hello,
    place: &mut Option<Place>,
) -> Result<Attached, Ending> {
    let token = rand::random();
    let mut refused = None;
    if let Some(asked) = &hello.token {
        match relay.directory.find(asked, &principal.name) {
            Some(session) => {
                let attached = resume(relay, session, hello, (asked, token), place);
                if let Some(attached) = attached.map_err(broken)? {
                    return Ok(attached);
                }
                refused = Some("the session has just ended");
            }
            None => {
                refused = Some("there is no such session: it has expired, or was opened elsewhere");
            }
        }
    }
    let limits = &principal.limits;
    let config = Config {
        streams: limits.in_flight as u64,
        session_window: limits.binary.session_window as u64,
        stream_window: limits.binary.stream_window as u64,
        unacked: limits.binary.unacked as u64,
        held: limits.answers as u64,
        resume_within: limits.binary.resume_within,
    };
    // A session without a socket makes room for one that has a socket.
    let free = principal.places.session();
    let Some(session_place) = free.or_else(|| relay.directory.displace(&principal.name)) else {
        relay.refused(&principal.name);
        return Err(full());
    };
    *place = None;
    let machine = v1::Session::relay(config, hello, token, refused);
    let account = relay.account(&principal);
    relay.opened(&principal);
    let services = relay.services.clone();
    let session = Session::new(
        account,
        principal,
        services,
        machine,
        (token, session_place),
    );
    let session = Arc::new(session);
    let socket = Arc::new(Socket::default());
    session.lock().socket = Some(socket.clone());
    if !config.resume_within.is_zero() {
        relay.directory.add(&session, token);
    }
    Ok(Attached {
        session,
        socket,
        number: 0,
        unconfirmed: None,
    })
}

/// Gives a session a new socket, unless the session is over.
fn resume(
    relay: &Relay,
    session: Arc<Session>,
    hello: &Hello,
    (used, token): (&[u8; v1::TOKEN], [u8; v1::TOKEN]),
    place: &mut Option<Place>,
) -> Result<Option<Attached>, Violation> {
    let socket = Arc::new(Socket::default());
    let mut number = 0;
    {
        let mut state = session.lock();
        if state.over {
            return Ok(None);
        }
        state.machine.resume(hello, token)?;
        let place = place.take();
        if let Some(older) = state.socket.replace(socket.clone()) {
            // The older socket still has to close. Until then it counts as a socket without a session.
            older.keep(place);
        }
        // Wakes the task of an older socket, or the one that waits for a socket. Under the lock, so that the
        // socket with the highest number is the session's.
        session.sockets.send_modify(|sockets| {
            *sockets += 1;
            number = *sockets;
        });
    }
    relay.directory.resumed(&session, used, token);
    Ok(Some(Attached {
        session,
        socket,
        number,
        unconfirmed: Some(token),
    }))
}
