//! An engine with an account and an observer, and short ways to fetch with it.

mod count;
mod frames;
mod peer;
mod peer_h2;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_fetch::{
    Account, AccountConfig, AccountLimits, Body, Engine, EngineConfig, FetchRequest, Fetched,
    Network, RequestBody,
};
use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, LaneConfig, Timeouts};
use fetchway_test_origins::{Certificate, TestOrigin};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use url::Url;

pub(crate) use count::Count;
pub(crate) use peer::{Peer, RawPeer};
pub(crate) use peer_h2::{H2Conn, H2Peer, answer, head};

/// What an account may have, where a test does not care.
pub(crate) const PLENTY: AccountConfig = AccountConfig {
    limits: AccountLimits {
        in_flight: 10_000,
        queued: 100_000,
        queued_bytes: 1 << 30,
    },
    bodies: 1 << 30,
};

/// Waits for what must happen; a test that waits in vain fails here instead of hanging.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(20), what).await;
    waited.expect("what the test waits for must happen within 20 s")
}

/// A policy that allows this machine.
pub(crate) fn loopback() -> AddressPolicy {
    let nets = ["127.0.0.0/8", "::1/128"];
    AddressPolicy {
        allow_nets: nets.map(|net| net.parse().expect("a net")).to_vec(),
        ..AddressPolicy::default()
    }
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig::default()
}

/// The only lane, changed.
pub(crate) fn with_lane(change: impl FnOnce(&mut LaneConfig)) -> EngineConfig {
    let mut config = config();
    change(&mut config.lanes[0].1);
    config
}

/// Trusting an origin's or a peer's authority.
pub(crate) fn trusting(mut config: EngineConfig, certificate: &Certificate) -> EngineConfig {
    config.extra_roots.push(certificate.ca_der());
    config
}

pub(crate) fn trusting_origin(config: EngineConfig, origin: &TestOrigin) -> EngineConfig {
    trusting(config, origin.certificate().expect("an origin with TLS"))
}

/// Names with fixed addresses.
pub(crate) fn with_hosts(mut config: EngineConfig, hosts: &[(&str, &[IpAddr])]) -> EngineConfig {
    let hosts = hosts
        .iter()
        .map(|(name, ips)| ((*name).to_owned(), ips.to_vec()));
    config.hosts.extend(hosts);
    config
}

/// An engine, one account of it, and its observer.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) account: Account,
    pub(crate) count: Arc<Count>,
}

/// A response read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) url: Url,
}

impl Whole {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// What `/echo` saw of a request field.
    pub(crate) fn echoed(&self, name: &str) -> Vec<String> {
        let json = self.json();
        let fields = json["headers"].as_array().expect("fields");
        let named = fields.iter().filter(|field| field[0] == name);
        named
            .map(|field| field[1].as_str().expect("text").to_owned())
            .collect()
    }
}

impl Rig {
    pub(crate) fn new(config: EngineConfig) -> Self {
        Self::with_policy(config, loopback())
    }

    pub(crate) fn with_policy(config: EngineConfig, policy: AddressPolicy) -> Self {
        Self::with_network(config, |engine| engine.network(&Arc::new(policy)))
    }

    /// On a private network that speaks HTTP/2 to origins without TLS.
    pub(crate) fn h2c(config: EngineConfig) -> Self {
        Self::with_network(config, |engine| {
            engine.private_network(Arc::new(loopback()), true)
        })
    }

    pub(crate) fn with_network(
        config: EngineConfig,
        network: impl FnOnce(&Engine) -> Arc<Network>,
    ) -> Self {
        let count = Arc::new(Count::default());
        let engine = Engine::new(config, count.clone()).expect("an engine");
        let account = Account::open(&engine, network(&engine), PLENTY);
        Self {
            engine,
            account,
            count,
        }
    }

    pub(crate) fn network(&self, policy: AddressPolicy) -> Arc<Network> {
        self.engine.network(&Arc::new(policy))
    }

    pub(crate) async fn fetch(&self, request: FetchRequest) -> Result<Fetched, FetchError> {
        soon(self.account.queue(request).perform()).await
    }

    /// Fetches and reads to the end.
    pub(crate) async fn whole(&self, request: FetchRequest) -> Result<Whole, FetchError> {
        whole(self.fetch(request).await?).await
    }

    pub(crate) fn get<'a>(
        &'a self,
        url: &str,
    ) -> impl Future<Output = Result<Whole, FetchError>> + use<'a> {
        self.whole(get(url))
    }

    /// The name of what a GET fails with.
    pub(crate) fn fails<'a>(&'a self, url: &str) -> impl Future<Output = ErrorName> + use<'a> {
        let whole = self.get(url);
        async move { whole.await.expect_err("the fetch must fail").name }
    }

    /// Nothing is under way, nothing is held, each fetch ended once; and when the engine is gone, so
    /// are its connections.
    pub(crate) async fn finish(self) {
        self.is_idle();
        let Self {
            engine,
            account,
            count,
        } = self;
        drop((engine, account));
        soon(count.wait_until(|count| count.open() == 0)).await;
    }

    pub(crate) fn is_idle(&self) {
        for lane in self.engine.lane_stats() {
            assert_eq!(
                (lane.in_flight, lane.queued, lane.queued_bytes, lane.paused),
                (0, 0, 0, 0)
            );
        }
        let account = self.account.stats();
        assert_eq!(
            (account.in_flight, account.queued, account.queued_bytes),
            (0, 0, 0)
        );
        assert_eq!(self.engine.budget_used(), 0);
        assert_eq!(
            self.count.started(),
            self.count.ended().len(),
            "each fetch ends once"
        );
    }
}

/// Reads a response to its end.
pub(crate) async fn whole(fetched: Fetched) -> Result<Whole, FetchError> {
    let (head, body) = fetched.response.into_parts();
    let collected = soon(body.collect()).await?;
    Ok(Whole {
        status: head.status,
        headers: head.headers,
        trailers: collected.trailers().cloned(),
        body: collected.to_bytes(),
        url: fetched.url,
    })
}

/// The next data of a body.
pub(crate) async fn data(body: &mut Body) -> Option<Result<Bytes, FetchError>> {
    let frame = soon(body.frame()).await?;
    Some(frame.map(|frame| frame.into_data().expect("data")))
}

pub(crate) fn request(method: Method, url: &str, body: impl Into<Bytes>) -> FetchRequest {
    FetchRequest {
        method,
        url: Url::parse(url).expect("a URL"),
        headers: HeaderMap::new(),
        body: RequestBody::Full(body.into()),
        lane: 0,
        redirect: RedirectMode::Follow,
        decode: true,
        timeouts: Timeouts::default(),
    }
}

pub(crate) fn get(url: &str) -> FetchRequest {
    request(Method::GET, url, Bytes::new())
}

pub(crate) fn post(url: &str, body: impl Into<Bytes>) -> FetchRequest {
    request(Method::POST, url, body)
}

/// Adds a field.
pub(crate) fn with(mut request: FetchRequest, name: &'static str, value: &str) -> FetchRequest {
    let value = HeaderValue::from_str(value).expect("a value");
    request.headers.append(HeaderName::from_static(name), value);
    request
}
