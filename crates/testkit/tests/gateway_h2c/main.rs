//! The gateway in front of an API that is spoken to in HTTP/2 with prior knowledge: the tests of
//! `gateway`, but for those that are about HTTP/1.1 itself.

#[path = "../gateway/away.rs"]
mod away;
#[path = "../gateway/common.rs"]
mod common;
#[path = "../gateway/connect.rs"]
mod connect;
#[path = "../gateway/contract.rs"]
mod contract;
#[path = "../gateway/duplicates.rs"]
mod duplicates;
#[path = "../gateway/order.rs"]
mod order;
#[path = "../gateway/push.rs"]
mod push;
#[path = "../gateway/slow.rs"]
mod slow;
#[path = "../gateway/traffic.rs"]
mod traffic;

use common::{gateway, gateway_to, http, open_push, push};

/// How the API is spoken to.
const SCHEME: &str = "h2c";
