//! The fetch engine: the only code that dials an origin.
//!
//! A fetch passes through these files in this order: `account` (in whose name), `queued` (the way in), `run` (the loop over
//! hops and tries), `admit` (its turn in its lane and at its origin), `pool` (a connection), `dial`
//! with `dns` and `tls` (if a new one is needed; here every address is vetted), `door` (if its caller
//! paces what is sent), `exchange` (one request), `answer` (its response), `body` with `decode` and
//! `clock` (the body on its way to its reader), `end` (what the observer is told). `budget` and `whole` are for readers that need a body
//! whole. `direct` is for a caller that speaks HTTP itself.

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
pub use config::{DEFAULT_LANE, EngineConfig, PoolConfig};
pub use direct::{Direct, Idle, Leave, OpenGuard, Opened, Patience};
pub use door::Door;
pub use engine::Engine;
pub use fetchway_policy::schedule::{AccountLimits, AccountStats, LaneStats};
pub use observe::{Moved, NoObserver, Observer, Outcome};
pub use pool::{MAX_STREAMS, Network};
pub use queued::Queued;
pub use request::{FetchRequest, RequestBody, StreamedBody};
pub use whole::Whole;
