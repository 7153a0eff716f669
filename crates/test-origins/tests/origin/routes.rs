//! Each route answers as the crate's table says.

use crate::client::{Client, Failure, read};
use fetchway_test_origins::{Kind, TestOrigin, checksum, expected_body, filler, verify};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

async fn start() -> Result<(TestOrigin, Client), Failure> {
    let origin = TestOrigin::builder().start()?;
    let client = Client::http1(&origin).await?;
    Ok((origin, client))
}

#[tokio::test]
async fn echo_shows_the_request() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let sent = client
        .head(&origin, "PUT", "/echo?a=1", "some text")
        .await?;
    let seen = read(sent).await?.json();
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["query"], "a=1");
    assert_eq!(seen["body"], "some text");
    assert_eq!(
        seen["headers"][0],
        serde_json::json!(["host", origin.addr().to_string()])
    );
    let sent = client
        .head(&origin, "POST", "/echo", vec![0xff, 0x00])
        .await?;
    assert_eq!(read(sent).await?.json()["bodyBase64"], "/wA=");
    Ok(())
}

#[tokio::test]
async fn delayed_bodies_name_themselves() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let answer = client.get(&origin, "/delay?ms=0&req=7&size=200000").await?;
    assert_eq!(answer.body, expected_body(7, 200_000));
    assert_eq!(verify(7, &answer.body), Ok(()));
    Ok(())
}

#[tokio::test]
async fn bytes_come_with_and_without_a_length() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let announced = client.get(&origin, "/bytes?n=1048576&seed=7").await?;
    assert_eq!(announced.headers["content-length"], "1048576");
    assert!(filler(Kind::Text, 7, 1 << 20).matches(&announced.body));
    let chunked = client
        .get(&origin, "/bytes?n=70000&seed=8&binary=1&chunked=1")
        .await?;
    assert_eq!(chunked.headers["transfer-encoding"], "chunked");
    assert!(filler(Kind::Binary, 8, 70_000).matches(&chunked.body));
    let empty = client.get(&origin, "/bytes?n=0").await?;
    assert_eq!(
        (empty.headers["content-length"].as_bytes(), empty.body.len()),
        (&b"0"[..], 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_head_request_gets_the_headers_of_its_get() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let sent = client
        .head(&origin, Method::HEAD.as_str(), "/bytes?n=5000", "")
        .await?;
    let answer = read(sent).await?;
    assert_eq!(
        (
            answer.headers["content-length"].as_bytes(),
            answer.body.len()
        ),
        (&b"5000"[..], 0)
    );
    Ok(())
}

#[tokio::test]
async fn statuses_and_their_bodies() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let missing = client.get(&origin, "/status?code=404").await?;
    assert_eq!(
        (missing.status, &missing.body[..]),
        (StatusCode::NOT_FOUND, &b"status 404"[..])
    );
    for bodiless in [204, 304] {
        let answer = client
            .get(&origin, &format!("/status?code={bodiless}"))
            .await?;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (bodiless, 0));
    }
    let nonsense = client.get(&origin, "/status?code=101").await?;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        client.get(&origin, "/nowhere").await?.status,
        StatusCode::NOT_FOUND
    );
    Ok(())
}

#[tokio::test]
async fn redirects_point_where_told_and_chains_end() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let answer = client
        .get(
            &origin,
            "/redirect?to=http%3A%2F%2Fa.test%2F%3Fx%3D1&code=307",
        )
        .await?;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers["location"], "http://a.test/?x=1");
    let mut path = "/redirect?n=3".to_owned();
    let mut hops = 0;
    while path != "/echo" {
        let answer = client.get(&origin, &path).await?;
        path = answer.headers["location"].to_str()?.to_owned();
        hops += 1;
    }
    assert_eq!(hops, 3);
    Ok(())
}

#[tokio::test]
async fn codings_are_what_they_say() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    for (path, coding, magic) in [
        ("/gzip?n=5000", "gzip", &[0x1f, 0x8b][..]),
        ("/deflate?n=5000", "deflate", &[0x78][..]),
        ("/zstd?n=5000", "zstd", &[0x28, 0xb5, 0x2f, 0xfd][..]),
    ] {
        let answer = client.get(&origin, path).await?;
        assert_eq!(answer.headers["content-encoding"], coding);
        assert!(answer.body.starts_with(magic), "{coding}");
        let cut = client.get(&origin, &format!("{path}&cut=1")).await?;
        assert_eq!(cut.body, answer.body[..answer.body.len() / 2]);
    }
    let zeros = client
        .get(&origin, "/coded?as=gzip,br&n=1000000&zeros=1")
        .await?;
    assert_eq!(zeros.headers["content-encoding"], "gzip,br");
    assert!(zeros.body.len() < 5_000, "{} bytes", zeros.body.len());
    assert_eq!(
        client.get(&origin, "/coded?as=rot13").await?.status,
        StatusCode::BAD_REQUEST
    );
    Ok(())
}

#[tokio::test]
async fn header_fields_go_out_as_asked() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let cookies = client.get(&origin, "/cookies?n=3").await?;
    assert_eq!(cookies.headers.get_all("set-cookie").iter().count(), 3);
    let fields = client
        .get(&origin, "/headers?h=x-a:1&h=x-a:2&h=x-b:%20three&fill=5000")
        .await?;
    assert_eq!(
        fields.headers.get_all("x-a").iter().collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(fields.headers["x-b"], "three");
    assert_eq!(fields.headers["x-fill"].len(), 5_000);
    assert_eq!(
        client.get(&origin, "/headers?h=nothing").await?.status,
        StatusCode::BAD_REQUEST
    );
    Ok(())
}

#[tokio::test]
async fn failures_come_as_often_as_asked_for_each_key() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let path = "/fail?key=a&times=2&code=503&retry_after=1";
    for _ in 0..2 {
        let answer = client.get(&origin, path).await?;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(client.get(&origin, path).await?.status, StatusCode::OK);
    assert!(
        client
            .get(&origin, "/fail?key=b&times=1&drop=1")
            .await
            .is_err()
    );
    let mut again = Client::http1(&origin).await?;
    assert_eq!(
        again
            .get(&origin, "/fail?key=b&times=1&drop=1")
            .await?
            .status,
        StatusCode::OK
    );
    Ok(())
}

#[tokio::test]
async fn broken_answers_break() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    assert!(client.get(&origin, "/close").await.is_err());
    let mut client = Client::http1(&origin).await?;
    let mut cut = client
        .head(&origin, "GET", "/cut?after=10&n=20", "")
        .await?;
    let first = cut
        .body_mut()
        .frame()
        .await
        .expect("ten bytes come first")?;
    assert_eq!(first.into_data().expect("data").len(), 10);
    assert!(cut.body_mut().collect().await.is_err());
    assert_eq!(
        origin
            .wait_until(|stats| stats.in_flight == 0)
            .await
            .aborted,
        2
    );
    Ok(())
}

#[tokio::test]
async fn a_stalled_answer_ends_when_its_client_leaves() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let mut stalled = client
        .head(&origin, "GET", "/stall?after=10&n=20", "")
        .await?;
    let part = stalled
        .body_mut()
        .frame()
        .await
        .expect("ten bytes")?
        .into_data()
        .expect("data");
    assert!(filler(Kind::Text, 0, 10).matches(&part));
    assert_eq!(origin.stats().in_flight, 1);
    drop((stalled, client));
    let after = origin
        .wait_until(|stats| stats.in_flight == 0 && stats.open == 0)
        .await;
    assert_eq!((after.aborted, after.completed), (1, 0));
    Ok(())
}

#[tokio::test]
async fn slow_answers_come_in_parts() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let answer = client
        .get(&origin, "/slow?chunks=3&gap_ms=1&size=5")
        .await?;
    assert!(filler(Kind::Text, 0, 15).matches(&answer.body));
    Ok(())
}

#[tokio::test]
async fn gates_hold_headers_or_the_rest_of_a_body() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let mut half = client
        .head(&origin, "GET", "/gate?key=half&after=3&n=5", "")
        .await?;
    let part = half
        .body_mut()
        .frame()
        .await
        .expect("three bytes")?
        .into_data()
        .expect("data");
    assert_eq!(part.len(), 3);
    origin.open_gate("half")?;
    assert_eq!(half.body_mut().collect().await?.to_bytes().len(), 2);

    let mut other = Client::http1(&origin).await?;
    let (held, ()) = tokio::join!(other.get(&origin, "/gate?key=whole&n=4"), async {
        origin.wait_until(|stats| stats.in_flight == 1).await;
        origin.open_gate("whole").expect("a known key");
    });
    assert_eq!(held?.body.len(), 4);
    assert_eq!(
        client.get(&origin, "/gate").await?.status,
        StatusCode::BAD_REQUEST
    );
    Ok(())
}

#[tokio::test]
async fn uploads_are_counted_as_they_come() -> Result<(), Failure> {
    let (origin, mut client) = start().await?;
    let body = filler(Kind::Binary, 1, 300_000).to_vec();
    let sum = format!("{:08x}", checksum(&body));
    let sent = client.head(&origin, "POST", "/upload", body).await?;
    let seen = read(sent).await?.json();
    assert_eq!(
        (seen["bytes"].as_u64(), seen["checksum"].as_str()),
        (Some(300_000), Some(&*sum))
    );
    assert_eq!(origin.stats().bytes_received, 300_000);
    let stats = client.get(&origin, "/stats").await?.json();
    assert_eq!(
        (stats["requests"].as_u64(), stats["inFlight"].as_u64()),
        (Some(2), Some(1))
    );
    Ok(())
}
