//! Memory of an idle connection: the slope of what is resident between a smaller and a larger number
//! of them, after each has exchanged a message and got a push, then idled. With and without TLS.

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

/// Messages and pushes under way at a time, so that both numbers of connections leave the same number
/// of connections to the API behind.
const AT_ONCE: usize = 64;
/// What is resident stands still when it changes by less than this within each of so many pauses one
/// after the other: freed memory goes back to the system only after a while.
const STILL: u64 = 128 << 10;
const STILL_PAUSES: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// Pauses waited for that at most.
const MAX_PAUSES: usize = 30;

#[derive(Args, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// The smaller number of connections
    #[arg(long, default_value_t = 5_000)]
    from: usize,
    /// The larger
    #[arg(long, default_value_t = 15_000)]
    to: usize,
    /// Bytes of the message that each exchanges
    #[arg(long, default_value_t = 4_096)]
    message: usize,
    /// Bytes of the push that each gets
    #[arg(long, default_value_t = 128)]
    push: usize,
    /// How the gateway speaks to the API: http or h2c
    #[arg(long, default_value = "http", value_parser = ["http", "h2c"])]
    upstream: String,
    /// Leave TLS out
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
            "  each connection more: {:.2} KiB resident; {:.2} KiB of slab, both of its ends on this machine",
            each(few.resident, many.resident),
            each(few.slab, many.slab)
        ));
        crowd.ensure_complete()
    })
    .await
    .context("the load's thread failed")?
}

/// Lets clients come until there are `count`, each of which exchanges a message and gets a push; then
/// waits until memory stands still.
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
