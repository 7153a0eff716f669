//! A relay that does what a test tells it: the machine of `fetchway-wire`, moved by hand.

mod peer;
mod plain;
mod socket;

pub(crate) use peer::Peer;
pub(crate) use plain::PlainRelay;
pub(crate) use socket::{Relay, Socket};

use std::time::Duration;

use bytes::Bytes;
use fetchway_client::{Body, Builder, Client, Error};
use fetchway_policy::FetchError;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::sync::mpsc;

/// How long a test waits for what must happen anyway.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the fetches of these tests go; a scripted relay goes nowhere.
pub(crate) const URL: &str = "http://origin.test/path?q=1";

/// A client of these relays with short clocks.
pub(crate) fn builder(relays: &[&Relay]) -> Builder {
    Client::builder()
        .relays(relays.iter().map(|relay| relay.url.clone()))
        .backoff(Duration::from_millis(5), Duration::from_millis(50))
}

/// A client with nothing else set.
pub(crate) fn client(relays: &[&Relay]) -> Client {
    builder(relays).build().expect("a client")
}

/// A GET of [`URL`].
pub(crate) fn get() -> Request<Empty<Bytes>> {
    Request::get(URL).body(Empty::new()).expect("a request")
}

/// A request with a body of one piece.
pub(crate) fn with_body(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(URL);
    request.body(Full::from(body)).expect("a request")
}

/// A body that is written piece by piece, and its other end.
pub(crate) fn channel() -> (mpsc::Sender<Result<Frame<Bytes>, FetchError>>, ChannelBody) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, ChannelBody(receiver))
}

/// See [`channel`].
pub(crate) struct ChannelBody(mpsc::Receiver<Result<Frame<Bytes>, FetchError>>);

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        self.0.poll_recv(cx)
    }
}

/// The rest of a body as text.
pub(crate) async fn text(response: Response<Body>) -> Result<String, Error> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).expect("text"))
}

/// Turns a hang into a failure.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not happen"),
    }
}
