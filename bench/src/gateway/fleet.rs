//! A crowd that is too large for one process: several gateways, several load processes, and one API. Measures
//! the rate of connecting, CPU and memory; no message may be lost or out of order.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;
use futures_util::future::try_join_all;
use serde_json::Value;

use super::node::GatewayProcess;
use super::raise_descriptors;
use crate::origin::OriginProcess;
use crate::process::{Cpu, Folder, cpu_of_all, resident, resident_of_all, slab};
use crate::talk::Talk;
use crate::{Programs, say};

/// File descriptors of a process in addition to its clients': connections to the API, listeners, files.
const BESIDE: usize = 1_500;

#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Total number of clients
    #[arg(long, default_value_t = 100_000)]
    clients: usize,
    /// Gateways, each a process with its own port
    #[arg(long, default_value_t = 8)]
    gateways: usize,
    /// Load processes
    #[arg(long, default_value_t = 6)]
    loads: usize,
    /// Maximum number of handshakes at the same time, of all clients together
    #[arg(long, default_value_t = 768)]
    at_once: usize,
    /// Minimum rate of connecting clients, per second; the run fails below it
    #[arg(long, default_value_t = 5_000.0)]
    at_least: f64,
    /// Seconds between two messages of each client
    #[arg(long, default_value_t = 10.0)]
    every: f64,
    /// Seconds for which messages are sent
    #[arg(long, default_value_t = 60.0)]
    lasting: f64,
    /// Bytes of a message
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Protocol between the gateways and the API: http or h2c
    #[arg(long, default_value = "http", value_parser = ["http", "h2c"])]
    upstream: String,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        clients,
        gateways,
        loads,
        ..
    } = settings;
    ensure!(
        loads > 0 && gateways > 0 && clients >= loads * gateways,
        "each load needs at least one client at each gateway: use more --clients"
    );
    let (needed, may) = (
        clients.div_ceil(loads.min(gateways)) + BESIDE,
        raise_descriptors()?,
    );
    ensure!(
        needed <= may,
        "a process would need {needed} file descriptors, and the limit is {may}: use more --gateways or --loads, or raise `ulimit -Hn`"
    );
    let folder = Folder::new()?;
    let mut fleet = Fleet::start(&settings, &folder).await?;
    let before = fleet.usage()?;
    say(&format!(
        "{clients} clients of {loads} processes at {gateways} gateways, {} to the API; before they come: \
         {before}",
        settings.upstream
    ));

    let began = Instant::now();
    let at_once = settings.at_once.div_ceil(loads);
    fleet.tell(&format!("open {at_once}")).await?;
    let took = began.elapsed();
    let opened = fleet.usage()?;
    let rate = clients as f64 / took.as_secs_f64();
    say(&format!(
        "open   {clients} in {:.2} s, {rate:.0}/s; {}",
        took.as_secs_f64(),
        opened.since(&before, clients)
    ));
    say(&format!("       {opened}"));

    let every = format!(
        "every {} {} {}",
        settings.every, settings.lasting, settings.size
    );
    let told = fleet.tell(&every).await?;
    let after = fleet.usage()?;
    let sum = |name: &str| {
        told.iter()
            .filter_map(|told| told[name].as_u64())
            .sum::<u64>()
    };
    let most = |name: &str| told.iter().filter_map(|told| told[name].as_u64()).max();
    let messages = sum("messages");
    say(&format!(
        "every {} s for {} s: {messages} messages came back, each in its client's order; latency p50 {} µs, \
         p99 {} µs, at most {} ms (the worst of the loads); sent {} ms late at worst; {}",
        settings.every,
        settings.lasting,
        most("p50").unwrap_or_default(),
        most("p99").unwrap_or_default(),
        most("most").unwrap_or_default() / 1_000,
        most("late").unwrap_or_default() / 1_000,
        after.since(&opened, messages as usize)
    ));
    say(&format!("       {after}"));
    say(&format!(
        "each client: {:.2} KiB resident in the gateways; {:.2} KiB of slab, both of its ends and the \
         requests' on this machine",
        (after.gateways - before.gateways) as f64 / 1024.0 / clients as f64,
        (after.slab as f64 - before.slab as f64) / 1024.0 / clients as f64,
    ));
    agrees(&fleet.api.stats().await?, clients as u64, messages)?;
    for load in fleet.loads.drain(..) {
        load.end().await?;
    }
    ensure!(
        rate >= settings.at_least,
        "clients connected at {rate:.0}/s, below --at-least {:.0}",
        settings.at_least
    );
    Ok(())
}

/// Fails unless the API has counted each client once, and each message once and in order.
fn agrees(account: &Value, clients: u64, messages: u64) -> anyhow::Result<()> {
    let of = |name: &str| account[name].as_u64();
    let is = |name: &str, value: u64| of(name) == Some(value);
    ensure!(
        is("connects", clients) && is("known", clients) && is("messages", messages),
        "{clients} clients sent {messages} messages, and the API counted {account}"
    );
    let faults = ["out_of_order", "repeated", "skipped", "deletes"];
    ensure!(
        faults.into_iter().all(|fault| is(fault, 0)),
        "messages were lost, repeated or out of order, or clients were disconnected: {account}"
    );
    Ok(())
}

/// All processes. The loads are ended first.
struct Fleet {
    loads: Vec<Talk>,
    gateways: Vec<GatewayProcess>,
    api: OriginProcess,
}

impl Fleet {
    async fn start(settings: &Settings, folder: &Folder) -> anyhow::Result<Self> {
        let programs = &settings.programs;
        let api = OriginProcess::start(&programs.origin_program, &["api"]).await?;
        let url = format!("{}://{}/", settings.upstream, api.addr());
        let mut gateways = Vec::new();
        for _ in 0..settings.gateways {
            let started = GatewayProcess::start(&programs.fetchway, folder, &url, None, &[]);
            gateways.push(started.await?);
        }
        let addresses: Vec<SocketAddr> = gateways.iter().map(|g| g.gateway.addr).collect();
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let mut loads = Vec::new();
        for load in 0..settings.loads {
            loads.push(part(&program, settings, load, &addresses).await?);
        }
        Ok(Self {
            loads,
            gateways,
            api,
        })
    }

    /// Sends a command to all loads at once, and waits for all answers.
    async fn tell(&mut self, line: &str) -> anyhow::Result<Vec<Value>> {
        try_join_all(self.loads.iter_mut().map(|load| load.ask(line))).await
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        let gateways: Vec<i32> = self.gateways.iter().map(GatewayProcess::pid).collect();
        let loads: Vec<i32> = self.loads.iter().map(Talk::pid).collect();
        Ok(Usage {
            gateways: resident_of_all(&gateways)?,
            rest: resident_of_all(&loads)? + resident(self.api.pid())?,
            slab: slab()?,
            cpu: [
                cpu_of_all(&gateways)?,
                cpu_of_all(&loads)?,
                cpu_of_all(&[self.api.pid()])?,
            ],
        })
    }
}

/// Starts a load with its share of the clients. Each load starts with another gateway, so that all gateways get
/// the same number.
async fn part(
    program: &Path,
    settings: &Settings,
    load: usize,
    addresses: &[SocketAddr],
) -> anyhow::Result<Talk> {
    let share = |load: usize| settings.clients * load / settings.loads;
    let (first, next) = (share(load), share(load + 1));
    let mut args = vec![
        "gateway-part".to_owned(),
        format!("--clients={}", next - first),
        format!("--seed={}", load + 1),
    ];
    let turned = (0..addresses.len()).map(|at| addresses[(first + at) % addresses.len()]);
    args.extend(turned.map(|addr| format!("--gateway={addr}")));
    let mut talk = Talk::start("a load", program, args)?;
    talk.said().await?;
    Ok(talk)
}

/// Memory and CPU of all processes at one moment.
struct Usage {
    /// Resident memory of the gateways, in bytes.
    gateways: u64,
    /// Resident memory of the loads and the API, in bytes.
    rest: u64,
    /// Size of the kernel's slab, in bytes.
    slab: u64,
    /// CPU time of the gateways, the loads and the API.
    cpu: [Cpu; 3],
}

impl Usage {
    /// Describes the CPU time used since `before`, in total, and of the gateways for each of `count` operations.
    fn since(&self, before: &Self, count: usize) -> String {
        let used = |at: usize| self.cpu[at].since(before.cpu[at]);
        let seconds = |at: usize| used(at).total().as_secs_f64();
        let each = used(0).each(count);
        format!(
            "CPU of the gateways {:.1} s, {:.1} µs each ({:.1} user), of the loads {:.1} s, of the API {:.1} s",
            seconds(0),
            each.total,
            each.user,
            seconds(1),
            seconds(2)
        )
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "gateways {:.1} MiB resident, loads and API {:.1} MiB, slab of the machine {:.1} MiB",
            mib(self.gateways),
            mib(self.rest),
            mib(self.slab)
        )
    }
}
