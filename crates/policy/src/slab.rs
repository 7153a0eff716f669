//! Storage of the pure machines: a slab with generations, and lists chained through its entries.
//!
//! Both reuse their memory, so a machine in its steady state allocates nothing, and an entry can leave the
//! middle of a queue without a search.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// No entry.
pub(crate) const NIL: u32 = u32::MAX;

/// Entries with stable numbers. A number may be used again; with its generation it is unique.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    /// Stores `value` and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NIL {
            let at = u32::try_from(self.slots.len()).expect("fewer than 2^32 entries");
            assert!(at != NIL, "fewer than 2^32 - 1 entries");
            self.slots.push(Slot {
                generation: 0,
                next_free: NIL,
                value: Some(value),
            });
            return at;
        }
        let at = self.free;
        let slot = &mut self.slots[at as usize];
        self.free = slot.next_free;
        slot.value = Some(value);
        at
    }

    /// Removes entry `at`, which ends its generation.
    pub(crate) fn remove(&mut self, at: u32) -> T {
        let slot = &mut self.slots[at as usize];
        let value = slot.value.take().expect("a slab entry is removed once");
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = self.free;
        self.free = at;
        self.len -= 1;
        value
    }

    /// The current generation of entry `at`.
    pub(crate) fn generation(&self, at: u32) -> u32 {
        self.slots[at as usize].generation
    }

    /// Returns true if `at` is still the entry that it was in `generation`.
    pub(crate) fn holds(&self, at: u32, generation: u32) -> bool {
        self.slots
            .get(at as usize)
            .is_some_and(|slot| slot.generation == generation && slot.value.is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..)
            .zip(&self.slots)
            .filter_map(|(at, slot)| Some((at, slot.value.as_ref()?)))
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        self.slots[at as usize]
            .value
            .as_ref()
            .expect("a live slab entry")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.slots[at as usize]
            .value
            .as_mut()
            .expect("a live slab entry")
    }
}

/// An entry's neighbours in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self {
        prev: NIL,
        next: NIL,
    };
}

/// An entry that can be in one list of kind `C` at a time.
pub(crate) trait Linked<C> {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// A list that is chained through the entries of a slab. Its owner knows which entries are in it.
#[derive(Debug)]
pub(crate) struct List<C> {
    head: u32,
    tail: u32,
    kind: PhantomData<C>,
}

impl<C> List<C> {
    pub(crate) const fn new() -> Self {
        Self {
            head: NIL,
            tail: NIL,
            kind: PhantomData,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    /// The entry after `at`.
    pub(crate) fn after<T: Linked<C>>(&self, slab: &Slab<T>, at: u32) -> Option<u32> {
        let next = slab[at].links().next;
        (next != NIL).then_some(next)
    }

    /// The entry before `at`.
    pub(crate) fn before<T: Linked<C>>(&self, slab: &Slab<T>, at: u32) -> Option<u32> {
        let prev = slab[at].links().prev;
        (prev != NIL).then_some(prev)
    }

    pub(crate) fn push_back<T: Linked<C>>(&mut self, slab: &mut Slab<T>, at: u32) {
        self.insert_after(slab, self.tail, at);
    }

    /// Inserts `at` behind `left`, or at the front if `left` is [`NIL`].
    pub(crate) fn insert_after<T: Linked<C>>(&mut self, slab: &mut Slab<T>, left: u32, at: u32) {
        let right = if left == NIL {
            std::mem::replace(&mut self.head, at)
        } else {
            std::mem::replace(&mut slab[left].links_mut().next, at)
        };
        if right == NIL {
            self.tail = at;
        } else {
            slab[right].links_mut().prev = at;
        }
        *slab[at].links_mut() = Links {
            prev: left,
            next: right,
        };
    }

    pub(crate) fn remove<T: Linked<C>>(&mut self, slab: &mut Slab<T>, at: u32) {
        let Links { prev, next } = std::mem::replace(slab[at].links_mut(), Links::NONE);
        if prev == NIL {
            self.head = next;
        } else {
            slab[prev].links_mut().next = next;
        }
        if next == NIL {
            self.tail = prev;
        } else {
            slab[next].links_mut().prev = prev;
        }
    }

    pub(crate) fn pop_front<T: Linked<C>>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        let at = self.front()?;
        self.remove(slab, at);
        Some(at)
    }
}
