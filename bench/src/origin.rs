//! The lab's origin as a child process.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::process::{Folder, Process};

/// What an origin speaks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1 without TLS
    H1,
    /// HTTP/2 over TLS
    H2,
}

/// A running `fetchway-origin`.
pub(crate) struct OriginProcess {
    addr: SocketAddr,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    // Last: it ends when its input does, so that the signal finds it gone.
    _process: Process,
}

impl OriginProcess {
    pub(crate) async fn start(program: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let mut process = Process::start(program, args, true)?;
        let pipes = (process.child().stdin.take(), process.child().stdout.take());
        let (Some(input), Some(output)) = pipes else {
            anyhow::bail!("the origin's pipes are missing");
        };
        let mut output = BufReader::new(output).lines();
        let addr = said(&mut output).await?["addr"]
            .as_str()
            .and_then(|addr| addr.parse().ok());
        Ok(Self {
            addr: addr.context("the origin named no address")?,
            input,
            output,
            _process: process,
        })
    }

    /// The lab's routes over `protocol`: the origin, its scheme, and the configuration that makes a
    /// node trust it.
    pub(crate) async fn start_slow(
        program: &Path,
        protocol: Protocol,
        streams: u32,
        folder: &Folder,
    ) -> anyhow::Result<(Self, &'static str, String)> {
        Ok(match protocol {
            Protocol::H1 => (
                Self::start(program, &["slow"]).await?,
                "http",
                String::new(),
            ),
            Protocol::H2 => {
                let ca = folder.path().join("ca.pem").display().to_string();
                let streams = streams.to_string();
                let args = ["tls", "--streams", &streams, "--ca-out", &ca];
                let origin = Self::start(program, &args).await?;
                (origin, "https", format!("[fetch]\nca-file = \"{ca}\"\n"))
            }
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its counters now.
    pub(crate) async fn stats(&mut self) -> anyhow::Result<Value> {
        self.input
            .write_all(b"\n")
            .await
            .context("the origin has ended")?;
        said(&mut self.output).await
    }
}

async fn said(output: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<Value> {
    let line = output
        .next_line()
        .await?
        .context("the origin has ended; see what it wrote above")?;
    serde_json::from_str(&line).with_context(|| format!("the origin wrote {line}"))
}
