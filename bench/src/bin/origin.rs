//! The lab's origins as a process of their own, so that what they cost is not counted as another's.
//!
//! The first line it writes is JSON with its address. Each line it reads is answered with a line of
//! counters; when its input ends, so does it: no origin outlives the bench that started it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use fetchway_lab::{FastOrigin, Origin};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[derive(Parser)]
#[command(about = "One of the lab's origins, until standard input ends")]
struct Args {
    /// fast: one small answer at the least cost; slow: the lab's routes; tls: the same over TLS
    #[arg(value_enum)]
    kind: Kind,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Bytes of the fast origin's body
    #[arg(long, default_value_t = 100)]
    body: usize,
    /// Streams the TLS origin allows on one HTTP/2 connection
    #[arg(long, default_value_t = 100)]
    streams: u32,
    /// Where to write the certificate authority of the TLS origin
    #[arg(long)]
    ca_out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Fast,
    Slow,
    Tls,
}

enum Running {
    Fast(FastOrigin),
    Lab(Origin),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let running = start(&args)?;
    say(&match &running {
        Running::Fast(origin) => json!({ "addr": origin.addr().to_string() }),
        Running::Lab(origin) => json!({ "addr": origin.addr().to_string() }),
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines
        .next_line()
        .await
        .context("standard input cannot be read")?
        .is_some()
    {
        say(&match &running {
            Running::Fast(origin) => {
                json!({ "connections": origin.connections(), "requests": origin.requests() })
            }
            Running::Lab(origin) => {
                let stats = origin.stats();
                json!({
                    "connections": stats.connections,
                    "requests": stats.requests,
                    "peakInFlight": stats.peak_in_flight,
                })
            }
        });
    }
    Ok(())
}

fn start(args: &Args) -> anyhow::Result<Running> {
    let builder = Origin::builder().addr(args.listen);
    Ok(match args.kind {
        Kind::Fast => Running::Fast(FastOrigin::start(args.listen, args.body)?),
        Kind::Slow => Running::Lab(builder.start()?),
        Kind::Tls => {
            let origin = builder.tls().max_concurrent_streams(args.streams).start()?;
            if let (Some(path), Some(certificate)) = (&args.ca_out, origin.certificate()) {
                std::fs::write(path, certificate.ca_pem())
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
            Running::Lab(origin)
        }
    })
}

#[expect(clippy::print_stdout, reason = "the bench reads it")]
fn say(line: &Value) {
    println!("{line}");
}
