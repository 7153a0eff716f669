//! The origin that keeps account of a batch.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fetchway_test_origins::{Arrival, Ledger, Limit, LimitKind, Rules, expected_body};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn ledger() -> Ledger {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ledger::start(any, 64).expect("a free port")
}

async fn connect(ledger: &Ledger) -> TcpStream {
    TcpStream::connect(ledger.addr()).await.expect("it listens")
}

async fn ask(stream: &mut TcpStream, items: &[u32]) {
    let asked: String = items
        .iter()
        .map(|item| format!("GET /item/{item} HTTP/1.1\r\nhost: a\r\n\r\n"))
        .collect();
    stream.write_all(asked.as_bytes()).await.expect("written");
}

/// One answer: its status, its fields and its body.
async fn answer(stream: &mut TcpStream) -> (u16, String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.split_once("content-length: ").expect("a length").1;
    let length = length.lines().next().expect("a line").parse();
    let mut body = vec![0; length.expect("a number")];
    stream.read_exact(&mut body).await.expect("a body");
    let status = head[9..12].parse().expect("a status");
    (status, head, body)
}

fn told(arrivals: &[Arrival]) -> Vec<(u32, u16)> {
    let told = arrivals.iter();
    told.map(|arrival| (arrival.item, arrival.status)).collect()
}

#[tokio::test]
async fn each_item_has_its_body_and_is_written_down_in_order() {
    let ledger = ledger();
    let mut stream = connect(&ledger).await;
    ask(&mut stream, &[7, 8, 7]).await;
    for item in [7, 8, 7] {
        let (status, _, body) = answer(&mut stream).await;
        assert_eq!((status, body), (200, expected_body(item, 64)));
    }
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("written");
    assert_eq!(answer(&mut stream).await.0, 404);
    let arrivals = ledger.arrivals();
    assert_eq!(told(&arrivals), [(7, 200), (8, 200), (7, 200)]);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.micros));
    let counts = ledger.counts();
    assert_eq!(
        (counts.connections, counts.open, counts.arrivals),
        (1, 1, 3)
    );
    drop(stream);
    ledger.wait_until(|counts| counts.open == 0).await;
    ledger.forget();
    assert_eq!((ledger.arrivals().len(), ledger.counts().arrivals), (0, 3));
}

#[tokio::test]
async fn it_does_as_its_rules_say() {
    let ledger = ledger();
    // Whatever the clock says.
    let limit = |per_second| Limit {
        per_second,
        kind: LimitKind::Sliding,
    };
    ledger.rule(Rules {
        limit: Some(limit(0)),
        ..Rules::default()
    });
    let mut stream = connect(&ledger).await;
    ask(&mut stream, &[1]).await;
    let (status, head, _) = answer(&mut stream).await;
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
    ledger.rule(Rules {
        fail: Some((503, 2)),
        stall: Some(5),
        delay: Duration::from_millis(1),
        ..Rules::default()
    });
    ask(&mut stream, &[3, 4, 5, 6]).await;
    assert_eq!(answer(&mut stream).await.0, 200);
    assert_eq!(answer(&mut stream).await.0, 503);
    ledger.wait_until(|counts| counts.arrivals == 4).await;
    drop(stream);
    let counts = ledger.wait_until(|counts| counts.open == 0).await;
    assert_eq!((counts.arrivals, counts.abandoned), (4, 1));
    let expected = [(1, 429), (3, 200), (4, 503), (5, 0)];
    assert_eq!(told(&ledger.arrivals()), expected);
}

#[tokio::test]
async fn who_leaves_before_the_answer_is_counted() {
    let ledger = ledger();
    ledger.rule(Rules {
        delay: Duration::from_secs(3_600),
        ..Rules::default()
    });
    let mut stream = connect(&ledger).await;
    ask(&mut stream, &[9]).await;
    ledger.wait_until(|counts| counts.arrivals == 1).await;
    drop(stream);
    let counts = ledger.wait_until(|counts| counts.open == 0).await;
    assert_eq!(counts.abandoned, 1);
}
