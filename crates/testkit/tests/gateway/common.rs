//! What all tests of the gateway share.

use std::net::SocketAddr;

use fetchway_test_origins::Api;
use fetchway_testkit::TestNode;

/// A node with one gateway in front of `api`, which speaks to it by `crate::SCHEME`; `settings` are
/// lines of its table.
pub(crate) fn gateway(api: &Api, settings: &str) -> (TestNode, SocketAddr) {
    gateway_to(&api.url(crate::SCHEME), settings)
}

/// The same, by the API's URL.
pub(crate) fn gateway_to(api: &str, settings: &str) -> (TestNode, SocketAddr) {
    let toml = format!(
        "listen = \"none\"\n[[gateways]]\nlisten = \"127.0.0.1:0\"\napi = \"{api}\"\n{settings}\n"
    );
    let node = TestNode::with_gateway(&toml);
    let addr = node.gateway();
    (node, addr)
}

/// The same as [`gateway`], and whoever reaches it may push.
pub(crate) fn open_push(api: &Api, settings: &str) -> (TestNode, SocketAddr) {
    gateway(api, &format!("open-push = true\n{settings}"))
}

/// One request to the gateway by HTTP: status and body.
pub(crate) async fn http(addr: SocketAddr, head: &str, body: &str) -> (u16, String) {
    fetchway_testkit::exchange(addr, head, body).await
}

/// Pushes a text.
pub(crate) async fn push(addr: SocketAddr, id: &str, text: &str) -> (u16, String) {
    http(addr, &format!("POST /{id} HTTP/1.1"), text).await
}
