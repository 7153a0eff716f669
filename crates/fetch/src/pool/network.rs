//! The origins that one address policy allows, and their connections. Two policies never share a
//! connection, so a fetch cannot use a connection to an address that its own policy prohibits.

use std::collections::HashMap;
use std::sync::Arc;

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::{Position, Url};

use super::limits::Pool;
use super::site::Site;
use crate::admit::Gate;
use crate::dial::Target;

/// Maximum number of origins of one policy. Beyond it, origins without a fetch are forgotten with their
/// idle connections; if there is none, a fetch to a further origin fails with `connection_limit_reached`.
const MAX_SITES: usize = 20_000;

/// The origins that one address policy allows, and the connections opened under it.
pub struct Network {
    policy: Arc<AddressPolicy>,
    kind: Kind,
    pool: Arc<Pool>,
    gate: Arc<Gate>,
    sites: Mutex<HashMap<Box<str>, Arc<Site>>>,
}

/// The users of a network, and its protocol for origins without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every account with the same policy. HTTP/1.1.
    Common,
    /// Only the accounts to which its owner gives it. HTTP/2 with prior knowledge if `h2c`.
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

    /// Returns true for the shared network of `policy`.
    pub(crate) fn is_common(&self, policy: &AddressPolicy) -> bool {
        self.kind == Kind::Common && *self.policy == *policy
    }

    /// Returns the site of a URL's origin, if the policy allows its host and port.
    pub(crate) fn site(&self, url: &Url) -> Result<Arc<Site>, FetchError> {
        // The key is the origin: scheme, host and port, without a default port. URLs have no user here.
        let key = &url[..Position::BeforePath];
        // Dropped after the lock, because closing connections takes a while.
        let mut forgotten: Vec<Arc<Site>> = Vec::new();
        let mut sites = self.sites.lock();
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

/// Closes connections that have been idle for too long, and forgets the sites without users.
pub(crate) fn sweep(network: &Network, now: Instant) {
    // Checking every idle connection takes a while, so the lock is not held: fetches can find their sites.
    let sites: Vec<Arc<Site>> = network.sites.lock().values().cloned().collect();
    for site in sites {
        site.sweep(now);
    }
    // A fetch in progress holds its site, so a count of one means that the site has no user.
    network
        .sites
        .lock()
        .retain(|_, site| Arc::strong_count(site) > 1 || !site.is_unused());
}
