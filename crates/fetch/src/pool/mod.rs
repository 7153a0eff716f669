//! Connections to origins.
//!
//! `h1` is one HTTP/1.1 connection, driven by its user. `h2` is one HTTP/2 connection, driven by a task of
//! its own and shared by streams. `site` keeps the connections of one origin under one address policy and
//! distributes them, with `shared` for HTTP/2, `queue` for fetches that wait, `dialing` for new
//! connections, and a `lease` for each use. `network` holds the sites of one policy, and `limits` the state that
//! all networks share.

mod dialing;
mod h1;
mod h2;
mod lease;
mod limits;
mod network;
mod queue;
mod shared;
mod site;

use fetchway_policy::FetchError;
use fetchway_policy::retry::Progress;

use crate::request::Sending;

pub(crate) use h1::{H1, name as name_http1};
pub use h2::MAX_STREAMS;
pub(crate) use h2::{Download, Upload, UploadError, exchange as exchange_http2};
pub(crate) use lease::{Lease, StreamLease};
pub(crate) use limits::Pool;
pub use network::Network;
pub(crate) use network::{Kind, sweep};
pub(crate) use site::Site;

/// A send that failed, and how far it had got, which decides whether it may be sent again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: FetchError,
    pub(crate) progress: Progress,
    /// The request body, if nothing of it was taken.
    pub(crate) body: Option<Sending>,
}

impl Failure {
    pub(crate) fn unsent(error: FetchError, body: Sending) -> Self {
        Self {
            error,
            progress: Progress::Unsent,
            body: Some(body),
        }
    }
}
