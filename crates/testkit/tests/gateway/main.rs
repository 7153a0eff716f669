//! The gateway as its clients and its API see it: a real node, real sockets, an API that a test
//! scripts. `gateway_h2c` runs the same with an API that is spoken to in HTTP/2.

mod away;
mod common;
mod connect;
mod contract;
mod duplicates;
mod lines;
mod order;
mod proxied;
mod push;
mod slow;
mod traffic;

use common::{gateway, gateway_to, http, open_push, push};

/// How the API is spoken to.
const SCHEME: &str = "http";
