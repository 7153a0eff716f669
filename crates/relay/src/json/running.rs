//! The fetches of a session that are in progress, by id. The code that takes a fetch out answers it, so each
//! is answered exactly once: by its end or by a cancel.

use std::collections::HashMap;

use fetchway_wire::json::{Id, Timing};
use tokio::task::AbortHandle;

/// A fetch in progress.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Number of the message that began the fetch. Several fetches may have the same id.
    pub(crate) serial: u64,
    pub(crate) id: Id,
    pub(crate) start: u64,
    pub(crate) task: AbortHandle,
}

impl Entry {
    /// Returns the timing of the fetch if it ends at `end`.
    pub(crate) fn timing(&self, end: u64) -> Timing {
        Timing {
            start: self.start,
            end,
        }
    }
}

/// All fetches in progress.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Usually an id belongs to one fetch at a time.
    by_id: HashMap<Box<str>, Same>,
    count: usize,
}

#[derive(Debug)]
enum Same {
    One(Entry),
    Many(Vec<Entry>),
}

impl Running {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        use std::collections::hash_map::Entry as Slot;
        self.count += 1;
        match self.by_id.entry(entry.id.key().into()) {
            Slot::Vacant(slot) => {
                slot.insert(Same::One(entry));
            }
            Slot::Occupied(mut slot) => {
                let same = std::mem::replace(slot.get_mut(), Same::Many(Vec::new()));
                let mut many = match same {
                    Same::One(one) => vec![one],
                    Same::Many(many) => many,
                };
                many.push(entry);
                *slot.get_mut() = Same::Many(many);
            }
        }
    }

    /// Takes out the fetch `serial` of the id with this key, unless it has been taken before.
    pub(crate) fn take(&mut self, key: &str, serial: u64) -> Option<Entry> {
        let entry = match self.by_id.get_mut(key)? {
            Same::One(one) if one.serial != serial => return None,
            Same::One(_) => match self.by_id.remove(key)? {
                Same::One(one) => one,
                Same::Many(_) => return None,
            },
            Same::Many(many) => {
                let at = many.iter().position(|entry| entry.serial == serial)?;
                let entry = many.swap_remove(at);
                if many.is_empty() {
                    self.by_id.remove(key);
                }
                entry
            }
        };
        self.count -= 1;
        Some(entry)
    }

    /// Takes out every fetch of the id with this key.
    pub(crate) fn take_all_of(&mut self, key: &str) -> Vec<Entry> {
        let taken = match self.by_id.remove(key) {
            None => Vec::new(),
            Some(Same::One(one)) => vec![one],
            Some(Same::Many(many)) => many,
        };
        self.count -= taken.len();
        taken
    }

    /// Ends all fetches without an answer, because their session is over.
    pub(crate) fn abort_all(&mut self) {
        for same in std::mem::take(&mut self.by_id).into_values() {
            match same {
                Same::One(one) => one.task.abort(),
                Same::Many(many) => many.iter().for_each(|entry| entry.task.abort()),
            }
        }
        self.count = 0;
    }
}
