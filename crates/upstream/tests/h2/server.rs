//! The server of the `h2` crate, in memory: an independent check of our windows, frames and heads.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fetchway_upstream::Request;
use fetchway_upstream::h2::{Connection, Event};
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{Response, StatusCode};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::peer::LIMITS;

/// Behaviour of a server within its own windows.
#[derive(Clone, Debug)]
struct Ways {
    window: u32,
    connection_window: u32,
    frame: u32,
    streams: u32,
    table: u32,
}

impl Ways {
    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder
            .initial_window_size(self.window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.frame)
            .max_concurrent_streams(self.streams)
            .header_table_size(self.table)
            .max_send_buffer_size(64 << 10);
        builder
    }
}

/// Serves each request by sending its body back, with the path in `fetchway-state`.
async fn serve(stream: DuplexStream, ways: Ways) {
    let mut connection = ways
        .builder()
        .handshake::<_, Bytes>(stream)
        .await
        .expect("a preface");
    let mut echoes = Vec::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.is_io() => break,
            Err(error) => panic!("we broke a rule: {error}"),
        };
        echoes.push(tokio::spawn(echo(request, respond)));
    }
    for echo in echoes {
        echo.await.expect("no panic");
    }
}

async fn echo(request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let length = request.headers()["content-length"]
        .to_str()
        .expect("digits")
        .to_owned();
    assert_eq!(request.headers()["content-type"], "text/plain");
    assert_eq!(request.uri().authority().expect("an authority"), "api.test");
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("data");
        whole.extend_from_slice(&data);
        body.flow_control()
            .release_capacity(data.len())
            .expect("a window");
    }
    assert_eq!(whole.len().to_string(), length);
    let response = Response::builder()
        .header("fetchway-state", &path)
        .header("content-type", "text/plain")
        .header("server", "h2")
        .body(())
        .expect("a response");
    let mut sender = respond.send_response(response, false).expect("a head");
    let mut rest = Bytes::from(whole);
    while !rest.is_empty() {
        sender.reserve_capacity(rest.len());
        let room = std::future::poll_fn(|cx| sender.poll_capacity(cx)).await;
        let room = room.expect("an open stream").expect("room");
        let piece = rest.split_to(room.min(rest.len()));
        sender.send_data(piece, false).expect("data");
    }
    sender.send_data(Bytes::new(), true).expect("an end");
}

/// Sends all bodies as there is room, and returns the answers by path.
async fn exchange(mut stream: DuplexStream, bodies: &[Vec<u8>]) -> HashMap<String, Bytes> {
    let (mut out, mut events) = (Vec::new(), Vec::new());
    let mut connection = Connection::new(&LIMITS, &mut out);
    let mut unsent = bodies.iter().enumerate();
    let mut paths = HashMap::new();
    let mut answers = HashMap::new();
    let mut buffer = vec![0; 40_000];
    while answers.len() < bodies.len() {
        while connection.room() > 0
            && let Some((nth, body)) = unsent.next()
        {
            let path = format!("/{nth}");
            let request = Request {
                method: if nth % 3 == 2 { "PUT" } else { "POST" },
                authority: "api.test",
                path: &path,
                fields: &[
                    ("content-type", b"text/plain"),
                    ("sequence", path.as_bytes()),
                ],
                body,
            };
            paths.insert(connection.send(&request, &mut out), path.clone());
        }
        let (mut read, mut write) = tokio::io::split(&mut stream);
        tokio::select! {
            read = read.read(&mut buffer) => {
                let length = read.expect("no error");
                assert_ne!(length, 0, "the server has ended the connection");
                let taken = connection.take(&buffer[..length], &mut out, &mut events);
                taken.expect("HTTP/2");
            }
            written = write.write(&out), if !out.is_empty() => {
                out.drain(..written.expect("no error"));
            }
        }
        for event in events.drain(..) {
            let (id, answer) = match event {
                Event::Response(id, answer) => (id, answer),
                Event::Full(id, held) => {
                    connection.grant(id, held, &mut out);
                    continue;
                }
                Event::Failed(..) => panic!("{event:?}"),
            };
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.field("content-type").expect("kept"), "text/plain");
            assert_eq!(answer.field("server"), None);
            let path = paths.remove(&id).expect("an open stream");
            assert_eq!(answer.field("fetchway-state").expect("kept"), &*path);
            answers.insert(path, answer.body);
        }
    }
    assert_eq!(connection.active(), 0);
    answers
}

fn check(bodies: &[Vec<u8>], ways: Ways) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(30_000);
        let server = tokio::spawn(serve(theirs, ways));
        let answers = exchange(ours, bodies);
        // A long timeout, so that a window that nobody opens is a failure.
        let answers = tokio::time::timeout(Duration::from_secs(30), answers).await;
        let answers = answers.expect("it is stuck");
        for (nth, body) in bodies.iter().enumerate() {
            assert!(
                answers[&format!("/{nth}")] == *body,
                "another body came back"
            );
        }
        server.await.expect("no panic");
    });
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn more_than_our_windows_comes_back() {
    // 24 MiB through a connection window of 16 MiB, each 2 MiB through a stream window of 64 KiB.
    let bodies: Vec<Vec<u8>> = (0..12).map(|nth| body((2 << 20) - nth)).collect();
    let ways = Ways {
        window: 1 << 20,
        connection_window: 4 << 20,
        frame: 16_384,
        streams: 5,
        table: 4_096,
    };
    check(&bodies, ways);
}

proptest! {
    // If a case hangs, each smaller case takes its time to hang, too.
    #![proptest_config(ProptestConfig { max_shrink_iters: 2, ..ProptestConfig::with_cases(40) })]
    /// Small windows and large bodies: a server that counts never finds a window exceeded.
    #[test]
    fn windows_are_kept(
        lengths in prop::collection::vec(prop_oneof![0usize..200, 0usize..100_000], 1..12),
        window in prop_oneof![1u32..200, 200u32..80_000],
        connection_window in 65_535u32..200_000,
        frame in 16_384u32..70_000,
        streams in 1u32..8,
        table in prop_oneof![Just(0u32), 0u32..200, Just(4_096)],
    ) {
        // One byte at a time is slow.
        let most = window as usize * 2_000;
        let bodies: Vec<Vec<u8>> = lengths.iter().map(|length| body(*length.min(&most))).collect();
        check(&bodies, Ways { window, connection_window, frame, streams, table });
    }
}
