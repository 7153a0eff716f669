//! One running node: put together from a configuration, and taken apart again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::Engine;
use fetchway_relay::Relay;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::admin::Admin;
use crate::auth::{Keyring, TokenDigest, digest_of};
use crate::config::{Config, HttpSection, Loaded, ReadError, read_token};
use crate::fdlimit::{self, Advice};
use crate::http::Main;
use crate::listener::{Handler, Server, bind};
use crate::metrics::{ListenerName, Metrics, Scrape};
use crate::origin_check::OriginCheck;
use crate::shutdown::{Phase, Shutdown};
use crate::signals::{Signal, Signals};
use crate::start_error::StartError;
use crate::tls::Tls;

/// Time for answers that are being written when the last session has closed.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in flight was answered.
    Drained,
    /// The grace was over first: what was still in flight was cut off, and has no answer.
    GraceOver,
    /// A second signal ended it at once.
    Forced,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "everything in flight was answered",
            Self::GraceOver => {
                "the grace was over, and what was left was cut off without an answer"
            }
            Self::Forced => "a second signal cut off what was in flight",
        })
    }
}

/// A running node. Dropping it ends it at once.
pub struct Node {
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    engine: Engine,
    relay: Relay,
    shutdown: Shutdown,
    grace: Duration,
    tls: Vec<Arc<Tls>>,
    servers: Vec<JoinHandle<()>>,
}

impl Node {
    /// Binds the listeners and begins to serve. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Whatever keeps the configuration from being put into practice.
    pub fn start(loaded: &Loaded) -> Result<Self, StartError> {
        let config = &loaded.config;
        let keyring = Keyring::new(config)?;
        let admin_token = read_token(
            "admin.token-file",
            &config.admin.token,
            &config.admin.token_file,
        )?;
        let admin_token = digest_of(&admin_token);
        let main_tls = Tls::new("tls", &config.tls)?;
        let admin_tls = Tls::new("admin.tls", &config.admin.tls)?;
        require_token("listen", config.listen.0.0, keyring.is_required())?;
        if config.admin.enabled {
            require_token(
                "admin.listen",
                config.admin.listen.0.0,
                admin_token.is_some(),
            )?;
        }
        raise_file_limit(loaded);
        let core = Core::new(config)?;
        // Both are bound before either serves: a node is up as a whole or not at all.
        let (listener, addr) = core.listen("listen", config.listen.0.0)?;
        let admin = if config.admin.enabled {
            Some(core.listen("admin.listen", config.admin.listen.0.0)?)
        } else {
            None
        };

        let (has_tls, has_tokens) = (main_tls.is_some(), keyring.is_required());
        let tls: Vec<_> = main_tls.iter().chain(&admin_tls).cloned().collect();
        let main = core.main(config, keyring, addr);
        let mut servers = vec![core.serve(ListenerName::Main, main, main_tls, listener)];
        let mut admin_addr = None;
        if let Some((listener, addr)) = admin {
            admin_addr = Some(addr);
            let admin = core.admin(config, admin_token, addr);
            servers.push(core.serve(ListenerName::Admin, admin, admin_tls, listener));
        }
        let shown = admin_addr.map(tracing::field::display);
        tracing::info!(
            %addr,
            admin = shown,
            version = env!("CARGO_PKG_VERSION"),
            tls = has_tls,
            tokens = has_tokens,
            "fetchway is listening"
        );
        Ok(Self {
            addr,
            admin_addr,
            engine: core.engine,
            relay: core.relay,
            shutdown: core.shutdown,
            grace: config.shutdown.grace.0.0,
            tls,
            servers,
        })
    }

    /// Where the main listener listens; the port is the real one, where 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the admin listener listens, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The engine that makes this node's fetches.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reads all TLS files again. A listener whose files are broken keeps what it has, and the error
    /// is logged.
    ///
    /// # Errors
    /// The first broken file.
    pub fn reload_tls(&self) -> Result<(), ReadError> {
        let mut first = Ok(());
        for tls in &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("TLS files were read again"),
                Err(error) => {
                    tracing::error!(%error, "TLS files are broken; the old ones stay in use");
                    first = first.and(Err(error));
                }
            }
        }
        first
    }

    /// Serves until SIGTERM or SIGINT, then ends softly; a second one ends at once. SIGHUP reads the
    /// TLS files again.
    ///
    /// # Errors
    /// The signals can't be listened for.
    pub async fn run_until_signal(self) -> io::Result<Ended> {
        let mut signals = Signals::new()?;
        Ok(self.run(async move || signals.next().await).await)
    }

    /// Ends softly: what is in flight is finished, within the configured grace.
    pub async fn stop(self) -> Ended {
        let mut first = Some(Signal::Stop);
        let next = async move || match first.take() {
            Some(signal) => signal,
            None => std::future::pending().await,
        };
        self.run(next).await
    }

    /// Serves and does what the signals say that `next` brings: the first [`Signal::Stop`] ends softly,
    /// a second one at once.
    pub async fn run(mut self, mut next: impl AsyncFnMut() -> Signal) -> Ended {
        while next().await == Signal::Reload {
            // Errors are logged there.
            let _ = self.reload_tls();
        }
        self.shutdown.advance(Phase::Draining);
        tracing::info!(grace = ?self.grace, "shutting down: finishing what is in flight");
        let second = async { while next().await == Signal::Reload {} };
        let ended = tokio::select! {
            drained = self.relay.shutdown(self.grace) => {
                if drained { Ended::Drained } else { Ended::GraceOver }
            }
            () = second => Ended::Forced,
        };
        if ended != Ended::Forced {
            self.shutdown.advance(Phase::Closing);
            let closed = async {
                for server in &mut self.servers {
                    // A server that panicked is as closed as one that returned.
                    let _ = server.await;
                }
            };
            if timeout(CLOSE_WAIT, closed).await.is_err() {
                tracing::debug!("connections that did not end by themselves are cut off");
            }
        }
        tracing::info!("fetchway has ended: {ended}");
        ended
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.advance(Phase::Ended);
        self.relay.abort();
    }
}

/// What all servers of a node share.
struct Core {
    metrics: Arc<Metrics>,
    engine: Engine,
    relay: Relay,
    shutdown: Shutdown,
    http: HttpSection,
}

impl Core {
    fn new(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(config.lanes.keys().map(String::as_str)));
        let observer = Arc::clone(&metrics);
        let engine = Engine::new(config.engine_config()?, observer).map_err(StartError::Engine)?;
        let observer = Arc::clone(&metrics);
        Ok(Self {
            relay: Relay::new(engine.clone(), observer),
            metrics,
            engine,
            shutdown: Shutdown::default(),
            http: config.http.clone(),
        })
    }

    /// Binds, and tells the engine, which must never fetch from its own node.
    fn listen(
        &self,
        key: &'static str,
        address: SocketAddr,
    ) -> Result<(TcpListener, SocketAddr), StartError> {
        let failed = |e| StartError::Bind(key, address, e);
        let listener = bind(address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        self.engine.add_own_listener(bound);
        Ok((listener, bound))
    }

    fn main(&self, config: &Config, keyring: Keyring, addr: SocketAddr) -> Main {
        let open_to_anyone = is_loopback(addr) && !keyring.is_required();
        Main {
            relay: self.relay.clone(),
            keyring,
            origins: OriginCheck::new(&config.allow_origins, open_to_anyone),
            metrics: Arc::clone(&self.metrics),
            shutdown: self.shutdown.clone(),
        }
    }

    fn admin(&self, config: &Config, token: Option<TokenDigest>, addr: SocketAddr) -> Admin {
        let metrics = Arc::clone(&self.metrics);
        Admin {
            origins: OriginCheck::new(&config.allow_origins, is_loopback(addr)),
            token,
            scrape: Arc::new(Scrape::new(Arc::clone(&metrics), self.engine.clone())),
            metrics,
            shutdown: self.shutdown.clone(),
        }
    }

    fn serve<H: Handler>(
        &self,
        name: ListenerName,
        handler: H,
        tls: Option<Arc<Tls>>,
        listener: TcpListener,
    ) -> JoinHandle<()> {
        let server = Server {
            name,
            handler: Arc::new(handler),
            tls,
            http: self.http.clone(),
            metrics: Arc::clone(&self.metrics),
            shutdown: self.shutdown.clone(),
            // "Not ready" can be asked for until the last session is closed.
            closes_at: match name {
                ListenerName::Main => Phase::Draining,
                ListenerName::Admin => Phase::Closing,
            },
        };
        tokio::spawn(server.run(listener))
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn require_token(key: &'static str, address: SocketAddr, has: bool) -> Result<(), StartError> {
    if has || is_loopback(address) {
        return Ok(());
    }
    let token = match key {
        "listen" => "[[tokens]] with a name and a token or token-file",
        _ => "admin.token or admin.token-file",
    };
    Err(StartError::Open(key, address, token))
}

fn raise_file_limit(loaded: &Loaded) {
    match fdlimit::raise() {
        Ok(limit) => match fdlimit::advice(limit, loaded) {
            Advice::None => {}
            Advice::Note(note) => tracing::info!("{note}"),
            Advice::Warning(warning) => tracing::warn!("{warning}"),
        },
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
