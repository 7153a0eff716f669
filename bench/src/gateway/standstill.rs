//! Many clients stop reading while messages are pushed to them: the gateway's memory must stay below a limit,
//! the other clients must not be disturbed, and each push must be answered correctly.

use anyhow::ensure;
use clap::Args;

use super::node::GatewayProcess;
use super::{Coming, Crowd, Gauge, SlowPushes, on_thread, raise_descriptors, say_slowed};
use crate::origin::OriginProcess;
use crate::process::Folder;
use crate::swarm::Stop;
use crate::{Programs, say};

/// Value of `gateways.send-buffer`, the bytes that may wait for one client.
const SEND_BUFFER: u64 = 256 << 10;
/// Additional resident memory that is allowed, as a fraction of the buffers and as a constant: rounding of the
/// allocator, and data that is being moved between sockets.
const BESIDE_PART: u64 = 4;
const BESIDE: u64 = 64 << 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    programs: Programs,
    /// Clients
    #[arg(long, default_value_t = 8_000)]
    clients: usize,
    /// Number of clients that receive pushes and stop reading
    #[arg(long, default_value_t = 1_000)]
    slow: usize,
    /// Number of other clients that send in lockstep
    #[arg(long, default_value_t = 64)]
    senders: usize,
    #[command(flatten)]
    pushes: SlowPushes,
    /// Protocol between the gateway and the API: http or h2c
    #[arg(long, default_value = "http", value_parser = ["http", "h2c"])]
    upstream: String,
}

pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    raise_descriptors()?;
    let folder = Folder::new()?;
    let mut api = OriginProcess::start(&settings.programs.origin_program, &["api"]).await?;
    let url = format!("{}://{}/", settings.upstream, api.addr());
    let set = format!("gateways[0].send-buffer={SEND_BUFFER}B");
    let further = ["--set", &set];
    let gateway =
        GatewayProcess::start(&settings.programs.fetchway, &folder, &url, None, &further).await?;
    let gauge = Gauge::new(Some(gateway.pid()))?;
    let stop = Stop::default();
    let mut crowd = Crowd::new(vec![gateway.gateway], None, 1, true, &stop)?;
    crowd.set_afar(settings.slow);
    let slow = settings.pushes.slow(settings.slow, settings.senders)?;
    say(&format!(
        "{} clients; {:.0} pushes of {} bytes a second to {} of them, {} others send in lockstep; phases of \
         {:?}",
        settings.clients, slow.rate, slow.size, slow.clients, slow.senders, slow.time
    ));
    let (crowd, slowed) = on_thread(crowd, move |crowd| {
        crowd.grow(settings.clients, Coming::FREELY)?;
        let slowed = crowd.slow(&slow, gauge)?;
        crowd.ensure_complete()?;
        Ok(slowed)
    })
    .await?;
    say_slowed(&slowed, &slow);

    let answers = slowed.answers;
    ensure!(
        answers.sent + answers.queued + answers.full == answers.total(),
        "pushes to connected clients had other answers than 200, 202 or 429: {answers}"
    );
    ensure!(
        answers.full > 0,
        "no push was refused, so no buffer was full: raise --slow-rate or --slow-time"
    );
    let bound = slow.clients as u64 * SEND_BUFFER;
    let most = bound + bound / BESIDE_PART + BESIDE;
    ensure!(
        slowed.most - slowed.before <= most,
        "resident memory grew by {} MiB; the buffers hold at most {} MiB, and {} MiB are allowed",
        (slowed.most - slowed.before) >> 20,
        bound >> 20,
        most >> 20
    );
    let (stats, sent) = (api.stats().await?, crowd.sent());
    let of = |name: &str| stats[name].as_u64();
    ensure!(
        of("messages") == Some(sent) && of("out_of_order") == Some(0),
        "the senders sent {sent} messages, but the API counted {stats}"
    );
    Ok(())
}
