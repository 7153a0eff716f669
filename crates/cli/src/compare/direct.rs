//! Direct fetches, as many at a time as the imitated platform allows.

use std::sync::Arc;
use std::time::Instant;

use fetchway_fetch::{
    Account, AccountConfig, AccountLimits, Engine, EngineConfig, FetchRequest, NoObserver,
    RequestBody,
};
use fetchway_policy::Timeouts;
use fetchway_policy::guard::{AddressPolicy, IpNet};
use fetchway_policy::redirect::RedirectMode;
use fetchway_report::compare::Samples;
use indicatif::ProgressBar;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::rustls::pki_types::CertificateDer;
use url::Url;

use super::check::sample;

/// An account of an engine without a node, which may fetch from any address. Trusts `roots` beside the public
/// certificates.
pub(crate) fn private_engine(roots: Vec<CertificateDer<'static>>) -> anyhow::Result<Account> {
    let config = EngineConfig {
        extra_roots: roots,
        ..EngineConfig::default()
    };
    let engine = Engine::new(config, Arc::new(NoObserver))?;
    let everywhere: [IpNet; 2] = ["0.0.0.0/0".parse()?, "::/0".parse()?];
    let policy = AddressPolicy {
        allow_nets: everywhere.to_vec(),
        ..AddressPolicy::default()
    };
    let network = engine.network(&Arc::new(policy));
    let most = usize::MAX >> 1;
    let limits = AccountLimits {
        in_flight: most,
        queued: most,
        queued_bytes: most,
    };
    let bodies = 1 << 30;
    Ok(Account::open(
        &engine,
        network,
        AccountConfig { limits, bodies },
    ))
}

/// Fetches `urls`, at most `limit` at a time; the others wait, as on the imitated platform.
pub(crate) async fn direct(
    account: &Account,
    urls: Vec<Url>,
    limit: usize,
    bar: &ProgressBar,
) -> Samples {
    let slots = Arc::new(Semaphore::new(limit.max(1)));
    let mut fetches = JoinSet::new();
    for (req, url) in urls.into_iter().enumerate() {
        let (account, slots) = (account.clone(), slots.clone());
        fetches.spawn(async move {
            let _slot = slots.acquire().await;
            let began = Instant::now();
            let fetched = fetch(&account, url).await;
            let outcome = fetched.as_ref().map(|(status, body)| (*status, &body[..]));
            (req, sample(req, began, outcome.map_err(Clone::clone)))
        });
    }
    let mut samples = Vec::new();
    while let Some(done) = fetches.join_next().await {
        bar.inc(1);
        samples.extend(done.ok());
    }
    samples.sort_by_key(|(req, _)| *req);
    Samples(samples.into_iter().map(|(_, sample)| sample).collect())
}

async fn fetch(account: &Account, url: Url) -> Result<(u16, bytes::Bytes), String> {
    let request = FetchRequest {
        method: http::Method::GET,
        url,
        headers: http::HeaderMap::new(),
        body: RequestBody::Full(bytes::Bytes::new()),
        lane: 0,
        redirect: RedirectMode::Follow,
        decode: true,
        timeouts: Timeouts::default(),
    };
    let error = |error: fetchway_policy::FetchError| format!("{} ({})", error.detail, error.name);
    let fetched = account.queue(request).perform().await.map_err(error)?;
    let response = fetched.response;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .whole(&mut account.hold(), 0, 1 << 30)
        .await
        .map_err(error)?;
    Ok((status, body))
}
