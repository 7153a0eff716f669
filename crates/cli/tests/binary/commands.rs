//! What the commands print and how they exit.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use fetchway_test_origins::{Certificate, TestOrigin};
use serde_json::Value;
use tokio::process::Command;

use crate::serve::{BINARY, Serve};

async fn run(args: &[&str]) -> Output {
    Command::new(BINARY)
        .args(args)
        .env_clear()
        .output()
        .await
        .expect("the binary runs")
}

/// A folder of one test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("fetchway-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    /// Writes a file and gives its path.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file");
        path.into_os_string().into_string().expect("a plain name")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn probe_compares_both_ways_and_judges_them() {
    let (node, origin) = (
        Serve::start().await,
        TestOrigin::builder().start().expect("an origin"),
    );
    let relay = format!("ws://{}", node.addr);
    let done = run(&["probe", &relay, &origin.url("/delay?ms=1"), "20"]).await;
    let table = text(&done.stdout);
    assert!(done.status.success(), "{table}{}", text(&done.stderr));
    assert!(
        table.contains("successful                            20                20"),
        "{table}"
    );

    let done = run(&[
        "probe",
        &relay,
        &origin.url("/delay?ms=1"),
        "12",
        "--json",
        "--direct-limit",
        "3",
    ])
    .await;
    let report: Value = serde_json::from_slice(&done.stdout).expect("one JSON object");
    assert_eq!(report["testConfig"]["directLimit"], 3);
    assert!(
        report["directFetches"]["peakConcurrency"]
            .as_u64()
            .expect("a number")
            <= 3
    );
    assert_eq!(report["wsFetches"]["successful"], 12);
    assert_eq!(
        report["wsFetches"]["details"].as_array().map(Vec::len),
        Some(12)
    );
    assert!(report["conclusion"].is_string());

    let failing = run(&["probe", &relay, &origin.url("/status?code=404"), "3"]).await;
    assert_eq!(failing.status.code(), Some(1));
    let table = text(&failing.stdout);
    assert!(table.contains("HTTP status 404"), "{table}");
    let p50 = table.lines().find(|line| line.trim().starts_with("p50"));
    assert_eq!(p50.expect("a line").matches('–').count(), 2, "{table}");
}

#[tokio::test]
async fn probe_shares_the_fetches_between_relays_and_sockets() {
    let origin = TestOrigin::builder().start().expect("a free port");
    let nodes = [Serve::start().await, Serve::start().await];
    let relays = nodes.each_ref().map(|node| format!("ws://{}/", node.addr));
    let target = origin.url("/delay?ms=1");
    let args = [
        "probe",
        &relays[0],
        &target,
        "40",
        "--relay",
        &relays[1],
        "--connections",
        "2",
        "--binary",
        "--json",
    ];
    let done = run(&args).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(said["testConfig"]["connections"], 4);
    assert_eq!(said["testConfig"]["encoding"], "binary");
    assert_eq!(said["wsFetches"]["successful"], 40);
}

#[tokio::test]
async fn probe_trusts_the_certificates_it_is_given() {
    let certificate = Certificate::generate::<&str>(&[]).expect("a certificate");
    let folder = Folder::new("probe-tls");
    let (cert, key) = (
        folder.file("cert.pem", &certificate.cert_pem()),
        folder.file("key.pem", &certificate.key_pem()),
    );
    let ca = folder.file("ca.pem", &certificate.ca_pem());
    let (cert, key) = (format!("tls.cert={cert}"), format!("tls.key={key}"));
    let node = Serve::start_with(&["--set", &cert, "--set", &key]).await;
    let origin = TestOrigin::builder()
        .certificate(Arc::new(certificate))
        .start()
        .expect("an origin");
    let relay = format!("wss://{}", node.addr);
    let target = origin.url("/delay?ms=1");
    let done = run(&["probe", &relay, &target, "2"]).await;
    let said = text(&done.stderr);
    assert!(said.contains("--ca-file names a certificate"), "{said}");
    // The node does not trust the origin; the direct fetches do.
    let done = run(&["probe", &relay, &target, "2", "--ca-file", &ca, "--json"]).await;
    let report: Value = serde_json::from_slice(&done.stdout).expect("one JSON object");
    assert_eq!(report["directFetches"]["successful"], 2, "{report}");
    assert_eq!(report["wsFetches"]["totalRequests"], 2, "{report}");
    assert_eq!(report["wsFetches"]["p50"], Value::Null, "{report}");
}

#[tokio::test]
async fn counts_of_nothing_are_refused() {
    for args in [
        &["probe", "ws://127.0.0.1:1", "http://y", "0"][..],
        &[
            "probe",
            "ws://127.0.0.1:1",
            "http://y",
            "--direct-limit",
            "0",
        ],
        &["demo", "--count", "0"],
    ] {
        let done = run(args).await;
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("1 or more"), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn the_demo_s_words_fit_into_80_columns() {
    let done = run(&["demo", "--count", "1", "--delay", "1"]).await;
    for line in text(&done.stdout).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[tokio::test]
async fn demo_checks_what_it_shows() {
    let done = run(&["demo", "--count", "12", "--delay", "20"]).await;
    let shown = text(&done.stdout);
    assert!(done.status.success(), "{shown}{}", text(&done.stderr));
    assert!(shown.contains("Every body was checked"), "{shown}");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_a_sentence() {
    let cases: [(&[&str], &str); 9] = [
        (&["probe"], "no target: name the URL to fetch"),
        (
            &["probe", "http://x/", "3"],
            "`fetchway probe ws://localhost:8787 http://x/ 10`",
        ),
        (&["probe", "x:y", "http://y"], "is not a WebSocket URL"),
        (
            &[
                "probe",
                "wss://127.0.0.1:1",
                "http://y",
                "--ca-file",
                "no-such",
            ],
            "--ca-file no-such can't be read",
        ),
        (
            &["probe", "ws://127.0.0.1:1", "http://y"],
            "start one with `fetchway serve`",
        ),
        (
            &["serve", "--listen", "0.0.0.0:0"],
            "no token is configured",
        ),
        (
            &["serve", "--listen", "8787"],
            "listen = \"8787\": expected an IP address and a port",
        ),
        (&["serve", "--set", "relay.max-mesage=1MiB"], "max-message"),
        (&["serve", "--allow-net", "10.0.0.1/8"], "guard.allow-net"),
    ];
    for (args, part) in cases {
        let done = run(args).await;
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    }
}

#[tokio::test]
async fn print_config_names_sources_and_hides_tokens() {
    let folder = Folder::new("print");
    let config =
        "[[tokens]]\nname = \"ann\"\ntoken = \"a-secret-token\"\n[lanes.slow]\nrate = \"5/s\"\n";
    let file = folder.file("fetchway.toml", config);
    let done = Command::new(BINARY)
        .args([
            "serve",
            "--print-config",
            "--listen",
            "127.0.0.1:1",
            "--config",
        ])
        .arg(&file)
        .env_clear()
        .env("FETCHWAY_RELAY__MAX_MESSAGE", "1MiB")
        .output()
        .await
        .expect("the binary runs");
    let shown = text(&done.stdout);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(!shown.contains("a-secret-token"), "{shown}");
    for (value, source) in [
        ("listen = \"127.0.0.1:1\"", "--listen"),
        ("max-message = \"1MiB\"", "FETCHWAY_RELAY__MAX_MESSAGE"),
        ("rate = \"5/s\"", "fetchway.toml"),
        ("max-in-flight", "default"),
    ] {
        let line = shown
            .lines()
            .find(|line| line.trim_start().starts_with(value));
        assert!(
            line.is_some_and(|line| line.contains(source)),
            "{value}: {line:?}"
        );
    }
}
