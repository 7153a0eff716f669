//! The Rust client of a relay: HTTP fetches, many at once, over a few WebSockets.
//!
//! Bodies stream both ways, a session goes on when its socket was lost, and a fetch whose relay does
//! not come back goes to another one if that does no harm. `docs/protocol.md` says what goes over the
//! wire; a server that speaks only JSON is spoken to in JSON.
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
//! // Piece by piece as it comes; `bytes` gives all of it at once.
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
//! # Several relays, and bodies that are streamed
//!
//! ```
//! use std::pin::Pin;
//! use std::task::{Context, Poll};
//!
//! use bytes::Bytes;
//! use fetchway_client::{By, Client, ErrorName, Failover, Options};
//! use http_body::{Body, Frame};
//!
//! /// Any `http_body::Body` will do: it is asked for a piece when there is room for one.
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
//! // Two sockets to each of two relays; a fetch takes the least loaded one.
//! let client = Client::builder().relays(relays).sockets(2).build()?;
//!
//! let request = http::Request::put(url).body(Countdown(1_000))?;
//! // A PUT may be sent again where a relay is lost with it. This one must not be.
//! let options = Options::default().failover(Failover::Never);
//! match client.fetch_with(request, options).await {
//!     Ok(response) => println!("{}", response.status()),
//!     Err(error) if error.name == ErrorName::OutcomeUnknown => println!("it may have been made"),
//!     Err(error) if error.by == By::Client => println!("the relays are to blame: {error}"),
//!     Err(error) => println!("the origin or the request is: {error}"),
//! }
//! # client.close(std::time::Duration::from_secs(10)).await;
//! # a.stop().await;
//! # b.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of a fetch whose relay is lost
//!
//! | the fetch | what happens |
//! |---|---|
//! | under way, and the relay comes back in time | it goes on; every byte comes once, in order |
//! | never sent | it goes to another relay, or a new session, whatever its method |
//! | sent, no head of a response yet, and idempotent or with an `Idempotency-Key`, and its body can be given again | the same, unless its [`Failover`] says never. Only a response settles it: if none comes of further tries, it fails with `outcome_unknown` |
//! | any other | it fails with `outcome_unknown`; if its response had begun, its body does |
//!
//! A body can be given again if there is none, or while all that was taken of it is kept: 64 KiB, and
//! the piece that passes that. One fetch is given five streams at most.
//!
//! # Over JSON
//!
//! A server that confirms none of our subprotocols, refuses them with 400, or confirms
//! `fetchway.json`, is spoken to in JSON, unless [`Encoding::Binary`] was asked for. That is logged at
//! level info. What differs:
//!
//! | | over JSON |
//! |---|---|
//! | a lost socket | nothing resumes: its fetches are lost at once |
//! | request bodies | whole, 48 MiB at most as a message; text is escaped, and other bytes are sent in base64, a third longer. On GET and HEAD the relay refuses them. A server from before the subprotocols may not know base64, and leave such a body out |
//! | response bodies | whole, up to the relay's cap (32 MiB unless told otherwise) |
//! | both at once | a response comes after the request's body has ended, never before |
//! | trailers | those of requests are left out; of responses none come |
//! | [batches](Client::batch) | refused |
//! | fields | a request's must be UTF-8, else it is refused; repeated ones are joined, and so are a response's but for `Set-Cookie` |
//! | [`windows`](Builder::windows) | the session's only: beyond it no more answers are read |
//!
//! # Limits to know of
//!
//! - A relay that is gone is given up after [`resume_within`](Builder::resume_within), 30 s unless told
//!   otherwise: only then do its fetches go elsewhere. With several relays choose 1 to 2 s.
//! - A lane's `response-cap`, 32 MiB unless its relay is told otherwise, holds for streamed bodies too.
//!   Beyond it the body fails with `http_response_body_size`.
//! - A program that ends without [`Client::close`] leaves its fetches running at the relay, for as long
//!   as that keeps the session: a minute unless told otherwise.

// How to read this: `builder`, `options`, `error` and `body` are what is to be seen from outside. A
// fetch passes through `client` (from request to response, and what after a loss), `request` (what may
// be sent), `choice` and `queue` (getting hold of a stream), `exchange` and `upload` (one try); `batch` is
// many in one stream, `watch` tells which relays are there. `link` is one of the sockets, from its URL to its bytes.

mod batch;
mod body;
mod builder;
mod choice;
mod client;
mod error;
mod exchange;
mod link;
mod options;
mod queue;
mod request;
mod upload;
mod watch;

pub use batch::{Batch, BatchItem, BatchOptions, Outcome, OutcomeTiming};
pub use body::Body;
pub use builder::{Builder, Encoding};
pub use client::Client;
pub use error::{By, Error};
pub use fetchway_policy::redirect::RedirectMode;
pub use fetchway_policy::{ErrorName, Timeouts};
pub use options::{Failover, FinalUrl, Options};
pub use rustls::pki_types::CertificateDer;
pub use watch::{RelayNews, RelayWatch};

/// Any error, as a request's body may have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The README's Rust is compiled with ours.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
