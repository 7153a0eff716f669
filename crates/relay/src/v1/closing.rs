//! Close codes of binary sessions' sockets: `docs/protocol.md`, "Close codes".

use fetchway_wire::v1::Violation;
use fetchway_ws::CloseCode;

use crate::ending::{EndReason, Ending};

pub(super) fn broken(violation: Violation) -> Ending {
    Ending::of(
        EndReason::Protocol,
        CloseCode::Private(violation.code()),
        violation.reason(),
    )
}

pub(super) fn replaced() -> Ending {
    let reason = "a newer socket has taken over";
    Ending::of(EndReason::Replaced, CloseCode::Private(4409), reason)
}

pub(super) fn text() -> Ending {
    let reason = "a text message came in the binary encoding";
    Ending::of(EndReason::Protocol, CloseCode::Unsupported, reason)
}

pub(super) fn too_long() -> Ending {
    Ending::of(
        EndReason::Protocol,
        CloseCode::TooBig,
        "a message is longer than 64 KiB",
    )
}

/// No HELLO came: no session begins, so only the Close tells the client.
pub(super) fn silent() -> Ending {
    let code = CloseCode::Private(4401);
    Ending::of(EndReason::Protocol, code, "no HELLO came within 10 s")
}

/// The credential has no place for a new session: only the Close tells the client.
pub(super) fn full() -> Ending {
    let reason = "there are as many sessions as this token may have";
    Ending::of(EndReason::Refused, CloseCode::Private(4430), reason)
}
