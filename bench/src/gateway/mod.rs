//! Load for a gateway: a crowd of WebSocket clients, with each message and push verified.
//!
//! Read `stamp` (contents of a payload), `roll` (records of each client), `crowd` (the clients), then `work`,
//! `pushing`, `pace`, `storm` and `slow` (the clients' actions). `gauge` measures another process. The modes
//! `versus`, `memory`, `unrest`, `standstill`, `restart` and `fleet` start the programs that they measure.

mod crowd;
pub(crate) mod fleet;
mod gauge;
pub(crate) mod memory;
mod node;
mod pace;
pub(crate) mod part;
mod posts;
mod pushing;
pub(crate) mod restart;
mod roll;
mod slow;
mod stamp;
pub(crate) mod standstill;
mod storm;
#[cfg(test)]
mod tests;
pub(crate) mod unrest;
pub(crate) mod versus;
mod way;
mod work;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::say;
use crate::swarm::Stop;

pub(crate) use self::crowd::{Coming, Crowd, Gateway};
pub(crate) use self::gauge::{Gauge, Sizes};
pub(crate) use self::posts::post;
use self::slow::{Slow, Slowed};

/// Options of the mode `gateway`; the clients perform the given actions in this order.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Address of a gateway for clients; repeat for several gateways, which get clients in turn
    #[arg(long, default_value = "127.0.0.1:7001")]
    gateway: Vec<SocketAddr>,
    /// Address of a gateway for pushes, in the same order [default: the address for clients]
    #[arg(long)]
    push_to: Vec<SocketAddr>,
    /// Clients to open and hold
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// New connections per second; 0 for no limit
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Maximum number of handshakes, and of messages of --message, at the same time
    #[arg(long, default_value_t = 256)]
    at_once: usize,
    /// Seed of the ids; the same seed gives the same ids [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Use TLS, and trust this certificate authority (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Send binary messages
    #[arg(long)]
    binary: bool,
    /// Process to measure: CPU for each message, and memory after each action
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,
    /// Each client sends one message of this size in bytes
    #[arg(long, value_name = "SIZE")]
    message: Option<usize>,
    /// Each client receives one push of this size in bytes
    #[arg(long, value_name = "SIZE", num_args = 0..=1, default_missing_value = "128")]
    push: Option<usize>,
    /// Each client sends a message of --size at this interval in seconds
    #[arg(long, value_name = "SECONDS")]
    every: Option<f64>,
    /// Duration of --every, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    lasting: f64,
    /// Total number of messages of --size; each of --senders sends its next message after the echo of the last one
    #[arg(long, value_name = "MESSAGES")]
    echo: Option<usize>,
    /// Clients that send messages of --echo
    #[arg(long, default_value_t = 64)]
    senders: usize,
    /// Size of a message in bytes
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// All clients drop their connections and reconnect with the same ids within this number of seconds; then
    /// each receives a push
    #[arg(long, value_name = "SECONDS")]
    reconnect: Option<f64>,
    /// Number of clients that receive pushes and at times stop reading, while --senders others send
    #[arg(long, value_name = "CLIENTS")]
    slow: Option<usize>,
    #[command(flatten)]
    pushes: SlowPushes,
    /// At the end, hold the connections for this number of seconds
    #[arg(long, value_name = "SECONDS")]
    hold: Option<f64>,
}

/// Pushes to clients that at times stop reading.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SlowPushes {
    /// Pushes per second to the slow clients, to one after the other
    #[arg(long, default_value_t = 400.0)]
    slow_rate: f64,
    /// Size of a push in bytes
    #[arg(long, default_value_t = 64 << 10)]
    slow_size: usize,
    /// Seconds of a phase: senders alone, with pushes that are read, or with pushes that are not read
    #[arg(long, default_value_t = 25.0)]
    slow_time: f64,
    /// Phases of each kind
    #[arg(long, default_value_t = 3)]
    slow_rounds: usize,
}

impl SlowPushes {
    fn slow(self, clients: usize, senders: usize) -> anyhow::Result<Slow> {
        Ok(Slow {
            clients,
            rate: self.slow_rate,
            size: self.slow_size,
            senders,
            time: seconds(self.slow_time)?,
            rounds: self.slow_rounds,
        })
    }
}

/// Runs the load on a separate thread, so that signals are handled.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = Stop::default();
    let crowd = settings.crowd(&stop)?;
    let done = on_thread(crowd, move |crowd| settings.perform(crowd)).await;
    done.map(drop)
}

/// Runs blocking work on a separate thread, so that signals and other tasks are handled meanwhile.
async fn on_thread<T: Send + 'static>(
    mut crowd: Crowd,
    work: impl FnOnce(&mut Crowd) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<(Crowd, T)> {
    let worked = tokio::task::spawn_blocking(move || work(&mut crowd).map(|done| (crowd, done)));
    worked.await.context("the thread of the load failed")?
}

impl Settings {
    fn crowd(&self, stop: &Stop) -> anyhow::Result<Crowd> {
        ensure!(
            self.push_to.is_empty() || self.push_to.len() == self.gateway.len(),
            "--push-to must be given for each --gateway or for none"
        );
        raise_descriptors()?;
        let push = |at: usize| self.push_to.get(at).or(self.gateway.get(at)).copied();
        let gateways = (self.gateway.iter().enumerate())
            .map(|(at, addr)| Gateway {
                addr: *addr,
                push: push(at).unwrap_or(*addr),
            })
            .collect();
        let tls = self.ca.as_deref().map(trusting).transpose()?;
        let seed = self
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>()));
        say(&format!("ids from seed {seed}"));
        let mut crowd = Crowd::new(gateways, tls, seed, !self.binary, stop)?;
        crowd.set_afar(self.slow.unwrap_or(0));
        Ok(crowd)
    }

    fn perform(&self, crowd: &mut Crowd) -> anyhow::Result<()> {
        let gauge = Gauge::new(self.pid)?;
        let step = gauge.step()?;
        let coming = Coming {
            rate: self.rate,
            at_once: self.at_once,
        };
        let took = crowd.grow(self.clients, coming)?;
        let per_second = self.clients as f64 / took.as_secs_f64();
        say(&format!(
            "open       {} clients in {:.2} s, {per_second:.0}/s{}",
            self.clients,
            took.as_secs_f64(),
            step.end(self.clients)?
        ));
        if let Some(size) = self.message {
            let step = gauge.step()?;
            let run = crowd.message_each(0..self.clients, self.at_once, size)?;
            say(&format!("message    {run}{}", step.end(run.requests)?));
        }
        if let Some(size) = self.push {
            let step = gauge.step()?;
            let pushed = crowd.push_each(0..self.clients, size)?;
            say(&format!(
                "push       {}; {}{}",
                pushed.run,
                pushed.answers,
                step.end(pushed.run.requests)?
            ));
        }
        self.flow(crowd, &gauge)?;
        self.trouble(crowd, &gauge)?;
        if let Some(time) = self.hold {
            crowd.hold(seconds(time)?)?;
            say(&format!(
                "held       {} clients for {time} s{}",
                crowd.len(),
                gauge.step()?.end(0)?
            ));
        }
        crowd.ensure_complete()
    }

    fn flow(&self, crowd: &mut Crowd, gauge: &Gauge) -> anyhow::Result<()> {
        if let Some(period) = self.every {
            let step = gauge.step()?;
            let (run, latest) = crowd.every(seconds(period)?, seconds(self.lasting)?, self.size)?;
            say(&format!(
                "every {period} s  {run}, sent {:.1} ms late at worst{}",
                latest.as_secs_f64() * 1e3,
                step.end(run.requests)?
            ));
        }
        if let Some(total) = self.echo {
            let step = gauge.step()?;
            let run = crowd.echo(0, self.senders, total, self.size)?;
            say(&format!(
                "echo       {} of {} send: {run}{}",
                self.senders,
                crowd.len(),
                step.end(total)?
            ));
        }
        Ok(())
    }

    fn trouble(&self, crowd: &mut Crowd, gauge: &Gauge) -> anyhow::Result<()> {
        if let Some(within) = self.reconnect {
            let step = gauge.step()?;
            let (took, pushed) = crowd.reconnect(seconds(within)?, self.size)?;
            say(&format!(
                "reconnect  {} clients in {:.2} s; then pushes: {}; {}{}",
                crowd.len(),
                took.as_secs_f64(),
                pushed.run,
                pushed.answers,
                step.end(crowd.len())?
            ));
        }
        if let Some(clients) = self.slow {
            let slow = self.pushes.slow(clients, self.senders)?;
            say_slowed(&crowd.slow(&slow, *gauge)?, &slow);
        }
        Ok(())
    }
}

fn say_slowed(slowed: &Slowed, slow: &Slow) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(&format!(
        "slow       pushes to {} clients that stood still: {}; each that was accepted arrived once they \
         read again, no other did ({} in all phases); resident {:.1} MiB before, {:.1} at most",
        slow.clients,
        slowed.answers,
        slowed.arrived,
        mib(slowed.before),
        mib(slowed.most),
    ));
}

fn seconds(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .with_context(|| format!("`{seconds}` is not a valid number of seconds"))
}

/// TLS configuration of clients that trust one certificate authority.
pub(crate) fn trusting(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(ca)
        .with_context(|| format!("{} is not a PEM certificate", ca.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Raises the limit of open files to the hard limit, and returns it.
pub(crate) fn raise_descriptors() -> anyhow::Result<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a valid `rlimit` on this stack, and keep none.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    ensure!(
        done,
        "the limit of open files cannot be raised: {}",
        std::io::Error::last_os_error()
    );
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}
