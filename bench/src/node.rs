//! The node under measurement as a child process.

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
    /// Starts it with `config` (TOML) as its file.
    pub(crate) async fn start(
        program: &Path,
        folder: &Folder,
        config: &str,
    ) -> anyhow::Result<Self> {
        let (addr, admin) = (free_address()?, free_address()?);
        let file = folder.path().join("fetchway.toml");
        std::fs::write(&file, config)?;
        let (listen, admin, file) = (
            addr.to_string(),
            admin.to_string(),
            file.display().to_string(),
        );
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
        Ok(Self { addr, process })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Relay> {
        Relay::connect(self.addr).await
    }
}
