//! A `fetchway serve` or `fetchway gateway` of its own for each test.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use fetchway_testkit::{Client, PATIENCE, http};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_fetchway");

fn field<'l>(line: &'l Value, key: &str) -> Option<&'l str> {
    line["fields"][key].as_str().or(line[key].as_str())
}

fn address(line: &Value, key: &str) -> Option<SocketAddr> {
    field(line, key)?.parse().ok()
}

/// A running node; killed when dropped.
pub(crate) struct Serve {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Its log up to the addresses below.
    said: Vec<Value>,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Serve {
    /// Starts it on ports of the system's choice, which its log tells.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let allow = ["--allow-net", "127.0.0.0/8"];
        Self::run("serve", &[&allow, flags].concat()).await
    }

    /// A gateway of the API at `api`, with further flags.
    pub(crate) async fn gateway(api: &str, flags: &[&str]) -> Self {
        Self::run("gateway", &[&["--api", api], flags].concat()).await
    }

    async fn run(command: &str, flags: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args([command, "--listen", "localhost:0", "--admin", "localhost:0"])
            .args(["--log-format", "json"])
            .args(flags)
            .env_clear()
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (mut addr, mut admin, mut said) = (None, None, Vec::new());
        let (addr, admin) = loop {
            let line = timeout(PATIENCE, log.next_line())
                .await
                .expect("a log line");
            let line = line.expect("the log is text").expect("the node lives");
            let line: Value = serde_json::from_str(&line).expect("the log is JSON");
            addr = addr.or(address(&line, "addr"));
            admin = admin.or(address(&line, "admin"));
            said.push(line);
            if let (Some(addr), Some(admin)) = (addr, admin) {
                break (addr, admin);
            }
        };
        Self {
            child,
            log,
            said,
            addr,
            admin,
        }
    }

    /// What it has said of itself at start, under `key`.
    pub(crate) fn said(&self, key: &str) -> Option<&str> {
        self.said.iter().find_map(|line| field(line, key))
    }

    /// The next line of its log whose message begins so.
    pub(crate) async fn says(&mut self, message: &str) -> Value {
        let reading = async {
            loop {
                let line = self.log.next_line().await.expect("the log is text");
                let line: Value =
                    serde_json::from_str(&line.expect("the node lives")).expect("the log is JSON");
                if field(&line, "message").is_some_and(|said| said.starts_with(message)) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("it says so")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&format!("ws://{}/", self.addr)).await
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the node lives").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until the node says that it is on its way out.
    pub(crate) async fn leaving(&self) {
        let asked = async { while http(self.admin, "GET /ready HTTP/1.1").await.0 != 503 {} };
        timeout(PATIENCE, asked).await.expect("not ready any more");
    }

    pub(crate) async fn ended(mut self) -> ExitStatus {
        // The pipe must not fill.
        let reading = async { while let Ok(Some(_)) = self.log.next_line().await {} };
        timeout(PATIENCE, reading).await.expect("the node ends");
        self.child.wait().await.expect("its status")
    }
}
