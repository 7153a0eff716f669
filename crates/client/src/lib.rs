//! The Rust client of fetchway's relay: many concurrent HTTP fetches over a few WebSockets.
//!
//! Bodies are streamed in both directions. A session continues after its socket was lost, and a fetch whose
//! relay does not return is sent to another relay if that is safe. `docs/protocol.md` describes the binary
//! encoding; with a server that supports only JSON the client uses JSON.
//!
//! ```
//! use fetchway_client::{Client, FinalUrl};
//! # use fetchway_test_origins::TestOrigin;
//! # use fetchway_testkit::TestNode;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (origin, node) = (TestOrigin::builder().start()?, TestNode::open(&[]));
//! # let (relay, url) = (format!("ws://{}/", node.addr()), origin.url("/redirect?n=1"));
//! // `relay` is a URL such as wss://relay.example/; a client may have several.
//! let client = Client::builder().relay(relay).build()?;
//!
//! let request = http::Request::post(url).body("hello".to_owned())?;
//! let response = client.fetch(request).await?;
//! assert_eq!(response.status(), 200);
//! println!("from {:?}", FinalUrl::of(&response));
//!
//! // Read the body piece by piece; `bytes` reads it whole.
//! let mut body = response.into_body();
//! while let Some(piece) = body.chunk().await? {
//!     println!("{} bytes", piece.len());
//! }
//! # drop(client);
//! # node.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Several relays, and streamed bodies
//!
//! ```
//! use std::pin::Pin;
//! use std::task::{Context, Poll};
//!
//! use bytes::Bytes;
//! use fetchway_client::{By, Client, ErrorName, Failover, Options};
//! use http_body::{Body, Frame};
//!
//! /// A request's body is any `http_body::Body`. The client polls it when there is room for a piece.
//! struct Countdown(u32);
//!
//! impl Body for Countdown {
//!     type Data = Bytes;
//!     type Error = std::io::Error;
//!
//!     fn poll_frame(
//!         mut self: Pin<&mut Self>,
//!         _: &mut Context<'_>,
//!     ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
//!         let Some(next) = self.0.checked_sub(1) else {
//!             return Poll::Ready(None);
//!         };
//!         self.0 = next;
//!         Poll::Ready(Some(Ok(Frame::data(format!("{next}\n").into()))))
//!     }
//! }
//!
//! # use fetchway_test_origins::TestOrigin;
//! # use fetchway_testkit::TestNode;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (origin, a, b) = (TestOrigin::builder().start()?, TestNode::open(&[]), TestNode::open(&[]));
//! # let relays = [format!("ws://{}/", a.addr()), format!("ws://{}/", b.addr())];
//! # let url = origin.url("/upload");
//! // Up to two sockets to each of two relays. A fetch uses the least loaded one.
//! let client = Client::builder().relays(relays).sockets(2).build()?;
//!
//! let request = http::Request::put(url).body(Countdown(1_000))?;
//! // By default a PUT is sent again if its relay is lost. This one must not be.
//! let options = Options::default().failover(Failover::Never);
//! match client.fetch_with(request, options).await {
//!     Ok(response) => println!("{}", response.status()),
//!     Err(error) if error.name == ErrorName::OutcomeUnknown => println!("perhaps processed"),
//!     Err(error) if error.by == By::Client => println!("no relay could perform the fetch: {error}"),
//!     Err(error) => println!("the fetch failed: {error}"),
//! }
//! # client.close(std::time::Duration::from_secs(10)).await;
//! # a.stop().await;
//! # b.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When a relay is lost
//!
//! | state of the fetch | what happens |
//! |---|---|
//! | in flight, and the session is resumed in time | the fetch continues; every byte arrives once, in order |
//! | not sent yet | the fetch is sent to another relay or over a new session, whatever its method |
//! | sent, without a response's head, and repeatable: idempotent or with an `Idempotency-Key`, and with a body that can be sent again | the fetch is sent again, unless its [`Failover`] is `Never`. If no later attempt gets a response, the fetch fails with `outcome_unknown` |
//! | any other | the fetch fails with `outcome_unknown`, or its response's body does if the response has begun |
//!
//! A body can be sent again if it is empty, or while everything that was read of it is kept: the first
//! 64 KiB, and the piece that exceeds them. One fetch is sent on at most five streams.
//!
//! # Over JSON
//!
//! The client uses JSON with a server that confirms none of its subprotocols, rejects them with status
//! 400, or confirms `fetchway.json`, unless [`Encoding::Binary`] is set. The client then logs a message
//! at level info. The differences:
//!
//! | | over JSON |
//! |---|---|
//! | lost sockets | sessions are not resumed: their fetches are lost at once |
//! | request bodies | sent whole, in messages of at most 48 MiB. Text is escaped; other bytes are sent in base64, which is a third longer. The relay rejects bodies of GET and HEAD. A server from before the subprotocols may not support base64, and then drops such a body |
//! | response bodies | received whole, up to the relay's cap (32 MiB by default) |
//! | sending and receiving at once | a response arrives only after the request's body has ended |
//! | trailers | dropped from requests; responses have none |
//! | [batches](Client::batch) | rejected |
//! | header fields | those of requests must be UTF-8, otherwise the request is rejected. Repeated fields are joined, except `Set-Cookie` in responses |
//! | [`windows`](Builder::windows) | only the session's window applies: while unread answers exceed it, no more are read |
//!
//! # Limits
//!
//! - A lost relay is given up after [`resume_within`](Builder::resume_within), 30 s by default. Only then are
//!   its fetches sent elsewhere. With several relays, use 1 to 2 s.
//! - A lane's `response-cap`, 32 MiB by default, applies to streamed bodies as well. A longer body fails with
//!   `http_response_body_size`.
//! - A program that ends without [`Client::close`] leaves its fetches running at the relay, for as long as the
//!   relay keeps the session (a minute by default).

// How to read this crate. Dependencies run one way, from the last of these to the first:
// 1. `error`, `options`, `settings`: what callers choose and get.
// 2. `request` and `queue`: a request ready to be sent, and the fetches that wait.
// 3. `link`: one socket to a relay, from its URL to its bytes.
// 4. `body`, `upload`, `exchange`: the two bodies, and one fetch on one stream.
// 5. `relays`: the links of a client, and which of them a fetch uses.
// 6. `fetch`: a fetch over as many streams as it takes; `batch`: many fetches over one stream.
// 7. `client`, `builder`, `watch`: the public methods.

mod batch;
mod body;
mod builder;
mod client;
mod error;
mod exchange;
mod fetch;
mod link;
mod options;
mod queue;
mod relays;
mod request;
mod settings;
mod upload;
mod watch;

pub use batch::{Batch, BatchItem, BatchOptions, Outcome, OutcomeTiming};
pub use body::Body;
pub use builder::Builder;
pub use client::Client;
pub use error::{By, Error};
pub use fetchway_policy::redirect::RedirectMode;
pub use fetchway_policy::{ErrorName, Timeouts};
pub use options::{Failover, FinalUrl, Options};
pub use rustls::pki_types::CertificateDer;
pub use settings::Encoding;
pub use watch::{RelayNews, RelayWatch};

/// Any error, as the body of a request may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Compiles the Rust examples of the README with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
