//! Streams that are addressed to the node itself.

use fetchway_testkit::{TestNode, data, get, head, open};
use fetchway_wire::v1::Frame;
use fetchway_wire::v1::frame::Part;
use http::Method;
use serde_json::{Value, json};

use crate::{client, origin, wide};

fn lines(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).expect("text");
    let read = |line| serde_json::from_str(line).expect("JSON");
    text.lines().map(read).collect()
}

#[tokio::test]
async fn a_batch_is_one_stream_each_way() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    let batch = head(
        Method::POST,
        "fetchway:batch?ordered=true&rate=1000/s",
        "a tag",
    );
    client.send([open(1, &batch, false)]).await;
    // The answer begins before anything is asked for.
    let Frame::Block {
        part: Part::Head,
        end: false,
        ..
    } = client.of_stream(1).await
    else {
        panic!("no HEAD")
    };
    let asked = format!(
        "{}\n{}\n\n{{\"url\":\"ftp://x/\",\"id\":[7]}}\n{}",
        origin.url("/echo?n=0"),
        json!({ "id": "b", "url": origin.url("/upload"), "method": "POST", "body": "hello" }),
        origin.url("/status?code=404"),
    );
    // Cut anywhere.
    let (first, rest) = asked.as_bytes().split_at(asked.len() / 2);
    client.send([data(1, first.to_vec(), false)]).await;
    client.send([data(1, rest.to_vec(), true)]).await;
    let mut body = Vec::new();
    while let Frame::Data { bytes, end, .. } = client.of_stream(1).await {
        body.extend_from_slice(&bytes);
        if end {
            break;
        }
    }
    let lines = lines(&body);
    let part = |name: &str| lines.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(part("index"), [0, 1, 2, 3]);
    assert_eq!(part("status"), [200, 200, 0, 404]);
    assert_eq!(
        part("id"),
        [Value::Null, json!("b"), json!([7]), Value::Null]
    );
    assert_eq!(part("attempts"), [1, 1, 0, 1]);
    assert_eq!(lines[2]["errorCode"], "invalid_request");
    let wrong = lines[2]["error"].as_str().expect("a sentence");
    assert!(wrong.starts_with("Line 4: "), "{wrong}");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn what_the_node_does_not_have_or_take_is_told_as_an_answer() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = wide(&node).await;
    for (stream, method, url, status, says) in [
        (1, Method::POST, "fetchway:none", 404, "no \"none\""),
        (2, Method::POST, "fetchway:", 404, "fetchway:batch"),
        (3, Method::GET, "FetchWay:batch", 405, "POST"),
        (
            4,
            Method::POST,
            "fetchway:batch?rate=fast",
            400,
            "expected a rate",
        ),
        (
            5,
            Method::POST,
            "fetchway:batch?concurrency=2000",
            400,
            "batch.max-concurrency",
        ),
    ] {
        client
            .send([open(stream, &head(method, url, "t"), true)])
            .await;
        let (head, body) = client.answer(stream).await;
        assert_eq!(
            (head.status.as_u16(), &head.tag[..]),
            (status, &b"t"[..]),
            "{url}"
        );
        assert_eq!(head.fields["content-type"], "application/problem+json");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let detail = body["detail"].as_str().expect("a sentence");
        assert!(detail.contains(says), "{url}: {detail}");
    }
    client.send([get(6, &origin.url("/echo"))]).await;
    assert_eq!(
        client.answer(6).await.0.status.as_u16(),
        200,
        "the session goes on"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_cancelled_batch_sends_nothing_more() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut client, _) = client(&node).await;
    let batch = head(Method::POST, "fetchway:batch?concurrency=3", "");
    let asked = format!("{}\n", origin.url("/gate?key=k")).repeat(50);
    client
        .send([open(1, &batch, false), data(1, asked, false)])
        .await;
    origin.wait_until(|stats| stats.in_flight == 3).await;
    let reset = fetchway_wire::v1::Reset::cancelled();
    client.send([Frame::Reset { stream: 1, reset }]).await;
    origin
        .wait_until(|stats| stats.aborted == 3 && stats.in_flight == 0)
        .await;
    node.until_lane(|lane| lane.in_flight + lane.queued == 0)
        .await;
    origin.open_gate("k").expect("few keys");
    client.send([get(2, &origin.url("/echo"))]).await;
    assert_eq!(client.answer(2).await.0.status.as_u16(), 200);
    assert_eq!(origin.stats().requests, 4);
    drop(client);
    node.stop().await;
}
