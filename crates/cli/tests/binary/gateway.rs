//! `fetchway gateway`: a gateway from two flags, what it says at start, and what it refuses.

use fetchway_test_origins::Api;
use fetchway_testkit::{Socket, exchange, http};
use tokio::process::Command;

use crate::serve::{BINARY, Serve};

const API: &str = "http://127.0.0.1:1/";

/// A push of two bytes.
async fn push(to: std::net::SocketAddr, id: &str, headers: &str) -> (u16, String) {
    exchange(to, &format!("POST /{id} HTTP/1.1{headers}"), "hi").await
}

#[tokio::test]
async fn two_flags_give_a_gateway() {
    let api = Api::echo();
    let node = Serve::gateway(&api.url("http"), &[]).await;
    assert_eq!(node.said("api"), Some(api.url("http").as_str()));
    assert!(node.said("push").is_some_and(|push| {
        push.starts_with("off; ")
            && ["--push-token", "--push-listen", "--open-push"]
                .iter()
                .all(|flag| push.contains(flag))
    }));
    let mut ann = Socket::connect(node.addr, "/ann").await;
    ann.send("hello").await;
    assert_eq!(ann.text().await, "hello");
    assert_eq!(push(node.addr, "ann", "").await.0, 401);
    let (status, metrics) = http(node.admin, "GET /metrics HTTP/1.1").await;
    assert_eq!(status, 200);
    let opened = "fetchway_gateway_connections_opened_total{gateway=\"gateway\"} 1\n";
    assert!(metrics.contains(opened), "{metrics}");

    node.signal("TERM").await;
    assert_eq!(ann.end().await.map(|(code, _)| code), Some(1012));
    assert_eq!(node.ended().await.code(), Some(0));
    let last = api.requests().last().map(|request| request.line());
    assert!(last.is_some_and(|line| line.starts_with("DELETE /ann")));
}

#[tokio::test]
async fn each_way_of_pushing_is_a_flag() {
    let api = Api::echo();
    let open = Serve::gateway(&api.url("http"), &["--open-push"]).await;
    let mut ann = Socket::connect(open.addr, "/ann").await;
    assert_eq!(push(open.addr, "ann", "").await, (200, "ok".to_owned()));
    assert_eq!(ann.text().await, "hi");
    assert!(
        open.said("push")
            .is_some_and(|push| push.contains("open to whoever"))
    );

    let token = Serve::gateway(&api.url("http"), &["--push-token", "token-of-api"]).await;
    let header = "\r\nAuthorization: Bearer token-of-api";
    assert_eq!(push(token.addr, "ann", "").await.0, 401);
    assert_eq!(push(token.addr, "ann", header).await.0, 404);
    let said = token.said("push").expect("it says how to push");
    assert!(
        said.contains("Bearer TOKEN") && !said.contains("token-of-api"),
        "{said}"
    );

    let apart = Serve::gateway(
        &api.url("http"),
        &["--push-listen", "localhost:0", "--reuse-port"],
    )
    .await;
    let push_addr = apart.said("push_addr").expect("a push listener");
    let push_addr = push_addr.parse().expect("an address");
    assert_eq!(push(push_addr, "ann", "").await.0, 404);
    assert_eq!(push(apart.addr, "ann", "").await.0, 401);
}

#[tokio::test]
async fn the_log_says_when_the_api_is_away_and_when_it_is_back() {
    let api = Api::echo();
    let url = api.url("http");
    let mut node = Serve::gateway(&url, &["--set", "gateways[0].queue-timeout=200ms"]).await;
    let mut ann = Socket::connect(node.addr, "/ann").await;
    let at = api.stop().await;
    ann.send("lost").await;
    let away = node.says("requests to the API failed").await;
    let fields = &away["fields"];
    assert_eq!(away["level"], "WARN");
    assert_eq!(fields["gateway"], "gateway");
    assert_eq!(fields["api"], url.as_str());
    assert_eq!(fields["failed"], 1);
    assert!(
        fields["error"]
            .as_str()
            .is_some_and(|name| name.starts_with("connection_"))
    );
    let lost = node.says("messages or DELETEs were lost").await;
    assert_eq!(lost["level"], "WARN");
    let fields = &lost["fields"];
    assert_eq!(
        (&fields["lost"], &fields["client"]),
        (&1.into(), &"ann".into())
    );

    let api = Api::scripted_at(at, |_| async { fetchway_test_origins::ok("ok") });
    ann.send("heard").await;
    let back = node.says("the API answers again").await;
    assert_eq!(back["level"], "INFO");
    drop((ann, api));
}

#[tokio::test]
async fn what_it_cannot_do_is_told() {
    let no_api = "--listen: gateways[0]: api is missing: the URL of the API";
    for (flags, expected) in [
        (
            &[][..],
            "a node needs one of [[gateways]] at least: give --listen and --api to `fetchway gateway`",
        ),
        (&["--listen", "localhost:0"], no_api),
        (
            &["--listen", "7001", "--api", API],
            "--listen: gateways[0].listen = \"7001\": expected an IP",
        ),
        (
            &["--listen", "localhost:0", "--api", "127.0.0.1:1"],
            "--api: gateways[0].api = \"127.0.0.1:1\": expected",
        ),
        (
            &[
                "--listen",
                "localhost:0",
                "--api",
                "http://ann:secret-1@127.0.0.1:1/",
            ],
            "--api: gateways[0].api: expected a URL without a user name and password",
        ),
        (
            &["--listen", "localhost:0", "--api", API, "--push-token", ""],
            "--push-token: gateways[0].push-token: expected a token of 1 to 4096 characters",
        ),
        (
            &["--listen", "localhost:0", "--api", API, "--reuse-port"],
            "--reuse-port: gateways[0].reuse-port: a push has to reach the process that holds",
        ),
        (
            &[
                "--listen",
                "localhost:0",
                "--api",
                API,
                "--open-push",
                "--push-token",
                "secret-1",
            ],
            "--open-push: gateways[0].open-push: with open-push nobody is asked for push-token",
        ),
        (
            &[
                "--listen",
                "localhost:0",
                "--api",
                API,
                "--admin",
                "localhost:0",
                "--push-listen",
                "0.0.0.0:0",
            ],
            "gateways[0].push-listen = 0.0.0.0:0 can be reached from other machines, and no token",
        ),
        (
            &[
                "--listen",
                "localhost:0",
                "--api",
                API,
                "--set",
                "gateways[0].idle-timeout=1s",
            ],
            "--set: gateways[0].idle-timeout: expected more than ping-interval",
        ),
    ] {
        let done = Command::new(BINARY)
            .arg("gateway")
            .args(flags)
            .env_clear()
            .output()
            .await;
        let done = done.expect("the binary runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}\n{expected}");
        assert!(!said.contains("secret-1"), "{said}");
    }
}
