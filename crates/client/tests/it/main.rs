//! The client against relays that do as they are told, and against a real node.

mod cancel;
mod json;
mod limits;
mod lost;
mod resume;
mod streams;
mod support;
mod tls;
