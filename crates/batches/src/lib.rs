//! Batches that clients have run by a node: over a session (`fetchway:batch`), or over HTTP
//! (`POST /v1/batches`).
//!
//! Both ways begin a batch in `batches`: pieces of JSON lines go in, and the lines of the outcomes come
//! out. Read `params` (the query), `items` (from pieces to items), `lines` (from outcomes to pieces) and
//! `order` (the order of the lines), then the two ways, `stream` and `route`. Over HTTP, the input is read
//! into a `spool` while outcomes wait to be taken, so that a client may send everything before it reads.

mod batches;
mod items;
mod lines;
mod order;
mod params;
mod route;
mod spool;
mod stream;

pub use batches::{Batches, Limits};
