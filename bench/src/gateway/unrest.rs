//! All clients reconnect at once: afterwards, the API must know each client as connected.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::node::GatewayProcess;
use super::{Coming, Crowd, Gauge, on_thread, raise_descriptors, seconds};
use crate::origin::OriginProcess;
use crate::process::Folder;
use crate::swarm::Stop;
use crate::{Programs, say};

/// Longest time until the API has received all requests.
const CALM: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Clients
    #[arg(long, default_value_t = 8_000)]
    clients: usize,
    /// Seconds within which all clients reconnect
    #[arg(long, default_value_t = 2.0)]
    within: f64,
    /// Number of times that all clients reconnect
    #[arg(long, default_value_t = 3)]
    storms: usize,
    /// Protocol between the gateway and the API: http or h2c
    #[arg(long, default_value = "http", value_parser = ["http", "h2c"])]
    upstream: String,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    raise_descriptors()?;
    for epochs in [false, true] {
        one(&settings, epochs).await?;
    }
    Ok(())
}

async fn one(settings: &Settings, epochs: bool) -> anyhow::Result<()> {
    say(if epochs {
        "an API that uses epochs"
    } else {
        "an API that does not use epochs"
    });
    let folder = Folder::new()?;
    let mut api = OriginProcess::start(&settings.programs.origin_program, &["api"]).await?;
    let url = format!("{}://{}/", settings.upstream, api.addr());
    let set = format!("gateways[0].epochs={epochs}");
    let further = ["--set", &set];
    let gateway =
        GatewayProcess::start(&settings.programs.fetchway, &folder, &url, None, &further).await?;
    let gauge = Gauge::new(Some(gateway.pid()))?;
    let stop = Stop::default();
    let mut crowd = Crowd::new(vec![gateway.gateway], None, 1, true, &stop)?;
    let clients = settings.clients;
    let within = seconds(settings.within)?;
    (crowd, _) = on_thread(crowd, move |crowd| crowd.grow(clients, Coming::FREELY)).await?;
    for storm in 1..=settings.storms {
        (crowd, ()) = on_thread(crowd, move |crowd| {
            let step = gauge.step()?;
            let (took, pushed) = crowd.reconnect(within, 128)?;
            say(&format!(
                "  storm {storm}: {clients} reconnected in {:.2} s; then pushes: {}; {}{}",
                took.as_secs_f64(),
                pushed.run,
                pushed.answers,
                step.end(clients)?
            ));
            Ok(())
        })
        .await?;
        let stats = knows_all(&mut api, clients, epochs).await?;
        say(&format!("  the API: {stats}"));
    }
    drop(crowd);
    Ok(())
}

/// Waits until the API has received all requests and knows each client as connected; returns its counters.
async fn knows_all(api: &mut OriginProcess, clients: usize, epochs: bool) -> anyhow::Result<Value> {
    let name = if epochs { "known_by_epoch" } else { "known" };
    let until = Instant::now() + CALM;
    let mut last = Value::Null;
    loop {
        let stats = api.stats().await?;
        // Unchanged counters: late DELETEs have arrived.
        let is_calm = stats == last;
        if is_calm && stats[name].as_u64() == Some(clients as u64) {
            return Ok(stats);
        }
        ensure!(
            Instant::now() < until,
            "{clients} clients are connected, but the API's counters differ after {CALM:?}: {stats}"
        );
        last = stats;
        sleep(Duration::from_millis(500)).await;
    }
}
