//! The API is killed and started again under load, several times: no client loses its connection, and
//! what became of each message is known exactly.
//!
//! Each client sends at a pace. The gateway tells it of a lost message in the place of the echo
//! (`on-loss = "message"`), so that a run ends when the fate of every message is known. The API writes
//! each request down before it answers, and goes on with that account when it is started again.

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

/// Where the API listens. Connections to an address of 127.0.0.0/8 come from 127.0.0.1: while nobody
/// listens here, none of them can take the port, or meet itself.
const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

/// What a client gets for a message that is lost.
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
    /// Seconds between two messages of a client
    #[arg(long, default_value_t = 1.0)]
    every: f64,
    /// Seconds that messages are sent for
    #[arg(long, default_value_t = 20.0)]
    lasting: f64,
    /// How often the API is killed
    #[arg(long, default_value_t = 5)]
    kills: u32,
    /// Seconds that it is away each time
    #[arg(long, default_value_t = 0.5)]
    down: f64,
    /// Milliseconds that the API takes for a request, so that some are under way when it is killed
    #[arg(long, default_value_t = 10)]
    delay: u32,
    /// How the gateway speaks to the API
    #[arg(long, value_delimiter = ',', default_value = "http,h2c", value_parser = ["http", "h2c"])]
    upstream: Vec<String>,
    /// What the gateway promises
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
    ensure!(settings.kills > 0, "--kills must be above zero");
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
    // In this order: the clients' ends are told while there is somebody to tell them to.
    drop(crowd);
    drop(gateway);
    outcome.judge(delivery)
}

/// Kills the API and starts it again, evenly spread over the time.
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

/// What the clients, the gateway and the API say of a run.
struct Outcome {
    clients: u64,
    sent: u64,
    lost: u64,
    run: Run,
    metrics: Metrics,
    account: Value,
}

impl Outcome {
    /// They must agree, and what was promised must be kept.
    fn judge(&self, delivery: Delivery) -> anyhow::Result<String> {
        let echoed = self.run.requests as u64;
        let of = |name: &str| self.account[name].as_u64().unwrap_or(u64::MAX);
        let heard = of("messages") - of("repeated");
        let says = |name: &str, expected: u64| {
            let value = self.metrics.value(name)?;
            ensure!(
                value == expected,
                "{name} is {value}, and should be {expected}"
            );
            Ok(())
        };
        says("fetchway_gateway_connections", self.clients)?;
        says("fetchway_gateway_messages_in_total", self.sent)?;
        says("fetchway_gateway_messages_lost_total", self.lost)?;
        says("fetchway_gateway_queued_messages", 0)?;
        let (connects, deletes) = (of("connects"), of("deletes"));
        ensure!(
            connects == self.clients && deletes == 0 && of("out_of_order") == 0,
            "clients came again, were dropped, or had messages overtake one another: {}",
            self.account
        );
        ensure!(
            echoed + self.lost == self.sent && (echoed..=self.sent).contains(&heard),
            "{} were sent, {echoed} came back, {} were lost, the API heard {heard}",
            self.sent,
            self.lost
        );
        match delivery {
            Delivery::AtMostOnce => ensure!(
                of("repeated") == 0,
                "{} messages came twice to the API",
                of("repeated")
            ),
            Delivery::AtLeastOnce => ensure!(
                self.lost == 0 && of("skipped") == 0 && heard == self.sent,
                "{} messages were lost; the API heard {heard} of {}",
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
