//! A session without a socket: it waits for its next one, until its time is over.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::attach::Attached;
use super::session::Session;
use crate::ending::Phase;
use crate::upgrade::Relay;

/// How often it is seen to that the parked sessions of a credential keep within their bounds: what is
/// parked may go on to receive.
pub(super) const TRIM: Duration = Duration::from_secs(1);

/// Keeps the session for its next socket. Gives why it is over, or nothing if it goes on elsewhere.
pub(super) async fn park(
    relay: &Relay,
    attached: &Attached,
    mut phase: watch::Receiver<Phase>,
    lost: &'static str,
) -> Option<&'static str> {
    let Attached {
        session,
        socket,
        number,
        ..
    } = attached;
    let within = session.principal.limits.binary.resume_within;
    let mut sockets = session.sockets.subscribe();
    {
        let mut state = session.lock();
        if !state.is_on(socket) {
            return None;
        }
        state.socket = None;
        state.machine.disconnect();
    }
    if within.is_zero() || *phase.borrow_and_update() != Phase::Open {
        return ended(session, *number, lost);
    }
    relay.directory.park(session);
    let until = Instant::now() + within;
    let why = loop {
        tokio::select! {
            biased;
            _ = sockets.wait_for(|newest| newest != number) => return None,
            () = session.evicted.notified() => break "evicted",
            _ = phase.changed() => break "shutdown",
            () = tokio::time::sleep_until(until) => break "expired",
            () = tokio::time::sleep(TRIM) => relay.directory.trim(session),
        }
    };
    ended(session, *number, why)
}

/// Marks the session as over, unless it was resumed at the last moment.
fn ended(session: &Session, number: u64, why: &'static str) -> Option<&'static str> {
    let mut state = session.lock();
    // Its next socket may have come, and gone again.
    if state.socket.is_some() || *session.sockets.borrow() != number {
        return None;
    }
    state.finish();
    Some(why)
}
