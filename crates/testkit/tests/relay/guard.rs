//! The address guard, end to end: however an address is written, nobody is dialled.

use std::net::SocketAddr;

use fetchway_test_origins::TestOrigin;
use fetchway_testkit::{Client, TestNode};
use serde_json::json;

use crate::{failure, origin, tls_origin};

/// Ways to write an address that is refused by default.
const LITERALS: &[&str] = &[
    // Loopback: dotted, decimal, octal, hexadecimal, short, mixed, and as URL parsers map them.
    "127.0.0.1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F.0.0.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0x0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    // Loopback inside IPv6: mapped, compatible, NAT64, 6to4, Teredo.
    "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    // Metadata services.
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "0xa83f8110",
    "100.100.100.200",
    "192.0.0.192",
    // Private, shared, link-local, multicast, reserved.
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[fe80::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::192.168.0.1]",
];

/// Names, and what they resolve to.
const NAMES: &[(&str, &str)] = &[
    ("loopback.test", "127.0.0.1"),
    ("six.test", "::1"),
    ("mapped.test", "::ffff:127.0.0.1"),
    ("metadata.test", "169.254.169.254"),
    ("azure.test", "168.63.129.16"),
    ("nat64.test", "64:ff9b::7f00:1"),
    // One of several answers, wherever it stands.
    ("first.test", "127.0.0.1,1.1.1.1"),
    ("last.test", "1.1.1.1,2606:4700::1111,127.0.0.1"),
    ("mixed.test", "1.1.1.1,::1"),
];

fn with_names(allow_net: Option<&str>) -> TestNode {
    let keys: Vec<_> = NAMES
        .iter()
        .map(|(name, _)| format!("hosts.'{name}'"))
        .collect();
    let addresses = NAMES.iter().map(|(_, addresses)| *addresses);
    let mut settings: Vec<_> = keys.iter().map(String::as_str).zip(addresses).collect();
    settings.extend(allow_net.map(|net| ("guard.allow-net", net)));
    TestNode::guarded(&settings)
}

fn hosts() -> impl Iterator<Item = &'static str> {
    let names = NAMES.iter().map(|(name, _)| *name);
    let local = ["localhost", "LOCALHOST", "LoopBack.Test"];
    LITERALS.iter().copied().chain(names).chain(local)
}

async fn is_refused(client: &mut Client, url: &str) {
    let answer = client.fetch(url).await;
    assert_eq!(
        failure(&answer),
        "destination_ip_prohibited",
        "{url}: {answer}"
    );
}

#[tokio::test]
async fn every_spelling_of_a_private_address_is_refused() {
    let (node, origin) = (with_names(None), origin());
    let port = origin.addr().port();
    let mut client = node.client().await;
    for host in hosts() {
        for scheme in ["http", "https"] {
            is_refused(&mut client, &format!("{scheme}://{host}:{port}/echo")).await;
        }
    }
    assert_eq!(origin.stats().connections, 0, "nobody was dialled");
    drop(client);
    node.stop().await;
}

/// An origin at an address that the node may reach, while it may not reach 127.0.0.1.
fn allowed_origin() -> TestOrigin {
    let addr = SocketAddr::from(([127, 0, 0, 2], 0));
    TestOrigin::builder()
        .addr(addr)
        .start()
        .expect("a free port")
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused() {
    let (node, allowed, private) = (with_names(Some("127.0.0.2/32")), allowed_origin(), origin());
    let port = private.addr().port();
    let mut client = node.client().await;
    for host in hosts() {
        // A port may not stand behind what the parser makes an address of only later.
        let to: String = url_escaped(&format!("http://{host}:{port}/echo"));
        for code in [302, 307] {
            is_refused(
                &mut client,
                &allowed.url(&format!("/redirect?code={code}&to={to}")),
            )
            .await;
        }
    }
    // Without a scheme, and only at the end of a chain.
    let to = url_escaped(&format!("//127.1:{port}/echo"));
    is_refused(&mut client, &allowed.url(&format!("/redirect?to={to}"))).await;
    let chain = url_escaped(&allowed.url(&format!("/redirect?to={to}")));
    is_refused(&mut client, &allowed.url(&format!("/redirect?to={chain}"))).await;
    assert_eq!(private.stats().connections, 0, "nobody was dialled");
    assert_eq!(client.fetch(&allowed.url("/echo")).await["status"], 200);
    drop(client);
    node.stop().await;
}

/// `text` as it stands in a query.
fn url_escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Ann may fetch from loopback, Bob may not.
const ANN_AND_BOB: &str = "
    [[tokens]]
    name = 'ann'
    token = 'token-of-ann'
    allow-net = ['127.0.0.0/8']
    [[tokens]]
    name = 'bob'
    token = 'token-of-bob'
";

#[tokio::test]
async fn a_warm_connection_serves_only_those_who_may() {
    let (tls, ca) = tls_origin("warm");
    let toml = format!("fetch.ca-file = '{}'\n{ANN_AND_BOB}", ca.display());
    let node = TestNode::configured("127.0.0.1:0", &toml);
    for origin in [origin(), tls] {
        let mut ann = node.client_with("token-of-ann").await;
        let mut bob = node.client_with("token-of-bob").await;
        assert_eq!(ann.fetch(&origin.url("/echo")).await["status"], 200);
        // One is warm and idle, another is in use.
        ann.get("held", &origin.url("/gate?key=k")).await;
        assert_eq!(ann.fetch(&origin.url("/echo")).await["status"], 200);
        let warm = origin.wait_until(|stats| stats.requests == 3).await;
        assert!(warm.open >= 1, "{warm:?}");
        for _ in 0..20 {
            is_refused(&mut bob, &origin.url("/echo")).await;
            is_refused(&mut bob, &origin.url_at("localhost", "/echo")).await;
        }
        let now = origin.stats();
        assert_eq!(
            (now.requests, now.connections),
            (3, warm.connections),
            "Bob was never there"
        );
        origin.open_gate("k").expect("few keys");
        assert_eq!(ann.next().await["id"], "held");
        // A new session of Ann's finds it warm still.
        let mut ann = node.client_with("token-of-ann").await;
        assert_eq!(ann.fetch(&origin.url("/echo")).await["status"], 200);
        assert_eq!(origin.stats().connections, warm.connections);
    }
    node.stop().await;
}

#[tokio::test]
async fn hosts_and_ports_can_be_allowed_and_denied() {
    let origin = origin();
    let port = origin.addr().port().to_string();
    for (settings, url, allowed) in [
        (
            vec![("guard.allow-hosts", "127.0.0.1")],
            origin.url("/echo"),
            true,
        ),
        (
            vec![("guard.allow-hosts", "example.com")],
            origin.url("/echo"),
            false,
        ),
        (
            vec![("guard.deny-hosts", "localhost")],
            origin.url_at("localhost", "/echo"),
            false,
        ),
        (
            vec![("guard.deny-hosts", "localhost")],
            origin.url("/redirect?to=/echo"),
            true,
        ),
        (
            vec![("guard.allow-ports", port.as_str())],
            origin.url("/echo"),
            true,
        ),
        (
            vec![("guard.allow-ports", "443")],
            origin.url("/echo"),
            false,
        ),
        (
            vec![("guard.deny-ports", port.as_str())],
            origin.url("/echo"),
            false,
        ),
    ] {
        let node = TestNode::open(&settings);
        let mut client = node.client().await;
        let answer = client.ask(json!({ "id": 1, "url": url })).await;
        if allowed {
            assert_eq!(answer["status"], 200, "{settings:?}: {answer}");
        } else {
            assert_eq!(failure(&answer), "http_request_denied", "{settings:?}");
        }
        drop(client);
        node.stop().await;
    }
    let node = TestNode::open(&[("guard.deny-net", "127.0.0.1/32")]);
    let mut client = node.client().await;
    is_refused(&mut client, &origin.url("/echo")).await;
    drop(client);
    node.stop().await;
}
