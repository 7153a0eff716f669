//! The Rust client of a relay: HTTP fetches, many at once, over a few WebSockets.
//!
//! Bodies stream both ways, a session goes on when its socket was lost, and a fetch whose relay does
//! not come back goes to another one if that does no harm. `docs/protocol.md` says what goes over the
//! wire; a server that speaks only JSON is spoken to in JSON.
//!
//! ```
//! use fetchway_client::{Client, FinalUrl};
//! # use fetchway_lab::Origin;
//! # use fetchway_testkit::TestNode;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (origin, node) = (Origin::builder().start()?, TestNode::open(&[]));
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
//! # What becomes of a fetch whose relay is lost
//!
//! | the fetch | what happens |
//! |---|---|
//! | under way, and the relay comes back in time | it goes on; every byte comes once, in order |
//! | never sent | it goes to another relay, or a new session, whatever its method |
//! | sent, no head of a response yet, and idempotent or with an `Idempotency-Key`, and its body can be given again | the same, unless its [`Failover`] says never |
//! | any other | it fails with `outcome_unknown`; if its response had begun, its body does |
//!
//! A body can be given again if there is none, or while all that was taken of it is kept: 64 KiB, and
//! the piece that passes that. Over JSON nothing resumes, and bodies are whole.
//!
//! # How to read this
//!
//! `builder`, `options` and `body` are what is to be seen from outside. A fetch passes through
//! `client` (from request to response, and what after a loss), `request` (what may be sent), `choice`
//! and `queue` (getting hold of a stream), `exchange` and `upload` (one try). `link` is one of the sockets, from its URL to its bytes.

mod body;
mod builder;
mod choice;
mod client;
mod exchange;
mod link;
mod options;
mod queue;
mod request;
mod upload;

pub use body::Body;
pub use builder::{Builder, Encoding};
pub use client::Client;
pub use fetchway_policy::redirect::RedirectMode;
pub use fetchway_policy::{ErrorName, FetchError, Timeouts};
pub use options::{Failover, FinalUrl, Options};
pub use rustls::pki_types::CertificateDer;

/// Any error, as a request's body may have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
