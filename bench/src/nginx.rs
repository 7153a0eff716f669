//! nginx as a plain reverse proxy, configured to be as fast as possible with one worker.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::process::{Folder, Process, children, free_address};

/// A running nginx with one worker.
pub(crate) struct Nginx {
    pub(crate) addr: SocketAddr,
    /// Process id of the worker, which does all of the proxying.
    pub(crate) worker: i32,
    _master: Process,
}

impl Nginx {
    pub(crate) async fn start(
        program: &Path,
        folder: &Folder,
        origin: SocketAddr,
    ) -> anyhow::Result<Self> {
        let addr = free_address()?;
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config(folder.path(), addr, origin)).context("nginx.conf")?;
        let error_log = folder.path().join("nginx-error.log");
        let args = [
            "-c".as_ref(),
            file.as_os_str(),
            "-e".as_ref(),
            error_log.as_os_str(),
        ];
        let mut master = Process::start(program, args, false)?;
        master.listening(addr).await?;
        let worker = worker(master.pid()).await?;
        Ok(Self {
            addr,
            worker,
            _master: master,
        })
    }
}

/// Waits for the worker: the master process listens before the worker has started.
async fn worker(master: i32) -> anyhow::Result<i32> {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        if let [worker] = children(master)?[..] {
            return Ok(worker);
        }
        anyhow::ensure!(Instant::now() < until, "nginx has not started its worker");
        sleep(Duration::from_millis(10)).await;
    }
}

fn config(folder: &Path, listen: SocketAddr, origin: SocketAddr) -> String {
    let folder = folder.display();
    // When nginx runs as root, its worker would run as another user, who must not enter the folder.
    // SAFETY: geteuid takes nothing and touches no memory.
    let user = if unsafe { libc::geteuid() } == 0 {
        "user root;"
    } else {
        ""
    };
    // By default, nginx proxies over HTTP/1.0 without keep-alive, and closes a connection after a thousand
    // requests.
    format!(
        "daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream origin {{
        server {origin};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}
