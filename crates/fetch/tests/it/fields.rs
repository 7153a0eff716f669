//! Which fields pass, which stay between neighbours, and which are filled in.

use fetchway_test_origins::TestOrigin;

use crate::support::{Peer, Rig, config, get, request, trusting_origin, with};

#[tokio::test]
async fn hop_by_hop_fields_stay_between_neighbours() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &h2));
    for origin in [h1, h2] {
        let mut request = get(&origin.url("/echo"));
        for (name, value) in [
            ("connection", "close, X-Named"),
            ("x-named", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABk"),
            ("expect", "100-continue"),
            ("content-length", "7"),
            ("host", "elsewhere.test"),
            ("x-passes", "1"),
            ("x-passes", "2"),
        ] {
            request = with(request, name, value);
        }
        let whole = rig.whole(request).await.unwrap();
        let seen = whole.json();
        let mut names: Vec<&str> = seen["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field[0].as_str().unwrap())
            .collect();
        names.sort_unstable();
        names.retain(|name| *name != "host");
        assert_eq!(
            names,
            [
                "accept",
                "accept-encoding",
                "user-agent",
                "x-passes",
                "x-passes"
            ]
        );
    }
    rig.finish().await;
}

#[tokio::test]
async fn responses_lose_theirs_too() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept().await;
        connection.head().await;
        let answer = "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-named\r\nx-named: 1\r\n\
                      keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\n\
                      transfer-encoding: chunked\r\ntrailer: x\r\nset-cookie: a=1\r\n\
                      set-cookie: b=2\r\nx-passes: \u{e9}\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        connection
            .send(answer.chars().map(|c| c as u8).collect::<Vec<u8>>())
            .await;
        connection
    };
    let (whole, connection) = tokio::join!(rig.get(&url), origin);
    let whole = whole.unwrap();
    let mut names: Vec<&str> = whole
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["set-cookie", "set-cookie", "x-passes"]);
    assert_eq!(whole.headers["x-passes"].as_bytes(), b"\xe9");
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn what_a_request_does_not_say_is_filled_in() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let mut config = trusting_origin(config(), &h2);
    config.user_agent = "a test".to_owned();
    let rig = Rig::new(config);
    for origin in [h1, h2] {
        let url = origin.url("/echo");
        let defaults = [
            ("accept", "*/*"),
            ("user-agent", "a test"),
            ("accept-encoding", "gzip, br, zstd, deflate"),
        ];
        let plain = rig.get(&url).await.unwrap();
        for (name, value) in defaults {
            assert_eq!(plain.echoed(name), [value]);
            let given = rig.whole(with(get(&url), name, "gzip")).await.unwrap();
            assert_eq!(given.echoed(name), ["gzip"]);
        }
        let mut raw = get(&url);
        raw.decode = false;
        assert!(
            rig.whole(raw)
                .await
                .unwrap()
                .echoed("accept-encoding")
                .is_empty()
        );
        let ranged = rig
            .whole(with(get(&url), "range", "bytes=0-"))
            .await
            .unwrap();
        assert_eq!(ranged.echoed("accept-encoding"), ["identity"]);
        // Lengths are said where a body is usual.
        for (method, body, length) in [
            ("POST", "", Some("0")),
            ("POST", "four", Some("4")),
            ("PUT", "", Some("0")),
            ("GET", "", None),
            ("DELETE", "", None),
            ("DELETE", "four", Some("4")),
        ] {
            let sent = request(method.parse().unwrap(), &url, body);
            let whole = rig.whole(sent).await.unwrap();
            assert_eq!(
                whole.echoed("content-length").first().map(String::as_str),
                length,
                "{method} {body}"
            );
        }
    }
    rig.finish().await;
}
