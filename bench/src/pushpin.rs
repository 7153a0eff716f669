//! Pushpin from the Debian package, in front of one API: it holds WebSockets, and sends the API one
//! WebSocket-over-HTTP request for each message.
//!
//! Pushpin consists of five processes: the runner, Condure (the clients' sockets), proxy, handler, and zurl,
//! which sends the requests. The packaged zurl must not connect to 127.0.0.0/8 and has its sockets in a
//! system folder, so this bench gives it another configuration. All other settings are the package's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::process::{Folder, Process, children, free_address};

/// Longest time until the first request reaches the API through Pushpin.
const START: Duration = Duration::from_secs(20);

/// A running Pushpin.
pub(crate) struct Pushpin {
    pub(crate) addr: SocketAddr,
    /// Process ids of all five processes.
    pub(crate) pids: Vec<i32>,
    _runner: Process,
    _zurl: Process,
}

impl Pushpin {
    /// Starts `program`, and zurl from the same folder.
    pub(crate) async fn start(
        program: &Path,
        folder: &Folder,
        api: SocketAddr,
    ) -> anyhow::Result<Self> {
        let addr = free_address()?;
        let home = folder.path().join("pushpin");
        std::fs::create_dir(&home)?;
        let file = |name: &str, text: String| -> anyhow::Result<PathBuf> {
            let path = home.join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            Ok(path)
        };
        let zurl_conf = file("zurl.conf", zurl_config(&home))?;
        file("routes", format!("* {api},over_http\n"))?;
        let conf = file("pushpin.conf", config(&home, addr))?;
        let quiet = "--loglevel=1";
        let zurl = Process::start(
            &program.with_file_name("zurl"),
            [&format!("--config={}", zurl_conf.display()), quiet],
            false,
        )?;
        let args = [&format!("--config={}", conf.display()), quiet];
        let mut runner = Process::start(program, args, false)?;
        runner.listening(addr).await?;
        goes_through(addr).await?;
        let mut pids = children(runner.pid())?;
        ensure!(
            pids.len() == 3,
            "Pushpin has {} child processes; expected 3: condure, proxy and handler",
            pids.len()
        );
        pids.extend([runner.pid(), zurl.pid()]);
        Ok(Self {
            addr,
            pids,
            _runner: runner,
            _zurl: zurl,
        })
    }
}

/// Waits until requests get through: Pushpin accepts connections before all its processes have started.
async fn goes_through(addr: SocketAddr) -> anyhow::Result<()> {
    let until = Instant::now() + START;
    let mut last = String::new();
    while !last.starts_with("HTTP/1.1 200 ") {
        ensure!(
            Instant::now() < until,
            "no request reached the API through Pushpin within {START:?}; the last answer was {last:?}"
        );
        let asked = timeout(Duration::from_secs(2), ask(addr)).await;
        match asked {
            Ok(answer) => last = answer?,
            Err(_) => continue,
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn ask(addr: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /first HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn zurl_config(home: &Path) -> String {
    let home = home.display();
    format!(
        "[General]
in_spec=ipc://{home}/zurl-in
in_stream_spec=ipc://{home}/zurl-in-stream
out_spec=ipc://{home}/zurl-out
in_req_spec=
defpolicy=allow
allow=
deny=
max_open_requests=2000
buffer_size=200000
timeout=600
in_hwm=1000
out_hwm=1000
"
    )
}

/// The package's pushpin.conf with other addresses and folders, and without a log, as no program here has one.
fn config(home: &Path, listen: SocketAddr) -> String {
    let home = home.display();
    format!(
        "[global]
include={{libdir}}/internal.conf
rundir={home}
ipc_prefix=
port_offset=0
stats_connection_ttl=120

[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port={listen}
logdir={home}
log_level=1
client_buffer_size=8192
client_maxconn=50000

[proxy]
routesfile={home}/routes
zurl_out_specs=ipc://{home}/zurl-in
zurl_out_stream_specs=ipc://{home}/zurl-in-stream
zurl_in_specs=ipc://{home}/zurl-out
sig_key=changeme
updates_check=off

[handler]
push_in_spec=ipc://{home}/push
push_in_sub_specs=ipc://{home}/push-sub
push_in_http_addr=127.0.0.1
push_in_http_port=0
stats_spec=ipc://{home}/stats
command_spec=ipc://{home}/command
message_rate=2500
message_hwm=25000
"
    )
}
