//! Results that tasks bring back to the reactor that has spawned them.

use std::sync::Arc;

use fetchway_fetch::{Hold, Opened};
use fetchway_policy::FetchError;

use super::item::Item;
use super::reply::Reply;

/// Sends an event to the reactor.
pub(crate) type Notify<C> = Arc<dyn Fn(ApiEvent<C>) + Send + Sync>;

/// The result of a task.
pub(crate) enum ApiEvent<C> {
    /// A connection to the API was dialled.
    Dialled(Result<Opened, FetchError>),
    /// There is room for more of a response.
    Granted(Granted),
    /// An item went through the engine.
    Finished(Finished<C>),
}

/// Room for more of a response.
pub(crate) struct Granted {
    /// The slot of the connection, and its serial number.
    pub(super) slot: u32,
    pub(super) serial: u64,
    pub(super) stream: u32,
    pub(super) bytes: u64,
    pub(super) hold: Hold,
}

/// An item that the API has taken, or that is lost: then there is no reply.
pub(crate) struct Finished<C> {
    pub(crate) client: C,
    pub(crate) item: Item,
    pub(crate) reply: Option<Reply>,
}
