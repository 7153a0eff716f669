//! The engine: its parts, and the ways into it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError, LaneConfig};
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admit::Gate;
use crate::config::{DEFAULT_LANE, EngineConfig};
use crate::dial::Dialer;
use crate::dns::Dns;
use crate::observe::Observer;
use crate::pool::{self, Kind, Network, Pool};
use crate::{LaneStats, budget, tls};

/// The engine. Clones share its state.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// The state that all clones share.
struct Inner {
    lanes: Vec<(String, LaneConfig)>,
    default_lane: usize,
    gate: Arc<Gate>,
    pool: Arc<Pool>,
    bodies: Arc<budget::Bytes>,
    networks: Mutex<Vec<Weak<Network>>>,
    retry_after_cap: Duration,
    user_agent: HeaderValue,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Returns an engine. Must be called within a tokio runtime, where its timers run until the last clone
    /// is dropped.
    ///
    /// # Errors
    /// `proxy_configuration_error` for a configuration that cannot work, with the reason.
    pub fn new(config: EngineConfig, observer: Arc<dyn Observer>) -> Result<Self, FetchError> {
        let broken =
            |detail: &'static str| FetchError::new(ErrorName::ProxyConfigurationError, detail);
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| {
            broken("The user agent has characters that a header field may not have.")
        })?;
        let default_lane = config
            .lanes
            .iter()
            .position(|(name, _)| name == DEFAULT_LANE)
            .ok_or_else(|| broken("There is no lane called default."))?;
        let tls = tls::client_config(&config.extra_roots)?;
        let dialer = Dialer::new(Dns::new(&config.hosts, config.dns_ttl), tls);
        let lanes: Vec<LaneConfig> = config.lanes.iter().map(|(_, lane)| lane.clone()).collect();
        let sweep_every = (config.pool.idle_timeout / 4)
            .clamp(Duration::from_millis(100), Duration::from_secs(15));
        let inner = Arc::new(Inner {
            lanes: config.lanes,
            default_lane,
            gate: Gate::new(&lanes, config.origins, config.origin_default),
            pool: Arc::new(Pool::new(dialer, config.pool, observer.clone())),
            bodies: budget::Bytes::new(config.body_budget),
            networks: Mutex::default(),
            retry_after_cap: config.retry_after_cap,
            user_agent,
            observer,
        });
        tokio::spawn(sweeper(Arc::downgrade(&inner), sweep_every));
        Ok(Self(inner))
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    pub(crate) fn bodies(&self) -> &Arc<budget::Bytes> {
        &self.0.bodies
    }

    pub(crate) fn observer(&self) -> &Arc<dyn Observer> {
        &self.0.observer
    }

    pub(crate) fn user_agent(&self) -> &HeaderValue {
        &self.0.user_agent
    }

    pub(crate) fn retry_after_cap(&self) -> Duration {
        self.0.retry_after_cap
    }

    pub(crate) fn lane_config(&self, lane: usize) -> &LaneConfig {
        &self.0.lanes[lane].1
    }

    /// Returns the network of `policy`. Equal policies share one network and its connections.
    #[must_use]
    pub fn network(&self, policy: &Arc<AddressPolicy>) -> Arc<Network> {
        let mut networks = self.0.networks.lock();
        networks.retain(|known| known.strong_count() > 0);
        let known = networks
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| known.is_common(policy));
        known.unwrap_or_else(|| self.open_network(&mut networks, policy.clone(), Kind::Common))
    }

    /// Returns a network of `policy` whose connections belong to the caller alone: [`Engine::network`]
    /// never returns it.
    ///
    /// With `h2c`, origins without TLS are spoken to in HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    /// An origin that speaks only HTTP/1.1 then fails with `http_protocol_error`.
    #[must_use]
    pub fn private_network(&self, policy: Arc<AddressPolicy>, h2c: bool) -> Arc<Network> {
        let mut networks = self.0.networks.lock();
        networks.retain(|known| known.strong_count() > 0);
        self.open_network(&mut networks, policy, Kind::Private { h2c })
    }

    fn open_network(
        &self,
        networks: &mut Vec<Weak<Network>>,
        policy: Arc<AddressPolicy>,
        kind: Kind,
    ) -> Arc<Network> {
        let (pool, gate) = (self.0.pool.clone(), self.0.gate.clone());
        let network = Arc::new(Network::new(policy, kind, pool, gate));
        // Registered so that the sweeper finds the network.
        networks.push(Arc::downgrade(&network));
        network
    }

    /// Makes the engine refuse fetches to `listener` with `proxy_loop_detected`.
    pub fn add_own_listener(&self, listener: std::net::SocketAddr) {
        self.0.pool.dialer.add_own_listener(listener);
    }

    /// Returns the index of the lane called `name`, or of the default lane.
    ///
    /// # Errors
    /// `invalid_request` for a name that is not configured.
    pub fn lane(&self, name: Option<&str>) -> Result<usize, FetchError> {
        let Some(name) = name else {
            return Ok(self.0.default_lane);
        };
        let found = self.0.lanes.iter().position(|(lane, _)| lane == name);
        found.ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            let detail = format!(
                "There is no lane called {name:?}: name a configured one, or none for the default."
            );
            FetchError::new(ErrorName::InvalidRequest, detail)
        })
    }

    /// The names of the lanes, by index.
    pub fn lanes(&self) -> impl Iterator<Item = &str> {
        self.0.lanes.iter().map(|(name, _)| name.as_str())
    }

    /// The load of each lane, by index.
    #[must_use]
    pub fn lane_stats(&self) -> Vec<LaneStats> {
        (0..self.0.lanes.len())
            .map(|lane| self.0.gate.lane_stats(lane))
            .collect()
    }

    /// Bytes of whole bodies in memory.
    #[must_use]
    pub fn budget_used(&self) -> u64 {
        self.0.bodies.used()
    }
}

async fn sweeper(engine: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let networks = engine.networks.lock().clone();
        for network in networks.iter().filter_map(Weak::upgrade) {
            pool::sweep(&network, Instant::now());
        }
        engine.gate.sweep();
    }
}
