//! A real node on ports that the system chooses, over real TCP.

use std::net::SocketAddr;
use std::path::Path;

use crate::client::{main_addr, says_going_away, send, start, start_at, until_closed, upgrade};
use fetchway_node::{Ended, Layers, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKENS: &str = "
    [[tokens]]
    name = 'ann'
    token = 'token-of-ann'
    limits.max-sessions = 1
    [admin]
    token = 'token-of-admin'
";
const ANN: &str = "Authorization: Bearer token-of-ann";
const ADMIN: &str = "Authorization: Bearer token-of-admin";

fn admin(node: &Node) -> SocketAddr {
    node.admin_addr().expect("there is an admin listener")
}

#[tokio::test]
async fn both_listeners_say_that_the_node_lives() {
    let node = start("");
    for addr in [main_addr(&node), admin(&node)] {
        let health = send(addr, "GET /health", &[]).await;
        assert_eq!(
            (health.status, health.header("content-type")),
            (200, Some("application/json"))
        );
        let body: serde_json::Value = serde_json::from_slice(&health.body).expect("JSON");
        assert_eq!(
            (&body["status"], &body["service"]),
            (&"ok".into(), &"fetchway".into())
        );
    }
    assert_eq!(send(admin(&node), "GET /ready", &[]).await.status, 200);
    let welcome = send(main_addr(&node), "GET /", &[]).await;
    assert_eq!(welcome.status, 200);
    assert!(welcome.text().contains("fetchway"));
    let head = send(main_addr(&node), "HEAD /", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document() {
    let node = start("");
    for (addr, what, status) in [
        (main_addr(&node), "GET /nothing", 404),
        (main_addr(&node), "GET /metrics", 404),
        (main_addr(&node), "POST /", 405),
        (admin(&node), "GET /", 404),
        (admin(&node), "POST /metrics", 405),
        (admin(&node), "GET /debug/pprof/profile?seconds=61", 400),
    ] {
        let answer = send(addr, what, &[]).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{what}"
        );
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(body["status"], status, "{what}");
    }
}

#[tokio::test]
async fn a_web_page_is_refused_on_every_listener_and_route() {
    let node = start("allow-origins = ['https://app.example.com']");
    for (addr, paths) in [
        (
            main_addr(&node),
            &["/", "/v1/relay", "/health", "/nothing"][..],
        ),
        (
            admin(&node),
            &["/metrics", "/health", "/ready", "/debug/pprof/heap"][..],
        ),
    ] {
        for path in paths {
            for what in [format!("GET {path}"), format!("POST {path}")] {
                for page in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
                    let answer = send(addr, &what, &[page]).await;
                    assert_eq!(answer.status, 403, "{what} {page}");
                }
                let rebound = send(addr, &what, &["Host: evil.example:8787"]).await;
                assert_eq!(rebound.status, 403, "{what}");
            }
        }
    }
    let (refused, _) = upgrade(main_addr(&node), &["Origin: https://evil.example"]).await;
    assert_eq!(refused.status, 403);
    let (accepted, _io) = upgrade(main_addr(&node), &["Origin: https://app.example.com"]).await;
    assert_eq!(accepted.status, 101);
}

#[tokio::test]
async fn a_token_opens_the_relay_and_none_does_not() {
    let node = start(TOKENS);
    for headers in [&[][..], &["Authorization: Bearer wrong"], &[ADMIN]] {
        let (answer, _) = upgrade(main_addr(&node), headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.is_some_and(|c| c.starts_with("bearer ")),
            "{challenge:?}"
        );
    }
    let (accepted, io) = upgrade(main_addr(&node), &[ANN]).await;
    assert_eq!(
        (accepted.status, accepted.header("sec-websocket-protocol")),
        (101, None)
    );
    let (second, _) = upgrade(main_addr(&node), &[ANN]).await;
    assert_eq!(second.status, 429, "max-sessions is 1");
    drop(io);
    assert_eq!(send(main_addr(&node), "GET /health", &[]).await.status, 200);
}

#[tokio::test]
async fn a_token_offered_as_subprotocol_is_never_echoed() {
    let node = start(TOKENS);
    // "token-of-ann" in base64url.
    let token = "fetchway.token.dG9rZW4tb2YtYW5u";
    let offer = format!("Sec-WebSocket-Protocol: {token}, fetchway.json");
    let (answer, io) = upgrade(main_addr(&node), &[&offer]).await;
    assert_eq!(
        answer.header("sec-websocket-protocol"),
        Some("fetchway.json")
    );
    assert!(!answer.headers.contains("token"), "{}", answer.headers);
    drop(io);
    // Alone it gets nowhere: browsers close a connection whose offers were all passed over.
    let (answer, _) = upgrade(
        main_addr(&node),
        &[&format!("Sec-WebSocket-Protocol: {token}")],
    )
    .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn the_encoding_is_one_that_was_offered() {
    let node = start("");
    for (offer, status, confirmed) in [
        ("X-Nothing: offered", 101, None),
        (
            "Sec-WebSocket-Protocol: fetchway.json",
            101,
            Some("fetchway.json"),
        ),
        (
            "Sec-WebSocket-Protocol: fetchway.v1",
            101,
            Some("fetchway.v1"),
        ),
        (
            "Sec-WebSocket-Protocol: fetchway.json, fetchway.v1",
            101,
            Some("fetchway.v1"),
        ),
        (
            "Sec-WebSocket-Protocol: fetchway.v99, fetchway.json",
            101,
            Some("fetchway.json"),
        ),
        ("Sec-WebSocket-Protocol: fetchway.v99", 400, None),
        (
            "Sec-WebSocket-Protocol: fetchway.token.YQ, other",
            400,
            None,
        ),
        ("Sec-WebSocket-Protocol: fetchway.token.YQ", 400, None),
    ] {
        let (answer, _io) = upgrade(main_addr(&node), &[offer]).await;
        let found = (answer.status, answer.header("sec-websocket-protocol"));
        assert_eq!(found, (status, confirmed), "{offer}");
    }
}

#[tokio::test]
async fn a_refused_offer_is_told_what_to_offer() {
    let node = start("");
    let head = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for (offer, expected) in [
        ("fetchway.v99", "offer fetchway.json or fetchway.v1"),
        (
            "fetchway.token.YQ",
            "new WebSocket(url, [\"fetchway.json\", \"fetchway.token.",
        ),
    ] {
        let offer = format!("Sec-WebSocket-Protocol: {offer}");
        let mut lines = head.to_vec();
        lines.push(&offer);
        let answer = send(main_addr(&node), "GET /", &lines).await;
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(
            answer.status == 400 && detail.contains(expected),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn an_admin_token_guards_all_but_health() {
    let node = start(TOKENS);
    for (path, open) in [
        ("/health", true),
        ("/ready", true),
        ("/metrics", false),
        ("/debug/pprof/heap", false),
        ("/nothing", false),
    ] {
        let answer = send(admin(&node), &format!("GET {path}"), &[]).await;
        assert_eq!(answer.status, if open { 200 } else { 401 }, "{path}");
    }
    assert_eq!(
        send(admin(&node), "GET /metrics", &[ADMIN]).await.status,
        200
    );
    assert_eq!(send(admin(&node), "GET /metrics", &[ANN]).await.status, 401);
}

#[tokio::test]
async fn metrics_are_openmetrics_with_bounded_labels() {
    let node = start("[lanes.bulk]\nrate = '5/s'");
    let refused = send(main_addr(&node), "GET /", &["Origin: https://evil.example"]).await;
    assert_eq!(refused.status, 403);
    let answer = send(admin(&node), "GET /metrics", &[]).await;
    let kind = answer.header("content-type").expect("a type").to_owned();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let mut typed = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name");
            assert!(typed.insert(name.to_owned()), "{name} is described twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().expect("a name");
            let known = typed.iter().any(|family| name.starts_with(family.as_str()));
            assert!(known, "{name} has no type");
        }
    }
    for expected in [
        "fetchway_fetches_started_total{lane=\"bulk\"} 0",
        "fetchway_fetches_succeeded_total{lane=\"default\"} 0",
        "fetchway_fetches_failed_total{lane=\"default\",error=\"queue_full\"} 0",
        "fetchway_fetches_in_flight{lane=\"bulk\"} 0",
        "fetchway_fetches_queued{lane=\"bulk\"} 0",
        "fetchway_fetch_duration_seconds_bucket{le=\"+Inf\",lane=\"bulk\"} 0",
        "fetchway_sessions_opened_total 0",
        "fetchway_body_budget_used_bytes 0",
        "fetchway_requests_refused_total{reason=\"origin\"} 1",
        "fetchway_connections_accepted_total{listener=\"main\"} 1",
        "fetchway_build_info{version=",
        "process_max_fds ",
    ] {
        let found = text.lines().any(|line| line.starts_with(expected));
        assert!(found, "{expected} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_node_open_to_others_needs_a_token() {
    for (toml, key) in [
        ("listen = '0.0.0.0:0'", "listen = 0.0.0.0:0"),
        ("listen = '[::]:0'", "listen = [::]:0"),
        (
            "admin.listen = '0.0.0.0:0'\nlisten = '127.0.0.1:0'",
            "admin.listen = 0.0.0.0:0",
        ),
        (
            "listen = '0.0.0.0:0'\nadmin.listen = '0.0.0.0:0'\n[[tokens]]\nname='a'\ntoken='ta'",
            "admin.listen = 0.0.0.0:0",
        ),
    ] {
        let loaded = Layers::new()
            .file(Path::new("t.toml"), toml)
            .load()
            .expect("valid");
        let error = Node::start(&loaded)
            .err()
            .expect("it is refused")
            .to_string();
        assert!(
            error.starts_with(key) && error.contains("no token is configured"),
            "{error}"
        );
    }
    let toml = "listen = '0.0.0.0:0'\nadmin.enabled = false\n[[tokens]]\nname='a'\ntoken='ta'";
    let loaded = Layers::new()
        .file(Path::new("t.toml"), toml)
        .load()
        .expect("valid");
    let node = Node::start(&loaded).expect("with a token it is allowed");
    let addr = SocketAddr::from(([127, 0, 0, 1], main_addr(&node).port()));
    let answer = send(addr, "GET /health", &["Host: node.example.com"]).await;
    assert_eq!(answer.status, 200, "its names are its own affair");
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let node = start("");
    let toml = format!("listen = '{}'\nadmin.enabled = false", main_addr(&node));
    let loaded = Layers::new()
        .file(Path::new("t.toml"), &toml)
        .load()
        .expect("valid");
    let error = Node::start(&loaded)
        .err()
        .expect("the port is taken")
        .to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[tokio::test]
async fn a_token_file_that_is_of_no_use_is_told() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (good, empty) = (dir.join("token-good"), dir.join("token-empty"));
    std::fs::write(&good, "token-of-ann\n").expect("a temporary file");
    std::fs::write(&empty, "\n").expect("a temporary file");
    let toml = |file: &Path| {
        format!(
            "[[tokens]]\nname = 'ann'\ntoken-file = '{}'",
            file.display()
        )
    };
    for (file, why) in [
        (&empty, "is empty; write the token into it"),
        (&dir.join("none"), "can't be read"),
    ] {
        let error = Node::start(&crate::client::config(&toml(file)))
            .err()
            .expect("refused")
            .to_string();
        let key = format!("tokens[0].token-file = {} ", file.display());
        assert!(error.starts_with(&key) && error.contains(why), "{error}");
    }
    let twice = format!(
        "{}\n[[tokens]]\nname = 'bob'\ntoken = 'token-of-ann'",
        toml(&good)
    );
    let error = Node::start(&crate::client::config(&twice)).err();
    let error = error.expect("one token for two").to_string();
    assert!(
        error.contains("holds the token that tokens[1] (bob) has too"),
        "{error}"
    );
    let node = start(&toml(&good));
    assert_eq!(upgrade(main_addr(&node), &[ANN]).await.0.status, 101);
}

#[tokio::test]
async fn a_stopped_node_closes_what_is_open() {
    let node = start_at("127.0.1.4", "");
    let (addr, admin) = (main_addr(&node), admin(&node));
    let (accepted, mut session) = upgrade(addr, &[]).await;
    assert_eq!(accepted.status, 101);
    let mut idle = TcpStream::connect(addr)
        .await
        .expect("the listener is there");
    let request = format!("GET /health HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    idle.write_all(request.as_bytes()).await.expect("taken");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");

    let (ended, frames) = tokio::join!(node.stop(), until_closed(&mut session));
    assert_eq!(ended, Ended::Drained);
    assert!(says_going_away(&frames));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest)
        .await
        .expect("the kept-alive connection is closed");
    for addr in [addr, admin] {
        assert!(
            TcpStream::connect(addr).await.is_err(),
            "{addr} still listens"
        );
    }
}

#[tokio::test]
async fn dropping_a_node_ends_it() {
    let node = start("");
    let (addr, _) = (main_addr(&node), admin(&node));
    let (_, mut session) = upgrade(addr, &[]).await;
    drop(node);
    until_closed(&mut session).await;
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed() {
    let node = start("http.header-timeout = '50ms'");
    let mut silent = TcpStream::connect(main_addr(&node))
        .await
        .expect("the listener is there");
    let mut idle = TcpStream::connect(main_addr(&node))
        .await
        .expect("the listener is there");
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", main_addr(&node));
    idle.write_all(request.as_bytes()).await.expect("taken");
    let mut bytes = Vec::new();
    silent.read_to_end(&mut bytes).await.expect("closed");
    idle.read_to_end(&mut bytes)
        .await
        .expect("closed after its answer");
    assert!(bytes.starts_with(b"HTTP/1.1 200") || bytes.starts_with(b"HTTP/1.1 408"));
}
