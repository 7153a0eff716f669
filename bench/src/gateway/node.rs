//! The gateway under measurement as a child process.

use std::path::{Path, PathBuf};

use crate::gateway::Gateway;
use crate::process::{Folder, Process, free_address};

/// A running gateway that anybody may push through.
pub(crate) struct GatewayProcess {
    pub(crate) gateway: Gateway,
    process: Process,
}

/// PEM files of a certificate for 127.0.0.1 and its key.
pub(crate) struct Pem {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl GatewayProcess {
    /// Starts `program` in front of the API at `api`, a URL. With `tls` its clients speak it, and
    /// pushes have a listener of their own without. `further` are arguments.
    pub(crate) async fn start(
        program: &Path,
        folder: &Folder,
        api: &str,
        tls: Option<&Pem>,
        further: &[&str],
    ) -> anyhow::Result<Self> {
        let (addr, admin, push) = (free_address()?, free_address()?, free_address()?);
        let (listen, admin) = (addr.to_string(), admin.to_string());
        let mut args = vec!["--admin", &admin, "--log-level", "warn"];
        let file = folder.path().join("gateway.toml").display().to_string();
        if let Some(pem) = tls {
            std::fs::write(&file, config(&listen, &push.to_string(), api, pem))?;
            args.splice(..0, ["serve", "--config", &file, "--listen", "none"]);
        } else {
            let plain = ["gateway", "--listen", &listen, "--api", api, "--open-push"];
            args.splice(..0, plain);
        }
        args.extend(further);
        let mut process = Process::start(program, args, false)?;
        process.listening(addr).await?;
        let push = if tls.is_some() { push } else { addr };
        Ok(Self {
            gateway: Gateway { addr, push },
            process,
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }
}

fn config(listen: &str, push: &str, api: &str, pem: &Pem) -> String {
    let (cert, key) = (pem.cert.display(), pem.key.display());
    format!(
        "[[gateways]]
listen = \"{listen}\"
push-listen = \"{push}\"
api = \"{api}\"
tls.cert = \"{cert}\"
tls.key = \"{key}\"
"
    )
}
