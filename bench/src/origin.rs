//! Test origins as child processes.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

use crate::process::Folder;
use crate::talk::Talk;

/// Protocol of an origin.
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
    talk: Talk,
}

impl OriginProcess {
    pub(crate) async fn start(program: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let mut talk = Talk::start("the origin", program, args)?;
        let said = talk.said().await?;
        let addr = said["addr"].as_str().and_then(|addr| addr.parse().ok());
        Ok(Self {
            addr: addr.context("the origin printed no address")?,
            talk,
        })
    }

    /// Starts an origin with the test routes over `protocol`; returns the origin, the scheme of its URLs, and
    /// the configuration with which a node trusts it.
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

    pub(crate) fn pid(&self) -> i32 {
        self.talk.pid()
    }

    /// The origin's current counters.
    pub(crate) async fn stats(&mut self) -> anyhow::Result<Value> {
        self.tell("").await
    }

    /// Sends a command, and returns the origin's counters after it.
    pub(crate) async fn tell(&mut self, command: &str) -> anyhow::Result<Value> {
        self.talk.ask(command).await
    }

    /// Kills the origin with SIGKILL.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.talk.kill().await
    }
}
