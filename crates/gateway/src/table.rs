//! The clients of a gateway by their ids.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::conn::Conn;
use crate::observe::Connected;

/// Parts of the table with a lock each.
const SHARDS: usize = 16;

/// How long an id that has gone is remembered, to tell a late push from a wrong one.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Gone ids remembered in each shard; beyond it the next one is not.
const MAX_REMEMBERED: usize = 4_096;

/// All connections with one id: from before the API is asked until it has heard of their ends.
enum Entry {
    One(Arc<Conn>),
    /// Never empty.
    Many(Vec<Arc<Conn>>),
}

impl Entry {
    fn conns(&self) -> &[Arc<Conn>] {
        match self {
            Self::One(conn) => std::slice::from_ref(conn),
            Self::Many(conns) => conns,
        }
    }

    fn id(&self) -> &str {
        self.conns().first().map_or("", |conn| &conn.id)
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

/// The clients of a gateway.
#[derive(Default)]
pub(crate) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// Clients that have or may get a socket.
    clients: AtomicUsize,
    /// Which shard is swept next.
    next_swept: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    fn shard(&self, id: &str) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(id);
        (lock(&self.shards[hash as usize % SHARDS]), hash)
    }

    /// Puts a connection in. Gives those that have its id already. Nothing if it stays out: it is to be
    /// `alone`, and there are some that have not ended.
    pub(crate) fn insert(&self, conn: &Arc<Conn>, alone: bool) -> Option<Vec<Arc<Conn>>> {
        let (mut shard, hash) = self.shard(&conn.id);
        let others = shard.entries.get(&*conn.id).map(Entry::conns);
        let others = others.map_or_else(Vec::new, <[_]>::to_vec);
        if alone && others.iter().any(|other| !other.has_ended()) {
            return None;
        }
        shard.gone.remove(&hash);
        shard.entries.take(&*conn.id);
        let entry = if others.is_empty() {
            Entry::One(conn.clone())
        } else {
            let mut all = others.clone();
            all.push(conn.clone());
            Entry::Many(all)
        };
        shard.entries.insert(entry);
        Some(others)
    }

    /// Takes a connection out. `was_open`: pushes that come late are told that it has just gone.
    pub(crate) fn remove(&self, conn: &Arc<Conn>, was_open: bool) {
        let (mut shard, hash) = self.shard(&conn.id);
        let Some(entry) = shard.entries.take(&*conn.id) else {
            return;
        };
        let mut rest = entry.conns().to_vec();
        rest.retain(|other| !Arc::ptr_eq(other, conn));
        // Asked for only while nobody has the id.
        if was_open && shard.gone.len() < MAX_REMEMBERED {
            shard.gone.insert(hash, Instant::now());
        }
        match rest.len() {
            0 => {}
            1 => {
                shard.entries.extend(rest.pop().map(Entry::One));
            }
            _ => {
                shard.entries.insert(Entry::Many(rest));
            }
        }
    }

    /// The connections with an id, the oldest first.
    pub(crate) fn find(&self, id: &str) -> Vec<Arc<Conn>> {
        self.with(id, <[_]>::to_vec)
    }

    /// Does something with the connections with an id while none can come or go.
    pub(crate) fn with<T>(&self, id: &str, act: impl FnOnce(&[Arc<Conn>]) -> T) -> T {
        let (shard, _) = self.shard(id);
        act(shard.entries.get(id).map_or(&[], Entry::conns))
    }

    /// Whether somebody with this id has just gone.
    pub(crate) fn has_just_gone(&self, id: &str) -> bool {
        let (shard, hash) = self.shard(id);
        shard
            .gone
            .get(&hash)
            .is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// Forgets those that have been gone for long, in one shard after the other, whoever calls.
    pub(crate) fn sweep(&self) {
        let next = self.next_swept.fetch_add(1, Relaxed) % SHARDS;
        lock(&self.shards[next])
            .gone
            .retain(|_, at| at.elapsed() < REMEMBERED);
    }

    /// All connections.
    pub(crate) fn all(&self) -> Vec<Arc<Conn>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            all.extend(shard.entries.iter().flat_map(|e| e.conns().to_vec()));
        }
        all
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.shards
            .iter()
            .all(|shard| lock(shard).entries.is_empty())
    }

    /// Counts one more client, and one more connection of its address, if there may be.
    ///
    /// # Errors
    /// There may not. Nothing is counted then.
    pub(crate) fn admit(&self, address: IpAddr, config: &Config) -> Result<(), Connected> {
        let most = config.max_clients;
        let more = |now: usize| (most == 0 || now < most).then_some(now + 1);
        let counted = self.clients.fetch_update(Relaxed, Relaxed, more);
        counted.map_err(|_| Connected::Full)?;
        if config.per_address == 0 {
            return Ok(());
        }
        let mut addresses = lock(&self.addresses);
        let count = addresses.entry(address).or_default();
        if *count < config.per_address {
            *count += 1;
            return Ok(());
        }
        drop(addresses);
        self.clients.fetch_sub(1, Relaxed);
        Err(Connected::Address)
    }

    /// A client's socket is closed, or it never got one. Not before: one that is sent away and stays
    /// costs as much as any other.
    pub(crate) fn leave(&self, address: IpAddr) {
        self.clients.fetch_sub(1, Relaxed);
        let mut addresses = lock(&self.addresses);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}
