//! The measured gateway as a child process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::process::{Folder, Process, free_address};

/// A running gateway that accepts pushes from everyone.
pub(crate) struct GatewayProcess {
    pub(crate) gateway: Gateway,
    admin: SocketAddr,
    process: Process,
}

/// PEM files of a certificate for 127.0.0.1 and of its key.
pub(crate) struct Pem {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl GatewayProcess {
    /// Starts `program` in front of the API at the URL `api`. With `tls`, clients use TLS, and pushes a separate
    /// listener without TLS. `further` are additional arguments.
    pub(crate) async fn start(
        program: &Path,
        folder: &Folder,
        api: &str,
        tls: Option<&Pem>,
        further: &[&str],
    ) -> anyhow::Result<Self> {
        let (addr, admin, push) = (free_address()?, free_address()?, free_address()?);
        let (listen, admin_listen) = (addr.to_string(), admin.to_string());
        let mut args = vec!["--admin", &admin_listen, "--log-level", "warn"];
        let file = folder.path().join("gateway.toml").display().to_string();
        if let Some(pem) = tls {
            std::fs::write(&file, config(&listen, &push.to_string(), api, pem))?;
            args.splice(..0, ["serve", "--config", &file, "--listen", "none"]);
        } else {
            let plain = ["gateway", "--listen", &listen, "--api", api, "--open-push"];
            args.splice(..0, plain);
        }
        // The gateway ends with the bench, so its clients need not be spread over time.
        args.extend(["--set", "gateways[0].drain-spread=1ms"]);
        args.extend(further);
        let mut process = Process::start(program, args, false)?;
        process.listening(addr).await?;
        let push = if tls.is_some() { push } else { addr };
        Ok(Self {
            gateway: Gateway { addr, push },
            admin,
            process,
        })
    }

    /// Current metrics of the gateway.
    pub(crate) async fn metrics(&self) -> anyhow::Result<Metrics> {
        let mut stream = TcpStream::connect(self.admin).await?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(
            answer.starts_with("HTTP/1.1 200 "),
            "the gateway did not return metrics, but {answer}"
        );
        Ok(Metrics(answer))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }
}

/// Metrics of a gateway, in the text format of the endpoint.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Value of a counter or gauge, summed over its labels.
    pub(crate) fn value(&self, name: &str) -> anyhow::Result<u64> {
        let values = self.0.lines().filter_map(|line| {
            let labels = line.strip_prefix(name)?;
            labels.starts_with(['{', ' ']).then_some(labels)
        });
        let values = values.map(|labels| {
            let (_, value) = labels.rsplit_once(' ')?;
            value.parse::<u64>().ok()
        });
        let values: Option<Vec<u64>> = values.collect();
        match values {
            Some(values) if !values.is_empty() => Ok(values.iter().sum()),
            _ => bail!("the gateway has no metric {name}"),
        }
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
