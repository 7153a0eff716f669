//! The gateways of a node: put together from `[[gateways]]`, bound, served, and what stands at their
//! doors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fetchway_gateway::{Gateway, Observer as _, Pushed};
use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use crate::auth::{TokenDigest, authorize, digest_of};
use crate::config::{ApiUrl, Config, GatewaySection, read_token};
use crate::core::{Bound, Core, is_loopback, require_token};
use crate::http::{log_request, refuse, unauthorized};
use crate::listener::{Entry, Handler, Peer};
use crate::metrics::{GatewayMetrics, ListenerName, Metrics, Refused, Told};
use crate::origin_check::OriginCheck;
use crate::start_error::StartError;
use crate::tls::Tls;
use fetchway_service::problem::Answer;
use fetchway_service::reply::{self, Reply};

/// A gateway that is about to start, with the files read that its section names.
pub(crate) struct Plan<'a> {
    /// The section's place in the configuration.
    table: String,
    section: &'a GatewaySection,
    listen: SocketAddr,
    api: &'a ApiUrl,
    token: Option<TokenDigest>,
    tls: Option<Arc<Tls>>,
    push_tls: Option<Arc<Tls>>,
}

impl<'a> Plan<'a> {
    /// One for each of `[[gateways]]`.
    pub(crate) fn all(config: &'a Config) -> Result<Vec<Self>, StartError> {
        let sections = config.gateways.iter().enumerate();
        sections
            .map(|(index, section)| Self::new(format!("gateways[{index}]"), section))
            .collect()
    }

    fn new(table: String, section: &'a GatewaySection) -> Result<Self, StartError> {
        let (Some(listen), Some(api)) = (section.listen, &section.api) else {
            let detail = "listen and api are both needed; set them";
            let error = FetchError::new(ErrorName::ProxyConfigurationError, detail);
            return Err(StartError::Gateway(table, error));
        };
        let key = format!("{table}.push-token-file");
        let token = read_token(&key, &section.push_token, &section.push_token_file)?;
        let token = digest_of(&token);
        if let Some(address) = section.push_listen {
            let key = format!("{table}.push-listen");
            let setting = format!("{table}.push-token or push-token-file");
            require_token(&key, address.0, token.is_some(), &setting)?;
        }
        Ok(Self {
            tls: Tls::new(format!("{table}.tls"), &section.tls)?,
            push_tls: Tls::new(format!("{table}.push-tls"), &section.push_tls)?,
            listen: listen.0,
            api,
            token,
            section,
            table,
        })
    }

    /// Binds the gateway's listeners, and puts the gateway together. `clients` is the default of
    /// `max-clients`, `grace` the time for which the node drains.
    pub(crate) fn bind(
        self,
        core: &Core,
        clients: usize,
        grace: Duration,
    ) -> Result<Ready<'a>, StartError> {
        let mut config = self.section.to_config(self.api, self.token.is_some());
        // The API must get the DELETEs of the last clients within the grace.
        config.drain_spread = config.drain_spread.min(grace / 2);
        if config.max_clients == 0 {
            config.max_clients = clients;
        }
        let max_clients = config.max_clients;
        let key = format!("{}.listen", self.table);
        let clients = match self.section.reuse_port {
            true => core.listen_beside(&key, self.listen)?,
            false => core.listen(&key, self.listen)?,
        };
        let pushes = self.section.push_listen.map(|address| {
            let key = format!("{}.push-listen", self.table);
            core.listen(&key, address.0)
        });
        let metrics = Arc::new(GatewayMetrics::new(&self.section.name));
        // The operator names the API, and nobody else gets at the connections to it.
        let policy = Arc::new(AddressPolicy::allow_all());
        let network = || core.engine.private_network(policy.clone(), self.api.h2c());
        let (observer, shutdown) = (metrics.clone(), &core.shutdown);
        let gateway = Gateway::new(config, &core.engine, network, observer, shutdown);
        let gateway = gateway.map_err(|error| StartError::Gateway(self.table.clone(), error))?;
        Ok(Ready {
            clients,
            pushes: pushes.transpose()?,
            gateway,
            max_clients,
            metrics,
            plan: self,
        })
    }
}

/// A gateway whose listeners are bound and do not serve yet.
pub(crate) struct Ready<'a> {
    plan: Plan<'a>,
    gateway: Gateway,
    max_clients: usize,
    metrics: Arc<GatewayMetrics>,
    clients: Bound,
    pushes: Option<Bound>,
}

impl Ready<'_> {
    pub(crate) fn tls(&self) -> impl Iterator<Item = Arc<Tls>> {
        let Plan { tls, push_tls, .. } = &self.plan;
        tls.iter().chain(push_tls).cloned()
    }

    /// Begins to serve, on the runtime's tasks that `servers` gets.
    pub(crate) fn serve(
        self,
        core: &Core,
        config: &Config,
        servers: &mut Vec<JoinHandle<()>>,
    ) -> Running {
        let Plan {
            section,
            api,
            token,
            tls,
            push_tls,
            ..
        } = self.plan;
        let (listener, addr) = self.clients;
        let push_addr = self.pushes.as_ref().map(|(_, addr)| *addr);
        let pushed_at = push_addr.map(|addr| (addr, push_tls.is_some()));
        let pushing = pushing(section, (addr, tls.is_some()), pushed_at, token.is_some());
        let clients = Clients {
            gateway: self.gateway.clone(),
            token: token.clone(),
        };
        let entry = Entry {
            tls,
            proxies: (section.proxy_protocol).then(|| section.trusted_proxies.clone()),
        };
        servers.push(core.serve(ListenerName::Gateway, clients, entry, listener));
        if let Some((listener, addr)) = self.pushes {
            let open_to_anyone = is_loopback(addr) && token.is_none();
            let pushes = Pushes {
                gateway: self.gateway.clone(),
                token,
                origins: OriginCheck::new(&config.allow_origins, open_to_anyone),
                told: self.metrics.clone(),
                metrics: Arc::clone(&core.metrics),
            };
            servers.push(core.serve(ListenerName::Push, pushes, push_tls, listener));
        }
        Running {
            name: section.name.clone(),
            api: api.to_string(),
            addr,
            push_addr,
            pushing,
            shares: section.reuse_port,
            counts_peers: counts_peers(section),
            gateway: self.gateway,
            max_clients: self.max_clients,
            metrics: self.metrics,
        }
    }
}

/// How the API reaches clients, or what would let it.
fn pushing(
    section: &GatewaySection,
    (addr, tls): (SocketAddr, bool),
    pushed_at: Option<(SocketAddr, bool)>,
    has_token: bool,
) -> String {
    let scheme = |tls| if tls { "https" } else { "http" };
    let token = match has_token {
        true => " with `Authorization: Bearer TOKEN`",
        false => "",
    };
    match pushed_at {
        Some((addr, tls)) => format!("POST to {}://{addr}/ID{token}", scheme(tls)),
        None if has_token => format!("POST to {}://{addr}/ID{token}", scheme(tls)),
        None if section.open_push => {
            format!("POST to {}://{addr}/ID, open to whoever reaches it", scheme(tls))
        }
        None => "off; to let the API push, set push-token (--push-token), or push-listen \
                 (--push-listen) for an address of its own, or open-push (--open-push) to let anyone"
            .to_owned(),
    }
}

/// Whether connections are counted by the address that they come from, as no proxy is trusted to name
/// another.
fn counts_peers(section: &GatewaySection) -> bool {
    section.per_address > 0 && section.trusted_proxies.is_empty()
}

/// A gateway that serves.
pub(crate) struct Running {
    name: String,
    api: String,
    addr: SocketAddr,
    push_addr: Option<SocketAddr>,
    pushing: String,
    max_clients: usize,
    shares: bool,
    counts_peers: bool,
    gateway: Gateway,
    metrics: Arc<GatewayMetrics>,
}

impl Running {
    /// Says in the log where it is, and how it is pushed to.
    pub(crate) fn announce(&self) {
        tracing::info!(
            gateway = self.name,
            addr = %self.addr,
            api = self.api,
            push_addr = self.push_addr.map(tracing::field::display),
            push = self.pushing,
            max_clients = self.max_clients,
            "a gateway is listening"
        );
        if self.shares {
            tracing::info!(
                gateway = self.name,
                addr = %self.addr,
                "other processes may listen there too: client ids are unique in each process only, \
                 and a push has to go to the push-listen of the one that holds the client"
            );
        }
        if self.counts_peers {
            tracing::warn!(
                gateway = self.name,
                "per-address counts connections by where they come from, which is right only if \
                 clients connect directly: behind a proxy all have its address; then set \
                 trusted-proxies, or proxy-protocol too"
            );
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn push_addr(&self) -> Option<SocketAddr> {
        self.push_addr
    }

    pub(crate) fn told(&self) -> Told {
        (self.gateway.clone(), Arc::clone(&self.metrics))
    }
}

/// Answers the clients of a gateway. It checks the pages that they come from by itself.
struct Clients {
    gateway: Gateway,
    token: Option<TokenDigest>,
}

impl Handler for Clients {
    type Body = Reply;

    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Reply> {
        let shown = (self.token.as_ref()).map(|token| authorize(token, request.headers()));
        let from = fetchway_gateway::Peer {
            addr: peer.addr,
            is_unnamed: peer.is_unnamed,
            tls: peer.tls,
            authorized: shown.is_some_and(|shown| shown.is_ok()),
        };
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.gateway.handle(request, from).await;
        log_request("gateway", peer, &method, &uri, &answer);
        answer
    }
}

/// Answers the pushes to a gateway that come to a listener of their own.
struct Pushes {
    gateway: Gateway,
    /// Asked for, if there is one.
    token: Option<TokenDigest>,
    origins: OriginCheck,
    told: Arc<GatewayMetrics>,
    metrics: Arc<Metrics>,
}

impl Handler for Pushes {
    type Body = Reply;

    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Reply> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = match self.refusal(&request) {
            Some(refused) => reply::refuse(refused, request),
            None => self.gateway.handle_push(request).await,
        };
        log_request("push", peer, &method, &uri, &answer);
        answer
    }
}

impl Pushes {
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        if let Err(refusal) = self.origins.check(request.uri(), request.headers()) {
            return Some(refuse(&self.metrics, refusal));
        }
        let token = self.token.as_ref()?;
        let why = authorize(token, request.headers()).err()?;
        self.metrics.refused(Refused::Token);
        self.told.pushed(Pushed::Unauthorized);
        Some(unauthorized(
            why,
            "send it as `Authorization: Bearer TOKEN`",
        ))
    }
}
