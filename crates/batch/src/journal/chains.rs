//! Pages that follow one another: which an output has, and which of them is to come.
//!
//! A chain that is at its end costs nothing. One that is not costs its URL, as long as it is not.

use std::collections::HashMap;

use fetchway_policy::redirect::parse_url;

use crate::Item;
use crate::follow;
use crate::line::Record;

/// The chains of an output.
#[derive(Default)]
pub(super) struct Chains {
    /// The highest depth of a page that is fetched. Beyond it nothing is kept of a chain.
    most: u32,
    /// Chains that are not at their end, by item.
    open: HashMap<u64, Open>,
}

/// The next page of a chain.
struct Open {
    depth: u32,
    url: Box<str>,
    /// Somewhere before it the chain has left the origin that it began at.
    left: bool,
}

impl Chains {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            open: HashMap::new(),
        }
    }

    /// Whether a page of this depth is fetched.
    pub(super) fn reach(&self, depth: u32) -> bool {
        depth <= self.most
    }

    /// How many are not at their end.
    pub(super) fn open(&self) -> u64 {
        self.open.len() as u64
    }

    /// Enters a line, an item's own or a page's; `again` if that is to be fetched once more. False if it
    /// is no page that is to come: it has a line already, or none names it.
    pub(super) fn enter(&mut self, record: Record, again: bool) -> bool {
        let Record { index, depth, .. } = record;
        let mut left = false;
        if depth > 0 && self.reach(depth) {
            match self.open.get(&index) {
                Some(open) if open.depth == depth => left = open.left,
                _ => return false,
            }
            if again {
                return true;
            }
            self.open.remove(&index);
        }
        if let Some(next) = record.next
            && depth < self.most
        {
            let open = Open {
                depth: depth + 1,
                url: next.url,
                left: left || next.leaves,
            };
            self.open.insert(index, open);
        }
        true
    }

    /// Returns the next page of an item, unless its chain has ended.
    pub(super) fn next_of(&self, item: Item) -> Option<Item> {
        let open = self.open.get(&item.index)?;
        let request = item.request.and_then(|request| {
            let url = parse_url(&open.url)?;
            Ok(follow::for_page(&request, url, open.left))
        });
        Some(Item {
            depth: open.depth,
            url: open.url.to_string(),
            request,
            ..item
        })
    }
}
