//! hyper's server, in memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fetchway_upstream::h1::{ResponseReader, put_request};
use fetchway_upstream::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::LIMITS;

type Body = BoxBody<Bytes, Infallible>;

/// Answers with the request's body, and describes the request in `fetchway-state`.
async fn echo(request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, hyper::Error> {
    let host = request
        .headers()
        .get("host")
        .map(|host| host.as_bytes().to_vec());
    let asked = format!(
        "{} {} {}",
        request.method(),
        request.uri(),
        String::from_utf8_lossy(&host.unwrap_or_default())
    );
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = hyper::Response::builder().header("fetchway-state", asked);
    let body = match &*path {
        "/empty" => {
            response = response.status(204);
            Empty::new().boxed()
        }
        // The length is not known in advance, so the body is chunked.
        "/chunked" => Unsized(Some(body)).boxed(),
        "/close" => {
            response = response.header("connection", "close");
            Full::new(body).boxed()
        }
        _ => Full::new(body).boxed(),
    };
    Ok(response.body(body).expect("a response"))
}

struct Unsized(Option<Bytes>);

impl hyper::body::Body for Unsized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

async fn ask(stream: &mut DuplexStream, request: &Request<'_>) -> (Response, bool) {
    let mut out = Vec::new();
    put_request(&mut out, request);
    stream.write_all(&out).await.expect("the server reads");
    let (mut reading, mut buffer) = (ResponseReader::new(), [0; 100]);
    loop {
        let length = stream.read(&mut buffer).await.expect("the server answers");
        assert_ne!(length, 0, "it ended too early");
        let answer = reading
            .take(&buffer[..length], &LIMITS)
            .expect("a response");
        if let Some(answer) = answer {
            return (answer, reading.may_stay());
        }
    }
}

#[tokio::test]
async fn requests_one_after_the_other() {
    let (mut ours, theirs) = tokio::io::duplex(256);
    let server = hyper::server::conn::http1::Builder::new();
    let server = server.serve_connection(TokioIo::new(theirs), service_fn(echo));
    let server = tokio::spawn(server);
    let large = vec![b'x'; 4_096];
    for (method, path, body, status, stays) in [
        ("POST", "/a%20b?c", &b"hello"[..], 200, true),
        ("DELETE", "/x", b"", 200, true),
        ("POST", "/empty", b"ignored", 204, true),
        ("POST", "/chunked", b"in chunks", 200, true),
        ("POST", "/chunked", &large, 200, true),
        ("POST", "/large", &large, 200, true),
        ("POST", "/close", b"bye", 200, false),
    ] {
        let request = Request {
            method,
            authority: "api.test",
            path,
            fields: &[("content-type", b"text/plain")],
            body,
        };
        let asked = tokio::time::timeout(Duration::from_secs(60), ask(&mut ours, &request));
        let (answer, stayed) = asked.await.expect("it is stuck");
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(stayed, stays, "{path}");
        let asked = format!("{method} {path} api.test");
        assert_eq!(
            answer.field("fetchway-state").expect("what was asked"),
            &*asked
        );
        if status == 200 {
            assert_eq!(answer.body, body, "{path}");
        }
    }
    server.await.expect("no panic").expect("no error");
}
