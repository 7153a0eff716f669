//! A gateway as a whole: what its parts share, and the tasks that run while it lives.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fetchway_fetch::{Account, AccountConfig, AccountLimits, Direct, Engine, Network};
use fetchway_policy::{ErrorName, FetchError};
use tokio::time::Instant;
use url::Url;

use crate::config::Config;
use crate::observe::Observer;
use crate::reactor::{Reactor, SLICES};
use crate::stats::{Counters, Stats};
use crate::table::Table;
use crate::trouble::Troubles;

/// Reactors of one gateway at most; there are as many as the machine has processors.
const MAX_REACTORS: usize = 64;

/// Who has sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// From where.
    pub addr: SocketAddr,
    /// A proxy has passed the connection on and not said whose it is: `addr` is the proxy's own, and
    /// nothing that the request says of its way is believed.
    pub is_unnamed: bool,
    /// Over TLS.
    pub tls: bool,
    /// It has shown the push credential.
    pub authorized: bool,
}

/// A gateway. Clones are one and the same; with the last one its clients are cut off.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway({})", self.0.config.name)
    }
}

/// What all its parts share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) base: Url,
    pub(crate) lane: usize,
    /// One for each reactor, and a last one for what no reactor does.
    accounts: Vec<Account>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) counters: Counters,
    pub(crate) troubles: Troubles,
    pub(crate) table: Table,
    pub(crate) reactors: Vec<Arc<Reactor>>,
    next_reactor: AtomicUsize,
    last_epoch: AtomicU64,
    /// Begins the names of connections, so that those of two gateways differ.
    pub(crate) salt: u32,
    began: Instant,
    pub(crate) leaving: AtomicBool,
}

impl Gateway {
    /// A gateway in front of `config.api`, whose requests `engine` makes over networks that `network`
    /// gives: each is to be a new one, that nobody else uses. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `invalid_request` for an unknown lane or an API URL that cannot work;
    /// `proxy_internal_error` if the system gives no epoll set.
    pub fn new(
        config: Config,
        engine: &Engine,
        network: impl Fn() -> Arc<Network>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, FetchError> {
        let lane = engine.lane(config.lane.as_deref())?;
        let base = base(&config.api)?;
        let limits = AccountLimits {
            in_flight: usize::MAX,
            queued: usize::MAX,
            queued_bytes: usize::MAX,
        };
        let limits = AccountConfig {
            limits,
            bodies: u64::MAX,
        };
        let no_epoll = |error: io::Error| {
            let detail = format!("The system gives no epoll set for clients ({error}).");
            FetchError::new(ErrorName::ProxyInternalError, detail)
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let reactors = (0..workers.min(MAX_REACTORS)).map(|_| Reactor::start());
        let reactors: io::Result<Vec<Arc<Reactor>>> = reactors.collect();
        let reactors = reactors.map_err(no_epoll)?;
        let accounts = (0..=reactors.len())
            .map(|_| Account::open(engine, network(), limits))
            .collect();
        let inner = Arc::new(Inner {
            base,
            lane,
            accounts,
            observer,
            counters: Counters::default(),
            troubles: Troubles::default(),
            table: Table::default(),
            reactors,
            next_reactor: AtomicUsize::new(0),
            last_epoch: AtomicU64::new(0),
            salt: rand::random(),
            began: Instant::now(),
            leaving: AtomicBool::new(false),
            config,
        });
        for (reactor, account) in inner.reactors.iter().zip(&inner.accounts) {
            let direct = Direct::new(account, &inner.base, lane)?;
            reactor.belongs_to(&inner, direct).map_err(no_epoll)?;
        }
        Ok(Self(inner))
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.stats()
    }
}

/// The API's URL, with a path that ends in a slash and nothing behind it.
fn base(api: &Url) -> Result<Url, FetchError> {
    let refused = |why: &str| {
        let detail = format!("The API's URL {why}: write it like http://127.0.0.1:8000/.");
        Err(FetchError::new(ErrorName::InvalidRequest, detail))
    };
    if !matches!(api.scheme(), "http" | "https") || !api.has_host() {
        return refused("is neither http nor https");
    }
    if api.query().is_some() || api.fragment().is_some() {
        return refused("has a query or fragment");
    }
    let mut base = api.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", api.path()));
    }
    Ok(base)
}

impl Inner {
    /// How often some clients are looked at.
    pub(crate) fn look_every(&self) -> Duration {
        let finest = self.config.ping_interval.min(self.config.write_stall);
        (finest / 4 / SLICES).clamp(Duration::from_millis(10), Duration::from_millis(250))
    }

    /// Tenths of seconds since the gateway began.
    pub(crate) fn now(&self) -> u32 {
        (self.began.elapsed().as_millis() / 100) as u32
    }

    /// Greater than all before it, those before a restart included.
    pub(crate) fn epoch(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_micros() as u64);
        let next = |last: u64| Some(now.max(last + 1));
        let last = self
            .last_epoch
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.map_or(now, |last| now.max(last + 1))
    }

    pub(crate) fn reactor(&self) -> u8 {
        let next = self.next_reactor.fetch_add(1, Ordering::Relaxed);
        (next % self.reactors.len()) as u8
    }

    /// The account for the clients of a reactor, used on its thread; without one, for everything else.
    pub(crate) fn account(&self, reactor: Option<u8>) -> &Account {
        let at = reactor.map_or(self.reactors.len(), usize::from);
        &self.accounts[at]
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether a peer's word on where a request came from is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.config
            .trusted_proxies
            .iter()
            .any(|net| net.contains(peer))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reactors.iter().for_each(|reactor| reactor.stop());
    }
}
