//! The API is killed and restarted under load several times: no client may be disconnected, and the result of
//! each message is known exactly.
//!
//! Each client sends at a pace. The gateway reports a lost message in place of its echo (`on-loss = "message"`),
//! so that a run ends when the result of every message is known. The API records each request in a file before
//! it answers, and reads the file after a restart.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio::time::sleep;

use super::node::{GatewayProcess, Metrics};
use super::{Coming, Crowd, on_thread, raise_descriptors, seconds};
use crate::load::Run;
use crate::origin::OriginProcess;
use crate::process::Folder;
use crate::swarm::Stop;
use crate::{Programs, say};

/// Address of the API. Connections to an address in 127.0.0.0/8 come from 127.0.0.1, so that none of them can
/// use this port, or connect to itself, while the API is down.
const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

/// Text that a client receives for a lost message.
const LOST: &str = "lost";

/// Bytes of a message.
const SIZE: usize = 128;

#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Clients
    #[arg(long, default_value_t = 4_000)]
    clients: usize,
    /// Seconds between two messages of each client
    #[arg(long, default_value_t = 1.0)]
    every: f64,
    /// Seconds for which messages are sent
    #[arg(long, default_value_t = 20.0)]
    lasting: f64,
    /// Number of times that the API is killed
    #[arg(long, default_value_t = 5)]
    kills: u32,
    /// Seconds for which the API is down each time
    #[arg(long, default_value_t = 0.5)]
    down: f64,
    /// Delay of the API's answers in milliseconds, so that requests are in flight when the API is killed
    #[arg(long, default_value_t = 10)]
    delay: u32,
    /// Protocols between the gateway and the API
    #[arg(long, value_delimiter = ',', default_value = "http,h2c", value_parser = ["http", "h2c"])]
    upstream: Vec<String>,
    /// Delivery modes of the gateway
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Delivery::BOTH)]
    delivery: Vec<Delivery>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Delivery {
    AtMostOnce,
    AtLeastOnce,
}

impl Delivery {
    const BOTH: [Self; 2] = [Self::AtMostOnce, Self::AtLeastOnce];

    const fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
        }
    }
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    raise_descriptors()?;
    ensure!(settings.kills > 0, "--kills must be at least 1");
    for upstream in &settings.upstream {
        for delivery in &settings.delivery {
            let name = format!("{upstream}, {}", delivery.name());
            let what = one(&settings, upstream, *delivery).await;
            say(&format!("{name}: {}", what.with_context(|| name.clone())?));
        }
    }
    Ok(())
}

async fn one(settings: &Settings, upstream: &str, delivery: Delivery) -> anyhow::Result<String> {
    let folder = Folder::new()?;
    let journal = folder.path().join("journal");
    let api = started(settings, API, &journal).await?;
    let url = format!("{upstream}://{}/", api.addr());
    let sets = [
        format!("gateways[0].delivery={}", delivery.name()),
        "gateways[0].on-loss=message".to_owned(),
        format!("gateways[0].on-loss-message={LOST}"),
    ];
    let further: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let gateway =
        GatewayProcess::start(&settings.programs.fetchway, &folder, &url, None, &further).await?;

    let stop = Stop::default();
    let mut crowd = Crowd::new(vec![gateway.gateway], None, 1, true, &stop)?;
    crowd.allow_losses(LOST);
    let clients = settings.clients;
    let (crowd, _) = on_thread(crowd, move |crowd| crowd.grow(clients, Coming::FREELY)).await?;
    let (period, lasting) = (seconds(settings.every)?, seconds(settings.lasting)?);
    let load = on_thread(crowd, move |crowd| {
        let (run, _) = crowd.every(period, lasting, SIZE)?;
        crowd.ensure_complete()?;
        Ok(run)
    });
    let killing = killed(settings, api, &journal, lasting);
    let ((crowd, run), mut api) = tokio::try_join!(load, killing)?;
    let outcome = Outcome {
        clients: clients as u64,
        sent: crowd.sent(),
        lost: crowd.lost(),
        run,
        metrics: gateway.metrics().await?,
        account: api.stats().await?,
    };
    // In this order: the API still runs when the clients' disconnects are delivered.
    drop(crowd);
    drop(gateway);
    outcome.judge(delivery)
}

/// Kills and restarts the API at times that are evenly spread over the run.
async fn killed(
    settings: &Settings,
    mut api: OriginProcess,
    journal: &Path,
    time: Duration,
) -> anyhow::Result<OriginProcess> {
    let (addr, down) = (api.addr(), seconds(settings.down)?);
    let between = time / settings.kills;
    sleep(between / 2).await;
    for kill in 0..settings.kills {
        if kill > 0 {
            sleep(between.saturating_sub(down)).await;
        }
        api.kill().await?;
        sleep(down).await;
        api = started(settings, addr, journal).await?;
    }
    Ok(api)
}

async fn started(
    settings: &Settings,
    addr: SocketAddr,
    journal: &Path,
) -> anyhow::Result<OriginProcess> {
    let (listen, journal) = (addr.to_string(), journal.display().to_string());
    let args = ["api", "--listen", &listen, "--journal", &journal];
    let mut api = OriginProcess::start(&settings.programs.origin_program, &args).await?;
    api.tell(&format!("delay {}", settings.delay)).await?;
    Ok(api)
}

/// Figures of a run, from the clients, the gateway and the API.
struct Outcome {
    clients: u64,
    sent: u64,
    lost: u64,
    run: Run,
    metrics: Metrics,
    account: Value,
}

impl Outcome {
    /// Fails unless the figures agree and the delivery mode was kept.
    fn judge(&self, delivery: Delivery) -> anyhow::Result<String> {
        let echoed = self.run.requests as u64;
        let of = |name: &str| self.account[name].as_u64().unwrap_or(u64::MAX);
        let heard = of("messages") - of("repeated");
        let says = |name: &str, expected: u64| {
            let value = self.metrics.value(name)?;
            ensure!(value == expected, "{name} is {value}; expected {expected}");
            Ok(())
        };
        says("fetchway_gateway_connections", self.clients)?;
        says("fetchway_gateway_messages_in_total", self.sent)?;
        says("fetchway_gateway_messages_lost_total", self.lost)?;
        says("fetchway_gateway_queued_messages", 0)?;
        let (connects, deletes) = (of("connects"), of("deletes"));
        ensure!(
            connects == self.clients && deletes == 0 && of("out_of_order") == 0,
            "clients reconnected, were disconnected, or their messages were out of order: {}",
            self.account
        );
        ensure!(
            echoed + self.lost == self.sent && (echoed..=self.sent).contains(&heard),
            "{} messages were sent, {echoed} echoed, {} lost, and {heard} received by the API",
            self.sent,
            self.lost
        );
        match delivery {
            Delivery::AtMostOnce => ensure!(
                of("repeated") == 0,
                "the API received {} messages twice",
                of("repeated")
            ),
            Delivery::AtLeastOnce => ensure!(
                self.lost == 0 && of("skipped") == 0 && heard == self.sent,
                "{} messages were lost; the API received {heard} of {}",
                self.lost,
                self.sent
            ),
        }
        Ok(format!(
            "{} messages of {} clients, none of which was dropped: {echoed} came back, {} were lost, which \
             the gateway's metrics say too; the API heard {heard}, {} of them twice, each client's in order",
            self.sent,
            self.clients,
            self.lost,
            of("repeated")
        ))
    }
}
