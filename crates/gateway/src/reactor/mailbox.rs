//! Work for a reactor from any thread.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The way to a reactor, in order.
///
/// The number of entries is bounded by what they are about: a few for each connection of a client, and
/// one for each task of the reactor.
pub(crate) struct Mailbox<W> {
    mail: Mutex<Vec<Mail<W>>>,
    arrived: Notify,
}

/// Something for a reactor to do.
pub(super) enum Mail<W> {
    Work(W),
    Sweep,
    Stop,
}

impl<W> Default for Mailbox<W> {
    fn default() -> Self {
        Self {
            mail: Mutex::default(),
            arrived: Notify::new(),
        }
    }
}

impl<W> Mailbox<W> {
    /// Hands work to the reactor, and wakes it.
    pub(crate) fn send(&self, work: W) {
        self.put(Mail::Work(work));
    }

    /// Ends the reactor.
    pub(crate) fn stop(&self) {
        self.put(Mail::Stop);
    }

    pub(super) fn put(&self, mail: Mail<W>) {
        self.mail.lock().push(mail);
        self.wake();
    }

    /// Has the reactor take a turn, even without mail.
    pub(super) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Waits until there may be mail.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Exchanges an empty list for all mail that has arrived.
    pub(super) fn take(&self, mail: &mut Vec<Mail<W>>) {
        std::mem::swap(&mut *self.mail.lock(), mail);
    }
}
