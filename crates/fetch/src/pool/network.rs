//! What one address policy may reach: its sites and their connections. Two policies never share a
//! connection, so one that is warm for somebody who may is of no use to somebody who may not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderValue;
use tokio::time::Instant;
use url::{Position, Url};

use super::site::Site;
use crate::admit::Gate;
use crate::config::PoolConfig;
use crate::dial::{Dialer, Target};
use crate::observe::Observer;

/// Origins that one policy may have open at once. Beyond it, those without a fetch are forgotten
/// with their idle connections; if there is none, a fetch to a further one fails with
/// `connection_limit_reached`.
const MAX_SITES: usize = 20_000;

/// What all connections of an engine share.
pub(crate) struct Pool {
    pub(crate) dialer: Dialer,
    pub(crate) config: PoolConfig,
    pub(crate) observer: Arc<dyn Observer>,
    idle: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer, config: PoolConfig, observer: Arc<dyn Observer>) -> Self {
        Self {
            dialer,
            config,
            observer,
            idle: AtomicUsize::new(0),
        }
    }

    /// A place for one more idle connection, if there is room.
    pub(super) fn idle_place(self: &Arc<Self>) -> Option<IdlePlace> {
        let before = self.idle.fetch_add(1, Ordering::Relaxed);
        let place = IdlePlace(self.clone());
        (before < self.config.idle_total).then_some(place)
    }
}

/// One of the idle connections kept in all; free again when dropped.
pub(super) struct IdlePlace(Arc<Pool>);

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The origins that one address policy allows, and the connections opened under it.
pub struct Network {
    policy: Arc<AddressPolicy>,
    kind: Kind,
    pool: Arc<Pool>,
    gate: Arc<Gate>,
    sites: Mutex<HashMap<Box<str>, Arc<Site>>>,
}

/// Who uses a network, and how it speaks to origins without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All who have the same policy. HTTP/1.1.
    Common,
    /// Only those whom its owner gives it to. HTTP/2 with prior knowledge if `h2c`.
    Private { h2c: bool },
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("policy", &self.policy)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Network {
    pub(crate) fn new(
        policy: Arc<AddressPolicy>,
        kind: Kind,
        pool: Arc<Pool>,
        gate: Arc<Gate>,
    ) -> Self {
        Self {
            policy,
            kind,
            pool,
            gate,
            sites: Mutex::default(),
        }
    }

    /// Whether it is the one that all share whose policy is `policy`.
    pub(crate) fn is_common(&self, policy: &AddressPolicy) -> bool {
        self.kind == Kind::Common && *self.policy == *policy
    }

    fn sites(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Site>>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The site of a URL's origin, if the policy allows its host and port.
    pub(crate) fn site(&self, url: &Url) -> Result<Arc<Site>, FetchError> {
        // Scheme, host and port, the default port left out: the origin, as URLs have no user here.
        let key = &url[..Position::BeforePath];
        // Dropped after the lock: closing connections takes a while.
        let mut forgotten: Vec<Arc<Site>> = Vec::new();
        let mut sites = self.sites();
        if let Some(site) = sites.get(key) {
            return Ok(site.clone());
        }
        let target = target(url, self.kind)?;
        self.policy
            .check_host(url.host_str().unwrap_or_default(), target.port)?;
        if sites.len() >= MAX_SITES {
            let idle = sites.extract_if(|_, site| Arc::strong_count(site) == 1);
            forgotten.extend(idle.map(|(_, site)| site));
            if sites.len() >= MAX_SITES {
                let detail =
                    "Fetches to 20,000 different origins are under way: wait for some to end.";
                return Err(FetchError::new(ErrorName::ConnectionLimitReached, detail));
            }
        }
        let authority = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])
            .map_err(|_| {
                FetchError::new(
                    ErrorName::InvalidRequest,
                    "The URL's host cannot stand in a Host field.",
                )
            })?;
        let host = url.host_str().unwrap_or_default();
        let origin = self.gate.origin(key, host);
        let site = Arc::new(Site::new(
            target,
            authority,
            origin,
            self.policy.clone(),
            self.pool.clone(),
        ));
        sites.insert(key.into(), site.clone());
        Ok(site)
    }
}

fn target(url: &Url, kind: Kind) -> Result<Target, FetchError> {
    let invalid = |detail| FetchError::new(ErrorName::InvalidRequest, detail);
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("The URL's scheme is neither http nor https."));
    }
    let tls = url.scheme() == "https";
    Ok(Target {
        host: url
            .host()
            .ok_or_else(|| invalid("The URL has no host."))?
            .to_owned(),
        port: url
            .port_or_known_default()
            .ok_or_else(|| invalid("The URL has no port."))?,
        tls,
        h2c: !tls && kind == Kind::Private { h2c: true },
    })
}

/// Closes what has been idle for too long, and forgets the sites that nobody uses.
pub(crate) fn sweep(network: &Network, now: Instant) {
    // Looking at every idle connection takes a while: fetches can find their sites meanwhile.
    let sites: Vec<Arc<Site>> = network.sites().values().cloned().collect();
    for site in sites {
        site.sweep(now);
    }
    // A fetch under way holds its site, so a count of one means that nobody does.
    network
        .sites()
        .retain(|_, site| Arc::strong_count(site) > 1 || !site.is_unused());
}
