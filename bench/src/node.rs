//! The measured node as a child process.

use std::net::SocketAddr;
use std::path::Path;

use crate::process::{Folder, Process, free_address};
use crate::relay::Relay;

/// A running `fetchway serve` that may fetch from loopback.
pub(crate) struct NodeProcess {
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
}

impl NodeProcess {
    /// Starts the node with `config` (TOML) as its configuration file.
    pub(crate) async fn start(
        program: &Path,
        folder: &Folder,
        config: &str,
    ) -> anyhow::Result<Self> {
        let addr = free_address()?;
        let process = start_at(program, folder, config, addr).await?;
        Ok(Self { addr, process })
    }

    /// Kills the node with SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.process.child().kill().await?)
    }

    /// Starts the node again, at the same address.
    pub(crate) async fn restart(&mut self, program: &Path, folder: &Folder) -> anyhow::Result<()> {
        self.process = start_at(program, folder, "", self.addr).await?;
        Ok(())
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Relay> {
        Relay::connect(self.addr).await
    }
}

async fn start_at(
    program: &Path,
    folder: &Folder,
    config: &str,
    addr: SocketAddr,
) -> anyhow::Result<Process> {
    let file = folder.path().join("fetchway.toml");
    std::fs::write(&file, config)?;
    let (listen, admin) = (addr.to_string(), free_address()?.to_string());
    let file = file.display().to_string();
    let args = [
        "serve",
        "--listen",
        &listen,
        "--admin",
        &admin,
        "--allow-net",
        "127.0.0.0/8",
        "--log-level",
        "warn",
        "--config",
        &file,
    ];
    let mut process = Process::start(program, args, false)?;
    process.listening(addr).await?;
    Ok(process)
}
