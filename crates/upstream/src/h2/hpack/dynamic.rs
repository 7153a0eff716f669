//! The dynamic table, which a server fills with repeated fields (RFC 7541 section 2.3.2).

use std::collections::VecDeque;

use super::super::field::Meaning;
use super::{OVERHEAD, TABLE_SIZE};

/// Fields in the order of their age. Their text is in one buffer, so adding a field needs no
/// allocation.
#[derive(Debug)]
pub(super) struct Dynamic {
    entries: VecDeque<Entry>,
    /// Text of all entries, the oldest first, after the text of `gone` bytes of evicted entries.
    text: Vec<u8>,
    gone: usize,
    /// Size as the specification counts it, with [`OVERHEAD`] for each entry.
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

    /// Limits the table to `max` bytes, at most [`TABLE_SIZE`].
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.evict(0);
    }

    /// Adds a field. A field that is too large for the table empties it (section 4.4).
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

    /// Evicts the oldest entries until there is room for `need` bytes, or the table is empty.
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

    /// Returns name, value and meaning of the entry at this index; 0 is the newest.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8], &Meaning)> {
        let at = self.entries.len().checked_sub(index + 1)?;
        // The search starts at the end, because the newest entries are used most.
        let behind: usize = self.entries.range(at + 1..).map(Entry::text).sum();
        let entry = &self.entries[at];
        let end = self.text.len() - behind;
        let text = &self.text[end - entry.text()..end];
        let (name, value) = text.split_at(entry.name);
        Some((name, value, &entry.meaning))
    }
}
