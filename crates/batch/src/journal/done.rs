//! The items that an output has: one bit for each, and for each page of items a sum that shows whether the
//! input's items are still the ones that were fetched.

use std::collections::BTreeMap;

use super::chains::Chains;
use crate::Item;
use crate::fingerprint::mixed;
use crate::line::Record;

/// Number of items of a page. A page with its sum takes 1.03 bits for each item.
pub(super) const PAGE: u64 = 4096;

type Bits = [u64; (PAGE / 64) as usize];

/// The items that an output has and that need not be fetched again, and the pages that follow them.
#[derive(Default)]
pub struct DoneItems {
    pages: BTreeMap<u64, Page>,
    seen: u64,
    again: u64,
    chains: Chains,
}

struct Page {
    /// Items that have a line.
    seen: Bits,
    /// The items among `seen` that are to be fetched again.
    again: Option<Box<Bits>>,
    /// Sum of `mixed` over all lines.
    sum: u64,
}

impl DoneItems {
    /// Returns no items, of an output whose chains of pages are followed to depth `most`.
    pub(super) fn following(most: u32) -> Self {
        Self {
            chains: Chains::new(most),
            ..Self::default()
        }
    }

    /// Returns what is left to fetch of an item: the item itself, the page that its last line names, or nothing.
    #[must_use]
    pub fn next_of(&self, item: Item) -> Option<Item> {
        match self.contains(item.index) {
            true => self.chains.next_of(item),
            false => Some(item),
        }
    }

    /// Returns true if the item itself needs no fetch. A page that follows it may need one.
    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        let Some(page) = self.pages.get(&(index / PAGE)) else {
            return false;
        };
        let again = page.again.as_ref().is_some_and(|bits| has(bits, index));
        has(&page.seen, index) && !again
    }

    /// Number of items that need no fetch, nor a page that follows them.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.seen - self.again - self.chains.open()
    }

    /// Number of items with a page that is to be fetched.
    pub(super) fn to_come(&self) -> u64 {
        self.chains.open()
    }

    /// Returns true if the item or page of a line is fetched again when failures are.
    pub(super) fn is_retried(&self, record: &Record) -> bool {
        record.failed && self.chains.reach(record.depth)
    }

    /// Returns true if every item needs a fetch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Enters a line; `again` if its item or page is to be fetched once more. Returns false if that item or page
    /// has a line already, or is a page that no line before it names.
    pub(super) fn enter(&mut self, record: Record, again: bool) -> bool {
        if record.depth > 0 {
            return self.contains(record.index) && self.chains.enter(record, again);
        }
        let page = self
            .pages
            .entry(record.index / PAGE)
            .or_insert_with(|| Page {
                seen: [0; _],
                again: None,
                sum: 0,
            });
        if has(&page.seen, record.index) {
            return false;
        }
        set(&mut page.seen, record.index);
        page.sum = page
            .sum
            .wrapping_add(mixed(record.index, record.fingerprint));
        self.seen += 1;
        if again {
            set(
                page.again.get_or_insert_with(|| Box::new([0; _])),
                record.index,
            );
            self.again += 1;
        }
        self.chains.enter(record, again)
    }

    /// Index of the highest item that has a line.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        let (number, page) = self.pages.last_key_value()?;
        let word = page.seen.iter().rposition(|word| *word != 0)?;
        let bit = 63 - u64::from(page.seen[word].leading_zeros());
        Some(number * PAGE + word as u64 * 64 + bit)
    }

    /// Returns true if the lines of page `number` are of the input's items, whose fingerprints these are. An
    /// item that has a line but no fingerprint counts as another item.
    pub(super) fn page_is_of(&self, number: u64, fingerprints: &[u64]) -> bool {
        let Some(page) = self.pages.get(&number) else {
            return true;
        };
        let mut sum = 0_u64;
        for at in (0..PAGE).filter(|at| has(&page.seen, *at)) {
            let Some(fingerprint) = fingerprints.get(at as usize) else {
                return false;
            };
            sum = sum.wrapping_add(mixed(number * PAGE + at, *fingerprint));
        }
        sum == page.sum
    }
}

fn has(bits: &Bits, index: u64) -> bool {
    bits[(index % PAGE / 64) as usize] >> (index % 64) & 1 == 1
}

fn set(bits: &mut Bits, index: u64) {
    bits[(index % PAGE / 64) as usize] |= 1 << (index % 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> Record {
        Record {
            depth: 0,
            next: None,
            index,
            fingerprint: index.wrapping_mul(7),
            failed: false,
        }
    }

    #[test]
    fn it_has_what_was_entered_once() {
        let mut done = DoneItems::default();
        let indexes = [0, 63, 64, 4_095, 4_096, 100_000, 1 << 60];
        for index in indexes {
            assert!(done.enter(record(index), false));
            assert!(!done.enter(record(index), false), "twice");
            assert_eq!(done.highest(), Some(index));
        }
        assert_eq!(done.len(), 7);
        for index in indexes {
            assert!(done.contains(index) && !done.contains(index + 7));
        }
    }

    #[test]
    fn what_is_to_be_fetched_again_is_not_done_but_still_checked() {
        let mut done = DoneItems::default();
        done.enter(record(3), true);
        done.enter(record(4), false);
        assert!(!done.contains(3) && done.contains(4));
        assert_eq!(done.len(), 1);
        assert!(!done.page_is_of(0, &[0, 0, 0, 0, 28]));
        assert!(done.page_is_of(0, &[0, 0, 0, 21, 28]));
    }

    #[test]
    fn a_page_knows_its_items() {
        let mut done = DoneItems::default();
        for index in [PAGE, PAGE + 2] {
            done.enter(record(index), false);
        }
        let of = |at: u64| (PAGE + at) * 7;
        assert!(done.page_is_of(1, &[of(0), 99, of(2), 5]));
        assert!(!done.page_is_of(1, &[of(2), 99, of(0)]), "swapped");
        assert!(!done.page_is_of(1, &[of(0), 99]), "too short");
        assert!(done.page_is_of(0, &[]) && done.page_is_of(2, &[]));
    }
}
