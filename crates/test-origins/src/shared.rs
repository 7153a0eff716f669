//! The state that the routes of an origin share.

use std::sync::Arc;

use crate::keyed::{Gates, Visits};
use crate::stats::Counters;

/// The state that the routes of an origin share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) counters: Arc<Counters>,
    pub(crate) gates: Gates,
    pub(crate) visits: Visits,
}
