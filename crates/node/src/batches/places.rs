//! How many batches of one credential run at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Counts = Arc<Mutex<HashMap<Arc<str>, usize>>>;

/// The places of every credential. One that has no batches takes no memory.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Counts,
}

/// One batch's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    name: Arc<str>,
    taken: Counts,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Counts::default(),
        }
    }

    /// A place for one more batch of whoever is called `name`, if there is one.
    pub(super) fn take(&self, name: &Arc<str>) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(Arc::clone(name)).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            name: Arc::clone(name),
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.name);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_has_its_own_and_gets_them_back() {
        let places = Places::new(2);
        let (ann, bob) = (Arc::from("ann"), Arc::from("bob"));
        let first = places.take(&ann);
        let second = places.take(&ann);
        assert!(first.is_some() && second.is_some() && places.take(&ann).is_none());
        assert!(places.take(&bob).is_some());
        drop(first);
        assert!(places.take(&ann).is_some());
        drop(second);
        assert!(lock(&places.taken).is_empty());
    }
}
