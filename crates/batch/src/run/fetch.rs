//! One fetch of a run: an item, or a page that follows it.

use fetchway_dispatch::{Dispatchable, Pending};
use fetchway_wire::json::Id;
use url::{Position, Url};

use crate::follow;
use crate::item::Request;

/// Bytes that a fetch takes beside its URL, fields and body.
const FETCH_WEIGHT: usize = 512;

/// A fetch on its way through a run.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// Place of the item in the input.
    pub(crate) index: u64,
    /// Page of the item, 0 for the item itself.
    pub(crate) depth: u32,
    pub(crate) id: Option<Id>,
    pub(crate) url: String,
    pub(crate) fingerprint: u64,
    pub(crate) request: Request,
    /// Tries in which at least one request was sent.
    pub(crate) attempts: u32,
    /// Number of responses of 429.
    pub(crate) refusals: u32,
}

impl Fetch {
    /// The fetch of `url`, the page that the response to this fetch names.
    pub(crate) fn page(&self, url: &Url) -> Box<Pending<Self>> {
        let left = follow::leaves(&self.request.url, url);
        Pending::new(Self {
            index: self.index,
            depth: self.depth + 1,
            id: self.id.clone(),
            url: url.to_string(),
            fingerprint: self.fingerprint,
            request: follow::for_page(&self.request, url.clone(), left),
            attempts: 0,
            refusals: 0,
        })
    }
}

impl Dispatchable for Fetch {
    /// Scheme, host and port, the default port left out.
    fn origin(&self) -> &str {
        &self.request.url[..Position::BeforePath]
    }

    fn weight(&self) -> usize {
        let fields = self.request.headers.iter();
        let fields: usize = fields.map(|(n, v)| n.as_str().len() + v.len()).sum();
        FETCH_WEIGHT + 2 * self.url.len() + fields + self.request.body.len()
    }

    fn continues(&self) -> bool {
        self.depth > 0
    }
}
