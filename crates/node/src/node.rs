//! One running node: put together from a configuration, and taken apart again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::Engine;
use fetchway_policy::FetchError;
use fetchway_relay::Relay;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::admin::Admin;
use crate::auth::{Keyring, digest_of};
use crate::config::{Config, Loaded, ReadError, read_token};
use crate::fdlimit;
use crate::http::Main;
use crate::listener::{Handler, Server, bind};
use crate::metrics::{ListenerName, Metrics, Scrape};
use crate::origin_check::OriginCheck;
use crate::shutdown::{Phase, Shutdown};
use crate::signals::{Signal, Signals};
use crate::tls::Tls;

/// Time for answers that are being written when the last session has closed.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Why a node could not be started.
#[derive(Debug)]
pub enum StartError {
    /// A listener beyond loopback without a token. `0` is its key, `1` the token's.
    Open(&'static str, SocketAddr, &'static str),
    /// The address is taken or not ours.
    Bind(&'static str, SocketAddr, io::Error),
    /// A file that the configuration names.
    File(ReadError),
    /// The engine refuses its configuration.
    Engine(FetchError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(key, address, token) => write!(
                f,
                "{key} = {address} can be reached from other machines, and no token is configured: \
                 set {token}, or listen on a loopback address such as 127.0.0.1:{}",
                address.port()
            ),
            Self::Bind(key, address, e) if e.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{key} = {address} is in use by another process: end that, or choose another port \
                 (0 takes any free one)"
            ),
            Self::Bind(key, address, e) => {
                write!(
                    f,
                    "{key} = {address} can't be listened on ({e}): choose another address"
                )
            }
            Self::File(e) => e.fmt(f),
            Self::Engine(e) => write!(f, "the fetch engine can't be set up: {e}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ReadError> for StartError {
    fn from(e: ReadError) -> Self {
        Self::File(e)
    }
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in flight was answered.
    Drained,
    /// The grace was over first: what was still in flight was cancelled.
    GraceOver,
    /// A second signal ended it at once.
    Forced,
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
        let admin_token = read_token(&config.admin.token, &config.admin.token_file)?;
        let admin_token = digest_of(&admin_token);
        require_token("listen", config.listen.0.0, keyring.is_required())?;
        let main_tls = Tls::new(&config.tls)?;
        let admin_tls = Tls::new(&config.admin.tls)?;
        warn_of_few_files(config);

        let metrics = Arc::new(Metrics::new(config.lanes.keys().map(String::as_str)));
        let observer = Arc::clone(&metrics);
        let engine = Engine::new(config.engine_config()?, observer).map_err(StartError::Engine)?;
        let relay = Relay::new(engine.clone(), Arc::clone(&metrics) as _);
        let shutdown = Shutdown::default();

        let (listener, addr) = listen("listen", config.listen.0.0, &engine)?;
        let admin = if config.admin.enabled {
            require_token(
                "admin.listen",
                config.admin.listen.0.0,
                admin_token.is_some(),
            )?;
            Some(listen("admin.listen", config.admin.listen.0.0, &engine)?)
        } else {
            None
        };

        let open_to_anyone = addr.ip().to_canonical().is_loopback() && !keyring.is_required();
        let main = Main {
            relay: relay.clone(),
            keyring,
            origins: OriginCheck::new(&config.allow_origins, open_to_anyone),
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        let parts = Parts {
            config,
            metrics: Arc::clone(&metrics),
            shutdown: shutdown.clone(),
        };
        let mut servers = vec![parts.serve(ListenerName::Main, main, main_tls.clone(), listener)];
        let mut admin_addr = None;
        if let Some((listener, addr)) = admin {
            admin_addr = Some(addr);
            let loopback = addr.ip().to_canonical().is_loopback();
            let admin = Admin {
                origins: OriginCheck::new(&config.allow_origins, loopback),
                token: admin_token,
                scrape: Arc::new(Scrape::new(Arc::clone(&metrics), engine.clone())),
                metrics,
                shutdown: shutdown.clone(),
            };
            servers.push(parts.serve(ListenerName::Admin, admin, admin_tls.clone(), listener));
        }
        tracing::info!(
            %addr,
            admin = admin_addr.map(tracing::field::display),
            tls = main_tls.is_some(),
            "fetchway is listening"
        );
        Ok(Self {
            addr,
            admin_addr,
            engine,
            relay,
            shutdown,
            grace: config.shutdown.grace.0.0,
            tls: main_tls.into_iter().chain(admin_tls).collect(),
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
        let began = Instant::now();
        let ended = tokio::select! {
            () = self.relay.shutdown(self.grace) => {
                if began.elapsed() < self.grace { Ended::Drained } else { Ended::GraceOver }
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
        tracing::info!(?ended, "fetchway has ended");
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
struct Parts<'a> {
    config: &'a Config,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

impl Parts<'_> {
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
            http: self.config.http.clone(),
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

/// Binds, and tells the engine, which must never fetch from its own node.
fn listen(
    key: &'static str,
    address: SocketAddr,
    engine: &Engine,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |e| StartError::Bind(key, address, e);
    let listener = bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    engine.add_own_listener(bound);
    Ok((listener, bound))
}

fn require_token(key: &'static str, address: SocketAddr, has: bool) -> Result<(), StartError> {
    if has || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let token = match key {
        "listen" => "[[tokens]] with a name and a token or token-file",
        _ => "admin.token or admin.token-file",
    };
    Err(StartError::Open(key, address, token))
}

fn warn_of_few_files(config: &Config) {
    match fdlimit::raise() {
        Ok(limit) => {
            if let Some(warning) = fdlimit::warning(limit, config) {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
