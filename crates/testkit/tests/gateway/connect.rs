//! Identity and context: what the API learns of a client, and what it may say to its handshake.

use fetchway_test_origins::{Api, ok};
use fetchway_testkit::{Raw, Socket};
use http::Method;

use crate::{gateway, http, open_push};

#[tokio::test]
async fn the_id_is_decoded_and_encoded_into_the_apis_url() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    for (target, asked) in [
        ("/a%20b", "/a%20b"),
        ("/a%2Fb", "/a%2Fb"),
        ("/%C3%A9", "/%C3%A9"),
        ("/a;b=c@d", "/a;b=c@d"),
        (
            "/plain/deeper/path?x=1&y=%20",
            "/plain/deeper/path?x=1&y=%20",
        ),
        ("/q?", "/q?"),
    ] {
        let count = api.requests().len();
        let client = Socket::connect(addr, target).await;
        let connect = api.requests()[count].clone();
        assert_eq!(connect.target, asked, "{target}");
        drop(client);
        api.until_count(count + 2).await;
        let end = api.requests()[count + 1].clone();
        let own = asked.split(['?']).next().expect("a path");
        let own = own.strip_suffix("/deeper/path").unwrap_or(own);
        assert_eq!(end.target, own, "later requests name the id only");
    }
    node.stop().await;
}

#[tokio::test]
async fn ids_that_lead_elsewhere_are_refused_unasked() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    for target in ["/%2e", "/%2E%2e", "/a/%2e%2e/b", "/%00", "/%ff"] {
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let head = format!("GET {target} HTTP/1.1\r\n{upgrade}");
        assert_eq!(http(addr, &head, "").await.0, 400, "{target}");
    }
    assert!(api.requests().is_empty());
    node.stop().await;
}

/// A URL takes it for a slash, so that what follows would lead up from the id.
#[tokio::test]
async fn a_backslash_leads_nowhere_else() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    for (target, asked) in [
        (
            "/alice/x\\..\\..\\secret?y\\z",
            "/alice/x%5C..%5C..%5Csecret?y\\z",
        ),
        ("/alice\\..\\secret", "/alice%5C..%5Csecret"),
    ] {
        let count = api.requests().len();
        let (client, _) = Raw::connect(addr, target, "").await;
        assert_eq!(api.requests()[count].target, asked);
        drop(client);
        api.until_count(count + 2).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_malformed_upgrade_is_refused_unasked() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let version = "GET /a HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    assert_eq!(http(addr, version, "").await.0, 426);
    let key = "GET /a HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
               Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short";
    assert_eq!(http(addr, key, "").await.0, 400);
    assert!(api.requests().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn the_api_sees_the_clients_fields_and_no_forged_ones() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let fields = [
        ("cookie", "session=1"),
        ("user-agent", "a browser"),
        ("origin", "https://page.example"),
        ("sec-websocket-protocol", "chat, other"),
        ("fetchway-state", "forged"),
        ("fetchway-connection", "forged"),
        ("webhook-signature", "forged"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=1.2.3.4"),
    ];
    // By hand: a library misses a subprotocol, as the API has chosen none.
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    drop(Raw::connect(addr, "/alice", &lines).await);
    let connect = api.until_count(1).await[0].clone();
    for (name, value) in [
        ("cookie", "session=1"),
        ("user-agent", "a browser"),
        ("origin", "https://page.example"),
        ("sec-websocket-protocol", "chat, other"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", &addr.to_string()),
        ("fetchway-sequence", "0"),
        ("fetchway-state", ""),
        ("webhook-signature", ""),
        ("forwarded", ""),
        ("upgrade", ""),
        ("sec-websocket-key", ""),
    ] {
        assert_eq!(connect.field(name), value, "{name}");
    }
    assert_ne!(connect.field("fetchway-connection"), "forged");
    node.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "trusted-proxies = [\"127.0.0.0/8\"]");
    let fields = [
        ("x-forwarded-for", "9.9.9.9, 1.2.3.4"),
        ("x-forwarded-proto", "https"),
    ];
    let client = Socket::open(addr, "/alice", &fields)
        .await
        .expect("accepted");
    let connect = api.until_count(1).await[0].clone();
    assert_eq!(
        connect.field("x-forwarded-for"),
        "9.9.9.9, 1.2.3.4, 127.0.0.1"
    );
    assert_eq!(connect.field("x-forwarded-proto"), "https");
    drop(client);
    node.stop().await;
}

/// HAProxy adds a line of its own behind what the client has sent.
#[tokio::test]
async fn each_line_of_a_trusted_proxy_is_passed_on() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "trusted-proxies = [\"127.0.0.0/8\"]");
    let lines = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n";
    let (client, _) = Raw::connect(addr, "/alice", lines).await;
    let connect = api.until_count(1).await[0].clone();
    let named = connect.headers.get_all("x-forwarded-for").iter();
    let named: Vec<&str> = named.map(|line| line.to_str().expect("text")).collect();
    assert_eq!(named, ["6.6.6.6, 1.2.3.4, 127.0.0.1"]);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn the_api_may_choose_the_subprotocol_and_set_fields() {
    let api = Api::scripted(|request| async move {
        let mut answer = ok("ok");
        for (name, value) in [
            ("sec-websocket-protocol", "chat"),
            ("set-cookie", "a=1"),
            ("x-room", "blue"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("fetchway-state", "kept"),
            ("server", "an api"),
        ] {
            let value = value.parse().expect("a value");
            answer.headers_mut().append(name, value);
        }
        match request.method {
            Method::GET => answer,
            _ => ok(request.field("fetchway-state").to_owned()),
        }
    });
    let (node, addr) = gateway(&api, "");
    let asked = [("sec-websocket-protocol", "other, chat")];
    let client = Socket::open(addr, "/alice", &asked)
        .await
        .expect("accepted");
    let field = |name: &str| {
        let value = client.handshake.headers().get(name);
        value.map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(field("sec-websocket-protocol").as_deref(), Some("chat"));
    assert_eq!(field("set-cookie").as_deref(), Some("a=1"));
    assert_eq!(field("x-room").as_deref(), Some("blue"));
    for none in [
        "sec-websocket-extensions",
        "fetchway-state",
        "server",
        "content-length",
    ] {
        assert_eq!(field(none), None, "{none}");
    }
    drop(client);
    let mut unasked = Socket::connect(addr, "/bob").await;
    assert!(
        !unasked
            .handshake
            .headers()
            .contains_key("sec-websocket-protocol")
    );
    unasked.send("what is my state?").await;
    assert_eq!(unasked.text().await, "kept");
    drop(unasked);
    node.stop().await;
}

#[tokio::test]
async fn state_is_replaced_by_any_answer_and_sent_with_each_request() {
    let api = Api::scripted(|request| async move {
        let mut answer = match request.method {
            Method::GET => ok("ok"),
            _ => ok(request.field("fetchway-state").to_owned()),
        };
        if request.body != "keep" {
            let text = match request.method {
                Method::GET => "first".to_owned(),
                _ => String::from_utf8_lossy(&request.body).into_owned(),
            };
            let value = text.parse().expect("a value");
            answer.headers_mut().insert("fetchway-state", value);
        }
        answer
    });
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    for (send, sees) in [("second", "first"), ("keep", "second"), ("third", "second")] {
        client.send(send).await;
        assert_eq!(client.text().await, sees);
    }
    client.close(1000, "").await;
    let requests = api.until_count(5).await;
    assert_eq!(
        requests[4].field("fetchway-state"),
        "third",
        "the DELETE too"
    );
    node.stop().await;
}

#[tokio::test]
async fn requests_tell_connections_and_their_order() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    for _ in 0..2 {
        let mut client = Socket::connect(addr, "/alice").await;
        for text in ["a", "b"] {
            client.send(text).await;
            client.text().await;
        }
        let count = api.requests().len();
        client.close(1000, "").await;
        api.until_count(count + 1).await;
    }
    let requests = api.requests();
    let sequences: Vec<u64> = requests.iter().map(|r| r.sequence()).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 0, 1, 2, 3]);
    let (first, second) = requests.split_at(4);
    for one in [first, second] {
        let name = one[0].field("fetchway-connection");
        assert!(!name.is_empty());
        assert!(one.iter().all(|r| r.field("fetchway-connection") == name));
    }
    let epoch = |at: usize| requests[at].field("fetchway-epoch").parse::<u64>();
    assert!(epoch(4).expect("a number") > epoch(0).expect("a number"));
    assert_ne!(
        first[0].field("fetchway-connection"),
        second[0].field("fetchway-connection")
    );
    node.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_if_a_list_is_given() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "allow-origins = [\"https://good.example\"]");
    let page = |origin| [("origin", origin)];
    let refused = Socket::open(addr, "/a", &page("https://bad.example")).await;
    assert_eq!(refused.expect_err("refused").status, 403);
    let good = Socket::open(addr, "/a", &page("https://good.example")).await;
    drop(good.expect("accepted"));
    let none = Socket::open(addr, "/b", &[]).await;
    drop(none.expect("no page at all"));
    node.stop().await;
}

/// One that is refused can come again when another has left.
#[tokio::test]
async fn clients_are_bounded_before_the_api_is_asked() {
    let api = Api::scripted(|request| async move {
        match request.target.as_str() {
            "/unwanted" => ok("no"),
            _ => ok("ok"),
        }
    });
    let (node, addr) = gateway(&api, "max-clients = 2\nduplicate = \"reject\"");
    let first = Socket::connect(addr, "/a").await;
    // Those that the API or the gateway has refused have given their places back.
    for (target, status) in [("/unwanted", 403), ("/a", 409), ("/unwanted", 403)] {
        let refused = Socket::open(addr, target, &[]).await.expect_err("refused");
        assert_eq!(refused.status, status, "{target}");
    }
    let second = Socket::connect(addr, "/b").await;
    let asked = api.requests().len();
    let upgrade = "GET /c HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let full = fetchway_testkit::answer(addr, upgrade, "").await;
    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    assert!(full.to_lowercase().contains("retry-after: 5\r\n"), "{full}");
    assert_eq!(api.requests().len(), asked, "the API was not asked");
    let count = "fetchway_gateway_handshakes_total{gateway=\"gateway\",outcome=\"full\"}";
    assert_eq!(node.metric(count).await, Some(1.0));
    second.close(1000, "").await;
    api.until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    let third = Socket::connect(addr, "/c").await;
    drop((first, third));
    node.stop().await;
}

#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "per-address = 2");
    let (first, second) = tokio::join!(Socket::connect(addr, "/a"), Socket::connect(addr, "/b"));
    let refused = Socket::open(addr, "/c", &[]).await.expect_err("refused");
    assert_eq!(refused.status, 429);
    first.close(1000, "").await;
    api.until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    let third = Socket::connect(addr, "/c").await;
    drop((second, third));
    node.stop().await;
}

/// One that is sent away and neither answers nor leaves holds its place until it is cut off.
#[tokio::test]
async fn one_that_is_sent_away_counts_until_its_socket_is_gone() {
    let api = Api::echo();
    let (node, addr) = open_push(&api, "per-address = 1");
    let (mut kicked, _) = Raw::connect(addr, "/a", "").await;
    while http(addr, "DELETE /a?code=4000 HTTP/1.1", "").await.0 == 202 {}
    let close = kicked.frame().await.expect("a Close");
    assert_eq!(close.close_code(), Some(4000));
    let refused = Socket::open(addr, "/b", &[]).await.expect_err("refused");
    assert_eq!(refused.status, 429);
    // A frame that never ends: a byte of it is no Close.
    kicked.bytes(&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]).await;
    let sending = async { while kicked.try_bytes(b"x").await {} };
    let cut = tokio::time::timeout(fetchway_testkit::PATIENCE, sending).await;
    cut.expect("it is cut off");
    drop(Socket::connect(addr, "/b").await);
    node.stop().await;
}
