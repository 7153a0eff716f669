//! The fetch engine: the only code that dials an origin.
//!
//! A fetch passes through these files in this order: `account` (its owner), `queued` (the way in), `run`
//! (the loop over hops and tries), `admit` (its turn in its lane and at its origin), `pool` (a connection),
//! `dial` with `dns` and `tls` (if a new connection is needed; every address is checked here), `door` (if
//! the caller paces its requests), `exchange` (one request), `answer` (its response), `body` with `decode`
//! and `clock` (the body on its way to the reader), `end` (the report to the observer). `budget` and
//! `whole` are for readers that need a whole body. `direct` is for a caller with HTTP code of its own.

mod account;
mod admit;
mod answer;
mod body;
mod budget;
mod clock;
mod config;
mod decode;
mod defaults;
mod dial;
mod direct;
mod dns;
mod door;
mod end;
mod engine;
mod exchange;
mod meter;
mod observe;
mod pool;
mod queued;
mod request;
mod run;
mod stream;
mod tls;
mod whole;

pub use account::{Account, AccountConfig};
pub use answer::Fetched;
pub use body::Body;
pub use budget::Hold;
pub use clock::Timeout;
pub use config::{DEFAULT_LANE, EngineConfig, PoolConfig};
pub use direct::{Direct, Idle, Leave, OpenGuard, Opened};
pub use door::Door;
pub use engine::Engine;
pub use fetchway_policy::schedule::{AccountLimits, AccountStats, LaneStats};
pub use observe::{Moved, NoObserver, Observer, Outcome};
pub use pool::{MAX_STREAMS, Network};
pub use queued::Queued;
pub use request::{FetchRequest, RequestBody, StreamedBody};
pub use whole::Whole;
