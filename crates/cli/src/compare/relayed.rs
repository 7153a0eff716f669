//! The same fetches, all at once through relays.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use fetchway_client::{CertificateDer, Client, Encoding, Error, ErrorName};
use fetchway_report::compare::Samples;
use http::Request;
use http_body_util::Empty;
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use url::Url;

use super::check::sample;

/// Longest body that is accepted, in bytes.
const MAX_BODY: usize = 64 << 20;

/// Longest wait of a fetch for its turn at the relay.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How to reach the relays.
pub(crate) struct Way<'a> {
    /// URLs of the relays.
    pub(crate) relays: &'a [String],
    /// Number of WebSockets to each relay.
    pub(crate) connections: usize,
    /// Use the binary encoding, which the relays must offer; JSON otherwise.
    pub(crate) binary: bool,
    /// Token of the relays.
    pub(crate) token: Option<&'a str>,
    /// Certificates to trust beside the public ones.
    pub(crate) roots: &'a [CertificateDer<'static>],
    /// Number of fetches that will be asked for at once.
    pub(crate) count: usize,
}

/// Checks the URL of a relay.
pub(crate) fn check_relay(text: &str) -> anyhow::Result<()> {
    let url = Url::parse(text).with_context(|| {
        format!("{text} is not a valid URL: give one such as ws://localhost:8787")
    })?;
    match url.scheme() {
        "ws" | "wss" if url.host().is_some() => Ok(()),
        "http" | "https" => bail!(
            "{text} is not a WebSocket URL: the relay comes first, then the target, as in \
             `fetchway probe ws://localhost:8787 {text} 10`"
        ),
        _ => bail!("{text} is not a WebSocket URL: give one such as ws://localhost:8787"),
    }
}

/// Connects a client to the relays.
pub(crate) async fn connect(way: &Way<'_>) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .relays(way.relays)
        .sockets(way.connections)
        .encoding(if way.binary {
            Encoding::Binary
        } else {
            Encoding::Json
        })
        .queue(way.count.max(1), PATIENCE);
    if let Some(token) = way.token {
        builder = builder.token(token);
    }
    for root in way.roots {
        builder = builder.root_certificate(root.clone());
    }
    let client = builder.build()?;
    let connected = client.connect().await;
    if let Err(error) = &connected
        && error.name == ErrorName::HttpRequestDenied
    {
        bail!("{error} With `fetchway probe`, give the file of the token with --token-file.");
    }
    connected.with_context(|| {
        format!(
            "no relay at {}: start one with `fetchway serve`, or give another URL (--ca-file names a \
             certificate to trust beside the public ones)",
            way.relays.join(", ")
        )
    })?;
    Ok(client)
}

/// Sends all fetches at once and takes the responses as they come.
pub(crate) async fn relayed(
    client: Client,
    urls: &[Url],
    bar: &ProgressBar,
) -> anyhow::Result<Samples> {
    let began = Instant::now();
    let mut fetches = JoinSet::new();
    for (req, url) in urls.iter().enumerate() {
        let request = Request::get(url.as_str()).body(Empty::<Bytes>::new())?;
        let (client, bar) = (client.clone(), bar.clone());
        fetches.spawn(async move {
            let fetched = fetch(&client, request).await;
            let outcome = fetched.as_ref().map(|(status, body)| (*status, &body[..]));
            let outcome = outcome.map_err(|error| format!("{} ({})", error.detail, error.name));
            bar.inc(1);
            (req, sample(req, began, outcome))
        });
    }
    let mut samples = Vec::with_capacity(urls.len());
    while let Some(sample) = fetches.join_next().await {
        samples.push(sample?);
    }
    client.close(PATIENCE).await;
    samples.sort_by_key(|(req, _)| *req);
    Ok(Samples(
        samples.into_iter().map(|(_, sample)| sample).collect(),
    ))
}

async fn fetch(client: &Client, request: Request<Empty<Bytes>>) -> Result<(u16, Bytes), Error> {
    let response = client.fetch(request).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().bytes(MAX_BODY).await?))
}
