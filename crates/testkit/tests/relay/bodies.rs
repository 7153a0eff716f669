//! Bodies in both directions: large, binary, coded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fetchway_test_origins::{Kind, checksum, filler};
use fetchway_testkit::TestNode;
use serde_json::{Value, json};

use crate::{failure, origin};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn four_mebibytes_go_both_ways() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let answer = client.fetch(&origin.url("/bytes?n=4194304&seed=5")).await;
    let body = answer["body"].as_str().expect("a text");
    assert!(filler(Kind::Text, 5, 4 * MIB).matches(body.as_bytes()));

    let answer = client
        .fetch(&origin.url("/bytes?n=4194304&seed=6&chunked=1"))
        .await;
    let body = answer["body"].as_str().expect("a text");
    assert!(filler(Kind::Text, 6, 4 * MIB).matches(body.as_bytes()));

    // Every character of it is one that JSON must escape.
    let text = "\u{1}\"\\\n".repeat(1 << 20);
    let up = json!({ "id": 1, "method": "PUT", "url": origin.url("/upload"), "body": text });
    let told = told(&client.ask(up).await);
    assert_eq!(told, (4 * MIB, checksum(text.as_bytes())));

    let up = json!({ "id": 1, "method": "POST", "url": origin.url("/echo"), "body": text });
    let answer = client.ask(up).await;
    let seen: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
    assert!(seen["body"] == text.as_str(), "the same text came back");
    drop(client);
    node.stop().await;
}

/// What `/upload` says it got.
fn told(answer: &Value) -> (u64, u32) {
    let told: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
    let sum = told["checksum"].as_str().expect("a checksum");
    let sum = u32::from_str_radix(sum, 16).expect("hexadecimal");
    (told["bytes"].as_u64().expect("a number"), sum)
}

#[tokio::test]
async fn binary_bodies_travel_as_base64() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    // Lengths that leave each number of bytes over at the end, and pieces of several sizes.
    for n in [64, 65, 66, 200_000, 4 * MIB + 1] {
        let answer = client
            .fetch(&origin.url(&format!("/bytes?binary=1&n={n}")))
            .await;
        assert_eq!(answer["body"], "", "the whole is in bodyBase64");
        let coded = answer["bodyBase64"].as_str().expect("base64");
        let body = STANDARD.decode(coded).expect("base64");
        assert!(filler(Kind::Binary, 0, n).matches(&body), "{n}");
    }
    let binary: Vec<u8> = (0..=255).cycle().take(100_001).collect();
    let up = json!({
        "id": 1, "method": "POST", "url": origin.url("/upload"), "bodyBase64": STANDARD.encode(&binary),
    });
    assert_eq!(told(&client.ask(up).await), (100_001, checksum(&binary)));
    let both = json!({
        "id": 1, "method": "POST", "url": origin.url("/upload"), "body": "", "bodyBase64": "//8=",
    });
    assert_eq!(told(&client.ask(both).await), (2, checksum(b"\xff\xff")));
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn coded_bodies_are_decoded_unless_asked_for_raw() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for path in [
        "/gzip?n=5000",
        "/br?n=5000",
        "/zstd?n=5000",
        "/deflate?n=5000",
        "/coded?as=gzip,br&n=5000",
    ] {
        let answer = client.fetch(&origin.url(path)).await;
        let body = answer["body"].as_str().expect("a text");
        assert!(
            filler(Kind::Text, 0, 5_000).matches(body.as_bytes()),
            "{path}"
        );
        let headers = answer["headers"].as_object().expect("an object");
        assert!(
            !headers.contains_key("content-encoding") && !headers.contains_key("content-length"),
            "{path}"
        );
    }
    let raw = json!({ "id": 1, "url": origin.url("/gzip?n=5000"), "decode": false });
    let answer = client.ask(raw).await;
    assert_eq!(answer["headers"]["content-encoding"], "gzip");
    let body = STANDARD
        .decode(answer["bodyBase64"].as_str().expect("base64"))
        .expect("base64");
    assert!(body.starts_with(&[0x1f, 0x8b]) && answer["body"] == "");
    assert_eq!(answer["headers"]["content-length"], body.len().to_string());
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_response_over_the_cap_is_refused_by_name() {
    let node = TestNode::open(&[("lanes.default.response-cap", "64KiB")]);
    let origin = origin();
    let mut client = node.client().await;
    for path in [
        "/bytes?n=65537",
        "/bytes?n=65537&chunked=1",
        "/gzip?n=10000000&zeros=1",
    ] {
        let answer = client.fetch(&origin.url(path)).await;
        assert_eq!(failure(&answer), "http_response_body_size", "{path}");
    }
    let answer = client.fetch(&origin.url("/bytes?n=65536")).await;
    assert_eq!(answer["body"].as_str().map(str::len), Some(65_536));
    drop(client);
    node.stop().await;
}
