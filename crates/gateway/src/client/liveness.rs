//! The timeouts of clients: pings, silence, and clients that take nothing. One sweep over all clients, a
//! slice at a time, stands in for a timer each.

use fetchway_ws::CloseCode;

use super::connection::{Connection, Phase, State};
use crate::clock::tenths;
use crate::config::Config;

/// Number of slices in which clients are checked, one after the other.
pub(crate) const SLICES: u32 = 4;

/// Tenths of seconds that a client may take to answer our Close.
const CLOSING: u32 = 50;

/// Close code: nothing was received for the idle timeout.
pub(crate) const IDLE: CloseCode = CloseCode::Private(4408);

/// The result of a check: what is to be done about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    /// The client is not read, and may be again.
    Resume,
    /// The client is to be pinged.
    Ping,
    /// The client was silent for the idle timeout, and is to be closed.
    Idle,
    /// The client takes nothing, or does not leave: it is cut off without a Close.
    Stuck,
}

/// Checks a client that may have been silent, or may have taken nothing, for long. `is_full`: so much of
/// it waits that it is not read.
pub(crate) fn check(
    connection: &Connection,
    state: &mut State,
    is_full: bool,
    config: &Config,
    now: u32,
) -> Check {
    let silent = now.saturating_sub(state.heard);
    if state.phase() == Phase::Closing && silent > CLOSING {
        return Check::Stuck;
    }
    if state.unsent() > 0 || state.is_blocked() {
        // A client that does not take what is written cannot be heard.
        let since = (state.buffers.as_ref()).map_or(state.heard, |b| b.stalled_since);
        return match now.saturating_sub(since) >= tenths(config.write_stall) {
            true => Check::Stuck,
            false => Check::Nothing,
        };
    }
    if state.is_paused() {
        if state.phase() == Phase::Open {
            state.heard = now;
        }
        return if is_full {
            Check::Nothing
        } else {
            Check::Resume
        };
    }
    if state.phase() != Phase::Open {
        Check::Nothing
    } else if silent >= tenths(config.idle_timeout) {
        Check::Idle
    } else if silent >= ping_after(tenths(config.ping_interval), connection.epoch) && !state.pinged
    {
        Check::Ping
    } else {
        Check::Nothing
    }
}

/// Returns the silence after which a client is pinged: between half the interval and all of it. Each has
/// a time of its own, or clients that have come at once would be pinged at once ever after.
fn ping_after(interval: u32, epoch: u64) -> u32 {
    let half = interval / 2;
    // Spreads numbers that follow each other over all of 32 bits.
    let share = epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    half + ((u64::from(half) * share) >> 32) as u32
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
