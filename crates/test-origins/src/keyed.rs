//! State of the origin under a key of the caller: gates, and the number of requests to `/fail`.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::query::BadQuery;

/// Keys remembered of each sort. A test needs a few; the bound keeps a stray client from filling
/// the memory. Beyond it a new key is answered 400.
const MAX_KEYS: usize = 4_096;

/// Gates by key. A gate that is opened stays open.
#[derive(Default)]
pub(crate) struct Gates(Mutex<HashMap<String, watch::Sender<bool>>>);

impl Gates {
    /// A future that ends when the gate is open.
    pub(crate) fn waiter(
        &self,
        key: &str,
    ) -> Result<impl Future<Output = ()> + Send + use<>, BadQuery> {
        let mut gates = self.0.lock();
        let mut gate = entry(&mut gates, key)?.subscribe();
        Ok(async move {
            if gate.wait_for(|open| *open).await.is_err() {
                // The origin is gone, and with it whoever could open: the task is about to be ended.
                std::future::pending::<()>().await;
            }
        })
    }

    /// Opens a gate, also one nobody has asked for yet.
    pub(crate) fn open(&self, key: &str) -> Result<(), BadQuery> {
        entry(&mut self.0.lock(), key)?.send_replace(true);
        Ok(())
    }
}

/// Requests so far by key.
#[derive(Default)]
pub(crate) struct Visits(Mutex<HashMap<String, u64>>);

impl Visits {
    /// How often that key had come before; counts this time.
    pub(crate) fn next(&self, key: &str) -> Result<u64, BadQuery> {
        let mut visits = self.0.lock();
        let count = entry(&mut visits, key)?;
        *count += 1;
        Ok(*count - 1)
    }
}

fn entry<'m, V: Default>(
    map: &'m mut HashMap<String, V>,
    key: &str,
) -> Result<&'m mut V, BadQuery> {
    if map.len() >= MAX_KEYS && !map.contains_key(key) {
        return Err(BadQuery(format!(
            "{MAX_KEYS} keys are in use already; use one of them again"
        )));
    }
    Ok(map.entry(key.to_owned()).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_known_ones_go_on() {
        let visits = Visits::default();
        for key in 0..MAX_KEYS {
            assert_eq!(visits.next(&key.to_string()).expect("within the bound"), 0);
        }
        assert!(visits.next("one more").is_err());
        assert_eq!(visits.next("7").expect("known"), 1);
    }

    #[tokio::test]
    async fn a_gate_opened_before_or_after_lets_through() {
        let gates = Gates::default();
        let waiting = gates.waiter("a").expect("within the bound");
        gates.open("a").expect("within the bound");
        waiting.await;
        gates.waiter("a").expect("known").await;
    }
}
