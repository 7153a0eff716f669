//! Programs that a batch at full speed is compared with: oha and wrk, which keep no results.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::process::cpu_of_children;

/// Results of one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) per_second: f64,
    /// Microseconds of the program's CPU for each request.
    pub(super) cpu: f64,
}

/// Sends `requests` with oha. The rate is the one that oha prints, without its start-up.
pub(super) async fn oha(
    program: &Path,
    url: &str,
    requests: u32,
    connections: usize,
) -> anyhow::Result<Reached> {
    let (count, connections) = (requests.to_string(), connections.to_string());
    let (said, cpu) = output(
        program,
        &[
            "-n",
            &count,
            "-c",
            &connections,
            "--no-tui",
            "--output-format",
            "json",
            url,
        ],
    )
    .await?;
    read_oha(&said, requests, cpu)
}

fn read_oha(said: &str, requests: u32, cpu: Duration) -> anyhow::Result<Reached> {
    let said: Value = serde_json::from_str(said).context("the output of oha is not JSON")?;
    let good = said["statusCodeDistribution"]["200"].as_u64();
    ensure!(
        good == Some(requests.into()),
        "oha received {good:?} answers with status 200 for {requests} requests"
    );
    let per_second = said["summary"]["requestsPerSec"].as_f64();
    Ok(Reached {
        per_second: per_second.context("the output of oha contains no requests per second")?,
        cpu: cpu.as_secs_f64() * 1e6 / f64::from(requests),
    })
}

/// Runs wrk for `seconds` with two threads. The rate is the one that wrk prints.
pub(super) async fn wrk(
    program: &Path,
    url: &str,
    seconds: u32,
    connections: usize,
) -> anyhow::Result<Reached> {
    let (duration, connections) = (format!("-d{seconds}s"), format!("-c{connections}"));
    let (said, cpu) = output(program, &["-t2", &connections, &duration, url]).await?;
    read_wrk(&said, cpu)
}

fn read_wrk(said: &str, cpu: Duration) -> anyhow::Result<Reached> {
    let wrong = ["Socket errors", "Non-2xx"]
        .iter()
        .any(|it| said.contains(it));
    ensure!(!wrong, "wrk reported errors:\n{said}");
    let number = |line: Option<&str>| line?.split_whitespace().next()?.parse::<f64>().ok();
    let requests = number(said.lines().find(|line| line.contains(" requests in ")));
    let per_second = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let all = requests.zip(number(per_second));
    let (requests, per_second) = all.with_context(|| format!("wrk wrote:\n{said}"))?;
    Ok(Reached {
        per_second,
        cpu: cpu.as_secs_f64() * 1e6 / requests,
    })
}

/// Runs a program; returns its output and its CPU time.
async fn output(program: &Path, args: &[&str]) -> anyhow::Result<(String, Duration)> {
    let before = cpu_of_children();
    let done = Command::new(program)
        .args(args)
        .kill_on_drop(true)
        .output()
        .await;
    let shown = program.display();
    let done =
        done.with_context(|| format!("{shown} cannot be run; check that it is installed"))?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "{shown} ended with {}: {}",
        done.status,
        complaint.trim()
    );
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    Ok((said, cpu_of_children().since(before).total()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_understood_and_its_errors_are() {
        let said = "Running 4s test @ http://h/\n  80000 requests in 4.00s, 11.37MB read\n\
                    Requests/sec:  19999.50\nTransfer/sec:      2.84MB\n";
        let reached = read_wrk(said, Duration::from_secs(2)).expect("a complete output");
        assert_eq!((reached.per_second, reached.cpu), (19_999.5, 25.0));
        let broken = format!("{said}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(read_wrk(&broken, Duration::ZERO).is_err());
        assert!(read_wrk("", Duration::ZERO).is_err());
    }

    #[test]
    fn oha_is_understood_and_its_errors_are() {
        let said = r#"{"summary":{"requestsPerSec":1000.5},"statusCodeDistribution":{"200":50}}"#;
        let reached = read_oha(said, 50, Duration::from_millis(1)).expect("a complete output");
        assert_eq!((reached.per_second, reached.cpu), (1_000.5, 20.0));
        assert!(read_oha(said, 51, Duration::ZERO).is_err());
    }
}
