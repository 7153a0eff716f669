//! The gateway compared with nginx as a reverse proxy and with Pushpin: the same API, the same small messages and
//! the same concurrency, in alternating runs. nginx's work for a POST is the baseline: one request in, one out.
//! Pushpin performs the same task as the gateway.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;

use super::node::GatewayProcess;
use super::way::{Cost, Way, report};
use super::{Coming, Crowd, Gateway, post, raise_descriptors};
use crate::nginx::Nginx;
use crate::origin::OriginProcess;
use crate::process::{Folder, cpu_of_all, resident_of_all};
use crate::pushpin::Pushpin;
use crate::swarm::Stop;
use crate::{Programs, Volume, say};

/// Seeds of the ids, a different one for each way to the API.
const SEEDS: [u64; 3] = [1, 2, 4];
const NGINX_SEED: u64 = 3;

/// Pushpin gets this fraction of a run's messages, because it is slower by about this factor.
const PUSHPIN_PART: usize = 10;
/// Pace for Pushpin, which answers some of 256 simultaneous handshakes with 502.
const PUSHPIN_COMING: Coming = Coming {
    rate: 0.0,
    at_once: 64,
};

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// The nginx binary
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// The Pushpin binary, with zurl in the same folder [default: Pushpin is not measured]
    #[arg(long)]
    pushpin: Option<PathBuf>,
    /// Clients open at Pushpin; this process needs a file descriptor for each of them and for each gateway client
    #[arg(long, default_value_t = 3_000)]
    pushpin_open: usize,
    /// Rounds; each measures all ways
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Ways to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Way::ALL)]
    ways: Vec<Way>,
    /// Clients open at each gateway
    #[arg(long, default_value_t = 8_000)]
    open: usize,
    /// Clients that send in lockstep, and connections to nginx
    #[arg(long, default_value_t = 64)]
    few: usize,
    /// Clients that send in the ways with many senders
    #[arg(long, default_value_t = 1_000)]
    many: usize,
    /// Messages per run
    #[arg(long, default_value_t = 200_000)]
    total: usize,
    /// Size of a message in bytes
    #[arg(long, default_value_t = 128)]
    size: usize,
}

pub(crate) async fn run(mut settings: Settings) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&settings.rounds),
        "--rounds must be from 1 to 100"
    );
    raise_descriptors()?;
    if settings.pushpin.is_none() {
        settings.ways.retain(|way| *way != Way::Pushpin);
    }
    let uses = |settings: &Settings, at| settings.ways.iter().any(|way| way.crowd() == Some(at));
    let folder = Folder::new()?;
    let mut api = OriginProcess::start(&settings.programs.origin_program, &["api"]).await?;
    let nginx = Nginx::start(&settings.nginx, &folder, api.addr()).await?;
    let mut gateways = [None, None];
    for (at, scheme) in ["http", "h2c"].into_iter().enumerate() {
        if uses(&settings, at) {
            let url = format!("{scheme}://{}/", api.addr());
            let started =
                GatewayProcess::start(&settings.programs.fetchway, &folder, &url, None, &[]).await;
            gateways[at] = Some(started.with_context(|| format!("the gateway to {url}"))?);
        }
    }
    let pushpin = match &settings.pushpin {
        Some(program) if uses(&settings, 2) => {
            Some(Pushpin::start(program, &folder, api.addr()).await?)
        }
        _ => None,
    };
    let stop = Stop::default();
    let mut bench = Bench {
        nginx: (nginx.addr, nginx.worker),
        crowds: [None, None, None],
        stop: Stop::linked(&stop),
        sent: 0,
        settings,
    };
    for (at, gateway) in gateways.iter().enumerate() {
        if let Some(gateway) = gateway {
            let to = vec![gateway.gateway];
            let crowd = Crowd::new(to, None, SEEDS[at], true, &stop)?;
            bench.crowds[at] = Some((crowd, vec![gateway.pid()]));
        }
    }
    if let Some(pushpin) = &pushpin {
        let to = Gateway {
            addr: pushpin.addr,
            push: pushpin.addr,
        };
        let crowd = Crowd::new(vec![to], None, SEEDS[2], true, &stop)?;
        bench.crowds[2] = Some((crowd, pushpin.pids.clone()));
    }
    let performed = tokio::task::spawn_blocking(move || bench.perform().map(|()| bench));
    let bench = performed.await.context("the thread of the load failed")??;
    // The clients of the bench are still connected.
    let sent = bench.sent;
    let stats = api.stats().await?;
    let of = |name: &str| stats[name].as_u64();
    ensure!(
        of("messages") == Some(sent as u64) && of("out_of_order") == Some(0),
        "{sent} messages were sent, but the API counted {stats}"
    );
    ensure!(
        of("repeated") == Some(0) && of("deletes") == Some(0),
        "messages were repeated or clients were disconnected: {stats}"
    );
    Ok(())
}

struct Bench {
    settings: Settings,
    /// Address of nginx, and the process id of its worker.
    nginx: (std::net::SocketAddr, i32),
    /// Clients of each gateway, and the process ids of the gateway.
    crowds: [Option<(Crowd, Vec<i32>)>; 3],
    stop: Stop,
    /// Messages sent so far, by all ways together.
    sent: usize,
}

impl Bench {
    /// Performs all rounds on this thread.
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
        let ours = (settings.open, Coming::FREELY);
        let pushpins = (settings.pushpin_open, PUSHPIN_COMING);
        let all = [ours, ours, pushpins];
        for (crowd, (open, coming)) in self.crowds.iter_mut().zip(all) {
            let Some((crowd, pids)) = crowd else {
                continue;
            };
            let before = resident_of_all(pids)?;
            let took = crowd.grow(open, coming)?.as_secs_f64();
            let more = resident_of_all(pids)?.saturating_sub(before);
            say(&format!(
                "{open} clients connected in {took:.2} s, {:.0}/s; {:.1} KiB more resident for each",
                open as f64 / took,
                more as f64 / 1024.0 / open as f64
            ));
        }
        let ways = self.settings.ways.clone();
        for way in &ways {
            self.through(*way, (self.settings.total / 10).max(self.settings.many))?;
        }
        let mut costs: Vec<Vec<Cost>> = ways.iter().map(|_| Vec::new()).collect();
        for round in 0..self.settings.rounds {
            // Alternating, with another one first in each round: other work of the machine then affects all equally.
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
        let total = match way {
            Way::Pushpin => (total / PUSHPIN_PART).max(self.settings.few),
            _ => total,
        };
        self.sent += total;
        let settings = &self.settings;
        let senders = match way {
            Way::Nginx | Way::Pushpin | Way::Http1 | Way::H2c => settings.few,
            Way::Http1Many | Way::H2cMany => settings.many,
        };
        let mut measured = || match way.crowd().and_then(|at| self.crowds[at].as_mut()) {
            Some((crowd, pids)) => {
                let before = cpu_of_all(pids)?;
                let run = crowd.echo(0, senders, total, settings.size)?;
                anyhow::Ok((cpu_of_all(pids)?.since(before), run))
            }
            None => {
                let (addr, worker) = self.nginx;
                let volume = Volume {
                    concurrency: senders,
                    total,
                };
                let before = cpu_of_all(&[worker])?;
                let run = post(addr, volume, settings.size, NGINX_SEED, &self.stop)?;
                Ok((cpu_of_all(&[worker])?.since(before), run))
            }
        };
        let (used, run) = measured().with_context(|| format!("way {}", way.name()))?;
        Ok(Cost {
            cpu: used.each(total),
            run,
        })
    }
}
