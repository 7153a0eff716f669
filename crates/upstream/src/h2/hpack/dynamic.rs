//! The table that a server fills with fields that it repeats (RFC 7541 section 2.3.2).

use std::collections::VecDeque;

use super::super::field::Meaning;
use super::{OVERHEAD, TABLE_SIZE};

/// Fields by age, their text in one buffer, so that a field's place costs no allocation.
#[derive(Debug)]
pub(super) struct Dynamic {
    entries: VecDeque<Entry>,
    /// The text of all entries, the oldest first, behind that of entries that are gone.
    text: Vec<u8>,
    gone: usize,
    /// As the specification counts it: with [`OVERHEAD`] for each.
    size: usize,
    max: usize,
}

#[derive(Debug)]
struct Entry {
    name: usize,
    value: usize,
    meaning: Meaning,
}

impl Entry {
    fn text(&self) -> usize {
        self.name + self.value
    }
}

impl Dynamic {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            text: Vec::new(),
            gone: 0,
            size: 0,
            max: TABLE_SIZE,
        }
    }

    /// Makes the table no larger than `max`, which is at most [`TABLE_SIZE`].
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.evict(0);
    }

    /// Enters a field. One that is too large for the table empties it (section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], meaning: Meaning) {
        let need = name.len() + value.len() + OVERHEAD;
        self.evict(need);
        if need > self.max {
            return;
        }
        if self.gone > TABLE_SIZE {
            self.text.drain(..self.gone);
            self.gone = 0;
        }
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.size += need;
        self.entries.push_back(Entry {
            name: name.len(),
            value: value.len(),
            meaning,
        });
    }

    /// Lets the oldest go until there is room for `need`, or nothing left.
    fn evict(&mut self, need: usize) {
        while self.size + need > self.max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.gone += oldest.text();
            self.size -= oldest.text() + OVERHEAD;
        }
        if self.entries.is_empty() {
            self.text.clear();
            self.gone = 0;
        }
    }

    /// Name, value and meaning of the entry with this index, 0 for the newest.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8], &Meaning)> {
        let at = self.entries.len().checked_sub(index + 1)?;
        // From the end, as the newest are asked for the most.
        let behind: usize = self.entries.range(at + 1..).map(Entry::text).sum();
        let entry = &self.entries[at];
        let end = self.text.len() - behind;
        let text = &self.text[end - entry.text()..end];
        let (name, value) = text.split_at(entry.name);
        Some((name, value, &entry.meaning))
    }
}
