//! A session without a socket waits for its next socket until its time is over.

use fetchway_service::{Phase, Work};
use tokio::time::Instant;

use super::attach::Attached;
use super::directory::TRIM;
use super::session::Session;
use crate::ending::EndReason;
use crate::relay::Relay;

/// Keeps the session for its next socket. Returns why the session is over, or `None` if it continues on
/// another socket.
pub(super) async fn park(
    relay: &Relay,
    attached: &Attached,
    mut work: Work,
    lost: EndReason,
) -> Option<EndReason> {
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
    if within.is_zero() || work.phase() != Phase::Serving {
        return ended(session, *number, lost);
    }
    relay.directory.park(session);
    let until = Instant::now() + within;
    let reason = loop {
        tokio::select! {
            biased;
            _ = sockets.wait_for(|newest| newest != number) => return None,
            () = session.evicted.notified() => break EndReason::Evicted,
            () = work.changed() => break EndReason::Shutdown,
            () = tokio::time::sleep_until(until) => break EndReason::Expired,
            () = tokio::time::sleep(TRIM) => relay.directory.trim(session),
        }
    };
    ended(session, *number, reason)
}

/// Marks the session as over, unless it was resumed at the last moment.
fn ended(session: &Session, number: u64, reason: EndReason) -> Option<EndReason> {
    let mut state = session.lock();
    // The next socket may have come, and may be lost already.
    if state.socket.is_some() || *session.sockets.borrow() != number {
        return None;
    }
    state.finish();
    Some(reason)
}
