//! The gateway beside nginx as a reverse proxy: the same API, the same small messages, the same
//! concurrency, in turns. nginx's work for a POST is the floor: one request in, one out.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};

use super::node::GatewayProcess;
use super::{Coming, Crowd, post, raise_descriptors};
use crate::load::Run;
use crate::nginx::Nginx;
use crate::origin::OriginProcess;
use crate::process::{Each, Folder, cpu};
use crate::spread::Spread;
use crate::swarm::Stop;
use crate::{Programs, Volume, say};

/// What the ids are made from, other ones for each way to the API.
const SEEDS: [u64; 2] = [1, 2];
const NGINX_SEED: u64 = 3;

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// The nginx binary
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Rounds; each measures all ways
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Way::ALL)]
    ways: Vec<Way>,
    /// Clients open at each gateway
    #[arg(long, default_value_t = 8_000)]
    open: usize,
    /// Clients of them that send in lockstep, and connections to nginx
    #[arg(long, default_value_t = 64)]
    few: usize,
    /// Clients that send in the ways with many
    #[arg(long, default_value_t = 1_000)]
    many: usize,
    /// Messages of a run
    #[arg(long, default_value_t = 200_000)]
    total: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 128)]
    size: usize,
}

/// How a message gets to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// POSTs through nginx
    Nginx,
    /// WebSockets, the API over HTTP/1.1
    Http1,
    /// WebSockets, the API over HTTP/2 with prior knowledge
    H2c,
    /// As http1, with many senders
    Http1Many,
    /// As h2c, with many senders
    H2cMany,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Nginx,
        Self::Http1,
        Self::H2c,
        Self::Http1Many,
        Self::H2cMany,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Http1 => "HTTP/1.1",
            Self::H2c => "h2c",
            Self::Http1Many => "HTTP/1.1, many",
            Self::H2cMany => "h2c, many",
        }
    }

    /// Which of the gateways it needs.
    fn gateway(self) -> Option<usize> {
        match self {
            Self::Nginx => None,
            Self::Http1 | Self::Http1Many => Some(0),
            Self::H2c | Self::H2cMany => Some(1),
        }
    }
}

/// What a run has cost, and what came of it.
struct Cost {
    cpu: Each,
    run: Run,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&settings.rounds),
        "--rounds must be from 1 to 100"
    );
    raise_descriptors()?;
    let folder = Folder::new()?;
    let mut api = OriginProcess::start(&settings.programs.origin_program, &["api"]).await?;
    let nginx = Nginx::start(&settings.nginx, &folder, api.addr()).await?;
    let mut gateways = [None, None];
    for (at, scheme) in ["http", "h2c"].into_iter().enumerate() {
        if settings.ways.iter().any(|way| way.gateway() == Some(at)) {
            let url = format!("{scheme}://{}/", api.addr());
            let started =
                GatewayProcess::start(&settings.programs.fetchway, &folder, &url, None, &[]).await;
            gateways[at] = Some(started.with_context(|| format!("the gateway to {url}"))?);
        }
    }
    let stop = Stop::default();
    let mut bench = Bench {
        nginx: (nginx.addr, nginx.worker),
        crowds: [None, None],
        stop: Stop::linked(&stop),
        sent: 0,
        settings,
    };
    for (at, gateway) in gateways.iter().enumerate() {
        if let Some(gateway) = gateway {
            let to = vec![gateway.gateway];
            let crowd = Crowd::new(to, None, SEEDS[at], true, &stop)?;
            bench.crowds[at] = Some((crowd, gateway.pid()));
        }
    }
    let performed = tokio::task::spawn_blocking(move || bench.perform().map(|()| bench));
    let bench = performed.await.context("the load's thread failed")??;
    // Its clients are still open.
    let sent = bench.sent;
    let stats = api.stats().await?;
    let of = |name: &str| stats[name].as_u64();
    ensure!(
        of("messages") == Some(sent as u64) && of("out_of_order") == Some(0),
        "{sent} messages were sent, and the API counted {stats}"
    );
    ensure!(
        of("repeated") == Some(0) && of("deletes") == Some(0),
        "messages came twice or clients were dropped: {stats}"
    );
    Ok(())
}

struct Bench {
    settings: Settings,
    /// Its address and its worker.
    nginx: (std::net::SocketAddr, i32),
    /// The clients of each gateway, and its process.
    crowds: [Option<(Crowd, i32)>; 2],
    stop: Stop,
    /// Messages sent so far, one way or another.
    sent: usize,
}

impl Bench {
    /// Everything, on this thread.
    fn perform(&mut self) -> anyhow::Result<()> {
        let settings = &self.settings;
        say(&format!(
            "{} messages of {} bytes a run; {} clients open at each gateway, {} or {} of them send in \
             lockstep; {} rounds",
            settings.total,
            settings.size,
            settings.open,
            settings.few,
            settings.many,
            settings.rounds
        ));
        let coming = Coming {
            rate: 0.0,
            at_once: 256,
        };
        for (crowd, _) in self.crowds.iter_mut().flatten() {
            let took = crowd.grow(self.settings.open, coming)?.as_secs_f64();
            let per_second = crowd.len() as f64 / took;
            say(&format!(
                "{} clients opened in {took:.2} s, {per_second:.0}/s",
                crowd.len()
            ));
        }
        let ways = self.settings.ways.clone();
        for way in &ways {
            self.through(*way, (self.settings.total / 10).max(self.settings.many))?;
        }
        let mut costs: Vec<Vec<Cost>> = ways.iter().map(|_| Vec::new()).collect();
        for round in 0..self.settings.rounds {
            // In turns, and the first in turns too: what the machine does besides hits all alike.
            for turn in 0..ways.len() {
                let at = (round + turn) % ways.len();
                costs[at].push(self.through(ways[at], self.settings.total)?);
            }
            let line: Vec<String> = (ways.iter().zip(&costs))
                .map(|(way, costs)| {
                    let cost = &costs[round];
                    let rate = cost.run.per_second();
                    format!("{} {:.1} µs CPU at {rate:.0}/s", way.name(), cost.cpu.total)
                })
                .collect();
            say(&format!("round {}: {}", round + 1, line.join("; ")));
        }
        report(&ways, &costs);
        Ok(())
    }

    fn through(&mut self, way: Way, total: usize) -> anyhow::Result<Cost> {
        self.sent += total;
        let settings = &self.settings;
        let senders = match way {
            Way::Nginx | Way::Http1 | Way::H2c => settings.few,
            Way::Http1Many | Way::H2cMany => settings.many,
        };
        let mut measured = || match way.gateway().and_then(|at| self.crowds[at].as_mut()) {
            Some((crowd, pid)) => {
                let before = cpu(*pid)?;
                let run = crowd.echo(0, senders, total, settings.size)?;
                anyhow::Ok((cpu(*pid)?.since(before), run))
            }
            None => {
                let (addr, worker) = self.nginx;
                let volume = Volume {
                    concurrency: senders,
                    total,
                };
                let before = cpu(worker)?;
                let run = post(addr, volume, settings.size, NGINX_SEED, &self.stop)?;
                Ok((cpu(worker)?.since(before), run))
            }
        };
        let (used, run) = measured().with_context(|| format!("by way of {}", way.name()))?;
        Ok(Cost {
            cpu: used.each(total),
            run,
        })
    }
}

fn report(ways: &[Way], costs: &[Vec<Cost>]) {
    let figures =
        |costs: &[Cost], of: &dyn Fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<_>>();
    say("");
    say("median (least..most of the rounds)");
    for (way, costs) in ways.iter().zip(costs) {
        let name = way.name();
        let cpu = Spread::of(&figures(costs, &|cost| cost.cpu.total), 1);
        let user = Spread::of(&figures(costs, &|cost| cost.cpu.user), 1);
        let rate = Spread::of(&figures(costs, &|cost| cost.run.per_second()), 0);
        let p50 = Spread::of(&figures(costs, &|cost| cost.run.micros(0.50) as f64), 0);
        let p99 = Spread::of(&figures(costs, &|cost| cost.run.micros(0.99) as f64), 0);
        say(&format!(
            "{name:<16} CPU per message {cpu} µs, of it user {user}"
        ));
        say(&format!(
            "{:<16} messages per second {rate}; latency p50 {p50} µs, p99 {p99} µs",
            ""
        ));
    }
    say("");
    say("ratios, round by round             CPU                  rate");
    for (this, that) in [
        (Way::Http1, Way::Nginx),
        (Way::H2c, Way::Nginx),
        (Way::Http1Many, Way::Http1),
        (Way::H2cMany, Way::H2c),
    ] {
        let of = |way: Way| {
            ways.iter()
                .position(|known| *known == way)
                .map(|at| &costs[at])
        };
        let (Some(these), Some(those)) = (of(this), of(that)) else {
            continue;
        };
        let ratio = |of: &dyn Fn(&Cost) -> f64| {
            let pairs = these.iter().zip(those);
            let ratios: Vec<f64> = pairs.map(|(this, that)| of(this) / of(that)).collect();
            Spread::of(&ratios, 2).to_string()
        };
        let (cpu, rate) = (
            ratio(&|cost| cost.cpu.total),
            ratio(&|cost| cost.run.per_second()),
        );
        let name = format!("{} / {}", this.name(), that.name());
        say(&format!("{name:<34} {cpu:<20} {rate}"));
    }
}
