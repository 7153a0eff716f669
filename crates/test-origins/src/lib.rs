//! Synthetic origins for the demo, the benches and the tests: one thing for all of them.
//!
//! [`TestOrigin`] is a server that does as its query string says: it waits, stalls, fails, redirects,
//! compresses. What it sends is deterministic, so that a client can verify every byte
//! ([`expected_body`], [`verify`], [`filler`]); what it saw is counted ([`TestOrigin::stats`]) and can
//! be waited for ([`TestOrigin::wait_until`]), so that a test needs no sleep. [`FastTestOrigin`] gives one
//! small answer at the least possible cost, for benches. [`Ledger`] writes down when each item of a
//! batch was asked for, and refuses, fails and waits by rules. [`Api`] is what stands behind a gateway: it
//! keeps account of every client, and does as a script says.
//!
//! # Routes
//!
//! | route | answer |
//! |---|---|
//! | `/echo` | JSON: `method`, `path`, `query`, `version`, `headers` (pairs, repeats kept), `body` or `bodyBase64` |
//! | `/delay?ms=1000&req=7&size=64` | after `ms`, [`expected_body`]`(req, size)` |
//! | `/bytes?n=1048576&seed=7` | `n` bytes of [`filler`]; `binary=1` for bytes that are no UTF-8, `chunked=1` for no `content-length` |
//! | `/status?code=404` | that status; a body naming it where the status may have one |
//! | `/redirect?to=URL&code=302` | a redirect; with `n=5` instead of `to`, a chain of five that ends at `/echo` |
//! | `/stall?after=10&n=20` | headers, `after` bytes, then nothing until the client leaves; `content-length` `n` if given |
//! | `/slow?chunks=10&gap_ms=100&size=16` | a body in `chunks` parts of `size` bytes with a gap before each |
//! | `/cut?after=10&n=20` | headers that promise `n` bytes, `after` bytes, then the connection (h2: the stream) breaks |
//! | `/gzip?n=1024`, `/br`, `/zstd`, `/deflate` | `/bytes`, compressed; `zeros=1` for zero bytes, `cut=1` to end the coded body half-way |
//! | `/coded?as=gzip,br&n=1024` | several codings, applied in the order named |
//! | `/cookies?n=3` | `n` `set-cookie` fields, one of them with a comma in it |
//! | `/headers?h=name:value&h=…` | these response fields, repeats kept; `fill=N` adds `x-fill` of `N` bytes |
//! | `/trailers?n=10` | a body followed by the trailer `x-checksum` |
//! | `/fail?key=K&times=2&code=503&retry_after=1&then=200` | `code` the first `times` times for that key, then `then`; `drop=1` closes the connection instead of `code` |
//! | `/page?list=7&of=3&at=0&fail=2` | page `at` of a list in pages: JSON, and a `Link` field, that name the next until `of`; page `fail` is answered 503 the first time for that list |
//! | `/close` | no answer: the connection (h2: the stream) is broken |
//! | `/gate?key=K&after=0&n=0` | waits for [`TestOrigin::open_gate`]; with `after`, headers and that many of `n` bytes go out before |
//! | `/upload` | JSON: `bytes` and `checksum` of the request body, counted as it comes; `gate=K` reads on only when the gate is open, `early=1` answers without reading |
//! | `/duplex?n=1048576` | `n` bytes of [`filler`], then what `/upload` says, read at the same time |
//! | `/stats` | [`Stats`] as JSON |
//!
//! `close=1` on any route makes the origin end the HTTP/1.1 connection after the answer; it never
//! does so by itself. A parameter that makes no sense is answered 400 with a sentence.
//!
//! Read `origin` first, then `serve`, `routes`, `filler`.

mod accept;
mod api;
mod body;
mod certificate;
mod fast;
mod filler;
mod keyed;
mod ledger;
mod listen;
mod origin;
mod query;
mod routes;
mod serve;
mod shared;
mod stats;
mod watched;

pub use api::{Account, Api, ApiReply, ApiRequest, ApiStats, Epoch, ok, status};
pub use certificate::Certificate;
pub use fast::FastTestOrigin;
pub use filler::{Filler, Kind, checksum, expected_body, filler, verify};
pub use ledger::{Arrival, Ledger, LedgerCounts, Limit, LimitKind, Rules, Windows};
pub use listen::StartError;
pub use origin::{Builder, TestOrigin};
pub use stats::Stats;
