//! The events that the API has received from each client, and waiting for further ones.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::journal::Journal;
use super::request::ApiRequest;

/// Clients remembered. A bench has a hundred thousand; beyond this a new one is answered 503.
const MAX_CLIENTS: usize = 1 << 20;

/// Epochs of one client told apart; the eldest is forgotten first.
const MAX_EPOCHS: usize = 8;

/// Requests recorded; later ones are only counted.
pub(super) const MAX_RECORDED: usize = 4_096;

/// The event that a request stands for, by its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET: a client wants to connect.
    Connect,
    /// POST: a client's message.
    Message,
    /// DELETE: a client is gone.
    Delete,
}

/// A request of a client, as far as the ledger needs it.
pub(super) struct Notice<'a> {
    pub(super) verb: Verb,
    /// The first segment of the path, as it was sent.
    pub(super) id: &'a str,
    /// `Fetchway-Epoch`.
    pub(super) epoch: Option<u64>,
    /// `Fetchway-Sequence`.
    pub(super) sequence: Option<u64>,
}

/// The events of one connection of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Number of the connection; 0 for requests without one.
    pub epoch: u64,
    /// The greatest `Fetchway-Sequence` of a message.
    pub last_sequence: u64,
    /// Set if a DELETE has ended the connection.
    pub deleted: bool,
}

/// The events of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// GETs.
    pub connects: u64,
    /// POSTs.
    pub messages: u64,
    /// DELETEs.
    pub deletes: u64,
    /// The last eight connections of the client, the oldest first.
    pub epochs: Vec<Epoch>,
    /// Messages whose sequence number was below that of one before: late, or again.
    pub out_of_order: u64,
    /// Messages with the sequence number of the one before.
    pub repeated: u64,
    /// Sequence numbers that were passed over.
    pub skipped: u64,
    /// Messages that came after their connection's DELETE.
    pub after_delete: u64,
    /// Set while the client is connected for an API that ignores epochs: any DELETE ends it.
    pub known: bool,
    /// Set while the client is connected for an API that uses epochs: only the DELETE of the last
    /// connection ends it.
    pub known_by_epoch: bool,
}

/// A reading of the API's counters, of all clients together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ApiStats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests begun.
    pub requests: u64,
    /// Requests that wait for a gate or a delay now.
    pub held: u64,
    /// Clients heard of.
    pub clients: u64,
    /// See [`Account::connects`].
    pub connects: u64,
    /// See [`Account::messages`].
    pub messages: u64,
    /// See [`Account::deletes`].
    pub deletes: u64,
    /// See [`Account::out_of_order`].
    pub out_of_order: u64,
    /// See [`Account::repeated`].
    pub repeated: u64,
    /// See [`Account::skipped`].
    pub skipped: u64,
    /// See [`Account::after_delete`].
    pub after_delete: u64,
    /// Clients for which [`Account::known`] holds.
    pub known: u64,
    /// Clients for which [`Account::known_by_epoch`] holds.
    pub known_by_epoch: u64,
}

/// Everything that the API keeps of its requests.
#[derive(Default)]
pub(super) struct Books {
    pub(super) stats: ApiStats,
    accounts: HashMap<Box<str>, Account>,
    pub(super) recorded: Vec<ApiRequest>,
    journal: Option<Journal>,
}

impl Books {
    /// Writes a request to the journal, if there is one, and counts it.
    ///
    /// # Errors
    /// Why the request is refused.
    pub(super) fn enter(&mut self, notice: &Notice<'_>) -> Result<(), &'static str> {
        let written = self.journal.as_mut().map(|journal| journal.append(notice));
        if let Some(Err(_)) = written {
            return Err("the API can't write its account");
        }
        self.reckon(notice)
    }

    /// Counts the requests of a journal, and appends later ones to it.
    pub(super) fn keep(&mut self, path: &Path) -> io::Result<()> {
        let journal = Journal::open(path, |notice| {
            // A request that is refused now was refused when it came.
            let _ = self.reckon(notice);
        })?;
        self.journal = Some(journal);
        Ok(())
    }

    /// Returns the events of a client.
    pub(super) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    fn reckon(&mut self, notice: &Notice<'_>) -> Result<(), &'static str> {
        let sums = &mut self.stats;
        sums.requests += 1;
        if !self.accounts.contains_key(notice.id) {
            if self.accounts.len() >= MAX_CLIENTS {
                return Err("the API remembers no more clients");
            }
            self.accounts.insert(notice.id.into(), Account::default());
            sums.clients += 1;
        }
        let Some(account) = self.accounts.get_mut(notice.id) else {
            return Err("the API has forgotten the client");
        };
        let before = (account.known, account.known_by_epoch);
        match notice.verb {
            Verb::Connect => account.connect(notice, sums),
            Verb::Message => account.message(notice, sums),
            Verb::Delete => account.delete(notice, sums),
        }
        sums.known = sums.known + u64::from(account.known) - u64::from(before.0);
        sums.known_by_epoch =
            sums.known_by_epoch + u64::from(account.known_by_epoch) - u64::from(before.1);
        Ok(())
    }
}

impl Account {
    /// The connection that a request belongs to; requests without an epoch belong to one numbered 0.
    fn epoch(&mut self, epoch: Option<u64>) -> &mut Epoch {
        let epoch = epoch.unwrap_or(0);
        let at = match self.epochs.iter().rposition(|known| known.epoch == epoch) {
            Some(at) => at,
            None => {
                if self.epochs.len() == MAX_EPOCHS {
                    self.epochs.remove(0);
                }
                self.epochs.push(Epoch {
                    epoch,
                    ..Epoch::default()
                });
                self.epochs.len() - 1
            }
        };
        &mut self.epochs[at]
    }

    fn connect(&mut self, notice: &Notice<'_>, sums: &mut ApiStats) {
        sums.connects += 1;
        self.connects += 1;
        (self.known, self.known_by_epoch) = (true, true);
        let number = notice.epoch.unwrap_or(0);
        // It begins anew, also with a number that was there before.
        self.epochs.retain(|known| known.epoch != number);
        self.epoch(notice.epoch);
    }

    fn message(&mut self, notice: &Notice<'_>, sums: &mut ApiStats) {
        sums.messages += 1;
        self.messages += 1;
        let epoch = self.epoch(notice.epoch);
        let (last, deleted) = (epoch.last_sequence, epoch.deleted);
        if deleted {
            self.after_delete += 1;
            sums.after_delete += 1;
        }
        let Some(sequence) = notice.sequence else {
            return;
        };
        if sequence > last {
            self.epoch(notice.epoch).last_sequence = sequence;
            self.skipped += sequence - last - 1;
            sums.skipped += sequence - last - 1;
        } else if sequence == last {
            self.repeated += 1;
            sums.repeated += 1;
        } else {
            self.out_of_order += 1;
            sums.out_of_order += 1;
        }
    }

    fn delete(&mut self, notice: &Notice<'_>, sums: &mut ApiStats) {
        sums.deletes += 1;
        self.deletes += 1;
        self.known = false;
        let epoch = self.epoch(notice.epoch);
        epoch.deleted = true;
        let number = epoch.epoch;
        // The last to connect; its place says so, not its number.
        if self.epochs.last().is_some_and(|last| last.epoch == number) {
            self.known_by_epoch = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(books: &mut Books, verb: Verb, epoch: u64, sequence: u64) {
        let notice = Notice {
            verb,
            id: "a",
            epoch: Some(epoch),
            sequence: Some(sequence),
        };
        books.enter(&notice).expect("there is room");
    }

    #[test]
    fn what_is_late_repeated_or_missing_is_counted() {
        let mut books = Books::default();
        enter(&mut books, Verb::Connect, 7, 0);
        for sequence in [1, 2, 2, 5, 4] {
            enter(&mut books, Verb::Message, 7, sequence);
        }
        let account = books.account("a").expect("it has connected");
        let counted = (account.repeated, account.skipped, account.out_of_order);
        assert_eq!(counted, (1, 2, 1));
        enter(&mut books, Verb::Delete, 7, 6);
        enter(&mut books, Verb::Message, 7, 6);
        assert_eq!(books.stats.after_delete, 1);
    }

    #[test]
    fn a_late_delete_ends_a_client_only_for_an_api_without_epochs() {
        let mut books = Books::default();
        for (verb, epoch) in [(Verb::Connect, 1), (Verb::Connect, 2), (Verb::Delete, 1)] {
            enter(&mut books, verb, epoch, 0);
        }
        let stats = books.stats;
        assert_eq!((stats.known, stats.known_by_epoch), (0, 1));
        enter(&mut books, Verb::Delete, 2, 0);
        assert_eq!(books.stats.known_by_epoch, 0);
    }
}
