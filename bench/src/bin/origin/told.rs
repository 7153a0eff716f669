//! Commands of the origins `api` and `ledger`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use fetchway_test_origins::{Api, Ledger, Limit, LimitKind, Rules, ok, status};

/// Runs a command of the API; an empty line does nothing.
pub(crate) async fn api(api: &Api, line: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => {}
        ["normal"] => api.unscript(),
        ["break"] => api.break_connections(),
        ["down"] => api.down().await,
        ["up"] => api.up()?,
        ["close"] => api.script(|_| std::future::ready(None)),
        ["fail", code] => {
            let code = failure(code)?;
            api.script(move |_| std::future::ready(status(code, "")));
        }
        ["delay", millis] => {
            let delay = time(millis)?;
            api.script(move |request| async move {
                tokio::time::sleep(delay).await;
                match request.method.as_str() {
                    "GET" => ok("ok"),
                    "POST" => ok(request.body),
                    _ => ok(""),
                }
            });
        }
        _ => bail!("the API has no command `{line}`"),
    }
    Ok(())
}

/// Runs a command of the ledger. `rules` are the current ones.
pub(crate) async fn ledger(ledger: &Ledger, rules: &mut Rules, line: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => return Ok(()),
        ["forget"] => {
            ledger.forget();
            return Ok(());
        }
        ["write", path] => return write(ledger, Path::new(path)),
        ["arrivals", least] => {
            let least: u64 = least
                .parse()
                .context("the number of arrivals is not a number")?;
            ledger.wait_until(|counts| counts.arrivals >= least).await;
            return Ok(());
        }
        ["left"] => {
            ledger.wait_until(|counts| counts.open == 0).await;
            return Ok(());
        }
        ["normal"] => *rules = Rules::default(),
        ["delay", millis] => rules.delay = time(millis)?,
        ["fail", status, every] => rules.fail = Some((failure(status)?, multiple(every)?)),
        ["stall", every] => rules.stall = Some(multiple(every)?),
        ["limit", per_second, kind] => {
            rules.limit = Some(Limit {
                per_second: per_second.parse().context("the limit is not a number")?,
                kind: match *kind {
                    "fixed" => LimitKind::Fixed,
                    "sliding" => LimitKind::Sliding,
                    _ => bail!("the windows of a limit must be `fixed` or `sliding`"),
                },
            });
        }
        _ => bail!("the ledger has no command `{line}`"),
    }
    ledger.rule(*rules);
    Ok(())
}

/// Writes a line for each arrival: time in microseconds, item, status.
fn write(ledger: &Ledger, path: &Path) -> anyhow::Result<()> {
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        for arrival in ledger.arrivals() {
            let (micros, item, status) = (arrival.micros, arrival.item, arrival.status);
            writeln!(file, "{micros} {item} {status}")?;
        }
        file.flush()
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn time(millis: &str) -> anyhow::Result<Duration> {
    let millis = millis.parse().context("the delay is not a number")?;
    Ok(Duration::from_millis(millis))
}

fn failure(status: &str) -> anyhow::Result<u16> {
    let status = status.parse().ok();
    let status = status.filter(|code| (200..=599).contains(code));
    status.context("the status must be from 200 to 599")
}

fn multiple(every: &str) -> anyhow::Result<u32> {
    let every = every.parse().context("EVERY is not a number")?;
    ensure!(every > 0, "EVERY must be at least 1");
    Ok(every)
}
