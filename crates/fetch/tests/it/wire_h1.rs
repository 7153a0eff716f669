//! What HTTP/1.1 origins may send, and what they may not.

use fetchway_policy::ErrorName;
use http::{Method, StatusCode};

use crate::support::{Peer, Rig, Whole, config, get, request, soon, whole};

/// One GET, answered by these very bytes; the connection is closed after them if `close`.
async fn answered(bytes: impl AsRef<[u8]>, close: bool) -> Result<Whole, ErrorName> {
    answered_to(Method::GET, bytes, close).await
}

async fn answered_to(
    method: Method,
    bytes: impl AsRef<[u8]>,
    close: bool,
) -> Result<Whole, ErrorName> {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let fetched = rig.whole(request(method, &peer.url("/"), ""));
    let origin = async {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.send(bytes).await;
        (!close).then_some(connection)
    };
    let (answer, connection) = tokio::join!(fetched, origin);
    assert!(peer.nobody_waits(), "one request, one connection");
    let closing = async {
        if let Some(connection) = connection {
            connection.closed().await;
        }
    };
    tokio::join!(rig.finish(), closing);
    answer.map_err(|error| error.name)
}

async fn body(bytes: &str, close: bool) -> Result<String, ErrorName> {
    let whole = answered(bytes, close).await?;
    assert_eq!(whole.status, StatusCode::OK);
    Ok(whole.text().to_owned())
}

#[tokio::test]
async fn bodies_of_every_framing_are_read() {
    let ok = Ok("hello".to_owned());
    for (answer, close) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n00\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", true),
        ("HTTP/1.0 200 OK\r\n\r\nhello", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", false),
        (
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
            false,
        ),
        ("HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", false),
    ] {
        assert_eq!(body(answer, close).await, ok, "{answer:?}");
    }
    assert_eq!(
        body("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await,
        Ok(String::new())
    );
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_incomplete() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n",
    ] {
        let failed = answered(answer, true).await.map(drop);
        assert_eq!(failed, Err(ErrorName::HttpResponseIncomplete), "{answer:?}");
    }
}

#[tokio::test]
async fn broken_chunks_are_named() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
    ] {
        let failed = answered(answer, false).await.map(drop);
        assert_eq!(
            failed,
            Err(ErrorName::HttpResponseTransferCoding),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn informational_responses_are_consumed() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\n\
                  HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(body(answer, false).await, Ok("hello".to_owned()));
}

#[tokio::test]
async fn switching_protocols_is_refused() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let failed = answered(answer, false).await.map(drop);
        assert_eq!(failed, Err(ErrorName::HttpProtocolError), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_error() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "220 mail.example ESMTP\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x15\x03\x01\x00\x02\x02\x28",
    ] {
        let failed = answered(answer, false).await.map(drop);
        assert_eq!(failed, Err(ErrorName::HttpProtocolError), "{answer:?}");
    }
}

#[tokio::test]
async fn a_header_section_has_bounds() {
    let fits = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n",
        "x".repeat(30_000)
    );
    assert!(answered(fits, false).await.is_ok());
    let long = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n",
        "x".repeat(200_000)
    );
    let failed = answered(long, false).await.map(drop);
    assert_eq!(failed, Err(ErrorName::HttpResponseHeaderSectionSize));
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n",
        "x: y\r\n".repeat(200)
    );
    let failed = answered(many, false).await.map(drop);
    assert_eq!(failed, Err(ErrorName::HttpResponseHeaderSectionSize));
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connection_in_order() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let rounds = [
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\ncontent-length: 500\r\ncontent-encoding: gzip\r\n\r\n",
            200,
        ),
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            200,
        ),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\ncontent-encoding: br\r\n\r\n",
            304,
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            200,
        ),
    ];
    let origin = async {
        let mut connection = peer.accept().await;
        for (_, answer, _) in &rounds {
            connection.head().await;
            connection.send(answer).await;
        }
        connection
    };
    let fetches = async {
        for (method, answer, status) in &rounds {
            let whole = rig.whole(request(method.clone(), &url, "")).await.unwrap();
            assert_eq!(whole.status, *status);
            assert!(whole.body.is_empty());
            // Untouched: they speak of a body that is not here.
            assert_eq!(
                whole.headers.contains_key("content-encoding"),
                answer.contains("content-encoding: ")
            );
        }
    };
    let (connection, ()) = tokio::join!(origin, fetches);
    assert!(peer.nobody_waits());
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn what_follows_a_response_unasked_ends_the_connection() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let origin = async {
        let mut first = peer.accept().await;
        first.head().await;
        // A second response, waiting for a request that it could be mistaken for an answer to.
        first
            .send(format!(
                "{ok}HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled"
            ))
            .await;
        let mut second = peer.accept().await;
        second.head().await;
        second.send(ok).await;
        (first, second)
    };
    let fetches = async {
        for _ in 0..2 {
            let fetched = rig.fetch(get(&url)).await.unwrap();
            assert_eq!(whole(fetched).await.unwrap().text(), "ok");
        }
    };
    let ((first, second), ()) = soon(Box::pin(async { tokio::join!(origin, fetches) })).await;
    tokio::join!(rig.finish(), first.closed(), second.closed());
}
