//! A value that can be waited for.

use std::pin::pin;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// A value behind a lock, and a notice of each change for those who wait.
#[derive(Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    /// Locks the value to read it. A change through the guard would not be noticed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock()
    }

    /// Changes the value, and notifies those who wait.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let returned = change(&mut self.value.lock());
        self.changed.notify_waiters();
        returned
    }

    /// Waits until `find` finds something in the value, and returns that.
    pub(crate) async fn until<R>(&self, mut find: impl FnMut(&T) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Enabled before the value is read, so that no change in between is missed.
            changed.as_mut().enable();
            if let Some(found) = find(&self.value.lock()) {
                return found;
            }
            changed.await;
        }
    }
}
