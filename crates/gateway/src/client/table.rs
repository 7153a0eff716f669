//! The connections of a gateway by their client ids.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Connection;
use crate::config::Config;
use crate::observe::Connected;

/// Number of parts of the table. Each has a lock of its own.
const SHARDS: usize = 16;

/// Time for which an id that has gone is remembered, to tell a late push from a wrong one.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Number of gone ids remembered in each shard. Beyond it further ones are not.
const MAX_REMEMBERED: usize = 4_096;

/// All connections with one id, from before the API is asked until it has heard of their ends.
enum Entry {
    One(Arc<Connection>),
    /// Never empty.
    Many(Vec<Arc<Connection>>),
}

impl Entry {
    fn connections(&self) -> &[Arc<Connection>] {
        match self {
            Self::One(connection) => std::slice::from_ref(connection),
            Self::Many(connections) => connections,
        }
    }

    fn id(&self) -> &str {
        self.connections()
            .first()
            .map_or("", |connection| &connection.id)
    }
}

impl Borrow<str> for Entry {
    fn borrow(&self) -> &str {
        self.id()
    }
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Entry {}

#[derive(Default)]
struct Shard {
    entries: HashSet<Entry>,
    gone: HashMap<u64, Instant>,
}

/// The connections of a gateway.
#[derive(Default)]
pub(crate) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// Number of connections in all shards, and a notice that it has become zero.
    len: AtomicUsize,
    emptied: Notify,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// Number of clients that have or may get a socket.
    clients: AtomicUsize,
    /// The shard that is swept next.
    next_swept: AtomicUsize,
}

impl Table {
    fn shard(&self, id: &str) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(id);
        (self.shards[hash as usize % SHARDS].lock(), hash)
    }

    /// Adds a connection, and returns those that have its id already. Returns nothing, and adds nothing, if
    /// the connection is to be `alone` and some of the others have not ended.
    pub(crate) fn insert(
        &self,
        connection: &Arc<Connection>,
        alone: bool,
    ) -> Option<Vec<Arc<Connection>>> {
        let (mut shard, hash) = self.shard(&connection.id);
        let others = shard.entries.get(&*connection.id).map(Entry::connections);
        let others = others.map_or_else(Vec::new, <[_]>::to_vec);
        if alone && others.iter().any(|other| !other.has_ended()) {
            return None;
        }
        shard.gone.remove(&hash);
        shard.entries.take(&*connection.id);
        let entry = if others.is_empty() {
            Entry::One(connection.clone())
        } else {
            let mut all = others.clone();
            all.push(connection.clone());
            Entry::Many(all)
        };
        shard.entries.insert(entry);
        self.len.fetch_add(1, Relaxed);
        Some(others)
    }

    /// Removes a connection. `was_open`: pushes that come late learn that it has just gone.
    pub(crate) fn remove(&self, connection: &Arc<Connection>, was_open: bool) {
        let (mut shard, hash) = self.shard(&connection.id);
        let Some(entry) = shard.entries.take(&*connection.id) else {
            return;
        };
        let mut others = entry.connections().to_vec();
        others.retain(|other| !Arc::ptr_eq(other, connection));
        // Asked for only while nobody has the id.
        if was_open && shard.gone.len() < MAX_REMEMBERED {
            shard.gone.insert(hash, Instant::now());
        }
        if others.len() > 1 {
            shard.entries.insert(Entry::Many(others));
        } else {
            shard.entries.extend(others.pop().map(Entry::One));
        }
        drop(shard);
        if self.len.fetch_sub(1, Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Returns the connections with an id, the oldest first.
    pub(crate) fn find(&self, id: &str) -> Vec<Arc<Connection>> {
        self.with(id, <[_]>::to_vec)
    }

    /// Calls `act` with the connections with an id, while none can come or go.
    pub(crate) fn with<T>(&self, id: &str, act: impl FnOnce(&[Arc<Connection>]) -> T) -> T {
        let (shard, _) = self.shard(id);
        act(shard.entries.get(id).map_or(&[], Entry::connections))
    }

    /// Returns true if a client with this id has just gone.
    pub(crate) fn has_just_gone(&self, id: &str) -> bool {
        let (shard, hash) = self.shard(id);
        shard
            .gone
            .get(&hash)
            .is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// Forgets ids that have been gone for long, in the next shard.
    pub(crate) fn sweep(&self) {
        let next = self.next_swept.fetch_add(1, Relaxed) % SHARDS;
        let mut shard = self.shards[next].lock();
        shard.gone.retain(|_, at| at.elapsed() < REMEMBERED);
    }

    /// Returns all connections.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            all.extend(shard.entries.iter().flat_map(|e| e.connections().to_vec()));
        }
        all
    }

    /// Returns true if there is no connection.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// Waits until there is no connection.
    pub(crate) async fn until_empty(&self) {
        loop {
            // Before the table is asked, or the notice could be missed.
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Counts one more client, and one more connection of its address, within the limits.
    ///
    /// # Errors
    /// The limit that is reached. Nothing is counted then.
    pub(crate) fn admit(&self, address: IpAddr, config: &Config) -> Result<(), Connected> {
        let most = config.max_clients;
        let more = |now: usize| (most == 0 || now < most).then_some(now + 1);
        let counted = self.clients.fetch_update(Relaxed, Relaxed, more);
        counted.map_err(|_| Connected::Full)?;
        if config.per_address == 0 {
            return Ok(());
        }
        let mut addresses = self.addresses.lock();
        let count = addresses.entry(address).or_default();
        if *count < config.per_address {
            *count += 1;
            return Ok(());
        }
        drop(addresses);
        self.clients.fetch_sub(1, Relaxed);
        Err(Connected::Address)
    }

    /// Counts one client less: its socket is closed, or it never got one. A client that is told to go and
    /// stays costs as much as any other.
    pub(crate) fn leave(&self, address: IpAddr) {
        self.clients.fetch_sub(1, Relaxed);
        let mut addresses = self.addresses.lock();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}
