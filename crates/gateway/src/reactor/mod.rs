//! An event loop on a thread of its own: sockets in an epoll set, and work that other threads hand over.
//!
//! This layer knows neither clients nor the API. Read `event_loop` first: a [`Driver`] is what it runs.

mod event_loop;
mod mailbox;
mod slots;

pub(crate) use event_loop::{Driver, Readiness, start};
pub(crate) use mailbox::Mailbox;
pub(crate) use slots::Slots;
