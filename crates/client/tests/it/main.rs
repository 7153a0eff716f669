//! The client against relays that do as they are told, and against a real node.

mod bad;
mod cancel;
mod closes;
mod handshakes;
mod json;
mod json_odd;
mod limits;
mod lost;
mod resume;
mod setup;
mod streams;
mod support;
mod tls;
mod unknown;
mod waiting;
mod watch;
