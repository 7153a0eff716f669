//! Memory of an idle connection, with and without TLS: the increase of resident memory from a smaller to a
//! larger number of connections, after each has exchanged a message, received a push, and become idle.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use fetchway_test_origins::Certificate;

use super::node::{GatewayProcess, Pem};
use super::{Coming, Crowd, Sizes, raise_descriptors, trusting};
use crate::origin::OriginProcess;
use crate::process::Folder;
use crate::swarm::Stop;
use crate::{Programs, say};

/// Messages and pushes in flight at the same time, so that both measurements have the same number of connections
/// to the API.
const AT_ONCE: usize = 64;
/// Resident memory is considered stable when it changes by less than this number of bytes within each of
/// several consecutive pauses: freed memory is returned to the system only after some time.
const STILL: u64 = 128 << 10;
const STILL_PAUSES: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// Maximum number of pauses until the memory is stable.
const MAX_PAUSES: usize = 30;

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// The smaller number of connections
    #[arg(long, default_value_t = 5_000)]
    from: usize,
    /// The larger number of connections
    #[arg(long, default_value_t = 15_000)]
    to: usize,
    /// Bytes of the message that each connection exchanges
    #[arg(long, default_value_t = 4_096)]
    message: usize,
    /// Bytes of the push that each connection receives
    #[arg(long, default_value_t = 128)]
    push: usize,
    /// Protocol between the gateway and the API: http or h2c
    #[arg(long, default_value = "http", value_parser = ["http", "h2c"])]
    upstream: String,
    /// Measure without TLS only
    #[arg(long)]
    no_tls: bool,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    ensure!(
        0 < settings.from && settings.from < settings.to,
        "--from must be less than --to"
    );
    raise_descriptors()?;
    let folder = Folder::new()?;
    one(&settings, &folder, false).await?;
    if !settings.no_tls {
        one(&settings, &folder, true).await?;
    }
    Ok(())
}

async fn one(settings: &Settings, folder: &Folder, with_tls: bool) -> anyhow::Result<()> {
    let api = OriginProcess::start(&settings.programs.origin_program, &["api"]).await?;
    let url = format!("{}://{}/", settings.upstream, api.addr());
    let tls = if with_tls {
        Some(certificate(folder)?)
    } else {
        None
    };
    let (pem, client) = tls.unzip();
    let gateway =
        GatewayProcess::start(&settings.programs.fetchway, folder, &url, pem.as_ref(), &[]).await?;
    say(if with_tls { "with TLS" } else { "without TLS" });

    let stop = Stop::default();
    let crowd = Crowd::new(vec![gateway.gateway], client, 1, true, &stop)?;
    let (pid, from, to) = (gateway.pid(), settings.from, settings.to);
    let (message, push) = (settings.message, settings.push);
    tokio::task::spawn_blocking(move || {
        let mut crowd = crowd;
        let few = idle(&mut crowd, from, message, push, pid)?;
        let many = idle(&mut crowd, to, message, push, pid)?;
        let each = |few: u64, many: u64| {
            (many as f64 - few as f64) / (to - from) as f64 / 1024.0
        };
        say(&format!(
            "  each further connection: {:.2} KiB resident; {:.2} KiB of slab, for both ends on this machine",
            each(few.resident, many.resident),
            each(few.slab, many.slab)
        ));
        crowd.ensure_complete()
    })
    .await
    .context("the thread of the load failed")?
}

/// Connects clients until `count` are open, each of which exchanges a message and receives a push; then waits
/// until the memory is stable.
fn idle(
    crowd: &mut Crowd,
    count: usize,
    message: usize,
    push: usize,
    pid: i32,
) -> anyhow::Result<Sizes> {
    let first = crowd.len();
    let coming = Coming {
        rate: 0.0,
        at_once: AT_ONCE,
    };
    crowd.grow(count, coming)?;
    crowd.message_each(first..count, AT_ONCE, message)?;
    crowd.push_each(first..count, push)?;
    let mut last = Sizes::of(pid)?;
    let mut still = 0;
    for _ in 0..MAX_PAUSES {
        crowd.hold(PAUSE)?;
        let now = Sizes::of(pid)?;
        let stands = now.resident.abs_diff(last.resident) < STILL;
        still = if stands { still + 1 } else { 0 };
        last = now;
        if still == STILL_PAUSES {
            break;
        }
    }
    say(&format!("  {count} connections: {last}"));
    Ok(last)
}

fn certificate(folder: &Folder) -> anyhow::Result<(Pem, std::sync::Arc<rustls::ClientConfig>)> {
    let certificate = Certificate::generate::<&str>(&[])?;
    let file = |name: &str| folder.path().join(name);
    let (ca, pem) = (
        file("ca.pem"),
        Pem {
            cert: file("cert.pem"),
            key: file("key.pem"),
        },
    );
    std::fs::write(&ca, certificate.ca_pem())?;
    std::fs::write(&pem.cert, certificate.cert_pem())?;
    std::fs::write(&pem.key, certificate.key_pem())?;
    Ok((pem, trusting(&ca)?))
}
