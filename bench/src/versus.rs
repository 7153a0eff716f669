//! The relay in both encodings, compared with nginx: the same origin, the same small answer and the same
//! concurrency, in alternating runs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use fetchway_test_origins::{Kind, filler};
use tokio::time::timeout;

use crate::binary::Binary;
use crate::http;
use crate::load::Run;
use crate::nginx::Nginx;
use crate::node::NodeProcess;
use crate::origin::OriginProcess;
use crate::process::{Folder, cpu_time};
use crate::relay::Relay;
use crate::spread::Spread;
use crate::{Programs, Volume, say};

/// Longest time of one run; after this the run is considered to hang.
const RUN: Duration = Duration::from_secs(120);

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// The nginx binary
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Rounds; each measures all three ways
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Bytes of the origin's body
    #[arg(long, default_value_t = 100)]
    body: usize,
    /// Requests sent one at a time to measure the latency
    #[arg(long, default_value_t = 5_000)]
    singly: usize,
    #[command(flatten)]
    volume: Volume,
}

/// CPU time and rate of one run.
struct Cost {
    cpu_micros: f64,
    per_second: f64,
}

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&settings.rounds),
        "--rounds must be from 1 to 100"
    );
    let folder = Folder::new()?;
    let length = settings.body.to_string();
    let origin = OriginProcess::start(
        &settings.programs.origin_program,
        &["fast", "--body", &length],
    )
    .await?;
    let nginx = Nginx::start(&settings.nginx, &folder, origin.addr()).await?;
    let node = NodeProcess::start(&settings.programs.fetchway, &folder, "").await?;
    let mut bench = Bench {
        target: format!("http://{}/", origin.addr()),
        body: filler(Kind::Text, 0, settings.body as u64).to_vec(),
        relay: node.connect().await?,
        binary: Binary::connect(node.addr).await?,
        origin,
        nginx,
        node,
        sent: 0,
    };

    let volume = settings.volume;
    say(&format!(
        "{} requests a run, {} outstanding, body of {} bytes, {} rounds",
        volume.total, volume.concurrency, settings.body, settings.rounds
    ));
    let warm = Volume {
        total: (volume.total / 10).max(volume.concurrency),
        ..volume
    };
    for way in Way::ALL {
        bench.through(way, warm).await?;
    }
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for round in 0..settings.rounds {
        // Alternating, with another one first in each round: other work of the machine then affects all equally.
        for turn in 0..Way::ALL.len() {
            let at = (round + turn) % Way::ALL.len();
            costs[at].push(bench.through(Way::ALL[at], volume).await?);
        }
        let [nginx, json, binary] = costs.each_ref().map(|costs| &costs[round]);
        let round = round + 1;
        say(&format!(
            "round {round}: nginx {nginx}, JSON {json}, binary {binary}"
        ));
    }
    report(&costs);
    bench.latency(settings.singly).await?;
    bench.all_reached_the_origin().await
}

struct Bench {
    target: String,
    body: Vec<u8>,
    relay: Relay,
    binary: Binary,
    origin: OriginProcess,
    nginx: Nginx,
    node: NodeProcess,
    /// Requests sent so far, by all ways together.
    sent: usize,
}

impl Bench {
    async fn through(&mut self, way: Way, volume: Volume) -> anyhow::Result<Cost> {
        self.sent += volume.total;
        let node = self.node.process.pid();
        match way {
            Way::Nginx => {
                let load = http::load(self.nginx.addr, "/", volume, Some(&self.body));
                measured(self.nginx.worker, load)
                    .await
                    .context("through nginx")
            }
            Way::Json => {
                let load = relayed(&mut self.relay, &self.target, &self.body, volume);
                measured(node, load)
                    .await
                    .context("through the relay, in JSON")
            }
            Way::Binary => {
                let load = in_binary(&mut self.binary, &self.target, &self.body, volume);
                measured(node, load)
                    .await
                    .context("through the relay, in binary")
            }
        }
    }

    /// Fails unless the origin has received each request once: none answered from a cache, none sent twice.
    async fn all_reached_the_origin(&mut self) -> anyhow::Result<()> {
        let stats = self.origin.stats().await?;
        let (made, seen) = (self.sent as u64, stats["requests"].as_u64());
        ensure!(
            seen == Some(made),
            "{made} requests were sent, but the origin counted {seen:?}"
        );
        Ok(())
    }

    /// Measures the latency of single requests, direct and relayed, in alternating runs.
    async fn latency(&mut self, total: usize) -> anyhow::Result<()> {
        let singly = Volume {
            concurrency: 1,
            total,
        };
        let (mut direct, mut json, mut binary) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            self.sent += 3 * total;
            let load = http::load(self.origin.addr(), "/", singly, Some(&self.body));
            direct.push(timeout(RUN, load).await??.micros(0.5) as f64);
            let load = relayed(&mut self.relay, &self.target, &self.body, singly);
            json.push(timeout(RUN, load).await??.micros(0.5) as f64);
            let load = in_binary(&mut self.binary, &self.target, &self.body, singly);
            binary.push(timeout(RUN, load).await??.micros(0.5) as f64);
        }
        say("");
        say(&format!(
            "one at a time, p50    direct      {} µs",
            Spread::of(&direct, 0)
        ));
        for (name, relayed) in [("JSON adds  ", json), ("binary adds", binary)] {
            let added = relayed
                .iter()
                .zip(&direct)
                .map(|(relayed, direct)| relayed - direct);
            let added: Vec<f64> = added.collect();
            say(&format!(
                "                      {name} {} µs",
                Spread::of(&added, 0)
            ));
        }
        Ok(())
    }
}

/// The way that a request takes to the origin.
#[derive(Clone, Copy)]
enum Way {
    Nginx,
    Json,
    Binary,
}

impl Way {
    const ALL: [Self; 3] = [Self::Nginx, Self::Json, Self::Binary];
}

async fn in_binary(
    relay: &mut Binary,
    target: &str,
    body: &[u8],
    volume: Volume,
) -> anyhow::Result<Run> {
    relay
        .fetch(volume, |_| target.to_owned(), |_, got| got == body)
        .await
}

async fn relayed(
    relay: &mut Relay,
    target: &str,
    body: &[u8],
    volume: Volume,
) -> anyhow::Result<Run> {
    relay
        .fetch(
            volume,
            |_| target.to_owned(),
            |_, got| got.as_bytes() == body,
        )
        .await
}

async fn measured(
    pid: i32,
    load: impl Future<Output = anyhow::Result<Run>>,
) -> anyhow::Result<Cost> {
    let before = cpu_time(pid)?;
    let run = timeout(RUN, load)
        .await
        .context("the run did not finish within 120 s")??;
    let spent = cpu_time(pid)?.saturating_sub(before);
    Ok(Cost {
        cpu_micros: spent.as_secs_f64() * 1e6 / run.requests as f64,
        per_second: run.per_second(),
    })
}

fn report([nginx, json, binary]: &[Vec<Cost>; 3]) {
    let cpu = |costs: &[Cost]| costs.iter().map(|cost| cost.cpu_micros).collect::<Vec<_>>();
    let rate = |costs: &[Cost]| costs.iter().map(|cost| cost.per_second).collect::<Vec<_>>();
    let ratio = |these: &[Cost], those: &[Cost]| {
        let pairs = these.iter().zip(those);
        pairs
            .map(|(this, that)| this.cpu_micros / that.cpu_micros)
            .collect::<Vec<_>>()
    };
    let ways = [("nginx", nginx), ("JSON", json), ("binary", binary)];
    say("");
    say("median of the rounds (minimum..maximum)");
    for (name, costs) in ways {
        say(&format!(
            "CPU per request       {name:<12}{} µs",
            Spread::of(&cpu(costs), 1)
        ));
    }
    for (name, these, those) in [
        ("JSON/nginx", json, nginx),
        ("binary/nginx", binary, nginx),
        ("binary/JSON", binary, json),
    ] {
        say(&format!(
            "{name:<21} {}",
            Spread::of(&ratio(these, those), 2)
        ));
    }
    for (name, costs) in ways {
        say(&format!(
            "requests per second   {name:<12}{}",
            Spread::of(&rate(costs), 0)
        ));
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} µs CPU at {:.0}/s",
            self.cpu_micros, self.per_second
        )
    }
}
