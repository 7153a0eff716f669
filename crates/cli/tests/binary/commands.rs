//! What the commands print and how they exit.

use std::process::Output;

use fetchway_lab::Origin;
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn probe_compares_both_ways_and_judges_them() {
    let (node, origin) = (
        Serve::start().await,
        Origin::builder().start().expect("an origin"),
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
    assert!(text(&failing.stdout).contains("HTTP status 404"));
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
    let cases: [(&[&str], &str); 6] = [
        (&["probe"], "no target: name the URL to fetch"),
        (&["probe", "http://x", "http://y"], "is no WebSocket URL"),
        (
            &["probe", "ws://127.0.0.1:1", "http://y"],
            "start one with `fetchway serve`",
        ),
        (
            &["serve", "--listen", "0.0.0.0:0"],
            "no token is configured",
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
    let folder = std::env::temp_dir().join(format!("fetchway-print-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("fetchway.toml");
    let config =
        "[[tokens]]\nname = \"ann\"\ntoken = \"a-secret-token\"\n[lanes.slow]\nrate = \"5/s\"\n";
    std::fs::write(&file, config).expect("a file");
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
    std::fs::remove_dir_all(&folder).expect("the folder goes");
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
