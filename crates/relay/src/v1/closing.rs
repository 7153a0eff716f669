//! How sockets of binary sessions end: `docs/protocol.md`, "Close codes".

use fetchway_wire::v1::Violation;
use fetchway_ws::CloseCode;

use crate::ending::Ending;

pub(super) fn broken(violation: Violation) -> Ending {
    Ending::of(
        "protocol",
        CloseCode::Private(violation.code()),
        violation.reason(),
    )
}

pub(super) fn replaced() -> Ending {
    let reason = "a newer socket has taken over";
    Ending::of("replaced", CloseCode::Private(4409), reason)
}

pub(super) fn leaving() -> Ending {
    Ending::of(
        "shutdown",
        CloseCode::GoingAway,
        "this node is shutting down",
    )
}

pub(super) fn text() -> Ending {
    let reason = "a text message came in the binary encoding";
    Ending::of("protocol", CloseCode::Unsupported, reason)
}

pub(super) fn too_long() -> Ending {
    Ending::of(
        "protocol",
        CloseCode::TooBig,
        "a message is longer than 64 KiB",
    )
}

/// No session begins with such a socket, so its client hears of it here only.
pub(super) fn silent() -> Ending {
    let code = CloseCode::Private(4401);
    Ending::of("protocol", code, "no HELLO came within 10 s")
}

/// The same: there is no place for a new session.
pub(super) fn full() -> Ending {
    let reason = "there are as many sessions as this token may have";
    Ending::of("refused", CloseCode::Private(4430), reason)
}
