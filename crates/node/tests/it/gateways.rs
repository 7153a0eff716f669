//! Gateways of a real node: their listeners, who may push, what is counted, and their end.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::api::Api;
use crate::client::{Answer, config, main_addr, send, start, until_closed, upgrade_at};
use fetchway_node::{Ended, Layers, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "Authorization: Bearer token-of-api";
const WRONG: &str = "Authorization: Bearer token-of-eve";

fn clients(node: &Node, name: &str) -> SocketAddr {
    node.gateway_addr(name).expect("there is such a gateway")
}

fn pushes(node: &Node, name: &str) -> SocketAddr {
    node.push_addr(name).expect("it has a push listener")
}

fn refusal(toml: &str) -> String {
    let error = Node::start(&config(toml)).err();
    error.unwrap_or_else(|| panic!("{toml} starts")).to_string()
}

/// A client that the API has accepted.
async fn connect(addr: SocketAddr, id: &str) -> TcpStream {
    let (answer, mut socket) = upgrade_at(addr, &format!("/{id}"), &[]).await;
    assert_eq!(answer.status, 101, "{}", answer.headers);
    // The gateway has the socket a moment after the handshake; until then a push is only queued.
    let ping = b"\x89\x80\0\0\0\0";
    socket.write_all(ping).await.expect("it is taken");
    let mut pong = [0; 2];
    socket.read_exact(&mut pong).await.expect("a pong");
    assert_eq!(pong, *b"\x8a\0");
    socket
}

/// Pushes `hello`.
async fn push(addr: SocketAddr, id: &str, headers: &[&str]) -> Answer {
    let length = ["Content-Length: 5"];
    let headers = [&length, headers].concat();
    // The body follows the header, whose last line is empty.
    let what = format!("POST /{id}");
    let request = format!("{}hello", crate::client::request(addr, &what, &headers));
    let io = TcpStream::connect(addr)
        .await
        .expect("the listener is there");
    crate::client::exchange(io, &request).await
}

/// The metrics, once this line is among them.
async fn scrape_until(node: &Node, line: &str) -> String {
    let admin = node.admin_addr().expect("an admin listener");
    let asking = async {
        loop {
            let text = send(admin, "GET /metrics", &[]).await.text();
            if text.lines().any(|found| found == line) {
                return text;
            }
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(20), asking).await;
    asked.unwrap_or_else(|_| panic!("{line} does not come"))
}

/// The text of the next frame, which is short.
async fn text(socket: &mut TcpStream) -> String {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[0], 0x81, "a whole text");
    let mut text = vec![0; usize::from(head[1])];
    socket.read_exact(&mut text).await.expect("a frame");
    String::from_utf8(text).expect("a text")
}

#[tokio::test]
async fn a_node_may_have_gateways_only() {
    let mut api = Api::start();
    let toml = api.gateway("open-push = true");
    let loaded = Layers::new()
        .file(Path::new("t.toml"), &toml)
        .flag("--listen", "listen", "none")
        .flag("--admin", "admin.enabled", false)
        .load();
    let node = Node::start(&loaded.expect("valid")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((node.addr(), node.admin_addr()), (None, None));
    assert_eq!(node.push_addr("gateway"), None);
    let addr = clients(&node, "gateway");
    let mut ann = connect(addr, "ann?x=1").await;
    assert_eq!(api.next_line().await, "GET /api/ann?x=1");
    assert_eq!(push(addr, "ann", &[]).await.text(), "ok");
    assert_eq!(text(&mut ann).await, "hello");
    // A masked text of two bytes, its key being zero.
    ann.write_all(b"\x81\x82\0\0\0\0hi")
        .await
        .expect("it is taken");
    assert_eq!(text(&mut ann).await, "hi");
    assert_eq!(api.next_line().await, "POST /api/ann hi");
    let counters = send(addr, "GET /", &[]).await.text();
    assert!(counters.starts_with("connections_opened 1\n"), "{counters}");
    let (ended, _) = tokio::join!(node.stop(), until_closed(&mut ann));
    assert_eq!(ended, Ended::Drained);
}

#[tokio::test]
async fn an_api_may_speak_http_2_without_tls() {
    let mut api = Api::h2c();
    let node = start(&api.gateway(""));
    let mut ann = connect(clients(&node, "gateway"), "ann").await;
    assert_eq!(api.next_line().await, "GET /api/ann");
    ann.write_all(b"\x81\x82\0\0\0\0hi")
        .await
        .expect("it is taken");
    assert_eq!(text(&mut ann).await, "hi");
    assert_eq!(api.next_line().await, "POST /api/ann hi");
    let (ended, _) = tokio::join!(node.stop(), until_closed(&mut ann));
    assert_eq!(ended, Ended::Drained);
}

#[tokio::test]
async fn a_push_on_the_clients_listener_needs_the_token() {
    let api = Api::start();
    let node = start(&api.gateway("push-token = 'token-of-api'"));
    let addr = clients(&node, "gateway");
    let mut ann = connect(addr, "ann").await;
    // Without any it may be a handshake that went wrong.
    for (headers, asked) in [(&[][..], 400), (&[WRONG], 401)] {
        let refused = push(addr, "ann", headers).await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").is_some());
        assert_eq!(send(addr, "DELETE /ann", headers).await.status, 401);
        assert_eq!(send(addr, "GET /ann", headers).await.status, asked);
    }
    assert_eq!(push(addr, "ann", &[TOKEN]).await.status, 200);
    assert_eq!(text(&mut ann).await, "hello");
    assert_eq!(push(addr, "bob", &[TOKEN]).await.status, 404);
    assert_eq!(send(addr, "GET /ann", &[TOKEN]).await.status, 200);

    // Without a token and without a push listener nobody may.
    let closed = start(&api.gateway(""));
    let refused = push(clients(&closed, "gateway"), "ann", &[TOKEN]).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn the_push_listener_is_for_who_reaches_it() {
    let api = Api::start();
    let node = start(&api.gateway("push-listen = '127.0.0.1:0'"));
    let (addr, pushes) = (clients(&node, "gateway"), pushes(&node, "gateway"));
    let mut ann = connect(addr, "ann").await;
    assert_eq!(
        push(addr, "ann", &[]).await.status,
        401,
        "not among clients"
    );
    assert_eq!(push(pushes, "ann", &[]).await.status, 200);
    assert_eq!(text(&mut ann).await, "hello");
    // Web pages on this machine reach it too, and must not use it.
    for page in ["Origin: https://evil.example", "Host: evil.example:7002"] {
        assert_eq!(push(pushes, "ann", &[page]).await.status, 403, "{page}");
    }
    // Clients connect elsewhere, and from any page: the API decides.
    let (refused, _) = upgrade_at(pushes, "/bob", &[]).await;
    assert_ne!(refused.status, 101);
    let (accepted, _bob) = upgrade_at(addr, "/bob", &["Origin: https://app.example"]).await;
    assert_eq!(accepted.status, 101);
}

#[tokio::test]
async fn a_push_listener_may_ask_for_the_token() {
    let api = Api::start();
    let more = "push-listen = '127.0.0.1:0'\npush-token = 'token-of-api'";
    let node = start(&api.gateway(more));
    let pushes = pushes(&node, "gateway");
    for headers in [&[][..], &[WRONG]] {
        let refused = push(pushes, "ann", headers).await;
        assert_eq!(refused.status, 401);
        let challenge = refused.header("www-authenticate");
        assert!(challenge.is_some_and(|challenge| challenge.starts_with("bearer ")));
    }
    assert_eq!(push(pushes, "ann", &[TOKEN]).await.status, 404);
    let metrics = send(
        node.admin_addr().expect("an admin listener"),
        "GET /metrics",
        &[],
    )
    .await;
    let unauthorized =
        "fetchway_gateway_pushes_total{gateway=\"gateway\",outcome=\"unauthorized\"} 2\n";
    assert!(metrics.text().contains(unauthorized), "{}", metrics.text());
}

#[tokio::test]
async fn what_keeps_a_gateway_from_starting_is_told() {
    let api = Api::start();
    let error = refusal(&api.gateway("push-listen = '0.0.0.0:0'"));
    assert!(
        error.starts_with("gateways[0].push-listen = 0.0.0.0:0 can be reached from other machines")
            && error.contains("set gateways[0].push-token or push-token-file"),
        "{error}"
    );
    let error = refusal(&api.gateway("push-token-file = '/does/not/exist'"));
    let expected = "gateways[0].push-token-file = /does/not/exist can't be read";
    assert!(error.starts_with(expected), "{error}");
    let error = refusal(&api.gateway(
        "push-listen = '127.0.0.1:0'\npush-tls = { cert = '/does/not/exist', key = '/x' }",
    ));
    assert!(
        error.starts_with("gateways[0].push-tls.cert = /does/not/exist"),
        "{error}"
    );
    let error = refusal(&api.gateway("tls = { cert = '/does/not/exist', key = '/x' }"));
    assert!(
        error.starts_with("gateways[0].tls.cert = /does/not/exist"),
        "{error}"
    );
    let node = start("");
    let taken = format!("push-listen = '{}'", main_addr(&node));
    let error = refusal(&api.gateway(&taken));
    assert!(
        error.contains("push-listen = ") && error.contains("in use by another"),
        "{error}"
    );

    // Who reaches the clients' listener needs no token.
    let open = api.gateway("").replace("127.0.0.1:0", "0.0.0.0:0");
    let node = start(&open);
    let addr = SocketAddr::from(([127, 0, 0, 1], clients(&node, "gateway").port()));
    connect(addr, "ann").await;
}

#[tokio::test]
async fn a_shared_port_has_several_nodes() {
    let mut api = Api::start();
    let more = "reuse-port = true\npush-listen = '127.0.0.1:0'";
    let first = start(&api.gateway(more));
    let addr = clients(&first, "gateway");
    let shared = api
        .gateway(more)
        .replacen("127.0.0.1:0", &addr.to_string(), 1);
    let second = start(&shared);
    assert_eq!(clients(&second, "gateway"), addr);
    let alone = shared.replace("reuse-port = true\n", "");
    assert!(refusal(&alone).contains("in use by another process"));

    let mut ann = connect(addr, "ann").await;
    assert_eq!(api.next_line().await, "GET /api/ann");
    // One of the two has her, and only that one knows her.
    let mut statuses = [0, 0];
    for (status, node) in statuses.iter_mut().zip([&first, &second]) {
        *status = push(pushes(node, "gateway"), "ann", &[]).await.status;
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404]);
    assert_eq!(text(&mut ann).await, "hello");
}

#[tokio::test]
async fn each_gateway_is_counted() {
    let (one, two) = (Api::start(), Api::start());
    let toml = format!(
        "{}{}",
        one.gateway("name = 'one'\nopen-push = true"),
        two.gateway("name = 'two'")
    );
    let node = start(&toml);
    let addr = clients(&node, "one");
    let mut ann = connect(addr, "ann").await;
    assert_eq!(push(addr, "ann", &[]).await.status, 200);
    assert_eq!(push(addr, "bob", &[]).await.status, 404);
    ann.write_all(b"\x81\x82\0\0\0\0hi")
        .await
        .expect("it is taken");
    assert_eq!(text(&mut ann).await, "hello");
    assert_eq!(text(&mut ann).await, "hi");
    // A message is counted right after it was written.
    let out = "fetchway_gateway_messages_out_total{gateway=\"one\"} 2";
    let scraped = scrape_until(&node, out).await;
    for expected in [
        "connections_opened_total{gateway=\"one\"} 1",
        "connections_opened_total{gateway=\"two\"} 0",
        "connections_closed_total{gateway=\"one\"} 0",
        "connections{gateway=\"one\"} 1",
        "requests_started_total{gateway=\"one\"} 2",
        "requests_failed_total{gateway=\"one\"} 0",
        "requests_succeeded_total{gateway=\"one\"} 2",
        "messages_in_total{gateway=\"one\"} 1",
        "messages_lost_total{gateway=\"two\"} 0",
        "queued_messages{gateway=\"one\"} 0",
        "pending_deletes{gateway=\"one\"} 0",
        "pushes_total{gateway=\"one\",outcome=\"sent\"} 1",
        "pushes_total{gateway=\"one\",outcome=\"unknown\"} 1",
        "pushes_total{gateway=\"two\",outcome=\"full\"} 0",
        "handshakes_total{gateway=\"one\",outcome=\"accepted\"} 1",
        "handshakes_total{gateway=\"two\",outcome=\"full\"} 0",
        "request_duration_seconds_count{gateway=\"one\"} 2",
    ] {
        let expected = format!("fetchway_gateway_{expected}");
        let found = scraped.lines().any(|line| line == expected);
        assert!(found, "{expected} is not in\n{scraped}");
    }
    for expected in [
        "fetchway_fetches_succeeded_total{lane=\"gateway-one\"} 2",
        "fetchway_fetches_succeeded_total{lane=\"gateway-two\"} 0",
        "fetchway_connections_accepted_total{listener=\"gateway\"} 3",
        "fetchway_connections_accepted_total{listener=\"push\"} 0",
    ] {
        let found = scraped.lines().any(|line| line == expected);
        assert!(found, "{expected} is not in\n{scraped}");
    }
    // A node without gateways has none of it.
    let plain = start("");
    let plain = send(
        plain.admin_addr().expect("an admin listener"),
        "GET /metrics",
        &[],
    )
    .await;
    assert!(!plain.text().contains("fetchway_gateway_"));
}

#[tokio::test]
async fn a_stopped_node_closes_clients_and_tells_the_api() {
    let mut api = Api::start();
    let node = start(&api.gateway("drain-spread = '10ms'"));
    let addr = clients(&node, "gateway");
    let mut ann = connect(addr, "ann").await;
    assert_eq!(api.next_line().await, "GET /api/ann");
    let (ended, frames) = tokio::join!(node.stop(), async {
        let mut frames = [0; 4];
        ann.read_exact(&mut frames).await.expect("a Close");
        let [first, _, code @ ..] = frames;
        assert_eq!((first, u16::from_be_bytes(code)), (0x88, 1012));
        // A masked Close in answer.
        ann.write_all(b"\x88\x82\0\0\0\0\x03\xf4")
            .await
            .expect("it is taken");
        until_closed(&mut ann).await
    });
    assert_eq!(ended, Ended::Drained, "{frames:?}");
    assert!(api.next_line().await.starts_with("DELETE /api/ann"));
    let gone = TcpStream::connect(addr).await;
    assert!(gone.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn dropping_a_node_cuts_its_clients_off() {
    let api = Api::start();
    let node = start(&api.gateway(""));
    let mut ann = connect(clients(&node, "gateway"), "ann").await;
    drop(node);
    until_closed(&mut ann).await;
}
