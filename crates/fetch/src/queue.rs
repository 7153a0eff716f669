//! A fetch takes its place in the queues of its lane and origin.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fetchway_policy::FetchError;

use crate::admit::{Asking, Turn};
use crate::defaults;
use crate::end::End;
use crate::engine::Inner;
use crate::pool::Site;
use crate::request::FetchRequest;
use crate::session::Session;

/// What a request weighs in its lane's queue beside its body and fields, in bytes.
pub(crate) const REQUEST_WEIGHT: usize = 1 << 10;

/// A fetch that has its place in the queues, or leave already. Dropping it cancels it.
pub struct Queued {
    /// Boxed, as it is moved from future to future.
    pub(crate) request: Box<FetchRequest>,
    /// Counts the bytes sent of the request's body.
    pub(crate) sent: Arc<AtomicU64>,
    pub(crate) end: End,
    /// Or why it has none.
    pub(crate) place: Result<Place, FetchError>,
}

/// Where the next send goes, and when.
pub(crate) struct Place {
    pub(crate) site: Arc<Site>,
    pub(crate) turn: Turn,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queued").field(&self.request).finish()
    }
}

impl Queued {
    pub(crate) fn new(engine: &Inner, session: &Session, mut request: FetchRequest) -> Self {
        let sent = Arc::default();
        let end = End::begin(engine.observer.clone(), request.lane, Arc::clone(&sent));
        defaults::set(&mut request, &engine.user_agent);
        let place = ask(engine, session, &request, false);
        Self {
            request: Box::new(request),
            sent,
            end,
            place,
        }
    }
}

/// Asks for the next send of a request. `again`: it had leave before, for an earlier hop or try.
pub(crate) fn ask(
    engine: &Inner,
    session: &Session,
    request: &FetchRequest,
    again: bool,
) -> Result<Place, FetchError> {
    let site = session.network.site(&request.url)?;
    let fields = request.headers.iter();
    let fields: usize = fields.map(|(n, v)| n.as_str().len() + v.len()).sum();
    let asking = Asking {
        lane: request.lane,
        session: session.id,
        bytes: REQUEST_WEIGHT + fields + request.url.as_str().len() + request.body.weight(),
        again,
    };
    let turn = engine.gate.ask(&site.origin, asking)?;
    Ok(Place { site, turn })
}
