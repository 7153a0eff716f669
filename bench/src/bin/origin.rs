//! The lab's origins as a process of their own, so that what they cost is not counted as another's.
//!
//! The first line it writes is JSON with its address. Each line it reads is answered with a line of
//! counters; when its input ends, so does it: no origin outlives the bench that started it.
//!
//! To `api` a line may be a command: `delay MS`, `fail STATUS` or `close` for every request from then
//! on, `normal` to end that, `break` for all open connections, `down` and `up` as if it were killed and
//! started again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use fetchway_lab::{Api, ApiReply, FastOrigin, Origin};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[derive(Parser)]
#[command(about = "One of the lab's origins, until standard input ends")]
struct Args {
    /// fast: one small answer at the least cost; slow: the lab's routes; tls: the same over TLS;
    /// api: accepts and echoes what a gateway brings
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
    /// A file in which the API keeps its account, and with which it goes on
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Where to write the certificate authority of the TLS origin
    #[arg(long)]
    ca_out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Fast,
    Slow,
    Tls,
    Api,
}

enum Running {
    Fast(FastOrigin),
    Lab(Origin),
    Api(Api),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let running = start(&args)?;
    let addr = match &running {
        Running::Fast(origin) => origin.addr(),
        Running::Lab(origin) => origin.addr(),
        Running::Api(api) => api.addr(),
    };
    say(&json!({ "addr": addr.to_string() }));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines
        .next_line()
        .await
        .context("standard input cannot be read")?
    {
        if let Running::Api(api) = &running
            && let Err(error) = command(api, &line).await
        {
            say(&json!({ "error": error.to_string() }));
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
        Running::Lab(origin) => {
            let stats = origin.stats();
            json!({
                "connections": stats.connections,
                "requests": stats.requests,
                "peakInFlight": stats.peak_in_flight,
            })
        }
        Running::Api(api) => api.stats().to_json(),
    }
}

/// Does what a line says; an empty one says nothing.
async fn command(api: &Api, line: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => {}
        ["normal"] => api.unscript(),
        ["break"] => api.break_connections(),
        ["down"] => api.down().await,
        ["up"] => api.up()?,
        ["close"] => api.script(|_| Some(ApiReply::broken())),
        ["fail", status] => {
            let status = status
                .parse()
                .ok()
                .filter(|code| (200..=599).contains(code));
            let status: u16 = status.context("the status must be from 200 to 599")?;
            api.script(move |_| Some(ApiReply::new(status, "")));
        }
        ["delay", millis] => {
            let delay = Duration::from_millis(millis.parse().context("the delay is no number")?);
            api.script(move |request| {
                let echo = match request.method.as_str() {
                    "GET" => "ok".into(),
                    "POST" => request.body.clone(),
                    _ => "".into(),
                };
                Some(ApiReply::new(200, echo).after(delay))
            });
        }
        _ => bail!("the API has no command {line}"),
    }
    Ok(())
}

fn start(args: &Args) -> anyhow::Result<Running> {
    let builder = Origin::builder().addr(args.listen);
    Ok(match args.kind {
        Kind::Api => Running::Api(match &args.journal {
            Some(journal) => Api::start_with_journal(args.listen, journal)?,
            None => Api::start_at(args.listen)?,
        }),
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
