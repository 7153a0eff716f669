//! Test origins as separate processes, so that their CPU and memory are not counted with those of others.
//!
//! The first line of output is JSON with the address. Each line of input is answered with a line of counters.
//! The process ends when its input is closed, so no origin outlives the bench that started it.
//!
//! Commands of `api`: `delay MS`, `fail STATUS` and `close` apply to every request from then on, and `normal`
//! ends them; `break` closes all open connections; `down` and `up` act as if the API were killed and
//! restarted.
//!
//! Commands of `ledger`: `delay MS` delays answers; `fail STATUS EVERY` and `stall EVERY` apply to items whose
//! number is a multiple of EVERY; `limit N fixed` and `limit N sliding` answer 429 above N requests per
//! second; `normal` ends all of them. `arrivals N` is answered once N requests have arrived since the start,
//! and `left` once no connection is open. `write FILE` writes the arrivals, one a line (microseconds, item,
//! status), and `forget` discards them.

mod told;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use fetchway_test_origins::{Api, FastTestOrigin, Ledger, Rules, TestOrigin};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[derive(Parser)]
#[command(about = "A test origin that runs until standard input ends")]
struct Args {
    /// fast: one small answer at minimal cost; slow: the test origin's routes; tls: the same over TLS;
    /// api: accepts a gateway's clients and echoes their messages; ledger: records the arrival of each item
    #[arg(value_enum)]
    kind: Kind,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Bytes of the fast origin's body, or of the filler in the ledger's body
    #[arg(long, default_value_t = 100)]
    body: usize,
    /// Streams that the TLS origin allows on one HTTP/2 connection
    #[arg(long, default_value_t = 100)]
    streams: u32,
    /// File in which the API records its requests, and from which it continues after a restart
    #[arg(long)]
    journal: Option<PathBuf>,
    /// File to write the TLS origin's certificate authority to
    #[arg(long)]
    ca_out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Fast,
    Slow,
    Tls,
    Api,
    Ledger,
}

enum Running {
    Fast(FastTestOrigin),
    Routes(TestOrigin),
    Api(Api),
    Ledger(Ledger),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let running = start(&args)?;
    let addr = match &running {
        Running::Fast(origin) => origin.addr(),
        Running::Routes(origin) => origin.addr(),
        Running::Api(api) => api.addr(),
        Running::Ledger(ledger) => ledger.addr(),
    };
    say(&json!({ "addr": addr.to_string() }));
    let mut rules = Rules::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines
        .next_line()
        .await
        .context("standard input cannot be read")?
    {
        let done = match &running {
            Running::Api(api) => told::api(api, &line).await,
            Running::Ledger(ledger) => told::ledger(ledger, &mut rules, &line).await,
            Running::Fast(_) | Running::Routes(_) => Ok(()),
        };
        if let Err(error) = done {
            say(&json!({ "error": format!("{error:#}") }));
            continue;
        }
        say(&counters(&running));
    }
    Ok(())
}

fn counters(running: &Running) -> Value {
    match running {
        Running::Fast(origin) => {
            json!({ "connections": origin.connections(), "requests": origin.requests() })
        }
        Running::Routes(origin) => {
            let stats = origin.stats();
            json!({
                "connections": stats.connections,
                "requests": stats.requests,
                "peakInFlight": stats.peak_in_flight,
            })
        }
        Running::Api(api) => json!(api.stats()),
        Running::Ledger(ledger) => json!(ledger.counts()),
    }
}

fn start(args: &Args) -> anyhow::Result<Running> {
    let builder = TestOrigin::builder().addr(args.listen);
    Ok(match args.kind {
        Kind::Api => Running::Api(match &args.journal {
            Some(journal) => Api::start_with_journal(args.listen, journal)?,
            None => Api::start_at(args.listen)?,
        }),
        Kind::Ledger => Running::Ledger(Ledger::start(args.listen, args.body)?),
        Kind::Fast => Running::Fast(FastTestOrigin::start(args.listen, args.body)?),
        Kind::Slow => Running::Routes(builder.start()?),
        Kind::Tls => {
            let origin = builder.tls().max_concurrent_streams(args.streams).start()?;
            if let (Some(path), Some(certificate)) = (&args.ca_out, origin.certificate()) {
                std::fs::write(path, certificate.ca_pem())
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
            Running::Routes(origin)
        }
    })
}

#[expect(clippy::print_stdout, reason = "the bench reads it")]
fn say(line: &Value) {
    println!("{line}");
}
