//! The state that all servers of a node share, and how each server is made.

use std::net::SocketAddr;
use std::sync::Arc;

use fetchway_batches::Batches;
use fetchway_fetch::Engine;
use fetchway_relay::Relay;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::admin::Admin;
use crate::auth::{Keyring, TokenDigest};
use crate::config::{Config, DEFAULT, HttpSection};
use crate::http::Main;
use crate::listener::{Entry, Handler, Server, bind};
use crate::metrics::{ListenerName, Metrics, Scrape, Told};
use crate::origin_check::OriginCheck;
use crate::start_error::StartError;
use fetchway_service::{Phase, Route, Shutdown, StreamService, StreamServices};

/// The state that all servers of a node share.
pub(crate) struct Core {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) engine: Engine,
    /// Routes of the main listener.
    routes: Vec<Arc<dyn Route>>,
    pub(crate) shutdown: Shutdown,
    pub(crate) http: HttpSection,
}

/// A bound listener, and where: the port is the real one, where 0 was asked for.
pub(crate) type Bound = (TcpListener, SocketAddr);

impl Core {
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(config.lanes.keys().map(String::as_str)));
        let observer = Arc::clone(&metrics);
        let engine = Engine::new(config.engine_config()?, observer).map_err(StartError::Engine)?;
        let observer = Arc::clone(&metrics);
        let shutdown = Shutdown::default();
        let lane = config.lanes.get(DEFAULT);
        let retry = lane.map(|lane| lane.to_lane().retry).unwrap_or_default();
        let batches = Arc::new(Batches::new(
            engine.clone(),
            config.origin_rules(),
            config.batch_limits(),
            (retry, config.fetch.retry_after_cap),
            shutdown.clone(),
        ));
        let services = StreamServices::new(vec![Arc::clone(&batches) as Arc<dyn StreamService>]);
        let relay = Relay::new(engine.clone(), observer, services, shutdown.clone());
        Ok(Self {
            routes: vec![Arc::new(relay), batches],
            metrics,
            engine,
            shutdown,
            http: config.http.clone(),
        })
    }

    /// Binds, and tells the engine, which must never fetch from its own node.
    pub(crate) fn listen(&self, key: &str, address: SocketAddr) -> Result<Bound, StartError> {
        self.bind(key, address, false)
    }

    /// The same at an address that other processes may share.
    pub(crate) fn listen_beside(
        &self,
        key: &str,
        address: SocketAddr,
    ) -> Result<Bound, StartError> {
        self.bind(key, address, true)
    }

    fn bind(&self, key: &str, address: SocketAddr, share: bool) -> Result<Bound, StartError> {
        let failed = |e| StartError::Bind(key.to_owned(), address, e);
        let listener = bind(address, share).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        self.engine.add_own_listener(bound);
        Ok((listener, bound))
    }

    pub(crate) fn main(&self, config: &Config, keyring: Keyring, addr: SocketAddr) -> Main {
        let open_to_anyone = is_loopback(addr) && !keyring.is_required();
        Main {
            routes: self.routes.clone(),
            keyring,
            origins: OriginCheck::new(&config.allow_origins, open_to_anyone),
            metrics: Arc::clone(&self.metrics),
        }
    }

    pub(crate) fn admin(
        &self,
        config: &Config,
        token: Option<TokenDigest>,
        addr: SocketAddr,
        gateways: Vec<Told>,
    ) -> Admin {
        let metrics = Arc::clone(&self.metrics);
        Admin {
            origins: OriginCheck::new(&config.allow_origins, is_loopback(addr)),
            token,
            scrape: Arc::new(Scrape::new(
                Arc::clone(&metrics),
                self.engine.clone(),
                gateways,
            )),
            metrics,
            shutdown: self.shutdown.clone(),
        }
    }

    pub(crate) fn serve<H: Handler>(
        &self,
        name: ListenerName,
        handler: H,
        entry: impl Into<Entry>,
        listener: TcpListener,
    ) -> JoinHandle<()> {
        let server = Server {
            name,
            handler: Arc::new(handler),
            entry: entry.into(),
            http: self.http.clone(),
            metrics: Arc::clone(&self.metrics),
            shutdown: self.shutdown.clone(),
            // "Not ready" can be asked for until the last session is closed, and clients of a gateway
            // that are still there can be pushed to.
            closes_at: match name {
                ListenerName::Main | ListenerName::Gateway => Phase::Draining,
                ListenerName::Admin | ListenerName::Push => Phase::Closing,
            },
        };
        tokio::spawn(server.run(listener))
    }
}

pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A listener that other machines reach asks for a token; `setting` says how to set it.
pub(crate) fn require_token(
    key: &str,
    address: SocketAddr,
    has: bool,
    setting: &str,
) -> Result<(), StartError> {
    if has || is_loopback(address) {
        return Ok(());
    }
    Err(StartError::Open(
        key.to_owned(),
        address,
        setting.to_owned(),
    ))
}
