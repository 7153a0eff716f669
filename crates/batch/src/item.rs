//! One fetch of a batch, as its input asks for it.

use bytes::Bytes;
use fetchway_policy::FetchError;
use fetchway_wire::json::Id;

/// One item of a batch.
#[derive(Clone, Debug)]
pub struct Item {
    /// Position in the input, from 0.
    pub index: u64,
    /// Which of its pages this is: 0 for the item itself, 1 for the page that its response names.
    pub depth: u32,
    /// Id from the input: any JSON value except `null`.
    pub id: Option<Id>,
    /// The URL as the input has it; of a line that is wrong, an excerpt of the line.
    pub url: String,
    /// The request, or the error of a line that is not a valid request (`invalid_request`).
    pub request: Result<Request, FetchError>,
    /// Of all that the input says of it: the same item has the same one in every run, and so have its
    /// pages.
    pub fingerprint: u64,
}

/// The request of an item.
pub type Request = fetchway_policy::Request<Bytes>;
