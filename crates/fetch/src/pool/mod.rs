//! Connections to origins.
//!
//! `h1` is one HTTP/1.1 connection, driven by whoever uses it; `h2` is one HTTP/2 connection, driven
//! by a task of its own and shared by streams; `site` keeps those of one origin under one address
//! policy and decides who gets which, with `shared` for HTTP/2, `queue` for those who wait and
//! `dialing` for new ones; `network` holds the sites of one policy.

mod dialing;
mod h1;
mod h2;
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
pub use network::Network;
pub(crate) use network::{Kind, Pool, sweep};
pub(crate) use shared::StreamLease;
pub(crate) use site::{Lease, Site};

/// A send that failed, and how far it had got: what decides whether it may be sent again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: FetchError,
    pub(crate) progress: Progress,
    /// The request body, where nothing of it was taken.
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
