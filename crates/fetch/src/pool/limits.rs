//! The state that all connections of an engine share, with the bound on idle ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::PoolConfig;
use crate::dial::Dialer;
use crate::observe::Observer;

/// The state that all connections of an engine share.
pub(crate) struct Pool {
    pub(crate) dialer: Dialer,
    pub(crate) config: PoolConfig,
    pub(crate) observer: Arc<dyn Observer>,
    idle: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer, config: PoolConfig, observer: Arc<dyn Observer>) -> Self {
        Self {
            dialer,
            config,
            observer,
            idle: AtomicUsize::new(0),
        }
    }

    /// Takes a place for one more idle connection, if there is room.
    pub(super) fn idle_place(self: &Arc<Self>) -> Option<IdlePlace> {
        let before = self.idle.fetch_add(1, Ordering::Relaxed);
        let place = IdlePlace(self.clone());
        (before < self.config.idle_total).then_some(place)
    }
}

/// One of the places for idle connections, which is free again when dropped.
pub(super) struct IdlePlace(Arc<Pool>);

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::Relaxed);
    }
}
