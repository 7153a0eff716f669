//! Values with a small number each, which is free for another one when its value is removed.

/// Numbered values. A number fits in a socket's token.
pub(crate) struct Slots<T> {
    /// An `Option` of a pointer takes 8 bytes, where an entry of the crate `slab` takes 16: there is one
    /// for each idle client.
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Adds a value and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.values[slot as usize] = Some(value);
            return slot;
        }
        self.values.push(Some(value));
        self.values.len() as u32 - 1
    }

    /// Removes a value, if there is one at `slot`.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let removed = self.values.get_mut(slot as usize)?.take();
        if removed.is_some() {
            self.free.push(slot);
        }
        removed
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.values.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.values.get_mut(slot as usize)?.as_mut()
    }

    /// All slots with their values, the free ones too.
    pub(crate) fn all(&self) -> &[Option<T>] {
        &self.values
    }
}
