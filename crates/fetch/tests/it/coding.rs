//! Content codings end to end. How they are undone byte by byte is tested beside the decoder.

use fetchway_policy::ErrorName;
use fetchway_test_origins::{Kind, TestOrigin, filler};

use crate::support::{Peer, Rig, config, get, trusting_origin};

#[tokio::test]
async fn bodies_are_decoded() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &h2));
    for origin in [h1, h2] {
        for n in [0, 1, 1_000, 3_000_000] {
            let plain = filler(Kind::Text, 9, n).to_vec();
            for path in [
                "gzip?",
                "br?",
                "zstd?",
                "deflate?",
                "coded?as=gzip,br&",
                "coded?as=identity,zstd,gzip&",
            ] {
                let url = origin.url(&format!("/{path}n={n}&seed=9"));
                let whole = rig.get(&url).await.unwrap();
                assert!(whole.body == plain, "{path} {n}");
                for field in ["content-encoding", "content-length"] {
                    assert!(!whole.headers.contains_key(field), "{path}: {field}");
                }
            }
        }
    }
    rig.finish().await;
}

#[tokio::test]
async fn raw_bodies_keep_their_fields() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    let url = origin.url("/gzip?n=5000");
    let mut raw = get(&url);
    raw.decode = false;
    let whole = rig.whole(raw).await.unwrap();
    assert!(whole.body.starts_with(&[0x1F, 0x8B]));
    assert_eq!(whole.headers["content-encoding"], "gzip");
    assert_eq!(
        whole.headers["content-length"],
        whole.body.len().to_string().as_str()
    );
    rig.finish().await;
}

#[tokio::test]
async fn what_breaks_off_is_named_even_though_its_length_was_right() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    for coding in ["gzip", "br", "zstd", "deflate"] {
        for n in [1_000, 500_000] {
            let url = origin.url(&format!("/{coding}?n={n}&cut=1"));
            assert_eq!(
                rig.fails(&url).await,
                ErrorName::HttpResponseContentCoding,
                "{coding} {n}"
            );
        }
    }
    rig.finish().await;
}

/// A GET answered with `coding` and these bytes.
async fn answered(
    coding: &str,
    body: &[u8],
    trailer: bool,
) -> Result<crate::support::Whole, ErrorName> {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept().await;
        connection.head().await;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        connection.send(head).await;
        // Each byte a chunk of its own, sent on its own.
        for byte in body {
            connection
                .send([b"1\r\n", &[*byte][..], b"\r\n"].concat())
                .await;
        }
        let end = if trailer {
            "0\r\nx-last: 1\r\n\r\n"
        } else {
            "0\r\n\r\n"
        };
        connection.send(end).await;
        connection
    };
    let (answer, connection) = tokio::join!(rig.get(&url), origin);
    tokio::join!(rig.finish(), connection.closed());
    answer.map_err(|error| error.name)
}

/// "hi", gzipped and stored.
const HI: [u8; 25] = [
    0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 0, 0xFD, 0xFF, b'h', b'i', 0xAC, 0x2A, 0x93, 0xD8, 2,
    0, 0, 0,
];

#[tokio::test]
async fn corrupt_codings_are_named() {
    assert_eq!(answered("gzip", &HI, false).await.unwrap().text(), "hi");
    assert_eq!(
        answered("x-gzip", &[HI, HI].concat(), false)
            .await
            .unwrap()
            .text(),
        "hihi"
    );
    let mut wrong_sum = HI;
    wrong_sum[17] ^= 1;
    for (coding, body) in [
        ("gzip", &wrong_sum[..]),
        ("gzip", b"plain text"),
        ("zstd", &HI),
        ("br", &HI),
        ("gzip, br", &HI),
    ] {
        let failed = answered(coding, body, false).await.map(drop);
        assert_eq!(
            failed,
            Err(ErrorName::HttpResponseContentCoding),
            "{coding}"
        );
    }
}

#[tokio::test]
async fn empty_bodies_stand_for_themselves() {
    for coding in ["gzip", "br", "zstd", "deflate", "br, gzip"] {
        assert!(answered(coding, b"", false).await.unwrap().body.is_empty());
    }
}

#[tokio::test]
async fn trailers_come_after_the_decoded_body() {
    let whole = answered("gzip", &HI, true).await.unwrap();
    assert_eq!(
        (whole.text(), &whole.trailers.as_ref().unwrap()["x-last"]),
        ("hi", &"1".parse().unwrap())
    );
    let failed = answered("gzip", &HI[..20], true).await.map(drop);
    assert_eq!(
        failed,
        Err(ErrorName::HttpResponseContentCoding),
        "trailers don't make it whole"
    );
}

#[tokio::test]
async fn unknown_codings_pass_as_they_came() {
    for coding in ["compress", "aws-chunked", "gzip, dcb", "gzip, gzip, gzip"] {
        let whole = answered(coding, &HI, false).await.unwrap();
        assert_eq!(whole.body, HI[..], "{coding}");
        assert_eq!(whole.headers["content-encoding"], coding);
    }
}
