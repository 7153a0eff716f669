//! One running node: put together from a configuration, and taken apart again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::Engine;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::auth::{Keyring, digest_of};
use crate::config::{AdminSection, Loaded, ReadError, read_token};
use crate::core::{Core, require_token};
use crate::fdlimit::{self, Advice};
use crate::gateways::{Plan, Running};
use crate::metrics::ListenerName;
use crate::signals::{Signal, Signals};
use crate::start_error::StartError;
use crate::tls::Tls;
use fetchway_service::{Phase, Shutdown};

/// Time for answers that are still being written when the last session has closed.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Setting of the token that the main listener needs beyond loopback.
const MAIN_TOKEN: &str = "[[tokens]] with a name and a token or token-file";
/// Setting of the token that the admin listener needs beyond loopback.
const ADMIN_TOKEN: &str = "admin.token or admin.token-file";

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All work in flight was finished.
    Drained,
    /// The grace period ended first. Work in flight was cut off, without an answer.
    GraceOver,
    /// A second signal ended the node at once.
    Forced,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "all work in flight was finished",
            Self::GraceOver => {
                "the grace period ended, and work in flight was cut off without an answer"
            }
            Self::Forced => "a second signal cut off work in flight",
        })
    }
}

/// A running node. Dropping it ends it at once.
pub struct Node {
    addr: Option<SocketAddr>,
    admin_addr: Option<SocketAddr>,
    engine: Engine,
    gateways: Vec<Running>,
    shutdown: Shutdown,
    grace: Duration,
    tls: Vec<Arc<Tls>>,
    servers: Vec<JoinHandle<()>>,
}

impl Node {
    /// Binds the listeners and begins to serve. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The reason why the node cannot run with this configuration.
    pub fn start(loaded: &Loaded) -> Result<Self, StartError> {
        let config = &loaded.config;
        let keyring = Keyring::new(config)?;
        let AdminSection {
            token, token_file, ..
        } = &config.admin;
        let admin_token = digest_of(&read_token("admin.token-file", token, token_file)?);
        let main_tls = Tls::new("tls", &config.tls)?;
        let admin_tls = Tls::new("admin.tls", &config.admin.tls)?;
        let listen = config.listen.0.map(|address| address.0);
        let admin_listen = config.admin.enabled.then_some(config.admin.listen.0);
        if let Some(address) = listen {
            require_token("listen", address, keyring.is_required(), MAIN_TOKEN)?;
        }
        if let Some(address) = admin_listen {
            require_token("admin.listen", address, admin_token.is_some(), ADMIN_TOKEN)?;
        }
        let plans = Plan::all(config)?;
        let clients = raise_file_limit(loaded);
        let grace = config.shutdown.grace;
        let core = Core::new(config)?;
        // All listeners are bound before any serves, so that a node starts as a whole or not at all.
        let main = listen.map(|address| core.listen("listen", address));
        let main = main.transpose()?;
        let admin = admin_listen.map(|address| core.listen("admin.listen", address));
        let admin = admin.transpose()?;
        let plans: Vec<_> = plans
            .into_iter()
            .map(|plan| plan.bind(&core, clients, grace))
            .collect::<Result<_, _>>()?;

        let (has_tls, has_tokens) = (main_tls.is_some(), keyring.is_required());
        let mut tls: Vec<_> = main_tls.iter().chain(&admin_tls).cloned().collect();
        let mut servers = Vec::new();
        let addr = main.as_ref().map(|(_, addr)| *addr);
        if let Some((listener, addr)) = main {
            let main = core.main(config, keyring, addr);
            servers.push(core.serve(ListenerName::Main, main, main_tls, listener));
        }
        let mut told = Vec::new();
        let mut gateways = Vec::new();
        for plan in plans {
            tls.extend(plan.tls());
            let running = plan.serve(&core, config, &mut servers);
            told.push(running.told());
            gateways.push(running);
        }
        let admin_addr = admin.as_ref().map(|(_, addr)| *addr);
        if let Some((listener, addr)) = admin {
            let admin = core.admin(config, admin_token, addr, told);
            servers.push(core.serve(ListenerName::Admin, admin, admin_tls, listener));
        }
        let node = Self {
            addr,
            admin_addr,
            engine: core.engine,
            gateways,
            shutdown: core.shutdown,
            grace,
            tls,
            servers,
        };
        node.announce(has_tls, has_tokens);
        Ok(node)
    }

    fn announce(&self, has_tls: bool, has_tokens: bool) {
        tracing::info!(
            addr = self.addr.map(tracing::field::display),
            admin = self.admin_addr.map(tracing::field::display),
            version = env!("CARGO_PKG_VERSION"),
            tls = has_tls,
            tokens = has_tokens,
            "fetchway is listening"
        );
        for gateway in &self.gateways {
            gateway.announce();
        }
    }

    /// The address of the main listener, if there is one, with the real port if the configuration has 0.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// The address for clients of the gateway called `name`, if there is one.
    #[must_use]
    pub fn gateway_addr(&self, name: &str) -> Option<SocketAddr> {
        self.gateway(name).map(Running::addr)
    }

    /// The address for pushes to the gateway called `name`, if it has a listener for them.
    #[must_use]
    pub fn push_addr(&self, name: &str) -> Option<SocketAddr> {
        self.gateway(name)?.push_addr()
    }

    fn gateway(&self, name: &str) -> Option<&Running> {
        self.gateways.iter().find(|running| running.name() == name)
    }

    /// The address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The engine that makes this node's fetches.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reads all TLS files again. A listener whose files are broken keeps its old ones, and the error is logged.
    ///
    /// # Errors
    /// The first broken file.
    pub fn reload_tls(&self) -> Result<(), ReadError> {
        let mut first = Ok(());
        for tls in &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("TLS files were read again"),
                Err(error) => {
                    tracing::error!(%error, "the TLS files are broken, so the old ones stay in use");
                    first = first.and(Err(error));
                }
            }
        }
        first
    }

    /// Serves until SIGTERM or SIGINT, then drains; a second signal ends the node at once. SIGHUP reads the TLS
    /// files again.
    ///
    /// # Errors
    /// The handlers of the signals can't be installed.
    pub async fn run_until_signal(self) -> io::Result<Ended> {
        let mut signals = Signals::new()?;
        Ok(self.run(async move || signals.next().await).await)
    }

    /// Drains the node and ends it: work in flight may finish within the configured grace period.
    pub async fn stop(self) -> Ended {
        let mut first = Some(Signal::Stop);
        let next = async move || match first.take() {
            Some(signal) => signal,
            None => std::future::pending().await,
        };
        self.run(next).await
    }

    /// Serves, and obeys the signals from `next`: the first [`Signal::Stop`] drains the node, a second one ends
    /// it at once.
    pub async fn run(mut self, mut next: impl AsyncFnMut() -> Signal) -> Ended {
        while next().await == Signal::Reload {
            // Errors are logged there.
            let _ = self.reload_tls();
        }
        self.shutdown.advance(Phase::Draining);
        tracing::info!(grace = ?self.grace, "shutting down: finishing work in flight");
        let second = async { while next().await == Signal::Reload {} };
        let ended = tokio::select! {
            drained = self.shutdown.drain(self.grace) => {
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
                tracing::debug!("connections that did not end in time are cut off");
            }
        }
        tracing::info!("fetchway has ended: {ended}");
        ended
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.advance(Phase::Ended);
    }
}

/// Raises the limit of open files. Returns the number of clients that it allows each gateway without a bound of
/// its own; 0 means any number, if the limit is not known.
fn raise_file_limit(loaded: &Loaded) -> usize {
    match fdlimit::raise() {
        Ok(limit) => {
            match fdlimit::advice(limit, loaded) {
                Advice::None => {}
                Advice::Note(note) => tracing::info!("{note}"),
                Advice::Warning(warning) => tracing::warn!("{warning}"),
            }
            fdlimit::clients(limit, &loaded.config)
        }
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            0
        }
    }
}
