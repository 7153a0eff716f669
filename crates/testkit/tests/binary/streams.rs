//! Fetches as streams: what is sent arrives when it is sent, in both directions.

use bytes::Bytes;
use fetchway_testkit::{TestNode, data, get, head, open};
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, Reset, ResponseHead};
use http::Method;

use crate::{client, origin, wide};

#[tokio::test]
async fn an_answer_brings_tag_status_fields_and_url() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    let url = origin.url("/bytes?n=1000&seed=7");
    client
        .send([open(1, &head(Method::GET, &url, "a tag"), true)])
        .await;
    let (head, body) = client.answer(1).await;
    assert_eq!(
        (&head.tag[..], head.status.as_u16(), &*head.url),
        (&b"a tag"[..], 200, "")
    );
    assert!(
        fetchway_test_origins::filler(fetchway_test_origins::Kind::Text, 7, 1_000).matches(&body)
    );
    client.send([get(5, &origin.url("/redirect?n=1"))]).await;
    assert_eq!(
        client.answer(5).await.0.url,
        origin.url("/echo"),
        "numbers may be skipped"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_chunk_arrives_before_the_origin_sends_the_next() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    client
        .send([get(1, &origin.url("/gate?key=half&n=3000&after=1000"))])
        .await;
    let Frame::Block {
        part: Part::Head,
        end: false,
        ..
    } = client.of_stream(1).await
    else {
        panic!("no HEAD");
    };
    let mut body = Vec::new();
    while body.len() < 1_000 {
        let Frame::Data {
            bytes, end: false, ..
        } = client.of_stream(1).await
        else {
            panic!("no DATA");
        };
        body.extend_from_slice(&bytes);
    }
    assert_eq!(body.len(), 1_000, "the origin holds the rest back");
    origin.open_gate("half").expect("few keys");
    while let Frame::Data { bytes, end, .. } = client.of_stream(1).await {
        body.extend_from_slice(&bytes);
        if end {
            break;
        }
    }
    assert!(
        fetchway_test_origins::filler(fetchway_test_origins::Kind::Text, 0, 3_000).matches(&body)
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn an_upload_reaches_the_origin_chunk_by_chunk() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    client
        .send([open(
            1,
            &head(Method::POST, &origin.url("/upload"), ""),
            false,
        )])
        .await;
    for n in 1..=3 {
        client.send([data(1, vec![b'x'; 1_000], false)]).await;
        origin
            .wait_until(|stats| stats.bytes_received == n * 1_000)
            .await;
    }
    client.send([data(1, Bytes::new(), true)]).await;
    let (_, body) = client.answer(1).await;
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["bytes"], 3_000);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn an_upload_is_as_long_as_its_content_length_says() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    let upload = |stream, path: &str| {
        let mut head = head(Method::POST, &origin.url(path), "a tag");
        let length = http::HeaderValue::from_static("7");
        head.request
            .headers
            .insert(http::header::CONTENT_LENGTH, length);
        open(stream, &head, false)
    };
    let long = "The request's body is longer than its content-length of 7: correct the field, or leave \
                it out.";
    let short = "The request's body ended after 3 of the 7 bytes of its content-length: correct the \
                 field, or leave it out.";
    // Where it is shut, the origin does not answer though it has all that it was told of.
    type Case<'a> = (&'a str, &'a [u8], &'a [u8], bool, &'a str);
    let cases: [Case<'_>; 3] = [
        ("/upload", b"", &[b'x'; 10_000], false, long),
        ("/upload", b"", b"few", true, short),
        ("/upload?gate=shut", b"seven b", b"more", false, long),
    ];
    for (stream, (path, first, then, end, detail)) in (1..).zip(cases) {
        client
            .send([upload(stream, path), data(stream, first, false)])
            .await;
        origin.wait_until(|stats| stats.in_flight == 1).await;
        client.send([data(stream, then, end)]).await;
        let Frame::Reset { reset, .. } = client.of_stream(stream).await else {
            panic!("no RESET");
        };
        assert_eq!((&*reset.name, &*reset.detail), ("invalid_request", detail));
        assert_eq!(reset.tag, "a tag");
        // It is not left waiting for the rest.
        if path.contains("gate") {
            origin.open_gate("shut").expect("few keys");
        }
        origin.wait_until(|stats| stats.in_flight == 0).await;
    }
    client
        .send([upload(4, "/upload"), data(4, &b"seven b"[..], true)])
        .await;
    assert_eq!(client.answer(4).await.0.status.as_u16(), 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn an_early_answer_stops_the_upload() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    client
        .send([open(
            1,
            &head(Method::POST, &origin.url("/upload?early=1"), ""),
            false,
        )])
        .await;
    client.send([data(1, vec![b'x'; 10], false)]).await;
    let (head, _) = client.answer(1).await;
    assert_eq!(head.status.as_u16(), 200);
    // The stream is over; what is still on its way harms nobody.
    client
        .send([data(1, vec![b'x'; 10], true), get(2, &origin.url("/echo"))])
        .await;
    assert_eq!(client.answer(2).await.0.status.as_u16(), 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn failures_are_resets_with_their_names() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    let cases = [
        (get(1, "http://127.0.0.1:1/"), "connection_refused"),
        (get(2, "ftp://127.0.0.1/"), "invalid_request"),
        (get(3, "http://10.0.0.1/"), "destination_ip_prohibited"),
        (
            open(4, &head(Method::CONNECT, &origin.url("/"), ""), true),
            "invalid_request",
        ),
        (
            open(5, &head(Method::GET, &origin.url("/"), ""), false),
            "invalid_request",
        ),
        (
            Frame::Block {
                stream: 6,
                part: Part::Open,
                end: true,
                more: false,
                block: "?".into(),
            },
            "invalid_request",
        ),
    ];
    for (frame, name) in cases {
        client.send([frame]).await;
        loop {
            if let Frame::Reset { reset, .. } = client.next().await {
                assert_eq!(reset.name, name, "{}", reset.detail);
                break;
            }
        }
    }
    let mut lane = head(Method::GET, &origin.url("/echo"), "");
    lane.request.lane = "none such".to_owned();
    client
        .send([open(7, &lane, true), get(8, &origin.url("/echo"))])
        .await;
    let Frame::Reset { stream: 7, reset } = client.of_stream(7).await else {
        panic!("no RESET")
    };
    assert_eq!(reset.name, "invalid_request");
    assert_eq!(
        client.answer(8).await.0.status.as_u16(),
        200,
        "the session goes on"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_cancel_ends_the_fetch_at_the_origin() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    client.send([get(1, &origin.url("/stall?after=10"))]).await;
    let Frame::Block { block, .. } = client.of_stream(1).await else {
        panic!("no HEAD")
    };
    assert_eq!(
        ResponseHead::read(&block).expect("a head").status.as_u16(),
        200
    );
    let reset = Reset::cancelled();
    client.send([Frame::Reset { stream: 1, reset }]).await;
    origin
        .wait_until(|stats| stats.aborted == 1 && stats.in_flight == 0)
        .await;
    node.until_lane(|lane| lane.in_flight == 0).await;
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn trailers_and_repeated_fields_pass() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    client.send([get(1, &origin.url("/cookies?n=3"))]).await;
    let (head, _) = client.answer(1).await;
    assert_eq!(head.fields.get_all("set-cookie").iter().count(), 3);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_up_only_its_own_stream() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    // Nobody raises the limit of stream 1: it stands at the floor.
    client
        .send([get(1, &origin.url("/bytes?n=10000000&seed=1"))])
        .await;
    let mut seen = 0;
    while seen < 16 << 10 {
        if let Frame::Data { bytes, .. } = client.of_stream(1).await {
            seen += bytes.len();
        }
    }
    assert_eq!(seen, 16 << 10);
    for stream in 2..20 {
        client
            .send([get(stream, &origin.url("/bytes?n=1000&seed=1"))])
            .await;
        assert_eq!(client.answer(stream).await.1.len(), 1_000);
    }
    // With more to send in the session, and on the stream, it goes on.
    let limits = [0, 1].map(|stream| Frame::Limit {
        stream,
        bytes: 1 << 40,
    });
    client.send(limits).await;
    loop {
        if let Frame::Data { bytes, end, .. } = client.of_stream(1).await {
            seen += bytes.len();
            client.acknowledge().await;
            if end {
                break;
            }
        }
    }
    assert_eq!(seen, 10_000_000);
    drop(client);
    node.stop().await;
}
