//! A link: one of the sockets to a relay, dialled when it is needed and again after it was lost.
//!
//! ```text
//!          needed              connected                 socket lost, session kept by the relay
//!   Idle ─────────▶ Dialing ──────────▶ Live (a session) ──────▶ Live, parked ──┐
//!    ▲                 │ failed: retry     │   ▲                                │
//!    └─────────────────┴── no one waits    │   └──────────── resumed ───────────┤
//!    ▲                                     │ ended, or the relay leaves         │ not in time
//!    └─────────────────────────────────────┴────────────────────────────────────┘
//! ```
//!
//! Read in this order: `target`, `connect`, `dial` and `unreached` open a socket or say why not;
//! `session` and `socket` are the state that both encodings share; `binary` and `json` are the
//! encodings; `drive` reads and writes one socket; `state` is the link itself, and `run` the task
//! behind it.

mod binary;
mod connect;
mod dial;
mod drive;
mod failure;
mod json;
mod run;
mod session;
mod socket;
mod state;
mod target;
mod unreached;

pub(crate) use binary::{BodyRefused, BodySender, ResponseBody, Stream};
pub(crate) use failure::Failure;
pub(crate) use json::{MAX_REQUEST, PendingAnswer, batch_line, read_error, read_outcome, too_long};
pub(crate) use state::{Link, RelaySession};
pub(crate) use target::{Target, tls_config};
pub(crate) use unreached::Unreached;
