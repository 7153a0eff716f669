//! The Rust client of a relay: HTTP fetches, many at once, over a few WebSockets.
//!
//! Bodies stream both ways, a session goes on when its socket was lost, and a fetch whose relay does
//! not come back goes to another one if that does no harm. `docs/protocol.md` says what goes over the
//! wire; a server that speaks only JSON is spoken to in JSON.
//!
//! # What becomes of a fetch whose relay is lost
//!
//! | the fetch | what happens |
//! |---|---|
//! | under way, and the relay comes back in time | it goes on; every byte comes once, in order |
//! | never sent | it goes to another relay, or a new session, whatever its method |
//! | sent, no head of a response yet, and idempotent or with an `Idempotency-Key`, and its body can be given again | the same, unless its [`Failover`] says never |
//! | any other | it fails with `outcome_unknown`; if its response had begun, its body does |
//!
//! A body can be given again if there is none, or while all that was taken of it is kept: 64 KiB, and
//! the piece that passes that. Over JSON nothing resumes, and bodies are whole.
//!
//! # How to read this
//!
//! `builder`, `options` and `body` are what is to be seen from outside. A fetch passes through
//! `client` (which link, and what after a loss), `request` (what may be sent), `queue` (waiting for a
//! stream), `exchange` and `upload` (one try). `link` is one of the sockets, from its URL to its bytes.

mod body;
mod builder;
mod client;
mod exchange;
mod link;
mod options;
mod queue;
mod request;
mod upload;

pub use body::Body;
pub use builder::{Builder, Encoding};
pub use client::Client;
pub use fetchway_policy::redirect::RedirectMode;
pub use fetchway_policy::{ErrorName, FetchError, Timeouts};
pub use options::{Failover, FinalUrl, Options};
pub use rustls::pki_types::CertificateDer;

/// Any error, as a request's body may have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
